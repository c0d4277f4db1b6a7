"""The evaluation as an object: what was measured how, saved beside every number, and the one way to measure it."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor

from coresr_eval.consistency import back_project, drift, lr_psnr
from coresr_eval.fidelity import mae, psnr, ssim
from coresr_eval.similarity import windows_inside


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How images are compared. Two tables may be set side by side only if their protocols are equal.

    Images come as float32 in [0, 1]. The defaults are the house's convention; `conventions.under` sets those of papers.
    """

    scale: int
    """HR size over LR size."""
    shave: int
    """Pixels cut from every side of the HR grid before scoring; the field takes the scale."""
    degradation: str
    """How LR was made from HR, as the store says."""
    grey: str
    """Dtype and window of the grey levels, which decide what a dB means."""
    back_project: bool = False
    """Whether every image, bicubic's too, is replaced by the nearest that gives its LR back."""
    self_ensemble: bool = False
    """Whether each image is the mean of the network's answers to the eight flips and turns of its LR."""
    tile: int | None = None
    """Side in LR pixels of the tiles that networks were given; None where nobody chose one."""
    convention: str = "coresr"
    """What `conventions.CONVENTIONS` calls the fields from here to `precision`."""
    data_range: float = 1.0
    """Span of the grey scale: images in [0, 1] are multiplied by it before scoring."""
    quantise: bool = False
    """Whether they are then clipped to the range and rounded to whole numbers, as a file of integers would be."""
    luma: bool = False
    """Whether they are then taken for the Y of a grey picture, (16 + 219 grey) / 255 of the range."""
    psnr_epsilon: float = 0.0
    """Added to the mean squared error of images in [0, 1]."""
    ssim_window: int = 7
    """Side of SSIM's window in pixels."""
    ssim_small_window: int = 5
    """Its side on images that are too small for `ssim_window`."""
    ssim_sigma: float | None = 1.5
    """Standard deviation of that window in pixels; None where it is uniform."""
    ssim_border: Literal["valid", "reflect"] = "valid"
    """Whether windows lie inside the image, or one is around each pixel of an image that is mirrored at its edge."""
    ssim_covariance: Literal["population", "sample"] = "population"
    """Whether the squares of a window are divided by its number of pixels, or by one less."""
    precision: str = "network in float32 without autocast, metrics in float64"
    pooling: str = "mean over images of each image's own score"


LATER: Mapping[str, object] = {"back_project": False}
"""Fields that tables of before 0.4 do not hold, and what they did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One image by one model; NaN is a number that was not taken."""

    model: str
    core: str
    slice: int
    psnr: float
    """dB, under the protocol; by default on raw grey values (a paper's Y-channel PSNR of them is 1.32 dB higher)."""
    ssim: float
    mae: float = math.nan
    """Mean absolute error as a share of the range."""
    lr_psnr: float | None = None
    """dB of the image, degraded again, against its LR; None where it is not known how LR was made."""
    drift: float = math.nan
    """Mean of the image less mean of its HR, in grey of [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One whole slice: `lr` (h, w) and `hr` (scale·h, scale·w), float32 in [0, 1]."""

    core: str
    slice: int
    lr: Tensor
    hr: Tensor
    operator: Callable[[Tensor], Tensor] | None = None
    """How LR was made: from `(1, 1, scale·h, scale·w)` in [0, 1] to `(1, 1, h, w)`, without rounding or noise."""
    pinv: Callable[[Tensor], Tensor] | None = None
    """The operator's pseudo-inverse, the other way round."""
    mask: Tensor | None = None
    """Bool, of HR's size: only what lies inside is looked at. See `scorable`."""


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

    Raises ValueError where a model answers another size or a number that is not finite, and where images are to be
    projected back by an operator or a pseudo-inverse that a pair has not.
    """
    for pair in pairs:
        images = {}
        for name, upscale in models.items():
            with torch.inference_mode(), torch.autocast(pair.lr.device.type, enabled=False):
                images[name] = upscale(pair.lr[None, None])[0, 0].float()
            if protocol.back_project:
                images[name] = _projected(images[name], pair)
        yield Scored(
            pair=pair,
            images=images,
            scores=tuple(score_image(name, image, pair, protocol) for name, image in images.items()),
        )


def _projected(image: Tensor, pair: Pair) -> Tensor:
    """The nearest image that gives the pair's LR back."""
    if pair.operator is None or pair.pinv is None:
        raise ValueError(
            f"images must have the operator of their LR and its inverse to be projected back, got core {pair.core!r} "
            f"slice {pair.slice} without; only LR that was made by one linear step, such as bicubic, has both"
        )
    return back_project(image[None, None], pair.lr[None, None], pair.operator, pair.pinv)[0, 0].float()


