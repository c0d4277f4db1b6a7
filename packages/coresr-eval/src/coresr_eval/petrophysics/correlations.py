"""How does the pore space hang together over distance? Two-point probability and lineal path.

Both are taken inside the window, without wrapping it round: each distance counts the pairs that fit.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfftn, next_fast_len, rfftn

from coresr_eval.petrophysics.voxels import Floats, Pore, Voxel, along, checked, spacing


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPoint:
    """S2, the probability that two points a distance apart are both in the pore space."""

    distance_um: Floats
    """Mean distance of each class, `(k,)`, from 0."""
    s2: Floats
    """Mean over all directions, `(k,)`: the porosity at 0, its square far away."""
    axes: tuple[Floats, ...]
    """Along each axis at 0, 1, 2, … voxels."""
    voxel_um: tuple[float, ...]

    @property
    def porosity(self) -> float:
        """S2 at 0."""
        return float(self.s2[0])

    @property
    def correlation_um(self) -> float:
        """Distance at which (S2 - φ²)/(φ - φ²) first falls to 1/e, between classes linearly; NaN if it does not."""
        phi = self.porosity
        if not 0 < phi < 1:
            return float("nan")
        left = (self.s2 - phi**2) / (phi - phi**2) - np.exp(-1)
        below = np.flatnonzero(left <= 0)
        if not below.size:
            return float("nan")
        end = int(below[0])
        part = left[end - 1] / (left[end - 1] - left[end])
        return float(self.distance_um[end - 1] + part * (self.distance_um[end] - self.distance_um[end - 1]))

    @property
    def specific_surface(self) -> float:
        """-π S2'(0) in 2-D, -4 S2'(0) in 3-D, 1/µm (Debye, Anderson & Brumberger 1957; Torquato 2002, eq. 2.37).

        The slope is that of the first voxel along each axis, averaged: for isotropic rocks only, and as coarse.
        """
        slopes = [(line[0] - line[1]) / side for line, side in zip(self.axes, self.voxel_um, strict=True)]
        return float(np.mean(slopes)) * (np.pi if len(self.axes) == 2 else 4.0)


def two_point(pore: ArrayLike, *, voxel_um: Voxel, max_um: float | None = None) -> TwoPoint:
    """S2 of `pore` up to `max_um`, half of the shortest side unless told, by FFT; exact counts of voxel pairs.

    Directions are pooled in classes one (smallest) voxel side wide, pairs with equal weight. Values beyond a third of
    a side rest on few independent pairs. 200³ take 4 s and 0.9 GiB.
    """
    array = checked(pore)
    sides = spacing(voxel_um, array.ndim)
    extent = min(n * side for n, side in zip(array.shape, sides, strict=True))
    reach = extent / 2 if max_um is None else max_um
    if not min(sides) <= reach < extent:
        raise ValueError(f"max_um must be from {min(sides):g} to below the shortest side {extent:g}, got {max_um}")
    lags = tuple(min(int(reach / side), n - 1) for n, side in zip(array.shape, sides, strict=True))
    hits, pairs = _counts(array, lags)
    offsets = [np.arange(-lag, lag + 1) * side for lag, side in zip(lags[:-1], sides[:-1], strict=True)]
    grid = np.meshgrid(*offsets, np.arange(lags[-1] + 1) * sides[-1], indexing="ij", sparse=True)
    distance = np.sqrt(np.asarray(sum(part**2 for part in grid)))
    pairs[..., 1:] *= 2  # the other half of the offsets is this one mirrored
    hits[..., 1:] *= 2
    near = distance <= reach * (1 + 1e-9)
    classes = np.rint(distance[near] / min(sides)).astype(np.intp)
    weights, total = np.bincount(classes, pairs[near]), np.bincount(classes, hits[near])
    radii = np.bincount(classes, pairs[near] * distance[near])
    there = weights > 0
    return TwoPoint(
        distance_um=radii[there] / weights[there],
        s2=total[there] / weights[there],
        axes=tuple(_line(hits, pairs, lags, axis) for axis in range(array.ndim)),
        voxel_um=sides,
    )


def lineal_path(pore: ArrayLike, *, axis: int, voxel_um: Voxel) -> tuple[Floats, Floats]:
    """Distances in µm and the probability that a segment so long, along `axis`, lies in the pore space.

    Both `(k,)`, from a point (the porosity) to the longest run of pore; a segment of k voxel sides ends in the centres
    of k + 1 voxels in a row (Lu & Torquato 1992).
    """
    array = checked(pore)
    axis = along(axis, array.ndim)
    side = spacing(voxel_um, array.ndim)[axis]
    rows = np.moveaxis(array, axis, -1)
    length = rows.shape[-1]
    lines = np.zeros((rows.size // length, length + 2), dtype=np.int8)
    lines[:, 1:-1] = rows.reshape(-1, length)
    edges = np.diff(lines, axis=1)
    runs = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    counts = np.bincount(runs, minlength=2)[1:]  # of runs of 1, 2, … voxels
    longest = np.arange(1, counts.size + 1)
    inside = np.array([np.sum(counts[k:] * (longest[k:] - k)) for k in range(counts.size)], dtype=np.float64)
    places = (length - np.arange(counts.size)) * len(lines)
    distances: Floats = np.arange(counts.size, dtype=np.float64) * np.float64(side)
    path: Floats = inside / places
    return distances, path


def _counts(array: Pore, lags: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Pairs in the pore and pairs in all, at every offset within `lags`; of the last axis those from 0 on."""
    padded = [next_fast_len(n + lag, real=True) for n, lag in zip(array.shape, lags, strict=True)]
    spectrum = rfftn(array.astype(np.float64), padded)
    correlation = irfftn(spectrum.real**2 + spectrum.imag**2, padded)
    del spectrum
    for axis, lag in enumerate(lags[:-1]):
        correlation = np.take(correlation, np.arange(-lag, lag + 1), axis=axis, mode="wrap")
    hits: Floats = np.asarray(np.rint(correlation[..., : lags[-1] + 1]), dtype=np.float64)
    lengths = [n - np.abs(np.arange(-lag, lag + 1)) for n, lag in zip(array.shape[:-1], lags[:-1], strict=True)]
    grid = np.meshgrid(*lengths, array.shape[-1] - np.arange(lags[-1] + 1), indexing="ij", sparse=True)
    pairs: Floats = np.ones(hits.shape)
    for part in grid:
        pairs *= part
    return hits, pairs


def _line(hits: Floats, pairs: Floats, lags: tuple[int, ...], axis: int) -> Floats:
    """S2 along one axis from offset 0 on."""
    place: list[int | slice] = [*lags[:-1], 0]
    place[axis] = slice(lags[axis], None) if axis < len(lags) - 1 else slice(None)
    line: Floats = hits[tuple(place)] / pairs[tuple(place)]
    return line
