"""How close is an image to its reference? PSNR, SSIM, MS-SSIM, MAE and LPIPS, each image for itself, in float64.

Every function takes `(b, c, h, w)`, computes in float64 whatever it is given, and answers `(b,)` float64.
`data_range` is the span of the grey scale (1 for images in [0, 1]) and has no default: guessing it from the
data is worth several dB. `shave` pixels are cut from every side first. `mask`, `(h, w)` or `(b, 1, h, w)` bool on the
whole image, says where there is something to see, as in a round field of view: nothing outside it counts, whatever
stands there, NaN included.

Papers take these numbers in other ways; `conventions` names and describes them.
"""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from coresr_eval.perceptual import ALEX_SIDE, Distance, alex
from coresr_eval.similarity import LEVELS, multiscale, similarity, window_weights


def psnr(
    image: Tensor,
    reference: Tensor,
    *,
    data_range: float,
    shave: int = 0,
    mask: Tensor | None = None,
    epsilon: float = 0.0,
) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range² / MSE); infinite where the images are equal.

    `epsilon` is added to the MSE of images on [0, 1]: 0 but in the convention `basicsr_pt`.

    >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5), data_range=1.0).round(decimals=3)
    tensor([20.], dtype=torch.float64)
    """
    image, reference, mask = _prepared(image, reference, data_range, shave, mask)
    return 10 * torch.log10(data_range**2 / (_mean((image - reference).square(), mask) + epsilon * data_range**2))


def mae(image: Tensor, reference: Tensor, *, data_range: float, shave: int = 0, mask: Tensor | None = None) -> Tensor:
    """Mean absolute error, as a share of `data_range`."""
    image, reference, mask = _prepared(image, reference, data_range, shave, mask)
    return _mean((image - reference).abs(), mask) / data_range


def ssim(
    image: Tensor,
    reference: Tensor,
    *,
    data_range: float,
    shave: int = 0,
    mask: Tensor | None = None,
    window: int | None = None,
    sigma: float | None = 1.5,
    sample: bool = False,
    border: Literal["valid", "reflect"] = "valid",
) -> Tensor:
    """Structural similarity (Wang et al. 2004), the mean over all windows; exactly 1 where the images are equal.

    The window is a Gaussian of 7×7 pixels, of 5×5 where the shaved image is too small for 7; ValueError below 5. Any
    odd `window` that fits may be asked for. Windows lie inside the image, variances are those of a population. With a
    mask, only windows that lie wholly inside it count; ValueError where there is none.

    The others are for the conventions of other programs: no `sigma` is a uniform window, `sample` takes variances of
    a sample, and `border="reflect"` mirrors the image beyond its edge, so that each pixel has a window.

    Equal to pytorch-msssim, piq and scikit-image where window, border and covariance are the same.
    """
    image, reference, mask = _prepared(image, reference, data_range, shave, mask)
    weights = _weights(image, window, sigma)
    if sample and len(weights) == 1:
        raise ValueError("window must be 3 pixels or more for the variance of a sample, got 1")
    if border == "reflect":
        margin = [len(weights) // 2] * 4
        image, reference = pad(image, margin, mode="reflect"), pad(reference, margin, mode="reflect")
        mask = None if mask is None else pad(mask.float(), margin, mode="reflect") > 0
    elif border != "valid":
        raise ValueError(f"border must be valid or reflect, got {border!r}")
    found = [
        similarity(*pair, weights=weights, data_range=data_range, sample=sample)[0].mean()
        for pair in _each(image, reference, mask)
    ]
    return torch.stack(found)


def ms_ssim(
    image: Tensor,
    reference: Tensor,
    *,
    data_range: float,
    shave: int = 0,
    mask: Tensor | None = None,
    window: int | None = None,
    sigma: float = 1.5,
    levels: int = 5,
) -> Tensor:
    """Multi-scale SSIM (Wang et al. 2003): SSIM of the coarsest of five levels, times the structure of the others.

    The window is a Gaussian of 7×7 pixels, 5×5 or 3×3 where the image is too small: the shorter side must be at least
    16 (window - 1) + 1 pixels, so 97, 65 or 33 (ValueError below). With fewer `levels` the exponents are the first
    ones over their sum, and 2^(levels - 1) takes the place of 16. With a mask, only windows that lie wholly inside it
    count on every level; ValueError where there is none, as on the coarsest level of a narrow one.

    Equal to pytorch-msssim with a window in float64 instead of its float32.
    """
    image, reference, mask = _prepared(image, reference, data_range, shave, mask)
    if not 1 <= levels <= len(LEVELS):
        raise ValueError(f"levels must be from 1 to {len(LEVELS)}, got {levels}")
    side, halvings = min(image.shape[-2:]), 2 ** (levels - 1)
    if window is None:
        window = next((one for one in (7, 5) if side > halvings * (one - 1)), 3)
    if side <= halvings * (window - 1):
        raise ValueError(
            f"the shaved image must be larger than {halvings * (window - 1)} pixels for MS-SSIM with window {window}, "
            f"got {image.shape[-2]}×{image.shape[-1]}; take a smaller window or larger images"
        )
    weights = _weights(image, window, sigma)
    found = [
        multiscale(*pair, weights=weights, data_range=data_range, levels=levels).mean()
        for pair in _each(image, reference, mask)
    ]
    return torch.stack(found)


def lpips(
    image: Tensor, reference: Tensor, *, data_range: float, shave: int = 0, distance: Distance | None = None
) -> Tensor:
    """Learned perceptual distance (Zhang et al. 2018), 0 where the images are equal; of one or three channels.

    `distance` takes two float32 `(b, 3, h, w)` in [-1, 1] and answers one number per image. Without it, it is LPIPS
    0.1 on AlexNet, by the package lpips and its weights: MissingExtraError, which says what to install, where these
    are not there; ValueError below 31 pixels. It learned what people see in photographs, of which rocks are none:
    compare models by it, and believe no single value. There is no mask, for a network looks across its edge.

    >>> def mean_square(one: Tensor, other: Tensor) -> Tensor:
    ...     return (one - other).square().mean(dim=(1, 2, 3))
    >>> lpips(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8), data_range=1.0, distance=mean_square)
    tensor([4.], dtype=torch.float64)
    """
    image, reference, _ = _prepared(image, reference, data_range, shave, None)
    if image.shape[1] not in {1, 3}:
        raise ValueError(f"images must be of 1 or 3 channels for LPIPS, got {image.shape[1]}")
    if distance is None and min(image.shape[-2:]) < ALEX_SIDE:
        raise ValueError(
            f"the shaved image must be {ALEX_SIDE} pixels or more for LPIPS, got {image.shape[-2]}×{image.shape[-1]}"
        )
    between = distance or alex(image.device)
    with torch.inference_mode(), torch.autocast(image.device.type, enabled=False):
        pair = ((2 / data_range * one - 1).float().expand(-1, 3, -1, -1) for one in (image, reference))
        found = between(*pair)
    if found.numel() != len(image):
        raise ValueError(f"distance must answer one number per image, got {tuple(found.shape)} for {len(image)}")
    return found.double().reshape(-1)


class _Prepared(NamedTuple):
    image: Tensor
    reference: Tensor
    mask: Tensor | None


def _prepared(image: Tensor, reference: Tensor, data_range: float, shave: int, mask: Tensor | None) -> _Prepared:
    """Checked, shaved, in float64, 0 outside the mask, which comes back as `(b, 1, h, w)`."""
    if image.shape != reference.shape or image.ndim != 4:
        raise ValueError(
            f"image and reference must be two (b, c, h, w) tensors of one shape, "
            f"got {tuple(image.shape)} and {tuple(reference.shape)}"
        )
    if not image.numel():
        raise ValueError(f"images must hold a pixel, got {tuple(image.shape)}")
    if not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(f"data_range must be positive, got {data_range}")
    if not 0 <= 2 * shave < min(image.shape[-2:]):
        raise ValueError(
            f"shave must leave something of {image.shape[-2]}×{image.shape[-1]} pixels, got {shave} from each side"
        )
    mask = None if mask is None else _whole(mask, image)
    inside = (..., slice(shave, image.shape[-2] - shave), slice(shave, image.shape[-1] - shave))
    image, reference = (one.detach()[inside].double() for one in (image, reference))
    if mask is None:
        return _Prepared(image, reference, None)
    mask = mask[inside]
    if not mask.any(dim=(-2, -1)).all():
        raise ValueError("mask must hold a pixel of every shaved image, got none; shave less")
    return _Prepared(torch.where(mask, image, 0), torch.where(mask, reference, 0), mask)


def _each(image: Tensor, reference: Tensor, mask: Tensor | None) -> Iterable[tuple[Tensor, Tensor, Tensor | None]]:
    """The images one by one, `(c, h, w)`, each with its mask `(h, w)`."""
    return zip(image, reference, [None] * len(image) if mask is None else mask[:, 0], strict=True)


def _whole(mask: Tensor, image: Tensor) -> Tensor:
    """The mask as `(b, 1, h, w)`."""
    batch, _, height, width = image.shape
    if mask.dtype != torch.bool or mask.shape not in {(height, width), (batch, 1, height, width)}:
        raise ValueError(
            f"mask must be bool and {(height, width)} or {(batch, 1, height, width)} as the images, "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    return mask.expand(batch, 1, height, width)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Of each image, over what lies inside the mask; `values` are 0 outside."""
    if mask is None:
        return values.mean(dim=(1, 2, 3))
    return values.sum(dim=(1, 2, 3)) / (values.shape[1] * mask.sum(dim=(1, 2, 3)))


def _weights(image: Tensor, window: int | None, sigma: float | None) -> list[float]:
    side = min(image.shape[-2:])
    if window is None and side < 5:
        raise ValueError(f"the shaved image must be 5 pixels or more for SSIM, got {side}; shave less")
    if window is None:
        window = 7 if side >= 7 else 5
    if window % 2 == 0 or not 1 <= window <= side:
        raise ValueError(f"window must be odd and at most the shaved image's shorter side {side}, got {window}")
    if sigma is not None and not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be positive, got {sigma}")
    return window_weights(window, sigma)
