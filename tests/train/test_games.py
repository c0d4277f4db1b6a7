"""Whole runs of the recipes with critics: stages, resuming, two processes, what is said of them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from coresr_data import prepare
from coresr_data.formats.images import write_slice
from coresr_models import CRITICS, ModelSpec, complete, load
from coresr_models.checkpoint import sha256
from coresr_train import checkpoints
from coresr_train.run import train
from coresr_train.settings import ConfigError, Cycle, Data, Gan, Loss, Optim, Run, Validation
from coresr_train.stages import first_run
from tests.train.crashing import child, ended
from tests.train.test_crashes import pair
from tests.train.test_resuming import digest, record, stopped_after


def critic(**arguments: int | str) -> ModelSpec:
    return complete(ModelSpec(name="patchgan", arguments={"width": 4, "layers": 1, **arguments}), CRITICS)


@pytest.fixture
def gan_run(tiny_run: Run) -> Run:
    """Twelve steps without a critic, then twelve with one that has spectral norms."""
    return replace(
        tiny_run,
        recipe="gan",
        gan=Gan(critic=critic(norm="spectral"), weight=0.1, every=2),
        optim=Optim(learning_rate=1e-3, warmup_epochs=0.1),
        validation=Validation(metric="last"),
        steps=24,
        save_every=5,
    )


@pytest.fixture
def cycle_run(tiny_run: Run) -> Run:
    """Twelve steps; the pool is full after two of them."""
    spec = complete(ModelSpec(name="cyclegan", arguments={"width": 4, "blocks": 1}))
    return replace(
        tiny_run,
        recipe="cyclegan",
        model=spec,
        loss=Loss(),
        data=replace(tiny_run.data, noise_std=0.01),
        gan=Gan(objective="lsgan", weight=1.0, critic=critic(), first=0.0),
        cycle=Cycle(width=4, blocks=1, critic=critic(), pool=6),
        optim=Optim(learning_rate=1e-3, momentum=0.5, schedule="constant_linear"),
        validation=Validation(metric="last"),
        steps=12,
        save_every=5,
    )


def rows(out: Path, kind: str) -> list[dict[str, float]]:
    return [row for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if row["kind"] == kind]


def test_a_gan_learns_fidelity_first_and_goes_on_from_there(gan_run: Run) -> None:
    out = train(gan_run, "tiny")
    assert rows(out / "first", "train")[-1].keys() >= {"sr/l1"}
    assert rows(out, "train")[-1].keys() >= {"g/l1", "g/adversarial", "d/adversarial", "d/accuracy", "d/spread"}
    assert [rows(folder, "valid")[-1]["step"] for folder in (out / "first", out)] == [12, 12]
    about = load(out / "best.safetensors").provenance
    assert about["run"]["gan"]["critic"]["name"] == "patchgan"
    assert about["valid"]["model"]["step"] == 12
    assert {"drift", "lr_psnr", "psnr", "ssim", "spectrum_db"} <= about["valid"]["model"].keys()


def test_a_network_that_is_given_needs_no_first_stage(gan_run: Run) -> None:
    first = train(gan_run) / "first" / "best.safetensors"
    out = train(replace(gan_run, start=str(first), out=str(Path(gan_run.out).with_name("other"))))
    assert not (out / "first").exists()
    assert rows(out, "valid")[-1]["step"] == gan_run.steps


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_gan_that_is_stopped_in_either_stage_goes_on_as_if_it_had_not_been(
    stage: str, gan_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(replace(gan_run, out=str(Path(gan_run.out).with_name("whole"))))
    stopped_after(gan_run, 10 if stage == "first" else 5, monkeypatch)
    if stage == "second":
        monkeypatch.undo()
        stopped_after(replace(gan_run, resume="latest"), 10, monkeypatch)
    out = train(replace(gan_run, resume="latest"))
    assert digest(out) == digest(whole)
    assert record(out) == record(whole)


@pytest.mark.parametrize("step", [5, 10])
def test_a_cyclegan_that_is_stopped_goes_on_with_its_pools(
    step: int, cycle_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(replace(cycle_run, out=str(Path(cycle_run.out).with_name("whole"))))
    stopped_after(cycle_run, step, monkeypatch)
    saved = checkpoints.newest(Path(cycle_run.out))
    assert saved is not None
    assert len(saved.tensors["memories"]["pool_hr.images"]) == 6
    out = train(replace(cycle_run, resume="latest"))
    assert digest(out) == digest(whole)
    assert record(out) == record(whole)


def test_the_network_of_a_cyclegan_is_the_one_that_makes_hr(cycle_run: Run) -> None:
    out = train(cycle_run)
    network = load(out / "best.safetensors").model
    assert network(torch.zeros(1, 1, 8, 8)).shape[-1] == 16
    logged = rows(out, "train")[-1].keys()
    assert {f"d/{figure}_{side}" for figure in ("accuracy", "spread") for side in ("hr", "lr")} <= logged


def test_without_pairs_a_run_is_validated_by_what_must_hold(cycle_run: Run, tmp_path: Path, store: Path) -> None:
    source = tmp_path / "source"
    for side, step in (("hr", 1), ("lr", 2)):
        (source / side).mkdir(parents=True)
        for number, path in enumerate(sorted((store.parent / "slices").iterdir())):
            write_slice(source / side / f"{number:04}.png", np.asarray(Image.open(path))[::step, ::step])
    prepare(source, tmp_path / "unpaired", scale=2, layout="unpaired", split="none")
    out = train(replace(cycle_run, data=replace(cycle_run.data, store=str(tmp_path / "unpaired"))))
    (valid,) = rows(out, "valid")[-1:]
    assert {"lr_psnr", "drift", "mean_spectrum_db"} <= valid.keys()
    assert "psnr" not in valid
    with pytest.raises(ConfigError, match=r"validation\.metric must be last"):
        train(
            replace(
                cycle_run,
                data=replace(cycle_run.data, store=str(tmp_path / "unpaired")),
                validation=Validation(metric="psnr"),
                out=str(tmp_path / "other"),
            )
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child of each case is a fork")
@pytest.mark.parametrize("which", ["gan_run", "cycle_run"])
def test_two_processes_play_the_game_of_one(which: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(which)
    run = replace(run, steps=6, gan=replace(run.gan, first=0.0), optim=replace(run.optim, ema_decay=0.0))
    one, two = (replace(run, out=str(Path(run.out).with_name(name))) for name in ("one", "two"))
    assert ended(child(one)) == 0
    assert [ended(process) for process in pair(two)] == [0, 0]
    ours, theirs = (load_file(Path(each.out) / "last.safetensors") for each in (one, two))
    apart = {name: float((ours[name] - theirs[name]).abs().max()) for name in ours}
    assert max(apart.values()) <= 2e-6, apart
    assert max(apart.values()) > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"loss": Loss()}, "one weight of loss must be positive"),
        ({"optim": Optim(accumulate=2)}, r"optim\.accumulate must be 1 with the relativistic"),
        ({"first_scale": 2}, "first_scale must be 0 with gan"),
        ({"validation": Validation(metric="last", patience=3)}, r"validation\.patience must be 0"),
        ({"data": Data(patch=4)}, r"data\.patch must give the critic of HR 6 or more pixels, got 4"),
        ({"gan": Gan(critic=critic(layers=9))}, r"data\.patch must give the critic"),
        (
            {"gan": Gan(critic=complete(ModelSpec(name="vgg", arguments={"size": 64}), CRITICS))},
            "the critic of HR 64 pixels",
        ),
        ({"gan": Gan(critic=ModelSpec(name="unet"))}, "critic: model must be one of patchgan"),
        ({"gan": Gan(critic=critic(channels=3))}, "channels of a critic must be 1, the network's, got 3"),
        ({"gan": Gan(after=1, head_start=1)}, r"gan\.after or gan\.head_start must be 0, got 1 and 1"),
        ({"gan": Gan(head_start=12)}, r"gan\.head_start must be below the 12 steps of the game, got 12"),
        ({"gan": Gan(after=30, first=0.0)}, r"gan\.after must be below the 24 steps"),
        ({"cycle": Cycle(pool=3)}, "cycle must be left as it is where recipe is gan"),
        ({"recipe": "supervised"}, "gan must be left as it is where recipe is supervised"),
        (
            {"gan": Gan(objective="hinge", critic=critic(norm="batch")), "optim": Optim(accumulate=2)},
            r"optim\.accumulate must be 1 with batch norms in a critic, got 2",
        ),
    ],
)
def test_what_cannot_be_played_is_refused_before_there_is_a_folder(
    wrong: dict[str, object], said: str, gan_run: Run, store: Path
) -> None:
    run = replace(gan_run, **wrong)  # type: ignore[arg-type]  # by name
    run = replace(run, data=replace(run.data, store=str(store), batch=4))
    with pytest.raises(ConfigError, match=said):
        train(run)
    assert not Path(run.out).exists()


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        (Loss(l1=1.0, perceptual=1.0, feature_weights="/nowhere.safetensors"), FileNotFoundError),
        (Loss(l1=1.0, perceptual=1.0, features="rock", feature_weights="/nowhere.safetensors"), FileNotFoundError),
    ],
)
def test_weights_that_are_not_there_are_missed_before_the_first_stage(
    loss: Loss, error: type[Exception], gan_run: Run
) -> None:
    with pytest.raises(error, match="nowhere"):
        train(replace(gan_run, loss=loss))
    assert not Path(gan_run.out).exists()


def test_a_run_that_goes_on_must_start_where_it_started(gan_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_after(gan_run, 10, monkeypatch)
    with pytest.raises(ConfigError, match="start must be"):
        train(replace(gan_run, start="other.safetensors", resume="latest"))


def test_the_first_stage_is_chosen_by_the_metric_of_the_run(gan_run: Run) -> None:
    plain = first_run(gan_run, Path("out"))
    assert (plain.recipe, plain.loss, plain.gan, plain.validation.metric) == ("supervised", Loss(l1=1.0), Gan(), "psnr")
    by_ssim = replace(gan_run, validation=Validation(metric="ssim", patience=3, min_delta=0.002))
    assert first_run(by_ssim, Path("out")).validation == by_ssim.validation


def test_features_of_rock_are_learnt_once_and_are_the_runs_own(gan_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coresr_train.eyes.STEPS", 3)
    run = replace(gan_run, loss=Loss(l1=1.0, perceptual=0.1, features="rock"))
    whole = train(replace(run, out=str(Path(run.out).with_name("whole"))))
    digest_of = load(whole / "best.safetensors").provenance["features"]
    assert digest_of == sha256(whole / "rock.safetensors")
    stopped_after(run, 10, monkeypatch)  # of the first stage
    monkeypatch.setattr("coresr_train.eyes.STEPS", 3)
    stopped_after(replace(run, resume="latest"), 5, monkeypatch)
    monkeypatch.setattr("coresr_train.eyes.learn", None)
    out = train(replace(run, resume="latest"))
    assert digest(out) == digest(whole)
    (out / "rock.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="features of rock must lie in"):
        train(replace(run, resume="latest"))


def test_cyclegan_has_no_pairs_to_compare(cycle_run: Run) -> None:
    with pytest.raises(ConfigError, match="loss must be left out of cyclegan"):
        train(replace(cycle_run, loss=Loss(l1=1.0)))
    with pytest.raises(ConfigError, match="data must be without jitter, mixup"):
        train(replace(cycle_run, data=replace(cycle_run.data, jitter=0.1, mixup=0.2)))
