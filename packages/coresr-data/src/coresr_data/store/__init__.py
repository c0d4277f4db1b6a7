"""The packed dataset: memory-mapped grey levels beside `dataset.json`, which says where each slice came from.

STORE/dataset.json             schema, scales, dtype, window, degradation, split, every core and slice
STORE/<core>/hr.npy            (n, h, w) in the source's own dtype, h and w multiples of every scale
STORE/<core>/lr_x2.npy         (n, h/2, w/2), one file a scale
STORE/<core>/mask.npy          (n, h, w) or (1, h, w) for all slices: True where there is rock; optional
STORE/<core>/drawn_x2.json     where the degradation drew parameters: a list of them, one item a slice
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from coresr_data.store.aside import written_aside
from coresr_data.store.manifest import (
    DRAWN,
    HR,
    LR,
    MANIFEST,
    MASK,
    SCHEMA,
    Core,
    Manifest,
    Slice,
    read_manifest,
    write_manifest,
)
from coresr_data.volume import Levels, Stamp

__all__ = [
    "DRAWN",
    "HR",
    "LR",
    "MANIFEST",
    "MASK",
    "SCHEMA",
    "Core",
    "Manifest",
    "Slice",
    "Store",
    "create_array",
    "digest_of",
    "open_store",
    "refuse_change",
    "stamp_of",
    "verify",
    "write_manifest",
    "written_aside",
]


@dataclass(frozen=True, slots=True)
class Store:
    """An opened store. Arrays are mapped when asked for; nothing is read per image."""

    path: Path
    manifest: Manifest
    sha256: str
    """Of `dataset.json`, and through it of every source: the identity of the data."""
    chosen: int | None = None
    """The scale that was asked for."""
    stamps: Mapping[Path, Stamp] = field(default_factory=dict, compare=False, repr=False)
    """Of the arrays when the store was opened."""

    @property
    def scale(self) -> int:
        """The scale that was asked for, or the only one; ValueError where the store holds several and none was."""
        if self.chosen is None and len(self.manifest.scales) != 1:
            scales = ", ".join(map(str, self.manifest.scales))
            raise ValueError(f"scale must be chosen from {scales} for store {self.path}, got none; name one")
        return self.chosen if self.chosen is not None else self.manifest.scales[0]

    def at(self, scale: int) -> "Store":
        """This store, read at one of its scales; ValueError where it has no such LR."""
        if scale not in self.manifest.scales:
            scales = ", ".join(map(str, self.manifest.scales))
            raise ValueError(
                f"scale must be one of {scales} in store {self.path}, got {scale}; prepare it with this one"
            )
        return replace(self, chosen=scale)

    def hr(self, core: Core) -> Levels:
        """`(n, h, w)`, memory-mapped, read-only."""
        return self.map(core, HR)

    def lr(self, core: Core) -> Levels:
        """`(n, h / scale, w / scale)`, memory-mapped, read-only."""
        return self.map(core, LR.format(scale=self.scale))

    def mask(self, core: Core) -> Levels:
        """`(n, h, w)`, True where there is rock; where the core has no mask, True everywhere."""
        found = self.map(core, MASK) if core.masked else np.True_
        return np.broadcast_to(found, (len(core.slices), core.height, core.width))

    def rows(self, split: str, image: str | None = None) -> list[tuple[Core, int]]:
        """Every (core, row) of a split, in the order of the manifest; ValueError for a split without any.

        `image` keeps the cores that hold it, `"hr"` or `"lr"`; without, those that hold both.
        """
        wanted = {"hr", "lr"} if image is None else {image}
        cores = [core for core in self.manifest.cores if wanted <= set(core.images)]
        found = [(core, row) for core in cores for row, one in enumerate(core.slices) if one.split == split]
        if not found:
            held = sorted({one.split for core in cores for one in core.slices})
            what = "pairs" if image is None else f"{image.upper()} slices"
            if not held:
                raise ValueError(f"store must hold {what}, got none in {self.path}; prepare it from {what}")
            raise ValueError(
                f"split must be one of {', '.join(held)} with {what} in store {self.path}, got {split}; "
                f"prepare it with a split that holds {split} slices"
            )
        return found

    def map(self, core: Core, name: str) -> Levels:
        """One of `manifest.arrays(core)`, memory-mapped, read-only.

        FileNotFoundError where it is not there, ValueError where it is not what the manifest says, or was changed
        since the store was opened.
        """
        path, shapes, dtype = self.path / core.folder / name, self._shapes(core, name), self.manifest.dtype
        if name == MASK:
            dtype = "bool"
        if path in self.stamps:
            refuse_change(path, self.stamps[path])
        elif not path.is_file():
            raise FileNotFoundError(f"store must hold {path}, which is not there; prepare the store again")
        try:
            array: Levels = open_memmap(path, mode="r")
        except ValueError as error:
            raise ValueError(f"{path} must be a whole NumPy array, got {error}; prepare the store again") from error
        if array.shape not in shapes or array.dtype != np.dtype(dtype):
            raise ValueError(
                f"{path} must be {shapes[0]} {dtype} as {MANIFEST} says, "
                f"got {array.shape} {array.dtype}; prepare the store again"
            )
        return array

    def _shapes(self, core: Core, name: str) -> list[tuple[int, int, int]]:
        n, height, width = len(core.slices), core.height, core.width
        if name == MASK:
            return [(n, height, width), (1, height, width)]
        sizes = {LR.format(scale=scale): (n, height // scale, width // scale) for scale in self.manifest.scales}
        return [sizes.get(name, (n, height, width))]


def open_store(path: Path) -> Store:
    """Open a store by its folder; FileNotFoundError where there is none, ValueError for another schema."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise FileNotFoundError(
            f"store must be a folder with {MANIFEST}, got {path}; "
            f"make one with: python -m coresr_data prepare SLICES {path} --scale 2"
        )
    text = manifest.read_bytes()
    found = read_manifest(manifest, text)
    arrays = [path / core.folder / name for core in found.cores for name in found.arrays(core)]
    stamps = {array: stamp for array in arrays if (stamp := stamp_of(array))}
    return Store(path, found, hashlib.sha256(text).hexdigest(), stamps=stamps)


