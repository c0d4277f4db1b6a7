"""The variables of MATLAB v5 to v7 files, found without decoding them, read slice by slice.

The layout is that of "MAT-File Format" (The MathWorks): a header of 128 bytes, then elements, each a tag of type and
length before its bytes; v7 wraps each variable into an element of zlib. MATLAB stores the first index fastest, so that
A(:, :, k) lies in one piece, column by column.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coresr_data.formats.pieces import Inflated, RefusedError, raw_pieces, refuse_ratio, streamed_pieces
from coresr_data.volume import Levels

HEADER = 128  # bytes before the first element
PEEK = 1024  # decoded bytes that hold flags, dimensions and name of any variable
MATRIX, COMPRESSED = 14, 15  # types of elements
CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
COMPLEX, LOGICAL = 0x800, 0x200  # flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """A 2-D or 3-D array of numbers."""

    shape: tuple[int, int, int]
    """(z, y, x), which are MATLAB's pages, rows and columns."""
    dtype: np.dtype[np.generic]
    opened: Callable[[], Callable[[int], Levels]]
    """Makes the function that reads A(:, :, i + 1); RefusedError where the array is not whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One variable, as its header describes it."""

    name: str
    kind: str
    """MATLAB's class: `uint8`, `double`, `struct` …; or `complex`, `logical` and why else it holds no grey levels."""
    size: tuple[int, ...]
    """As MATLAB says it; empty where it was not read."""
    array: Array | None = None


def variables(path: Path) -> list[Variable]:
    """Those of a v5, v6 or v7 file, in its order; RefusedError for what is none of these or cut short."""
    end = path.stat().st_size
    found = []
    with path.open("rb") as file:
        header = file.read(HEADER)
        order = {b"IM": "<", b"MI": ">"}.get(header[126:])
        if order is None or struct.unpack(f"{order}H", header[124:126]) != (0x0100,):
            raise RefusedError(
                f"be of version 5, 7 or 7.3, got a file that begins with {header[:8]!r}; "
                "save it in MATLAB with -v7 or -v7.3"
            )
        at = HEADER
        while at < end:
            file.seek(at)
            tag = file.read(8)
            kind, length = struct.unpack(f"{order}II", tag) if len(tag) == 8 else (0, 0)
            if kind not in (MATRIX, COMPRESSED) or at + 8 + length > end:
                raise RefusedError(f"hold whole variables, got a broken one at byte {at}; replace it")
            peeked = file.read(min(length, PEEK))
            peeked = zlib.decompressobj().decompress(peeked, PEEK) if kind == COMPRESSED else tag + peeked
            variable = _variable(path, order, peeked, at=at, packed=length if kind == COMPRESSED else 0)
            found += [variable] if variable.name else []  # MATLAB keeps its own in one without a name
            at += 8 + length
    return found


def _variable(path: Path, order: str, peeked: bytes, *, at: int, packed: int) -> Variable:
    """What the beginning of a variable says; `packed` is how many compressed bytes it lies in, or 0."""
    kind, total = struct.unpack_from(f"{order}II", peeked)
    if kind != MATRIX:
        raise RefusedError(f"hold whole variables, got a broken one at byte {at}; replace it")
    _, start, _, following = _element(order, peeked, 8)
    flags = struct.unpack_from(f"{order}I", peeked, start)[0]
    number = flags & 0xFF
    if number in (16, 17) or number not in CLASSES | OTHERS:  # laid out otherwise
        return Variable(name="(unnamed)", kind=OTHERS.get(number, f"class {number}"), size=())
    _, start, length, following = _element(order, peeked, following)
    size = struct.unpack_from(f"{order}{length // 4}i", peeked, start)
    _, start, length, following = _element(order, peeked, following)
    name = peeked[start : start + length].decode("ascii", "replace")
    if number in OTHERS or flags & (COMPLEX | LOGICAL):
        other = OTHERS.get(number) or ("complex" if flags & COMPLEX else "logical")
        return Variable(name=name, kind=other, size=size)
    stored, start, length, _ = _element(order, peeked, following)
    dtype = np.dtype(CLASSES[number])
    held = np.dtype(STORED[stored]).newbyteorder("<" if order == "<" else ">")

    place = Place(path=path, at=at, packed=packed, start=start, length=length, end=8 + total)
    array = None
    if len(size) in (2, 3):
        shape = (math.prod(size[2:]), size[0], size[1])
        array = Array(shape=shape, dtype=dtype, opened=lambda: _reader(place, name, shape, held, dtype))
    return Variable(name=name, kind=dtype.name, size=size, array=array)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the levels of a variable lie."""

    path: Path
    at: int
    """Byte of the file where the variable begins with its tag."""
    packed: int
    """Compressed bytes after that tag; 0 where it is not compressed."""
    start: int
    """Byte of the (decoded) variable where its levels begin."""
    length: int
    """Bytes of levels."""
    end: int
    """Byte of the (decoded) variable where it ends: after the levels only padding to a multiple of 8."""


def _reader(
    place: Place, name: str, shape: tuple[int, int, int], held: np.dtype[np.generic], dtype: np.dtype[np.generic]
) -> Callable[[int], Levels]:
    """A function that reads A(:, :, i + 1); `held` is the dtype in the file, as small as the values allow."""
    padding = place.end - place.start - place.length
    if place.length != math.prod(shape) * held.itemsize or not 0 <= padding < 8:
        raise RefusedError(f"hold variable {name} of shape {shape} whole, got {place.length} bytes of it; replace it")
    count, height, width = shape
    piece = height * width * held.itemsize
    if place.packed:
        refuse_ratio(place.packed, place.end)
        pieces = streamed_pieces(
            lambda: io.BufferedReader(Inflated(place.path, place.at + 8, place.packed)),
            start=place.start,
            length=piece,
            count=count,
            padding=padding,
        )
    else:
        pieces = raw_pieces(place.path, start=place.at + place.start, length=piece)

    def read(index: int) -> Levels:
        values = np.frombuffer(pieces(index), held).reshape(width, height).T
        levels = values.astype(dtype)
        if not np.can_cast(held, dtype, "safe") and not np.array_equal(levels, values):
            raise RefusedError(f"hold variable {name} as {dtype}, got values that are not; replace it")
        return levels

    return read


def _element(order: str, data: bytes, at: int) -> tuple[int, int, int, int]:
    """Type, start, length of the element at a byte, and where the next begins; one of up to 4 bytes lies in its tag."""
    kind, length = struct.unpack_from(f"{order}II", data, at)
    if kind >> 16:
        return kind & 0xFFFF, at + 4, kind >> 16, at + 8
    return kind, at + 8, length, at + 8 + -(-length // 8) * 8
