"""Aligned patches as a pure function of `(seed, sample number)`.

LR patch (y, x) covers exactly HR [scale·y, scale·(y + size)). All randomness is counter-based: a Philox generator
keyed by what is drawn, never by what was drawn before, so that workers, ranks and resuming change nothing.
"""

import hashlib
from functools import lru_cache
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def keyed(*parts: str | int) -> np.random.Generator:
    """A generator for these parts alone. Framed and hashed, so that no two lists of parts share a stream.

    >>> bool(keyed("order", 0, 1).integers(100) == keyed("order", 0, 1).integers(100))
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        text = (f"str:{part}" if isinstance(part, str) else f"int:{index(part)}").encode()  # NumPy's integers, too
        digest.update(len(text).to_bytes(4, "little") + text)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest.digest(), "little")))


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """The permutation of `n` samples in an epoch, from raw Philox bits, which NumPy keeps stable between versions."""
    return np.argsort(keyed("order", seed, epoch).bit_generator.random_raw(n), kind="stable")


class Draw(NamedTuple):
    """Where a sample is cut and how it is turned."""

    image: int
    y: int
    x: int
    """LR pixels of the patch's first row and column."""
    symmetry: int
    """Which of the eight flips and rotations, 0 for none."""
    epoch: int
    item: int
    """Number of the sample within its epoch: with seed and epoch the key of everything else drawn for it."""


class Plan(NamedTuple):
    """How patches are laid over images; one epoch is as many as fit into them without overlap."""

    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    """Of every LR image, pixels."""
    ends: NDArray[np.int64]
    """Running total of patches up to and including each image."""
    size: int
    """Side of the LR patch."""

    @property
    def epoch(self) -> int:
        """Samples in one epoch."""
        return int(self.ends[-1])


def plan(heights: NDArray[np.int64], widths: NDArray[np.int64], size: int) -> Plan:
    """Lay LR patches of `size` pixels over images of these LR sizes; ValueError where one is too small for a patch."""
    smallest = int(min(heights.min(), widths.min()))
    if not 1 <= size <= smallest:
        raise ValueError(
            f"an LR patch must be 1 to {smallest} pixels, the smallest image's side, got {size}; change the patch"
        )
    return Plan(heights, widths, np.cumsum((heights // size) * (widths // size)), size)


def draw(plan: Plan, seed: int, number: int) -> Draw:
    """Sample `number` (0, 1, 2 … over all epochs) of a run: each epoch a permutation, each patch at a keyed place."""
    if number < 0:
        raise IndexError(f"sample number must be 0 or more, got {number}: a run has no end to count back from")
    epoch, place = divmod(number, plan.epoch)
    item = int(order(seed, epoch, plan.epoch)[place])
    image = int(np.searchsorted(plan.ends, item, side="right"))
    bits = keyed("crop", seed, epoch, item).bit_generator.random_raw(3)
    y = int(bits[0] % np.uint64(plan.heights[image] - plan.size + 1))
    x = int(bits[1] % np.uint64(plan.widths[image] - plan.size + 1))
    return Draw(image, y, x, int(bits[2] % np.uint64(8)), epoch, item)


def turned(image: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """One of the square's eight symmetries on the last two axes: `symmetry % 4` quarter turns, from 4 on a flip."""
    image = np.rot90(image, symmetry % 4, axes=(-2, -1))
    return np.flip(image, axis=-1) if symmetry >= 4 else image
