from dataclasses import asdict

import pytest

from coresr_train.identity import OPERATIONAL, changes, flat, is_operational, refuse
from coresr_train.presets import quick_x2
from coresr_train.settings import ConfigError

SETTINGS = flat(asdict(quick_x2()))


@pytest.mark.parametrize("name", OPERATIONAL)
def test_what_may_differ_are_settings_that_there_are(name: str) -> None:
    assert any(one == name or one.startswith(f"{name}.") for one in SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_other_setting_makes_the_run_what_it_is(name: str) -> None:
    found = changes({name: 1}, {name: 2})
    learns_the_same = name in OPERATIONAL or name.startswith("tracking.")
    assert found == ({} if learns_the_same else {name: (1, 2)})


def test_nested_settings_and_those_that_came_or_went_are_compared() -> None:
    began = {"optim": {"clip": 1.0, "milestones": (0.5,)}, "epochs": 3, "data": {"store": "a"}}
    now = {"optim": {"clip": 2.0, "milestones": [0.5]}, "steps": 9, "data": {"store": "b"}}
    assert changes(began, now) == {"epochs": (3, None), "optim.clip": (1.0, 2.0), "steps": (None, 9)}


def test_a_name_that_begins_alike_is_another() -> None:
    assert is_operational("tracking.to")
    assert not is_operational("tracking_of_cores")


def test_the_whole_difference_is_said_but_for_what_is_allowed() -> None:
    found = changes({"seed": 0, "steps": 5, "keep": 2}, {"seed": 1, "steps": 6, "keep": 9})
    with pytest.raises(ConfigError, match="seed must be 0 as the run began, got 1; put .* --allow-change seed$"):
        refuse(found, allowed=("steps",))
    refuse(found, allowed=("steps", "seed"))
