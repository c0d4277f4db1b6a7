import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from coresr_data import Paired, StepBatches, open_store
from coresr_models import MODELS, ModelSpec, build
from coresr_models.discriminators import UNetDiscriminatorSN
from coresr_train.ema import averaged
from coresr_train.loop import fit
from coresr_train.losses import chosen
from coresr_train.optim import optimizer
from coresr_train.recipes.supervised import supervised
from coresr_train.schedules import rate
from coresr_train.settings import ConfigError, Loss, Optim

Name = Literal["adamw", "adam", "sgd", "lion", "muon", "schedule_free"]
NAMES: tuple[Name, ...] = get_args(Name)
RATES = {"adamw": 3e-3, "adam": 3e-3, "sgd": 0.1, "lion": 1e-3, "muon": 3e-3, "schedule_free": 3e-3}
FROM_LIBRARY = ("lion", "muon", "schedule_free")
library = pytest.mark.skipif(find_spec("pytorch_optimizer") is None, reason="coresr-train[optimizers] is not installed")
every_optimizer = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=library) if name in FROM_LIBRARY else name for name in NAMES]
)


def settings(name: Name, **others: Any) -> Optim:
    schedule: Literal["constant", "cosine"] = "constant" if name == "schedule_free" else "cosine"
    return Optim(**{"optimizer": name, "learning_rate": RATES[name], "schedule": schedule, **others})


def small() -> nn.Sequential:
    """A layer that sees the image, a hidden one 6 × 36, a depthwise one, and one that makes the image."""
    layers = (nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6))
    network = nn.Sequential(*layers, nn.Conv2d(6, 4, 3))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets this form
    return network


