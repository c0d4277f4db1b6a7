import itertools
import math
from dataclasses import astuple

import numpy as np
import pytest
from skimage.measure import euler_number

from coresr_eval.petrophysics import Minkowski, euler, minkowski, porosity, specific_surface
from coresr_eval.petrophysics.functionals import Connectivity, _directions


def rock(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Blobs some voxels wide."""
    noise = np.fft.fftn(np.random.default_rng(seed).standard_normal(shape))
    square = np.asarray(sum(np.meshgrid(*[np.fft.fftfreq(n) ** 2 for n in shape], indexing="ij", sparse=True)))
    return np.asarray(np.fft.ifftn(noise * np.exp(-150 * square)).real > 0)


def disc(side: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(x**2 + y**2 < radius**2)


@pytest.mark.parametrize("shape", [(30, 41), (12, 15, 18)])
@pytest.mark.parametrize("connectivity", ["face", "full"])
def test_euler_of_a_particle_is_scikit_images(shape: tuple[int, ...], connectivity: Connectivity) -> None:
    for seed in range(5):
        particle = np.pad(np.random.default_rng(seed).random(shape) < 0.4, 1)
        blocks = math.prod(n - 1 for n in particle.shape)
        number = euler(particle, voxel_um=1, connectivity=connectivity) * blocks
        truth = euler_number(particle, 1 if connectivity == "face" else len(shape))  # type: ignore[no-untyped-call]
        assert number == pytest.approx(truth, abs=1e-9)


def test_euler_counts_pores_less_grains_inside_and_in_space_less_handles() -> None:
    ring = disc(64, 24) & ~disc(64, 10)
    assert euler(ring, voxel_um=1) * 63**2 == pytest.approx(0, abs=1e-9)
    assert euler(disc(64, 24), voxel_um=1) * 63**2 == pytest.approx(1)
    torus = np.zeros((16, 64, 64), bool)
    torus[4:12] = ring
    assert euler(torus, voxel_um=1) * 15 * 63**2 == pytest.approx(0, abs=1e-9)
    hollow = np.zeros((16, 64, 64), bool)
    hollow[4:12] = disc(64, 24)
    hollow[7:9] &= ~disc(64, 10)
    assert euler(hollow, voxel_um=1) * 15 * 63**2 == pytest.approx(2)


@pytest.mark.parametrize("shape", [(61, 50), (30, 25, 20)])
def test_pore_and_solid_share_one_boundary(shape: tuple[int, ...]) -> None:
    pore = rock(shape)
    sign = -1 if len(shape) == 2 else 1
    assert porosity(~pore) == pytest.approx(1 - porosity(pore))
    assert specific_surface(~pore, voxel_um=2) == specific_surface(pore, voxel_um=2)
    assert euler(~pore, voxel_um=2) == pytest.approx(sign * euler(pore, voxel_um=2, connectivity="full"))


@pytest.mark.parametrize("shape", [(61, 50), (30, 25, 20)])
def test_flips_and_turns_change_nothing(shape: tuple[int, ...]) -> None:
    pore = rock(shape)
    sides = (1.0, 2.0, 3.0)[: len(shape)]
    truth = astuple(minkowski(pore, voxel_um=sides))
    for axis in range(len(shape)):
        assert astuple(minkowski(np.flip(pore, axis), voxel_um=sides)) == pytest.approx(truth)
    for order in itertools.permutations(range(len(shape))):
        turned = minkowski(pore.transpose(order), voxel_um=tuple(sides[axis] for axis in order))
        assert astuple(turned) == pytest.approx(truth)


@pytest.mark.parametrize("shape", [(61, 50), (31, 25, 20)])
@pytest.mark.parametrize("connectivity", ["face", "full"])
def test_euler_of_two_overlapping_windows_adds_up(shape: tuple[int, ...], connectivity: Connectivity) -> None:
    pore = rock(shape)

    def number(part: np.ndarray) -> float:
        """Of a part as a particle in solid."""
        padded = np.pad(part, 1)
        return float(euler(padded, voxel_um=1, connectivity=connectivity) * math.prod(n - 1 for n in padded.shape))

    one, other = pore.copy(), pore.copy()
    one[40 * shape[0] // 61 :] = False
    other[: 20 * shape[0] // 61] = False
    assert number(one | other) + number(one & other) == pytest.approx(number(one) + number(other), abs=1e-6)
    assert abs(number(one & other)) > 0.5


@pytest.mark.parametrize("shape", [(61, 50), (30, 25, 20)])
def test_larger_voxels_scale_each_functional_by_its_dimension(shape: tuple[int, ...]) -> None:
    pore, ndim = rock(shape), len(shape)
    small, large = minkowski(pore, voxel_um=1.5), minkowski(pore, voxel_um=3.0)
    assert large.porosity == small.porosity
    assert large.specific_surface == pytest.approx(small.specific_surface / 2)
    assert large.euler == pytest.approx(small.euler / 2**ndim)


def test_border_of_the_window_is_no_wall() -> None:
    assert minkowski(np.ones((20, 20), bool), voxel_um=1) == Minkowski(porosity=1, specific_surface=0, euler=0)
    assert minkowski(np.ones((9, 9, 9), bool), voxel_um=1) == Minkowski(porosity=1, specific_surface=0, euler=0)
    half = np.zeros((20, 20), bool)
    half[:, 10:] = True
    assert euler(half, voxel_um=1) == 0


def test_length_of_a_straight_boundary_errs_by_its_direction_as_stated() -> None:
    y, x = np.mgrid[:1213, :1213]
    errors = []
    for degrees in np.arange(0, 90, 7.5):
        angle = math.radians(degrees)
        across = (x * math.cos(angle) + y * math.sin(angle)) % 12 < 6  # stripes: two edges each 12 pixels
        errors.append(specific_surface(across, voxel_um=1) * 6 - 1)
    assert min(errors) == pytest.approx(-0.052, abs=0.001)
    assert max(errors) == pytest.approx(0.026, abs=0.001)


def test_surface_of_layers_across_an_axis_errs_as_stated() -> None:
    layers = np.zeros((31, 20, 20), bool)
    layers[np.arange(31) % 10 < 5] = True
    for axis in range(3):
        found = specific_surface(np.moveaxis(layers, 0, axis), voxel_um=1)
        assert found * 5 - 1 == pytest.approx(-0.0734, abs=0.0001)


def test_directions_of_space_have_the_published_weights() -> None:
    steps, weights = _directions((1.0, 1.0, 1.0))
    published = {1: 2 * 0.0457785, 2: 2 * 0.0369806, 3: 2 * 0.0351956}  # Ohser & Mücklich 2000, table 4.1
    assert len(steps) == 13
    for step, weight in zip(steps, weights, strict=True):
        assert weight == pytest.approx(published[sum(map(abs, step))], abs=2e-6)


@pytest.mark.parametrize("voxel_um", [1.0, (1.0, 1.6)])
def test_disc_has_its_circumference_whatever_the_shape_of_pixels(voxel_um: float | tuple[float, float]) -> None:
    sides = np.broadcast_to(voxel_um, 2)
    grids = [(np.arange(round(240 / side)) + 0.5) * side - 120 for side in sides]
    round_pore = np.add.outer(grids[0] ** 2, grids[1] ** 2) < 100**2
    area = round_pore.size * math.prod(sides)
    assert specific_surface(round_pore, voxel_um=voxel_um) * area == pytest.approx(2 * math.pi * 100, rel=0.01)


@pytest.mark.parametrize("voxel_um", [1.0, (1.5, 1.0, 1.0)])
def test_ball_has_its_surface_whatever_the_shape_of_voxels(voxel_um: float | tuple[float, float, float]) -> None:
    sides = np.broadcast_to(voxel_um, 3)
    grids = [(np.arange(round(72 / side)) + 0.5) * side - 36 for side in sides]
    squared = np.asarray(sum(np.meshgrid(*[grid**2 for grid in grids], indexing="ij", sparse=True)))
    ball = np.pad(
        squared < 30**2, 40
    )  # the window's planes of pairs are one fewer than its voxels: little, where it is wide
    volume = ball.size * math.prod(sides)
    assert specific_surface(ball, voxel_um=voxel_um) * volume == pytest.approx(4 * math.pi * 900, rel=0.015)


def test_what_is_no_pore_space_is_refused() -> None:
    with pytest.raises(ValueError, match="pore must be a boolean array"):
        porosity(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="give one slice as"):
        euler(np.ones((1, 4, 4), bool), voxel_um=1)
    with pytest.raises(ValueError, match="voxel_um must be one positive number or 2"):
        specific_surface(np.ones((4, 4), bool), voxel_um=(1, 1, 1))
    with pytest.raises(ValueError, match="voxel_um"):
        specific_surface(np.ones((4, 4), bool), voxel_um=math.nan)
    with pytest.raises(ValueError, match="connectivity must be"):
        euler(np.ones((4, 4), bool), voxel_um=1, connectivity="8")  # type: ignore[arg-type]