def stamp_of(path: str | Path) -> Stamp | None:
    """Size and time of the last change of a file, None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  # asked for with every sample: Path.stat takes twice as long
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns


def refuse_change(path: str | Path, stamp: Stamp | None) -> None:
    """ValueError where a file is not what it was. A map of a file cut short kills its process without a word."""
    now = stamp_of(path)
    if now != stamp:
        got = "none" if now is None else f"{now[0]} bytes of another time"
        raise ValueError(
            f"{path} must stay as it is while it is read, got {got}: changed since start; "
            "prepare the store again, then start again"
        )


def digest_of(path: Path) -> str:
    """sha256 of a file, hexadecimal; an array that is still mapped for writing must be flushed first."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(store: Store) -> Iterator[str]:
    """Everything that is wrong with the files of a store, one message each: gone, of another shape, or changed.

    Reads every byte once. A file without a digest in the manifest is reported, too: nobody can say that it is whole.
    """
    for core in store.manifest.cores:
        arrays = store.manifest.arrays(core)
        for name in dict.fromkeys([*arrays, *core.sha256]):
            path, recorded = store.path / core.folder / name, core.sha256.get(name)
            try:
                if name in arrays:
                    store.map(core, name)
                found = digest_of(path)
            except (OSError, ValueError) as error:
                yield str(error)
                continue
            if recorded is None:
                yield f"{path} must have a sha256 in {MANIFEST}, got none; prepare the store again"
            elif found != recorded:
                yield f"{path} must have the sha256 {recorded} of {MANIFEST}, got {found}; prepare the store again"


def create_array(path: Path, shape: tuple[int, ...], dtype: str) -> Levels:
    """A new memory-mapped array, to be filled."""
    array: Levels = open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and a crash without a word on writing to the map
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
