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

BLOCK = 1024
"""Samples whose places are drawn together."""
ROUNDS = 6
"""Of the permutation of an epoch."""
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


def permuted(places: NDArray[np.uint64], n: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where a keyed permutation of 0 … n - 1 takes these places, each found without the others.

    A Feistel network over the least power of two that holds n (Luby and Rackoff 1988), walked on from whatever lies
    beyond n (Black and Rogaway 2002): of a set of any size, a few samples cost a few samples.
    """
    bits = max(2, (n - 1).bit_length())
    found = _feistel(places, bits, keys)
    beyond = np.flatnonzero(found >= n)
    while len(beyond):
        found[beyond] = _feistel(found[beyond], bits, keys)
        beyond = beyond[found[beyond] >= n]
    return found


def _feistel(values: NDArray[np.uint64], bits: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of 0 … 2^bits - 1; the number of keys is even, so that halves of unequal width come back."""
    few, many = np.uint64(bits // 2), np.uint64(bits - bits // 2)
    high, low = values >> many, values & _ones(many)
    for key in keys:
        high, low = low, high ^ (_mixed(low + key) & _ones(few))
        few, many = many, few
    return (high << many) | low


def _ones(bits: np.uint64) -> np.uint64:
    return np.uint64(2 ** int(bits) - 1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), modulo 2^64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


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
    block, row = divmod(place, BLOCK)
    image, y, x, symmetry, item = places(plan, seed, epoch, block, stream)[row].tolist()
    if rock is not None and (found := rock(image, y, x)) < least:
        bits = keyed("rock", seed, epoch, item, *_named(stream)).bit_generator.random_raw(2 * TRIES - 2).tolist()
        rows, columns = int(plan.heights[image]) - plan.size + 1, int(plan.widths[image]) - plan.size + 1
        others = [(bits[i] % rows, bits[i + 1] % columns) for i in range(0, len(bits), 2)]
        y, x = _rockier((y, x), found, others, lambda y, x: rock(image, y, x), least)
    return Draw(image, y, x, symmetry, epoch, item)


@lru_cache(maxsize=64)
def places(plan: Plan, seed: int, epoch: int, block: int, stream: str) -> NDArray[np.int64]:
    """Image, y, x, symmetry and item of the samples of an epoch from `block` · BLOCK on, BLOCK of them at most.

    Drawn together: a generator for each would take longer than reading its patch.
    """
    first = block * BLOCK
    count = min(BLOCK, plan.epoch - first)
    keys = keyed("order", seed, epoch, *_named(stream)).bit_generator.random_raw(ROUNDS)
    items = permuted(np.arange(first, first + count, dtype=np.uint64), plan.epoch, keys).astype(np.int64)
    bits = keyed("crop", seed, epoch, block, *_named(stream)).bit_generator.random_raw(3 * count).reshape(count, 3)
    images = plan.ends.searchsorted(items, side="right")
    rows, columns = ((sides[images] - plan.size + 1).astype(np.uint64) for sides in (plan.heights, plan.widths))
    drawn = [images, bits[:, 0] % rows, bits[:, 1] % columns, bits[:, 2] % 8, items]
    return np.stack([one.astype(np.int64) for one in drawn], axis=1)


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
