import pytest
import torch

from coresr_train.optim import adamw, warmup_cosine
from coresr_train.presets import Optim


def test_the_learning_rate_has_the_golden_values() -> None:
    rates = [warmup_cosine(step, peak=1e-3, warmup=5, total=20) for step in range(20)]
    assert rates[:6] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3])
    assert [rates[6], rates[7], rates[12], rates[19]] == pytest.approx(
        [9.8907e-4, 9.5677e-4, 5.5226e-4, 1.0926e-5], rel=1e-4
    )


def test_after_the_warm_up_the_rate_is_torchs_cosine() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
    for step in range(30):
        assert warmup_cosine(step, peak=2e-4, warmup=0, total=30) == pytest.approx(
            reference.get_last_lr()[0], abs=1e-12
        )
        optimizer.step()
        reference.step()


def test_past_the_end_and_without_an_end_the_rate_is_defined() -> None:
    assert warmup_cosine(25, peak=1.0, warmup=5, total=20) == pytest.approx(0)
    assert warmup_cosine(7, peak=1.0, warmup=0, total=float("inf")) == 1.0
    assert warmup_cosine(0, peak=1.0, warmup=0, total=1) == 1.0


def test_adamw_takes_all_parameters_and_the_settings() -> None:
    network = torch.nn.Linear(2, 3)
    optimizer = adamw(network, Optim(learning_rate=1e-2, weight_decay=0.5, epsilon=1e-6))
    (group,) = optimizer.param_groups
    assert len(group["params"]) == 2
    assert (group["lr"], group["weight_decay"], group["eps"]) == (1e-2, 0.5, 1e-6)
