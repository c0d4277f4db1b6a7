"""What `ssim` and `ms_ssim` of `fidelity` are made of: means under sliding windows, as sums of shifted slices.

Wang et al. 2004 compare means, variances and the covariance of x and y under a window. Said by s = x + y and
d = x - y, 2 μx μy = (μs² - μd²) / 2 and μx² + μy² = (μs² + μd²) / 2, and alike for the variances. Four filtered planes
do instead of five, and rounding cannot push SSIM above 1, below 1 where the images are equal, or make it asymmetric.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

K1, K2 = 0.01, 0.03
"""Of Wang et al. 2004, section III.B: the constants are their squares, times the squared range."""
LEVELS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of MS-SSIM from the finest level on (Wang et al. 2003, section 3.2); they sum to 1.0001."""
_ROWS = 128
"""Rows of windows taken at a time: of a 500² slice they stay in cache, and large slices need no more memory."""


def window_weights(window: int, sigma: float | None) -> list[float]:
    """The window along one axis, of sum 1: a Gaussian, uniform without `sigma`.

    >>> window_weights(5, None)
    [0.2, 0.2, 0.2, 0.2, 0.2]
    """
    places = range(-(window // 2), window // 2 + 1)
    weights = [1.0 if sigma is None else math.exp(-(place**2) / (2 * sigma**2)) for place in places]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def similarity(
    image: Tensor,
    reference: Tensor,
    mask: Tensor | None,
    *,
    weights: Sequence[float],
    data_range: float,
    sample: bool = False,
) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-and-structure factor of two float64 `(c, h, w)` images, means over windows, `(c,)` each.

    Only windows that lie wholly inside `mask`, `(h, w)` bool, count; ValueError where there is none. With `sample`,
    variances are those of a sample of as many pixels as the window has.
    """
    window, (height, width) = len(weights), image.shape[-2:]
    inside = None if mask is None else windows_inside(mask, window)
    count = (height - window + 1) * (width - window + 1) if inside is None else int(inside.sum())
    if not count:
        raise ValueError(f"mask must hold a whole window of {window}×{window} pixels, got none on {height}×{width}")
    level = image.mean() + reference.mean()
    constants = (2 * (K1 * data_range) ** 2, 2 * (K2 * data_range) ** 2)
    spread = window**2 / (window**2 - 1) if sample else 1.0
    totals = image.new_zeros(2, len(image))
    for top in range(0, height - window + 1, _ROWS):
        strip = slice(top, top + _ROWS + window - 1)
        maps = _maps(image[:, strip], reference[:, strip], level, weights, constants=constants, spread=spread)
        if inside is not None:
            maps = torch.where(inside[top : top + _ROWS], maps, 0)
        totals += maps.sum(dim=(-2, -1))
    ssim, structure = totals / count
    return ssim, structure


def multiscale(
    image: Tensor, reference: Tensor, mask: Tensor | None, *, weights: Sequence[float], data_range: float, levels: int
) -> Tensor:
    """MS-SSIM (Wang et al. 2003, equation 7) of two `(c, h, w)` images, each channel for itself, `(c,)`.

    Between levels 2×2 pixels are averaged; a side of an odd number of them is continued by zeros at its start, as
    pytorch-msssim does. A pixel of the next level lies inside the mask if its four do. Factors below 0 count as 0.
    """
    exponents = LEVELS if levels == len(LEVELS) else [one / sum(LEVELS[:levels]) for one in LEVELS[:levels]]
    product = image.new_ones(len(image))
    for level, exponent in enumerate(exponents, start=1):
        ssim, structure = similarity(image, reference, mask, weights=weights, data_range=data_range)
        product *= (structure if level < levels else ssim).clamp(min=0) ** exponent
        padding = [side % 2 for side in image.shape[-2:]]
        image, reference = (avg_pool2d(one, 2, padding=padding) for one in (image, reference))
        if mask is not None:
            mask = max_pool2d((~mask)[None].float(), 2, padding=padding)[0] == 0
    return product


def windows_inside(mask: Tensor, window: int) -> Tensor:
    """Which windows hold no pixel outside the mask, `(h - window + 1, w - window + 1)` bool."""
    outside = (~mask)[None].float()
    return max_pool2d(max_pool2d(outside, (window, 1), stride=1), (1, window), stride=1)[0] == 0


def _maps(
    image: Tensor,
    reference: Tensor,
    level: Tensor,
    weights: Sequence[float],
    *,
    constants: tuple[float, float],
    spread: float,
) -> Tensor:
    """SSIM and its structure factor at each window of a strip, `(2, c, …)`; `level` is about the mean of s."""
    planes = image.new_empty(4, *image.shape)
    # variances do not know where zero grey lies, but their rounding would
    torch.add(image, reference, out=planes[0]).sub_(level)
    torch.sub(image, reference, out=planes[1])
    torch.mul(planes[:2], planes[:2], out=planes[2:])
    moments = _blurred(planes, weights)
    means, variances = moments[:2], moments[2:]
    variances.addcmul_(means, means, value=-1).clamp_(min=0).mul_(spread)
    means[0] += level
    means.square_()
    # in place of the moments: what cache holds is what this costs
    maps = torch.empty_like(means)
    for (of_sum, of_difference), constant, ratio in zip((means, variances), constants, maps, strict=True):
        torch.sub(of_sum, of_difference, out=ratio).add_(constant).div_(of_sum.add_(of_difference).add_(constant))
    maps[0] *= maps[1]
    return maps


def _blurred(planes: Tensor, weights: Sequence[float]) -> Tensor:
    """Weighted sums of shifted slices: on one core several times as fast as a convolution of one channel."""
    for dim in (-2, -1):
        inner = planes.shape[dim] - len(weights) + 1
        total = planes.narrow(dim, 0, inner) * weights[0]
        for place, weight in enumerate(weights[1:], start=1):
            total.add_(planes.narrow(dim, place, inner), alpha=weight)
        planes = total
    return planes
