import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from coresr_data import open_store
from coresr_models import ModelSpec, complete, load
from coresr_train.config import parse, read_toml
from coresr_train.presets import quick_x2
from coresr_train.run import train
from coresr_train.settings import ConfigError, Data, Run, Validation


def rows(out: Path, kind: str) -> list[dict[str, float]]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "last.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_run_folder_holds_settings_metrics_and_checkpoints(tiny_run: Run, store: Path) -> None:
    out = train(tiny_run, "tiny")
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "best.json",
        "best.safetensors",
        "checkpoints",
        "last.safetensors",
        "metrics.jsonl",
        "run.toml",
    ]
    assert read_toml(out / "run.toml", quick_x2()) == replace(tiny_run, out="")
    (logged,) = rows(out, "train")
    assert {"sr/l1", "sr/gradient_norm", "learning_rate", "patches_per_second", "wait_share"} <= logged.keys()
    (valid,) = rows(out, "valid")
    about = load(out / "best.safetensors").provenance
    assert about["preset"] == "tiny"
    assert about["data"]["sha256"] == open_store(store).sha256
    assert about["valid"]["model"]["psnr"] == valid["psnr"]
    assert valid["gain_db"] == pytest.approx(valid["psnr"] - about["valid"]["bicubic"]["psnr"])


def test_equal_seeds_give_equal_bits_whatever_the_workers_and_others_do_not(tiny_run: Run, tmp_path: Path) -> None:
    first = weights(train(tiny_run))
    worked = replace(tiny_run, out=str(tmp_path / "workers"), data=replace(tiny_run.data, workers=2))
    assert equal(first, weights(train(worked)))
    other = replace(tiny_run, out=str(tmp_path / "seed"), seed=1)
    assert not equal(first, weights(train(other)))


def test_training_improves_on_bicubic(tiny_run: Run) -> None:
    out = train(replace(tiny_run, steps=60, optim=replace(tiny_run.optim, learning_rate=3e-3)))
    assert rows(out, "valid")[-1]["gain_db"] > 0.3


def test_a_budget_ends_the_run_with_its_learning_rate_at_zero(tiny_run: Run) -> None:
    out = train(replace(tiny_run, steps=None, budget_seconds=2.0))
    last = rows(out, "train")[-1]
    assert last["seconds"] >= 2.0
    assert last["learning_rate"] < 0.1 * tiny_run.optim.learning_rate


def test_the_reference_losses_train_together(tiny_run: Run) -> None:
    mixed = replace(
        tiny_run,
        loss=replace(tiny_run.loss, l1=0.0, charbonnier=0.84, ms_ssim=0.16),
        data=replace(tiny_run.data, patch=48),
    )
    (logged,) = rows(train(mixed), "train")
    assert {"sr/charbonnier", "sr/ms_ssim"} <= logged.keys()


def test_a_taken_run_folder_is_refused_and_left_alone(tiny_run: Run) -> None:
    out = Path(tiny_run.out)
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(FileExistsError, match="choose another --out"):
        train(tiny_run)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_a_network_may_leave_its_arguments_to_their_defaults(tiny_run: Run) -> None:
    spec = replace(tiny_run.model, arguments={"width": 4, "blocks": 1})
    assert load(train(replace(tiny_run, model=spec, steps=1)) / "last.safetensors").spec == complete(spec)


def test_settings_that_do_not_fit_the_data_are_refused(tiny_run: Run) -> None:
    other_scale = replace(tiny_run.model, arguments={**tiny_run.model.arguments, "scale": 4})
    with pytest.raises(ConfigError, match="store's 2, got 4"):
        train(replace(tiny_run, model=other_scale))
    with pytest.raises(ValueError, match="an LR patch must be 1 to 48 pixels"):
        train(replace(tiny_run, data=replace(tiny_run.data, patch=192)))
    assert not Path(tiny_run.out).exists()


