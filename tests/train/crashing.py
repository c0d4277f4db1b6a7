"""Children that train and die: at a call, at a moment, by a signal. Each is a fork, so that imports cost nothing."""

import io
import os
import random
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # every optimizer imports it: three seconds that the children shall not spend
from tqdm import tqdm

from coresr_train.run import train
from coresr_train.settings import Run

KILLED = 137
CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
Broken = Callable[[], Any]


class Fault:
    """Does something to the n-th call of the file system, counted from 1; 0 never."""

    def __init__(self, at: int, act: Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]) -> None:
        self.at, self.act, self.calls = at, act, 0

    def __call__(self, name: str, real: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if not _writes(name, arguments):
            return real(*arguments, **named)
        self.calls += 1
        return self.act(name, real, arguments) if self.calls == self.at else real(*arguments, **named)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand at every call that changes a file or a folder."""
        with ExitStack() as stack:
            for module, name in [*((os, name) for name in CALLS), (io, "open")]:
                real = getattr(module, name)
                stack.enter_context(mock.patch.object(module, name, self._standing_at(name, real)))
            yield

    def _standing_at(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments, **named: self(name, real, *arguments, **named)


def _writes(name: str, arguments: tuple[Any, ...]) -> bool:
    if name != "open":
        return True
    how = arguments[1] if len(arguments) > 1 else "r"
    return bool(how & (os.O_WRONLY | os.O_RDWR)) if isinstance(how, int) else any(c in how for c in "wax+")


def die(name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """End before the call."""
    del name, real, arguments
    os._exit(KILLED)


def die_after(name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """End with the call done, a write by half."""
    if name == "write":
        arguments = (arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
    try:
        real(*arguments)
    finally:
        os._exit(KILLED)


def child(
    run: Run, *, within: Broken | None = None, core: int = 0, rank: int = 0, world: int = 1, port: int = 0
) -> int:
    """Fork a process that trains on one core, within the context that `within` makes; its process id."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
        torch.set_num_threads(1)
        tqdm.set_lock(threading.RLock())  # its own is one for all forks, and one that is killed may hold it for ever
        warnings.simplefilter("ignore")
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        if not os.environ.get("CORESR_TRACEBACK"):
            os.dup2(quiet, 2)
        if world > 1:
            os.environ |= {"ACCELERATE_USE_CPU": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)}
            os.environ |= {"WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": "1"}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        with ExitStack() as stack:
            if within is not None:
                stack.enter_context(within())
            train(run)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:  # noqa: BLE001  # a child must not go on with the parent's tests
        traceback.print_exc()
        code = getattr(error, "exit_code", 74 if isinstance(error, OSError) else 1)
    finally:
        os._exit(code)


def ended(process: int, within: float = 60.0) -> int:
    """The exit code of a child, minus the signal that killed it; it is killed where it takes longer than `within`."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise TimeoutError(f"a child must end within {within} s")


def free_port() -> int:
    """One that nobody listens at, below those that systems hand out to whoever asks."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)):
                return port


def shared_memory(fallback: Path) -> Path:
    """A folder whose flushes cost nothing, if there is one."""
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else fallback  # noqa: S108  # by tempfile within
