"""Noise is measured as it was made, and spectra are those of the definition."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.degrade.scanner import Noise
from coresr_data.degrade.steps import Frame, Grid
from coresr_data.fitting.matching import correlation_of, match, noise_of, radial_power
from coresr_data.patches import keyed

SHAPE = (8, 96, 96)


def ramp() -> NDArray[np.float64]:
    """A signal from 0.1 to 0.9 on every slice."""
    return np.broadcast_to(np.linspace(0.1, 0.9, 96), SHAPE)


def residual(noise: Noise, key: str = "") -> NDArray[np.float64]:
    grid = Grid(2, 1, Frame(0, 0, 96, 96))
    return np.stack([noise.apply(image, grid, keyed("r", key, k)) - image for k, image in enumerate(ramp())])


@pytest.mark.parametrize(("gaussian", "poisson"), [(0.01, 5e-4), (0.02, 1e-3), (0.0, 5e-4)])
def test_both_parts_of_noise_are_found(gaussian: float, poisson: float) -> None:
    found = noise_of(residual(Noise(gaussian=gaussian, poisson=poisson)), ramp())
    assert found[1] == pytest.approx(poisson, rel=0.05)
    for signal in (0.1, 0.9):
        assert found[0] ** 2 + found[1] * signal == pytest.approx(gaussian**2 + poisson * signal, rel=0.06)


@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_noise_that_does_not_grow_has_no_poisson_part(correlation: float) -> None:
    found = [noise_of(residual(Noise(gaussian=0.01, correlation=correlation), str(k)), ramp()) for k in range(5)]
    assert [poisson for _, poisson in found] == [0] * 5
    assert [gaussian for gaussian, _ in found] == pytest.approx([0.01] * 5, rel=0.05)


def test_noise_that_falls_with_the_signal_has_no_poisson_part() -> None:
    falling = residual(Noise(poisson=5e-4))[:, :, ::-1]
    gaussian, poisson = noise_of(falling, ramp())
    assert poisson == 0
    assert gaussian == pytest.approx(float(falling.std()), rel=1e-3)


def test_a_flat_signal_tells_no_parts_apart() -> None:
    sample = residual(Noise(gaussian=0.01))
    gaussian, poisson = noise_of(sample, np.full(SHAPE, 0.5))
    assert gaussian == pytest.approx(float(sample.std()), rel=1e-12)
    assert poisson == 0


def test_rounding_of_grey_levels_is_no_noise() -> None:
    level = 1 / 255
    exact = residual(Noise(gaussian=level))
    rounded = np.round(exact / level) * level
    assert noise_of(exact, ramp())[0] == pytest.approx(level, rel=0.01)
    assert noise_of(rounded, ramp())[0] == pytest.approx(level * math.sqrt(13 / 12), rel=0.01)
    assert noise_of(rounded, ramp(), quantum=level)[0] == pytest.approx(level, rel=0.01)


def test_a_residual_that_is_off_by_a_constant_is_no_noisier() -> None:
    sample = residual(Noise(gaussian=0.01))
    assert noise_of(sample + 0.5, ramp()) == pytest.approx(noise_of(sample, ramp()), rel=1e-9)


@pytest.mark.parametrize("sigma", [0.4, 0.9, 2.0])
def test_the_correlation_of_noise_is_found_along_each_axis(sigma: float) -> None:
    sample = residual(Noise(gaussian=0.01, correlation=sigma))
    assert correlation_of(sample, 1) == pytest.approx(sigma, rel=0.05)
    assert correlation_of(sample, 2) == pytest.approx(sigma, rel=0.05)
    assert correlation_of(sample, 0) == 0


def test_white_noise_and_single_slices_have_no_correlation() -> None:
    sample = residual(Noise(gaussian=0.01)) + 0.3
    assert [correlation_of(sample, axis) for axis in range(3)] == [0, 0, 0]
    assert correlation_of(sample[:1], 0) == 0


def test_noise_that_is_one_value_is_as_correlated_as_can_be_said() -> None:
    broad = np.repeat(residual(Noise(gaussian=0.01))[:, :, :1], 96, axis=2)
    assert correlation_of(broad, 2) == 5


# Spectrum and match


def test_the_radial_power_of_white_noise_is_flat_and_that_of_a_wave_in_its_ring() -> None:
    flat = radial_power(np.random.default_rng(0).standard_normal((200, 32, 40)))
    assert float(flat[1:].max() / flat[1:].min()) < 1.2
    x = np.arange(64)
    wave = np.broadcast_to(np.cos(2 * np.pi * 0.3 * x), (1, 64, 64))
    assert int(np.argmax(radial_power(wave))) == int(0.3 / 0.5 * 16)
    assert int(np.argmax(radial_power(wave.transpose(0, 2, 1)))) == int(0.3 / 0.5 * 16)


def test_the_radial_power_grows_with_the_square_and_not_with_the_mean() -> None:
    stack = np.random.default_rng(0).random((2, 32, 32))
    np.testing.assert_allclose(radial_power(3 * stack + 7), 9 * radial_power(stack), rtol=1e-9)


def test_a_match_says_what_its_words_mean() -> None:
    rng = np.random.default_rng(0)
    real = rng.random((3, 40, 40))
    made = real + 0.1 + 0.02 * rng.standard_normal(real.shape)
    found = match(made, real)
    mse = float(((made - real) ** 2).mean())
    assert found.psnr == pytest.approx(-10 * np.log10(mse), abs=1e-9)
    assert found.residual_std == pytest.approx(0.02, rel=0.05)  # without the 0.1
    assert found.explained == pytest.approx(1 - mse / real.var(), abs=1e-12)
    assert found.spectrum_db < 0.2
    assert match(2 * real, real).spectrum_db == pytest.approx(20 * np.log10(2), abs=1e-9)
    assert match(real / 2, real).spectrum_db == pytest.approx(20 * np.log10(2), abs=1e-9)


def test_an_exact_match_is_finite() -> None:
    real = np.random.default_rng(0).random((1, 20, 20))
    found = match(real, real)
    assert found.residual_std == 0
    assert found.psnr == pytest.approx(300)
    assert found.explained == 1
    assert found.spectrum_db == 0
