"""The run folder: new or one to go on with, and one program's at a time.

RUN/run.toml              the resolved settings
RUN/metrics.jsonl         every logged step and every validation
RUN/events.jsonl          what was odd on the way: spikes of the loss, critics that have won or died,
                          gradients that are not finite
RUN/best.safetensors      averaged weights of the best validation, and best.json: which that was
RUN/last.safetensors      averaged weights of the last one
RUN/checkpoints/<step>/   what a resume needs
RUN/first/                the run folder of what is learnt first, where a run has two stages
RUN/rock.safetensors      features that were learnt from the training slices, for the perceptual loss
"""

import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from coresr_train.settings import Run

SETTINGS, METRICS, EVENTS, BEST = "run.toml", "metrics.jsonl", "events.jsonl", "best.json"
LOCK = ".lock"
BEFORE_SETTINGS = {LOCK, "phantom", "store"}
"""What a run that was killed before its settings were written may leave."""


class FolderError(OSError):
    """A run folder that cannot be made."""

    exit_code = 73


class BusyError(OSError):
    """Another program trains in the same folder."""

    exit_code = 75


@contextmanager
def claimed(run: Run, preset: str, accelerator: Accelerator) -> Iterator[Path]:
    """The folder of the run, held while the block lasts; every process hears of it or of the error.

    FileExistsError for a folder that holds something else, FolderError where none can be made, BusyError where
    another program trains in it.
    """
    told: list[Any] = [None, None]
    lock = None
    if accelerator.is_main_process:
        try:
            out = Path(run.out) if run.out else _first_free(preset)
            if (out / LOCK).exists():  # who is busy there says so first
                os.close(_locked(out))
            _make(out, resumed=bool(run.resume))
            lock = _locked(out)
            told = [str(out), None]
        except OSError as error:
            told = [None, error]
    broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    try:
        yield Path(told[0])
    finally:
        if lock is not None:
            os.close(lock)


def _first_free(preset: str) -> Path:
    return next(path for n in count(1) if not (path := Path("runs") / f"{preset}-{n}").exists())


def _make(out: Path, *, resumed: bool) -> None:
    if out.is_dir() and (names := {path.name for path in out.iterdir()}):
        if not resumed:
            raise FileExistsError(
                f"run folder must be new or empty, got {out}; choose another --out, go on in it with --resume, "
                "or remove it"
            )
        if SETTINGS not in names and any(name not in BEFORE_SETTINGS and not name.startswith(".") for name in names):
            raise FileExistsError(f"run folder to resume must be of a run, got {out} without {SETTINGS}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"run folder must be one that can be made, got {out}: {error.strerror}") from error


def _locked(out: Path) -> int:
    """An open lock that goes with its owner, however that ends; who holds it is written in it."""
    path = out / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise FolderError(f"run folder must be one to write in, got {out}: {error.strerror}") from error
    try:
        import fcntl  # the system may have none
    except ImportError:
        return handle
    try:
        # not flock: that would be held by forked data workers after their owner was killed
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        try:
            owner = json.loads(os.pread(handle, 4096, 0))
            said = "process {process} of {host} since {since}".format(**owner)
        except (ValueError, KeyError, TypeError):
            said = "another program"
        os.close(handle)
        raise BusyError(f"run folder must be free, got {out}, where {said} trains; choose another --out") from None
    except OSError as error:
        warnings.warn(f"run folder {out} cannot be locked: {error.strerror}; let no other run use it", stacklevel=4)
    owner = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(owner).encode(), 0)
    return handle
