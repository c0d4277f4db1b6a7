"""Where does an LR image lie against its HR? Blocks of a pair at LR size, and the sub-pixel shift between two of them.

HR is brought to LR size by the bicubic operator, and the two are compared by phase correlation (Kuglin and Hines 1975)
under a Gaussian low-pass, for what lies near the LR sampling limit is aliased, and sharper in HR. The peak is refined
by a matrix Fourier transform (Guizar-Sicairos, Thurman and Fienup, Optics Letters 33, 156, 2008).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from coresr_data.resize import axis_matrix
from coresr_data.volume import Levels

Float = NDArray[np.float64]
Part = tuple[slice, ...]

CUTOFF = 0.2  # standard deviation of the low-pass, cycles per LR pixel
MOST_SLICES = 8  # of a stack
LEAST = 16  # LR pixels a side


class NoOverlapError(ValueError):
    """A block that only one of LR and HR shows."""


class Pair:
    """Blocks of a pair, HR at LR size, as (slices, *registered axes)."""

    def __init__(self, lr: Levels, hr: Levels, scale: int) -> None:
        if scale < 1 or lr.ndim != hr.ndim or lr.ndim not in {2, 3}:
            raise ValueError(
                f"LR and HR must both be (y, x) or (z, y, x) at a scale of 1 or more, "
                f"got {lr.shape} and {hr.shape} at scale {scale}"
            )
        stack = lr.ndim == 3 and lr.shape[0] == hr.shape[0] and scale > 1
        self.axes = 2 if stack else lr.ndim
        self.size = lr.shape[-self.axes :]
        wanted = tuple(scale * n for n in self.size)
        if hr.shape[-self.axes :] != wanted:
            raise ValueError(
                f"HR must be {scale} × LR, {'×'.join(map(str, wanted))}, got {hr.shape} for LR {lr.shape}; "
                "crop it, or say the right scale"
            )
        if min(self.size) < LEAST:
            raise ValueError(f"LR must be at least {LEAST} pixels a side to be registered, got {lr.shape}")
        self.scale = scale
        self.lr, self.hr = lr, hr
        if stack:
            rows = np.unique(np.linspace(0, len(lr) - 1, min(len(lr), MOST_SLICES)).round().astype(int))
            self.lr, self.hr = lr[rows], hr[rows]
        else:
            self.lr, self.hr = lr[None], hr[None]

    def overlap(self, part: Part, whole: tuple[int, ...]) -> tuple[Part, Part]:
        """The LR slices of `part` whose HR, `whole` HR pixels further up and left, is there, and those HR slices."""
        lr, hr = [], []
        for one, n, k in zip(part, self.size, whole, strict=True):
            first = max(one.start, -(-k // self.scale))
            last = min(one.stop, (self.scale * n + k) // self.scale)
            if last - first < 8:
                raise NoOverlapError(
                    f"LR and HR must show one place, got a shift of {k / self.scale:g} in {n} LR pixels"
                )
            lr.append(slice(first, last))
            hr.append(slice(self.scale * first - k, self.scale * last - k))
        return tuple(lr), tuple(hr)

    def block(self, part: Part, whole: tuple[int, ...]) -> tuple[Float, Float]:
        """LR and bicubic(HR) of what both show of `part`, HR taken `whole` HR pixels further up and left."""
        lr, hr = self.overlap(part, whole)
        reduced = self.hr[(slice(None), *hr)].astype(np.float64)
        for axis in range(1, self.axes + 1):
            n = reduced.shape[axis]
            matrix = axis_matrix(n, n // self.scale, 1 / self.scale)
            moved = np.moveaxis(reduced, axis, 0)
            flat = matrix @ moved.reshape(n, -1)
            reduced = np.moveaxis(flat.reshape(-1, *moved.shape[1:]), 0, axis)
        return self.lr[(slice(None), *lr)].astype(np.float64), reduced


def shift_between(lr: Float, hr: Float) -> tuple[tuple[float, ...], float]:
    """Shift of `lr` against `hr`, both (slices, *axes) of one size, in pixels, and its confidence.

    The window draws it towards 0 by about a hundredth of itself: large shifts need a second look at what both show.
    """
    spectrum = _cross_power(lr, hr)
    if not spectrum.any():
        return (0.0,) * spectrum.ndim, 0.0
    surface = fft.ifftn(spectrum).real
    peak = np.unravel_index(int(surface.argmax()), surface.shape)
    around = np.ix_(*(np.arange(i - 3, i + 4) % n for i, n in zip(peak, surface.shape, strict=True)))
    rest = surface.copy()
    rest[around] = np.nan
    spread = float(np.nanstd(rest))
    confidence = (float(surface[peak]) - float(np.nanmax(rest))) / spread if spread > 0 else 0.0
    centre = [float(i if 2 * i <= n else i - n) for i, n in zip(peak, surface.shape, strict=True)]
    for step in (0.1, 0.01):
        centre = _refined(spectrum, centre, step)
    return tuple(centre), confidence


def _cross_power(lr: Float, hr: Float) -> NDArray[np.complex128]:
    """The normalised cross-power spectrum under the low-pass, summed over slices."""
    axes = tuple(range(1, lr.ndim))
    window, low_pass = np.ones(lr.shape[1:]), np.ones(lr.shape[1:])
    for axis, n in enumerate(lr.shape[1:]):
        along = [n if i == axis else 1 for i in range(lr.ndim - 1)]
        window *= np.hanning(n + 2)[1:-1].reshape(along)
        low_pass *= np.exp(-0.5 * (fft.fftfreq(n) / CUTOFF) ** 2).reshape(along)
    a, b = (fft.fftn((image - image.mean(axes, keepdims=True)) * window, axes=axes) for image in (lr, hr))
    cross = a * b.conj()
    size = np.abs(cross)
    # the spectrum of a flat image is rounding errors, and those must not be whitened
    least = 1e-12 * float(size.max())
    cross = np.divide(cross, size, out=np.zeros_like(cross), where=size > least)
    return np.asarray(cross.sum(axis=0) * low_pass)


def _refined(spectrum: NDArray[np.complex128], centre: list[float], step: float) -> list[float]:
    """The highest place of the inverse transform on a grid of `step` over ±10 steps about `centre`."""
    grids = [one + step * np.arange(-10, 11) for one in centre]
    values: NDArray[np.complex128] = spectrum
    for grid, n in zip(grids, spectrum.shape, strict=True):  # each pass takes the first axis and appends its grid
        values = np.tensordot(values, np.exp(2j * np.pi * np.outer(fft.fftfreq(n), grid)), axes=(0, 0))
    best = np.unravel_index(int(values.real.argmax()), values.shape)
    return [float(grid[i]) for grid, i in zip(grids, best, strict=True)]
