"""How near is a made LR to a real one, and what noise is their difference? On stacks `(n, h, w)` of [0, 1]."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from coresr_data.degrade.kernels import gaussian
from coresr_data.fitting.fitted import Match

Float = NDArray[np.float64]

RINGS = 16
"""Of equal width from frequency 0 to the sampling limit."""


def match(made: Float, real: Float) -> Match:
    """Compare a made with a real LR of the same part."""
    difference = made - real
    mse = float((difference**2).mean())
    a, b = radial_power(made), radial_power(real)
    seen = ~np.isnan(b)
    return Match(
        residual_std=float(difference.std()),
        psnr=-10 * math.log10(max(mse, 1e-30)),  # 300 dB for no difference at all: JSON holds no infinity
        explained=1 - mse / float(real.var()),
        spectrum_db=float(np.sqrt(((10 * np.log10(a[seen] / b[seen])) ** 2).mean())),
    )


def radial_power(stack: Float) -> Float:
    """Mean power (16,) of the slices in rings of frequency, from 0 to half a cycle per pixel, NaN where none falls.

    Slices lose their mean and are faded out by a Hann window towards their borders.
    """
    _, height, width = stack.shape
    fade = np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]
    slices = (stack - stack.mean(axis=(1, 2), keepdims=True)) * fade
    power = (np.abs(np.fft.rfft2(slices)) ** 2).mean(axis=0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.floor(frequency * 2 * RINGS).astype(int)
    inside = (ring < RINGS) & (frequency > 0)
    count = np.bincount(ring[inside], minlength=RINGS)
    total = np.bincount(ring[inside], power[inside], minlength=RINGS)
    return np.asarray(np.divide(total, count, out=np.full(RINGS, np.nan), where=count > 0))


def noise_of(residual: Float, signal: Float, *, quantum: float = 0.0) -> tuple[float, float]:
    """The `gaussian` and `poisson` of noise: variance gaussian² + poisson · signal, fitted to the squared residual.

    The rounding of LR to grey levels `quantum` apart is no part of it. The Poisson part is 0 unless it stands three
    standard errors above nothing, by leaving out an eighth of the longest axis at a time.
    """
    squares = (residual - residual.mean()) ** 2 - quantum**2 / 12
    axis = int(np.argmax(residual.shape))
    parts = list(zip(np.array_split(squares, 8, axis), np.array_split(signal, 8, axis), strict=True))
    sums = np.array([_moments(s.ravel(), v.ravel()) for v, s in parts])
    slopes = np.array([_line(sums.sum(axis=0) - left_out)[1] for left_out in sums])
    error = math.sqrt(7 / 8 * ((slopes - slopes.mean()) ** 2).sum())
    constant, slope = _line(sums.sum(axis=0))
    if not slope > 3 * error or slope * signal.mean() <= 0:
        return math.sqrt(max(float(squares.mean()), 0.0)), 0.0
    if constant < 0:
        return 0.0, float(squares.sum() / signal.sum())
    return math.sqrt(constant), slope


def _moments(x: Float, y: Float) -> tuple[float, ...]:
    return (float(x.size), float(x.sum()), float((x * x).sum()), float(y.sum()), float((x * y).sum()))


def _line(moments: Float) -> tuple[float, float]:
    """Constant and slope of the straight line of least squares; slope 0 where all x are one."""
    n, x, xx, y, xy = moments
    spread = n * xx - x * x
    slope = (n * xy - x * y) / spread if spread > 1e-12 * n * xx else 0.0
    return float((y - slope * x) / n), float(slope)


def correlation_of(residual: Float, axis: int) -> float:
    """Standard deviation in pixels of the Gaussian that would correlate white noise as neighbours along `axis` are.

    0 where the correlation of neighbours is within three standard errors, or two hundredths, of nothing.
    """
    field = np.moveaxis(residual - residual.mean(), axis, 0)
    neighbours = float((field[1:] * field[:-1]).mean() / (field**2).mean()) if len(field) > 1 else 0.0
    if neighbours <= max(0.02, 3 / math.sqrt(field.size)):
        return 0.0
    return float(brentq(lambda sigma: _neighbours(sigma) - neighbours, 0.2, 5.0)) if neighbours < 0.98 else 5.0


def _neighbours(sigma: float) -> float:
    taps = gaussian(sigma)
    return float((taps[1:] * taps[:-1]).sum() / (taps**2).sum())
