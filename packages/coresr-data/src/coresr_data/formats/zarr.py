"""Zarr arrays, formats 2 and 3, and OME-Zarr 0.4 and 0.5, in local folders; read by slabs as deep as their chunks.

OME-Zarr is metadata beside plain arrays (https://ngff.openmicroscopy.org): it is read here, and zarr-python reads the
arrays. Codecs pass a list first, for there are some that execute what the file says.
"""

import json
import math
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coresr_data.formats.blocks import by_blocks
from coresr_data.formats.extras import extra
from coresr_data.formats.pieces import (
    MOST_CHUNK,
    RefusedError,
    by_slabs,
    refusals,
    refuse_dtype,
    refuse_shape,
    volume_of,
)
from coresr_data.formats.unpacking import chunk_codecs, inspector
from coresr_data.formats.voxels import cubic, micrometres
from coresr_data.volume import Levels, Volume, Voxel

KIND = "Zarr folder"
MOST_METADATA = 2**24  # bytes
KEPT_SLAB = 2**26
"""Bytes of the slices in one layer of chunks, up to which all of them are decoded at once and not region by region."""
METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
CODECS = {
    *("blosc", "bytes", "bz2", "crc32c", "gzip", "lz4", "lzma", "shuffle", "sharding_indexed", "transpose", "zlib"),
    *("zstd", "adler32", "crc32", "delta", "fletcher32"),
}
"""Those that pack numbers; `numcodecs.` may stand before. Among the others is pickle."""


