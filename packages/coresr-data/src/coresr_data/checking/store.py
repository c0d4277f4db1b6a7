"""Whether a store is what was written, its sources are what it was written from, and its pairs lie together."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from coresr_data.align import LIMIT, measure, verdict
from coresr_data.align.phase import LEAST
from coresr_data.checking import TIME_LIMIT, Checked
from coresr_data.checking.examining import Box, Facts, How, examined
from coresr_data.checking.problems import Problem, error, said, warning
from coresr_data.layouts.sources import Source
from coresr_data.store import Core, Store, verify
from coresr_data.volume import Axis, Levels, Volume

OFF = 0.05
"""Share of the pairs that may lie further off than the limit: a single pair may be mismeasured."""
MOST_PAIRS = 32
"""That are looked at, of a core and scale."""
MOST_SCATTER = 0.2
"""LR pixels that are believed to be uncertain, so that a pair off by a whole pixel is told from one that is not."""


def check_store(store: Store, *, deep: bool = False) -> list[Problem]:
    """Whether every array is there and of the shape that the manifest says; `deep` reads and hashes every byte."""
    if deep:
        return [error("store", store.path, reason) for reason in verify(store)]
    problems = []
    for core in store.manifest.cores:
        for name in store.manifest.arrays(core):
            try:
                store.map(core, name)
            except (OSError, ValueError) as reason:
                problems.append(error("store", store.path / core.folder / name, said(reason)))
    return problems


def check_origin(
    store: Store, sources: Checked, *, how: How | None = None, time_limit: float = TIME_LIMIT
) -> list[Problem]:
    """Whether the levels of every slice of a store are still among those of its sources, wherever these lie now.

    `sources` is what `check_sources` found there; volumes that were cut along another axis, or cropped to lie on their
    LR, are read once more, `how` they were.
    """
    plain = how or How()
    known = {plain: {facts.sha256 for _, facts in sources.slices}}
    wanted = [
        (one, replace(plain, axis=_axis(one.source), box=_box(store, core)))
        for core in store.manifest.cores
        for one in core.slices
    ]
    for seen in {seen for _, seen in wanted} - {plain}:
        volumes = dict.fromkeys(path.parent if facts.alone else path for path, facts in sources.slices)
        messages = [message for _, message in examined(volumes, seen, time_limit=time_limit)]
        known[seen] = {message.sha256 for message in messages if isinstance(message, Facts)}
    return [
        error("changed", one.source, "source must hold the levels it was prepared from, got none with them; restore it")
        for one, seen in wanted
        if one.sha256 not in known[seen]
    ]


def _box(store: Store, core: Core) -> Box | None:
    """What of its source's slices a core holds that was cropped to lie on its LR."""
    cropped = store.manifest.degradation_parameters.get("pairs", {}).get(core.name, {}).get("cropped")
    if cropped is None:
        return None
    (scale,) = store.manifest.scales
    # HR begins where the first whole LR pixel does that both show
    top, left = (scale * max(0, -(-shift // scale)) - shift for shift in cropped["hr_voxels"][-2:])
    return top, left, core.height, core.width


def _axis(source: str) -> Axis:
    """Along which a slice was cut, from its name: `core/volume.tif[x=7]`."""
    found = re.search(r"\[([yx])=\d+\]$", source)
    return "z" if found is None else "y" if found[1] == "y" else "x"


# The lie of pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """LR slices and their HR."""

    name: str
    scale: int
    count: int
    read: Callable[[int], tuple[Levels, Levels]]
    """LR and HR of one pair."""


class Lie(NamedTuple):
    """How the pairs of a core lie."""

    name: str
    looked: int
    off: int
    unclear: int
    shift_y: float
    shift_x: float
    """Median over those that are clear, LR pixels; NaN without any."""
    scatter: float
    """What is uncertain about the shift of a single pair: small slices of soft images tell little."""


def pairs_of_store(store: Store) -> Iterator[Pairs]:
    """Every core and scale of a store that has both."""
    for scale in store.manifest.scales:
        at = store.at(scale)
        for core in store.manifest.cores:
            if {"hr", "lr"} <= set(core.images):
                yield _pairs(core.name, scale, at.lr(core), at.hr(core))


def pairs_of_sources(sources: Iterable[Source]) -> Iterator[Pairs]:
    """Every core that was found with LR of its own."""
    for source in sources:
        for scale, lr in source.lr.items():
            if source.hr is not None:
                yield _pairs(source.core, scale, lr, source.hr)


def _pairs(core: str, scale: int, lr: Levels | Volume, hr: Levels | Volume) -> Pairs:
    return Pairs(name=f"{core} ×{scale}", scale=scale, count=len(hr), read=lambda index: (lr[index], hr[index]))


def check_registration(pairs: Iterable[Pairs], *, limit: float = LIMIT) -> tuple[list[Problem], list[Lie]]:
    """Phase correlation of bicubic(HR) and LR on up to 32 pairs a core; an error where over 5 % are off by `limit`.

    Off is a pair that lies further than the limit by twice the scatter from pair to pair. Those in which nothing can
    be told count for nothing; where there is no other, that is a warning.
    """
    problems, lies = [], []
    for one in pairs:
        lie = _lie(one, limit)
        lies.append(lie)
        clear = lie.looked - lie.unclear
        if not clear:
            reason = f"registration must be told from at least one pair, got {lie.looked} unclear; look at them"
            problems.append(warning("unclear", one.name, reason))
        elif lie.off > OFF * clear:
            problems.append(
                error(
                    "shifted",
                    one.name,
                    f"LR must lie within {limit:g} LR pixels of its HR, got {lie.off} of {clear} pairs further off, "
                    f"by {lie.shift_y:+.2f} rows and {lie.shift_x:+.2f} columns in the middle; register them",
                )
            )
    return problems, lies


def _lie(pairs: Pairs, limit: float) -> Lie:
    places = np.unique(np.linspace(0, pairs.count - 1, min(MOST_PAIRS, pairs.count)).round().astype(int)).tolist()
    shifts, drifts = [], []
    for place in places:
        lr, hr = pairs.read(place)
        if min(lr.shape) < LEAST:
            continue
        found = measure(lr, hr, scale=pairs.scale)
        if verdict(found) != "unclear":
            shifts.append(found.shift)
            drifts.append(found.drift)
    if not shifts:
        return Lie(pairs.name, len(places), 0, len(places), *(float("nan"),) * 3)
    scatter = _scatter(np.array(shifts))
    furthest = np.maximum(np.abs(shifts).max(axis=1), drifts)
    off = int((furthest > limit + 2 * min(scatter, MOST_SCATTER)).sum())
    y, x = np.median(shifts, axis=0)
    return Lie(pairs.name, len(places), off, len(places) - len(shifts), float(y), float(x), scatter)


def _scatter(shifts: NDArray[np.float64]) -> float:
    """Standard deviation of one measured shift, from the usual difference of two that follow one another."""
    if len(shifts) < 3:
        return 0.0
    return float((np.median(np.abs(np.diff(shifts, axis=0)), axis=0) / (0.6745 * np.sqrt(2))).max())
