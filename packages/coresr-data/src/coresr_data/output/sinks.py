"""Where the slices or tiles of a volume are written to: a flat file, a folder of images, a Zarr.

A sink is opened on what `headers.make` made, by a first run or by one that goes on after it. What was written is safe
once `flush` has returned.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from coresr_data.formats.extras import extra
from coresr_data.formats.images import write_slice
from coresr_data.volume import Levels, Voxel

Shape = tuple[int, int, int]


class Tile(NamedTuple):
    """A part of one slice, `volume[z, y, x]`."""

    z: int
    top: int
    left: int
    height: int
    width: int

    @property
    def y(self) -> slice:
        """Its rows."""
        return slice(self.top, self.top + self.height)

    @property
    def x(self) -> slice:
        """Its columns."""
        return slice(self.left, self.left + self.width)


class Sink(Protocol):
    """Takes tiles in any order, each once or several times."""

    def write(self, tile: Tile, levels: Levels) -> None:
        """Write one tile."""

    def flush(self) -> None:
        """Return when all that was written is on the disk."""

    def close(self) -> None:
        """Let go of the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is written, and how: everything that must not change between two runs of one job."""

    digest: str
    """Of what the levels are computed from."""
    shape: Shape
    dtype: str
    voxel_um: Voxel | None
    tile: tuple[int, int]
    names: tuple[str, ...] = ()
    """File names of the slices, where they are written one by one."""

    def __post_init__(self) -> None:
        """ValueError for sizes or names that cannot be meant."""
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be (z, y, x), each 1 or more, got {self.shape}")
        if len(self.tile) != 2 or min(self.tile) < 1:
            raise ValueError(f"tile must be (y, x), each 1 or more, got {self.tile}")
        if self.names and (len(self.names) != self.shape[0] or len(set(self.names)) != len(self.names)):
            raise ValueError(f"names must be {self.shape[0]} different ones, one a slice, got {len(self.names)}")

    @property
    def nbytes(self) -> int:
        """Of all levels."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def tiles(self) -> list[Tile]:
        """All tiles, slice by slice, row by row; those at the far edges may be smaller."""
        (depth, height, width), (tall, wide) = self.shape, self.tile
        return [
            Tile(z, y, x, min(tall, height - y), min(wide, width - x))
            for z in range(depth)
            for y in range(0, height, tall)
            for x in range(0, width, wide)
        ]


class Flat:
    """A file that holds all levels in C order from `start` on.

    Written and not mapped: on a full disk a write is an error, and a page of a map kills the process.
    """

    def __init__(self, path: Path, job: Job, start: int) -> None:
        self._shape, self._dtype, self._start = job.shape, np.dtype(job.dtype), start
        self._file = os.open(path, os.O_RDWR)

    def write(self, tile: Tile, levels: Levels) -> None:
        """Write one tile: at once where it is as wide as the slice, else row by row."""
        _, height, width = self._shape
        runs = [(tile.top, levels)] if tile.width == width else list(enumerate(levels, tile.top))
        for y, part in runs:
            place = self._start + ((tile.z * height + y) * width + tile.left) * self._dtype.itemsize
            _write_all(self._file, np.ascontiguousarray(part).tobytes(), place)

    def flush(self) -> None:
        """Return when all that was written is on the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def _write_all(file: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, place)
        view, place = view[written:], place + written


class Images:
    """A folder with one image a slice."""

    def __init__(self, folder: Path, job: Job) -> None:
        self._folder, self._names = folder, job.names
        z, *pixel = job.voxel_um or (0, 0, 1)
        # an image says its pixel alone, and readers take a square one for the face of a cube
        self._pixel = (pixel[0], pixel[1]) if z == pixel[0] == pixel[1] else None

    def write(self, tile: Tile, levels: Levels) -> None:
        """Write one slice, whole or not at all."""
        write_slice(self._folder / self._names[tile.z], levels, voxel_um=self._pixel)

    def flush(self) -> None:
        """Return when the names are on the disk, too."""
        sync(self._folder)

    def close(self) -> None:
        """Nothing is open."""


class Chunks:
    """An OME-Zarr with one chunk a tile."""

    def __init__(self, folder: Path, job: Job) -> None:
        zarr = extra("zarr", "zarr")
        self._array = zarr.open_array(store=folder / "0", mode="r+")
        self._folder, self._tile = folder / "0", job.tile
        self._written: list[Path] = []
        for left in self._folder.rglob("*.partial"):  # by a run that was killed while it wrote one
            left.unlink()

    def write(self, tile: Tile, levels: Levels) -> None:
        """Write one chunk."""
        self._array[tile.z, tile.y, tile.x] = levels
        index = (tile.z, tile.top // self._tile[0], tile.left // self._tile[1])
        self._written.append(self._folder / self._array.metadata.encode_chunk_key(index))

    def flush(self) -> None:
        """Return when the chunks and their folders are on the disk."""
        folders: set[Path] = set()
        for chunk in self._written:
            sync(chunk)
            folders |= {one for one in chunk.parents if one.is_relative_to(self._folder)}
        for folder in folders:
            sync(folder)
        self._written.clear()

    def close(self) -> None:
        """Nothing is open."""


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
