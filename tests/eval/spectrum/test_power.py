"""Power spectra and their distance against closed forms."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from coresr_eval.spectrum import beyond_lr, per_mm, radial_power, spectral_distance
from coresr_eval.spectrum.rings import independent


def filtered(image: Tensor, gain: Callable[[Tensor], Tensor]) -> Tensor:
    """The periodic image with each frequency (cycles per pixel) times `gain` of it."""
    rows = torch.fft.fftfreq(image.shape[-2], dtype=torch.float64)
    columns = torch.fft.rfftfreq(image.shape[-1], dtype=torch.float64)
    frequency = (rows[:, None].square() + columns.square()).sqrt()
    periodic: Tensor = torch.fft.irfft2(torch.fft.rfft2(image) * gain(frequency), s=image.shape[-2:])
    return periodic


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def rock(real_data: Path) -> Tensor:
    levels = np.asarray(Image.open(real_data / "sandstone-versa" / "slices" / "0400.png"))
    return torch.from_numpy(levels.astype(np.float64) / 255)[None, None]


@pytest.mark.parametrize("shape", [(96, 96), (97, 97), (80, 130)])
@pytest.mark.parametrize("deviation", [0.1, 7.0])
def test_white_noise_is_flat_and_reads_its_variance(shape: tuple[int, int], deviation: float) -> None:
    spectrum = radial_power(0.4 + deviation * noise(60, 1, *shape))
    power, error = spectrum.power / deviation**2, (2 / (spectrum.counts * independent(shape))).sqrt()
    off = ((power - 1) / error)[:, 2:]
    assert spectrum.power.shape == (60, (min(shape) - 1) // 2)
    assert off.mean().item() == pytest.approx(0, abs=0.06)
    assert off.square().mean().item() == pytest.approx(1, abs=0.1)


def test_the_first_ring_of_white_noise_reads_at_most_a_tenth_low() -> None:
    first = radial_power(noise(4000, 1, 16, 16)).power[:, 0].mean().item()
    # 1 - |W(u)|² / (N Σw²) is 8/9 at the four nearest bins and 35/36 at the four diagonal ones, both in ring 1
    assert first == pytest.approx((8 / 9 + 35 / 36) / 2, abs=4 * math.sqrt(2 / 3 / 4000))


def test_white_noise_in_a_volume_is_flat_too() -> None:
    spectrum = radial_power(noise(60, 1, 20, 24, 28))
    off = (spectrum.power - 1) / (2 / (spectrum.counts * independent((20, 24, 28)))).sqrt()
    assert spectrum.power.shape == (60, 9)
    assert off[:, 1:].mean(dim=0).abs().max().item() < 4 / math.sqrt(60)


@pytest.mark.parametrize(("size", "cycles"), [((64, 64), 9), ((64, 64), 25), ((64, 160), 24), ((160, 64), 24)])
def test_a_sine_shows_at_its_ring_with_half_its_amplitude_squared(size: tuple[int, int], cycles: int) -> None:
    x = torch.arange(size[1], dtype=torch.float64)
    image = (0.5 + 0.3 * torch.sin(2 * math.pi * cycles * x / size[1])).expand(1, 1, *size)
    spectrum = radial_power(image)
    peak = spectrum.power[0].argmax()
    assert abs(spectrum.frequency[peak].item() - cycles / size[1]) <= 0.5 / min(size)
    energy = (spectrum.power * spectrum.counts).sum().item() / (size[0] * size[1])
    assert energy == pytest.approx(0.3**2 / 2, rel=0.01)
    far = (spectrum.frequency - cycles / size[1]).abs() > 3.5 / min(size)
    assert spectrum.power[0, far].max() < 1e-3 * spectrum.power[0, peak]


def test_the_rings_hold_all_energy_of_an_image_without_corners() -> None:
    image = filtered(noise(1, 1, 90, 90), lambda f: ((f > 0.05) & (f < 0.45)).double())
    window = (math.pi * (torch.arange(90, dtype=torch.float64) + 0.5) / 90).sin().square()
    window = torch.outer(window, window)
    energy = ((window * image).square().sum() / window.square().sum()).item()
    spectrum = radial_power(image)
    assert (spectrum.power * spectrum.counts).sum().item() / 90**2 == pytest.approx(energy, rel=1e-5)


def test_of_white_noise_the_rings_hold_a_circle_in_the_square() -> None:
    counts = radial_power(noise(1, 1, 400, 400)).counts
    assert counts.sum().item() / 400**2 == pytest.approx(math.pi / 4, abs=0.005)


@pytest.mark.parametrize("sigma", [0.6, 1.0])
def test_a_gaussian_blur_of_sigma_drops_power_by_exp_of_minus_4_pi2_sigma2_f2(sigma: float) -> None:
    image = noise(8, 1, 256, 256)
    sharp = radial_power(image)
    blurred = radial_power(filtered(image, lambda f: torch.exp(-2 * math.pi**2 * sigma**2 * f**2)))
    decibel = 10 * (blurred.power / sharp.power).log10().mean(dim=0)
    wanted = -40 * math.pi**2 * sigma**2 * sharp.frequency.square() / math.log(10)
    assert (decibel - wanted)[2:].abs().max() < 0.25
    assert wanted[-1] < -15


def test_flips_and_turns_leave_the_spectrum_and_channels_are_averaged() -> None:
    image = torch.rand(1, 2, 40, 52, dtype=torch.float64)
    power = radial_power(image).power
    for turned in (image.flip(-1), image.flip(-2), image.transpose(-1, -2)):
        torch.testing.assert_close(radial_power(turned).power, power, rtol=1e-10, atol=0)
    each = torch.stack([radial_power(image[:, i : i + 1]).power for i in range(2)])
    torch.testing.assert_close(each.mean(dim=0), power, rtol=1e-12, atol=0)


def test_power_goes_by_the_square_of_contrast_and_not_by_brightness() -> None:
    image = torch.rand(2, 1, 30, 30, dtype=torch.float64)
    power = radial_power(image).power
    torch.testing.assert_close(radial_power(255 * image + 40).power, 255**2 * power, rtol=1e-9, atol=0)
    assert not radial_power(torch.full((1, 1, 30, 30), 0.3)).power.any()


def test_changing_what_came_back_changes_no_later_spectrum() -> None:
    image = torch.rand(1, 1, 30, 30)
    first = radial_power(image)
    kept = first.frequency.clone(), first.counts.clone()
    for part in (first.frequency, first.counts, first.power):
        part.zero_()
    again = radial_power(image)
    assert torch.equal(again.frequency, kept[0])
    assert torch.equal(again.counts, kept[1])
    assert again.power.all()


# Distances


def test_an_image_is_at_no_distance_from_itself_nor_is_its_mirror_image() -> None:
    image = torch.rand(2, 1, 40, 40, dtype=torch.float64)
    assert spectral_distance(image, image).tolist() == [0, 0]
    assert spectral_distance(image, image.flip(-1)).tolist() == pytest.approx([0, 0], abs=1e-9)
    flat = torch.full((1, 1, 40, 40), 0.5)
    assert spectral_distance(flat, flat).item() == 0


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_a_gain_is_as_far_as_its_decibels_from_either_side(gain: float) -> None:
    image = torch.rand(2, 1, 40, 40, dtype=torch.float64)
    wanted = [abs(20 * math.log10(gain))] * 2
    assert spectral_distance(gain * image, image).tolist() == pytest.approx(wanted, abs=1e-9)
    assert spectral_distance(image, gain * image).tolist() == pytest.approx(wanted, abs=1e-9)


def test_only_rings_above_the_frequency_count_and_each_once() -> None:
    image = noise(2, 1, 128, 128)
    band = filtered(image, lambda f: torch.where(f > 0.25, 0.1, 1.0).double())
    fine = radial_power(image).frequency > 0.25
    assert spectral_distance(band, image, above=0.28).tolist() == pytest.approx([20, 20], abs=0.1)
    assert spectral_distance(band, image).tolist() == pytest.approx(
        [20 * fine.double().mean().sqrt().item()] * 2, abs=0.2
    )


def test_powers_below_rounding_to_8_bits_are_told_apart_no_more() -> None:
    image = 0.2 * noise(1, 1, 200, 200)
    floor = 1 / (12 * 255**2)
    wanted = 10 * math.log10(0.04 / floor)
    for amount in (1e-3, 1e-5, 0.0):  # the Hann window's own leakage is far below the first already
        assert spectral_distance(amount * image, image).item() == pytest.approx(wanted, abs=0.2)
    assert spectral_distance(1e-2 * image, image).item() < wanted - 4
    levels = spectral_distance(255 * 1e-5 * image, 255 * image, data_range=255)
    torch.testing.assert_close(levels, spectral_distance(1e-5 * image, image), rtol=1e-9, atol=0)


def test_a_soft_image_is_as_far_whether_or_not_it_was_rounded_to_8_bits() -> None:
    image = 0.5 + 0.2 * noise(1, 1, 256, 256)
    soft = filtered(image, lambda f: torch.exp(-2 * math.pi**2 * 4 * f**2))
    whole = spectral_distance(soft, image).item()
    assert spectral_distance((255 * soft).round() / 255, image).item() == pytest.approx(whole, rel=0.05)
    assert whole > 25


@pytest.mark.parametrize("gain", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("scale", [2, 4])
def test_energy_beyond_lr_is_that_of_its_band_alone(gain: float, scale: int) -> None:
    hr = noise(3, 1, 128, 128)
    edge = 0.5 / scale
    sr = filtered(hr, lambda f: torch.where(f > edge, gain, 5.0).double())
    fine = filtered(hr, lambda f: (f > edge).double())
    values = beyond_lr(sr, hr, scale=scale)
    if gain:
        assert beyond_lr(gain * fine, fine, scale=scale).tolist() == pytest.approx([20 * math.log10(gain)] * 3)
    else:
        assert beyond_lr(0 * fine, fine, scale=scale).tolist() == [-math.inf] * 3
    # the first ring above the edge still sees, through the window, a sixth of the band below
    assert (values > 20 * math.log10(gain + 1e-9)).all()
    assert (values < 10 * math.log10(gain**2 + 25 * 0.02)).all()


def test_beyond_lr_weighs_frequencies_not_rings() -> None:
    hr = noise(6, 1, 128, 128)
    upper = filtered(hr, lambda f: (f > 0.4).double())
    wanted = 10 * math.log10((0.5**2 - 0.4**2) / (0.5**2 - 0.25**2))
    assert beyond_lr(upper, hr, scale=2).mean().item() == pytest.approx(wanted, abs=0.1)


def test_bicubic_rock_lacks_fine_detail_and_only_that(real_data: Path) -> None:
    hr = rock(real_data)
    assert spectral_distance(hr, hr).item() == 0
    coarse = interpolate(hr, scale_factor=0.5, mode="bicubic", antialias=True)
    sr = interpolate(coarse, scale_factor=2, mode="bicubic")
    assert beyond_lr(sr, hr, scale=2).item() == pytest.approx(-8.5, abs=0.1)
    assert spectral_distance(sr, hr, above=0.25) > spectral_distance(sr, hr) > 3
    low = radial_power(hr).frequency < 0.1
    ratio = radial_power(sr).power[0, low] / radial_power(hr).power[0, low]
    assert (10 * ratio.log10()).abs().max() < 0.3


# Units and errors


def test_cycles_per_millimetre_go_by_the_voxel() -> None:
    assert per_mm(torch.tensor([0.5]), voxel_um=2.0).item() == 250  # a period of two voxels: 4 µm
    for voxel in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^voxel_um must be positive, got"):
            per_mm(torch.tensor([0.5]), voxel)


CALLS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "spectral_distance": spectral_distance,
    "beyond_lr": lambda a, b: beyond_lr(a, b, scale=2),
    "radial_power": lambda a, b: (radial_power(a), radial_power(b)),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
def test_images_that_can_have_no_spectrum_are_refused(call: Callable[[Tensor, Tensor], object]) -> None:
    fine, bad = torch.rand(1, 1, 20, 20), torch.rand(1, 1, 20, 20)
    bad[0, 0, 3, 4] = math.nan
    for a, b in ((bad, fine), (fine, bad)):
        with pytest.raises(ValueError, match=r"must be finite, got 1 bad pixels"):
            call(a, b)
    with pytest.raises(ValueError, match=r"must be at least 8 pixels along every axis, got \(1, 1, 20, 7\)"):
        call(fine[..., :7], fine[..., :7])
    with pytest.raises(ValueError, match=r"must be images \(b, c, h, w\) or volumes \(b, c, z, y, x\), got \(20, 20\)"):
        call(fine[0, 0], fine[0, 0])


def test_pairs_of_two_sizes_and_bands_without_rings_are_refused() -> None:
    a, b = torch.rand(1, 1, 20, 20), torch.rand(1, 1, 20, 22)
    for call in (CALLS["spectral_distance"], CALLS["beyond_lr"]):
        with pytest.raises(ValueError, match=r"^the two images must be of one shape, .*; bring both to the HR grid"):
            call(a, b)
    for above in (-0.1, 0.45, 0.5, math.nan):
        with pytest.raises(ValueError, match=r"must be 0 or more and below 0\.45 cycles per pixel, got"):
            spectral_distance(a, a, above=above)
    with pytest.raises(ValueError, match=r"^scale must be at least 2, got 1"):
        beyond_lr(a, a, scale=1)
    for data_range in (0.0, math.nan):
        with pytest.raises(ValueError, match=r"^data_range must be positive, got"):
            spectral_distance(a, a, data_range=data_range)
