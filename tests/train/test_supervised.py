import pytest
import torch
from torch import nn

from coresr_train.losses import LOSSES
from coresr_train.recipes.supervised import supervised


def test_the_terms_are_the_weighted_losses_and_their_sum_is_the_mix() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    weights = {"charbonnier": 0.84, "ms_ssim": 0.16, "l1": 0.0}
    (phase,) = supervised(network, weights).phases
    batch = {"lr": torch.rand(2, 1, 40, 40), "hr": torch.rand(2, 1, 40, 40)}
    terms = phase.loss({"generator": network}, batch, {})
    assert set(terms) == {"charbonnier", "ms_ssim"}
    for name, value in terms.items():
        assert torch.equal(value, weights[name] * LOSSES[name](network(batch["lr"]), batch["hr"]))


@pytest.mark.parametrize("weights", [{}, {"l1": 0.0}, {"l1": -1.0}, {"l3": 1.0}])
def test_weights_that_say_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        supervised(nn.Identity(), weights)
