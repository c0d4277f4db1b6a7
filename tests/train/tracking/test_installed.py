"""The real TensorBoard, trackio and W&B, without a network. Run `nox -s trackers`."""

import contextlib
import json
import os
import sqlite3
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from PIL import Image

from coresr_train.settings import Run, Tracker, Tracking
from coresr_train.tracking import Trackers, trackers

pytestmark = pytest.mark.filterwarnings("ignore")  # of their libraries

BLOCK = 32768
PICTURE = np.arange(24, dtype=np.uint8).reshape(4, 6)


def needs(library: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(library) is None, reason=f"{library} is not installed; run nox -s trackers")


@pytest.fixture
def tell(
    tiny_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Tracker, range], Path]:
    """Tell a tracker of a run that is resumed for as many ranges of steps as are given; its folder."""
    Path(tiny_run.out).mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(trackers, "CLOSE_SECONDS", 120.0)  # a busy machine takes its time

    def told(name: Tracker, steps: range) -> Path:
        out = Path(tiny_run.out)
        (out / "last.safetensors").write_bytes(b"weights")
        run, before = replace(tiny_run, tracking=Tracking(to=(name,), project="rocks")), dict(os.environ)
        one = Trackers(run, {"data": {"sha256": "abc"}}, Accelerator(cpu=True))
        for step in steps:
            one.scalars(step, {"sr/l1": 1 / step, "diverged": float("nan")})
        one.images(steps[-1], {"slice 3: SR": PICTURE})
        one.artefact(out / "last.safetensors")
        one.close()
        assert capfd.readouterr().err == ""
        assert dict(os.environ) == before
        assert list((tmp_path / "elsewhere").iterdir()) == []
        return out

    return told


@needs("tensorboard")
def test_tensorboard_reads_scalars_and_grey_images_back(tell: Callable[[Tracker, range], Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell("tensorboard", range(1, 6))
    out = tell("tensorboard", range(6, 11))
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("sr/l1")] == [
        (step, pytest.approx(1 / step)) for step in range(1, 11)
    ]
    images = events.Images("slice 3: SR")
    assert [one.step for one in images] == [5, 10]
    (out / "image.png").write_bytes(images[0].encoded_image_string)
    with Image.open(out / "image.png") as image:
        assert np.array_equal(np.asarray(image), np.repeat(PICTURE[:, :, None], 3, axis=2))
    (settings,) = (out / "tensorboard").rglob("hparams.yml")
    assert "data.sha256: abc" in settings.read_text()


@needs("trackio")
def test_trackio_keeps_a_resumed_run_in_one_place(
    tell: Callable[[Tracker, range], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "trackio"
    monkeypatch.setenv("TRACKIO_DIR", str(folder))  # it is read at the first import, which no other test does
    tell("trackio", range(1, 6))
    out = tell("trackio", range(6, 11))
    (name,) = json.loads((out / trackers.IDENTITIES).read_text()).values()
    with contextlib.closing(sqlite3.connect(folder / "rocks.db")) as database:
        rows = database.execute("SELECT step, metrics FROM metrics WHERE run_name = ?", (name,)).fetchall()
        ((settings,),) = database.execute("SELECT config FROM configs").fetchall()
        artefacts = database.execute("SELECT producer_run_name FROM artifact_versions").fetchall()
    kept = [(step, json.loads(values)) for step, values in rows]
    assert {step: row["sr/l1"] for step, row in kept if "sr/l1" in row} == {step: 1 / step for step in range(1, 11)}
    assert [step for step, row in kept if "slice 3: SR" in row] == [5, 10]
    assert json.loads(settings)["data.sha256"] == "abc"
    assert (name,) in artefacts


@needs("wandb")
def test_wandb_offline_holds_scalars_images_settings_and_the_artefact(
    tell: Callable[[Tracker, range], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_FINISH_TIMEOUT", "120")  # a busy machine takes its time
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "120")
    out = tell("wandb", range(1, 6))
    (log,) = (out / "wandb").glob("offline-run-*/*.wandb")
    until = time.monotonic() + 60
    while not any(one.HasField("exit") for one in wandb_records(log)):  # its service writes behind us
        assert time.monotonic() < until
        time.sleep(0.1)
    records = wandb_records(log)
    history = [
        {item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json) for item in one.history.item}
        for one in records
        if one.HasField("history")
    ]
    assert {row["_step"]: row["sr/l1"] for row in history if "sr/l1" in row} == {n: 1 / n for n in range(1, 6)}
    assert any("slice 3: SR" in row for row in history)
    settings = {item.key: item.value_json for one in records for item in one.config.update}
    assert settings["data.sha256"] == '"abc"'
    artefacts = [one.request.log_artifact.artifact.name for one in records] + [one.artifact.name for one in records]
    assert any(name.startswith("last-") for name in artefacts)


def wandb_records(log: Path) -> list[Any]:
    """The records of W&B's file: seven bytes of its own, then the log format of LevelDB."""
    from wandb.proto import wandb_internal_pb2

    content, place, part, records = log.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if place + 7 + length > len(content):  # still being written
            break
        part += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in {1, 4}:  # whole, or the last of several
            records.append(wandb_internal_pb2.Record.FromString(part))
            part = b""
    return records
