from dataclasses import fields, replace

import pytest

from coresr_models import build
from coresr_train.losses import LOSSES
from coresr_train.presets import (
    PRESETS,
    ConfigError,
    Data,
    Loss,
    Optim,
    Run,
    check,
    quick_x2,
    reference_x2,
    with_one_length,
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_run_and_built_and_says_how(name: str) -> None:
    preset = check(PRESETS[name]())
    assert f"accelerate launch -m coresr_train {name}" in (PRESETS[name].__doc__ or "")
    assert name.endswith(f"_x{preset.model.arguments['scale']}")


def test_the_reference_is_the_reference_configuration() -> None:
    run = reference_x2()
    assert (run.data.patch, run.data.batch, run.data.workers, run.data.augment) == (192, 8, 8, True)
    assert 0 < run.data.noise_std <= 0.01
    unet = {"depth": 5, "width": 64, "max_width": 512, "norm": "none", "scale": 2, "channels": 1}
    plain = {"block": "plain", "attention": "none", "attention_at": "both", "tail": "pre", "global_residual": "bicubic"}
    assert run.model.arguments == unet | plain
    assert run.loss.weights() == {"charbonnier": 0.84, "ms_ssim": 0.16, "l1": 0, "mse": 0}
    assert run.optim == Optim(learning_rate=2e-4, weight_decay=1e-4, warmup_epochs=5, clip=1.0, ema_decay=0.999)
    stop = run.validation
    assert (run.epochs, stop.patience, stop.min_delta, stop.metric) == (150, 20, 0.002, "ssim")


def test_quick_is_a_small_network_with_a_zero_tail() -> None:
    network = build(quick_x2().model)
    assert 40_000 < sum(parameter.numel() for parameter in network.parameters()) < 160_000
    assert not network.state_dict()["conv_last.weight"].any()


def test_the_terms_of_the_loss_are_the_losses_there_are() -> None:
    assert [field.name for field in fields(Loss)] == list(LOSSES)


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


def lengths(run: Run) -> tuple[int | None, int | None, float | None]:
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
