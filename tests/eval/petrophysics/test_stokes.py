import math

import numpy as np
import pytest

from coresr_eval.petrophysics import stokes, stokes_permeability
from tests.eval.petrophysics.test_conduction import around_a_sphere

SQUARE_DUCT = 0.0351442537  # k / side²: 1/12 - 16/π⁵ Σ tanh((2n+1) π/2) / (2n+1)⁵ over odd numbers (White 1991, 3-48)


def plates(apart: int) -> np.ndarray:
    pore = np.zeros((3, apart + 2, 2), bool)
    pore[:, 1:-1] = True
    return pore


def duct(side: int) -> np.ndarray:
    pore = np.zeros((3, side + 2, side + 2), bool)
    pore[:, 1:-1, 1:-1] = True
    return pore


def test_the_constant_of_a_square_duct_is_the_sum_of_its_series() -> None:
    odd = np.arange(1, 200, 2)
    series = (1 - 192 / math.pi**5 * np.sum(np.tanh(odd * math.pi / 2) / odd**5)) / 12
    assert pytest.approx(series, rel=1e-8) == SQUARE_DUCT


@pytest.mark.parametrize("apart", [1, 2, 5, 12])
def test_plates_let_through_a_twelfth_of_their_distance_squared_and_the_error_stated(apart: int) -> None:
    truth = (apart * 2.0) ** 2 / 12 * apart / (apart + 2)
    found = stokes_permeability(plates(apart), voxel_um=2.0)
    assert found == pytest.approx(truth * (1 + 2 / apart**2), rel=1e-6)


def test_square_duct_converges_at_second_order() -> None:
    errors = {
        side: stokes_permeability(duct(side), voxel_um=1.0) * (side + 2) ** 2 / (SQUARE_DUCT * side**4) - 1
        for side in (6, 12, 24)
    }
    assert errors[12] / errors[24] == pytest.approx(4, rel=0.05)
    assert errors[6] / errors[12] == pytest.approx(4, rel=0.1)
    assert errors[24] == pytest.approx(4 / 24**2, rel=0.1)


@pytest.mark.parametrize(("share", "drag"), [(0.125, 4.292), (0.45, 28.1), (math.pi / 6, 42.1)])
def test_cubic_packing_has_the_drag_of_zick_and_homsy(share: float, drag: float) -> None:
    """Table 2 of J. Fluid Mech. 115 (1982): k = d²/(18 f K); 24 voxels a cell."""
    cell = around_a_sphere(24, share)
    radius = (3 * share / (4 * math.pi)) ** (1 / 3) * 24
    truth = 24**3 / (6 * math.pi * radius * drag)
    assert stokes_permeability(cell, voxel_um=1.0) == pytest.approx(truth, rel=0.06)


def test_flow_is_the_same_from_every_side() -> None:
    pore = np.ones((8, 9, 10), bool)
    pore[2:5, 3:6, 4:9] = False
    one = stokes_permeability(pore, voxel_um=1.0, axis=1)
    assert stokes_permeability(pore[:, ::-1], voxel_um=1.0, axis=1) == pytest.approx(one, rel=1e-5)
    assert stokes_permeability(pore[::-1, :, ::-1], voxel_um=1.0, axis=1) == pytest.approx(one, rel=1e-5)
    assert stokes_permeability(pore.transpose(1, 2, 0), voxel_um=1.0) == pytest.approx(one, rel=1e-5)
    assert stokes_permeability(pore, voxel_um=3.0, axis=1) == pytest.approx(9 * one, rel=1e-5)


def test_as_much_flows_out_as_in_wherever_one_looks() -> None:
    """Two cells in a row, each of half the flow path, have the permeability of one: k is no function of the length."""
    cell = around_a_sphere(12, 0.3)
    one = stokes_permeability(cell, voxel_um=1.0)
    assert stokes_permeability(np.concatenate([cell, cell]), voxel_um=1.0) == pytest.approx(one, rel=1e-5)
    assert stokes_permeability(np.concatenate([cell, cell], axis=1), voxel_um=1.0) == pytest.approx(one, rel=1e-5)


def test_dead_ends_and_isolated_pores_change_little_or_nothing() -> None:
    pore = duct(6)
    one = stokes_permeability(pore, voxel_um=1.0)
    isolated = np.pad(pore, [(0, 0), (0, 4), (0, 0)])
    isolated[1, -2, 3] = True
    assert stokes_permeability(isolated, voxel_um=1.0) == pytest.approx(one * 8 / 12, rel=1e-6)


def test_what_nothing_crosses_has_none() -> None:
    pore = np.ones((6, 6, 6), bool)
    pore[3] = False
    assert stokes_permeability(pore, voxel_um=1.0) == 0
    assert stokes_permeability(pore, voxel_um=1.0, axis=2) > 0


def test_domains_that_are_flat_or_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="a slice has no flow paths"):
        stokes_permeability(np.ones((6, 6), bool), voxel_um=1.0)
    with pytest.raises(ValueError, match="resample to cubic"):
        stokes_permeability(duct(3), voxel_um=(1.0, 1.0, 2.0))
    monkeypatch.setattr(stokes, "VOXELS", 26)
    with pytest.raises(ValueError, match="at most 26 voxels that percolate, got 27; cut a smaller volume out"):
        stokes_permeability(duct(3), voxel_um=1.0)
