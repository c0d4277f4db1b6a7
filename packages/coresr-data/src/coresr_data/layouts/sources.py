"""One core as it was found, and volumes made of parts: of single images, of many small volumes, of some slices."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from coresr_data.split import SPLITS
from coresr_data.volume import Levels, Volume, stamped


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The slices of one core as they were found."""

    core: str
    hr: Volume | None
    lr: Mapping[int, Volume] = field(default_factory=dict)
    """By scale, slice for slice those of `hr`; empty where LR is to be made, or is not wanted."""
    images: tuple[str, ...] = ("hr", "lr")
    """What the store shall hold: one alone of an unpaired set."""
    splits: tuple[str, ...] | None = None
    """The split of every slice, where the folders say it."""
    published: bool = False
    """Whether that split belongs to a published set, to be kept whatever it is like."""
    depth: int = 1
    """HR slices for one LR slice; of these the middle one is taken."""
    cropped: Mapping[str, Any] = field(default_factory=dict)
    """How LR was laid on HR, where that was wanted."""
    skipped: tuple[tuple[str, str], ...] = ()
    """What was left out on request, and why."""

    @property
    def slices(self) -> Volume:
        """The HR slices, or the LR slices where there is no HR."""
        return self.hr if self.hr is not None else next(iter(self.lr.values()))

    @property
    def off_centre(self) -> bool:
        """Whether the HR slice taken lies half an HR voxel below the middle of its LR slice."""
        return self.depth % 2 == 0


class Row(NamedTuple):
    """One HR file and its LR files, one a scale."""

    number: int
    split: str
    """Empty where the folders do not say it."""
    hr: Path
    lr: tuple[Path, ...]


def by_number(rows: Sequence[Row]) -> list[Row]:
    """Rows in the order of their numbers; where every split counts anew, one split after the other, by place."""
    if len({row.number for row in rows}) == len(rows):
        return sorted(rows)
    ordered = sorted(rows, key=lambda row: (SPLITS.index(row.split), row.number))
    return [row._replace(number=place) for place, row in enumerate(ordered)]


def of_volumes(core: str, paths: Sequence[Path], numbers: Sequence[int], opened: Callable[[Path], Volume]) -> Volume:
    """Many small volumes one above the other as one core: slice k of volume number n is n · depth + k.

    ValueError, when it is read, for a volume of another depth than the first.
    """
    first = opened(paths[0])
    depth, kept = len(first), lru_cache(maxsize=2)(opened)

    def read(index: int) -> Levels:
        path = paths[index // depth]
        volume = kept(path)
        if len(volume) != depth:
            raise ValueError(f"volume {path} must have {depth} slices like {paths[0]}, got {len(volume)}; remove it")
        return volume[index % depth]

    return Volume(
        core=core,
        numbers=tuple(number * depth + k for number in numbers for k in range(depth)),
        names=tuple(f"{path.parent.name}/{path.name}[{k}]" for path in paths for k in range(depth)),
        size=first.size,
        dtype=first.dtype,
        read=read,
        sources=tuple(path for path in paths for _ in range(depth)),
        voxel_um=first.voxel_um,
        stamps=stamped(paths),
    )


def picked(volume: Volume, indices: Sequence[int]) -> Volume:
    """Some slices of a volume, in this order; `volume` itself where they are all of them."""
    if list(indices) == list(range(len(volume))):
        return volume
    return replace(
        volume,
        numbers=tuple(volume.numbers[i] for i in indices),
        names=tuple(volume.names[i] for i in indices),
        sources=tuple(volume.source(i) for i in indices),
        read=lambda index: volume.read(indices[index]),
        array=None,
        cut=None,
    )


def only(source: Source, indices: Sequence[int]) -> Source:
    """Some slices of a source, or pairs of them."""
    return replace(
        source,
        hr=source.hr and picked(source.hr, indices),
        lr={scale: picked(volume, indices) for scale, volume in source.lr.items()},
        splits=source.splits and tuple(source.splits[i] for i in indices),
    )