def open_zarr(path: Path) -> Volume:
    """The slices of a 2-D (y, x) or 3-D (z, y, x) array as `(y, x)`: of the folder itself, or of the group in it.

    Of OME-Zarr the largest level (the first), with its voxel where its axes have units; axes of time and channels must
    have length 1. Of any other group its only array; ValueError with the list where it holds several. Chunks that are
    absent hold the array's fill value, as Zarr says; an array without any is refused, like whatever else is not a
    readable grey array. A pass through the slices in order decodes each chunk once.
    """
    zarr = extra("zarr", "zarr")
    if not path.is_dir():
        found = "a file" if path.exists() else "not there"
        raise FileNotFoundError(f"{KIND} must be a folder, got {path}, which is {found}")
    with refusals(path, KIND):
        folder, axes = _array_folder(path)
        array = _opened(zarr, folder)
        shape = _shape(array, axes)
        refuse_shape(shape)
        refuse_dtype(array.dtype)
        if not any(file.is_file() and file.name not in METADATA for file in folder.rglob("*")):
            raise RefusedError("hold levels, got an array without a single chunk; replace it")
        volume = volume_of(
            path,
            kind=KIND,
            core=path.name.removesuffix(".zarr").removesuffix(".ome") or path.name,
            shape=shape,
            dtype=array.dtype,
            read=_reader(array, shape),
            voxel_um=_voxel(axes),
            source=next(folder / name for name in METADATA if (folder / name).is_file()),
        )
        return replace(volume, cut=_cutter(array, path, shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of an array, slowest first."""

    name: str
    space: bool = True
    side_um: float | None = None
    """Of a voxel."""


def _array_folder(path: Path) -> tuple[Path, list[Axis]]:
    """Where the array lies, and its axes where OME-Zarr names them."""
    node = _node(path)
    scales = node["attributes"].get("ome", node["attributes"]).get("multiscales")
    if scales:
        if len(scales) != 1:
            names = ", ".join(str(scale.get("name")) for scale in scales)
            raise RefusedError(f"hold one image, got {len(scales)} ({names}); open one by the path of its array")
        level = scales[0]["datasets"][0]
        folder = path / level["path"]
        if not folder.resolve().is_relative_to(path.resolve()):
            raise RefusedError(f"hold its own arrays, got {level['path']}; put the array into the folder")
        return folder, _axes(scales[0], level)
    if node["array"] is not None:
        return path, []
    children = [child for child in sorted(path.iterdir()) if child.is_dir() and _is_node(child)]
    arrays = [child for child in children if _node(child)["array"] is not None]
    if len(arrays) != 1:
        names = ", ".join(child.name for child in arrays or children) or "none"
        raise RefusedError(f"hold one array, got {len(arrays)} ({names}); open one by its path")
    return arrays[0], []


def _axes(scale: dict[str, Any], level: dict[str, Any]) -> list[Axis]:
    """Axes of an OME-Zarr image, whose sizes are those of the level times those of the image."""
    said = scale["axes"]
    sides = [1.0] * len(said)
    for transformation in (*level.get("coordinateTransformations", ()), *scale.get("coordinateTransformations", ())):
        if transformation["type"] == "scale":
            sides = [side * float(factor) for side, factor in zip(sides, transformation["scale"], strict=True)]
        elif transformation["type"] not in ("translation", "identity"):
            sides = [math.nan] * len(said)
    axes = []
    for axis, side in zip(said, sides, strict=True):
        unit = micrometres(str(axis.get("unit")))
        size = unit * side if unit is not None and 0 < side < math.inf else None
        axes.append(Axis(name=axis["name"], space=axis.get("type") == "space", side_um=size))
    return axes


def _is_node(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup"))


def _node(folder: Path) -> dict[str, Any]:
    """Attributes, and the metadata of an array (None for a group), from the files of either format."""
    if (folder / "zarr.json").is_file():
        node = _json(folder / "zarr.json")
        array = node if node["node_type"] == "array" else None
        return {"attributes": node.get("attributes", {}), "array": array}
    if not _is_node(folder):
        raise RefusedError(f"hold zarr.json, .zarray or .zgroup, got none in {folder}; name the folder of an array")
    attributes = _json(folder / ".zattrs") if (folder / ".zattrs").is_file() else {}
    array = _json(folder / ".zarray") if (folder / ".zarray").is_file() else None
    return {"attributes": attributes, "array": array}


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_METADATA:
        raise RefusedError(f"have at most {MOST_METADATA} bytes of metadata, got more in {path.name}; replace it")
    found = json.loads(path.read_bytes())
    if not isinstance(found, dict):
        raise RefusedError(f"have metadata in {path.name}, got something else; replace it")
    return found


def _opened(zarr: Any, folder: Path) -> Any:
    """The array, after a look at what its metadata asks for.

    Through its own folder, for a group may hold another copy of the metadata.
    """
    metadata = _node(folder)["array"]
    if metadata is None:
        raise RefusedError(f"hold an array in {folder.name}, got a group; replace it")
    dtype = str(metadata.get("data_type", metadata.get("dtype")))
    if not re.fullmatch(r"u?int(8|16|32|64)|float(16|32|64)|[<>|][iuf][1248]", dtype):
        raise RefusedError(f"hold grey levels of 8 to 64 bits, got {dtype}; convert it to 8 or 16 bit grey")
    codecs = [*metadata.get("codecs", ()), metadata.get("compressor"), *(metadata.get("filters") or ())]
    if strange := sorted(set(_codecs(codecs)) - CODECS):
        raise RefusedError(f"be packed by known codecs, got {', '.join(strange)}; save it with zstd or blosc")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = 3 if (folder / "zarr.json").is_file() else 2
        store = _inspected(zarr, folder)
        array = zarr.open_array(store=store, mode="r", zarr_format=version)
    if math.prod(array.chunks) * array.dtype.itemsize > MOST_CHUNK:
        raise RefusedError(f"have chunks of at most {MOST_CHUNK} bytes, got {array.chunks} {dtype}; save smaller ones")
    codecs, inner = chunk_codecs(metadata, array.chunks)
    store.look = inspector(folder, codecs, math.prod(array.chunks) * array.dtype.itemsize, inner)
    return array


def _inspected(zarr: Any, folder: Path) -> Any:
    """The files of an array, each chunk looked at before it is read."""

    class Inspected(zarr.storage.LocalStore):  # type: ignore[misc]  # the library may be absent
        look: Callable[[Path], None] | None = None

        async def get(self, key: str, *arguments: Any, **named: Any) -> Any:
            path = folder / key
            if self.look is not None and path.name not in METADATA and path.is_file():
                self.look(path)
            return await super().get(key, *arguments, **named)

    return Inspected(folder, read_only=True)


def _codecs(said: Any) -> Iterator[str]:
    """The names of codecs, those inside of shards too."""
    for codec in said:
        if isinstance(codec, dict):
            yield str(codec.get("name", codec.get("id"))).removeprefix("numcodecs.")
            inside = codec.get("configuration") or {}
            yield from _codecs([*inside.get("codecs", ()), *inside.get("index_codecs", ())])
        elif codec is not None:
            yield str(codec).removeprefix("numcodecs.")


def _shape(array: Any, axes: list[Axis]) -> tuple[int, int, int]:
    """(z, y, x)."""
    axes = axes or [Axis(name=str(name)) for name in getattr(array.metadata, "dimension_names", None) or ()]
    sizes = dict(zip((axis.name for axis in axes), array.shape, strict=True)) if axes else {}
    space = [axis.name for axis in axes if axis.space] or list("zyx"[-array.ndim :])
    named = ", ".join(f"{name} {size}" for name, size in sizes.items()) or "×".join(map(str, array.shape))
    last = [axis.space for axis in axes] == sorted(axis.space for axis in axes)
    if (
        not last
        or len(space) not in (2, 3)
        or array.shape != (1,) * (array.ndim - len(space)) + array.shape[-len(space) :]
    ):
        raise RefusedError(f"hold one 2-D or 3-D grey volume, got {named}; save one time and channel an array")
    if {name.lower() for name in space} <= set("zyx") and [name.lower() for name in space] != list(
        "zyx"[-len(space) :]
    ):
        raise RefusedError(f"have axes in the order z, y, x, got {named}; save it transposed")
    z, y, x = (1, 1, *array.shape[-len(space) :])[-3:]
    return (z, y, x)


def _voxel(axes: list[Axis]) -> Voxel | None:
    sides = [axis.side_um for axis in axes if axis.space]
    *z, y, x = sides or (None, None)
    if y is None or x is None or None in z:
        return None
    return (z[0], y, x) if z and z[0] else cubic((y, x))


def _reader(array: Any, shape: tuple[int, int, int]) -> Callable[[int], Levels]:
    def slab(first: int, stop: int) -> Levels:
        levels = array[...][None] if array.ndim == 2 else array[(*leading, slice(first, stop))]
        return np.asarray(levels)

    leading = (0,) * (array.ndim - 3)
    chunk = array.chunks[-3] if array.ndim > 2 else 1
    return by_slabs(slab, shape=shape, chunk=chunk, itemsize=array.dtype.itemsize)


def _cutter(array: Any, path: Path, shape: tuple[int, int, int]) -> Callable[[int, slice, slice], Levels] | None:
    """Reads the chunks that a region touches, and no others; None where a slab of deep chunks is better kept."""
    deep = array.chunks[-3] if array.ndim > 2 else 1
    if deep > 1 and deep * shape[1] * shape[2] * array.dtype.itemsize <= KEPT_SLAB:
        return None

    def read(z: slice, y: slice, x: slice) -> Levels:
        with refusals(path, KIND):
            levels = array[y, x][None] if array.ndim == 2 else array[(*(0,) * (array.ndim - 3), z, y, x)]
            levels = np.asarray(levels)
            return levels.astype(levels.dtype.newbyteorder("="), order="C", copy=False)

    if deep == 1:
        return lambda index, y, x: read(slice(index, index + 1), y, x)[0]
    return by_blocks(read, shape=shape, deep=deep, itemsize=array.dtype.itemsize)
