"""How close is an image to its reference? PSNR, SSIM, MS-SSIM and MAE, each image for itself, in float64.

Every function takes `(b, c, h, w)`, computes in float64 whatever it is given, and answers `(b,)` float64.
`data_range` is the span of the grey scale (1 for images in [0, 1]) and has no default: guessing it from the
data is worth several dB. `shave` pixels are cut from every side first.
"""

import math

import torch
from pytorch_msssim import ms_ssim as _ms_ssim
from pytorch_msssim import ssim as _ssim
from torch import Tensor


def psnr(image: Tensor, reference: Tensor, *, data_range: float, shave: int = 0) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range² / MSE); infinite where the images are equal.

    >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5), data_range=1.0).round(decimals=3)
    tensor([20.], dtype=torch.float64)
    """
    image, reference = _prepared(image, reference, data_range, shave)
    return 10 * torch.log10(data_range**2 / (image - reference).square().mean(dim=(1, 2, 3)))


def mae(image: Tensor, reference: Tensor, *, data_range: float, shave: int = 0) -> Tensor:
    """Mean absolute error, as a share of `data_range`."""
    image, reference = _prepared(image, reference, data_range, shave)
    return (image - reference).abs().mean(dim=(1, 2, 3)) / data_range


def ssim(
    image: Tensor,
    reference: Tensor,
    *,
    data_range: float,
    shave: int = 0,
    window: int = 7,
    sigma: float = 1.5,
) -> Tensor:
    """Structural similarity (Wang et al. 2004): Gaussian window, valid border, population covariance.

    `window` is odd and fits into the shaved image (ValueError otherwise). Equal to scikit-image with
    `gaussian_weights=True, use_sample_covariance=False` where the windows are.
    """
    image, reference = _prepared(image, reference, data_range, shave)
    weights = _window(image, window, sigma)
    values: Tensor = _ssim(image, reference, data_range=data_range, size_average=False, win=weights)
    return values.clamp(max=1.0)


def ms_ssim(
    image: Tensor,
    reference: Tensor,
    *,
    data_range: float,
    shave: int = 0,
    window: int = 7,
    sigma: float = 1.5,
) -> Tensor:
    """Multi-scale SSIM (Wang et al. 2003) on five levels; the shorter side must exceed 16 (window - 1) pixels."""
    image, reference = _prepared(image, reference, data_range, shave)
    weights = _window(image, window, sigma)
    if min(image.shape[-2:]) <= (window - 1) * 16:
        raise ValueError(
            f"the shaved image must be larger than {(window - 1) * 16} pixels for MS-SSIM with window {window}, "
            f"got {image.shape[-2]}×{image.shape[-1]}; take a smaller window or larger images"
        )
    values: Tensor = _ms_ssim(image, reference, data_range=data_range, size_average=False, win=weights)
    return values.clamp(max=1.0)


def _prepared(image: Tensor, reference: Tensor, data_range: float, shave: int) -> tuple[Tensor, Tensor]:
    if image.shape != reference.shape or image.ndim != 4:
        raise ValueError(
            f"image and reference must be two (b, c, h, w) tensors of one shape, "
            f"got {tuple(image.shape)} and {tuple(reference.shape)}"
        )
    if not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(f"data_range must be positive, got {data_range}")
    if not 0 <= 2 * shave < min(image.shape[-2:]):
        raise ValueError(
            f"shave must leave something of {image.shape[-2]}×{image.shape[-1]} pixels, got {shave} from each side"
        )
    inside = (..., slice(shave, image.shape[-2] - shave), slice(shave, image.shape[-1] - shave))
    return image.detach()[inside].double(), reference.detach()[inside].double()


def _window(image: Tensor, window: int, sigma: float) -> Tensor:
    """The 1-D Gaussian of the window in float64, `(c, 1, 1, window)`; pytorch-msssim's own is built in float32."""
    if window % 2 == 0 or not 1 <= window <= min(image.shape[-2:]):
        raise ValueError(
            f"window must be odd and at most the shaved image's shorter side {min(image.shape[-2:])}, got {window}"
        )
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be positive, got {sigma}")
    offsets = torch.arange(window, dtype=torch.float64, device=image.device) - window // 2
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    return (weights / weights.sum()).expand(image.shape[1], 1, 1, window)
