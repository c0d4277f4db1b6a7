import math
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from coresr_data import Paired, open_store
from coresr_models import load
from coresr_train import checkpoints, feed
from coresr_train.feed import WorkerError
from coresr_train.loop import Step
from coresr_train.progress import Progress
from coresr_train.run import train
from coresr_train.settings import Run
from tests.train.crashing import child, ended


def with_a_worker_that(act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Paired.__getitem__

    def served(self: Paired, number: int) -> dict[str, torch.Tensor]:
        if number >= 20 and get_worker_info() is not None:
            if act == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return real(self, number)

    monkeypatch.setattr(Paired, "__getitem__", served)


@pytest.mark.parametrize("act", ["dies", "hangs"])
def test_a_data_worker_that_ends_or_hangs_ends_the_run_and_is_named(
    act: str, tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_worker_that(act, monkeypatch)
    monkeypatch.setattr(feed, "WORKER_TIMEOUT", 2)
    started = time.monotonic()
    with pytest.raises(WorkerError, match=r"at step \d.*\(samples \d+ to \d+\).*lower data\.workers"):
        train(replace(tiny_run, steps=30, data=replace(tiny_run.data, workers=1)))
    assert time.monotonic() - started < 20
    assert WorkerError.exit_code == 71


def test_a_data_worker_that_ends_while_a_step_is_computed_is_named_too(
    tiny_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_worker_that("dies", monkeypatch)
    real = Progress.step

    def slow(self: Progress, step: Step, *, last: bool) -> None:
        time.sleep(0.5)
        real(self, step, last=last)

    monkeypatch.setattr(Progress, "step", slow)
    with pytest.raises(WorkerError, match=r"lower data\.workers"):
        train(replace(tiny_run, steps=30, data=replace(tiny_run.data, workers=1)))


def test_a_signal_to_the_whole_group_takes_no_worker_away_before_all_is_saved(tiny_run: Run) -> None:
    run = replace(tiny_run, steps=10_000, data=replace(tiny_run.data, workers=2))
    process = child(run)
    os.setpgid(process, process)
    out, until = Path(run.out) / "metrics.jsonl", time.monotonic() + 60
    while not out.exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process, signal.SIGTERM)
    assert ended(process) == 143
    assert checkpoints.newest(Path(run.out)) is not None


def test_the_canary_is_of_the_first_samples_and_the_seed(tiny_run: Run) -> None:
    store = open_store(Path(tiny_run.data.store)).at(2)
    one, same, other = (
        feed.canary(feed.patches(run, store)) for run in (tiny_run, tiny_run, replace(tiny_run, seed=1))
    )
    assert one == same != other


def test_a_network_may_see_slices_of_mean_0_and_deviation_1(tiny_run: Run) -> None:
    run = replace(tiny_run, data=replace(tiny_run.data, normalise=True))
    spec = load(train(run) / "best.safetensors").spec
    store = open_store(Path(run.data.store))
    grey = np.concatenate([store.hr(core)[row].ravel() for core, row in store.rows("train")]) / 255
    assert math.isclose(spec.mean, grey.mean(), rel_tol=1e-6)
    assert math.isclose(spec.std, grey.std(), rel_tol=1e-6)


def test_otherwise_it_sees_them_as_they_are(tiny_run: Run) -> None:
    spec = load(train(tiny_run) / "best.safetensors").spec
    assert (spec.mean, spec.std) == (0.0, 1.0)
