"""Do two slices show the same rock? Block means, correlated at the best small drift.

Neighbouring slices of a core are nearly the same picture, and a split that parts them measures memory. What a scanner
puts into every slice alike does not count: the round field of view is masked, and a quadratic surface (beam hardening,
tilted light) is taken out. Then slices far apart correlate at chance, whatever the scanner.

Measured with the numbers below: shale FIB-SEM sections 0.80 between neighbours and still 0.38 over all 13 steps; a
sandstone 50 slices apart at most 0.17; Bentheimer along its last axis 0.72 at 3 slices and under 0.35 from 14 to 28 on,
by place; tiles of one shale, no neighbours at all, 0.45 at most among 4005 pairs, hence `COPY` for pairs anywhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from coresr_data.volume import Levels

Float = NDArray[np.float64]
Thumbs = NDArray[np.float32]

ALIKE = 0.35
"""Correlation from which on neighbours count as the same rock: just under that of the shale's first and last slice."""
COPY = 0.9
"""Correlation from which on two slices anywhere count as copies."""
SIDE = 32
"""Blocks along a side of a thumbnail."""
MOST_CHECKED = 200
"""Pairs of thumbnails that are looked at again in full, the likeliest first."""
FEWEST = 64
"""Blocks for each block of drift below which rock is not compared alone: at one drift or other, so few are alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What all slices of a core share: the blocks, which of them hold rock, and the surfaces taken out."""

    block: int
    """Pixels along a side of a block: 4, fewer where the slice is small."""
    drift: int
    """Blocks that two slices may be off: up to 4, and a sixteenth of the slice."""
    inside: NDArray[np.bool_]
    """`(h, w)` blocks, True where slices are compared."""
    surfaces: Float
    """Orthonormal, `(blocks inside, 6)`: 1, y, x, y², yx, x²; of fewer than 64 blocks the mean alone."""


