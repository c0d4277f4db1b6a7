from dataclasses import asdict, replace

import pytest

from coresr_models import MODELS, build
from coresr_train import identity
from coresr_train.presets import PRESETS, STUDIES, curriculum_x4, quick_x2, quick_x4, reference_x2
from coresr_train.settings import Optim, check


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
    assert {name: weight for name, weight in run.loss.weights().items() if weight} == {
        "charbonnier": 0.84,
        "ms_ssim": 0.16,
    }
    assert run.optim == Optim(learning_rate=2e-4, weight_decay=1e-4, warmup_epochs=5, clip=1.0, ema_decay=0.999)
    stop = run.validation
    assert (run.epochs, stop.patience, stop.min_delta, stop.metric) == (150, 20, 0.002, "ssim")


def test_quick_is_a_small_network_with_a_zero_tail() -> None:
    network = build(quick_x2().model)
    assert 40_000 < sum(parameter.numel() for parameter in network.parameters()) < 160_000
    assert not network.state_dict()["conv_last.weight"].any()


def test_every_network_has_a_preset_of_every_scale() -> None:
    assert {f"{name}_x{scale}" for name in MODELS for scale in (2, 3, 4)} <= PRESETS.keys()


@pytest.mark.parametrize("axis", STUDIES)
def test_a_study_changes_its_axis_and_nothing_else(axis: str) -> None:
    before, after = (identity.flat(asdict(PRESETS[name]())) for name in ("unet_x2", f"study_{axis}_x2"))
    changed = {name for name in before if before[name] != after[name]}
    expected = {
        "attention": {"model.arguments.attention"},
        "depth": {"model.arguments.depth"},
        "ema": {"optim.ema_decay"},
        "loss": {"loss.charbonnier", "loss.ms_ssim"},
        "norm": {"model.arguments.norm"},
        "optimizer": {"optim.optimizer", "optim.learning_rate"},
        "patch": {"data.patch", "data.batch"},
        "schedule": {"optim.schedule"},
        "width": {"model.arguments.width"},
    }
    assert changed == expected[axis]


def test_the_curriculum_is_quick_x4_by_way_of_x2() -> None:
    run, plain = curriculum_x4(), quick_x4()
    assert (run.first_scale, run.optim.learning_rate) == (2, plain.optim.learning_rate / 4)
    assert replace(run, first_scale=0, optim=plain.optim) == plain
