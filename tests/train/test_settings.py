from dataclasses import replace

import pytest

from coresr_train.losses import LOSSES
from coresr_train.presets import quick_x2
from coresr_train.settings import ConfigError, Data, Loss, Optim, Run, check, with_one_length


def test_the_terms_of_the_loss_are_the_losses_there_are() -> None:
    assert list(Loss().weights()) == list(LOSSES)


def test_all_problems_are_named_at_once() -> None:
    wrong = replace(quick_x2(), data=Data(patch=0, batch=-1), loss=Loss(), optim=Optim(ema_decay=1.0), steps=3)
    with pytest.raises(ConfigError) as caught:
        check(wrong)
    for part in ("data.patch", "data.batch", "optim.ema_decay", "one weight of loss", "exactly one of", "steps 3"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 78


def test_an_unknown_network_argument_is_a_problem_too() -> None:
    spec = replace(quick_x2().model, arguments={"widht": 3})
    with pytest.raises(ConfigError, match="did you mean width"):
        check(replace(quick_x2(), model=spec))


def lengths(run: Run) -> tuple[float | None, int | None, float | None]:
    return run.epochs, run.steps, run.budget_seconds


def test_a_length_that_is_given_replaces_the_presets_own() -> None:
    quick = quick_x2()
    assert lengths(with_one_length(replace(quick, steps=5), quick)) == (None, 5, None)
    assert lengths(with_one_length(replace(quick, budget_seconds=5.0), quick)) == (None, None, 5.0)
    assert lengths(with_one_length(quick, quick)) == (None, None, 60.0)


def test_two_lengths_given_are_a_problem() -> None:
    quick = quick_x2()
    with pytest.raises(ConfigError, match="exactly one"):
        check(with_one_length(replace(quick, steps=5, epochs=2), quick))
