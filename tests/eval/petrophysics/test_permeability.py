import math

import numpy as np
import pytest

from coresr_eval.petrophysics import (
    electric_length,
    formation_factor,
    permeability,
    porosity,
    specific_surface,
    stokes_permeability,
)
from tests.eval.petrophysics.test_conduction import around_a_sphere


def tube(side: int, radius: float, length: int = 4) -> np.ndarray:
    grid = (np.arange(side) - (side - 1) / 2) ** 2
    return np.broadcast_to(np.add.outer(grid, grid) < radius**2, (length, side, side)).copy()


def test_electric_length_of_a_round_tube_is_its_radius_and_that_of_plates_their_distance() -> None:
    length, factor = electric_length(tube(60, 25.0), voxel_um=2.0)
    assert length == pytest.approx(50, rel=0.02)
    assert factor == pytest.approx(1 / porosity(tube(60, 25.0)), rel=1e-6)
    plates = np.zeros((4, 40, 30), bool)
    plates[:, 5:35] = True
    flat, _ = electric_length(plates, voxel_um=1.0)
    assert flat == pytest.approx(30 / 0.927, rel=0.03)  # planes across an axis read 7.3 % too little surface


def test_electric_length_follows_the_axis_and_the_shape_of_voxels() -> None:
    pore = np.random.default_rng(0).random((10, 10, 10)) < 0.5
    one, factor = electric_length(pore, voxel_um=1.0, axis=2)
    turned, same = electric_length(np.moveaxis(pore, 2, 0), voxel_um=3.0)
    assert turned == pytest.approx(3 * one, rel=1e-4)
    assert same == pytest.approx(factor, rel=1e-6)
    assert factor == pytest.approx(formation_factor(pore, voxel_um=1.0, axis=2), rel=1e-9)
    fine = around_a_sphere(24, 0.3)
    coarse = fine[::2]
    assert electric_length(coarse, voxel_um=(2.0, 1.0, 1.0))[0] == pytest.approx(
        electric_length(fine, voxel_um=1.0)[0], rel=0.15
    )


def test_johnsons_permeability_of_a_tube_is_poiseuilles_and_within_reach_in_a_packing() -> None:
    pore = tube(60, 25.0)
    found = permeability(pore, voxel_um=2.0)
    assert found.johnson_um2 == pytest.approx(porosity(pore) * 50**2 / 8, rel=0.04)
    cell = around_a_sphere(20, math.pi / 6)
    assert 0.5 < permeability(cell, voxel_um=1.0).johnson_um2 / stokes_permeability(cell, voxel_um=1.0) < 2


def test_estimates_are_their_formulas() -> None:
    pore = np.zeros((6, 20, 20), bool)
    pore[:, 3:12, 4:15] = True
    found = permeability(pore, voxel_um=2.0)
    assert found.formation_factor == pytest.approx(400 / 99)
    assert found.critical_um == 18
    assert found.katz_thompson_um2 == pytest.approx(18**2 / 226 * 99 / 400)
    surface = specific_surface(pore, voxel_um=2.0)
    assert found.kozeny_carman_um2 == pytest.approx((99 / 400) ** 3 / (5 * surface**2))
    assert found.johnson_um2 == pytest.approx(found.electric_um**2 / (8 * found.formation_factor))


def test_permeability_grows_as_the_voxels_face() -> None:
    pore = around_a_sphere(12, 0.4)
    small, large = permeability(pore, voxel_um=1.0), permeability(pore, voxel_um=3.0)
    assert large.johnson_um2 == pytest.approx(9 * small.johnson_um2)
    assert large.katz_thompson_um2 == pytest.approx(9 * small.katz_thompson_um2)
    assert large.kozeny_carman_um2 == pytest.approx(9 * small.kozeny_carman_um2)


def test_what_nothing_crosses_is_not_permeable() -> None:
    pore = around_a_sphere(12, 0.4)
    pore[5] = False
    found = permeability(pore, voxel_um=1.0)
    assert (found.formation_factor, found.johnson_um2, found.katz_thompson_um2) == (math.inf, 0, 0)
    assert found.electric_um == found.critical_um == 0


def test_electric_length_of_a_slice_or_without_walls_is_refused() -> None:
    for pore in (np.eye(6, dtype=bool), np.ones((6, 6, 6), bool)):
        with pytest.raises(ValueError, match="with solid voxels"):
            electric_length(pore, voxel_um=1.0)


def test_slices_oblong_voxels_and_wrong_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="a slice has no flow paths"):
        permeability(np.ones((6, 6), bool), voxel_um=1.0)
    with pytest.raises(ValueError, match="resample to cubic"):
        permeability(np.ones((6, 6, 6), bool), voxel_um=(1.0, 1.0, 2.0))
    with pytest.raises(ValueError, match="axis must be one of the 3 axes"):
        permeability(around_a_sphere(6, 0.3), voxel_um=1.0, axis=3)