def give_gradients(network: nn.Module, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def values(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def names(network: nn.Module, groups: list[dict[str, Any]]) -> set[str]:
    held = {id(parameter) for group in groups for parameter in group["params"]}
    return {name for name, parameter in network.named_parameters() if id(parameter) in held}


@every_optimizer
def test_forty_steps_gain_two_decibels_on_bicubic(name: Name, store: Path) -> None:
    optim, accelerator = settings(name), Accelerator(cpu=True)
    network = build(ModelSpec(name="edsr", arguments={"width": 8, "blocks": 2, "tail": "direct"}))
    whole = Paired(open_store(store), split="valid", patch=96)[0]

    @torch.no_grad()
    def psnr() -> float:
        return float(-10 * torch.log10((network(whole["lr"][None]) - whole["hr"]).square().mean()))

    bicubic = psnr()
    for step in fit(
        supervised(network, chosen(Loss(l1=1.0), torch.device("cpu"))),
        DataLoader(Paired(open_store(store), patch=32), batch_sampler=StepBatches(batch=8)),
        optimizers={"sr": accelerator.prepare(optimizer(network, optim))},
        learning_rate=lambda step: rate(step, optim=optim, total=40, warmup=4),
        clip=1.0,
        averages={"generator": averaged(network, 0.999)},
        accelerator=accelerator,
    ):
        if step.number == 40:
            break
    assert psnr() > bicubic + 2.0


@every_optimizer
def test_every_parameter_is_in_one_group_and_weights_alone_decay(name: Name) -> None:
    network = small()
    groups = optimizer(network, settings(name, weight_decay=0.5)).param_groups
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in network.parameters())
    decaying = [group for group in groups if group["weight_decay"] == 0.5]
    assert names(network, decaying) == {f"{layer}.weight" for layer in (0, 1, 2, 4)}
    assert {group["weight_decay"] for group in groups} == {0.5, 0.0}
    assert {group["lr"] for group in groups} == {RATES[name]}


@pytest.mark.parametrize("model", MODELS)
def test_in_every_network_the_kernels_and_matrices_are_what_decays(model: str) -> None:
    with torch.device("meta"):
        network = build(ModelSpec(name=model))
    layers = {f"{name}.weight" for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    assert names(network, optimizer(network, Optim()).param_groups[:1]) == layers


def test_kernels_under_a_spectral_norm_decay_too() -> None:
    network = UNetDiscriminatorSN(width=2)
    assert len(names(network, optimizer(network, Optim()).param_groups[:1])) == 10


def test_a_network_without_biases_has_one_group() -> None:
    assert len(optimizer(nn.Conv2d(1, 2, 3, bias=False), Optim()).param_groups) == 1


@every_optimizer
def test_without_a_gradient_only_the_decay_moves_weights(name: Name) -> None:
    network, optim = small(), settings(name, learning_rate=1e-2, weight_decay=0.3)
    before, steps = values(network), optimizer(network, optim)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    steps.step()
    for key, after in values(network).items():
        if "weight" not in key or before[key].ndim == 1:
            assert torch.equal(after, before[key])
        elif name == "adam":  # the L2 term is the gradient, whose size Adam removes
            gradient = 0.3 * before[key]
            torch.testing.assert_close(after, before[key] - 1e-2 * gradient / (gradient.abs() + optim.epsilon))
        else:  # SGD's Nesterov momentum takes its first gradient 1.9 times
            factor = 1.9 if name == "sgd" else 1.0
            torch.testing.assert_close(after, before[key] * (1 - 1e-2 * 0.3 * factor), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("decoupled", [True, False])
def test_adam_steps_as_published(decoupled: bool) -> None:
    network, weight = nn.Linear(2, 3), torch.ones(3, 2)
    name: Name = "adamw" if decoupled else "adam"
    steps = optimizer(network, settings(name, momentum=0.8, beta2=0.9, epsilon=1e-3, weight_decay=0.1))
    nn.init.ones_(network.weight)
    first, second = torch.zeros(3, 2), torch.zeros(3, 2)
    for step in (1, 2, 3):
        gradient = give_gradients(network, step)["weight"] + (0.0 if decoupled else 0.1 * weight)
        steps.step()
        first, second = 0.8 * first + 0.2 * gradient, 0.9 * second + 0.1 * gradient**2
        weight = weight * (1 - 3e-3 * 0.1) if decoupled else weight
        weight = weight - 3e-3 * (first / (1 - 0.8**step)) / ((second / (1 - 0.9**step)).sqrt() + 1e-3)
    torch.testing.assert_close(network.weight, weight)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_sgd_steps_as_published(momentum: float) -> None:
    network, weight, speed = nn.Linear(2, 3), torch.ones(3, 2), torch.zeros(3, 2)
    steps = optimizer(network, settings("sgd", momentum=momentum, weight_decay=0.1))
    nn.init.ones_(network.weight)
    for step in range(3):
        gradient = give_gradients(network, step)["weight"] + 0.1 * weight
        steps.step()
        speed = momentum * speed + gradient
        weight = weight - 0.1 * (gradient + momentum * speed)
    torch.testing.assert_close(network.weight, weight)


@library
def test_lion_steps_as_published() -> None:
    network, weight, speed = nn.Linear(2, 3), torch.ones(3, 2), torch.zeros(3, 2)
    steps = optimizer(network, settings("lion", momentum=0.98, weight_decay=0.1))
    nn.init.ones_(network.weight)
    for step in range(8):
        gradient = give_gradients(network, step)["weight"]
        steps.step()
        weight = weight - 1e-3 * ((0.98 * speed + 0.02 * gradient).sign() + 0.1 * weight)
        speed = 0.99 * speed + 0.01 * gradient
    torch.testing.assert_close(network.weight, weight)


@library
def test_schedule_free_steps_as_published_and_weighs_steps_by_the_square_of_their_rate() -> None:
    network, y = nn.Linear(2, 3), torch.ones(3, 2)
    steps = optimizer(network, settings("schedule_free", beta2=0.9, epsilon=1e-3, weight_decay=0.1))
    nn.init.ones_(network.weight)
    x, z, second, weighed = y, y, torch.zeros(3, 2), 0.0
    for step, learning_rate in enumerate((1e-3, 2e-3, 3e-3, 3e-3), start=1):
        for group in steps.param_groups:
            group["lr"] = learning_rate
        gradient = give_gradients(network, step)["weight"]
        steps.step()
        second = 0.9 * second + 0.1 * gradient**2
        z = z - learning_rate * (gradient / ((second / (1 - 0.9**step)).sqrt() + 1e-3) + 0.1 * y)
        weighed += learning_rate**2
        x = x + learning_rate**2 / weighed * (z - x)
        y = 0.1 * z + 0.9 * x
    torch.testing.assert_close(network.weight, y)


@library
def test_muon_turns_the_hidden_layer_by_an_orthogonal_matrix_and_the_others_as_adamw() -> None:
    network, beside = small(), small()
    beside.load_state_dict(network.state_dict())
    before = values(network)
    for net, name in ((network, "muon"), (beside, "adamw")):
        steps = optimizer(net, settings(name, weight_decay=0.1))  # type: ignore[arg-type]  # by name
        give_gradients(net, 0)
        steps.step()
    after, reference = values(network), values(beside)
    for key in after.keys() - {"1.weight"}:
        torch.testing.assert_close(after[key], reference[key])
    step = (before["1.weight"] * (1 - 3e-3 * 0.1) - after["1.weight"]).flatten(1)
    # 36 columns: Adam's step has root mean square one, an orthogonal one of 6 rows 1/√36, and Liu's share is 0.2
    singular = torch.linalg.svdvals(step / (3e-3 * 0.2 * 36**0.5))
    assert 0.6 < singular.min() <= singular.max() < 1.3
    gradient = give_gradients(network, 0)["1.weight"].flatten(1)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    assert torch.cosine_similarity(step.flatten(), (left @ right).flatten(), dim=0) > 0.98


@library
@pytest.mark.parametrize("model", MODELS)
def test_muon_finds_hidden_layers_in_every_network_and_leaves_the_image_to_adamw(model: str) -> None:
    with torch.device("meta"):
        network = build(ModelSpec(name=model))
    hidden = optimizer(network, Optim(optimizer="muon")).param_groups[0]
    assert hidden["use_muon"]
    assert all(weight.shape[1] > 1 for weight in hidden["params"])
    assert names(network, [hidden]).isdisjoint({"conv_first.weight", "conv_last.weight", "head.weight", "intro.weight"})


def test_muon_is_refused_where_there_is_no_hidden_layer() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 1, 3))
    with pytest.raises(ConfigError, match="Sequential has none; take adamw"):
        optimizer(network, Optim(optimizer="muon"))


@pytest.mark.parametrize("name", FROM_LIBRARY)
def test_a_missing_library_is_named_with_its_extra(name: Name, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(ConfigError, match=rf"got {name}; install coresr-train\[optimizers\]"):
        optimizer(small(), settings(name))


def test_schedule_free_is_refused_with_a_schedule_or_without_momentum() -> None:
    with pytest.raises(ConfigError, match="must be constant with schedule_free.*got cosine"):
        optimizer(small(), Optim(optimizer="schedule_free"))
    with pytest.raises(ConfigError, match="momentum must be greater than 0"):
        optimizer(small(), settings("schedule_free", momentum=0.0))


@every_optimizer
def test_its_state_is_tensors_and_json_and_goes_on_from_them_bit_by_bit(name: Name) -> None:
    network, other = small(), small()
    steps = optimizer(network, settings(name))
    for seed in range(3):
        give_gradients(network, seed)
        steps.step()
    state = steps.state_dict()
    assert all(isinstance(value, Tensor) for moments in state["state"].values() for value in moments.values())
    # safetensors holds contiguous tensors only, and the weights are channels-last
    moments = {
        number: {key: value.clone(memory_format=torch.contiguous_format) for key, value in one.items()}
        for number, one in state["state"].items()
    }
    other.load_state_dict(network.state_dict())
    resumed = optimizer(other, settings(name))
    resumed.load_state_dict({"state": moments, "param_groups": json.loads(json.dumps(state["param_groups"]))})
    for seed in range(3, 6):
        for net, going in ((network, steps), (other, resumed)):
            give_gradients(net, seed)
            going.step()
    first, second = values(network), values(other)
    assert all(torch.equal(first[key], second[key]) for key in first)
