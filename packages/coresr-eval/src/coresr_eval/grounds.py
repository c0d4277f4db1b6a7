"""Where pore ends and solid begins, fixed on a core's HR and applied unchanged to LR, bicubic and SR."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coresr_eval.petrophysics import around, otsu

SLICES = 16
"""Slices of a core, spread over it, whose HR says where its pores are: more would move the threshold by nothing."""
SPAN, THRESHOLDS = 0.2, 41
"""The sweep: to either side of the threshold by this share of the contrast between pore and solid; how many, odd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where pore ends and solid begins in a core, fixed on its HR."""

    threshold: float
    thresholds: NDArray[np.float64]
    """The sweep, rising, the threshold in its middle."""
    voxel_um: tuple[float, float] | None = None
    """Height and width of an HR pixel; None where nobody said."""


def ground(
    hr: Sequence[NDArray[np.float32]],
    voxel_um: tuple[float, float] | None = None,
    *,
    threshold: float | None = None,
) -> Ground:
    """Where pore ends in the HR of a core, arrays of any shape, and the sweep around it; ValueError where all is flat.

    `threshold` is in the grey of `hr`, between its ends; Otsu's of all arrays unless given, which takes the darkest
    minerals for pore where a rock has more than two phases.
    """
    at = otsu(hr) if threshold is None else threshold
    return Ground(threshold=at, thresholds=around(hr, at, span=SPAN, count=THRESHOLDS), voxel_um=voxel_um)


def ground_or_why(
    core: str,
    hr: Sequence[NDArray[np.float32]],
    voxel_um: tuple[float, float] | None = None,
    *,
    threshold: float | None = None,
) -> Ground | str:
    """The `ground` of a core, or the sentence that says why it has none."""
    low, high = min(one.min() for one in hr), max(one.max() for one in hr)
    if low == high:
        return f"Nothing is said of the pores of {core}, which has one grey level only."
    if threshold is not None and not low <= threshold < high:
        return f"Nothing is said of the pores of {core}, which has no level on one side of --pore."
    return ground(hr, voxel_um, threshold=threshold)
