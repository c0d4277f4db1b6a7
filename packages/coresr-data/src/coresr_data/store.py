"""The packed dataset: memory-mapped grey levels beside `dataset.json`, which says where each slice came from.

STORE/dataset.json          schema, scale, dtype, window, voxel size, degradation, split, every slice
STORE/<core>/hr.npy         (n, scale·h, scale·w) in the source's own dtype
STORE/<core>/lr_x2.npy      (n, h, w)
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from coresr_data.intensity import Window

Levels = NDArray[Any]

SCHEMA = 1
MANIFEST, HR, LR = "dataset.json", "hr.npy", "lr_x{scale}.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of a store; its place in the list is its row in the arrays."""

    number: int
    """z index, as in the source's file name."""
    split: str
    source: str
    """Path of the source relative to the folder that was prepared."""
    sha256: str
    """Of the source's grey levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One physical sample: its slices by depth, and the size of its LR images in pixels."""

    name: str
    height: int
    width: int
    cropped: tuple[int, int]
    """HR rows and columns cut at the far edges so that HR divides by the scale."""
    slices: tuple[Slice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `dataset.json` holds."""

    scale: int
    dtype: str
    window: Window
    voxel_um: float | None
    """Side of an HR voxel in micrometres, None where nobody said."""
    degradation: str
    split: dict[str, object]
    """How the splits were made."""
    cores: tuple[Core, ...]
    schema: int = SCHEMA

    @property
    def grey(self) -> str:
        """Dtype and window in words."""
        return f"{self.dtype}, {self.window.low:g} → 0, {self.window.high:g} → 1"


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store. Arrays are mapped when asked for; nothing is read per image."""

    path: Path
    manifest: Manifest
    sha256: str
    """Of `dataset.json`, and through it of every source: the identity of the data."""

    def hr(self, core: Core) -> Levels:
        """`(n, scale·h, scale·w)`, memory-mapped, read-only."""
        scale = self.manifest.scale
        return self._map(core, HR, (len(core.slices), scale * core.height, scale * core.width))

    def lr(self, core: Core) -> Levels:
        """`(n, h, w)`, memory-mapped, read-only."""
        return self._map(core, LR.format(scale=self.manifest.scale), (len(core.slices), core.height, core.width))

    def rows(self, split: str) -> list[tuple[Core, int]]:
        """Every (core, row) of a split, in the order of the manifest; ValueError for a split without any."""
        found = [(core, row) for core in self.manifest.cores for row, s in enumerate(core.slices) if s.split == split]
        if not found:
            held = sorted({s.split for core in self.manifest.cores for s in core.slices})
            raise ValueError(f"split must be one of {', '.join(held)} in store {self.path}, got {split}")
        return found

    def _map(self, core: Core, name: str, shape: tuple[int, int, int]) -> Levels:
        path = self.path / core.name / name
        if not path.is_file():
            raise FileNotFoundError(f"store must hold {path}, which is not there; prepare the store again")
        try:
            array: Levels = open_memmap(path, mode="r")
        except ValueError as error:
            raise ValueError(f"{path} must be a whole NumPy array, got {error}; prepare the store again") from error
        if array.shape != shape or array.dtype != np.dtype(self.manifest.dtype):
            raise ValueError(
                f"{path} must be {shape} {self.manifest.dtype} as {MANIFEST} says, "
                f"got {array.shape} {array.dtype}; prepare the store again"
            )
        return array


def open_store(path: Path) -> Store:
    """Open a store by its folder; FileNotFoundError where there is none, ValueError for another schema."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(
            f"store must be a folder with {MANIFEST}, got {path}; "
            f"make one with: python -m coresr_data prepare SLICES {path} --scale 2"
        )
    text = manifest.read_bytes()
    try:
        fields = json.loads(text)
        schema = fields["schema"]
        opened = _manifest(fields) if schema == SCHEMA else None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest} must be a store manifest, got {error!r}; prepare the store again") from error
    if opened is None:
        raise ValueError(f"{manifest} must be of schema {SCHEMA}, got {schema}; prepare the store again")
    return Store(path, opened, hashlib.sha256(text).hexdigest())


def _manifest(fields: dict[str, Any]) -> Manifest:
    cores = tuple(_core(core) for core in fields["cores"])
    return Manifest(**{**fields, "cores": cores, "window": Window(*fields["window"])})


def _core(fields: dict[str, Any]) -> Core:
    slices = tuple(Slice(**one) for one in fields["slices"])
    return Core(**{**fields, "slices": slices, "cropped": tuple(fields["cropped"])})


def create_arrays(
    folder: Path, core: str, *, n: int, height: int, width: int, scale: int, dtype: str
) -> tuple[Levels, Levels]:
    """New memory-mapped arrays of one core in `folder`, to be filled: HR `(n, scale·h, scale·w)` and LR `(n, h, w)`."""
    (folder / core).mkdir()
    hr = _create(folder / core / HR, dtype, (n, scale * height, scale * width))
    return hr, _create(folder / core / LR.format(scale=scale), dtype, (n, height, width))


def _create(path: Path, dtype: str, shape: tuple[int, int, int]) -> Levels:
    array: Levels = open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and a crash without a word on writing to the map
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `dataset.json`, the last file of a store."""
    text = json.dumps(asdict(manifest), indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A new folder that appears at `folder` whole when the block ends, or not at all; FileExistsError if taken."""
    target = folder.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"out must be a new or an empty folder, got {folder}; remove it or name another")
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    aside.mkdir()
    try:
        yield aside
        for file in aside.rglob("*"):
            _sync(file)
        _sync(aside)
        aside.replace(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
