"""One process for each contender, which loads nothing else and whose memory is managed in a declared way.

What a process has allocated before changes how fast it gets memory. A young process gives BasicSR's colour images of a
few MiB back to the system after every pair, and each page has to be mapped again for the next: that can double its
time. One that has held more, as a process that trains has, keeps them. So every contender's process keeps its memory,
and BasicSR is shown in a young one beside. (Said to glibc alone; elsewhere both are the same.)
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
import torch

from bench.peers.contenders import Contender, Files
from bench.peers.origin import check

CHECKED = 24
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**28)}
"""Bytes: larger blocks are mapped apart, and more free memory at the end of the heap is given back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one sample took, milliseconds, on average over a round."""

    wall_ms: float
    cpu_ms: float
    """Time of this process on the core, which leaves out what others took of it."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A contender in its process, waiting to be asked."""

    contender: Contender
    pipe: Connection
    symmetries: int
    """How many of the eight its checked samples showed."""

    def time(self, first: int, count: int) -> Round:
        """Let it load samples `first` to `first + count - 1`."""
        self.pipe.send((first, count))
        answer: Round = self.pipe.recv()
        return answer


def one_core() -> None:
    """Keep this process and those it starts to one core, where the system can, and to one thread of each library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1")


@contextmanager
def started(contenders: list[Contender], files: Files) -> Iterator[list[Worker]]:
    """Every contender in a process of its own, its first samples checked; they end with the block.

    RuntimeError where one cannot be made or does not load what it must.
    """
    context = get_context("spawn")
    with ExitStack() as stack:
        waiting = []
        for contender in contenders:
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(contender, files, there), daemon=True)
            with _environment({} if contender.young else KEEPING):
                process.start()
            there.close()
            stack.callback(process.join)
            stack.callback(here.close)
            waiting.append((contender, here))
        yield [Worker(contender, here, _checked(contender, here, files)) for contender, here in waiting]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _checked(contender: Contender, pipe: Connection, files: Files) -> int:
    """How many symmetries its first samples show. Looked at here, so that the worker never holds all pixels."""
    store = files.store()
    core = store.manifest.cores[0]
    hr, lr = np.asarray(store.hr(core)), np.asarray(store.lr(core))
    try:
        return len({check(contender, pipe.recv(), hr, lr).symmetry for _ in range(CHECKED)})
    except EOFError:
        raise RuntimeError(f"{contender.name} must load pairs, got a failure; it is printed above") from None


def _serve(contender: Contender, files: Files, pipe: Connection) -> None:
    torch.set_num_threads(1)
    load = contender.make(files)
    for number in range(CHECKED):
        low, high = load(number)
        pipe.send((low.numpy(), high.numpy()))
    while True:
        try:
            first, count = pipe.recv()
        except EOFError:  # the block ended
            return
        wall, cpu = time.perf_counter(), time.process_time()
        for number in range(first, first + count):
            load(number)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        pipe.send(Round(wall_ms=1e3 * wall / count, cpu_ms=1e3 * cpu / count))
