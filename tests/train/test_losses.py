import math

import pytest
import torch
from pytorch_msssim import ms_ssim as reference_ms_ssim

from coresr_train.losses import LOSSES, charbonnier, l1, ms_ssim, mse, msssim_window


def pair(side: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    hr = torch.rand(2, 1, side, side)
    return (hr + 0.05 * torch.randn_like(hr)).requires_grad_(), hr


def test_charbonnier_has_the_golden_value() -> None:
    sr = torch.tensor([0.0, 1e-3, 0.1, -0.5]).reshape(1, 1, 2, 2)
    assert float(charbonnier(sr, torch.zeros_like(sr))) == pytest.approx(0.1506050527, abs=1e-7)


def test_l1_and_mse_are_the_means_of_their_names() -> None:
    sr, hr = pair()
    assert torch.equal(l1(sr, hr), torch.nn.functional.l1_loss(sr, hr))
    assert torch.equal(mse(sr, hr), torch.nn.functional.mse_loss(sr, hr))


@pytest.mark.parametrize(("side", "window"), [(161, 11), (160, 7), (97, 7), (96, 5), (65, 5), (64, 3), (33, 3)])
def test_ms_ssim_takes_the_largest_window_that_the_patch_admits(side: int, window: int) -> None:
    assert msssim_window(side) == window
    sr, hr = pair(side)
    expected = 1 - reference_ms_ssim(sr, hr, data_range=1.0, win_size=window)
    assert torch.equal(ms_ssim(sr, hr), expected)


def test_ms_ssim_refuses_a_patch_without_room_for_five_levels() -> None:
    with pytest.raises(ValueError, match="larger than 32 pixels"):
        ms_ssim(*pair(32))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_float32_under_autocast_and_reaches_every_pixel(name: str) -> None:
    sr, hr = pair()
    plain = LOSSES[name](sr, hr)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(LOSSES[name](sr, hr), plain)
        assert LOSSES[name](sr.bfloat16(), hr.bfloat16()).dtype == torch.float32
    plain.backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert sr.grad.isfinite().all()
    assert (sr.grad != 0).float().mean() > 0.99


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_refuses_to_broadcast(name: str) -> None:
    # the second where jaxtyping checks the annotations first, as `nox -s tests` has it do
    with pytest.raises((ValueError, TypeError), match="shape of hr|parameter 'hr'"):
        LOSSES[name](torch.rand(1, 1, 48, 48), torch.rand(2, 1, 48, 48))


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_least_where_the_images_are_equal(name: str) -> None:
    sr, hr = pair()
    sr = sr.detach()
    least = float(LOSSES[name](hr, hr))
    assert math.isclose(least, 1e-3 if name == "charbonnier" else 0.0, abs_tol=1e-6)
    assert float(LOSSES[name](sr, hr)) > least
