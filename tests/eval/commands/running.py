"""The command `upscale` alone, here and in children that are killed, that are several, or that may take no more memory.

A child is a fork, so that its imports cost nothing, and computes on one thread.
"""

import os
import random
import resource
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from coresr_data import imresize
from coresr_data.cli import run
from coresr_eval.cli import Parser
from coresr_eval.commands import upscaling
from coresr_models import ModelSpec, Network, build, save
from coresr_models.build import Argument

KEPT = Path("/proc/self/status")
"""Where Linux says what a process holds."""


def main(*words: object) -> None:
    """`upscale` with these words."""
    parser = Parser(prog="coresr_eval")
    upscaling.add(parser.add_subparsers(required=True))
    options = parser.parse_args(["upscale", *map(str, words)])
    options.command(options)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """The exit code and the one line of a command that must fail."""
    with pytest.raises(SystemExit) as end:
        run(lambda: main(*words))
    said = capsys.readouterr().err
    assert said.startswith("coresr: error: ")
    assert said.count("\n") == 1
    assert isinstance(end.value.code, int)
    return end.value.code, said


def texture(seed: int, height: int, width: int) -> NDArray[np.float64]:
    """Grey structure of several pixels' size, in [0, 1]."""
    coarse = np.random.default_rng(seed).random((height // 3 + 2, width // 3 + 2))
    enlarged: NDArray[np.float64] = np.clip(imresize(coarse, 3), 0, 1)[:height, :width]
    return enlarged


SMALL: dict[str, dict[str, Argument]] = {
    "edsr": {"width": 4, "blocks": 1},
    "unet": {"width": 4, "depth": 2},
    "nafnet": {"width": 4, "blocks": 1},
}


def saved(path: Path, name: str = "edsr", **changes: Argument) -> Network:
    """A small network in which nothing is zero, as after training."""
    spec = ModelSpec(name=name, arguments={**SMALL[name], **changes})
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    save(path, network, spec, {})
    return network


def child(work: Callable[[], None], **environment: str) -> int:
    """Fork a process that does `work` on one thread; its process id. It ends with 0 where nothing was raised."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        torch.set_num_threads(1)
        os.environ |= environment
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        warnings.simplefilter("error")
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001  # a child must not go on with the parent's tests
        traceback.print_exc()
        code = getattr(error, "exit_code", 1)
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


@contextmanager
def no_more_memory_than(mib: float) -> Iterator[None]:
    """Within, this process may take so much more memory of its own; mapped files are not its own."""
    held = next(line for line in KEPT.read_text(encoding="ascii").splitlines() if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (int(held.split()[1]) * 1024 + int(mib * 2**20),) * 2)
    yield


def free_port() -> int:
    """One that nobody listens at, below those that systems hand out to whoever asks."""
    while True:
        port = random.SystemRandom().randrange(10_000, 30_000)
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)):
                return port
