from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from coresr_train.losses.pixels import charbonnier, fft, gradient, l1, mse, tv
from tests.train.losses.examples import pair


def arrays(side: int = 17) -> tuple[np.ndarray, np.ndarray, Tensor, Tensor]:
    sr, hr = (image.detach().double()[..., :-2] for image in pair(side))
    return sr.numpy(), hr.numpy(), sr, hr


def test_charbonnier_has_the_golden_value() -> None:
    sr = torch.tensor([0.0, 1e-3, 0.1, -0.5]).reshape(1, 1, 2, 2)
    assert float(charbonnier(sr, torch.zeros_like(sr))) == pytest.approx(0.1506050527, abs=1e-7)


def test_l1_and_mse_are_the_means_of_their_names() -> None:
    sr, hr = pair()
    assert torch.equal(l1(sr, hr), torch.nn.functional.l1_loss(sr, hr))
    assert torch.equal(mse(sr, hr), torch.nn.functional.mse_loss(sr, hr))


def test_total_variation_is_that_of_sr_alone() -> None:
    sr, _, x, y = arrays()
    expected = np.abs(np.diff(sr, axis=2)).mean() + np.abs(np.diff(sr, axis=3)).mean()
    assert float(tv(x, y)) == pytest.approx(expected, rel=1e-12)
    assert torch.equal(tv(x, torch.zeros_like(y)), tv(x, y))
    assert tv(torch.full_like(x, 0.3), y) == 0


def test_gradient_compares_sobel_edges_inside_the_border() -> None:
    sr, hr, x, y = arrays()
    edges = [
        [ndimage.sobel(image, axis)[1:-1, 1:-1] / 8 for images in (sr, hr) for image in images[:, 0]] for axis in (0, 1)
    ]
    expected = np.mean([np.abs(one[:2][k] - one[2:][k]) for one in edges for k in range(2)])
    assert float(gradient(x, y)) == pytest.approx(expected, rel=1e-12)


def test_gradient_does_not_see_a_shift_of_grey_levels() -> None:
    _, _, x, _ = arrays()
    assert gradient(x + 0.25, x) < 1e-15


def test_gradient_refuses_an_image_without_an_inside() -> None:
    with pytest.raises(ValueError, match="3 pixels or more"):
        gradient(torch.rand(1, 1, 2, 9), torch.rand(1, 1, 2, 9))


def test_fft_compares_real_and_imaginary_parts_of_orthonormal_spectra() -> None:
    sr, hr, x, y = arrays()
    difference = np.fft.rfft2(sr, norm="ortho") - np.fft.rfft2(hr, norm="ortho")
    expected = (np.abs(difference.real) + np.abs(difference.imag)).mean() / 2
    assert float(fft(x, y)) == pytest.approx(expected, rel=1e-12)


def test_fft_costs_the_same_at_every_patch() -> None:
    small, large = (0.1 * torch.randn(4, 1, side, side) for side in (32, 128))
    assert float(fft(large, 0 * large)) == pytest.approx(float(fft(small, 0 * small)), rel=0.05)


@pytest.mark.parametrize("loss", [l1, mse, charbonnier, tv, gradient, fft])
def test_gradients_are_those_of_finite_differences(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    sr, hr = torch.rand(2, 2, 1, 6, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(loss, (sr.requires_grad_(), hr))


def test_float64_stays_float64() -> None:
    _, _, x, y = arrays()
    assert l1(x, y).dtype == l1(x.float(), y).dtype == torch.float64
