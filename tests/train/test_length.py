from dataclasses import replace

import pytest
from accelerate import Accelerator

from coresr_train.length import Length
from coresr_train.presets import quick_x2
from coresr_train.settings import Run


def length(run: Run, steps_per_epoch: float = 2.5) -> Length:
    return Length(run, steps_per_epoch, Accelerator(cpu=True))


def test_steps_and_epochs_end_after_their_number() -> None:
    by_steps = length(replace(quick_x2(), budget_seconds=None, steps=3))
    assert [by_steps.over(step) for step in (1, 2, 3)] == [False, False, True]
    by_epochs = length(replace(quick_x2(), budget_seconds=None, epochs=2))
    assert by_epochs.total(0) == 5
    assert [by_epochs.over(step) for step in (4, 5)] == [False, True]


def test_a_budget_ends_when_its_seconds_do_and_estimates_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    budget = length(replace(quick_x2(), budget_seconds=60.0))
    assert budget.total(0) == float("inf")
    assert budget.total(1) == float("inf")
    now += 15.0
    assert budget.total(31) == pytest.approx(31 + 90)
    assert not budget.over(31)
    now += 45.0
    assert budget.total(100) == pytest.approx(100)
    assert budget.over(100)


def test_a_slow_first_step_says_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    budget = length(replace(quick_x2(), budget_seconds=60.0))
    now += 10.0
    assert budget.total(1) == float("inf")
    now += 1.0
    assert budget.total(2) == pytest.approx(2 + 49)
    resumed = length(replace(quick_x2(), budget_seconds=60.0))
    resumed.restore(budget.state())
    now += 9.0
    assert resumed.total(11) == pytest.approx(11 + 40)
