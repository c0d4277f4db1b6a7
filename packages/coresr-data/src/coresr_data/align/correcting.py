"""A pair laid on one another: cropped by whole HR pixels, which changes no level, and resampled only where asked."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from coresr_data.align import MOST_SLICES, Registration, measure, verdict
from coresr_data.align.phase import Pair, Part
from coresr_data.volume import Levels, Volume

Float = NDArray[np.float64]

MIDDLE = 256
"""LR voxels a side of the block in the middle that a pair of volumes is registered on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """A pair whose LR pixel (y, x) covers HR [scale · y, scale · (y + 1)), and what was done to it."""

    lr: Levels
    hr: Levels
    remaining: tuple[float, ...]
    """LR pixels that the pair is still off, an axis each."""
    did: dict[str, Any]
    """For the manifest: crop in HR pixels, resampled shift, gain and offset, share of levels clipped."""


def corrected(lr: Levels, hr: Levels, found: Registration, *, resample: bool = False, grey: bool = False) -> Corrected:
    """Crop both by whole HR pixels, so that at most half a HR pixel of shift remains; levels stay as scanned.

    `resample` shifts LR by that rest, too: in the Fourier domain, which keeps its power spectrum, and never HR, which
    is the truth that results are compared with. `grey` brings LR to the grey scale of HR by (LR - offset) / gain.
    Both round and clip integers to their dtype. ValueError where the pair is unclear or distorted: no crop mends that.
    """
    refuse_unmendable(found)
    pair = Pair(lr, hr, found.scale)
    lr_part, hr_part = pair.overlap(tuple(slice(0, n) for n in pair.size), found.crop)
    lead = lr.ndim - pair.axes  # a stack pairs its slices one to one
    lr, hr = (image[(slice(None),) * lead + part] for image, part in ((lr, lr_part), (hr, hr_part)))
    did: dict[str, Any] = {"crop_hr_pixels": list(found.crop)}
    remaining = found.remaining
    levels = lr.astype(np.float64)
    if resample:
        levels = _moved(levels, tuple(-one for one in remaining))
        did["resampled_lr_pixels"], remaining = [-one for one in remaining], (0.0,) * pair.axes
    if grey:
        levels = (levels - found.offset) / found.gain
        did |= {"gain": found.gain, "offset": found.offset}
    if resample or grey:
        lr, did["clipped_share"] = _as_dtype(levels, lr.dtype)
    return Corrected(lr=lr, hr=hr, remaining=remaining, did=did)


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
    )


def _moved(levels: Float, shift: tuple[float, ...]) -> Float:
    """Shift the last axes by less than a pixel in the Fourier domain, borders mirrored."""
    margin = 16
    lead = levels.ndim - len(shift)
    widths = [(0, 0)] * lead + [(margin, margin)] * len(shift)
    spectrum = fft.fftn(np.pad(levels, widths, mode="symmetric"), axes=tuple(range(lead, levels.ndim)))
    for axis, one in enumerate(shift, start=lead):
        n = spectrum.shape[axis]
        phase = np.exp(-2j * np.pi * fft.fftfreq(n) * one)
        spectrum *= phase.reshape([n if i == axis else 1 for i in range(levels.ndim)])
    moved = fft.ifftn(spectrum, axes=tuple(range(lead, levels.ndim))).real
    return np.asarray(moved[(slice(None),) * lead + (slice(margin, -margin),) * len(shift)])


def _as_dtype(levels: Float, dtype: np.dtype[Any]) -> tuple[Levels, float]:
    """Rounded half up and clipped for integers, and the share that was clipped."""
    if not np.issubdtype(dtype, np.integer):
        return levels.astype(dtype), 0.0
    limits = np.iinfo(dtype)
    whole = np.floor(levels + 0.5)
    inside = np.clip(whole, limits.min, limits.max)
    return inside.astype(dtype), float((whole != inside).mean())