def test_a_missing_store_is_refused_before_a_folder_is_made(tiny_run: Run) -> None:
    with pytest.raises(FileNotFoundError, match="store must be a folder"):
        train(replace(tiny_run, data=Data(store="/nowhere/store")))
    assert not Path(tiny_run.out).exists()


def test_without_an_out_the_first_free_folder_is_taken(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "tiny-1").mkdir(parents=True)
    assert train(replace(tiny_run, out="", steps=1), "tiny") == Path("runs/tiny-2")


def test_an_epoch_longer_than_the_run_does_not_leave_it_on_the_ramp(tiny_run: Run) -> None:
    endless = replace(tiny_run.optim, warmup_epochs=1000.0)
    by_steps = train(replace(tiny_run, steps=40, optim=endless))
    rates = [row["learning_rate"] for row in rows(by_steps, "train")]
    assert rates[0] > 0.9 * tiny_run.optim.learning_rate
    assert rates[-1] < 0.01 * tiny_run.optim.learning_rate


def test_the_settings_of_a_run_start_another_by_their_file(tiny_run: Run, tmp_path: Path) -> None:
    first = train(tiny_run)
    name, again = parse(["--config", str(first / "run.toml"), f"--out={tmp_path / 'again'}"])
    assert name == "run"
    assert equal(weights(first), weights(train(again, name)))


@pytest.mark.parametrize(
    ("group", "fields", "said"),
    [
        ("data", {"patch": 30}, "data.patch must be a multiple of 8"),
        ("data", {"patch": 31}, "data.patch must be a multiple of 8"),
        ("model", {"arguments": {"channels": 3}}, "channels must be 1 for grey slices, got 3"),
        ("loss", {"ms_ssim": 0.1}, "larger than 32 pixels"),
    ],
)
def test_misfits_are_refused_before_a_folder_is_made(
    tiny_run: Run, group: str, fields: dict[str, Any], said: str
) -> None:
    unet = replace(tiny_run, model=ModelSpec(name="unet", arguments={"depth": 3, "width": 4}))
    if group == "model":
        fields = {"arguments": {**unet.model.arguments, **fields["arguments"]}}
    with pytest.raises(ValueError, match=said):
        train(replace(unet, **{group: replace(getattr(unet, group), **fields)}))
    assert not Path(tiny_run.out).exists()


def test_the_seed_decides_the_first_weights_too(tiny_run: Run, tmp_path: Path) -> None:
    still = replace(tiny_run, steps=1, optim=replace(tiny_run.optim, learning_rate=1e-12, ema_decay=0.0))
    first = weights(train(still))
    other = weights(train(replace(still, seed=1, out=str(tmp_path / "other"))))
    assert (first["conv_first.weight"] - other["conv_first.weight"]).abs().max() > 1e-3


def test_validating_more_often_does_not_change_the_weights(tiny_run: Run, tmp_path: Path) -> None:
    first = train(replace(tiny_run, steps=40, validation=Validation(every_epochs=1)))
    second = train(replace(tiny_run, steps=40, validation=Validation(every_epochs=10), out=str(tmp_path / "other")))
    assert (len(rows(first, "valid")), len(rows(second, "valid"))) == (3, 1)
    assert equal(weights(first), weights(second))


def test_a_store_that_lost_an_array_is_refused_before_a_folder_is_made(tiny_run: Run, tmp_path: Path) -> None:
    shutil.copytree(tiny_run.data.store, tmp_path / "store")
    (tmp_path / "store" / "slices" / "hr.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"hr\.npy, which is not there"):
        train(replace(tiny_run, data=replace(tiny_run.data, store=str(tmp_path / "store"))))
    assert not Path(tiny_run.out).exists()


def test_a_run_ends_with_its_speed_its_best_and_its_folder(tiny_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    out = train(tiny_run)
    lines = capsys.readouterr().out.splitlines()
    speed, best, folder = [line for line in lines if not line.startswith("flag ")][-3:]
    assert speed.startswith("4 steps, ")
    assert best.startswith("best   step 4: PSNR ")
    assert folder == f"run folder {out}"
