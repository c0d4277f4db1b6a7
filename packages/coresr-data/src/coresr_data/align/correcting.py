"""A pair laid on one another, cropped by whole HR pixels, which changes no level."""

from dataclasses import replace
from typing import Any

import numpy as np

from coresr_data.align import Registration, measure, verdict
from coresr_data.align.phase import MOST_SLICES, Pair, Part
from coresr_data.volume import Levels, Volume

MIDDLE = 256
"""LR voxels a side of the block in the middle that a pair of volumes is registered on."""


def cropped_to_match(hr: Volume, lr: Volume, scale: int) -> tuple[Volume, Volume, dict[str, Any]]:
    """What both HR and LR show, so that half an HR voxel of shift is left at most, and what was done to them.

    HR has as many slices as LR, or `scale` times as many. Slices are read when asked for. ValueError where the pair is
    unclear or distorted, or of sizes that do not belong together.
    """
    deep = len(hr) != len(lr)
    found = measure(*_middle(hr, lr, scale, deep=deep), scale=scale)
    refuse_unmendable(found)
    sizes = [(len(one), *one.size) if deep else one.size for one in (lr, hr)]
    # what is compared are sizes alone: nothing is read
    pair = Pair(np.broadcast_to(np.uint8(0), sizes[0]), np.broadcast_to(np.uint8(0), sizes[1]), scale)
    lr_part, hr_part = pair.overlap(tuple(slice(0, n) for n in sizes[0]), found.crop)
    did = {
        "shift_lr_voxels": [round(one, 3) for one in found.shift],
        "hr_voxels": list(found.crop),
        "remaining_lr_voxels": [round(one, 3) for one in found.remaining],
        "confidence": round(found.confidence, 1),
    }
    return _part(hr, hr_part), _part(lr, lr_part), did


def refuse_unmendable(found: Registration) -> None:
    """ValueError where a pair is unclear or distorted: no crop mends that."""
    words = verdict(found)
    if words in {"unclear", "distorted"}:
        raise ValueError(
            f"pair must differ by a shift alone, got one {words}: confidence {found.confidence:.1f}, "
            f"drift {found.drift:.2f} LR pixels; register it with a tool that resamples"
        )


def _middle(hr: Volume, lr: Volume, scale: int, *, deep: bool) -> tuple[Levels, Levels]:
    """LR and HR in the middle of a pair of volumes; of a stack whole slices, spread over it."""
    if not deep:
        rows = np.unique(np.linspace(0, len(lr) - 1, min(len(lr), MOST_SLICES)).round().astype(int)).tolist()
        return np.stack([lr[i] for i in rows]), np.stack([hr[i] for i in rows])
    sides = [(max(0, (n - MIDDLE) // 2), min(n, MIDDLE)) for n in (len(lr), *lr.size)]
    blocks = []
    for volume, s in ((lr, 1), (hr, scale)):
        (z, depth), y, x = ((s * first, s * length) for first, length in sides)
        rows, columns = (slice(first, first + length) for first, length in (y, x))
        blocks.append(np.stack([volume[i][rows, columns] for i in range(z, min(z + depth, len(volume)))]))
    return blocks[0], blocks[1]


def _part(volume: Volume, part: Part) -> Volume:
    """A box of a volume, or a rectangle of all its slices."""
    *deep, rows, columns = part
    kept = range(len(volume))[deep[0]] if deep else range(len(volume))
    return replace(
        volume,
        numbers=tuple(volume.numbers[i] for i in kept),
        names=tuple(volume.names[i] for i in kept),
        sources=tuple(volume.source(i) for i in kept),
        size=(rows.stop - rows.start, columns.stop - columns.start),
        read=lambda index: np.ascontiguousarray(volume.read(kept[index])[rows, columns]),
        array=None,
        cut=None,
    )
