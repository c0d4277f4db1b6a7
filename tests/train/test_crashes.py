"""Whatever kills a run, and whenever: it goes on to the same weights and the same record."""

import errno
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from coresr_models import ModelSpec, complete
from coresr_train import checkpoints
from coresr_train.progress import Progress
from coresr_train.settings import Data, Loss, Optim, Run, Validation
from tests.train.crashing import KILLED, Broken, Fault, child, die, die_after, ended, free_port, shared_memory
from tests.train.forgetful import FORGETFUL, TRAINERS
from tests.train.test_resuming import digest, record

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="a child of each case is a fork")

KILLS = 30


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=shared_memory(tmp_path)) as folder:
        yield Path(folder)


@pytest.fixture
def run(store: Path, place: Path) -> Run:
    """Eight steps with four checkpoints, two validations and a row, in a tenth of a second."""
    spec = complete(ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1, "tail": "direct"}))
    return Run(
        model=spec,
        data=Data(store=str(store), patch=16, batch=16, noise_std=0.01),
        loss=Loss(l1=1.0, mse=1.0),
        optim=Optim(learning_rate=1e-3, warmup_epochs=0.1),
        validation=Validation(slices=1, patience=50),
        out=str(place / "run"),
        steps=8,
        save_every=2,
        precision="fp32",
        resume="latest",
    )


def whole(run: Run, within: Broken | None = None) -> tuple[str, Any]:
    """What a run that nothing disturbs ends with."""
    out = str(Path(run.out).with_name("whole"))
    assert ended(child(replace(run, out=out), within=within)) == 0
    return result(Path(out))


def result(out: Path) -> tuple[str, Any]:
    return digest(out), record(out)


def calls_of(run: Run) -> int:
    """How often an undisturbed run calls the file system."""
    out = Path(run.out).with_name("counted")
    fault = Fault(0, die)

    @contextmanager
    def counting() -> Iterator[None]:
        with fault.installed():
            yield
        (out / "calls").write_text(str(fault.calls))

    assert ended(child(replace(run, out=str(out)), within=counting)) == 0
    return int((out / "calls").read_text())


def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(run: Run) -> None:
    expected, out, rng = whole(run), Path(run.out), random.Random(0)  # noqa: S311  # moments, not secrets
    started = time.monotonic()
    assert ended(child(replace(run, out=str(out.with_name("timed"))))) == 0
    length = time.monotonic() - started
    kills = late = finished = 0
    while kills < KILLS or late < KILLS / 2 or not finished:
        process = child(run)
        time.sleep(rng.uniform(0.2, 1.0) * length)
        os.kill(process, signal.SIGKILL)
        if ended(process) != 0:
            kills += 1
            late += bool(checkpoints.steps(out))
            continue
        assert result(out) == expected
        finished += 1
        shutil.rmtree(out)


@pytest.mark.parametrize("how", [die, die_after])
def test_killed_at_every_call_of_the_file_system_a_run_goes_on_to_the_same_end(
    how: Callable[..., Any], run: Run
) -> None:
    expected, calls = whole(run), calls_of(run)
    assert calls > 60
    for numbers in both_cores(calls):
        runs = {number: replace(run, out=f"{run.out}-{number}") for number in numbers}
        dying = [(one, Fault(number, how).installed) for number, one in runs.items()]
        assert ended_at_once(dying) == [KILLED] * len(runs), numbers
        assert ended_at_once([(one, None) for one in runs.values()]) == [0] * len(runs), numbers
        for number, one in runs.items():
            assert result(Path(one.out)) == expected, number
            shutil.rmtree(one.out)


def both_cores(most: int) -> Iterator[list[int]]:
    """The numbers from 1, two at a time."""
    for first in range(1, most + 1, 2):
        yield [number for number in (first, first + 1) if number <= most]


def ended_at_once(runs: Sequence[tuple[Run, Broken | None]]) -> list[int]:
    """Each on a core of its own; their exit codes."""
    processes = [child(run, within=within, core=core) for core, (run, within) in enumerate(runs)]
    return [ended(process) for process in processes]


