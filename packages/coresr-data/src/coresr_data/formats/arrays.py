"""NumPy's own files: `.npy` is mapped; of an `.npz` a stored array is mapped, a compressed one decoded at first use.

Nothing is ever unpickled.
"""

import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from coresr_data.formats.limits import MOST_STORED, refuse_bomb
from coresr_data.formats.pieces import RefusedError, refusals, refuse_absent, refuse_shape
from coresr_data.volume import Levels, Volume, from_array, promised

KIND = "NumPy file"
LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a member of a zip file: PK 3 4, lengths of its name and extra field
MOST_MEMBERS = 1000
"""Arrays of an .npz whose headers are read to choose one."""


def open_npy(path: Path) -> Volume:
    """The slices of an array `(z, y, x)` or `(y, x)`, mapped, in C or Fortran order and either byte order.

    ValueError, naming the file, for pickled objects, other dimensions, a length other than its header says, and levels
    that are neither integers nor floats: a bool array is a segmentation, and the message says how to make it grey.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        with path.open("rb") as file:
            header = _header(file)
            start = file.tell()
        array = _mapped(path, header, start, path.stat().st_size)
    return from_array(array, path)


def open_npz(path: Path, variable: str | None = None) -> Volume:
    """The slices of the array called `variable`, or of the only one with two or three dimensions.

    ValueError as of `open_npy`, for an unknown name, and for several arrays to choose from; both list them.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND), zipfile.ZipFile(path) as archive:
        member, header, length = _member(archive, variable)
        array = None
        if member.compress_type == zipfile.ZIP_STORED:
            start = _start(path, member)
            with path.open("rb") as file:
                file.seek(start)
                header = _header(file)
                array = _mapped(path, header, file.tell(), start + member.file_size)
        else:
            _refuse_bomb(header, member.compress_size)
            _refuse_length(header, length)
    return _decoded(path, member.filename, header) if array is None else from_array(array, path)


Header = tuple[tuple[int, ...], bool, np.dtype[Any]]
"""Shape, whether in Fortran order, dtype."""


def _header(file: BinaryIO | Any) -> Header:
    version = np.lib.format.read_magic(file)
    read: Callable[..., Header] = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise RefusedError("hold numbers, got pickled objects, which are never opened; save an array of numbers")
    return shape, fortran, dtype


def _mapped(path: Path, header: Header, start: int, end: int) -> Levels:
    """The array between two bytes of a file."""
    shape, fortran, dtype = header
    refuse_shape((shape[0] if len(shape) == 3 else 1, 1, 1))
    _refuse_length(header, end - start)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _refuse_length(header: Header, length: int) -> None:
    if (needed := _bytes(header)) != length:
        raise RefusedError(f"hold {needed} bytes of levels, as its header says, got {length}; replace it")


def _bytes(header: Header) -> int:
    return int(np.prod(header[0], dtype=object)) * header[2].itemsize


def _member(archive: zipfile.ZipFile, variable: str | None) -> tuple[zipfile.ZipInfo, Header, int]:
    """The array asked for, or the only volume among them, and the bytes after its header."""
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(members) > MOST_MEMBERS:
        raise RefusedError(f"hold at most {MOST_MEMBERS} arrays, got {len(members)}; save the volume alone")
    if variable is not None and variable not in members:
        raise RefusedError(f"hold an array {variable}, got {', '.join(members) or 'none'}; choose one of these")
    found = {}
    for name, info in members.items():
        if variable in (None, name):
            with archive.open(info) as file:
                header = _header(file)
                length = info.file_size - file.tell()
            if variable or len(header[0]) in (2, 3):
                found[name] = (info, header, length)
    if len(found) != 1:
        said = ", ".join(f"{name} {header[0]}" for name, (_, header, _) in found.items()) or f"none of {len(members)}"
        raise RefusedError(f"hold one array (z, y, x), or be asked for one of several, got {said}; name a variable")
    return next(iter(found.values()))


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        magic, name, more = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if magic != b"PK\3\4" or member.flag_bits & 1:
        raise RefusedError("be a plain zip file, got an encrypted or broken one; replace it")
    return int(member.header_offset + LOCAL_HEADER.size + name + more)


def _refuse_bomb(header: Header, stored: int) -> None:
    shape = header[0]
    refuse_shape((shape[0] if len(shape) == 3 else 1, 1, 1))
    if (size := _bytes(header)) > MOST_STORED:
        raise RefusedError(f"decode to at most {MOST_STORED} bytes, got {size}; save it as .npy, which is mapped")
    refuse_bomb(int(np.prod(shape[-2:], dtype=object)), size, stored)


def _decoded(path: Path, name: str, header: Header) -> Volume:
    """A compressed array, decoded whole when its first slice is asked for; its checksum is verified then."""
    shape, _, dtype = header

    @cache
    def block() -> Levels:
        with refusals(path, KIND), zipfile.ZipFile(path) as archive, archive.open(name) as file:
            array: Levels = np.lib.format.read_array(file, allow_pickle=False)
        return array.reshape(-1, *array.shape[-2:])

    return promised(path, shape, dtype, lambda index: block()[index])
