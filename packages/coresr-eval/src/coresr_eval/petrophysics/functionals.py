"""Minkowski functionals of a pore space: porosity, specific surface, Euler number, each per µm² or µm³.

The array is a window onto a larger rock: its border is no wall and is counted nowhere, so that the numbers of a
stationary rock do not depend on the size of the window (scikit-image's `perimeter_crofton` and `euler_number`
take all beyond the border for solid, which fits a particle and not a sample).
"""

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import SphericalVoronoi

from coresr_eval.petrophysics.voxels import Floats, Pore, Voxel, checked, spacing

Connectivity = Literal["face", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Minkowski:
    """The functionals of a pore space, each a density."""

    porosity: float
    """Share of pore, 0–1."""
    specific_surface: float
    """Pore boundary per bulk area or volume, 1/µm."""
    euler: float
    """Euler number per bulk area (1/µm²) or volume (1/µm³)."""


def minkowski(pore: ArrayLike, *, voxel_um: Voxel, connectivity: Connectivity = "face") -> Minkowski:
    """All functionals of `pore`, as `porosity`, `specific_surface` and `euler` say."""
    return Minkowski(
        porosity=porosity(pore),
        specific_surface=specific_surface(pore, voxel_um=voxel_um),
        euler=euler(pore, voxel_um=voxel_um, connectivity=connectivity),
    )


def porosity(pore: ArrayLike) -> float:
    """Share of True in `pore`, `(y, x)` or `(z, y, x)`.

    >>> porosity([[True, False], [False, False]])
    0.25
    """
    array = checked(pore)
    return int(np.count_nonzero(array)) / array.size


def specific_surface(pore: ArrayLike, *, voxel_um: Voxel) -> float:
    """Pore boundary per bulk area (2-D) or volume (3-D) in 1/µm, by the discrete Crofton formula.

    Crossings per length are counted along the 4 (13) directions to the neighbours and averaged by the part of the
    circle (sphere) that is nearest to each: boundary per area = π/2 × crossings per length, per volume = 2 × (Ohser &
    Mücklich 2000, Statistical Analysis of Microstructures in Materials Science, ch. 3-4). Voxel faces are not
    counted, which would give 27 % (50 %) too much. Bias: none by direction where the rock is isotropic; one flat
    boundary reads between -5.2 % and +2.6 % (3-D: -7.4 % and +2.3 %) by its direction. Two boundaries less than a voxel
    apart are missed, so sharp edges cost: between overlapping grains, at porosity 0.5, discs of radius 12 voxels read
    2 % too low, spheres of radius 10 4 % and of radius 6 6 %. Noise of single voxels counts as surface.
    """
    array = checked(pore)
    sides = spacing(voxel_um, array.ndim)
    steps, weights = _directions(sides)
    crossings = 0.0
    for step, weight in zip(steps, weights, strict=True):
        here, there = _pairs(array, step)
        length = math.hypot(*(s * side for s, side in zip(step, sides, strict=True)))
        crossings += weight * int(np.count_nonzero(here != there)) / (here.size * length)
    return crossings * (math.pi / 2 if array.ndim == 2 else 2.0)


def euler(pore: ArrayLike, *, voxel_um: Voxel, connectivity: Connectivity = "face") -> float:
    """Euler number per bulk area (1/µm²: pores less the grains within) or volume (1/µm³: pores less loops plus holes).

    Under "face", pore voxels are connected through faces (4 and 6 neighbours) and solid ones through corners too;
    "full" is the reverse (8 and 26). Summed over blocks of 2×2(×2) voxels, each with its share of the vertices,
    edges, squares and cubes (Ohser & Mücklich 2000, ch. 3-4). Negative where the pore space is well connected.
    Validity: it counts topology, so noise of single voxels dominates it, and it compares images on one grid only.
    For smooth boundaries both connectivities converge to the truth. Where boundaries meet in sharp edges a bias stays
    on any grid (Ohser, Nagel & Schladitz 2009): between overlapping discs, number ρ, radius r, the term π ρ² r² reads
    4 ρ² r² ("full": 3.3); between spheres at porosity 0.5 the whole reads twice ("full": 1.4 times) the truth.
    """
    array = checked(pore)
    if connectivity not in ("face", "full"):
        raise ValueError(f'connectivity must be "face" or "full", got {connectivity!r}')
    codes = _block_codes(array)
    counts = np.bincount(codes.ravel(), minlength=2**2**array.ndim)
    total = float(counts @ _block_euler(array.ndim, connectivity))
    return total / (codes.size * math.prod(spacing(voxel_um, array.ndim)))


def _pairs(array: NDArray[Any], step: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Each voxel that has a neighbour `step` away inside the array, and that neighbour."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, array.shape, strict=True))
    there = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(step, array.shape, strict=True))
    return array[here], array[there]


@lru_cache(maxsize=32)
def _directions(sides: tuple[float, ...]) -> tuple[tuple[tuple[int, ...], ...], tuple[float, ...]]:
    """Steps to half of the neighbours, and the share of all directions that lies nearest to each."""
    every = [step for step in itertools.product((-1, 0, 1), repeat=len(sides)) if any(step)]
    vectors = np.array(every) * sides
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    shares = _arcs(units) if len(sides) == 2 else SphericalVoronoi(units).calculate_areas() / (4 * math.pi)
    half = [number for number, step in enumerate(every) if step > (0,) * len(sides)]
    return tuple(every[number] for number in half), tuple(2 * float(shares[number]) for number in half)


def _arcs(units: Floats) -> Floats:
    """Share of the circle that lies nearest to each of the unit vectors `(n, 2)`."""
    angles = np.arctan2(units[:, 0], units[:, 1])
    order = np.argsort(angles)
    gaps = np.diff(angles[order], append=angles[order[0]] + 2 * math.pi)
    shares = np.empty(len(angles))
    shares[order] = (gaps + np.roll(gaps, 1)) / (4 * math.pi)
    return shares


def _block_codes(array: Pore) -> NDArray[np.uint8]:
    """Each block of 2×2(×2) voxels as a number, one bit a voxel, the last axis running fastest."""
    codes = array.view(np.uint8)
    for axis in reversed(range(array.ndim)):
        here, there = _pairs(codes, tuple(int(a == axis) for a in range(array.ndim)))
        codes = here | there << 2 ** (array.ndim - 1 - axis)
    return codes


@lru_cache(maxsize=4)
def _block_euler(ndim: int, connectivity: Connectivity) -> Floats:
    """What each block adds to the Euler number: its cells by sign, shared with the blocks that hold them, too."""
    if connectivity == "full":  # the Euler number of the other phase, with the sign of a boundary's two sides
        other: Floats = (-1) ** (ndim - 1) * _block_euler(ndim, "face")[::-1]
        return other
    corners = np.array(list(itertools.product((0, 1), repeat=ndim)))
    inside = (np.arange(2**2**ndim)[:, None] >> np.arange(2**ndim)) & 1
    total = np.zeros(2**2**ndim)
    for pattern in itertools.product((0, 1, None), repeat=ndim):  # None: the cell spans this axis
        members = [all(p is None or p == c for p, c in zip(pattern, corner, strict=True)) for corner in corners]
        spanned = sum(p is None for p in pattern)
        total += (-1) ** spanned * inside[:, members].all(axis=1) / 2 ** (ndim - spanned)
    return total
