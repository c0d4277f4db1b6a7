import json
import math

import pytest

from coresr_train.spikes import NEEDED, WINDOW, Spikes


def spiky(losses: list[float], spikes: Spikes | None = None) -> list[int]:
    """Positions of the losses that are spikes."""
    judge = spikes or Spikes()
    return [position for position, loss in enumerate(losses) if judge.is_spike(loss)]


def noisy(count: int, level: float = 1.0) -> list[float]:
    """Median `level`, median absolute deviation 0.05 · level."""
    return [level * (1 + 0.05 * (step % 3 - 1)) for step in range(count)]


def test_a_loss_ten_deviations_above_the_median_is_a_spike_and_one_below_that_is_not() -> None:
    # a deviation here is 1.4826 · 0.05, so that the limit lies at 1.7413
    assert spiky([*noisy(60), 1.74]) == []
    assert spiky([*noisy(60), 1.75]) == [60]


def test_a_loss_far_below_is_none() -> None:
    assert spiky([*noisy(60), 0.0]) == []


def test_losses_that_do_not_differ_grant_each_other_a_tenth() -> None:
    assert spiky([1.0] * 60 + [1.09]) == []
    assert spiky([1.0] * 60 + [1.11]) == [60]


def test_ten_spikes_in_a_row_are_ten() -> None:
    assert spiky(noisy(60) + [5.0] * 10 + noisy(30)) == list(range(60, 70))


def test_the_first_losses_are_not_judged() -> None:
    assert spiky([*noisy(NEEDED - 1), 1e6]) == []
    assert spiky([*noisy(NEEDED), 1e6]) == [NEEDED]


def test_a_loss_that_stays_high_is_what_is_usual_once_it_is_half_of_the_window() -> None:
    found = spiky(noisy(WINDOW) + noisy(2 * WINDOW, level=5.0))
    assert found[0] == WINDOW
    assert found == list(range(WINDOW, WINDOW + len(found)))
    assert WINDOW / 3 <= len(found) <= WINDOW / 2


def test_a_falling_loss_has_no_spikes() -> None:
    assert spiky([loss * math.exp(-step / 200) for step, loss in enumerate(noisy(1000))]) == []


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_neither_judged_nor_remembered(loss: float) -> None:
    spikes = Spikes()
    spiky(noisy(60), spikes)
    known = spikes.state()
    assert not spikes.is_spike(loss)
    assert spikes.state() == known


@pytest.mark.parametrize("cut", [0, 5, NEEDED, 70, 2 * WINDOW])
def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(cut: int) -> None:
    losses = noisy(60) + [5.0] * 3 + noisy(150) + [1.75] + noisy(20)
    first, second = Spikes(), Spikes()
    before = spiky(losses[:cut], first)
    second.restore(json.loads(json.dumps(first.state())))
    after = spiky(losses[cut:], second)
    assert before + [position + cut for position in after] == spiky(losses)
    assert len(second.state()["losses"]) == WINDOW
