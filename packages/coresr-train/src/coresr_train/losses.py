"""Losses between SR and HR `(b, c, h, w)` in [0, 1]: pure functions, float32 inside whatever autocast does.

Shapes must match exactly: broadcasting a prediction against its target is a bug that trains.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from pytorch_msssim import ms_ssim as _ms_ssim
from torch import Tensor

Image = Float[Tensor, "b c h w"]
Scalar = Float[Tensor, ""]

EPSILON = 1e-3
"""Charbonnier's, on [0, 1]: a quarter of a grey level of 255."""
LEVELS = 5
WINDOWS = (11, 7, 5, 3)


def l1(sr: Image, hr: Image) -> Scalar:
    """Mean |sr - hr|."""
    return _difference(sr, hr).abs().mean()


def mse(sr: Image, hr: Image) -> Scalar:
    """Mean (sr - hr)²."""
    return _difference(sr, hr).square().mean()


def charbonnier(sr: Image, hr: Image) -> Scalar:
    """Mean sqrt((sr - hr)² + ε²) with ε = 1e-3 (Charbonnier et al. 1994): L1 with a round bottom; at least ε.

    >>> bool(charbonnier(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)) == torch.tensor(1e-3))
    True
    """
    return (_difference(sr, hr).square() + EPSILON**2).sqrt().mean()


def ms_ssim(sr: Image, hr: Image) -> Scalar:
    """1 - MS-SSIM on five levels (Wang et al. 2003), with the largest Gaussian window (σ 1.5) that the patch admits.

    The window is 11 above 160 px, 7 above 96, 5 above 64, 3 above 32; ValueError below.
    """
    _difference(sr, hr)
    window = msssim_window(min(sr.shape[-2:]))
    with torch.autocast(sr.device.type, enabled=False):
        value: Tensor = _ms_ssim(sr.float(), hr.float(), data_range=1.0, win_size=window)
    return 1 - value


def msssim_window(side: int) -> int:
    """The largest window for which five levels fit into `side` pixels."""
    for window in WINDOWS:
        if side > (window - 1) * 2 ** (LEVELS - 1):
            return window
    raise ValueError(f"patch must be larger than 32 pixels for MS-SSIM on five levels, got {side}; enlarge data.patch")


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "mse": mse,
    "charbonnier": charbonnier,
    "ms_ssim": ms_ssim,
}


def _difference(sr: Tensor, hr: Tensor) -> Tensor:
    if sr.shape != hr.shape:
        raise ValueError(f"sr must have the shape of hr {tuple(hr.shape)}, got {tuple(sr.shape)}")
    return sr.float() - hr.float()
