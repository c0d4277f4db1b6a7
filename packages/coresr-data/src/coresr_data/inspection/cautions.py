"""What looks wrong with a store: levels that are cut off, windows that do not fit, splits that show the same rock."""

from collections.abc import Iterator, Sequence

import numpy as np

from coresr_data.inspection.looking import Seen
from coresr_data.store import Store

FILLED = 0.25
"""Share of the window that grey levels should span; 12 bit in 16 spans a sixteenth, and PSNR reads 24 dB too high."""
SATURATED = 0.01
"""Share of pixels at an end of the dtype from which on levels count as cut off there."""
BEYOND = 0.001
"""Share of pixels outside the window from which on it counts as too narrow."""
LITTLE_ROCK = 0.1
"""Share of a core inside its mask under which the mask is worth a look."""


def cautions(store: Store, seen: Sequence[Seen]) -> list[str]:
    """What is worth a second look before training, each with what to do about it."""
    m = store.manifest
    found = []
    low = min((part.low for one in seen for part in one.parts if part.pixels), default=0.0)
    high = max((part.high for one in seen for part in one.parts if part.pixels), default=0.0)
    if high - low < FILLED * (m.window.high - m.window.low):
        found.append(
            f"the levels {low:.10g}–{high:.10g} fill little of the window, so PSNR will read high; "
            f"prepare again with --window {low:.10g} {high:.10g}, or what the scanner's range is"
        )
    for one in seen:
        found += [*_level_cautions(store, one), *_shape_cautions(one)]
    return [*found, *_split_cautions(store)]


def _level_cautions(store: Store, seen: Seen) -> Iterator[str]:
    name, dtype = seen.core.name, np.dtype(store.manifest.dtype)
    for which, end in enumerate(("low", "high")):
        share = seen.share([part.ends[which] for part in seen.parts])
        if share > SATURATED:
            level = np.iinfo(dtype).min if end == "low" else np.iinfo(dtype).max
            what = "darker" if end == "low" else "brighter"
            yield (
                f"{share:.1%} of core {name} is at level {level}, the end of {dtype}: what is {what} was cut off "
                "before it came here; export the scan with a wider range if it still exists"
            )
    beyond = seen.share([part.beyond for part in seen.parts])
    if beyond > BEYOND:
        window = store.manifest.window
        yield (
            f"{beyond:.1%} of core {name} is outside the window {window.low:g}–{window.high:g} and becomes less than "
            "0 or more than 1; widen --window unless it is meant"
        )


def _shape_cautions(seen: Seen) -> Iterator[str]:
    core = seen.core
    if seen.rock < LITTLE_ROCK:
        yield f"the mask leaves {seen.rock:.1%} of core {core.name}; look at it with inspect --html, or draw one"
    if core.voxel_um is None:
        return
    z, y, x = core.voxel_um
    if abs(y - x) > 0.01 * x:
        yield (
            f"pixels of core {core.name} are {y:g}×{x:g} µm, not square, and training turns patches by 90°; "
            "resample the scan to square pixels"
        )
    elif abs(z - x) > 0.01 * x:
        yield (
            f"slices of core {core.name} lie {z:g} µm apart, {z / x:.3g} times the {x:g} µm of a pixel; "
            "weigh that in whatever is measured in three dimensions"
        )


def _split_cautions(store: Store) -> Iterator[str]:
    split = store.manifest.split
    for core in split.get("cores", ()):
        for border in core["borders"]:
            if border["likeness"] >= split["alike"]:
                one, other = border["splits"]
                yield (
                    f"slices {border['above']} in {one} and {border['below']} in {other} of core {core['core']} show "
                    f"the same rock (correlation {border['likeness']:.2f}), {_why(core['published'])}: scores on "
                    f"{other} will say little about new rock"
                )
    if alike := [*split.get("equal", ()), *split.get("copies", ())]:
        yield (
            f"{len(alike)} pairs of equal or nearly equal slices lie in two splits each: scores on them measure "
            "memory; see equal and copies in dataset.json, and remove one of each pair"
        )
    for core, pair in store.manifest.degradation_parameters.get("pairs", {}).items():
        for scale, found in pair.get("registration", {}).items():
            if found["verdict"] in {"shifted", "distorted"}:
                shift = f"{found['shift_y']:+.2f} LR pixels down and {found['shift_x']:+.2f} to the right"
                yield (
                    f"the ×{scale} LR of core {core} is {found['verdict']} against its HR, by {shift}, which was "
                    "accepted; register the pair"
                )


def _why(published: bool) -> str:
    return "as they were published" if published else "which was accepted"
