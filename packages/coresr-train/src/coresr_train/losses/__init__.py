"""Losses between SR and HR `(b, c, h, w)` in [0, 1], float32 inside whatever autocast does.

Shapes must match exactly: broadcasting a prediction against its target is a bug that trains.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from coresr_train.losses import features
from coresr_train.losses.features import perceptual
from coresr_train.losses.learned import lpips
from coresr_train.losses.learning import SMALLEST as LEARNT_FROM
from coresr_train.losses.pixels import Distance, charbonnier, fft, gradient, l1, mse, tv
from coresr_train.losses.similarity import ms_ssim, msssim_window, ssim, ssim_window
from coresr_train.settings import ConfigError, Loss

__all__ = [
    "LOSSES",
    "Distance",
    "Term",
    "charbonnier",
    "chosen",
    "fft",
    "gradient",
    "l1",
    "lpips",
    "ms_ssim",
    "mse",
    "msssim_window",
    "perceptual",
    "refuse_misfits",
    "refuse_missing",
    "ssim",
    "ssim_window",
    "tv",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One part of a loss."""

    weight: float
    """Above 0; multiplies `of`."""
    of: Distance


def _plain(distance: Distance) -> Callable[[Loss, torch.device], Distance]:
    """Of a loss that needs neither settings nor weights."""
    return lambda _loss, _device: distance


LOSSES: Mapping[str, Callable[[Loss, torch.device], Distance]] = {
    "l1": _plain(l1),
    "mse": _plain(mse),
    "charbonnier": _plain(charbonnier),
    "ssim": _plain(ssim),
    "ms_ssim": _plain(ms_ssim),
    "tv": _plain(tv),
    "gradient": _plain(gradient),
    "fft": _plain(fft),
    "perceptual": perceptual,
    "lpips": lpips,
}
"""What makes each term of the settings, by its name there."""
SMALLEST: Mapping[str, int] = {
    "ssim": 3,
    "ms_ssim": 33,
    "tv": 2,
    "gradient": 3,
    "perceptual": features.SMALLEST,
    "lpips": features.SMALLEST,
}
"""Pixels a side that a term needs."""


def chosen(loss: Loss, device: torch.device) -> dict[str, Term]:
    """The terms of weight above 0, by name; what they need is loaded here, onto the device, and nothing else.

    For `perceptual` and `lpips`: FileNotFoundError for a weight file that is not there, ValueError for one that does
    not fit, MissingWeightsError for weights that are neither here nor to be fetched.

    >>> list(chosen(Loss(charbonnier=0.84, ms_ssim=0.16), torch.device("cpu")))
    ['charbonnier', 'ms_ssim']
    """
    used = {name: weight for name, weight in loss.weights().items() if weight > 0}
    return {name: Term(weight=weight, of=LOSSES[name](loss, device)) for name, weight in used.items()}


def refuse_missing(loss: Loss) -> None:
    """What `chosen` raises for weights that are not there, without what a run learns for itself."""
    learnt = loss.features == "rock" and not loss.feature_weights
    chosen(replace(loss, perceptual=0.0) if learnt else loss, torch.device("cpu"))


def refuse_misfits(loss: Loss, patch: int) -> None:
    """ConfigError for a patch, in HR pixels, that is too small for a term of weight above 0."""
    used = {name: SMALLEST.get(name, 1) for name, weight in loss.weights().items() if weight > 0}
    if "perceptual" in used and loss.features == "rock" and not loss.feature_weights:
        used["perceptual"] = LEARNT_FROM
    problems = [
        f"data.patch must be larger than {least - 1} pixels for loss.{name}, got {patch}; enlarge it"
        for name, least in used.items()
        if patch < least
    ]
    if problems:
        raise ConfigError("; ".join(problems))
