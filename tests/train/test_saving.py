import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from coresr_train import checkpoints
from coresr_train.ema import averaged
from coresr_train.presets import quick_x2
from coresr_train.saving import SECONDS, Saving
from coresr_train.settings import Run
from coresr_train.state import Training


def training() -> Training:
    net = nn.Linear(2, 1)
    return Training(
        nets={"generator": net},
        averages={"generator": averaged(net, 0.9)},
        optimizers={"sr": torch.optim.AdamW(net.parameters())},
        memories={},
        counting={},
        accelerator=Accelerator(cpu=True),
    )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return replace(quick_x2(), out=str(tmp_path))


def test_every_so_many_steps(run: Run) -> None:
    saving = Saving(replace(run, save_every=4), training(), {}, 0)
    assert [step for step in range(1, 13) if saving.due(step)] == [4, 8, 12]


def test_or_every_ten_minutes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    saving = Saving(run, training(), {}, 0)
    due = []
    for step in range(1, 101):
        now[0] += SECONDS / 25
        if saving.due(step):
            due.append(step)
            saving(step, best=0, unvalidated=False)
    assert due == [30, 60, 90]


def test_the_newest_the_best_and_the_one_it_was_resumed_from_stay(run: Run) -> None:
    saving = Saving(replace(run, keep=2), training(), {"run": {"seed": 7}}, 3)
    for step in range(3, 9):
        saving(step, best=5, unvalidated=False)
    assert checkpoints.steps(Path(run.out)) == [3, 5, 7, 8]
    assert "seed = 7" in (Path(run.out) / "run.toml").read_text()


def test_what_it_is_about_is_saved_with_it(run: Run) -> None:
    Saving(run, training(), {"run": {"seed": 7}}, 0)(2, best=0, unvalidated=True)
    saved = checkpoints.newest(Path(run.out))
    assert saved is not None
    assert (saved.state["about"], saved.state["unvalidated"]) == ({"run": {"seed": 7}}, True)


def test_a_disk_that_is_full_is_heard_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Path:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(checkpoints, "write", full)
    with pytest.raises(OSError, match="full"):
        Saving(run, training(), {}, 0)(2, best=0, unvalidated=False)
