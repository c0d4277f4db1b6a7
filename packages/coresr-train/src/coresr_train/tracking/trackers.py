"""A run told to trackers: behind a queue each, so that none of them can slow, change or end it."""

import contextlib
import importlib
import json
import logging
import os
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray

from coresr_train.settings import ConfigError, Run
from coresr_train.tracking.adapters import ADAPTERS, Adapter, Plain, plain
from coresr_train.tracking.courier import Courier
from coresr_train.tracking.record import write_whole

IDENTITIES = "trackers.json"
"""In the run folder: what each tracker calls the run, by which a resumed run goes on in the same place."""
START_SECONDS = 60.0
"""A tracker that must be reached may take this long: MLflow makes its database in ten."""
CLOSE_SECONDS = 10.0
NOISY = ("alembic", "mlflow", "urllib3", "wandb")
"""Loggers that tell of an outage once more, at every attempt."""


class TrackerError(ConnectionError):
    """A tracker that the run must have cannot be reached."""

    exit_code = 69


def refuse_missing(run: Run) -> None:
    """ConfigError where a tracker's library is not installed, or `tracking.uri` holds a password."""
    missing = [name for name in run.tracking.to if not _installed(name)]
    if "mlflow" in run.tracking.to and not run.tracking.uri and not _installed("sqlalchemy"):
        missing.append("mlflow")  # its light edition knows servers alone
    if missing:
        extras = ",".join(dict.fromkeys(missing))
        raise ConfigError(
            f"tracking.to must name installed trackers, got {', '.join(run.tracking.to)}; "
            f"install the missing with: pip install 'coresr-train[{extras}]'"
        )
    if urllib.parse.urlsplit(run.tracking.uri).username is not None:
        raise ConfigError(
            "tracking.uri must hold no password, for it is saved with the run, got one; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment instead"
        )


def _installed(library: str) -> bool:
    found = find_spec(library)
    return found is not None and found.origin is not None  # a folder of that name, such as W&B's own, has none


class Trackers:
    """Tells the trackers in `run.tracking.to` of a run; only the main process does, the others do nothing.

    `about` is sent along with the settings, such as the dataset's hash. Each tracker has a queue and a thread of its
    own: nothing here waits for it, and an outage costs one line on stderr. With `tracking.required`, every process
    gets a TrackerError (exit code 69) where one cannot be started.
    """

    def __init__(self, run: Run, about: Mapping[str, Any], accelerator: Accelerator) -> None:
        self._channels: list[_Channel] = []
        self._quiet = contextlib.ExitStack()
        if not run.tracking.to:
            return
        if accelerator.is_main_process:
            self._start(run, about)
        if run.tracking.required:
            self._refuse_unreachable()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name, at an optimizer step; steps never go back within a start."""
        kept = {name: float(value) for name, value in values.items()} if self._channels else {}
        for one in self._channels:
            one.courier.post(partial(one.log, step, kept))

    def images(self, step: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        """Grey images (h, w) in 0…255 by caption, copied."""
        kept = {name: np.array(picture) for name, picture in pictures.items()} if self._channels else {}
        for one in self._channels:
            one.courier.post(partial(one.images, step, kept), sum(picture.nbytes for picture in kept.values()))

    def artefact(self, path: Path) -> None:
        """A file that must stay as it is until `close`. TensorBoard, which keeps no files, notes its name."""
        for one in self._channels:
            one.courier.post(partial(one.artefact, path))

    def close(self, *, failed: bool = False) -> None:
        """End the run at the trackers, in ten seconds at most, a second where they do not answer; once is enough."""
        for one in self._channels:
            one.courier.post(partial(one.finish, failed))
            one.courier.end()
        until = time.monotonic() + CLOSE_SECONDS
        for one in self._channels:
            one.courier.wait(until)
        self._channels = []
        self._quiet.close()

    def _start(self, run: Run, about: Mapping[str, Any]) -> None:
        config = plain({"run": asdict(run), **about})
        identities = _Identities(Path(run.out) / IDENTITIES)
        for name in run.tracking.to:
            self._quiet.enter_context(_environment(ADAPTERS[name].environment))
            # here, for an import under way in a thread is a lock that a forked data worker never sees opened;
            # one that fails fails again in the thread, which tells of it
            with contextlib.suppress(Exception):
                importlib.import_module("torch.utils.tensorboard" if name == "tensorboard" else name)
        for logger in NOISY:
            self._quiet.enter_context(_silent(logger))
        self._channels = [_Channel(name, run, config, identities) for name in run.tracking.to]

    def _refuse_unreachable(self) -> None:
        until = time.monotonic() + START_SECONDS
        told: list[dict[str, str]] = [
            {one.name: one.courier.unreachable(max(0.0, until - time.monotonic())) for one in self._channels}
        ]
        broadcast_object_list(told)
        refused = "; ".join(f"{name}: {why}" for name, why in told[0].items() if why)
        if refused:
            for one in self._channels:
                one.courier.end()
            self._quiet.close()
            raise TrackerError(
                f"trackers must be reached, as tracking.required says, got {refused}; "
                "mend the connection, or leave tracking.required out"
            )


class _Channel:
    """One tracker and its courier. The methods are jobs: they run in the courier's thread."""

    def __init__(self, name: str, run: Run, config: Mapping[str, Plain], identities: "_Identities") -> None:
        self.name = name
        self._adapter: Adapter = ADAPTERS[name]
        self._run, self._config, self._identities = run, config, identities
        self._tracker: Any = None
        self._resumed = False
        self.courier = Courier(name, self._start)

    def _start(self) -> None:
        if self._tracker is None:
            known = self._identities.get(self.name)
            self._resumed = bool(known)
            self._tracker = self._adapter.start(self._run, known)
            self._identities.put(self.name, self._adapter.identity(self._tracker))
        self._adapter.config(self._tracker, dict(self._config), self._resumed)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._tracker.log(dict(values), step=step)

    def images(self, step: int, pictures: Mapping[str, NDArray[np.uint8]]) -> None:
        self._adapter.images(self._tracker, step, pictures)

    def artefact(self, path: Path) -> None:
        self._adapter.artefact(self._tracker, path)

    def finish(self, failed: bool) -> None:
        self._adapter.finish(self._tracker, failed)


class _Identities:
    """What each tracker calls the run, kept in the run folder."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._known: dict[str, str] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):  # a damaged file costs a new run at the tracker
            read = json.loads(path.read_bytes())
            self._known = {name: str(value) for name, value in read.items()} if isinstance(read, dict) else {}

    def get(self, name: str) -> str:
        return self._known.get(name, "")

    def put(self, name: str, identity: str) -> None:
        with self._lock:
            if self._known.get(name) != identity:
                self._known[name] = identity
                write_whole(self._path, json.dumps(self._known, indent=2).encode() + b"\n")


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str | None]) -> Iterator[None]:
    """Variables of the environment within the block, but for those that are set; all are put back after it."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update({name: value for name, value in wanted.items() if value is not None and before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _silent(logger: str) -> Iterator[None]:
    one = logging.getLogger(logger)
    before = one.level
    one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        one.setLevel(before)
