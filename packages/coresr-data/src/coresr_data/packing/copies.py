"""Slices that two splits share, or nearly: found among all slices of a store by their thumbnails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from coresr_data.packing.writing import Written
from coresr_data.split import SPLITS
from coresr_data.split.similar import COPY, closest, look, similarity
from coresr_data.store import HR, LR
from coresr_data.volume import Levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Two slices of different splits that are nearly the same picture."""

    one: str
    other: str
    splits: tuple[str, str]
    likeness: float

    def __str__(self) -> str:
        return f"{self.one} in {self.splits[0]} and {self.other} in {self.splits[1]}"


Place = tuple[Written, int]
"""A slice by its core and row."""


def copies(store: Path, written: Sequence[Written], scales: Sequence[int]) -> Iterator[Copy]:
    """The near copies across splits, the likeliest first; HR is compared with HR and LR with LR."""
    for image in ("hr", "lr"):  # of a pair HR alone: what it shows, LR shows too
        cores = [one for one in written if ("hr" if "hr" in one.core.images else "lr") == image]
        name = HR if image == "hr" else LR.format(scale=scales[0])
        places = {
            split: [(one, row) for one in cores for row, s in enumerate(one.core.slices) if s.split == split]
            for split in SPLITS
        }
        for pair in combinations(SPLITS, 2):
            if all(places[split] for split in pair):
                yield from _between(store, name, places, pair)


def _between(store: Path, name: str, places: dict[str, list[Place]], pair: tuple[str, str]) -> Iterator[Copy]:
    one, other = (np.stack([core.thumbs[row] for core, row in places[split]]) for split in pair)
    for i, j, thumbs_alike in closest(one, other):
        here, there = places[pair[0]][i], places[pair[1]][j]
        likeness = thumbs_alike
        if here[0].frame.inside.shape == there[0].frame.inside.shape:
            seen = [look(_levels(store, name, place), here[0].frame) for place in (here, there)]
            likeness = similarity(seen[0], seen[1], here[0].frame)
        if likeness >= COPY:
            yield Copy(one=_name(here), other=_name(there), splits=pair, likeness=round(likeness, 3))


def _levels(store: Path, name: str, place: Place) -> Levels:
    levels: Levels = np.load(store / place[0].core.folder / name, mmap_mode="r")[place[1]]
    return levels


def _name(place: Place) -> str:
    return place[0].core.slices[place[1]].source
