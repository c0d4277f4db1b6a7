"""Blur kernels and bins: weights that sum to 1, as taps, as the sparse matrix of an axis, or as an image.

Borders are mirrored with the edge sample repeated, as in `resize`, so a constant image stays that constant.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal, sparse, special

Float = NDArray[np.float64]

TRUNCATE = 4.0
"""Standard deviations after which a Gaussian is cut, as in `scipy.ndimage`; 6·10⁻⁵ of it lies beyond."""


def radius(sigma: float) -> int:
    """Samples on either side of the middle that a Gaussian of `sigma` samples reaches."""
    return int(TRUNCATE * sigma + 0.5)


def gaussian(sigma: float) -> Float:
    """Taps (2·radius + 1,) of a sampled Gaussian of `sigma` samples; sigma 0 is the identity."""
    if sigma == 0:
        return np.ones(1)
    away = np.arange(-radius(sigma), radius(sigma) + 1)
    weights = np.exp(-0.5 * (away / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def gaussian_2d(sigma_y: float, sigma_x: float, angle: float) -> Float:
    """A sampled Gaussian (k, k) whose axes y and x are turned by `angle` degrees from x towards y; both sigmas > 0."""
    reach = radius(max(sigma_y, sigma_x))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = cos * x + sin * y, cos * y - sin * x
    weights = np.exp(-0.5 * ((along / sigma_x) ** 2 + (across / sigma_y) ** 2))
    return np.asarray(weights / weights.sum())


def sinc_2d(cutoff: float, reach: int) -> Float:
    """The ideal low-pass of all directions (k, k), k = 2·reach + 1, at `cutoff` radians per sample, cut to a square.

    ω J₁(ω r) / 2π r, with its overshoot; Real-ESRGAN's model of ringing (Wang et al. 2021, equation 6).
    """
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    r = np.hypot(y, x)
    weights = np.full(r.shape, cutoff**2 / (4 * np.pi))
    away = r > 0
    weights[away] = cutoff * special.j1(cutoff * r[away]) / (2 * np.pi * r[away])
    return np.asarray(weights / weights.sum())


def folded(places: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Sample numbers, mirrored into 0 … n - 1 as often as it takes."""
    wrapped = np.mod(places, 2 * n)
    return np.where(wrapped < n, wrapped, 2 * n - 1 - wrapped)


def mirrored(taps: Float, n: int) -> sparse.csr_array:
    """The matrix (n, n) that puts the middle of an odd number of taps on each of n samples in turn."""
    places = np.arange(n)[:, None] + np.arange(len(taps)) - len(taps) // 2
    rows = np.broadcast_to(np.arange(n)[:, None], places.shape).ravel()
    entries = (np.tile(taps, n), (rows, folded(places, n).ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=(n, n)))


@lru_cache(maxsize=64)
def blurring(n: int, sigma: float) -> sparse.csr_array:
    """The Gaussian blur of an axis of n samples, (n, n)."""
    return mirrored(gaussian(sigma), n)


@lru_cache(maxsize=64)
def binning(n: int, factor: int) -> sparse.csr_array:
    """The mean of each `factor` samples of an axis, (n / factor, n)."""
    if n % factor:
        raise ValueError(f"size must be a multiple of the bin, got {n} in bins of {factor}; crop it first")
    return sparse.csr_array((np.full(n, 1 / factor), np.arange(n), np.arange(0, n + 1, factor)), (n // factor, n))


def both_axes(rows: sparse.csr_array, image: NDArray[Any], columns: sparse.csr_array) -> Float:
    """M_h X M_wᵀ."""
    return np.ascontiguousarray((columns @ (rows @ image).T).T)


def convolved(image: Float, kernel: Float) -> Float:
    """The image (h, w) under a kernel (k, k), k odd, borders mirrored; by FFT, to about 10⁻¹⁵ of the largest value."""
    y, x = (size // 2 for size in kernel.shape)
    padded = np.pad(image, ((y, y), (x, x)), mode="symmetric")
    return np.asarray(signal.fftconvolve(padded, kernel, mode="valid"))
