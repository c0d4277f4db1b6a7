"""Overlapping discs and spheres at random, a rock whose every measure has a closed form: on the plane and on a grid.

The void is the pore. A set of points lies in it where no centre is within a radius of any of them, which for Poisson
centres has the probability exp(-ρ |union of the discs around the points|); so has whatever counts voxels.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray


def void(radius: float, density: float, shape: tuple[int, ...], seed: int) -> NDArray[np.bool_]:
    """A window onto the void between discs (spheres) of `radius` voxels, `density` centres per pixel (voxel)."""
    rng = np.random.default_rng(seed)
    room = np.array(shape) + 2 * radius
    centres = rng.random((rng.poisson(density * math.prod(room)), len(shape))) * room - radius
    pore = np.ones(shape, dtype=bool)
    for centre in centres:
        low = np.maximum(np.ceil(centre - radius), 0).astype(int)
        high = np.minimum(np.floor(centre + radius) + 1, shape).astype(int)
        if (low < high).all():
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            offsets = [(np.arange(a, b) - c) ** 2 for a, b, c in zip(low, high, centre, strict=True)]
            squared = np.asarray(sum(np.meshgrid(*offsets, indexing="ij", sparse=True)))
            pore[box] &= squared > radius**2
    return pore


def union(points: list[tuple[float, float]], radius: float) -> float:
    """Area of the union of discs around up to four `points`, by the lengths of its sections."""
    at = np.array(points, dtype=np.float64)
    left, right = at[:, 0].min() - radius, at[:, 0].max() + radius
    x = left + (np.arange(200_000) + 0.5) * (right - left) / 200_000
    half = np.sqrt(np.maximum(radius**2 - (x[:, None] - at[:, 0]) ** 2, 0))
    half[half == 0] = np.nan
    lower, upper = at[:, 1] - half, at[:, 1] + half
    order = np.argsort(lower, axis=1)
    lower, upper = np.take_along_axis(lower, order, axis=1), np.take_along_axis(upper, order, axis=1)
    covered = np.fmax.accumulate(upper, axis=1)
    before = np.concatenate([np.full((x.size, 1), -np.inf), covered[:, :-1]], axis=1)
    return float(np.nansum(np.maximum(upper - np.fmax(lower, before), 0)) * (right - left) / 200_000)


def disc_pair(radius: float, distance: float) -> float:
    """Area of the union of two discs."""
    if distance >= 2 * radius:
        return 2 * math.pi * radius**2
    half = distance / (2 * radius)
    return 2 * math.pi * radius**2 - 2 * radius**2 * (math.acos(half) - half * math.sqrt(1 - half**2))


def ball_pair(radius: float, distance: float) -> float:
    """Volume of the union of two balls."""
    both = 8 / 3 * math.pi * radius**3
    if distance >= 2 * radius:
        return both
    return both - math.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12


def euler_of_pixels(radius: float, density: float, *, corners: bool) -> float:
    """Expected Euler number per pixel: points less links plus triangles …, links across corners too where told."""
    square = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0)]

    def chance(*points: tuple[float, float]) -> float:
        return math.exp(-density * union(list(points), radius))

    if not corners:
        return chance(square[0]) - 2 * chance(*square[:2]) + chance(*square)
    links = 2 * chance(*square[:2]) + chance(square[0], square[3]) + chance(square[1], square[2])
    triangles = sum(chance(*three) for three in itertools.combinations(square, 3))
    return chance(square[0]) - links + triangles - chance(*square)


def euler_of_voxels(radius: float, density: float) -> float:
    """Expected Euler number per voxel under 6 neighbours: vertices less edges plus squares less cubes.

    The union of equal balls on the corners of a cube falls apart into the parts nearest to each corner.
    """
    chance = [math.exp(-density * 2**cut * _cut_ball(radius, cut)) for cut in range(4)]
    return chance[0] - 3 * chance[1] + 3 * chance[2] - chance[3]


def _cut_ball(radius: float, cut: int) -> float:
    """Volume of a ball less what lies beyond `cut` planes at right angles, each half a voxel from its centre."""
    top = 0.5 if cut else radius
    z = -radius + (np.arange(100_000) + 0.5) * ((radius + top) / 100_000)
    s = np.sqrt(radius**2 - z**2)
    lost = np.minimum(0.5 / s, 1)
    beyond = s**2 * (np.arccos(lost) - lost * np.sqrt(1 - lost**2))  # of the section, beyond one line
    both = np.where(s**2 > 0.5, _beyond_both(s), 0)
    area = math.pi * s**2 - max(cut - 1, 0) * beyond + (both if cut == 3 else 0)
    return float(area.sum() * (z[1] - z[0]))


def _beyond_both(s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of a disc of radius `s` where both coordinates exceed one half."""
    s = np.maximum(s, math.sqrt(0.5))
    end = np.sqrt(s**2 - 0.25)

    def primitive(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return (x * np.sqrt(np.maximum(s**2 - x**2, 0)) + s**2 * np.arcsin(np.minimum(x / s, 1))) / 2

    return np.asarray(primitive(end) - primitive(np.full_like(s, 0.5)) - 0.5 * (end - 0.5))
