"""Is a real pair registered? Sub-pixel shift, scale error, turn and grey levels of LR against HR.

The shift is measured in the middle, and once more in tiles over all of the pair: a line through those tells scale and
turn.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.align.phase import NoOverlapError, Pair, shift_between
from coresr_data.volume import Levels

__all__ = ["CONFIDENT", "LIMIT", "Registration", "Verdict", "measure", "verdict"]

Float = NDArray[np.float64]
Verdict = Literal["aligned", "shifted", "distorted", "unclear"]

LIMIT = 0.5
"""LR pixels that a pair may be off, in place and in its corners."""
CONFIDENT = 8.0
"""Independent noise of 32² pixels and more stays below it in 999 of 1000 pairs, grains of four pixels included."""
MOST = {2: 512, 3: 128}  # LR pixels along a side of the block that the shift is measured on, by number of axes
TILE = {2: 32, 3: 14}  # least side of the tiles that say how the shift changes from place to place
LARGEST_TILE = {2: 256, 3: 48}  # of which the middle is read
MOST_TILES = 4  # along an axis
SMOOTH = 2.0  # LR pixels; a softer LR must not pass for one of less contrast


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Where LR lies against HR: LR at p shows what bicubic(HR) shows at p - shift(p)."""

    scale: int
    shift: tuple[float, ...]
    """LR pixels along (y, x), or (z, y, x) of volumes, in the middle of the pair."""
    confidence: float
    """How far the correlation peak stands above the next highest, in standard deviations of the rest."""
    scale_error: tuple[float | None, ...]
    """True over nominal HR size per LR size - 1, an axis each; None where the pair is too small or too poor to tell."""
    rotation_deg: float | None
    """LR is turned by this much against HR about the depth axis, counter-clockwise as displayed."""
    drift: float
    """The most that the shift differs in a corner from that in the middle, LR pixels; 0 where nothing can be told."""
    gain: float
    offset: float
    """LR ≈ gain · bicubic(HR) + offset in grey levels, both smoothed over a few pixels."""
    r2: float
    """Share of the variance of the smoothed LR that this explains."""

    @property
    def shift_y(self) -> float:
        """LR pixels; positive where LR shows things further down than HR does."""
        return self.shift[-2]

    @property
    def shift_x(self) -> float:
        """LR pixels; positive where LR shows things further to the right than HR does."""
        return self.shift[-1]

    @property
    def crop(self) -> tuple[int, ...]:
        """The shift in whole HR pixels: LR pixel p covers HR from scale · p - crop on."""
        return tuple(round(self.scale * one) for one in self.shift)

    @property
    def remaining(self) -> tuple[float, ...]:
        """What of the shift is left after that crop, LR pixels, at most 0.5 / scale."""
        return tuple(one - whole / self.scale for one, whole in zip(self.shift, self.crop, strict=True))


def measure(lr: Levels, hr: Levels, *, scale: int) -> Registration:
    """Register a pair: images `(y, x)`, stacks `(n, y, x)` with as many slices, volumes with HR `scale` × LR in depth.

    Of what is larger than a few hundred pixels a side the middle is read; tiles over all of the pair tell scale error
    and turn. Of a stack at most eight slices are read. ValueError for other shapes, and below 16 LR pixels a side.
    """
    pair = Pair(lr, hr, scale)
    middle = tuple(_middle(0, n, MOST[pair.axes]) for n in pair.size)
    start, confidence = shift_between(*pair.block(middle, (0,) * pair.axes))
    whole = tuple(round(scale * one) for one in start)
    try:  # once more on what both show, for a window over each biases large shifts towards 0
        seen = pair.block(middle, whole)
        rest, confidence = shift_between(*seen)
    except NoOverlapError:
        seen, rest = pair.block(middle, (0,) * pair.axes), start
        whole = (0,) * pair.axes
    shift = tuple(float(k / scale + one) for k, one in zip(whole, rest, strict=True))
    matrix = _distortion(pair, whole)
    known = np.nan_to_num(matrix)
    corners = [known @ corner for corner in itertools.product(*((-n / 2, n / 2) for n in pair.size))]
    turn = (matrix[-1, -2] - matrix[-2, -1]) / 2
    gain, offset, r2 = _grey(*seen)
    return Registration(
        scale=scale,
        shift=shift,
        confidence=confidence,
        scale_error=tuple(None if np.isnan(one) else -float(one) for one in np.diag(matrix)),
        rotation_deg=None if np.isnan(turn) else float(np.degrees(turn)),
        drift=float(max(np.abs(corner).max() for corner in corners)),
        gain=gain,
        offset=offset,
        r2=r2,
    )


