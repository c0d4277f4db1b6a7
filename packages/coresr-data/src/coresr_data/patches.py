"""Aligned patches as a pure function of `(seed, sample number)`.

LR patch (y, x) covers exactly HR [scale·y, scale·(y + size)). All randomness is counter-based: a Philox generator
keyed by what is drawn, never by what was drawn before, so that workers, ranks and resuming change nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import DTypeLike, NDArray

TRIES = 16
"""Places looked at for one with enough rock."""

Rock = Callable[[int, int, int], float]
"""(image, y, x) → the share of rock in the patch whose first LR row and column these are."""


class _Key(ISeedSequence):
    """The two words of a Philox key as they are: `Philox(key=…)` would ask the system for randomness first."""

    def __init__(self, words: bytes) -> None:
        self.words = words

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint64) -> NDArray[Any]:
        del n_words, dtype
        return np.frombuffer(self.words, "<u8")


def keyed(*parts: str | int) -> np.random.Generator:
    """A generator for these parts alone. Framed and hashed, so that no two lists of parts share a stream.

    >>> bool(keyed("order", 0, 1).integers(100) == keyed("order", 0, 1).integers(100))
    True
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        named = f"str:{part}" if isinstance(part, str) else f"int:{index(part)}"  # NumPy's integers, too
        text = named.encode(errors="surrogatepass")  # names of files need not be UTF-8
        digest.update(len(text).to_bytes(4, "little") + text)
    return np.random.Generator(np.random.Philox(_Key(digest.digest())))  # type: ignore[arg-type]  # narrow stubs


def order(seed: int, epoch: int, n: int, stream: str = "") -> NDArray[np.int64]:
    """The permutation of `n` samples in an epoch, from raw Philox bits, which NumPy keeps stable between versions."""
    return ranks(keyed("order", seed, epoch, *_named(stream)).bit_generator.random_raw(n))


def ranks(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The stable order of the numbers, found as fast as an order that is stable where no two are equal."""
    found = np.argsort(bits)
    ordered = bits[found]
    return np.argsort(bits, kind="stable") if (ordered[1:] == ordered[:-1]).any() else found


def _named(stream: str) -> tuple[str, ...]:
    return (stream,) if stream else ()


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


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
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


def plan(
    heights: NDArray[np.int64], widths: NDArray[np.int64], size: int, rock: NDArray[np.float64] | None = None
) -> Plan:
    """Lay LR patches of `size` pixels over images of these LR sizes; ValueError where one is too small for a patch.

    `rock` is the share of rock in each image: it gets that share of its patches, but one at least, and none where
    there is no rock (ValueError where there is none in any).
    """
    smallest = int(min(heights.min(), widths.min()))
    if not 1 <= size <= smallest:
        raise ValueError(
            f"an LR patch must be 1 to {smallest} pixels, the smallest image's side, got {size}; change the patch"
        )
    patches = (heights // size) * (widths // size)
    if rock is not None:
        if not (rock > 0).any():
            raise ValueError(f"images must hold rock, got none in {len(rock)}; look at their masks")
        patches = np.where(rock > 0, np.maximum(np.floor(patches * rock + 0.5), 1), 0).astype(np.int64)
    return Plan(heights, widths, np.cumsum(patches), size)


def draw(plan: Plan, seed: int, number: int, *, stream: str = "", rock: Rock | None = None, least: float = 0.0) -> Draw:
    """Sample `number` (0, 1, 2 … over all epochs) of a run: each epoch a permutation, each patch at a keyed place.

    With `rock`, it is the first of up to TRIES keyed places that has the share `least` of it, or else the one with
    most; the place drawn without is the first of them. A `stream` draws apart from the others with this seed.
    """
    if number < 0:
        raise IndexError(f"sample number must be 0 or more, got {number}: a run has no end to count back from")
    epoch, place = divmod(number, plan.epoch)
    image, y, x, symmetry, item = places(plan, seed, epoch, stream)[place].tolist()
    if rock is not None and (found := rock(image, y, x)) < least:
        bits = keyed("rock", seed, epoch, item, *_named(stream)).bit_generator.random_raw(2 * TRIES - 2).tolist()
        rows, columns = int(plan.heights[image]) - plan.size + 1, int(plan.widths[image]) - plan.size + 1
        others = [(bits[i] % rows, bits[i + 1] % columns) for i in range(0, len(bits), 2)]
        y, x = _rockier((y, x), found, others, lambda y, x: rock(image, y, x), least)
    return Draw(image, y, x, symmetry, epoch, item)


@lru_cache(maxsize=4)
def places(plan: Plan, seed: int, epoch: int, stream: str) -> NDArray[np.int32]:
    """Image, y, x, symmetry and item of every sample of an epoch, in their order.

    Drawn at once: a generator for each would take longer than reading its patch.
    """
    items = order(seed, epoch, plan.epoch, stream)
    raw = keyed("crop", seed, epoch, *_named(stream)).bit_generator.random_raw(3 * plan.epoch)
    bits = raw.reshape(plan.epoch, 3)[items]
    images = plan.ends.searchsorted(items, side="right")
    rows, columns = ((sides[images] - plan.size + 1).astype(np.uint64) for sides in (plan.heights, plan.widths))
    return np.stack(
        [images, bits[:, 0] % rows, bits[:, 1] % columns, bits[:, 2] % 8, items], 1, dtype=np.int32, casting="unsafe"
    )


def _rockier(
    best: tuple[int, int],
    most: float,
    others: list[tuple[int, int]],
    share: Callable[[int, int], float],
    least: float,
) -> tuple[int, int]:
    """The first of the others with enough rock, else the first of all those with most."""
    for place in others:
        found = share(*place)
        if found >= least:
            return place
        if found > most:
            best, most = place, found
    return best
