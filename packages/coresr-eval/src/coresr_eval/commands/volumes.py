"""From the tiles of a volume to those of its super-resolved one: read by regions, computed, written as they come."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coresr_data import Window, from_unit, to_unit
from coresr_data.formats.images import write_slice
from coresr_data.intensity import clipped_share
from coresr_data.output import SUFFIXES, writing
from coresr_data.output.sinks import Tile
from coresr_data.store.aside import creating
from coresr_data.volume import Levels, Volume, Voxel
from coresr_eval.commands.sharing import Processes, compute_for, shared
from coresr_eval.inference import Operators, Source, Tiles, Upscale, self_ensemble

MOST_HELD = 2**24
"""SR pixels of a single slice that is written as a plain image, in one piece; a larger one as a BigTIFF, by tiles."""


class Network(NamedTuple):
    """A network, and what it states of itself."""

    upscale: Upscale
    scale: int
    multiple_of: int
    receptive_field: int | None
    device: torch.device


class MemoryShortError(OSError):
    """Not even the smallest tile fits."""

    exit_code = 69


@dataclass(frozen=True, kw_only=True)  # without slots, which would leave no room for what is cached
class Work:
    """What is made of what."""

    volume: Volume
    network: Network
    window: Window
    tile: int
    overlap: int | None
    self_ensemble: bool
    operators: Operators | None = None
    """Where SR is to give its LR back."""

    @property
    def size(self) -> tuple[int, int]:
        """Of SR slices."""
        return self.network.scale * self.volume.size[0], self.network.scale * self.volume.size[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of SR: that of LR, but float32 for float16, whose end at 65504 an edge of SR overshoots to infinity."""
        return np.dtype(np.float32) if self.volume.dtype == np.float16 else self.volume.dtype

    @property
    def voxel_um(self) -> Voxel | None:
        """Of SR: slices lie as far apart as before."""
        if self.volume.voxel_um is None:
            return None
        z, y, x = self.volume.voxel_um
        return z, y / self.network.scale, x / self.network.scale

    @property
    def by_tiles(self) -> bool:
        """Whether a tile is computed without the rest of its slice."""
        return self.overlap is None and self.network.receptive_field is not None

    @cached_property
    def tiles(self) -> Tiles:
        """Of the network, in all its orientations if asked for."""
        upscale, scale, multiple_of, receptive_field, _ = self.network
        run = self_ensemble(upscale) if self.self_ensemble else upscale
        return Tiles(
            run,
            scale=scale,
            multiple_of=multiple_of,
            receptive_field=receptive_field,
            tile=self.tile,
            operators=self.operators,
        )

    @cached_property
    def tile_size(self) -> tuple[int, int]:
        """Height and width of the tiles of SR that are written."""
        side = self.network.scale * self.tiles.side
        return min(side, self.size[0]), min(side, self.size[1])

    @cached_property
    def lr(self) -> Callable[[int, slice, slice], Levels]:
        """Rows and columns of the i-th slice, which is decoded once where it cannot be read by regions."""
        if self.volume.by_regions:
            return self.volume.region
        whole = lru_cache(maxsize=1)(self.volume.__getitem__)
        return lambda z, y, x: whole(z)[y, x]

    @cached_property
    def whole(self) -> Callable[[int], Tensor]:
        """SR of the i-th slice, of a network that must see more than a tile; the last is kept."""

        @lru_cache(maxsize=1)
        def sr(z: int) -> Tensor:
            source, (height, width) = self.source(z), self.volume.size
            if self.overlap is not None:
                return self.tiles.blended(source, self.overlap).cpu()
            return self.tiles.region(source, slice(0, height), slice(0, width)).cpu()

        return sr

    def source(self, z: int) -> Source:
        """The i-th slice on [0, 1], on the device of the network."""

        def read(y: slice, x: slice) -> Tensor:
            return torch.from_numpy(to_unit(self.lr(z, y, x), self.window))[None, None].to(self.network.device)

        return Source(read=read, size=self.volume.size)

    def sr(self, z: int, y: slice, x: slice) -> Tensor:
        """SR `(y, x)` of LR rows and columns of the i-th slice."""
        if self.by_tiles:
            return self.tiles.region(self.source(z), y, x)[0, 0].cpu()
        scale = self.network.scale
        return self.whole(z)[0, 0, scale * y.start : scale * y.stop, scale * x.start : scale * x.stop]

    def levels(self, tile: Tile) -> tuple[Levels, int]:
        """The grey levels of a tile of SR, and how many were clipped; ValueError where they are not finite.

        MemoryShortError where not even a small tile fits.
        """
        try:
            return self._levels(tile)
        except MemoryError as error:
            raise MemoryShortError(str(error)) from error

    def _levels(self, tile: Tile) -> tuple[Levels, int]:
        scale, side, clipped = self.network.scale, self.network.scale * self.tiles.side, 0
        levels = np.empty((tile.height, tile.width), self.dtype)
        for top in range(0, tile.height, side):
            for left in range(0, tile.width, side):
                part = levels[top : top + side, left : left + side]
                y, x = (tile.top + top) // scale, (tile.left + left) // scale
                sr = self.sr(tile.z, slice(y, y + part.shape[0] // scale), slice(x, x + part.shape[1] // scale))
                clipped += self._clipped(sr, tile.z)
                part[:] = from_unit(sr.numpy(), self.window, self.dtype)
        return levels, clipped

    def _clipped(self, sr: Tensor, z: int) -> int:
        """How many pixels `from_unit` clips: they are counted where the extremes are."""
        extremes = torch.stack(sr.aminmax())
        if not extremes.isfinite().all():
            bad = int((~sr.isfinite()).sum())
            raise ValueError(f"the image of {self.volume.names[z]} must be finite, got {bad} bad pixels")
        if clipped_share(extremes.numpy(), self.window, self.dtype) == 0:
            return 0
        return round(clipped_share(sr.numpy(), self.window, self.dtype) * sr.numel())


class Written(NamedTuple):
    """How much was written by this run, in pixels."""

    clipped: int
    new: int
    total: int


def write(work: Work, out: Path, digest: str, processes: Processes) -> Written:
    """Write all of SR to `out`, or what a run with the same digest left to do; only the first process does."""
    if _is_image(work, out):
        return _write_image(work, out, processes)
    if processes.rank > 0:
        compute_for(processes, work.levels)
        return Written(0, 0, 0)
    slices = out.suffix.lower() not in SUFFIXES
    clipped = new = 0
    with writing(
        out,
        shape=(len(work.volume), *work.size),
        dtype=work.dtype,
        digest=digest,
        voxel_um=work.voxel_um,
        tile=None if slices else work.tile_size,
        names=[f"{number:04d}.tif" for number in work.volume.numbers] if slices else (),
    ) as writer:
        for tile, levels, cut in shared(processes, _units(work, writer.todo), work.levels, work.dtype):
            writer.write(tile, levels)
            clipped, new = clipped + cut, new + levels.size
    return Written(clipped, new, len(work.volume) * work.size[0] * work.size[1])


def said_voxel(work: Work, out: Path) -> Voxel | None:
    """The voxel that `out` says; None where it has no room for that of the work.

    A .npy has none at all, a plain image of one slice its pixel. So have slices of a folder, of which readers take a
    square one for the face of a cube: it stays unsaid where slices lie apart by another distance.
    """
    suffix = out.suffix.lower()
    if work.voxel_um is None or suffix == ".npy":
        return None
    z, y, x = work.voxel_um
    return work.voxel_um if z == y == x or suffix in SUFFIXES or _is_image(work, out) else None


def _is_image(work: Work, out: Path) -> bool:
    """Whether `out` is a plain image, of one slice."""
    suffix, small = out.suffix.lower(), math.prod(work.size) <= MOST_HELD
    return len(work.volume) == 1 and (suffix == ".png" or (suffix in (".tif", ".tiff") and small))


def _units(work: Work, todo: list[Tile]) -> list[list[Tile]]:
    """What one process does at a time: a tile, or all of a slice that is computed whole."""
    if work.by_tiles:
        return [[tile] for tile in todo]
    return [list(tiles) for _, tiles in groupby(todo, lambda tile: tile.z)]


def _write_image(work: Work, out: Path, processes: Processes) -> Written:
    """A single slice, in one piece; it is not worth more than one process."""
    if processes.rank > 0:
        return Written(0, 0, 0)
    levels, clipped = work.levels(Tile(0, 0, 0, *work.size))
    voxel_um = said_voxel(work, out)
    with creating(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_slice(out, levels, voxel_um=voxel_um and voxel_um[1:])
    return Written(clipped, levels.size, levels.size)