def verdict(found: Registration, *, limit: float = LIMIT) -> Verdict:
    """`distorted`, `shifted` or `aligned` to `limit` LR pixels; `unclear` where the correlation peak may be chance."""
    if found.drift > limit:  # first, for a distortion flattens the peak
        return "distorted"
    if found.confidence < CONFIDENT:
        return "unclear"
    return "shifted" if max(map(abs, found.shift)) > limit else "aligned"


def _middle(first: int, last: int, most: int) -> slice:
    """The middle of a range, at most so long."""
    length = min(last - first, most)
    start = (first + last - length) // 2
    return slice(start, start + length)


def _distortion(pair: Pair, whole: tuple[int, ...]) -> Float:
    """How the shift changes per LR pixel, [i, j] along axis j of the shift along i; NaN columns where untold."""
    counts = [max(1, min(MOST_TILES, n // TILE[pair.axes])) for n in pair.size]
    places, shifts = [], []
    for index in np.ndindex(*counts):
        part = tuple(
            _middle(i * n // c, (i + 1) * n // c, LARGEST_TILE[pair.axes])
            for i, n, c in zip(index, pair.size, counts, strict=True)
        )
        try:
            shift, confidence = shift_between(*pair.block(part, whole))
        except NoOverlapError:
            continue
        if confidence >= CONFIDENT:
            places.append([(one.start + one.stop) / 2 for one in part])
            shifts.append(shift)
    matrix = np.full((pair.axes, pair.axes), np.nan)
    told = [j for j in range(pair.axes) if len({place[j] for place in places}) > 1]
    if told and len(places) > max(len(told) + 2, np.prod(counts) // 2):
        slopes = _robust_slopes(np.array(places)[:, told], np.array(shifts))
        matrix[:, told] = slopes.T
    return matrix


def _robust_slopes(places: Float, shifts: Float) -> Float:
    """Slopes of `shifts` over `places` by least squares, without the tiles far off a first fit."""
    design = np.column_stack([np.ones(len(places)), places - places.mean(axis=0)])
    fit, *_ = np.linalg.lstsq(design, shifts, rcond=None)
    off = np.abs(shifts - design @ fit).max(axis=1)
    kept = off <= max(0.1, 3 * float(np.median(off)))
    if np.linalg.matrix_rank(design[kept]) == design.shape[1]:
        fit, *_ = np.linalg.lstsq(design[kept], shifts[kept], rcond=None)
    return np.asarray(fit[1:])


def _grey(lr: Float, hr: Float) -> tuple[float, float, float]:
    """Gain, offset and r² of the least-squares line of smoothed LR over smoothed HR."""
    sigma = (0.0, *(SMOOTH,) * (lr.ndim - 1))
    a, b = (ndimage.gaussian_filter(image, sigma).ravel() for image in (hr, lr))
    if (spread := float(a.var())) == 0 or float(b.var()) == 0:
        return 1.0, float(b.mean() - a.mean()), 0.0
    gain = float(np.mean((a - a.mean()) * (b - b.mean()))) / spread
    return gain, float(b.mean() - gain * a.mean()), gain**2 * spread / float(b.var())
