"""Work shared out to several processes: all compute, the first alone writes what the others send it.

They are those of `accelerate launch` or `torchrun`, which say by the environment who is who:
`accelerate launch --multi_gpu --num_processes 4 -m coresr_eval upscale …`, on a CPU with `ACCELERATE_USE_CPU=1` before
it, without which accelerate 1.15 starts one process alone. Everything goes over gloo, which every machine has; what is
sent is grey levels, in a small part of the time that it took to compute them.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import distributed

from coresr_data.output.sinks import Tile
from coresr_data.volume import Levels

Compute = Callable[[Tile], tuple[Levels, int]]
"""The levels of a tile, and a count that goes with them."""
PATIENCE = timedelta(hours=24)
"""That one process waits for another that still lives: a slice may take hours."""
EVERY = 10.0
"""Seconds between two lines of progress."""


class Processes(NamedTuple):
    """Which of how many this process is."""

    rank: int = 0
    world: int = 1


class PeerLostError(OSError):
    """Another process is gone."""

    exit_code = 76


@contextmanager
def together() -> Iterator[Processes]:
    """Who is who among the processes that were started together, each on a GPU of its own where there are several."""
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    if world == 1:
        yield Processes()
        return
    distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Processes(rank, world)
    finally:
        distributed.destroy_process_group()


def shared(
    processes: Processes, units: Sequence[Sequence[Tile]], compute: Compute, dtype: DTypeLike
) -> Iterator[tuple[Tile, Levels, int]]:
    """In the first process: every tile of every unit with its levels and count, computed here or by another in turn."""
    if processes.world > 1:
        _announce(units)
    progress = _Progress(sum(map(len, units)))
    for first in range(0, len(units), processes.world):
        for rank, unit in enumerate(units[first : first + processes.world]):
            for tile in unit:
                yield (tile, *(_received(tile, rank, dtype) if rank else compute(tile)))
                progress.step()


def compute_for(processes: Processes, compute: Compute) -> None:
    """In the others: compute what is theirs and send it to the first."""
    for tile in _announced(processes):
        levels, count = compute(tile)
        with _alive():
            distributed.send(torch.tensor([count]), 0)
            distributed.send(torch.from_numpy(levels).view(torch.uint8), 0)


def _received(tile: Tile, rank: int, dtype: DTypeLike) -> tuple[Levels, int]:
    """What `compute_for` of another process sends."""
    count, levels = torch.zeros(1, dtype=torch.int64), np.empty((tile.height, tile.width), dtype)
    with _alive():
        distributed.recv(count, rank)
        distributed.recv(torch.from_numpy(levels).view(torch.uint8), rank)
    return levels, int(count)


def _announce(units: Sequence[Sequence[Tile]]) -> None:
    """Tell the others what is to do: the number of tiles, then of each its unit and its place."""
    todo = torch.tensor([(number, *tile) for number, unit in enumerate(units) for tile in unit], dtype=torch.int64)
    with _alive():
        distributed.broadcast(torch.tensor([len(todo)]), 0)
        distributed.broadcast(todo, 0)


def _announced(processes: Processes) -> Iterator[Tile]:
    """The tiles that fall to this process, in the order in which the first asks for them."""
    count = torch.zeros(1, dtype=torch.int64)
    with _alive():
        distributed.broadcast(count, 0)
        todo = torch.zeros(int(count), 1 + len(Tile._fields), dtype=torch.int64)
        distributed.broadcast(todo, 0)
    return (Tile(*place) for number, *place in todo.tolist() if number % processes.world == processes.rank)


@contextmanager
def _alive() -> Iterator[None]:
    """PeerLostError where the other end of what is sent within is gone."""
    try:
        yield
    except RuntimeError as error:
        raise PeerLostError(
            f"every process must live to the end, got {str(error).splitlines()[0]}; look at what the others said, "
            "then run the same command again: it goes on where it stopped"
        ) from error


class _Progress:
    """Says on stderr, now and then, how much is done and when it will be all."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._started = self._said = time.monotonic()

    def step(self) -> None:
        """Count a tile."""
        self._done += 1
        now = time.monotonic()
        if now - self._said < EVERY or self._done == self._total:
            return
        self._said = now
        left = (now - self._started) / self._done * (self._total - self._done)
        print(f"{self._done} of {self._total} tiles, {_minutes(left)} left", file=sys.stderr, flush=True)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