def score_image(model: str, image: Tensor, pair: Pair, protocol: Protocol) -> Score:
    """The scores of one `(scale·h, scale·w)` image against `pair.hr` under the protocol.

    The protocol says how the image is compared with HR; `lr_psnr` and `drift` are of raw grey levels under any.
    """
    where = f"{model} on core {pair.core!r} slice {pair.slice}"
    if image.shape != pair.hr.shape:
        raise ValueError(f"the image of {where} must be {tuple(pair.hr.shape)}, got {tuple(image.shape)}")
    if not image.isfinite().all():
        raise ValueError(f"the image of {where} must be finite, got {int((~image.isfinite()).sum())} bad pixels")
    least = 2 * protocol.shave + min(protocol.ssim_window, protocol.ssim_small_window)
    if min(image.shape) < least:
        raise ValueError(
            f"the image of {where} must be {least} pixels a side or more under this protocol, got {tuple(image.shape)}"
        )
    if not scorable(pair.mask, protocol):
        raise ValueError(
            f"the mask of core {pair.core!r} slice {pair.slice} must hold a window of SSIM inside the shaved image, "
            "got none; leave the slice out"
        )
    sr, lr = image[None, None], pair.lr[None, None]
    kept = sr if pair.mask is None else sr.where(pair.mask, pair.hr)  # LR's pixels at the rim see both sides of it
    return Score(
        model=model,
        core=pair.core,
        slice=pair.slice,
        **_compared(sr, pair, protocol),
        lr_psnr=None if pair.operator is None else float(lr_psnr(kept, lr, pair.operator, data_range=1.0)),
        drift=_drift(image, pair),
    )


def scorable(mask: Tensor | None, protocol: Protocol) -> bool:
    """Whether an image under this mask has a score: a window of SSIM lies inside it and inside the shaved image."""
    if mask is None:
        return True
    inside = mask[tuple(slice(protocol.shave, side - protocol.shave) for side in mask.shape)]
    window = protocol.ssim_window if min(inside.shape) >= protocol.ssim_window else protocol.ssim_small_window
    return min(inside.shape) >= window and bool(windows_inside(inside, window).any())


def _drift(image: Tensor, pair: Pair) -> float:
    """Against HR and not LR: thresholds are fixed on HR, and a real LR may be brighter."""
    inside = (image, pair.hr) if pair.mask is None else (image[pair.mask], pair.hr[pair.mask])
    return float(drift(*(one.reshape(1, 1, 1, -1) for one in inside)))


def differences(one: Protocol | Mapping[str, object], other: Protocol | Mapping[str, object]) -> tuple[str, ...]:
    """The fields in which two protocols differ, with both values; those that only one has are `not said` by the other.

    A mapping is what `asdict` makes of a protocol, or what `summary.json` holds, of another version perhaps.

    >>> differences({"shave": 2, "scale": 2}, {"shave": 4, "scale": 2, "tile": 64})
    ('shave (2 and 4)', 'tile (not said and 64)')
    """
    ours, theirs = (asdict(each) if isinstance(each, Protocol) else {**LATER, **each} for each in (one, other))
    fields = [
        name for name in {**ours, **theirs} if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]
    said = [[repr(each[name]) if name in each else "not said" for each in (ours, theirs)] for name in fields]
    return tuple(f"{name} ({' and '.join(values)})" for name, values in zip(fields, said, strict=True))


def refuse_different(protocols: Mapping[str, Mapping[str, object]]) -> None:
    """ValueError, naming tables and fields, unless the protocols of all tables (by their names) are equal."""
    for name, protocol in protocols.items():
        if not isinstance(protocol, Mapping):
            raise ValueError(f"the protocol of {name} must be a mapping of its fields, got {protocol!r}")  # noqa: TRY004 - of a file
    (first, reference), *others = protocols.items() or [("", {})]
    found = [(name, differences(reference, protocol)) for name, protocol in others]
    unlike = [f"{first} and {name} differ in {', '.join(fields)}" for name, fields in found if fields]
    if unlike:
        raise ValueError(
            f"tables must be of one protocol to stand side by side, got others: {'; '.join(unlike)}; "
            "score them again under one"
        )


def mean(values: Iterable[float]) -> float:
    """Mean of the images' scores; NaN without any."""
    listed = list(values)
    return math.fsum(listed) / len(listed) if listed else math.nan


class _Compared(TypedDict):
    psnr: float
    ssim: float
    mae: float


def _compared(sr: Tensor, pair: Pair, protocol: Protocol) -> _Compared:
    """What the protocol makes of SR `(1, 1, h, w)` and the pair's HR."""
    image, reference = (_as_compared(one.double(), protocol) for one in (sr, pair.hr[None, None]))
    span, shave, mask = protocol.data_range, protocol.shave, pair.mask
    fits = min(sr.shape[-2:]) - 2 * shave >= protocol.ssim_window
    similarity = ssim(
        image,
        reference,
        data_range=span,
        shave=shave,
        mask=mask,
        window=protocol.ssim_window if fits else protocol.ssim_small_window,
        sigma=protocol.ssim_sigma,
        sample=protocol.ssim_covariance == "sample",
        border=protocol.ssim_border,
    )
    ratio = psnr(image, reference, data_range=span, shave=shave, mask=mask, epsilon=protocol.psnr_epsilon)
    error = mae(image, reference, data_range=span, shave=shave, mask=mask)
    return {"psnr": float(ratio), "ssim": float(similarity), "mae": float(error)}


def _as_compared(image: Tensor, protocol: Protocol) -> Tensor:
    """An image in [0, 1] on the grey scale of the protocol."""
    span = protocol.data_range
    image = _whole_levels(span * image, protocol)
    if protocol.luma:
        image = _whole_levels((16 * span + 219 * image) / 255, protocol)
    return image


def _whole_levels(image: Tensor, protocol: Protocol) -> Tensor:
    return image.clamp(0, protocol.data_range).round() if protocol.quantise else image
