"""A core of a store as somebody sees it who looks at some of its slices: the grey levels of every split."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coresr_data.intensity import Window
from coresr_data.split import SPLITS
from coresr_data.store import Core, Store
from coresr_data.volume import Levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The slices of one split of a core, and the grey levels of those looked at, inside the mask where there is one."""

    split: str
    rows: tuple[int, ...]
    numbers: tuple[int, ...]
    looked_at: tuple[int, ...]
    """Rows, evenly spread; all of them where they are not too many."""
    every: int
    """Which line of pixels of these: each, or of a huge slice one in so many."""
    pixels: int
    """Looked at; without any the levels below are NaN."""
    low: float
    high: float
    mean: float
    ends: tuple[float, float]
    """Shares of pixels at the lowest and the highest level of the dtype; 0 for floats."""
    beyond: float
    """Share of pixels outside the window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A core as it was looked at."""

    core: Core
    image: str
    """`hr`, or `lr` where there is no HR."""
    parts: tuple[Part, ...]

    @property
    def rock(self) -> float:
        """Share of the core inside its mask."""
        return sum(one.rock for one in self.core.slices) / len(self.core.slices)

    def share(self, shares: Sequence[float]) -> float:
        """The mean of a share over the parts, each by the pixels looked at."""
        pixels = [part.pixels for part in self.parts]
        return sum(s * n for s, n in zip(shares, pixels, strict=True)) / max(sum(pixels), 1)


def look(store: Store, core: Core, *, most_pixels: int) -> Seen:
    """Look at the HR slices of a core, or LR where there is no HR, at most so many pixels of each split."""
    image = "hr" if "hr" in core.images else "lr"
    array = array_of(store, core, image)
    masks = store.mask(core) if core.masked and image == "hr" else None
    parts = []
    for split in [*SPLITS, *sorted({one.split for one in core.slices} - set(SPLITS))]:
        rows = [row for row, one in enumerate(core.slices) if one.split == split]
        if rows:
            parts.append(_part(core, rows, array, masks, window=store.manifest.window, most_pixels=most_pixels))
    return Seen(core=core, image=image, parts=tuple(parts))


def array_of(store: Store, core: Core, image: str) -> Levels:
    """HR, or LR at the scale that the store was opened at, else the smallest; `(n, h, w)`, memory-mapped."""
    if image == "hr":
        return store.hr(core)
    return (store if store.chosen is not None else store.at(store.manifest.scales[0])).lr(core)


def spread(rows: Sequence[int], most: int) -> list[int]:
    """At most so many of the rows, evenly spread."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round((i + 0.5) * len(rows) / most - 0.5)] for i in range(most)]


def _part(
    core: Core, rows: Sequence[int], array: Levels, masks: Levels | None, *, window: Window, most_pixels: int
) -> Part:
    size = array.shape[1] * array.shape[2]
    looked_at, every = spread(rows, max(1, most_pixels // size)), -(-size // most_pixels)
    integer = np.issubdtype(array.dtype, np.integer)
    limits = np.iinfo(array.dtype) if integer else None
    pixels, total, beyond, at = 0, 0.0, 0, [0, 0]
    low, high = np.inf, -np.inf
    for row in looked_at:  # slice by slice: a split may be larger than memory
        levels = array[row, ::every] if masks is None else array[row, ::every][masks[row, ::every]]
        if levels.size == 0:
            continue
        darkest, brightest = levels.min().item(), levels.max().item()
        low, high = min(low, darkest), max(high, brightest)
        total += float(levels.mean(dtype=np.float64)) * levels.size
        pixels += levels.size
        if darkest < window.low or brightest > window.high:
            beyond += int(np.count_nonzero((levels < window.low) | (levels > window.high)))
        if limits is not None and darkest == limits.min:
            at[0] += int(np.count_nonzero(levels == limits.min))
        if limits is not None and brightest == limits.max:
            at[1] += int(np.count_nonzero(levels == limits.max))
    return Part(
        split=core.slices[rows[0]].split,
        rows=tuple(rows),
        numbers=tuple(core.slices[row].number for row in rows),
        looked_at=tuple(looked_at),
        every=every,
        pixels=pixels,
        low=low if pixels else np.nan,
        high=high if pixels else np.nan,
        mean=total / pixels if pixels else np.nan,
        ends=(at[0] / max(pixels, 1), at[1] / max(pixels, 1)),
        beyond=beyond / max(pixels, 1),
    )
