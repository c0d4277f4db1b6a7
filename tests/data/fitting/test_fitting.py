"""A scanner that is known is found again, a real one is explained, and what cannot be fitted is refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.degrade import Steps, apply
from coresr_data.degrade.kernels import binning, blurring
from coresr_data.degrade.scanner import Drift, Noise
from coresr_data.degrade.steps import Bin, Blur
from coresr_data.fitting import fit_scanner
from coresr_data.fitting.fitted import ScannerFit
from coresr_data.fitting.seeing import cubic_axis, gaussian_axis
from coresr_data.intensity import Window
from coresr_data.patches import keyed
from coresr_data.resize import axis_matrix

EIGHT_BIT = Window(0, 255)


def rock(slices: int, height: int, width: int) -> NDArray[np.uint8]:
    """Grains and pores with texture, 8 bit, alike in every direction."""
    rng = np.random.default_rng(0)
    grains, texture = (ndimage.gaussian_filter(rng.standard_normal((slices, height, width)), s) for s in (1.5, 0.8))
    levels = np.where(grains > 0.02, 150, 70) + 20 * texture / texture.std()
    eight_bit: NDArray[np.uint8] = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return eight_bit


def seen(hr: NDArray[np.uint8], steps: Steps, scale: int) -> NDArray[np.uint8]:
    """Each slice of HR through the steps."""
    return np.stack(
        [apply(image, steps, scale=scale, window=EIGHT_BIT, rng=keyed("seen", k)) for k, image in enumerate(hr)]
    )


@dataclass(frozen=True)
class Case:
    scale: int
    sigma: tuple[float, float]
    noise: Noise


CASES = (
    Case(2, (1.0, 1.4), Noise(gaussian=0.015)),
    Case(3, (3.5, 3.1), Noise(gaussian=0.013, correlation=0.9)),
    Case(3, (2.0, 2.0), Noise(gaussian=0.005, poisson=6e-4)),
    Case(4, (2.2, 3.0), Noise(gaussian=0.01)),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"x{case.scale}-{case.sigma[0]}")
def test_a_known_scanner_is_found_again(case: Case) -> None:
    hr = rock(4, 96 * case.scale, 100 * case.scale)
    steps = (Blur(sigma_y=case.sigma[0], sigma_x=case.sigma[1]), Bin(), case.noise)
    fit = fit_scanner(seen(hr, steps, case.scale), hr, scale=case.scale)
    assert fit.sigma == pytest.approx(case.sigma, rel=0.02)
    assert fit.shift == pytest.approx((0, 0), abs=0.02)
    assert (fit.gain, fit.offset) == pytest.approx((1, 0), abs=0.02)
    assert not fit.grey_needed
    signal = float(hr.mean()) / 255
    expected = case.noise.gaussian**2 + case.noise.poisson * signal
    assert np.sqrt(fit.noise.gaussian**2 + fit.noise.poisson * signal) == pytest.approx(np.sqrt(expected), rel=0.05)
    assert fit.noise.poisson == pytest.approx(case.noise.poisson, rel=0.2)
    assert fit.noise.correlation == pytest.approx(case.noise.correlation, abs=0.06)
    # the noise itself is all that is left, and drawing it again brings the spectrum of the real one
    assert fit.fit.residual_std == pytest.approx(np.sqrt(expected), rel=0.06)
    assert fit.fit_with_noise.residual_std == pytest.approx(np.sqrt(2 * expected), rel=0.06)
    assert fit.fit_with_noise.spectrum_db < 1
    assert fit.gain_db > 0.5


def test_grey_levels_of_another_scanner_are_matched() -> None:
    hr = rock(4, 90, 99)
    steps = (Blur(sigma_y=2, sigma_x=2), Bin(), Drift(gain=0.6, offset=0.2), Noise(gaussian=0.01))
    fit = fit_scanner(seen(hr, steps, 3), hr, scale=3)
    assert fit.gain == pytest.approx(0.6, rel=0.01)
    assert fit.offset == pytest.approx(0.2, abs=0.005)
    assert fit.grey_needed
    assert fit.sigma == pytest.approx((2, 2), rel=0.02)
    assert fit.bicubic.psnr < fit.bicubic_matched.psnr < fit.fit.psnr


def test_a_shifted_pair_is_found_out_and_does_not_pass_for_blur() -> None:
    hr = rock(4, 108, 120)
    blurred = seen(hr, (Blur(sigma_y=2, sigma_x=2.5), Bin()), 3)
    moved = seen(hr[:, 2:-1, :-3], (Blur(sigma_y=2, sigma_x=2.5), Bin()), 3)  # LR pixel 0 is HR row 2
    assert moved.shape == (4, 35, 39)
    fit = fit_scanner(moved, hr[:, :-3, :-3], scale=3)
    assert fit.shift == pytest.approx((-2 / 3, 0), abs=0.01)  # LR shows things further up
    assert fit.sigma == pytest.approx((2, 2.5), rel=0.02)
    assert fit_scanner(blurred, hr, scale=3).shift == pytest.approx((0, 0), abs=0.01)


def test_the_third_axis_is_fitted_where_lr_slices_average_hr_slices() -> None:
    hr = rock(45, 75, 114)
    blurred = ndimage.gaussian_filter(hr.astype(float), (2.4, 3.0, 1.8), mode="reflect")
    lr = blurred.reshape(15, 3, 25, 3, 38, 3).mean(axis=(1, 3, 5))
    lr = np.floor(lr + keyed("deep").normal(0, 2.0, lr.shape) + 0.5).astype(np.uint8)
    fit = fit_scanner(lr, hr, scale=3)
    assert fit.sigma == pytest.approx((2.4, 3.0, 1.8), rel=0.02)
    assert fit.shift == pytest.approx((0, 0, 0), abs=0.02)
    assert fit.noise.gaussian == pytest.approx(2 / 255, rel=0.05)
    assert fit.correlation_z == 0


def test_a_single_pair_of_images_is_enough() -> None:
    hr = rock(1, 120, 200)
    lr = seen(hr, (Blur(sigma_y=1.5, sigma_x=1.5), Bin(), Noise(gaussian=0.01)), 2)
    fit = fit_scanner(lr[0], hr[0], scale=2)
    assert fit == fit_scanner(lr, hr, scale=2)
    assert fit.sigma == pytest.approx((1.5, 1.5), rel=0.04)
    assert fit.held_out == "columns 66–95 of 100"
    assert fit.correlation_z is None


def test_slices_held_out_were_not_fitted_to() -> None:
    hr = rock(6, 90, 90)
    lr = seen(hr, (Blur(sigma_y=2, sigma_x=2), Bin(), Noise(gaussian=0.01)), 3)
    spoiled = lr.copy()
    spoiled[4:] = spoiled[4:, ::-1]
    fit, other = (fit_scanner(one, hr, scale=3) for one in (lr, spoiled))
    assert fit.held_out == other.held_out == "slices 4–5 of 6"
    assert (fit.sigma, fit.shift, fit.gain, fit.noise) == (other.sigma, other.shift, other.gain, other.noise)
    assert fit.fit.explained > 0.9
    assert other.fit.explained < 0.5


def test_the_same_pair_gives_the_same_fit() -> None:
    hr = rock(3, 90, 90)
    lr = seen(hr, (Blur(sigma_y=2, sigma_x=2), Bin(), Noise(gaussian=0.01)), 3)
    assert fit_scanner(lr, hr, scale=3) == fit_scanner(lr, hr, scale=3)


def test_levels_may_be_on_zero_to_one_or_have_a_window() -> None:
    hr = rock(3, 90, 90)
    lr = seen(hr, (Blur(sigma_y=2, sigma_x=2), Bin(), Noise(gaussian=0.01)), 3)
    eight = fit_scanner(lr, hr, scale=3)
    floats = fit_scanner(lr / 255, hr / 255, scale=3)
    assert floats.sigma == pytest.approx(eight.sigma, rel=1e-9)
    assert floats.noise.gaussian > eight.noise.gaussian  # rounding counts as noise where nobody says that there was any
    windowed = fit_scanner(lr, hr, scale=3, window=Window(0, 510))
    assert windowed.sigma == pytest.approx(eight.sigma, rel=1e-6)
    assert windowed.noise.gaussian == pytest.approx(eight.noise.gaussian / 2, rel=1e-6)


# The real pair


@pytest.fixture(scope="module")
def bentheimer(real_data: Path) -> ScannerFit:
    pair = real_data / "bentheimer-pair"
    return fit_scanner(tifffile.imread(pair / "lr_6um.tif"), tifffile.imread(pair / "hr_2um.tif"), scale=3)


def test_the_fit_explains_a_real_lr_far_better_than_bicubic(bentheimer: ScannerFit) -> None:
    # measured on columns that were not fitted to: bicubic 21.6 dB, with its best shift 24.2 dB, the fit 36.8 dB
    assert bentheimer.held_out == "columns 86–125 of 130"
    assert bentheimer.bicubic.psnr < 22.5
    assert bentheimer.bicubic_matched.psnr < 25
    assert bentheimer.fit.psnr > 36
    assert bentheimer.gain_db > 11
    assert bentheimer.fit.explained > 0.97
    assert bentheimer.bicubic_matched.explained < 0.75
    assert bentheimer.fit.residual_std < 0.016
    assert bentheimer.bicubic_matched.residual_std > 0.05


def test_the_noise_of_a_real_lr_makes_up_its_spectrum(bentheimer: ScannerFit) -> None:
    assert bentheimer.fit_with_noise.spectrum_db < 2
    assert bentheimer.bicubic_matched.spectrum_db > 10
    assert bentheimer.fit_with_noise.residual_std == pytest.approx(2**0.5 * bentheimer.fit.residual_std, rel=0.05)
    assert bentheimer.noise.gaussian == pytest.approx(0.0135, rel=0.05)
    assert 0.8 < bentheimer.noise.correlation < 1.0  # the reconstruction correlates neighbours


def test_the_psf_of_a_real_lr_is_about_three_and_a_half_hr_voxels_and_the_pair_is_one_off(
    bentheimer: ScannerFit,
) -> None:
    assert bentheimer.sigma == pytest.approx((3.09, 3.42, 3.46), abs=0.05)
    assert bentheimer.shift == pytest.approx((0.40, 0.33, 0.40), abs=0.03)  # LR pixels; an HR voxel is 0.33


# The axes


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_without_a_shift_the_axes_are_those_of_the_degradations(scale: int) -> None:
    bicubic = cubic_axis(20, scale, 0.0, 0.0).toarray()
    np.testing.assert_allclose(bicubic, axis_matrix(20 * scale, 20, 1 / scale).toarray(), atol=1e-14)
    blur = (binning(20 * scale, scale) @ blurring(20 * scale, 2.0)).toarray()
    np.testing.assert_allclose(gaussian_axis(20, scale, 2.0, 0.0).toarray(), blur, atol=2e-4)


@pytest.mark.parametrize("axis", [cubic_axis, gaussian_axis])
def test_a_shift_moves_what_an_axis_sees(axis: object) -> None:
    assert callable(axis)
    places = np.arange(90.0)
    for shift in (-2.5, 0.0, 1.25):
        matrix = axis(30, 3, 2.0, shift)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-13)
        np.testing.assert_allclose((matrix @ places)[8:-8], 3 * np.arange(8, 22) + 1 + shift, atol=1e-6)


# What is refused


@pytest.mark.parametrize(
    ("lr", "hr"),
    [((30, 30), (90, 91)), ((4, 30, 30), (5, 90, 90)), ((4, 30, 30), (4, 60, 60)), ((4, 30, 30), (8, 90, 90))],
)
def test_sizes_that_do_not_pair_are_refused(lr: tuple[int, ...], hr: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match="^HR must be 3 times LR within a slice, .* crop them, or name the right scale$"
    ):
        fit_scanner(np.zeros(lr), np.zeros(hr), scale=3)


def test_images_that_are_too_small_to_judge_on_are_refused() -> None:
    with pytest.raises(ValueError, match="^LR must leave 10 pixels to fit and 10 to judge on, 4 from its borders"):
        fit_scanner(np.random.default_rng(0).random((17, 40)), np.random.default_rng(1).random((51, 120)), scale=3)


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_levels_that_show_nothing_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="^LR must hold rock, got levels that are all one or not finite"):
        fit_scanner(np.full((40, 40), value), np.random.default_rng(1).random((120, 120)), scale=3)


def test_pairs_of_different_rock_are_refused() -> None:
    hr = rock(2, 120, 160)
    with pytest.raises(ValueError, match="^LR and HR must show the same rock, got a gain of .* check which scans"):
        fit_scanner(seen(hr[:1, ::-1], (Bin(),), 2), hr[:1], scale=2)
    negative = 255 - seen(hr, (Blur(sigma_y=1, sigma_x=1), Bin()), 2)
    with pytest.raises(ValueError, match="got a gain of -1"):
        fit_scanner(negative, hr, scale=2)


def test_a_pair_far_from_registered_is_refused() -> None:
    hr = ndimage.gaussian_filter(rock(3, 160, 160).astype(float), (0, 4, 4))
    hr = np.clip((hr - hr.mean()) * 4 + 128, 0, 255).astype(np.uint8)
    moved = seen(hr[:, 6:, :-6], (Blur(sigma_y=1, sigma_x=1), Bin()), 2)
    with pytest.raises(ValueError, match="^LR and HR must be registered to 2 LR pixels, got more; align them first$"):
        fit_scanner(moved, hr[:, :-6, :-6], scale=2)


@pytest.mark.parametrize("scale", [0, 1])
def test_scales_below_two_and_other_ranks_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match=r"^LR and HR must both be \(h, w\) or \(n, h, w\)"):
        fit_scanner(np.zeros((40, 40)), np.zeros((40, 40)), scale=scale)
    with pytest.raises(ValueError, match=r"^LR and HR must both be \(h, w\) or \(n, h, w\)"):
        fit_scanner(np.zeros((1, 40, 40)), np.zeros((80, 80)), scale=2)
