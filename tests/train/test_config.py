from dataclasses import replace
from pathlib import Path

import pytest

from coresr_models import ModelSpec, complete
from coresr_train.config import as_table, parse, read_toml, write_toml
from coresr_train.presets import PRESETS, quick_x2, reference_x2
from coresr_train.settings import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_its_own_toml(name: str, tmp_path: Path) -> None:
    write_toml(tmp_path / "run.toml", as_table(PRESETS[name]()))
    for other in PRESETS.values():
        assert read_toml(tmp_path / "run.toml", other()) == PRESETS[name]()


def test_without_arguments_it_is_quick_x2() -> None:
    assert parse([]) == ("quick_x2", quick_x2())


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    _, written = parse(["reference_x2", "--data.patch", "64", "--steps", "7"])
    write_toml(tmp_path / "run.toml", as_table(written))
    name, run = parse(["reference_x2", "--config", str(tmp_path / "run.toml"), "--data.batch", "4"])
    assert (name, run.data.patch, run.data.batch, run.steps, run.epochs) == ("reference_x2", 64, 4, 7, None)


def test_a_file_may_name_some_fields_and_leave_the_rest_to_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("steps = 9\n[model.arguments]\nwidth = 8\n[optim]\nclip = 0.5\n")
    run = read_toml(path, reference_x2())
    expected = reference_x2()
    assert run == replace(
        expected,
        epochs=None,
        steps=9,
        optim=replace(expected.optim, clip=0.5),
        model=replace(expected.model, arguments={**expected.model.arguments, "width": 8}),
    )


def test_another_network_in_the_file_starts_from_its_own_defaults(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    path.write_text("[model]\nname = 'unet'\n[model.arguments]\nwidth = 8\n")
    assert read_toml(path, quick_x2()).model == ModelSpec(name="unet", arguments={"width": 8})
    _, run = parse(["quick_x2", "--config", str(path), "--model.arguments.depth", "3"])
    assert run.model == complete(ModelSpec(name="unet", arguments={"width": 8, "depth": 3}))


def test_every_kind_of_field_is_a_flag() -> None:
    flags = "--data.store S --data.no-augment --optim.learning-rate 1e-4 --model.arguments.width 8 --precision fp32"
    _, run = parse(["quick_x2", *flags.split(), "--expect-processes=2", "--loss.l1", "1"])
    assert (run.data.store, run.data.augment, run.optim.learning_rate) == ("S", False, 1e-4)
    assert (run.model.arguments["width"], run.precision, run.expect_processes, run.loss.l1) == (8, "fp32", 2, 1.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("quick_x3", "preset must be one that --help lists, got quick_x3; did you mean quick_x.?"),
        ("--data.pach 3", "--data.pach .* did you mean data.patch"),
        ("--optim.lerning_rate 1", "did you mean optim.learning-rate"),
        ("--model.arguments.widht 3", "did you mean model.arguments.width"),
        ("--data.patch fast", "data.patch.*'fast'"),
        ("--precision fp9", "fp9.*auto"),
        ("--data.no-patch", "unknown"),
        ("--config", "followed by a TOML file"),
        ("quick_x2 stray", "stray"),
    ],
)
def test_a_wrong_command_is_one_line_with_the_remedy(arguments: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(arguments.split())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[optim]\nlerning_rate = 1.0", "optim.lerning_rate.*did you mean learning_rate"),
        ("[optim]\nlearning_rate = 'fast'", "optim.learning_rate.*'fast'"),
        ("[data]\npatch = 1.5\nstor = 'x'", "data.patch.*data.stor"),
        ("[data", "must be TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_every_field_that_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[model]\nname = 'edsr'\n" + text)
    with pytest.raises(ConfigError, match=said) as caught:
        read_toml(path, quick_x2())
    assert str(path) in str(caught.value)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not there"):
        parse(["--config", str(tmp_path / "run.toml")])


def test_help_documents_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    words = "--data.patch", "HR pixels", "--optim.learning-rate", "--budget-seconds", "--resume"
    for word in ("swinir_x3           A small swinir", *words):
        assert word in said
