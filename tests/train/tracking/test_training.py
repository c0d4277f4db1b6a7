"""A run does not notice its trackers: the same weights and the same rows, whatever state they are in."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from coresr_train.run import train
from coresr_train.settings import Run, Tracking
from coresr_train.tracking import TrackerError, rows
from tests.train.tracking.conftest import Server

FREE = {"patches_per_second", "wait_share", "seconds"}
"""What no two runs have in common."""


def outcome(out: Path) -> tuple[str, list[dict[str, Any]]]:
    """The digest of the weights, and the record without times."""
    weights = load_file(out / "last.safetensors")
    digest = hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in sorted(weights)))
    return digest.hexdigest(), [{key: row[key] for key in row.keys() - FREE} for row in rows(out / "metrics.jsonl")]


@pytest.mark.parametrize("fault", ["", "refuses", "hangs", "500", "dies"])
def test_weights_and_rows_are_the_same_with_a_tracker_up_or_down(
    tiny_run: Run, tmp_path: Path, serve: Callable[..., Server], capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    short = replace(tiny_run, steps=10)
    alone = outcome(train(replace(short, out=str(tmp_path / "alone"))))
    server = serve(fault)
    capfd.readouterr()
    followed = train(replace(short, out=str(tmp_path / "told"), tracking=Tracking(to=("mlflow",))))
    assert outcome(followed) == alone
    warnings = [line for line in capfd.readouterr().err.splitlines() if "coresr: warning: tracker mlflow" in line]
    assert len(warnings) == bool(fault)
    kinds = [kind for kind, _ in server.told]
    assert kinds[:3] == {"": ["start", "config", "scalars"], "dies": ["start", "config", "scalars"]}.get(fault, [])
    if not fault:
        assert kinds[-2:] == ["artefact", "finish"]
        assert server.told[-1] == ("finish", False)
        told = {step: values for kind, (step, values) in server.told[2:-2] if kind == "scalars" and "sr/l1" in values}
        logged = {row["step"]: row["sr/l1"] for row in rows(followed / "metrics.jsonl") if row["kind"] == "train"}
        assert {step: values["sr/l1"] for step, values in told.items()} == logged


def test_a_run_that_must_be_tracked_ends_with_69_before_its_first_step(
    tiny_run: Run, serve: Callable[..., Server]
) -> None:
    serve("refuses")
    with pytest.raises(TrackerError) as raised:
        train(replace(tiny_run, tracking=Tracking(to=("mlflow",), required=True)))
    assert raised.value.exit_code == 69
    assert not (Path(tiny_run.out) / "metrics.jsonl").exists()
