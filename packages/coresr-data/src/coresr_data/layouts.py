"""Turn what people have into a store."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from coresr_data.degrade import DEGRADATIONS
from coresr_data.intensity import Window, checked, default_window
from coresr_data.split import Fractions, Ranges, by_fraction, by_ranges, refuse_equal_slices
from coresr_data.store import (
    Core,
    Manifest,
    Slice,
    Store,
    create_arrays,
    open_store,
    write_manifest,
    written_aside,
)
from coresr_data.volume import Volume, image_paths, open_slices

Levels = NDArray[Any]
Layout = Literal["auto", "slices"]
LAYOUTS: tuple[Layout, ...] = ("auto", "slices")


def find_cores(source: Path, layout: Layout = "auto") -> list[Volume]:
    """The cores under `source`: itself a folder of slices, or (`auto`) one folder of slices per core.

    FileNotFoundError where there is no slice, ValueError where slices lie both directly and in subfolders.
    """
    nested = _folders(source) if source.is_dir() else []
    if layout == "slices" or not nested:
        return [open_slices(source)]
    if image_paths(source):
        raise ValueError(
            f"slices must lie in {source} or in one folder per core below it, got both ({nested[0].name}/ too); "
            "say --layout slices for those directly in it"
        )
    return [open_slices(folder) for folder in nested]


def _folders(source: Path) -> list[Path]:
    """The folders of slices directly in `source`, by name; hidden ones are passed over."""
    return [p for p in sorted(source.iterdir()) if p.is_dir() and not p.name.startswith(".") and image_paths(p)]


def prepare(
    source: Path,
    path: Path,
    *,
    scale: int,
    split: Fractions | Ranges = (0.7, 0.15, 0.15),
    gap: int = 2,
    degradation: str = "bicubic",
    window: Window | None = None,
    voxel_um: float | None = None,
    layout: Layout = "auto",
) -> Store:
    """Split each core by depth, make the LR of every slice kept, and write the store at `path`.

    `split` is fractions of train/valid/test or ranges of slice numbers, `gap` how many slice numbers must lie between
    splits, `voxel_um` the HR voxel. HR is cropped at its far edges to a multiple of the scale, and the manifest
    says by how much. All cores share a dtype (ValueError otherwise) and one declared window.
    """
    if scale < 2:
        raise ValueError(f"scale must be 2 or more, got {scale}")
    if voxel_um is not None and not (0 < voxel_um < math.inf):
        raise ValueError(f"voxel size must be positive micrometres, got {voxel_um}")
    if degradation not in DEGRADATIONS:
        raise ValueError(f"degradation must be one of {', '.join(DEGRADATIONS)}, got {degradation}")
    volumes = find_cores(source, layout)
    dtype = volumes[0].dtype
    for volume in volumes:
        if volume.dtype != dtype:
            raise ValueError(
                f"cores must share a dtype, got {dtype} in {volumes[0].core} and {volume.dtype} in {volume.core}; "
                "prepare them apart"
            )
        if min(volume.size) < scale:
            raise ValueError(
                f"slices must be at least {scale} pixels a side for scale {scale}, "
                f"got {volume.size[0]}×{volume.size[1]} in {volume.core}"
            )
    window = checked(window or default_window(dtype))
    assigned = [_assign(volume.numbers, split, gap) for volume in volumes]
    with written_aside(path) as aside:
        cores = [
            _write_core(aside, volume, splits, scale, DEGRADATIONS[degradation])
            for volume, splits in zip(volumes, assigned, strict=True)
        ]
        refuse_equal_slices((s.split, s.source, s.sha256) for core in cores for s in core.slices)
        manifest = Manifest(
            scale=scale,
            dtype=str(dtype),
            window=window,
            voxel_um=voxel_um,
            degradation=degradation,
            split={"parts": split if isinstance(split, Mapping) else list(split), "gap": gap},
            cores=tuple(cores),
        )
        write_manifest(aside, manifest)
    return open_store(path)


def _assign(numbers: Sequence[int], split: Fractions | Ranges, gap: int) -> list[str | None]:
    if isinstance(split, Mapping):
        return by_ranges(numbers, split, gap=gap)
    return by_fraction(numbers, split, gap=gap)


def _write_core(
    folder: Path,
    volume: Volume,
    splits: Sequence[str | None],
    scale: int,
    degrade: Callable[[Levels, int], Levels],
) -> Core:
    kept = [(index, split) for index, split in enumerate(splits) if split is not None]
    height, width = (size // scale for size in volume.size)
    hr, lr = create_arrays(
        folder, volume.core, n=len(kept), height=height, width=width, scale=scale, dtype=str(volume.dtype)
    )
    slices = []
    for row, (index, split) in enumerate(kept):
        levels = volume[index]
        if levels.min() == levels.max():
            raise ValueError(
                f"slice {volume.paths[index]} must hold rock, got grey level {levels.flat[0]} alone; "
                "remove it, or leave it out with --train --valid --test"
            )
        hr[row] = levels[: scale * height, : scale * width]
        lr[row] = degrade(hr[row], scale)
        digest = hashlib.sha256(str(levels.shape).encode() + levels.tobytes()).hexdigest()
        name = f"{volume.core}/{volume.paths[index].name}"
        slices.append(Slice(number=volume.numbers[index], split=split, source=name, sha256=digest))
    cropped = (volume.size[0] % scale, volume.size[1] % scale)
    return Core(name=volume.core, height=height, width=width, cropped=cropped, slices=tuple(slices))
