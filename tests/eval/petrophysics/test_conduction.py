import math
from functools import partial

import numpy as np
import pytest

from coresr_eval.petrophysics import conduction, effective_conductivity, formation_factor
from coresr_eval.petrophysics.conduction import conjugate_gradients


def around_a_sphere(side: int, share: float) -> np.ndarray:
    """The cell of a cubic packing: all but a sphere of that share of the volume."""
    radius = (3 * share / (4 * math.pi)) ** (1 / 3) * side
    grid = (np.arange(side) + 0.5 - side / 2) ** 2
    return np.asarray(sum(np.meshgrid(grid, grid, grid, indexing="ij", sparse=True)) >= radius**2)


def rayleigh(share: float) -> float:
    """Conductivity of a cubic array of insulating spheres (Rayleigh 1892; Zuzovsky & Brenner 1977 to f^(10/3))."""
    return 1 - 3 * share / (2 + share - 1.306 * 0.75 * math.pow(share, 10 / 3))


def test_straight_square_channels_conduct_by_their_porosity() -> None:
    channels = np.zeros((7, 20, 20), bool)
    channels[:, 2:8, 3:9] = channels[:, 12:15, 12:15] = True
    assert formation_factor(channels, voxel_um=2.0) == pytest.approx(400 / 45, rel=1e-6)
    assert formation_factor(np.moveaxis(channels, 0, 2), voxel_um=2.0, axis=-1) == pytest.approx(400 / 45, rel=1e-6)


def test_layers_conduct_by_their_mean_along_and_by_their_harmonic_mean_across() -> None:
    layers = np.broadcast_to(np.array([1.0, 5.0, 0.5, 2.0, 2.0])[:, None, None], (5, 4, 6))
    for axis in (1, 2):
        assert effective_conductivity(layers, voxel_um=(3.0, 1.0, 2.0), axis=axis) == pytest.approx(2.1, rel=1e-6)
    harmonic = 5 / (1 + 1 / 5 + 2 + 1 / 2 + 1 / 2)
    assert effective_conductivity(layers, voxel_um=(3.0, 1.0, 2.0), axis=0) == pytest.approx(harmonic, rel=1e-6)


@pytest.mark.parametrize("share", [0.125, 0.343])
def test_cubic_packing_of_spheres_converges_to_rayleighs_series_from_above(share: float) -> None:
    errors = [formation_factor(around_a_sphere(side, share), voxel_um=1) * rayleigh(share) - 1 for side in (16, 48)]
    assert 0 < errors[1] < 0.75 * errors[0]
    assert errors[1] < 0.025


def test_no_isotropic_pore_space_conducts_better_than_maxwells() -> None:
    pore = around_a_sphere(24, 0.3)
    phi = pore.mean()
    assert formation_factor(pore, voxel_um=1) > (3 - phi) / (2 * phi)


def test_of_two_equal_phases_in_random_squares_the_conductivity_is_the_geometric_mean() -> None:
    """Keller 1964, Dykhne 1970: in the plane σ* = sqrt(σ1 σ2) where the phases can be exchanged."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(8):
        cells = np.kron(rng.random((24, 24)) < 0.5, np.ones((4, 4)))
        found.append(math.log(effective_conductivity(np.where(cells, 3.0, 1.0), voxel_um=1)))
    assert np.mean(found) == pytest.approx(math.log(3) / 2, abs=3.5 * float(np.std(found, ddof=1)) / math.sqrt(8))


def test_oblong_voxels_conduct_as_the_cubic_ones_they_merge() -> None:
    fine = np.kron(np.random.default_rng(3).choice([0.1, 1.0], (6, 12)), np.ones((16, 8)))
    one = effective_conductivity(fine, voxel_um=1.0)
    assert effective_conductivity(fine[::2], voxel_um=(2.0, 1.0)) == pytest.approx(one, rel=0.02)
    assert effective_conductivity(fine[::2], voxel_um=1.0) != pytest.approx(one, rel=0.1)


def test_voxel_size_is_of_no_matter_and_dead_ends_carry_nothing() -> None:
    pore = np.random.default_rng(0).random((14, 14, 14)) < 0.5
    one = formation_factor(pore, voxel_um=1.0)
    assert formation_factor(pore, voxel_um=7.0) == pytest.approx(one, rel=1e-6)
    assert formation_factor(pore[::-1, ::-1], voxel_um=1.0) == pytest.approx(one, rel=1e-6)
    assert one > 1 / pore.mean()
    tube = np.zeros((9, 9, 9), bool)
    tube[:, 4, 4] = True
    tube[4, 4, :] = True
    assert formation_factor(tube, voxel_um=1.0) == pytest.approx(81, rel=1e-6)


def test_what_nothing_crosses_has_an_infinite_factor() -> None:
    pore = np.ones((6, 6, 6), bool)
    pore[3] = False
    assert formation_factor(pore, voxel_um=1.0) == math.inf
    assert formation_factor(pore, voxel_um=1.0, axis=1) == pytest.approx(6 / 5)


def test_the_coarse_problem_carries_the_current_down_a_long_tube_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The diagonal alone takes a step for each voxel that it has to pass."""
    monkeypatch.setattr(conduction, "conjugate_gradients", partial(conjugate_gradients, limit=150))
    assert formation_factor(np.ones((1500, 2, 2), bool), voxel_um=1.0) == pytest.approx(1, rel=1e-4)


def test_bad_media_and_systems_that_do_not_converge_are_refused() -> None:
    with pytest.raises(ValueError, match="conductivity must be finite and not negative"):
        effective_conductivity(np.array([[1.0, -1.0], [1.0, 1.0]]), voxel_um=1)
    with pytest.raises(ValueError, match="axis must be one of the 2 axes"):
        formation_factor(np.ones((4, 4), bool), voxel_um=1, axis=2)
    with pytest.raises(FloatingPointError, match="must converge in 2 steps"):
        conjugate_gradients(np.diag(np.arange(1.0, 9.0)), np.ones(8), None, 1e-9, limit=2)
