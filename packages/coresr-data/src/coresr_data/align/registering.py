"""Does scanned LR lie on its HR? Looked at before a store is written, on a few pairs of every core."""

from typing import Any

import numpy as np

from coresr_data.align import LIMIT, measure, verdict
from coresr_data.align.phase import LEAST, MOST_SLICES
from coresr_data.layouts.sources import Source


def registration(source: Source, scale: int, *, accept: bool = False) -> dict[str, Any]:
    """How far LR is off its HR, in LR pixels, and how sure that is; ValueError for more than half, unless accepted."""
    hr, lr = source.slices, source.lr[scale]
    if min(lr.size) < LEAST:
        return {"verdict": "unclear", "pairs": 0}
    places = np.unique(np.linspace(0, len(hr) - 1, min(MOST_SLICES, len(hr))).round().astype(int)).tolist()
    found = measure(np.stack([lr[i] for i in places]), np.stack([hr[i] for i in places]), scale=scale)
    said = verdict(found)
    if said in {"shifted", "distorted"} and not accept:
        off = (
            f"shifted by {found.shift_y:.2f} LR pixels down and {found.shift_x:.2f} to the right"
            if said == "shifted"
            else f"up to {found.drift:.2f} LR pixels apart in the corners"
        )
        raise ValueError(
            f"LR must lie within {LIMIT} LR pixels of its HR, got {source.core} {off}; say --register "
            "to crop a scan pair of volumes, register others by hand, or say --accept-shift"
        )
    return {
        "verdict": said,
        "pairs": len(places),
        "shift_y": round(found.shift_y, 3),
        "shift_x": round(found.shift_x, 3),
        "confidence": round(found.confidence, 1),
    }
