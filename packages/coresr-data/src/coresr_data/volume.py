"""Slices `(z, y, x)` of one core, read one by one, whatever the format they lie in: `formats` makes these."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Levels = NDArray[Any]
Axis = Literal["z", "y", "x"]
AXES: tuple[Axis, ...] = ("z", "y", "x")
Voxel = tuple[float, float, float]
"""Sides of a voxel along z, y and x in micrometres."""
Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds of a file."""
MOST_LOADED = 2**32
"""Bytes that `along` holds in memory of a volume that cannot be cut where it lies."""
SLAB = 2**28
"""Bytes that `along` holds in memory of one that can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The slices of one core, ordered by depth; `volume[i]` is the i-th as `(y, x)` in its own dtype, checked."""

    core: str
    numbers: tuple[int, ...]
    """Slice numbers, ascending: those of the file names, a series' own, or 0, 1, 2 … in one file and where none is."""
    names: tuple[str, ...]
    """What each slice is called in manifests and messages: `0007.png`, `stack.tif[7]`."""
    size: tuple[int, int]
    """Height and width in pixels, the same for every slice."""
    dtype: np.dtype[np.generic]
    """As `volume[i]` answers, in native byte order."""
    read: Callable[[int], Levels]
    """The levels of the i-th slice, as stored; `volume[i]` checks them."""
    sources: tuple[Path, ...]
    """The file of each slice, or the one file of all."""
    voxel_um: Voxel | None = None
    """None where the files do not say it."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict)
    """Of the sources when they were opened."""
    array: Any = None
    """What lies behind the slices, where it can be cut along any axis without reading the rest: `(z, y, x)`."""
    cut: Callable[[int, slice, slice], Levels] | None = None
    """Rows and columns of the i-th slice, where they can be read without the rest; `region` checks them."""

    def __post_init__(self) -> None:
        """Names that are bytes of no text are made printable, whatever the format (the class is frozen)."""
        object.__setattr__(self, "core", printable(self.core))
        object.__setattr__(self, "names", tuple(map(printable, self.names)))

    def __len__(self) -> int:
        return len(self.numbers)

    def source(self, index: int) -> Path:
        """The file that holds the i-th slice."""
        return self.sources[index] if len(self.sources) == len(self) else self.sources[0]

    def __getitem__(self, index: int) -> Levels:
        """ValueError for a slice of another size or dtype, with NaN or infinite levels, or changed since it was opened.

        IndexError beyond the ends, as sequences do.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"slice must be one of {len(self)}, got {index}")
        index %= len(self)
        name, path = self.names[index], self.source(index)
        levels = self._unchanged(index, self.read)
        if levels.shape != self.size or levels.dtype != self.dtype:
            raise ValueError(
                f"slice {name} in {path.parent} must be {_say(self.size, self.dtype)} like {self.names[0]}, "
                f"got {_say(levels.shape, levels.dtype)}; remove it, or crop or convert it to match"
            )
        refuse_bad_levels(levels, f"{name} in {path.parent}")
        return levels

    @property
    def by_regions(self) -> bool:
        """Whether `region` reads no more than it is asked for."""
        return self.cut is not None or self.array is not None

    def region(self, index: int, y: slice, x: slice) -> Levels:
        """`self[index][y, x]`, checked the same way, without the rest of the slice where `by_regions`."""
        if not self.by_regions:
            return self[index][y, x]
        name, path = self.names[index], self.source(index)
        cut = self.cut or (lambda z, rows, columns: np.array(self.array[z, rows, columns], self.dtype, order="C"))
        levels = self._unchanged(index, lambda z: cut(z, y, x))
        origin = (y.indices(self.size[0])[0], x.indices(self.size[1])[0])
        within = f"rows {y.start}–{y.stop}, columns {x.start}–{x.stop}"
        refuse_bad_levels(levels, f"{name} in {path.parent} ({within})", origin=origin)
        return levels

    def _unchanged(self, index: int, read: Callable[[int], Levels]) -> Levels:
        """What `read` answers, if the file stayed as it was when it was opened."""
        path = self.source(index)
        self._refuse_change(path)  # a mapped file that was cut short would end the process where it is read
        try:
            levels = read(index)
        except (OSError, ValueError):
            self._refuse_change(path)
            raise
        self._refuse_change(path)
        return levels

    def _refuse_change(self, path: Path) -> None:
        stamp = self.stamps.get(path)
        if stamp is not None and (not path.exists() or stamped([path])[path] != stamp):
            raise ValueError(
                f"file {path} must stay as it is while it is read, got one changed since start; start again"
            )


def from_array(array: Any, path: Path, *, core: str | None = None, voxel_um: Voxel | None = None) -> Volume:
    """The volume in one file or folder, behind `array`: `(z, y, x)` or `(y, x)`, with `shape`, `dtype` and slicing.

    Memory maps, HDF5 datasets and Zarr arrays are read when asked for, in either byte order. The core is called after
    the file. ValueError for other dimensions, no voxels, and levels that are neither integers nor floats: a bool array
    is a segmentation, not a grey image.
    """
    if array.ndim == 2:
        array = np.asarray(array)[None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f"volume {path} must be (z, y, x), got shape {tuple(array.shape)}; choose its grey levels")
    dtype = native(array.dtype, path)
    depth = array.shape[0]
    return Volume(
        core=core or Path(path.name.removesuffix(".gz")).stem,
        numbers=tuple(range(depth)),
        names=tuple(f"{path.name}[{index}]" for index in range(depth)),
        size=(int(array.shape[1]), int(array.shape[2])),
        dtype=dtype,
        read=lambda index: np.array(array[index], dtype=dtype, order="C"),
        sources=(path,),
        voxel_um=voxel_um,
        stamps=stamped([path]),
        array=array,
    )


