"""Within which bounds may an image be measured as if it were HR? What lies outside is said in words.

PSNR and a sharp look do not show either: a network may move the grey level as a whole, and texture that it invents
may contradict what the LR says.
"""

import math
from typing import Literal

LEVELS = 255
"""Grey levels of [0, 1], whatever the source had."""
DRIFT = 1 / LEVELS
"""Of mean grey, from HR: thresholds stand at whole levels of 8 bits, and from here on another one would be due."""
LR_PSNR = 38.0
"""dB of SR, degraded as its LR was, against it: 3.2 levels RMS.

On sections of a sandstone, two shales and a Bentheimer sandstone at ×2, 8 bits, bicubic reads 39.3 to 41.5, for it
blurs what LR shows and invents nothing; HR itself 55.8 to 57.5 and a trained `quick_x2` 61 to 68. That network's image
with texture of σ = 4 levels added reads 36.3 to 37.5 (grains of 2 to 4 HR pixels), moved by one HR pixel 28.6 to 33.7.
At ×3 and ×4 bicubic falls to 35.2, and is then the bound itself. What it cannot see: detail finer than LR shows
(`consistency.hallucination`), 57 to 62 dB when that of another place was put in. LR noise of more than 3.2 levels that
a network removes brings it below, too.
"""
LEVEL_PSNR = 20 * math.log10(LEVELS)
"""dB, 48.1: one level RMS; rounding of LR to 8 bits alone makes 0.3."""
TWICE = 10 * math.log10(2)
"""dB, 3.0: twice the energy."""


def drifts(drift: float, bicubic_drift: float) -> bool:
    """Whether mean grey is off HR's by more than `DRIFT`, and by as much off bicubic's drift; NaN is.

    What a scan itself is off by is not the model's, but a model that goes to the other side of HR has moved it.
    """
    return not (abs(drift) <= DRIFT or abs(drift - bicubic_drift) <= DRIFT)  # this way round for NaN


def contradicts(lr_psnr: float, bicubic_lr_psnr: float) -> bool:
    """Whether an image, degraded as its LR was, is too far from it in dB: NaN is.

    Below `LR_PSNR` and below bicubic; or below both `LEVEL_PSNR` and bicubic less `TWICE`: less than a level may be
    rounding, and bicubic adds no detail of its own.
    """
    bound = max(min(LR_PSNR, bicubic_lr_psnr), min(LEVEL_PSNR, bicubic_lr_psnr - TWICE))
    return not lr_psnr >= bound


def flags(
    *,
    drift: float,
    bicubic_drift: float,
    lr_psnr: float | None,
    bicubic_lr_psnr: float | None,
    reference: Literal["HR", "LR"] = "HR",
) -> list[str]:
    """What of an image is outside the bounds, one sentence each.

    `drift` is the mean of SR less that of the `reference` in grey of [0, 1], `bicubic_drift` bicubic's: a scan may be
    brighter than its HR, which is not the model's doing. `lr_psnr` is in dB (`consistency.lr_psnr`),
    None where it is not known how LR was made.

    >>> flags(drift=0.0, bicubic_drift=0.0, lr_psnr=55.0, bicubic_lr_psnr=41.0)
    []
    >>> flags(drift=-0.01, bicubic_drift=0.001, lr_psnr=None, bicubic_lr_psnr=None)
    ["mean grey drifts from HR's by −2.55 of 255 levels, bicubic's by +0.26: a threshold fixed on HR cuts other pores"]
    """
    found = []
    if drifts(drift, bicubic_drift):
        found.append(
            f"mean grey drifts from {reference}'s by {_levels(drift)} of {LEVELS} levels, bicubic's by "
            f"{_levels(bicubic_drift)}: a threshold fixed on {reference} cuts other pores"
        )
    if lr_psnr is not None and bicubic_lr_psnr is not None and contradicts(lr_psnr, bicubic_lr_psnr):
        found.append(
            f"degraded as LR was it matches LR with {lr_psnr:.1f} dB, bicubic with {bicubic_lr_psnr:.1f}: it has "
            "invented, moved or lost structures that LR shows, or removed noise that LR holds"
        )
    return found


def _levels(drift: float) -> str:
    return f"{LEVELS * drift:+.2f}".replace("-", "−")
