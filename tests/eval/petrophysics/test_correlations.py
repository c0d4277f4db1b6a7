import itertools

import numpy as np
import pytest

from coresr_eval.petrophysics import TwoPoint, lineal_path, porosity, two_point


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < 0.6


@pytest.mark.parametrize("shape", [(11, 14), (6, 5, 7)])
def test_s2_counts_the_pairs_that_fit_and_wraps_none_round(shape: tuple[int, ...]) -> None:
    pore = noise(shape)
    pore[..., :3] = True  # what wraps round would show
    found = two_point(pore, voxel_um=1, max_um=min(shape) - 1)
    pairs: dict[int, list[tuple[float, bool]]] = {}
    everywhere = list(itertools.product(*map(range, shape)))
    for one, other in itertools.product(everywhere, everywhere):
        distance = float(np.hypot.reduce(np.subtract(one, other).astype(float)))
        if distance <= min(shape) - 1:
            pairs.setdefault(round(distance), []).append((distance, bool(pore[one] and pore[other])))
    assert found.distance_um == pytest.approx([np.mean([d for d, _ in pairs[key]]) for key in sorted(pairs)])
    assert found.s2 == pytest.approx([np.mean([hit for _, hit in pairs[key]]) for key in sorted(pairs)])
    for axis in range(len(shape)):
        rows = np.moveaxis(pore, axis, 0)
        means = [(rows[lag:] & rows[: len(rows) - lag]).mean() for lag in range(found.axes[axis].size)]
        assert found.axes[axis] == pytest.approx(means)


def test_s2_starts_at_the_porosity_and_lies_within_its_bounds() -> None:
    pore = noise((60, 50))
    found = two_point(pore, voxel_um=2.0)
    assert found.porosity == porosity(pore) == found.axes[0][0] == found.axes[1][0]
    assert (found.s2 <= found.porosity).all()
    assert (found.s2 >= 2 * found.porosity - 1.05).all()
    assert found.s2[5:] == pytest.approx(found.porosity**2, abs=0.03)  # of noise, the pairs are independent


def test_s2_of_the_solid_follows_from_that_of_the_pore() -> None:
    """P(both solid) = 1 - 2 φ + S2, where the pairs' own porosities are those of the window: on a torus, or far in."""
    pore = np.tile(noise((16, 16)), (6, 6))
    here, there = two_point(pore, voxel_um=1, max_um=4), two_point(~pore, voxel_um=1, max_um=4)
    assert there.s2 == pytest.approx(1 - 2 * here.porosity + here.s2, abs=0.01)


def test_larger_voxels_stretch_distances_and_nothing_else() -> None:
    pore = noise((40, 30))
    small, large = two_point(pore, voxel_um=1), two_point(pore, voxel_um=3)
    assert large.distance_um == pytest.approx(3 * small.distance_um)
    assert large.s2 == pytest.approx(small.s2)
    assert large.correlation_um == pytest.approx(3 * small.correlation_um)
    assert large.specific_surface == pytest.approx(small.specific_surface / 3)


def test_oblong_voxels_are_measured_in_micrometres() -> None:
    fine = np.kron(noise((20, 20), 3), np.ones((8, 8))).astype(bool)
    coarse = fine[::2]
    found, truth = two_point(coarse, voxel_um=(2.0, 1.0), max_um=12), two_point(fine, voxel_um=1, max_um=12)
    assert found.axes[0][:6] == pytest.approx(truth.axes[0][:12:2], abs=0.02)
    assert found.axes[1] == pytest.approx(truth.axes[1], abs=0.02)
    assert np.interp([3, 6, 9], found.distance_um, found.s2) == pytest.approx(
        np.interp([3, 6, 9], truth.distance_um, truth.s2), abs=0.01
    )


def test_correlation_length_of_an_exponential_is_its_length() -> None:
    """Cells of a Poisson line process, each pore or solid by itself: S2 - φ² falls as exp(-r/L)."""
    rng = np.random.default_rng(0)
    lengths = []
    y, x = np.mgrid[:256, :256] - 127.5
    for _ in range(24):
        cells = np.zeros((256, 256), dtype=int)
        for _ in range(rng.poisson(np.pi * 182 / 12)):  # a segment of 12 pixels is cut once on average: L = 12
            angle, offset = rng.random() * np.pi, rng.uniform(-182, 182)
            cells ^= np.where(x * np.cos(angle) + y * np.sin(angle) > offset, rng.integers(1 << 40), 0)
        _, cell = np.unique(cells, return_inverse=True)
        pore = (rng.random(cells.size) < 0.5)[cell.reshape(cells.shape)]
        lengths.append(two_point(pore, voxel_um=1).correlation_um)
    assert np.mean(lengths) == pytest.approx(12, abs=3 * np.std(lengths, ddof=1) / np.sqrt(24))


def test_correlation_length_lies_between_two_classes() -> None:
    left = np.array([1, 0.6, 0.2])  # of φ - φ² at 0, 2 and 5 µm
    curve = TwoPoint(distance_um=np.array([0.0, 2.0, 5.0]), s2=0.25 + 0.25 * left, axes=(), voxel_um=(1.0, 1.0))
    assert curve.correlation_um == pytest.approx(2 + 3 * (0.6 - np.exp(-1)) / 0.4)


def test_correlation_length_is_not_a_number_where_there_is_one_phase_or_no_fall() -> None:
    assert np.isnan(two_point(np.ones((9, 9), bool), voxel_um=1).correlation_um)
    half = np.zeros((40, 40), bool)
    half[:, :20] = True
    assert np.isnan(two_point(half, voxel_um=1, max_um=3).correlation_um)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_lineal_path_counts_segments_that_lie_in_the_pore(axis: int) -> None:
    pore = noise((9, 8, 10))
    distances, chances = lineal_path(pore, axis=axis, voxel_um=(3.0, 2.0, 1.0))
    side = (3.0, 2.0, 1.0)[axis]
    rows = np.moveaxis(pore, axis, 0)
    for lag, (distance, chance) in enumerate(zip(distances, chances, strict=True)):
        assert distance == lag * side
        inside = np.logical_and.reduce([rows[k : len(rows) - lag + k] for k in range(lag + 1)])
        assert chance == pytest.approx(inside.mean())
        assert chance > 0
    assert chances[0] == porosity(pore)


def test_lineal_path_of_noise_is_the_porosity_to_the_power_of_its_voxels() -> None:
    _, chances = lineal_path(noise((2000, 500)), axis=0, voxel_um=1)
    assert chances[:6] == pytest.approx(0.6 ** np.arange(1, 7), abs=0.002)


def test_lineal_path_of_solid_is_nothing() -> None:
    distances, chances = lineal_path(np.zeros((5, 5), bool), axis=0, voxel_um=1)
    assert (distances.tolist(), chances.tolist()) == ([0.0], [0.0])


def test_a_reach_beyond_the_image_and_a_wrong_axis_are_refused() -> None:
    with pytest.raises(ValueError, match="max_um must be from 2 to below the shortest side 20"):
        two_point(noise((10, 20)), voxel_um=2, max_um=20)
    with pytest.raises(ValueError, match="axis must be one of the 2 axes"):
        lineal_path(noise((10, 20)), axis=2, voxel_um=2)
