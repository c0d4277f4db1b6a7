"""What a scanner adds has the size, the place and the shape that its numbers say."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from coresr_data.degrade.scanner import Drift, Noise, Rings, Streaks
from coresr_data.degrade.steps import Frame, Grid
from coresr_data.patches import keyed

SIZE = 256


def grid(height: int = SIZE, width: int = SIZE, *, y: int = 0, x: int = 0, samples: int = 1) -> Grid:
    return Grid(2, samples, Frame(y, x, height, width))


def flat(level: float, shape: tuple[int, int] = (SIZE, SIZE)) -> NDArray[np.float64]:
    return np.full(shape, level)


def interval(sample: NDArray[np.float64], chance: float = 1e-4) -> tuple[float, float]:
    """Where the variance lies that these independent normal numbers were drawn with, but for so small a chance."""
    n = sample.size - 1
    spread = sample.var(ddof=1) * n
    return spread / stats.chi2.ppf(1 - chance / 2, n), spread / stats.chi2.ppf(chance / 2, n)


# Noise


@pytest.mark.parametrize("level", [0.0, 0.2, 0.9])
def test_noise_has_the_variance_of_photons_and_electronics(level: float) -> None:
    noise = Noise(gaussian=0.01, poisson=4e-4)
    sample = noise.apply(flat(level), grid(), keyed("noise", str(level))) - level
    low, high = interval(sample)
    assert low < 0.01**2 + 4e-4 * level < high
    assert high / low < 1.05  # so narrow that a part left out would show
    assert abs(float(sample.mean())) < 5 * float(sample.std()) / SIZE


def test_noise_below_signal_zero_is_that_at_zero() -> None:
    sample = Noise(gaussian=0.01, poisson=4e-4).apply(flat(-1.0), grid(), keyed("dark")) + 1
    low, high = interval(sample)
    assert low < 0.01**2 < high


def test_noise_is_normal_and_white() -> None:
    sample = Noise(gaussian=0.1).apply(flat(0.0), grid(), keyed("white"))
    assert float(stats.kstest(sample.ravel() / 0.1, "norm").pvalue) > 1e-3
    for neighbours in (sample[1:] * sample[:-1], sample[:, 1:] * sample[:, :-1]):
        assert abs(float(neighbours.mean()) / 0.1**2) < 5 / SIZE


@pytest.mark.parametrize("sigma", [0.5, 0.9, 2.0])
def test_correlated_noise_keeps_its_variance_and_has_the_correlation_of_its_smoothing(sigma: float) -> None:
    fields = np.stack(
        [Noise(gaussian=0.1, correlation=sigma).apply(flat(0.0), grid(), keyed("c", k)) for k in range(8)]
    )
    independent = fields.size / (4 * np.pi * sigma**2 + 1)  # numbers, given how wide each one spreads
    assert float(fields.var()) == pytest.approx(0.01, rel=5 * np.sqrt(2 / independent))
    places = np.arange(-40, 41)
    for lag in (1, 2):
        smoothed = [np.exp(-0.5 * (places / sigma) ** 2), np.exp(-0.5 * ((places - lag) / sigma) ** 2)]
        expected = float((smoothed[0] * smoothed[1]).sum() / (smoothed[0] ** 2).sum())
        for near in (fields[:, lag:] * fields[:, :-lag], fields[:, :, lag:] * fields[:, :, :-lag]):
            assert float(near.mean()) / 0.01 == pytest.approx(expected, abs=0.02)


def test_correlated_noise_is_as_strong_at_the_border() -> None:
    fields = np.stack(
        [Noise(gaussian=1, correlation=1.5).apply(flat(0.0, (8, 8)), grid(8, 8), keyed(k)) for k in range(4000)]
    )
    assert fields.shape == (4000, 8, 8)
    np.testing.assert_allclose(fields.var(axis=0), 1, atol=5 * np.sqrt(2 / 4000))


def test_the_correlation_is_in_lr_pixels_on_any_grid() -> None:
    fine = Noise(gaussian=0.1, correlation=1.0).apply(flat(0.0), grid(samples=3), keyed("fine"))
    near = float((fine[3:] * fine[:-3]).mean() / (fine**2).mean())
    assert near == pytest.approx(np.exp(-1 / 4), abs=0.08)


def test_noise_is_decided_by_its_generator_alone() -> None:
    noise = Noise(gaussian=0.1, poisson=0.1, correlation=1)
    first, again, other = (noise.apply(flat(0.5), grid(), keyed(key)) for key in ("a", "a", "b"))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.99


def test_no_noise_leaves_the_image_to_the_last_bit() -> None:
    image = np.random.default_rng(0).random((9, 7))
    np.testing.assert_array_equal(Noise().apply(image, grid(9, 7), keyed()), image)


# Rings and streaks


def test_rings_are_the_same_all_around_their_centre() -> None:
    rings = Rings(radii=(0.2, 0.5), heights=(0.1, -0.05), centre_y=0.5, centre_x=0.5)
    for size in (64, 65):
        seen = rings.apply(flat(0.0, (size, size)), grid(size, size))
        for turn in range(1, 4):
            np.testing.assert_allclose(np.rot90(seen, turn), seen, atol=1e-14)
        np.testing.assert_allclose(seen.T, seen, atol=1e-14)


def test_a_ring_is_highest_on_its_radius_about_the_stated_centre() -> None:
    rings = Rings(radii=(0.4,), heights=(0.1,), width=1.0, centre_y=0.6, centre_x=0.45)
    seen = rings.apply(flat(0.3, (120, 160)), grid(120, 160)) - 0.3
    y, x = np.mgrid[:120, :160] + 0.5
    r = np.hypot(y - 0.6 * 120, x - 0.45 * 160)
    on = 0.4 * np.hypot(120, 160) / 2  # 40 LR pixels
    np.testing.assert_allclose(seen, 0.1 * np.exp(-0.5 * (r - on) ** 2), atol=1e-14)
    assert seen[np.abs(r - on) < 0.1].min() > 0.099
    assert seen[np.abs(r - on) > 4].max() < 1e-4


def test_rings_add_up() -> None:
    image = np.random.default_rng(0).random((40, 40))
    both = Rings(radii=(0.2, 0.25), heights=(0.1, 0.2)).apply(image, grid(40, 40))
    one = Rings(radii=(0.2,), heights=(0.1,)).apply(image, grid(40, 40))
    np.testing.assert_allclose(Rings(radii=(0.25,), heights=(0.2,)).apply(one, grid(40, 40)), both, atol=1e-14)
    np.testing.assert_array_equal(Rings(radii=(), heights=()).apply(image, grid(40, 40)), image)


def test_a_streak_runs_along_its_angle_at_its_offset() -> None:
    half = np.hypot(40, 40) / 2
    level = Streaks(angles=(0.0,), offsets=(5 / half,), heights=(0.2,), width=0.8).apply(
        flat(0.0, (40, 40)), grid(40, 40)
    )
    assert level.std(axis=1).max() < 1e-14  # along x all the way
    y = np.arange(40) + 0.5
    np.testing.assert_allclose(level[:, 0], 0.2 * np.exp(-0.5 * ((y - 25) / 0.8) ** 2), atol=1e-14)
    upright = Streaks(angles=(90.0,), offsets=(-5 / half,), heights=(0.2,), width=0.8).apply(
        flat(0.0, (40, 40)), grid(40, 40)
    )
    np.testing.assert_allclose(upright, level.T, atol=1e-13)
    slant = Streaks(angles=(45.0,), offsets=(0.0,), heights=(0.2,)).apply(flat(0.0, (40, 40)), grid(40, 40))
    np.testing.assert_allclose(np.diag(slant), 0.2, atol=1e-14)  # right and down


# Drift


def test_drift_is_gain_and_offset() -> None:
    image = np.random.default_rng(0).random((9, 7))
    np.testing.assert_allclose(Drift(gain=1.1, offset=-0.02).apply(image, grid(9, 7)), 1.1 * image - 0.02, atol=1e-15)
    np.testing.assert_array_equal(Drift().apply(image, grid(9, 7)), image)


def test_tilts_reach_their_size_at_the_edges() -> None:
    seen = Drift(tilt_y=0.1, tilt_x=-0.2).apply(flat(1.0, (100, 50)), grid(100, 50))
    np.testing.assert_allclose(seen[:, 24:26].mean(axis=1)[[0, -1]], [1 - 0.099, 1 + 0.099], atol=1e-12)
    np.testing.assert_allclose(seen[49:51].mean(axis=0)[[0, -1]], [1 + 0.196, 1 - 0.196], atol=1e-12)
    assert float(seen.mean()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shape", [(100, 100), (60, 200)])
def test_cupping_brightens_corners_and_leaves_the_mean(shape: tuple[int, int]) -> None:
    seen = Drift(cupping=0.3).apply(flat(1.0, shape), grid(*shape))
    assert float(seen.mean()) == pytest.approx(1, abs=1e-4)
    middle = seen[shape[0] // 2, shape[1] // 2]
    assert float(seen[0, 0] - middle) == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(seen, seen[::-1, ::-1], atol=1e-14)


# All of them


@pytest.mark.parametrize(
    "step",
    [
        Rings(radii=(0.3, 0.31), heights=(0.1, -0.1), centre_y=0.45, centre_x=0.52),
        Streaks(angles=(20.0,), offsets=(0.1,), heights=(0.1,), width=2),
        Drift(gain=1.1, offset=0.1, tilt_y=0.1, tilt_x=0.2, cupping=0.3),
    ],
)
@pytest.mark.parametrize("samples", [1, 3])
def test_a_crop_shows_what_its_slice_shows_there(step: Rings | Streaks | Drift, samples: int) -> None:
    image = np.random.default_rng(0).random((40 * samples, 60 * samples))
    whole = step.apply(image, grid(40, 60, samples=samples))
    crop = image[7 * samples : 30 * samples, 11 * samples : 50 * samples]
    np.testing.assert_allclose(
        step.apply(crop, grid(40, 60, y=7, x=11, samples=samples)),
        whole[7 * samples : 30 * samples, 11 * samples : 50 * samples],
        atol=1e-13,
    )
    assert (
        np.abs(
            step.apply(crop, grid(23, 39, samples=samples)) - step.apply(crop, grid(40, 60, y=7, x=11, samples=samples))
        ).max()
        > 0.01
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Noise(gaussian=-0.1), "^noise must be 0 or more, got Noise.gaussian=-0.1"),
        (lambda: Noise(poisson=float("nan")), "^noise must be 0 or more"),
        (lambda: Noise(correlation=float("inf")), "^noise must be 0 or more"),
        (lambda: Rings(radii=(0.1, 0.2), heights=(0.1,)), "^rings must have as many numbers of each kind, got 2, 1$"),
        (lambda: Rings(radii=(0.1,), heights=(0.1,), width=0), "^rings must be finite and their width positive"),
        (lambda: Rings(radii=(float("nan"),), heights=(0.1,)), "^rings must be finite"),
        (lambda: Rings(radii=(), heights=(), centre_x=float("inf")), "^centre must be finite"),
        (lambda: Streaks(angles=(1.0,), offsets=(), heights=(0.1,)), "^streaks must have as many .* got 1, 0, 1$"),
        (lambda: Drift(gain=float("inf")), "^drift must be finite"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=said):
        make()
