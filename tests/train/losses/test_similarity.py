import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim
from pytorch_msssim import ssim as reference_ssim
from scipy import ndimage
from torch import Tensor

from coresr_train.losses.similarity import ms_ssim, msssim_window, ssim, ssim_window
from tests.train.losses.examples import golden_pair, pair


def scipy_ssim(sr: Tensor, hr: Tensor, window: int) -> float:
    """Equation 13 of Wang et al. 2004 on float64 arrays `(b, c, h, w)`, where the window lies inside."""
    radius = window // 2
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / 4.5)
    weights /= weights.sum()

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in (-2, -1):
            image = ndimage.correlate1d(image, weights, axis=axis)
        return image[..., radius : image.shape[-2] - radius, radius : image.shape[-1] - radius]

    x, y = (image.detach().double().numpy() for image in (sr, hr))
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return float((((2 * mx * my + 1e-4) * (2 * cov + 9e-4)) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))).mean())


def test_ssim_has_the_golden_value() -> None:
    assert float(ssim(*golden_pair(64))) == pytest.approx(1 - 0.9651861215, abs=1e-10)
    sr, hr = golden_pair(64)
    assert float(ssim(sr.float(), hr.float())) == pytest.approx(1 - 0.9651861215, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 24, 31), (1, 3, 11, 11), (1, 1, 10, 24), (1, 1, 5, 5), (3, 1, 3, 4)])
def test_ssim_is_that_of_scipy_with_the_largest_odd_window_that_fits(shape: tuple[int, ...]) -> None:
    hr = torch.rand(shape, dtype=torch.float64)
    sr = hr + 0.1 * torch.randn_like(hr)
    window = min(11, min(shape[-2:]) - 1 + min(shape[-2:]) % 2)
    assert ssim_window(min(shape[-2:])) == window
    assert float(ssim(sr, hr)) == pytest.approx(1 - scipy_ssim(sr, hr, window), abs=1e-12)


def test_ssim_and_its_gradient_are_those_of_pytorch_msssim() -> None:
    sr, hr = pair()
    ours, theirs = ssim(sr, hr), 1 - reference_ssim(sr, hr, data_range=1.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    slopes = [torch.autograd.grad(one, sr)[0] for one in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("shift", [0.0, 1e-4, 1e-2])
def test_flat_images_cost_their_difference_in_luminance_and_no_rounding(level: float, shift: float) -> None:
    hr = torch.full((1, 1, 32, 32), level)
    sr = hr + shift
    expected = float((sr.double() - hr.double()).square().mean() / (sr.double() ** 2 + hr.double() ** 2 + 1e-4).mean())
    assert float(ssim(sr, hr)) == pytest.approx(expected, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4])
def test_ssim_in_float32_is_right_to_four_digits_however_close_the_images(noise: float) -> None:
    hr = torch.rand(1, 1, 64, 64) / 4 + 0.7
    sr = hr + noise * torch.randn_like(hr)
    assert float(ssim(sr, hr)) == pytest.approx(float(ssim(sr.double(), hr.double())), rel=1e-4)


def test_opposed_images_cost_1_and_still_have_a_gradient() -> None:
    _, hr = pair()
    sr = (1 - hr).requires_grad_()
    loss = ssim(sr, hr)
    assert scipy_ssim(sr, hr, 11) < -0.5
    assert float(loss.detach()) == 1
    (slope,) = torch.autograd.grad(loss, sr)
    assert scipy_ssim(sr - 0.1 * slope / slope.abs().max(), hr, 11) > scipy_ssim(sr, hr, 11)


def test_ssim_refuses_a_patch_without_room_for_a_window() -> None:
    with pytest.raises(ValueError, match="3 pixels or more"):
        ssim(*pair(2))


def test_gradients_are_those_of_finite_differences() -> None:
    for loss, side in ((ssim, 13), (ms_ssim, 34)):
        hr = torch.rand(1, 1, side, side, dtype=torch.float64)
        sr = (hr + 0.1 * torch.randn_like(hr)).requires_grad_()
        assert torch.autograd.gradcheck(loss, (sr, hr), fast_mode=loss is ms_ssim)


@pytest.mark.parametrize(("side", "window"), [(161, 11), (160, 7), (97, 7), (96, 5), (65, 5), (64, 3), (33, 3)])
def test_ms_ssim_takes_the_largest_window_that_the_patch_admits(side: int, window: int) -> None:
    assert msssim_window(side) == window
    sr, hr = pair(side)
    expected = 1 - reference_ms_ssim(sr, hr, data_range=1.0, win_size=window)
    assert torch.equal(ms_ssim(sr, hr), expected)


def test_ms_ssim_has_the_golden_value() -> None:
    assert float(ms_ssim(*golden_pair(192))) == pytest.approx(1 - 0.9918549231, abs=2e-8)


def test_ms_ssim_refuses_a_patch_without_room_for_five_levels() -> None:
    with pytest.raises(ValueError, match="larger than 32 pixels"):
        ms_ssim(*pair(32))
