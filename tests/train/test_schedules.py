"""The rates, each beside torch's scheduler of the name."""

import itertools
import math
from collections.abc import Callable
from typing import Literal, get_args

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
)

from coresr_train.schedules import rate
from coresr_train.settings import Optim

PEAK = 2e-4
Name = Literal["cosine", "one_cycle", "multistep", "constant", "constant_linear", "cosine_restarts"]
NAMES: tuple[Name, ...] = get_args(Name)


def torchs(scheduler: Callable[[torch.optim.Optimizer], LRScheduler], steps: int) -> list[float]:
    """The rates that torch's scheduler gives `steps` steps."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=PEAK)
    schedule, rates = scheduler(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def rates(optim: Optim, *, total: float, warmup: int = 0, steps: int | None = None) -> list[float]:
    return [rate(step, optim=optim, total=total, warmup=warmup) for step in range(steps or int(total))]


def test_the_cosine_has_the_golden_values() -> None:
    found = rates(Optim(learning_rate=1e-3), total=20, warmup=5)
    assert found[:6] == pytest.approx([2e-4, 4e-4, 6e-4, 8e-4, 1e-3, 1e-3])
    assert [found[6], found[7], found[12], found[19]] == pytest.approx(
        [9.8907e-4, 9.5677e-4, 5.5226e-4, 1.0926e-5], rel=1e-4
    )


def test_after_the_warm_up_the_cosine_is_torchs_with_its_floor() -> None:
    found = rates(Optim(learning_rate=PEAK, floor=0.1), total=35, warmup=5)
    reference = torchs(lambda optimizer: CosineAnnealingLR(optimizer, T_max=30, eta_min=0.1 * PEAK), 30)
    assert found[5:] == pytest.approx(reference, rel=1e-9)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 10, 333])
def test_one_cycle_is_torchs(total: int) -> None:
    found = rates(Optim(learning_rate=PEAK, schedule="one_cycle"), total=total, warmup=3)
    # torch steps once more than there are steps
    reference = torchs(lambda optimizer: OneCycleLR(optimizer, PEAK, total_steps=total, cycle_momentum=False), total)
    assert found == pytest.approx(reference, rel=1e-12)


def test_one_cycle_has_the_golden_values() -> None:
    assert rates(Optim(learning_rate=1e-3, schedule="one_cycle"), total=10) == pytest.approx(
        [4e-5, 5.2e-4, 1e-3, 9.504846e-4, 8.117457e-4, 6.112620e-4, 3.887420e-4, 1.882583e-4, 4.951937e-5, 4e-9],
        rel=1e-6,
    )


def test_multistep_is_torchs_at_shares_of_the_run() -> None:
    optim = Optim(learning_rate=PEAK, schedule="multistep", milestones=(0.07, 0.57, 0.9), gamma=0.3)
    reference = torchs(lambda optimizer: MultiStepLR(optimizer, [7, 57, 90], gamma=0.3), 100)
    assert rates(optim, total=100) == pytest.approx(reference, rel=1e-12)
    assert rates(optim, total=100, warmup=6)[6:] == pytest.approx(reference[6:], rel=1e-12)


@pytest.mark.parametrize("length", [1, 7, 30])
def test_cosine_restarts_are_torchs(length: int) -> None:
    optim = Optim(learning_rate=PEAK, schedule="cosine_restarts", restarts=3, floor=0.05)
    found = rates(optim, total=3 * length + 4, warmup=4)
    reference = torchs(
        lambda optimizer: CosineAnnealingWarmRestarts(optimizer, T_0=length, eta_min=0.05 * PEAK), 3 * length
    )
    assert found[4:] == pytest.approx(reference, rel=1e-9)


def test_constant_is_constant_after_the_warm_up() -> None:
    assert rates(Optim(learning_rate=PEAK, schedule="constant"), total=9, warmup=4) == pytest.approx(
        [0.25 * PEAK, 0.5 * PEAK, 0.75 * PEAK, *[PEAK] * 6]
    )


def test_constant_linear_has_the_golden_values_of_a_hundred_and_a_hundred() -> None:
    found = rates(Optim(learning_rate=1.0, schedule="constant_linear"), total=200)
    assert set(found[:100]) == {1.0}
    assert [found[100], found[150], found[199]] == pytest.approx([100 / 101, 50 / 101, 1 / 101], rel=1e-12)


@pytest.mark.parametrize("half", [1, 3, 50])
def test_constant_linear_is_cyclegans(half: int) -> None:
    optim = Optim(learning_rate=PEAK, schedule="constant_linear")
    # the epochs of its options are steps here; counted from 1
    reference = torchs(
        lambda optimizer: LambdaLR(optimizer, lambda epoch: 1.0 - max(0, epoch + 1 - half) / float(half + 1)), 2 * half
    )
    assert rates(optim, total=2 * half) == pytest.approx(reference, rel=1e-12)
    assert rates(optim, total=2 * half, warmup=1)[1:] == pytest.approx(reference[1:], rel=1e-12)


def test_constant_linear_falls_evenly_to_its_floor() -> None:
    found = rates(Optim(learning_rate=1.0, schedule="constant_linear", floor=0.2), total=17, steps=20)
    assert found[:8] == [1.0] * 8
    falls = [before - after for before, after in itertools.pairwise(found[8:18])]
    assert falls == pytest.approx([0.8 / 9.5] * 9, rel=1e-9)
    assert found[17:] == pytest.approx([0.2] * 3, rel=1e-9)


def test_past_the_end_a_rate_stays_what_it_ended_at() -> None:
    ends = {
        "cosine": 0.1,
        "one_cycle": 4e-6,
        "multistep": 0.125,
        "constant": 1.0,
        "constant_linear": 0.1,
        "cosine_restarts": 0.1,
    }
    for name in NAMES:
        optim = Optim(learning_rate=1.0, schedule=name, floor=0.1)
        assert rate(20, optim=optim, total=20, warmup=5) == pytest.approx(ends[name])
        assert rate(99, optim=optim, total=20, warmup=5) == pytest.approx(ends[name])


def test_without_a_known_end_a_run_stands_at_the_start_of_its_schedule() -> None:
    starts = {
        "cosine": 1.0,
        "one_cycle": 0.04,
        "multistep": 1.0,
        "constant": 1.0,
        "constant_linear": 1.0,
        "cosine_restarts": 1.0,
    }
    for name in NAMES:
        optim = Optim(learning_rate=1.0, schedule=name)
        assert rate(0, optim=optim, total=math.inf, warmup=0) == pytest.approx(starts[name])
        assert rate(7, optim=optim, total=math.inf, warmup=0) == pytest.approx(starts[name])


@given(
    st.sampled_from(NAMES),
    st.integers(0, 10**7),
    st.one_of(st.just(math.inf), st.floats(0, 1e7), st.integers(1, 50)),
    st.integers(0, 1000),
    st.floats(1e-9, 10),
    st.floats(0, 0.99),
    st.integers(1, 9),
)
@example("one_cycle", 0, 10 / 3, 0, 1.0, 0.0, 1)  # its rise ends at step 0
@example("cosine_restarts", 3, 3.5, 3, 1.0, 0.0, 1)
@example("cosine", 0, 0.0, 0, 1.0, 0.0, 1)
@example("cosine", 12, 100, 13, 2e-4, 0.0, 1)  # 2e-4 * 13 / 13 is more than 2e-4
def test_a_rate_is_between_zero_and_the_peak(  # noqa: PLR0917 - hypothesis gives them by position
    name: Name, step: int, total: float, warmup: int, peak: float, floor: float, restarts: int
) -> None:
    optim = Optim(learning_rate=peak, schedule=name, floor=floor, restarts=restarts)
    assert 0 <= rate(step, optim=optim, total=total, warmup=warmup) <= peak


@pytest.mark.parametrize("name", [name for name in NAMES if name != "constant"])
def test_under_a_budget_the_rate_ends_where_the_seconds_do(name: Name) -> None:
    optim = Optim(learning_rate=1.0, schedule=name)
    seconds, found = 0.0, []
    for step in range(400):
        total = step * 60 / seconds if step else math.inf
        found.append(rate(step, optim=optim, total=total, warmup=int(min(20, total / 10))))
        seconds += 0.3 if step < 100 else 0.15  # it gets faster, so that the estimate grows
        if seconds >= 60:
            break
    assert found[-1] <= 0.13
    assert max(found) > 0.9
