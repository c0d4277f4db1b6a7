"""NRRD volumes: `.nrrd`, and `.nhdr` with its data file beside it.

The header is the one of https://teem.sourceforge.net/nrrd/format.html, parsed by pynrrd; its first axis varies fastest.
"""

import bz2
import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coresr_data.formats.extras import extra
from coresr_data.formats.links import data_file
from coresr_data.formats.pieces import (
    MOST_PIXELS,
    Readable,
    RefusedError,
    raw_pieces,
    refusals,
    refuse_absent,
    refuse_length,
    refuse_ratio,
    refuse_shape,
    streamed_pieces,
    volume_of,
    whole_levels,
)
from coresr_data.formats.voxels import cubic, micrometres
from coresr_data.volume import Levels, Volume, Voxel

KIND = "NRRD file"
MOST_HEADER = 2**20  # bytes
SPATIAL = {"domain", "space", "none", "???"}  # kinds of axes; others hold colours, vectors, times
DTYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}


def open_nrrd(path: Path) -> Volume:
    """The slices of a 2-D or 3-D file, axes (x, y, z) with x fastest, as `(y, x)`.

    Encodings raw, gzip and bzip2. The voxel is known where the header gives a unit: from spacings and units, or the
    lengths of space directions and space units; axes stay in the order of the file. A data file must lie beside its
    header. ValueError, naming the file, for whatever is not a readable grey NRRD file.
    """
    nrrd = extra("nrrd", "nrrd")
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        header, start = _header(nrrd, path)
        shape = _shape(header)
        dtype = _dtype(header)
        refuse_shape(shape)
        name = header.get("data file", header.get("datafile"))
        data = path if name is None else data_file(name, path)
        pieces = _pieces(header, data, start=0 if data != path else start, count=shape[0], dtype=dtype, size=shape[1:])

        def read(index: int) -> Levels:
            return whole_levels(pieces(index), shape[1:], dtype)

        return volume_of(
            path,
            kind=KIND,
            core=path.stem,
            shape=shape,
            dtype=dtype,
            read=read,
            voxel_um=_voxel(header),
            source=data,
        )


def _header(nrrd: Any, path: Path) -> tuple[Any, int]:
    """The fields, and at which byte the header ends."""
    with path.open("rb") as file:
        data = file.read(MOST_HEADER)
    if not data.startswith(b"NRRD000"):
        raise RefusedError(f"begin with NRRD000, got {data[:8]!r}; replace it")
    ends = [(at, len(blank)) for blank in (b"\n\n", b"\n\r\n") if (at := data.find(blank)) >= 0]
    at, blank = min(ends, default=(len(data), 0))
    # as UTF-8, for pynrrd would drop the µ of µm and leave metres
    lines = data[:at].decode("utf-8", "replace").splitlines()
    return nrrd.read_header(lines), at + blank


def _shape(header: Any) -> tuple[int, int, int]:
    """(z, y, x)."""
    sizes = [int(size) for size in header["sizes"]]
    kinds = {kind.lower() for kind in header.get("kinds", [])}
    if len(sizes) != header["dimension"] or len(sizes) not in (2, 3) or not kinds <= SPATIAL:
        raise RefusedError(
            f"hold 2 or 3 axes of space, got sizes {'×'.join(map(str, sizes))} of dimension {header['dimension']}"
            f"{' and kinds ' + ', '.join(sorted(kinds)) if kinds else ''}; save one grey volume a file"
        )
    return (sizes[2] if len(sizes) == 3 else 1, sizes[1], sizes[0])


def _dtype(header: Any) -> np.dtype[np.generic]:
    name = header["type"].lower()
    if name not in DTYPES:
        raise RefusedError(f"hold grey levels, got type {name}; save it with a type of integers or floats")
    dtype = np.dtype(DTYPES[name])
    if dtype.itemsize == 1:
        return dtype
    if (endian := header.get("endian", "").lower()) not in ("little", "big"):
        raise RefusedError(f"say that its endian is little or big, got {endian or 'neither'}; add it to the header")
    return dtype.newbyteorder("<" if endian == "little" else ">")


def _pieces(
    header: Any, data: Path, *, start: int, count: int, dtype: np.dtype[np.generic], size: tuple[int, int]
) -> Callable[[int], bytes]:
    """The bytes of each slice, in the data file after `start`."""
    encoding = header["encoding"].lower()
    length = size[0] * size[1] * dtype.itemsize
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if header.get("line skip", header.get("lineskip", 0)) != 0 or not -1 <= skip <= MOST_PIXELS:
        raise RefusedError("have no line skip and a byte skip that lies in the file, got others; save it without")
    if encoding == "raw":
        if skip == -1:  # the levels are the last bytes of the file
            skip = data.stat().st_size - start - count * length
        refuse_length(data, start + skip + count * length)
        return raw_pieces(data, start=start + skip, length=length)
    if encoding not in ("gzip", "gz", "bzip2", "bz2") or skip == -1:
        raise RefusedError(
            f"be encoded raw, gzip or bzip2, got {encoding} with byte skip {skip}; save it as one of them"
        )
    refuse_ratio(data.stat().st_size, skip + count * length)

    @contextmanager
    def opened() -> Iterator[Readable]:
        with data.open("rb") as file:
            file.seek(start)
            with gzip.open(file) if encoding.startswith("g") else bz2.open(file) as decoded:
                yield decoded

    return streamed_pieces(opened, start=skip, length=length, count=count)


def _voxel(header: Any) -> Voxel | None:
    """From spacings and units, or from the lengths of space directions and space units; None without a unit."""
    if "spacings" in header:
        sides = np.asarray(header["spacings"], float) * _units(header.get("units", []))
    elif "space directions" in header:
        directions = np.asarray(header["space directions"], float)
        sides = np.linalg.norm(directions * _units(header.get("space units", [])), axis=1)
    else:
        return None
    if not (np.isfinite(sides).all() and (sides > 0).all()):
        return None
    x, y, *z = (float(side) for side in sides)
    return (z[0], y, x) if z else cubic((y, x))


def _units(units: list[str]) -> NDArray[np.float64]:
    """Of each axis, in micrometres; NaN where there is none."""
    return np.array([micrometres(unit) or np.nan for unit in units] or [np.nan])