def frame_of(size: tuple[int, int], mask: NDArray[np.bool_] | None = None) -> Frame:
    """The frame of slices of `size` pixels, of which `mask` `(h, w)` says where there is rock (None: everywhere).

    Where that leaves too few blocks slices are compared everywhere, for nothing compared would pass for nothing alike.
    """
    block, drift = _grid(size)
    height, width = (side // block for side in size)
    inside = None if mask is None else rock_blocks(mask)
    if inside is None:
        inside = np.ones((height, width), np.bool_)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    y, x = y[inside], x[inside]
    powers = [np.ones_like(y), y, x, y * y, y * x, x * x] if len(y) >= 64 else [np.ones_like(y)]
    surfaces, _ = np.linalg.qr(np.stack(powers, axis=1))
    return Frame(block=block, drift=drift, inside=inside, surfaces=surfaces)


def rock_blocks(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """`(h, w)` blocks, True where at least half of the block is rock; None where these are too few to be compared."""
    block, drift = _grid((mask.shape[0], mask.shape[1]))
    inside: NDArray[np.bool_] = _means(mask, block) >= 0.5
    return inside if np.count_nonzero(inside) >= FEWEST * max(1, drift) else None


def tells(field: NDArray[np.bool_], masks: NDArray[np.bool_]) -> bool:
    """Whether slices can be compared within `field` `(h, w)`: at least half of the rock of each of `masks` lies in it.

    Of a core that moves through the frame, what most slices hold may be little of each, or nothing.
    """
    if (inside := rock_blocks(field)) is None:
        return False
    rock = [_means(mask, _grid((mask.shape[0], mask.shape[1]))[0]) for mask in masks]
    return all(2 * one[inside].sum() >= one.sum() for one in rock)


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    """Pixels along a side of a block, and blocks that two slices may be off."""
    block = max(1, min(4, min(size) // 16))
    return block, min(4, min(size) // block // 16)


def look(levels: Levels, frame: Frame) -> Float:
    """A slice as similarity sees it: `(h, w)` block means less their quadratic surface, 0 outside the rock."""
    means = _means(levels, frame.block)
    values = means[frame.inside]
    # sums and no matrix products, which round otherwise with another number of threads
    parts = np.einsum("ij,i->j", frame.surfaces, values)
    rest = values - np.einsum("ij,j->i", frame.surfaces, parts)
    seen = np.zeros_like(means)
    if (rest * rest).sum() > 1e-18 * (values * values).sum():  # else it is what rounding left of a smooth picture
        seen[frame.inside] = rest
    return seen


def _means(levels: Levels, block: int) -> Float:
    height, width = (side // block for side in levels.shape)
    cut = levels[: height * block, : width * block]
    # rows of blocks first: a mean over two axes at once is ten times slower
    rows = np.add.reduceat(cut, np.arange(0, width * block, block), axis=1, dtype=np.float64)
    sums: Float = rows.reshape(height, block, width).sum(axis=1)
    return sums / block**2


def similarity(one: Float, other: Float, frame: Frame) -> float:
    """The largest correlation of two looks over all drifts, -1 to 1, each over what both then show.

    At every drift the Pearson correlation of the overlap of the two fields of view, by Fourier transforms
    (Padfield, Masked object registration in the Fourier domain, IEEE TIP 2012). 0 where a slice shows nothing.
    """
    shape = [fft.next_fast_len(side + frame.drift, real=True) for side in one.shape]
    inside, a, aa, b, bb = (
        fft.rfft2(image, shape) for image in (frame.inside.astype(np.float64), one, one * one, other, other * other)
    )

    def overlap(left: NDArray[np.complex128], right: NDArray[np.complex128]) -> Float:
        drifts = np.arange(-frame.drift, frame.drift + 1)
        return np.asarray(fft.irfft2(left * right.conj(), shape)[np.ix_(drifts, drifts)])

    n = np.maximum(overlap(inside, inside), 1)
    sum_a, sum_b = overlap(a, inside), overlap(inside, b)
    spread_a = overlap(aa, inside) - sum_a**2 / n
    spread_b = overlap(inside, bb) - sum_b**2 / n
    joint = overlap(a, b) - sum_a * sum_b / n
    shows = (spread_a > 1e-9 * float((one * one).sum())) & (spread_b > 1e-9 * float((other * other).sum()))
    if not shows.any():
        return 0.0
    return float((joint[shows] / np.sqrt(spread_a[shows] * spread_b[shows])).max())


def thumbnail(seen: Float) -> Thumbs:
    """A look as 32×32 means, flat, of mean 0 and length 1 (all 0 where it shows nothing)."""
    small = seen
    for axis, side in enumerate(seen.shape):
        if side >= SIDE:
            edges = np.arange(SIDE) * side // SIDE
            counts = np.diff(np.append(edges, side))
            small = np.add.reduceat(small, edges, axis=axis) / np.expand_dims(counts, 1 - axis)
        else:
            small = np.take(small, np.arange(SIDE) * side // SIDE, axis=axis)
    flat = (small - small.mean()).ravel()
    length = np.sqrt((flat * flat).sum())
    thumb: Thumbs = (flat / length if length > 0 else flat).astype(np.float32)
    return thumb


def reach(numbers: Sequence[int], alike: Callable[[int, int], bool], *, starts: int = 5) -> int:
    """The largest distance in slice numbers at which a slice still is like one of a few start slices.

    `alike` compares two slices by their places. From each start its neighbours are tried towards the farther end, at
    doubling steps and then by halving, so that thousands of slices cost a few dozen comparisons.
    """
    last = len(numbers) - 1
    places = sorted({round(last * i / (starts - 1)) for i in range(starts)})
    return max(_reach_from(numbers, place, 1 if 2 * place < last else -1, alike) for place in places)


def _reach_from(numbers: Sequence[int], start: int, way: int, alike: Callable[[int, int], bool]) -> int:
    most = len(numbers) - 1 - start if way > 0 else start
    near, step = 0, 1
    while near < most and alike(start, start + way * min(step, most)):
        near, step = min(step, most), 2 * step
    far = min(step, most + 1)
    while far - near > 1 and near < most:
        middle = (near + far) // 2
        if alike(start, start + way * middle):
            near = middle
        else:
            far = middle
    return abs(numbers[start + way * near] - numbers[start])


def closest(one: Thumbs, other: Thumbs, *, rows: int = 1024) -> list[tuple[int, int, float]]:
    """For each thumbnail of `(n, 1024)` the likest one of `(m, 1024)`, where it is `COPY` or more; the likest first."""
    found = []
    for first in range(0, len(one), rows):  # 10,000² products at once would be 400 MB
        products = one[first : first + rows] @ other.T
        best = products.argmax(axis=1)
        likeness = products[np.arange(len(best)), best]
        found += [(first + int(row), int(best[row]), float(likeness[row])) for row in np.flatnonzero(likeness >= COPY)]
    return sorted(found, key=lambda pair: -pair[2])[:MOST_CHECKED]