def promised(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[int], Levels], *, core: str | None = None
) -> Volume:
    """The volume in one file whose header says `shape` and `dtype`, and whose i-th slice `read` decodes.

    ValueError as of `from_array`.
    """
    volume = from_array(np.broadcast_to(np.zeros((), dtype), shape), path, core=core)
    return replace(volume, read=lambda index: read(index).astype(volume.dtype, order="C", copy=False), array=None)


def native(dtype: np.dtype[Any], path: Path) -> np.dtype[Any]:
    """`dtype` in this machine's byte order; ValueError where it cannot hold grey levels."""
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        remedy = "save 255 * array.astype('uint8')" if dtype.kind == "b" else "convert it"
        raise ValueError(f"levels of {path} must be integers or floats of at most 64 bits, got {dtype}; {remedy}")
    return dtype.newbyteorder("=")


def printable(name: str) -> str:
    r"""`name` as manifests and pages can hold it: bytes that are not UTF-8 appear as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def stamped(paths: Iterable[Path]) -> dict[Path, Stamp]:
    """The stamp of each file now."""
    return {path: ((status := path.stat()).st_size, status.st_mtime_ns) for path in paths}


def refuse_bad_levels(levels: Levels, name: str, *, origin: tuple[int, int] = (0, 0)) -> None:
    """ValueError where a float image holds NaN or infinite levels, with their count and the first place.

    `origin` is where the levels begin in their slice, whose places are told.
    """
    if np.issubdtype(levels.dtype, np.floating) and not np.isfinite(levels).all():
        bad = np.argwhere(~np.isfinite(levels))
        raise ValueError(
            f"slice {name} must hold finite levels, got {len(bad)} bad pixels, "
            f"the first at y {origin[0] + bad[0][0]}, x {origin[1] + bad[0][1]}; repair it"
        )


def _say(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> str:
    return f"{'×'.join(map(str, shape))} {dtype}"


def along(volume: Volume, axis: Axis) -> Volume:
    """The volume cut along another axis: slices `(z, x)` along y, `(z, y)` along x, numbered from 0.

    A volume whose file cannot be cut so is loaded once, when its first slice is asked for. ValueError for more than
    `MOST_LOADED` bytes of these, for slice numbers with gaps, whose slices do not lie beside each other, and for an
    unknown axis.
    """
    if axis not in AXES:
        raise ValueError(f"axis must be one of {', '.join(AXES)}, got {axis}")
    if axis == "z":
        return volume
    first, last = volume.numbers[0], volume.numbers[-1]
    if last - first != len(volume) - 1:
        raise ValueError(
            f"slices of {volume.core} must be numbered without gaps to be cut along {axis}, "
            f"got {len(volume)} from {first} to {last}; cut it along z, or remove those apart from the others"
        )
    depth, height, width = len(volume), *volume.size
    z, y, x = volume.voxel_um or (0.0, 0.0, 0.0)
    one = len(volume.sources) == 1
    count, across = (height, width) if axis == "y" else (width, height)
    name = volume.sources[0].name if one else volume.core
    return replace(
        volume,
        numbers=tuple(range(count)),
        names=tuple(f"{name}[{axis}={index}]" for index in range(count)),
        size=(depth, across),
        read=_loaded(volume, axis) if volume.array is None else _slabs(volume, axis),
        sources=volume.sources if one else (volume.sources[0].parent,),
        voxel_um=volume.voxel_um and ((y, z, x) if axis == "y" else (x, z, y)),
        array=None,
        cut=None,
    )


def _loaded(volume: Volume, axis: Axis) -> Callable[[int], Levels]:
    """Reads from the whole volume, loaded at the first call."""
    needed = len(volume) * volume.size[0] * volume.size[1] * volume.dtype.itemsize
    if needed > MOST_LOADED:
        raise ValueError(
            f"volume {volume.core} must be of at most {MOST_LOADED} bytes to be cut along {axis}, got {needed}; "
            "save it as one .npy file first, which is cut where it lies"
        )

    @cache
    def block() -> Levels:
        return np.stack([volume[index] for index in range(len(volume))])

    return lambda index: np.ascontiguousarray(block()[:, index] if axis == "y" else block()[:, :, index])


def _slabs(volume: Volume, axis: Axis) -> Callable[[int], Levels]:
    """Reads from slabs of neighbouring slices, the last kept: one row of a file on disk holds a voxel of each."""
    across = volume.size[1] if axis == "y" else volume.size[0]
    thickness = max(1, SLAB // (len(volume) * across * volume.dtype.itemsize))

    @lru_cache(maxsize=1)
    def slab(number: int) -> Levels:
        part = slice(number * thickness, (number + 1) * thickness)
        return np.array(volume.array[:, part] if axis == "y" else volume.array[:, :, part])

    def read(index: int) -> Levels:
        number, inside = divmod(index, thickness)
        levels = slab(number)
        return np.array(levels[:, inside] if axis == "y" else levels[:, :, inside], dtype=volume.dtype, order="C")

    return read
