from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from coresr_train.losses import Term, chosen
from coresr_train.losses.pixels import l1, mse
from coresr_train.recipe import Scratch
from coresr_train.recipes.supervised import supervised
from coresr_train.settings import Loss
from tests.train.losses.examples import vgg_tensors

CPU = torch.device("cpu")


def test_the_terms_are_the_weighted_losses_by_name() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    (phase,) = supervised(network, {"l1": Term(weight=0.84, of=l1), "mse": Term(weight=0.16, of=mse)}).phases
    batch = {"lr": torch.rand(2, 1, 40, 40), "hr": torch.rand(2, 1, 40, 40)}
    terms = phase.loss({"generator": network}, batch, {})
    sr = network(batch["lr"])
    assert (phase.name, phase.trains, list(terms)) == ("sr", ("generator",), ["l1", "mse"])
    assert torch.equal(terms["l1"], 0.84 * l1(sr, batch["hr"]))
    assert torch.equal(terms["mse"], 0.16 * mse(sr, batch["hr"]))


def test_sr_is_handed_on_to_later_phases() -> None:
    network = nn.Conv2d(1, 1, 1)
    scratch: Scratch = {}
    lr = torch.rand(1, 1, 4, 4)
    supervised(network, {"l1": Term(weight=1.0, of=l1)}).phases[0].loss(
        {"generator": network}, {"lr": lr, "hr": lr}, scratch
    )
    assert torch.equal(scratch["sr"], network(lr))


def test_the_settings_sum_is_the_mix_of_the_house() -> None:
    network = nn.Identity()
    recipe = supervised(network, chosen(Loss(charbonnier=0.84, ms_ssim=0.16), CPU))
    batch = {"lr": torch.rand(2, 1, 40, 40), "hr": torch.rand(2, 1, 40, 40)}
    terms = recipe.phases[0].loss({"generator": network}, batch, {})
    assert list(terms) == ["charbonnier", "ms_ssim"]


def test_a_network_that_knows_photographs_is_no_net_of_the_recipe(tmp_path: Path) -> None:
    safetensors.torch.save_file(vgg_tensors("vgg19"), tmp_path / "vgg19.safetensors")
    network = nn.Conv2d(1, 1, 3, padding=1)
    loss = Loss(perceptual=0.1, feature_weights=str(tmp_path / "vgg19.safetensors"))
    recipe = supervised(network, chosen(loss, CPU))
    assert recipe.nets == {"generator": network}
    batch = {"lr": torch.rand(2, 1, 16, 16), "hr": torch.rand(2, 1, 16, 16)}
    recipe.phases[0].loss(recipe.nets, batch, {})["perceptual"].backward()  # type: ignore[no-untyped-call]
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in network.parameters())


def test_no_terms_are_refused() -> None:
    with pytest.raises(ValueError, match="must be one or more"):
        supervised(nn.Identity(), {})