def no_space(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_disk(first: int, last: int) -> Iterator[None]:
    """The calls of `os.write` from `first` to `last` find no space."""
    real, seen = os.write, [0]

    def write(handle: int, data: bytes) -> int:
        seen[0] += 1
        return no_space() if first <= seen[0] <= last else real(handle, data)

    with mock.patch.object(os, "write", write):
        yield


@pytest.mark.parametrize("lasting", [False, True])
def test_a_full_disk_ends_the_run_with_74_and_with_space_it_goes_on_to_the_same_end(lasting: bool, run: Run) -> None:
    expected = whole(run)
    ends = []
    for numbers in both_cores(36):
        full = {number: replace(run, out=f"{run.out}-{number}") for number in numbers}
        faults = {number: partial(full_disk, number, 10**9 if lasting else number) for number in numbers}
        ends += ended_at_once([(one, faults[number]) for number, one in full.items()])
        assert not [left for one in full.values() for left in Path(one.out).rglob(".tmp-*")], numbers
        assert ended_at_once([(one, None) for one in full.values()]) == [0] * len(full), numbers
        for number, one in full.items():
            assert result(Path(one.out)) == expected, number
            shutil.rmtree(one.out)
    assert set(ends) <= {0, 74}
    assert ends.count(74) > 20


def pair(run: Run, faults: tuple[Any, Any] = (None, None)) -> list[int]:
    port = free_port()
    return [child(run, within=fault, core=rank, rank=rank, world=2, port=port) for rank, fault in enumerate(faults)]


@contextmanager
def at_step(step: int, number: signal.Signals) -> Iterator[None]:
    """The process sends itself a signal within a step."""
    real = Progress.step

    def stepped(self: Progress, one: Any, *, last: bool) -> None:
        if one.number == step:
            os.kill(os.getpid(), number)
        real(self, one, last=last)

    with mock.patch.object(Progress, "step", stepped):
        yield


def of_two(run: Run) -> tuple[str, Any]:
    out = Path(run.out).with_name("two")
    assert [ended(one) for one in pair(replace(run, out=str(out)))] == [0, 0]
    return result(out)


def test_one_of_two_is_asked_to_stop_and_both_save_the_same_step(run: Run) -> None:
    expected = of_two(run)
    asked = partial(at_step, 5, signal.SIGTERM)
    assert [ended(one) for one in pair(run, (None, asked))] == [143, 143]
    assert checkpoints.steps(Path(run.out))[-1] == 5
    assert [ended(one) for one in pair(run)] == [0, 0]
    assert result(Path(run.out)) == expected


def test_one_of_two_is_killed_and_the_other_ends_soon(run: Run) -> None:
    expected = of_two(run)
    killed = partial(at_step, 5, signal.SIGKILL)
    survivor, victim = pair(run, (None, killed))
    assert ended(victim) == -signal.SIGKILL
    assert ended(survivor, within=15) not in {0, 143}
    assert [ended(one) for one in pair(run)] == [0, 0]
    assert result(Path(run.out)) == expected


def test_a_run_of_two_goes_on_as_one_with_the_same_data_and_almost_the_same_weights(run: Run) -> None:
    asked = partial(at_step, 4, signal.SIGTERM)
    assert [ended(one) for one in pair(run, (asked, None))] == [143, 143]
    assert ended(child(run)) == 0
    whole(run)
    one, other = (checkpoints.newest(Path(run.out).with_name(name)) for name in ("run", "whole"))
    assert one is not None
    assert other is not None
    away = [(one.tensors["nets"][key] - other.tensors["nets"][key]).abs().max() for key in one.tensors["nets"]]
    assert 0 < max(away) < 1e-5


def misses(run: Run, broken: Broken, expected: tuple[str, Any], numbers: range) -> int:
    """In how many of these crashes the run does not go on to the same end, or has lost its checkpoints."""
    out, missed = Path(run.out), 0
    for number in numbers:

        @contextmanager
        def dying(number: int = number) -> Iterator[None]:
            with broken(), Fault(number, die_after).installed():
                yield

        ended(child(run, within=dying))
        metrics = out / "metrics.jsonl"
        lost = metrics.exists() and "valid" in metrics.read_text() and not checkpoints.steps(out)
        code = ended(child(run, within=broken))
        try:
            missed += code != 0 or lost or result(out) != expected
        except (ValueError, OSError, AssertionError, UserWarning):
            missed += 1
        shutil.rmtree(out)
    return missed


@pytest.mark.parametrize("name", ["sound", "sound_with_noise", *FORGETFUL])
def test_a_trainer_that_forgets_is_seen(name: str, run: Run) -> None:
    broken, sound = TRAINERS[name]
    expected, calls = whole(run, sound), calls_of(run)
    missed = misses(run, broken, expected, range(calls // 2, calls, 6))
    assert bool(missed) == (name in FORGETFUL)
