"""The evaluation as an object: what was measured how, saved beside every number, and the one way to measure it."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from coresr_eval.fidelity import psnr, ssim


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How images are compared. Two tables may be set side by side only if their protocols are equal."""

    scale: int
    """HR size over LR size."""
    shave: int
    """Pixels cut from every side of the HR grid before scoring; the field takes the scale."""
    degradation: str
    """How LR was made from HR, as the store says."""
    grey: str
    """Dtype and window of the grey levels, which decide what a dB means."""
    data_range: float = 1.0
    """Span of the grey scale: images are float32 in [0, 1], neither quantised nor clipped before scoring."""
    ssim_window: int = 7
    """Side of SSIM's Gaussian window in pixels (valid border, population covariance)."""
    ssim_sigma: float = 1.5
    """Standard deviation of that window in pixels."""
    precision: str = "network in float32 without autocast, metrics in float64"
    pooling: str = "mean over images of each image's own score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One image by one model."""

    model: str
    core: str
    slice: int
    psnr: float
    """dB, on raw grey values (a paper's Y-channel PSNR of a grey image is 1.32 dB higher)."""
    ssim: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One whole slice: `lr` (h, w) and `hr` (scale·h, scale·w), float32 in [0, 1]."""

    core: str
    slice: int
    lr: Tensor
    hr: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A pair with each model's image of it, `(scale·h, scale·w)`, and the scores of these images."""

    pair: Pair
    images: Mapping[str, Tensor]
    scores: tuple[Score, ...]


def score(
    models: Mapping[str, Callable[[Tensor], Tensor]], pairs: Iterable[Pair], protocol: Protocol
) -> Iterator[Scored]:
    """Each of `models`, callables from LR `(1, 1, h, w)` to SR `(1, 1, scale·h, scale·w)`, on each pair in turn.

    Raises ValueError where a model answers another size or a number that is not finite.
    """
    for pair in pairs:
        images = {}
        for name, upscale in models.items():
            with torch.inference_mode(), torch.autocast(pair.lr.device.type, enabled=False):
                images[name] = upscale(pair.lr[None, None])[0, 0].float()
        yield Scored(
            pair=pair,
            images=images,
            scores=tuple(score_image(name, image, pair, protocol) for name, image in images.items()),
        )


def score_image(model: str, image: Tensor, pair: Pair, protocol: Protocol) -> Score:
    """The scores of one `(scale·h, scale·w)` image against `pair.hr` under the protocol."""
    where = f"{model} on core {pair.core!r} slice {pair.slice}"
    if image.shape != pair.hr.shape:
        raise ValueError(f"the image of {where} must be {tuple(pair.hr.shape)}, got {tuple(image.shape)}")
    if not image.isfinite().all():
        raise ValueError(f"the image of {where} must be finite, got {int((~image.isfinite()).sum())} bad pixels")
    sr, hr = image[None, None], pair.hr[None, None]
    return Score(
        model=model,
        core=pair.core,
        slice=pair.slice,
        psnr=float(psnr(sr, hr, data_range=protocol.data_range, shave=protocol.shave)),
        ssim=float(
            ssim(
                sr,
                hr,
                data_range=protocol.data_range,
                shave=protocol.shave,
                window=protocol.ssim_window,
                sigma=protocol.ssim_sigma,
            )
        ),
    )


def mean(values: Iterable[float]) -> float:
    """Mean of the images' scores; NaN without any."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan
