"""The empty outputs that sinks fill: headers with the voxel size, and room on the disk.

OME-TIFF by its schema of 2016-06, NumPy's own array file, MetaImage (sizes x first, millimetres), OME-Zarr 0.5.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import tifffile
from numpy.lib.format import open_memmap

from coresr_data.formats.extras import extra
from coresr_data.output.sinks import Chunks, Flat, Images, Job, Sink, sync


def _tif(path: Path, job: Job) -> int:
    """An OME-TIFF without levels yet, readable by any TIFF reader; the place of the first."""
    metadata: dict[str, Any] = {"axes": "ZYX", "UUID": str(uuid5(NAMESPACE_OID, job.digest))}  # not a drawn one
    resolution: dict[str, Any] = {}
    if job.voxel_um is not None:
        for axis, side in zip("ZYX", job.voxel_um, strict=True):
            metadata |= {f"PhysicalSize{axis}": side, f"PhysicalSize{axis}Unit": "µm"}
        _, y, x = job.voxel_um
        resolution = {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"}
    place = tifffile.imwrite(
        path,
        shape=job.shape,
        dtype=job.dtype,
        ome=True,
        bigtiff=True,
        photometric="minisblack",
        metadata=metadata,
        returnoffset=True,
        **resolution,
    )
    if place is None:
        raise OSError(f"TIFF {path} must be one piece, got several; write a .npy")
    return place[0]


def _npy(path: Path, job: Job) -> int:
    """A NumPy array without levels yet; the place of the first. It has no room for a voxel size."""
    array = open_memmap(path, "w+", job.dtype, job.shape)
    return int(array.offset)


MET = {
    "int8": "MET_CHAR",
    "uint8": "MET_UCHAR",
    "int16": "MET_SHORT",
    "uint16": "MET_USHORT",
    "int32": "MET_INT",
    "uint32": "MET_UINT",
    "float32": "MET_FLOAT",
    "float64": "MET_DOUBLE",
}


def _mhd(path: Path, job: Job) -> int:
    """A MetaImage header and its empty raw file beside it; sizes and spacing (mm) are x first."""
    if job.dtype not in MET:
        raise ValueError(f"levels must be one of {', '.join(MET)} for {path.name}, got {job.dtype}; write a .npy")
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += ["CompressedData = False", f"DimSize = {' '.join(map(str, job.shape[::-1]))}"]
    if job.voxel_um is not None:
        lines.append(f"ElementSpacing = {' '.join(f'{side / 1000:.12g}' for side in job.voxel_um[::-1])}")
    lines += [f"ElementType = {MET[job.dtype]}", f"ElementDataFile = {path.with_suffix('.raw').name}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.with_suffix(".raw").touch()
    return 0


def _zarr(folder: Path, job: Job) -> None:
    """An OME-Zarr (0.5) of one resolution."""
    zarr = extra("zarr", "zarr")
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    scale = [1.0, 1.0, 1.0] if job.voxel_um is None else list(job.voxel_um)
    if job.voxel_um is not None:
        axes = [axis | {"unit": "micrometer"} for axis in axes]
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    multiscales = [{"name": folder.stem, "axes": axes, "datasets": datasets}]
    group = zarr.create_group(store=folder, attributes={"ome": {"version": "0.5", "multiscales": multiscales}})
    group.create_array(
        "0",
        shape=job.shape,
        chunks=(1, *job.tile),
        dtype=job.dtype,
        dimension_names=("z", "y", "x"),
        config={"write_empty_chunks": True},  # a chunk that is absent is one that was lost
    )


MAKERS: dict[str, Callable[[Path, Job], int]] = {
    ".tif": _tif,
    ".tiff": _tif,
    ".npy": _npy,
    ".mhd": _mhd,
}
"""The flat files, by suffix."""
SUFFIXES = (*MAKERS, ".zarr")
"""Of volumes in one file or store, in lower case; any other name is a folder of slices."""


def make(path: Path, job: Job) -> int:
    """Make what `path` names without any levels, on the disk; the place of the first in a flat file, else 0."""
    start, kind = 0, path.suffix.lower()
    if kind in MAKERS:
        start = MAKERS[kind](path, job)
        data = holder(path)
        _allocate(data, start + job.nbytes)
        sync(data)
    elif kind == ".zarr":
        _zarr(path, job)
    else:
        path.mkdir()
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        sync(one)
    return start


def sink(path: Path, job: Job, start: int) -> Sink:
    """Open what `make` made."""
    if path.suffix.lower() in MAKERS:
        return Flat(holder(path), job, start)
    return Chunks(path, job) if path.suffix.lower() == ".zarr" else Images(path, job)


def parts(path: Path) -> Sequence[Path]:
    """The files or folders that make up `path`, in the order they must appear: `path` itself, the last, says it is."""
    return [path] if holder(path) == path else [holder(path), path]


def holder(path: Path) -> Path:
    """The file of the levels themselves."""
    return path.with_suffix(".raw") if path.suffix.lower() == ".mhd" else path


def _allocate(path: Path, size: int) -> None:
    """Give a file all its room now, where the system can: a full disk is better met at the beginning."""
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
