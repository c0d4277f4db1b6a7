"""Fourier ring correlation against closed forms within its own standard error, and on rock."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from coresr_eval.spectrum import Frc, frc, half_bit, resolution_um


def filtered(image: Tensor, gain: Callable[[Tensor], Tensor]) -> Tensor:
    """The periodic image with each frequency (cycles per pixel) times `gain` of it."""
    rows = torch.fft.fftfreq(image.shape[-2], dtype=torch.float64)
    columns = torch.fft.rfftfreq(image.shape[-1], dtype=torch.float64)
    frequency = (rows[:, None].square() + columns.square()).sqrt()
    periodic: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * gain(frequency), s=image.shape[-2:])
    return periodic


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def curve(values: list[float], counts: float = 1e9) -> Frc:
    rings = len(values)
    frequency = torch.arange(1, rings + 1, dtype=torch.float64) / (2 * rings + 1)
    correlation = torch.tensor([values], dtype=torch.float64)
    return Frc(frequency=frequency, correlation=correlation, counts=torch.full_like(frequency, counts))


def off(measured: Frc, wanted: Tensor) -> Tensor:
    """How many standard errors the measured correlation is off, away from the innermost rings, (b, k)."""
    spread = 1 - wanted.square()
    expected = wanted * (1 - spread / (2 * measured.counts))  # a sample correlation is a little low
    return ((measured.correlation - expected) / (spread / measured.counts.sqrt()))[:, 3:]


# The curve


@pytest.mark.parametrize("shape", [(16, 16), (21, 30), (9, 12, 10)])
def test_it_is_the_normalised_cross_correlation_over_whole_rings(shape: tuple[int, ...]) -> None:
    a = torch.rand(1, 2, *shape, dtype=torch.float64)
    b = a + 0.3 * torch.rand(1, 2, *shape, dtype=torch.float64)
    spectra = []
    for image in (a, b):
        x = image[0].numpy()
        x = x - x.mean(axis=tuple(range(1, x.ndim)), keepdims=True)
        for axis, size in enumerate(shape):
            window = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
            x = x * window.reshape(-1, *[1] * (len(shape) - 1 - axis))
        spectra.append(np.fft.fftn(x, axes=tuple(range(1, x.ndim))))
    grid = np.meshgrid(*(np.fft.fftfreq(size) for size in shape), indexing="ij")
    ring = np.round(np.sqrt(sum(axis**2 for axis in grid)) * min(shape)).astype(int)
    wanted = []
    for k in range(1, (min(shape) - 1) // 2 + 1):
        one, other = (spectrum[:, ring == k] for spectrum in spectra)
        powers = (np.abs(one) ** 2).sum() * (np.abs(other) ** 2).sum()
        wanted.append((one * other.conj()).sum().real / np.sqrt(powers))
    assert frc(a, b).correlation[0].tolist() == pytest.approx(wanted, rel=1e-10)


def test_an_image_agrees_with_itself_at_any_contrast_and_opposes_its_negative() -> None:
    image = torch.rand(2, 1, 40, 52, dtype=torch.float64)
    for other, wanted in ((image, 1.0), (3 * image + 5, 1.0), (-image, -1.0)):
        correlation = frc(image, other).correlation
        torch.testing.assert_close(correlation, torch.full_like(correlation, wanted), rtol=0, atol=1e-12)
        assert correlation.abs().max() <= 1


def test_the_order_turns_and_flips_do_not_matter_but_a_shift_does() -> None:
    a, b = torch.rand(1, 1, 40, 40, dtype=torch.float64), torch.rand(1, 1, 40, 40, dtype=torch.float64)
    b = a + 0.2 * b
    for one, other in ((b, a), (a.flip(-1), b.flip(-1)), (a.transpose(-1, -2), b.transpose(-1, -2))):
        torch.testing.assert_close(frc(one, other).correlation, frc(a, b).correlation, rtol=0, atol=1e-12)
    shifted = frc(a, a.roll(1, -1)).correlation[0]
    assert shifted[0] > 0.9
    assert shifted[-1] < 0.5  # a pixel is half a period there along one axis, nothing along the other


def test_independent_noise_scatters_about_zero_by_its_error() -> None:
    measured = frc(noise(200, 1, 128, 128), noise(200, 1, 128, 128))
    torch.testing.assert_close(measured.error, (1 - measured.correlation**2) / measured.counts.sqrt())
    away = off(measured, torch.zeros_like(measured.correlation))
    assert away.mean().item() == pytest.approx(0, abs=0.08)
    assert away.square().mean().item() == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("signal", [0.5, 4.0])
def test_signal_and_independent_noise_of_equal_power_correlate_by_s_over_s_plus_n(signal: float) -> None:
    common = math.sqrt(signal) * noise(150, 1, 128, 128)
    measured = frc(common + noise(150, 1, 128, 128), common + noise(150, 1, 128, 128))
    away = off(measured, torch.full_like(measured.correlation, signal / (signal + 1)))
    assert away.mean().item() == pytest.approx(0, abs=0.1)
    assert away.square().mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("cutoff", [40.5 / 256, 90.5 / 256])
def test_an_ideal_low_pass_in_noise_follows_its_closed_form_and_is_resolved_to_its_cutoff(cutoff: float) -> None:
    common = filtered(noise(24, 1, 256, 256), lambda f: (f < cutoff).double())
    a, b = (common + math.sqrt(0.1) * noise(24, 1, 256, 256) for _ in range(2))  # S = 1, N = 0.1
    measured = frc(a, b)
    wanted = torch.where(measured.frequency < cutoff, 1 / 1.1, 0.0).double().expand_as(measured.correlation)
    # the Hann window lets two bins on either side of the cut see across it
    plain = ((measured.frequency - cutoff).abs() > 2.5 / 256)[3:]
    away = off(measured, wanted)[:, plain]
    assert away.mean().item() == pytest.approx(0, abs=0.08)
    assert away.square().mean().item() == pytest.approx(1, abs=0.1)
    for threshold in (1 / 7, 0.5):
        crossing = 1.0 / resolution_um(measured, 1.0, threshold=threshold)
        assert ((crossing - cutoff).abs() < 2.5 / 256).all()
        assert crossing.mean().item() == pytest.approx(cutoff, abs=1.5 / 256)


@pytest.mark.parametrize("threshold", [1 / 7, 0.5])
def test_a_gaussian_blur_in_noise_is_resolved_to_where_its_closed_form_crosses(threshold: float) -> None:
    sigma, power, images = 1.2, 0.01, 12
    hr = noise(images, 1, 384, 384)
    blurred = filtered(hr, lambda f: torch.exp(-2 * math.pi**2 * sigma**2 * f**2))
    measured = frc(blurred + math.sqrt(power) * noise(images, 1, 384, 384), hr)
    kept = torch.exp(-4 * math.pi**2 * sigma**2 * measured.frequency.square())
    away = off(measured, (1 / (1 + power / kept).sqrt()).expand_as(measured.correlation))
    assert away.mean().item() == pytest.approx(0, abs=0.1)
    assert away.square().mean().item() == pytest.approx(1, abs=0.1)
    # 1 / √(1 + N / G²) = threshold, and how far the error of the curve moves the crossing along its slope there
    excess = 1 / threshold**2 - 1
    wanted = math.sqrt(math.log(excess / power)) / (2 * math.pi * sigma)
    slope = 0.5 * excess * threshold**3 * 8 * math.pi**2 * sigma**2 * wanted
    error = measured.error[:, (measured.frequency - wanted).abs().argmin()].mean().item() / slope
    crossing = 2.5 / resolution_um(measured, 2.5, threshold=threshold)
    assert ((crossing - wanted).abs() < 4 * error).all()
    assert crossing.mean().item() == pytest.approx(wanted, abs=error)  # the first of several crossings is early


def test_changing_what_came_back_changes_no_later_curve() -> None:
    a = torch.rand(1, 1, 26, 26)
    frc(a, a).frequency.zero_()
    assert frc(a, a).frequency.all()


def test_flat_images_have_nothing_in_common_with_any() -> None:
    flat, image = torch.full((1, 1, 30, 30), 0.3), torch.rand(1, 1, 30, 30)
    for a, b in ((flat, image), (image, flat), (flat, flat)):
        measured = frc(a, b)
        assert measured.correlation.tolist() == [[0.0] * 14]
        assert resolution_um(measured, 2.0).item() == math.inf


# Reading a resolution off


@pytest.mark.parametrize(
    ("values", "threshold", "frequency"),
    [
        ([1.0, 0.8, 0.4, 0.0], 0.5, 2.75 / 9),
        ([1.0, 0.8, 0.4, 0.0], 0.2, 3.5 / 9),
        ([1.0, 0.5, 1.0, 0.0], 0.5, 3.5 / 9),  # touching is not below
        ([1.0, 0.0, 1.0, 0.0], 0.5, 1.5 / 9),  # the first crossing counts
        ([1.0, 0.9, 0.8, 0.7], 0.5, 0.5),
        ([0.5, 0.5, 0.5, 0.5], 0.5, 0.5),
        ([0.4, 0.9, 0.9, 0.9], 0.5, 0.0),
        ([1.0, 0.2, 0.2, 0.2], 0.5, (1 + 0.5 / 0.8) / 9),
    ],
)
def test_the_resolution_is_the_period_of_the_first_crossing(
    values: list[float], threshold: float, frequency: float
) -> None:
    wanted = 3.0 / frequency if frequency else math.inf
    assert resolution_um(curve(values), 3.0, threshold=threshold).item() == pytest.approx(wanted, rel=1e-12)


def test_rings_of_few_frequencies_do_not_end_the_agreement() -> None:
    falling = [0.1, 0.3, 1.0, 0.8, 0.4, 0.0]
    frequency = torch.arange(1, 7, dtype=torch.float64) / 13
    counts = torch.tensor([4, 15.9, 16, 30, 40, 50], dtype=torch.float64)
    correlation = torch.tensor([falling], dtype=torch.float64)
    measured = Frc(frequency=frequency, correlation=correlation, counts=counts)
    assert resolution_um(measured, 1.0, threshold=0.5).item() == pytest.approx(13 / 4.75)
    low = Frc(frequency=frequency, correlation=0.4 * correlation, counts=counts)
    assert resolution_um(low, 1.0, threshold=0.5).item() == math.inf
    assert resolution_um(low, 1.0, threshold=0.39).item() == pytest.approx(13 / (3 + 0.01 / 0.08))
    slices = frc(torch.rand(1, 1, 500, 500), torch.rand(1, 1, 500, 500))
    assert (slices.counts < 16).sum().item() == 4


def test_one_seventh_is_the_threshold_unless_told() -> None:
    falling = curve([1.0, 0.8, 0.4, 0.0])
    assert resolution_um(falling, 1.0).item() == pytest.approx(9 / (3 + (0.4 - 1 / 7) / 0.4))


def test_every_pair_has_its_own_resolution() -> None:
    one, other = curve([1.0, 0.8, 0.4, 0.0]), curve([1.0, 0.1, 0.0, 0.0])
    both = Frc(
        frequency=one.frequency,
        correlation=torch.cat([one.correlation, other.correlation]),
        counts=one.counts,
    )
    assert resolution_um(both, 1.0).tolist() == [resolution_um(one, 1.0).item(), resolution_um(other, 1.0).item()]


@pytest.mark.parametrize("values", [[1, 4, 25, 100, 1e4, 1e12]])
def test_half_a_bit_is_the_information_of_a_ring_at_its_threshold(values: list[float]) -> None:
    counts = torch.tensor(values, dtype=torch.float64)
    snr = (math.sqrt(2) - 1) / 2
    # FRC = (SNR + (2 √SNR + 1) / √n) / (1 + SNR + 2 √SNR / √n), and log₂(1 + 2 SNR) = 1/2
    root = counts.sqrt()
    wanted = (snr + (2 * math.sqrt(snr) + 1) / root) / (1 + snr + 2 * math.sqrt(snr) / root)
    torch.testing.assert_close(half_bit(counts), wanted, rtol=2e-4, atol=0)
    assert half_bit(counts)[0].item() == pytest.approx(1, abs=1e-4)
    assert (half_bit(counts).diff() < 0).all()


def test_the_half_bit_threshold_goes_ring_by_ring() -> None:
    falling = [0.95, 0.8, 0.4, 0.3, 0.0]
    few, many = curve(falling, counts=20), curve(falling, counts=1e9)
    assert resolution_um(few, 1.0, threshold="half-bit") > resolution_um(many, 1.0, threshold="half-bit")
    level = half_bit(torch.tensor([20.0], dtype=torch.float64)).item()
    wanted = resolution_um(few, 1.0, threshold=level).item()
    assert resolution_um(few, 1.0, threshold="half-bit").item() == pytest.approx(wanted, rel=1e-12)
    growing = torch.tensor([20, 40, 1e9, 1e9, 1e9], dtype=torch.float64)
    mixed = Frc(frequency=few.frequency, correlation=torch.full_like(few.correlation, 0.4), counts=growing)
    assert resolution_um(mixed, 1.0, threshold="half-bit").item() == math.inf  # 0.4 is enough of 1e9 alone


# Rock


def test_bicubic_rock_agrees_with_its_hr_to_about_lrs_nyquist(real_data: Path) -> None:
    levels = np.asarray(Image.open(real_data / "sandstone-versa" / "slices" / "0400.png"))
    hr = torch.from_numpy(levels.astype(np.float64) / 255)[None, None]
    voxel = 2.23
    found = {}
    for scale in (2, 4):
        coarse = interpolate(hr, scale_factor=1 / scale, mode="bicubic", antialias=True)
        measured = frc(interpolate(coarse, scale_factor=scale, mode="bicubic"), hr)
        found[scale] = resolution_um(measured, voxel).item()
        # bicubic folds a little from beyond LR's Nyquist back in, and keeps a little beyond it
        assert 0.6 * 2 * scale * voxel < found[scale] < 2 * scale * voxel
        assert resolution_um(measured, voxel, threshold=0.5).item() == pytest.approx(2 * scale * voxel, rel=0.2)
        assert resolution_um(measured, voxel, threshold="half-bit").item() > found[scale]
        assert measured.correlation[0, :40].min() > 0.99
    assert resolution_um(frc(hr, hr), voxel).item() == 2 * voxel < found[2] < found[4]


# Errors


def test_pairs_that_cannot_be_compared_are_refused() -> None:
    a = torch.rand(1, 1, 20, 20)
    bad = a.clone()
    bad[0, 0, 0, 0] = math.inf
    with pytest.raises(ValueError, match=r"^the two images must be of one shape, got \(1, 1, 20, 20\) and"):
        frc(a, torch.rand(1, 1, 20, 10))
    with pytest.raises(ValueError, match=r"^the second image must be finite, got 1 bad pixels"):
        frc(a, bad)
    with pytest.raises(ValueError, match=r"must be at least 8 pixels"):
        frc(a[..., :7, :], a[..., :7, :])


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, math.nan])
def test_thresholds_and_voxels_that_make_no_sense_are_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match=r"^threshold must be half-bit or lie between 0 and 1, got"):
        resolution_um(curve([1.0, 0.0]), 1.0, threshold=threshold)


@pytest.mark.parametrize("voxel", [0.0, -1.0, math.inf, math.nan])
def test_voxels_without_a_size_are_refused(voxel: float) -> None:
    with pytest.raises(ValueError, match=r"^voxel_um must be positive, got"):
        resolution_um(curve([1.0, 0.0]), voxel)


def test_images_too_small_to_tell_a_resolution_are_refused() -> None:
    a, b = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"^the largest ring must be worth at least 16 frequencies, got \d+\.\d; take"):
        resolution_um(frc(a, b), 1.0)
    assert resolution_um(frc(*(torch.rand(1, 1, 14, 14) for _ in range(2))), 1.0) > 0
