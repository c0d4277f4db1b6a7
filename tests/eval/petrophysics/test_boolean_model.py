"""The rock of closed forms: what many realisations give on average, within their own scatter."""

import math
from functools import cache

import numpy as np
import pytest

from coresr_eval.petrophysics import euler, porosity, specific_surface, two_point
from tests.eval.petrophysics.boolean_model import (
    ball_pair,
    disc_pair,
    euler_of_pixels,
    euler_of_voxels,
    union,
    void,
)

SURE = 3.5  # standard errors of the mean
DISCS, DISC_RADIUS, DISC_SHARE = 30, 12.0, 0.7
BALLS, BALL_RADIUS, BALL_SHARE = 12, 6.0, 0.7
DISC_DENSITY = DISC_SHARE / (math.pi * DISC_RADIUS**2)
BALL_DENSITY = BALL_SHARE / (4 / 3 * math.pi * BALL_RADIUS**3)
# Ohser & Mücklich 2000, table 4.1: of the sphere's 26 directions to the neighbours, by the distance to them
VORONOI = [(6 * 0.0457785, 1.0), (12 * 0.0369806, math.sqrt(2)), (8 * 0.0351956, math.sqrt(3))]


@cache
def discs() -> list[np.ndarray]:
    return [void(DISC_RADIUS, DISC_DENSITY, (400, 400), seed) for seed in range(DISCS)]


@cache
def balls() -> list[np.ndarray]:
    return [void(BALL_RADIUS, BALL_DENSITY, (72, 72, 72), seed) for seed in range(BALLS)]


def deviation(values: list[float], truth: float) -> float:
    """How far the mean lies from the truth, in its standard errors."""
    return float((np.mean(values) - truth) / (np.std(values, ddof=1) / math.sqrt(len(values))))


def test_areas_of_unions_are_those_of_geometry() -> None:
    assert union([(0, 0)], 12.0) == pytest.approx(math.pi * 144, rel=1e-7)
    assert union([(0, 0), (3, 4)], 12.0) == pytest.approx(disc_pair(12.0, 5.0), rel=1e-7)


def test_porosity_of_the_void_is_exp_of_minus_the_grains() -> None:
    assert abs(deviation([porosity(pore) for pore in discs()], math.exp(-DISC_SHARE))) < SURE
    assert abs(deviation([porosity(pore) for pore in balls()], math.exp(-BALL_SHARE))) < SURE


def test_specific_surface_of_discs_is_that_of_the_grid_and_within_3_percent_of_the_plane() -> None:
    lengths = [1, 1, math.sqrt(2), math.sqrt(2)]
    apart = [math.exp(-DISC_SHARE) - math.exp(-DISC_DENSITY * disc_pair(DISC_RADIUS, length)) for length in lengths]
    grid = math.pi / 2 * sum(2 * chance / length / 4 for chance, length in zip(apart, lengths, strict=True))
    plane = DISC_DENSITY * 2 * math.pi * DISC_RADIUS * math.exp(-DISC_SHARE)
    assert abs(deviation([specific_surface(pore, voxel_um=1) for pore in discs()], grid)) < SURE
    assert -0.03 < grid / plane - 1 < 0


def test_specific_surface_of_balls_is_that_of_the_grid_and_within_7_percent_of_space() -> None:
    chance = math.exp(-BALL_SHARE)
    grid = 2 * sum(
        weight * 2 * (chance - math.exp(-BALL_DENSITY * ball_pair(BALL_RADIUS, length))) / length
        for weight, length in VORONOI
    )
    space = BALL_DENSITY * 4 * math.pi * BALL_RADIUS**2 * chance
    assert abs(deviation([specific_surface(pore, voxel_um=1) for pore in balls()], grid)) < SURE
    assert -0.07 < grid / space - 1 < 0


def test_euler_of_discs_is_that_of_the_grid_under_either_connectivity() -> None:
    face = euler_of_pixels(DISC_RADIUS, DISC_DENSITY, corners=False)
    full = euler_of_pixels(DISC_RADIUS, DISC_DENSITY, corners=True)
    assert abs(deviation([euler(pore, voxel_um=1) for pore in discs()], face)) < SURE
    assert abs(deviation([euler(pore, voxel_um=1, connectivity="full") for pore in discs()], full)) < SURE


def test_euler_of_balls_is_that_of_the_grid() -> None:
    truth = euler_of_voxels(BALL_RADIUS, BALL_DENSITY)
    assert abs(deviation([euler(pore, voxel_um=1) for pore in balls()], truth)) < SURE


def test_euler_of_discs_that_seldom_overlap_is_that_of_the_plane() -> None:
    share = 0.05
    density = share / (math.pi * DISC_RADIUS**2)
    plane = -density * math.exp(-share) * (1 - density * (2 * math.pi * DISC_RADIUS) ** 2 / (4 * math.pi))
    values = [euler(void(DISC_RADIUS, density, (400, 400), seed), voxel_um=1) for seed in range(40)]
    assert abs(deviation(values, plane)) < SURE
    assert np.std(values, ddof=1) / math.sqrt(40) < 0.06 * abs(plane)


@pytest.mark.parametrize(("share", "over"), [(0.05, 0.015), (0.7, 0.65)])
def test_on_the_finest_grid_euler_keeps_the_bias_of_corners_that_its_docstring_states(
    share: float, over: float
) -> None:
    radius = 200.0
    density = share / (math.pi * radius**2)
    plane = -density * math.exp(-share) * (1 - math.pi * density * radius**2)
    grid = -density * math.exp(-share) * (1 - 4 * density * radius**2)
    assert euler_of_pixels(radius, density, corners=False) == pytest.approx(grid, abs=0.02 * abs(plane))
    assert 1 - grid / plane == pytest.approx(over, abs=0.02)


@pytest.mark.parametrize("model", ["discs", "balls"])
def test_s2_is_exp_of_minus_the_union_of_two_grains_along_the_axes_and_over_all_directions(model: str) -> None:
    if model == "discs":
        pores, density, radius, pair = discs(), DISC_DENSITY, DISC_RADIUS, disc_pair
    else:
        pores, density, radius, pair = balls(), BALL_DENSITY, BALL_RADIUS, ball_pair
    curves = [two_point(pore, voxel_um=1, max_um=3 * radius) for pore in pores]
    for lag in range(int(3 * radius) + 1):
        for axis in range(pores[0].ndim):
            values = [curve.axes[axis][lag] for curve in curves]
            assert abs(deviation(values, math.exp(-density * pair(radius, lag)))) < SURE
    for number, distance in enumerate(curves[0].distance_um):
        values = [curve.s2[number] for curve in curves]
        assert abs(deviation(values, math.exp(-density * pair(radius, distance)))) < SURE
    factor = math.pi if model == "discs" else 4
    slope = factor * (math.exp(-density * pair(radius, 0)) - math.exp(-density * pair(radius, 1)))
    assert abs(deviation([curve.specific_surface for curve in curves], slope)) < SURE
