import json

import pytest

from coresr_train.health import ROWS, Health

FINE = {"d/accuracy": 0.8, "d/spread": 1.0, "d/adversarial": 0.0, "g/accuracy_of_nothing": 0.5}


@pytest.mark.parametrize(
    ("bad", "word"), [({"d/accuracy": 0.99}, "lower gan.rate"), ({"d/spread": 1e-5}, "raise gan.rate")]
)
def test_a_game_that_is_over_for_long_enough_is_named_once(bad: dict[str, float], word: str) -> None:
    health = Health()
    told = [health.look(FINE | bad) for _ in range(3 * ROWS)]
    assert [len(one) for one in told] == [0] * (ROWS - 1) + [1] + [0] * 2 * ROWS
    assert told[ROWS - 1][0].critic == "d"
    assert word in told[ROWS - 1][0].what


def test_a_moment_is_no_collapse_and_a_second_one_is_named_again() -> None:
    health = Health()
    for _ in range(ROWS - 1):
        assert not health.look({"d/accuracy": 1.0})
    assert not health.look({"d/accuracy": 0.7})
    assert sum(len(health.look({"d/accuracy": 1.0})) for _ in range(ROWS)) == 1
    health.look({"d/accuracy": 0.7})
    assert sum(len(health.look({"d/accuracy": 1.0})) for _ in range(ROWS)) == 1


def test_each_critic_of_a_phase_is_watched_for_itself() -> None:
    health = Health()
    rows = [health.look({"d/accuracy_hr": 1.0, "d/accuracy_lr": 0.6, "d/spread_lr": 0.0}) for _ in range(ROWS)]
    assert {one.critic for one in rows[-1]} == {"d_hr", "d_lr"}


def test_one_that_goes_on_counts_on() -> None:
    first, second = Health(), Health()
    for _ in range(ROWS - 1):
        first.look({"d/accuracy": 1.0})
    second.restore(json.loads(json.dumps(first.state())))
    assert len(second.look({"d/accuracy": 1.0})) == 1
