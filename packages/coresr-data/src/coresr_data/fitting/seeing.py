"""A pair of scans, how HR is seen in its LR, and the blur, shift and grey match that explain it best."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import least_squares

from coresr_data.degrade.kernels import binning, folded, mirrored
from coresr_data.resize import KERNELS

Float = NDArray[np.float64]
Part = tuple[slice, ...]
Axis = Callable[[int, int, float, float], sparse.csr_array]
"""(LR samples n, scale, sigma, shift in HR samples) → the operator of an axis, (n, scale · n)."""

LEAST_SIGMA = 0.3
"""HR pixels; a sharper Gaussian cannot be told from none."""
MOST_SIGMA, MOST_SHIFT = 4.0, 2.0
"""LR pixels."""


class Pair(NamedTuple):
    """Stacks (n, h, w) on [0, 1]; HR's is `scale` times as large, in depth too where `deep`."""

    lr: Float
    hr: Float
    scale: int
    deep: bool
    quantum: float
    """Distance of two grey levels of LR, 0 for floats."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Those that the blur acts on."""
        return (0, 1, 2) if self.deep else (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """How HR is seen: sigma and shift of each blurred axis in HR pixels, then gain and offset."""

    axis: Axis
    sigmas: tuple[float, ...]
    shifts: tuple[float, ...]
    gain: float = 1.0
    offset: float = 0.0

    def of(self, pair: Pair, part: Part) -> Float:
        """The LR that this makes of HR, in a part of LR."""
        seen = pair.hr if pair.deep else pair.hr[part[0]]
        for number in range(len(pair.axes)):
            seen = self.along(number, seen, pair, part)
        return self.gain * seen + self.offset

    def along(self, number: int, image: Float, pair: Pair, part: Part) -> Float:
        """One blurred axis after another, before gain and offset."""
        axis = pair.axes[number]
        operator = self.axis(pair.lr.shape[axis], pair.scale, self.sigmas[number], self.shifts[number])[part[axis]]
        moved = np.moveaxis(image, axis, 0)
        made = operator @ moved.reshape(len(moved), -1)
        return np.moveaxis(made.reshape(-1, *moved.shape[1:]), 0, axis)


def gaussian_axis(n: int, scale: int, sigma: float, shift: float) -> sparse.csr_array:
    """A Gaussian cut after five sigmas, which least squares does not feel, around `shift`; then bins."""
    reach = int(5 * sigma + abs(shift)) + 1
    weights = np.exp(-0.5 * ((np.arange(-reach, reach + 1) - shift) / sigma) ** 2)
    return sparse.csr_array(binning(scale * n, scale) @ mirrored(weights / weights.sum(), scale * n))


def cubic_axis(n: int, scale: int, sigma: float, shift: float) -> sparse.csr_array:
    """MATLAB's antialiased bicubic around `shift`; it has no sigma."""
    del sigma
    centre = scale * (np.arange(n) + 0.5) - 0.5 + shift
    taps = np.floor(centre - 2 * scale).astype(np.int64)[:, None] + np.arange(4 * scale + 2)
    weights = KERNELS["cubic"][1]((centre[:, None] - taps) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(n)[:, None], taps.shape).ravel()
    entries = (weights.ravel(), (rows, folded(taps, scale * n).ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=(n, scale * n)))


def solved(pair: Pair, part: Part, axis: Axis, near: tuple[float, ...] | None = None) -> Seeing:
    """The sigmas, shifts, gain and offset of least squares in a part; `near` these shifts there is no sigma to find."""
    target, count, fixed = pair.lr[part], len(pair.axes), near is not None

    def seeing(values: Float) -> Seeing:
        numbers = tuple(map(float, values))
        sigmas, shifts = ((0.0,) * count, numbers) if fixed else (numbers[:count], numbers[count:])
        return Seeing(axis=axis, sigmas=sigmas, shifts=shifts)

    @lru_cache(maxsize=4)  # most steps of the search leave the first and dearest axis as it was
    def first(sigma: float, shift: float) -> Float:
        hr = pair.hr if pair.deep else pair.hr[part[0]]
        rest = (0.0,) * (count - 1)
        return Seeing(axis=axis, sigmas=(sigma, *rest), shifts=(shift, *rest)).along(0, hr, pair, part)

    def matched(values: Float) -> tuple[Seeing, Float]:
        bare = seeing(values)
        seen = first(bare.sigmas[0], bare.shifts[0])
        for number in range(1, count):
            seen = bare.along(number, seen, pair, part)
        centred = seen - seen.mean()
        gain = float((centred * target).sum() / (centred * centred).sum())
        offset = float(target.mean() - gain * seen.mean())
        return replace(bare, gain=gain, offset=offset), gain * seen + offset

    def residual(values: Float) -> Float:
        return np.asarray(matched(values)[1] - target).ravel()

    most = [MOST_SHIFT * pair.scale] * count
    start, low, high = list(near or [0.0] * count), [-m for m in most], most
    if not fixed:
        start, low = [float(pair.scale)] * count + start, [LEAST_SIGMA] * count + low
        high = [MOST_SIGMA * pair.scale] * count + high
    enough = 1e-5 if fixed else 1e-8  # what bicubic leaves is no noise, and least squares creeps there
    found = least_squares(residual, start, bounds=(low, high), x_scale=float(pair.scale), xtol=1e-6, ftol=enough)
    return matched(found.x)[0]
