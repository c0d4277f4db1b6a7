"""What a page shows of a core, and of the patches that training gets: numbers, pictures and charts for its template."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from coresr_data.datasets import Paired
from coresr_data.inspection.figures import COLOURS, axis_ends, data_uri, grey, histogram, outlined, reduced, strip
from coresr_data.inspection.looking import Seen, array_of, spread
from coresr_data.intensity import Window
from coresr_data.patches import Draw
from coresr_data.resize import imresize
from coresr_data.store import Core, Store

LOOKED_AT = 2**24
"""Pixels of each split of a core whose levels are looked at: a few tenths of a second."""
PICTURES = 8
"""Slices shown of a core; half as many where more than two cores are."""
SIDE = 280
"""Pixels along the longer side of a slice as shown."""
PAIRS = 6
"""Patch pairs shown for each scale."""
PATCH = 96
"""HR pixels along the side of a patch, fewer where a slice is smaller."""
BINS = 256
CLIPPED = 0.005
"""Share of pixels beyond each end of the greys that pictures are shown in."""


class Greys:
    """The levels that become black and white in pictures of a core, the same wherever it is shown."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: dict[str, tuple[float, float]] = {}

    def __call__(self, core: Core) -> tuple[float, float]:
        """Those that few pixels of its middle slice lie beyond."""
        if core.folder not in self._found:
            image, row = "hr" if "hr" in core.images else "lr", len(core.slices) // 2
            levels = array_of(self._store, core, image)[row]
            if core.masked and image == "hr" and (inside := self._store.mask(core)[row]).any():
                levels = levels[inside]
            levels = levels.ravel()[:: max(1, levels.size // 2**20)]
            low, high = (float(end) for end in np.quantile(levels, [CLIPPED, 1 - CLIPPED]))
            if np.issubdtype(levels.dtype, np.integer):
                low, high = float(np.floor(low)), float(np.ceil(high))
            self._found[core.folder] = (low, high if high > low else low + 1)
        return self._found[core.folder]


def core_panel(store: Store, seen: Seen, greys: Greys, *, pictures: int) -> dict[str, Any]:
    """What the page shows of one core: so many slices, its split along depth and its histogram."""
    core = seen.core
    scale = 1 if seen.image == "hr" else store.manifest.scales[0]
    voxel = None if core.voxel_um is None else tuple(scale * side for side in core.voxel_um[1:])
    numbers = [one.number for one in core.slices]
    z_um = None if core.voxel_um is None else core.voxel_um[0]
    shares, edges, looked_at = _shares(store, seen)
    window = store.manifest.window
    return {
        "name": core.name,
        "image": seen.image.upper(),
        "size": (core.height // scale, core.width // scale),
        "sides_um": None if voxel is None else (voxel[0] * (core.height // scale), voxel[1] * (core.width // scale)),
        "voxel": core.voxel_um,
        "cropped": core.cropped,
        "lr": [(core.height // s, core.width // s) for s in store.manifest.scales if set(core.images) == {"hr", "lr"}],
        "slices": len(core.slices),
        "masked": core.masked,
        "rock": seen.rock,
        "pictures": [_picture(store, seen, row, greys(core), voxel) for row in _chosen(seen, pictures)],
        "ends": greys(core),
        "strip": Markup(strip(numbers, [one.split for one in core.slices], z_um=z_um)),  # noqa: S704, of numbers alone
        "apart": _has_gaps(numbers),
        "parts": sorted(seen.parts, key=lambda part: part.numbers[0]),
        "window_seen": _window_words(edges, window),
        "histogram": Markup(histogram(shares, edges, window=window, unit=store.manifest.dtype)),  # noqa: S704, of numbers
        "lines": list(shares),
        "looked_at": looked_at,
        "beyond": seen.share([part.beyond for part in seen.parts]),
    }


def _has_gaps(numbers: Sequence[int]) -> bool:
    return max(numbers) - min(numbers) + 1 > len(set(numbers))


def _window_words(edges: NDArray[np.float64], window: Window) -> str:
    """What to say where an end of the window lies beyond the axis."""
    left, right = axis_ends(edges, window)
    hidden = [f"{level:.10g}" for level in window if not left <= level <= right]
    return f" The window ends beyond the axis, at {' and '.join(hidden)}." if hidden else ""


def _chosen(seen: Seen, most: int) -> list[int]:
    """Rows to show: one of each split at least, evenly spread within it, ordered by depth."""
    counts = [1] * len(seen.parts)
    while sum(counts) < most and any(count < len(part.rows) for count, part in zip(counts, seen.parts, strict=True)):
        left = [len(part.rows) / count for count, part in zip(counts, seen.parts, strict=True)]
        counts[int(np.argmax(left))] += 1
    rows = [row for count, part in zip(counts, seen.parts, strict=True) for row in spread(part.rows, count)]
    return sorted(rows, key=lambda row: seen.core.slices[row].number)


def _picture(
    store: Store, seen: Seen, row: int, ends: tuple[float, float], voxel: tuple[float, ...] | None
) -> dict[str, Any]:
    core, one = seen.core, seen.core.slices[row]
    levels = array_of(store, core, seen.image)[row]
    small = reduced(levels, SIDE)
    picture = grey(small, ends)
    if core.masked and seen.image == "hr":
        picture = outlined(picture, reduced(store.mask(core)[row], SIDE) >= 0.5)
    block = -(-max(levels.shape) // SIDE)
    um = None if voxel is None else voxel[1] * (small.shape[1] * block if block > 1 else levels.shape[1])
    return {
        "uri": data_uri(picture, exact=False),
        "number": one.number,
        "split": one.split,
        "rock": one.rock if core.masked else None,
        "bar": None if um is None else _bar(um),
        "size": small.shape,
        "block": block,
    }


def _bar(um: float) -> dict[str, Any]:
    """A scale bar for a picture so many micrometres wide: a round length, at most a third of it."""
    most = um / 3 * (1 + 1e-12)  # 0.3 / 3 rounds to below 0.1
    step = 10 ** np.floor(np.log10(most))
    length = float(max(factor * step for factor in (1, 2, 5) if factor * step <= most))
    label = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    return {"share": 100 * length / um, "label": label}


def _shares(store: Store, seen: Seen) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64], int]:
    """The histogram of a core, that of its LR in the same bins, and of how many slices."""
    core = seen.core
    rows = sorted(row for part in seen.parts for row in part.looked_at)
    images = [seen.image, *(["lr"] if seen.image == "hr" and "lr" in core.images else [])]
    arrays = {image: array_of(store, core, image) for image in images}
    every = max(part.every for part in seen.parts)
    rows = spread(rows, max(1, LOOKED_AT // (arrays[seen.image][0].size // every)))
    levels = {image: [_inside(store, core, array, row, every) for row in rows] for image, array in arrays.items()}
    low = min((float(one.min()) for some in levels.values() for one in some if one.size), default=0.0)
    high = max((float(one.max()) for some in levels.values() for one in some if one.size), default=1.0)
    edges = _edges(low, high, integer=np.issubdtype(arrays[seen.image].dtype, np.integer))
    found = {}
    for image, some in levels.items():
        counts = sum((np.histogram(one, edges)[0] for one in some), np.zeros(len(edges) - 1))
        scale = core.height // arrays[image].shape[1]
        found[image.upper() if image == "hr" else f"LR ×{scale}"] = counts / max(counts.sum(), 1)
    return found, edges, len(rows)


def _inside(store: Store, core: Core, array: NDArray[Any], row: int, every: int) -> NDArray[Any]:
    levels = np.asarray(array[row, ::every])
    if not core.masked:
        return levels
    scale = core.height // array.shape[1]
    mask = store.mask(core)[row, scale // 2 :: scale, scale // 2 :: scale][::every]
    return levels[mask]


def _edges(low: float, high: float, *, integer: bool) -> NDArray[np.float64]:
    """Ends of the bins; those of integers are as many whole levels wide each, so that no bin holds more of them."""
    if not integer:
        return np.linspace(low, high if high > low else low + 1, BINS + 1)
    width = -(-int(high - low + 1) // BINS)
    return np.arange(low, high + width + 1, width) - 0.5


# Patches


def patches_panel(store: Store, greys: Greys) -> dict[str, Any] | None:
    """Pairs as training gets them; None where the store holds no pairs."""
    splits = [
        name for name in COLOURS if any(one.split == name for core in store.manifest.cores for one in core.slices)
    ]
    cores = [core for core in store.manifest.cores if set(core.images) == {"hr", "lr"}]
    if not cores or not splits:
        return None
    whole = min(min(core.height, core.width) for core in cores)
    patch = min(PATCH, whole) // store.scale * store.scale
    pairs = Paired(store, split=splits[0], patch=patch)
    shown = [_pair(pairs, number, greys) for number in range(min(PAIRS, pairs.epoch))]
    return {"scale": store.scale, "split": splits[0], "patch": patch, "pairs": shown}


def _pair(pairs: Paired, number: int, greys: Greys) -> dict[str, Any]:
    place: Draw = pairs.cuts.draw(pairs.seed, number)
    core, row = pairs.rows[place.image]
    sample, window, scale = pairs[number], pairs.store.manifest.window, pairs.store.scale
    lr, hr = (sample[name][0].numpy().astype(np.float64) for name in ("lr", "hr"))
    ends = tuple((level - window.low) / (window.high - window.low) for level in greys(core))
    images = {"LR": lr, "bicubic": imresize(lr, scale), "HR": hr}
    quarters = f"turned by {90 * (place.symmetry % 4)}°" if place.symmetry % 4 else "not turned"
    return {
        "core": core.name,
        "number": core.slices[row].number,
        "y": scale * place.y,
        "x": scale * place.x,
        "turn": quarters + (", mirrored" if place.symmetry >= 4 else ""),
        "um": None if core.voxel_um is None else core.voxel_um[2] * hr.shape[1],
        "images": [
            {"name": name, "uri": data_uri(grey(image, (ends[0], ends[1]))), "size": image.shape}
            for name, image in images.items()
        ],
    }
