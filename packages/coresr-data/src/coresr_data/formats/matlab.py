"""MATLAB files: v5 to v7 by `mat5`, v7.3, which is HDF5, by h5py. Nothing in them is executed or followed elsewhere."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from coresr_data.formats import mat5
from coresr_data.formats.extras import extra
from coresr_data.formats.mat5 import Array, Variable
from coresr_data.formats.pieces import (
    MOST_CHUNK,
    RefusedError,
    by_slabs,
    refusals,
    refuse_absent,
    refuse_shape,
    volume_of,
)
from coresr_data.volume import Levels, Volume

KIND = "MATLAB file"
HDF5 = b"\x89HDF\r\n\x1a\n"
USERBLOCK = 512  # bytes of MATLAB's own header before the HDF5 file
NUMBERS = {np.dtype(code).name for code in mat5.CLASSES.values()}


def open_matlab(path: Path, variable: str | None = None) -> Volume:
    """The slices A(:, :, i + 1) of a 2-D or 3-D array A(y, x, z) as `(y, x)`, the same from every version.

    `variable` is its name in the file; without, the only array of at least 2×2 numbers (ValueError with the list
    where there are several). Levels keep MATLAB's class: whole numbers stored as double stay float64. Logical, complex
    and all that is no array of numbers is refused. There is no voxel size. ValueError, naming the file, for whatever is
    not a readable MATLAB file.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        with path.open("rb") as file:
            beginning = file.read(USERBLOCK + len(HDF5))
        found = _in_hdf5(path) if HDF5 in (beginning[:8], beginning[USERBLOCK:]) else mat5.variables(path)
        chosen = _chosen(found, variable)
        refuse_shape(chosen.shape)
        return volume_of(
            path,
            kind=KIND,
            core=path.stem,
            shape=chosen.shape,
            dtype=chosen.dtype,
            read=chosen.opened(),
            voxel_um=None,
        )


def _chosen(found: list[Variable], name: str | None) -> Array:
    held = ", ".join(f"{v.name} ({'×'.join(map(str, v.size))} {v.kind})" for v in found) or "no variables"
    if name is None:
        arrays = [v.array for v in found if v.array and min(v.array.shape[1:]) > 1]
        if len(arrays) != 1:
            raise RefusedError(f"hold one 2-D or 3-D array of numbers, got {held}; name the variable")
        return arrays[0]
    if name not in {v.name for v in found}:
        raise RefusedError(f"hold variable {name}, got {held}; name another")
    array = next(v.array for v in found if v.name == name)
    if array is None:
        raise RefusedError(f"hold a 2-D or 3-D array of numbers in {name}, got {held}; name another, or convert it")
    return array


def _in_hdf5(path: Path) -> list[Variable]:
    h5py = extra("h5py", "matlab")
    with h5py.File(path, "r", locking=False) as file:
        named = [name for name in file if not name.startswith("#")]  # those hold what cells and objects refer to
        return [_described(h5py, path, file, name) for name in named]


def _described(h5py: Any, path: Path, file: Any, name: str) -> Variable:
    """A variable by its header."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return Variable(name=name, kind="link", size=())
    item = file[name]
    if not isinstance(item, h5py.Dataset):
        return Variable(name=name, kind="struct", size=())
    size: tuple[int, ...] = (item.shape or ())[::-1]  # HDF5 lists the axes of MATLAB's A(y, x, z) in reverse
    kind = _kind(item)
    if kind not in NUMBERS or len(size) not in (2, 3):
        return Variable(name=name, kind=kind, size=size)
    array = Array(
        shape=(math.prod(size[2:]), size[0], size[1]),
        dtype=item.dtype.newbyteorder("="),
        opened=lambda: _reader(h5py, path, name),
    )
    return Variable(name=name, kind=kind, size=size, array=array)


def _kind(item: Any) -> str:
    """The name of the dtype of grey levels, or what there is instead."""
    said = item.attrs.get("MATLAB_class", b"")
    kind = said.decode("ascii", "replace") if isinstance(said, bytes) else str(said)
    if not kind:
        kind = "without MATLAB's class, so of axes in unknown order"
    elif item.dtype.names == ("real", "imag"):
        kind = "complex"
    elif kind in NUMBERS | {"double", "single"}:
        kind = np.dtype(kind).name
        if "MATLAB_empty" in item.attrs or item.dtype.name != kind:
            kind = f"{kind} without levels"
        elif item.external or item.is_virtual or item.id.get_storage_size() == 0:
            kind = f"{kind} stored elsewhere or not at all"
        elif math.prod(item.chunks or ()) * item.dtype.itemsize > MOST_CHUNK:
            kind = f"{kind} in chunks of over {MOST_CHUNK} bytes"
    return kind


def _reader(h5py: Any, path: Path, name: str) -> Callable[[int], Levels]:
    def slab(first: int, stop: int) -> Levels:
        """(z, y, x). The file is opened each time: processes must not share it."""
        with h5py.File(path, "r", locking=False) as file:
            item = file[name]
            levels: Levels = item[first:stop] if item.ndim == 3 else item[...][None]
        return levels.transpose(0, 2, 1)

    with h5py.File(path, "r", locking=False) as file:
        item = file[name]
        shape = item.shape if item.ndim == 3 else (1, *item.shape)
        chunk = item.chunks[0] if item.chunks and item.ndim == 3 else 1
        return by_slabs(slab, shape=shape, chunk=chunk, itemsize=item.dtype.itemsize)
