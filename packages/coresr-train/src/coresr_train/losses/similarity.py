"""Losses of structural similarity: means, contrasts and correlations under a sliding Gaussian window."""

import math

import torch
from pytorch_msssim import ms_ssim as _ms_ssim
from torch import Tensor

from coresr_train.losses.pixels import Image, Scalar, at_least_float32

SIGMA = 1.5
WINDOW = 11
C1, C2 = 0.01**2, 0.03**2
"""Of images in [0, 1]."""
LEVELS = 5
WINDOWS = (11, 7, 5, 3)


def ssim(sr: Image, hr: Image) -> Scalar:
    """1 - SSIM in [0, 1], of the mean over all places of an 11×11 Gaussian window, σ 1.5 (Wang et al. 2004).

    Windows lie inside the image, variances are those of the population; where the patch is smaller than 11, the
    window is the largest odd one that it admits. ValueError below 3 pixels.

    An SSIM below 0, of images that oppose each other, counts as 0 but keeps its gradient: training gets out of it.
    """
    weights = _gaussian(ssim_window(min(sr.shape[-2:])))
    sr, hr = at_least_float32(sr, hr)
    difference = sr - hr
    # variances do not know that grey levels lie around 0.5, but their rounding would
    powers = _blurred((sr - 0.5).square() + (hr - 0.5).square(), weights)
    mean_hr, mean_difference = _blurred(hr - 0.5, weights), _blurred(difference, weights)
    mean_sr = mean_hr + mean_difference
    variances = powers - mean_sr.square() - mean_hr.square()
    # what luminance and structure lack to 1, said by the difference: exact where the images are almost equal
    luminance = mean_difference.square() / ((mean_sr + 0.5).square() + (mean_hr + 0.5).square() + C1)
    structure = (_blurred(difference.square(), weights) - mean_difference.square()) / (variances + C2)
    loss = (luminance + structure - luminance * structure).mean()
    return loss + (loss.clamp(0, 1) - loss).detach()


def ssim_window(side: int) -> int:
    """The largest odd window up to 11 that fits into `side` pixels; ValueError below 3.

    >>> [ssim_window(side) for side in (96, 11, 10, 3)]
    [11, 11, 9, 3]
    """
    if side < 3:
        raise ValueError(f"patch must be 3 pixels or more for SSIM, got {side}; enlarge data.patch")
    return min(WINDOW, side - 1 + side % 2)


def ms_ssim(sr: Image, hr: Image) -> Scalar:
    """1 - MS-SSIM on five levels (Wang et al. 2003), with the largest Gaussian window (σ 1.5) that the patch admits.

    The window is 11 above 160 px, 7 above 96, 5 above 64, 3 above 32; ValueError below.
    """
    window = msssim_window(min(sr.shape[-2:]))
    sr, hr = at_least_float32(sr, hr)
    with torch.autocast(sr.device.type, enabled=False):
        value: Tensor = _ms_ssim(sr, hr, data_range=1.0, win_size=window)
    return 1 - value


def msssim_window(side: int) -> int:
    """The largest window for which five levels fit into `side` pixels."""
    for window in WINDOWS:
        if side > (window - 1) * 2 ** (LEVELS - 1):
            return window
    raise ValueError(f"patch must be larger than 32 pixels for MS-SSIM on five levels, got {side}; enlarge data.patch")


def _gaussian(window: int) -> list[float]:
    """Weights of sum 1."""
    weights = [math.exp(-((place - window // 2) ** 2) / (2 * SIGMA**2)) for place in range(window)]
    return [weight / sum(weights) for weight in weights]


def _blurred(image: Tensor, weights: list[float]) -> Tensor:
    """Weighted sums of shifted slices: on one core ten times as fast as a convolution of one channel."""
    for dim in (-2, -1):
        inner = image.shape[dim] - len(weights) + 1
        blurred = image.narrow(dim, 0, inner) * weights[0]
        for place, weight in enumerate(weights[1:], start=1):
            blurred = blurred.add(image.narrow(dim, place, inner), alpha=weight)
        image = blurred
    return image
