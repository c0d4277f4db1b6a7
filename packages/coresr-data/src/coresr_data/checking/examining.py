"""Look at one file: every slice of it decoded once, what it holds in a few figures, and why it is refused.

Reading goes through the same gates as `prepare`, so that the two agree.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from coresr_data.checking.apart import Lost, each_apart
from coresr_data.checking.problems import said
from coresr_data.formats import kind_of, open_volume
from coresr_data.formats.images import read_slice
from coresr_data.formats.raw import RawHeader
from coresr_data.volume import Axis, Levels, Voxel, along


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one slice holds."""

    name: str
    shape: tuple[int, int]
    dtype: str
    low: float
    high: float
    """Lowest and highest grey level."""
    at_low: float
    at_high: float
    """Share of pixels at the ends of an integer dtype; 0 of floats."""
    sha256: str
    """Of shape and levels, as stores record it."""
    voxel_um: Voxel | None
    alone: bool
    """Whether the slice is all that its file holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a slice, or a whole file, cannot be used."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A file that is no image or volume, or the levels of one that another file describes."""


Said = Facts | Refused | Passed | Lost
Box = tuple[int, int, int, int]
"""Top, left, height and width in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to read what does not say so itself."""

    axis: Axis = "z"
    raw: RawHeader | None = None
    variable: str | None = None
    external_links: bool = False
    box: Box | None = None
    """What of every slice is looked at; all without."""


def examined(paths: Iterable[Path], how: How, *, time_limit: float) -> Iterator[tuple[Path, Said]]:
    """What there is to say of every file, in processes apart: a decoder that hangs or dies costs only its own file.

    A file says no more than one thing for all of it (`Refused`, `Passed`, `Lost`), or one thing a slice.
    """
    processes = min(4, os.cpu_count() or 1)
    yield from each_apart(partial(examine, how=how), paths, time_limit=time_limit, processes=processes)


def examine(path: Path, how: How) -> Iterator[Facts | Refused | Passed]:
    """What there is to say of one file or folder."""
    try:
        kind = "raw" if how.raw else kind_of(path)
        if kind is None or (kind == "raw" and how.raw is None):
            yield Passed()
            return
        variable = how.variable if kind in {"npz", "matlab"} else None
        volume = along(open_volume(path, raw=how.raw, variable=variable, external_links=how.external_links), how.axis)
        count = len(volume)
    except (OSError, ValueError) as error:
        yield Refused(reason=said(error))
        return
    alone = count == 1 and how.axis == "z"
    for index in range(count):
        try:
            # a single image must pass the gate of slices, which is narrower than that of stacks
            levels = read_slice(path) if alone and kind in {"image", "tiff"} else volume[index]
            if how.box is not None:
                top, left, height, width = how.box
                levels = levels[top : top + height, left : left + width]
            yield facts(volume.names[index], levels, voxel_um=volume.voxel_um, alone=alone)
        except (OSError, ValueError) as error:
            yield Refused(reason=said(error))


def facts(name: str, levels: Levels, *, voxel_um: Voxel | None = None, alone: bool = False) -> Facts:
    """The figures of one slice."""
    low, high = levels.min(), levels.max()
    at_low = at_high = 0.0
    if np.issubdtype(levels.dtype, np.integer):
        limits = np.iinfo(levels.dtype)
        at_low = float((levels == low).mean()) if low == limits.min else 0.0
        at_high = float((levels == high).mean()) if high == limits.max else 0.0
    return Facts(
        name=name,
        shape=(levels.shape[0], levels.shape[1]),
        dtype=str(levels.dtype),
        low=float(low),
        high=float(high),
        at_low=at_low,
        at_high=at_high,
        sha256=digest(levels),
        voxel_um=voxel_um,
        alone=alone,
    )


def digest(levels: Levels) -> str:
    """Of shape and levels, as stores record it of every slice."""
    return hashlib.sha256(str(levels.shape).encode() + levels.tobytes()).hexdigest()
