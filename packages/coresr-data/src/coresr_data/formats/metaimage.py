"""MetaImage: `.mhd` with its data file beside it, or `.mha` with both in one, as ITK and 3D Slicer write them.

The header is lines of `Key = value`, of which `ElementDataFile` is the last; its first axis varies fastest.
"""

import io
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from coresr_data.formats.limits import refuse_bomb
from coresr_data.formats.links import data_file
from coresr_data.formats.pieces import (
    Inflated,
    RefusedError,
    refusals,
    refuse_absent,
    refuse_shape,
    streamed_pieces,
    volume_of,
    whole_levels,
)
from coresr_data.formats.raw import RawHeader, open_raw
from coresr_data.formats.voxels import cubic
from coresr_data.volume import Levels, Volume, Voxel

KIND = "MetaImage"
MOST_HEADER = 2**16  # bytes
WHOLE = ("CHAR:1", "SHORT:2", "INT:4", "LONG:4", "LONG_LONG:8")
DTYPES = {f"MET_{sign}{name[:-2]}": f"{kind}{name[-1]}" for name in WHOLE for sign, kind in (("", "i"), ("U", "u"))}
DTYPES |= {"MET_FLOAT": "f4", "MET_DOUBLE": "f8"}
MILLIMETRE = 1e3  # µm
TRUTH = {"true": True, "1": True, "false": False, "0": False}


def open_metaimage(path: Path) -> Volume:
    """The slices of a grey 2-D or 3-D MetaImage: mapped, or where it is compressed decoded from front to back.

    The voxel is its spacing in millimetres; a spacing of 1 on every axis is what programs write that do not know it,
    and says nothing. ValueError, naming the file, for colour, several data files, one that does not lie beside its
    header, and a length other than the header says.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        fields, end = _header(path)
        name = fields["elementdatafile"]
        data = path if name.upper() == "LOCAL" else data_file(name, path)
        shape = _shape(fields)
        dtype = _dtype(fields)
        length = int(np.prod(shape, dtype=object)) * dtype.itemsize
        stored = data.stat().st_size
        start = int(fields.get("headersize", "0"))
        if start == -1:  # the levels are the last bytes of the file
            start = stored - length
        elif start < 0:
            raise RefusedError(f"have a HeaderSize of -1 or more, got {start}; correct it")
        start = end if data == path else start
        core, voxel_um = path.stem, _voxel(fields)
        if _true(fields, "compresseddata"):
            return _compressed(data, start, shape, dtype, core=core, voxel_um=voxel_um)
    return open_raw(data, RawHeader(shape=shape, dtype=dtype, offset=max(0, start)), core=core, voxel_um=voxel_um)


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Lower-case key → value, and at which byte the header ends."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "elementdatafile" not in fields:
            line = file.readline(MOST_HEADER)
            if not line or file.tell() > MOST_HEADER:
                raise RefusedError("say ElementDataFile within its first lines, got none; replace it")
            key, equals, value = line.decode("utf-8", "replace").partition("=")
            if equals:
                fields[key.strip().lower()] = value.strip()
            elif line.strip():
                raise RefusedError(f"hold lines of Key = value, got {line[:40]!r}; replace it")
        return fields, file.tell()


def _shape(fields: dict[str, str]) -> tuple[int, int, int]:
    """(z, y, x)."""
    sides = [int(side) for side in fields.get("dimsize", "").split()]
    if len(sides) not in (2, 3) or int(fields.get("ndims", "0")) != len(sides):
        raise RefusedError(
            f"have 2 or 3 axes, got NDims {fields.get('ndims')} and DimSize {fields.get('dimsize')}; "
            "save one grey volume a file"
        )
    if int(fields.get("elementnumberofchannels", "1")) != 1:
        raise RefusedError(f"be grey, got {fields['elementnumberofchannels']} channels; save one grey volume a file")
    shape = (sides[2] if len(sides) == 3 else 1, sides[1], sides[0])
    refuse_shape((shape[0], min(shape), 1))
    return shape


def _dtype(fields: dict[str, str]) -> np.dtype[np.generic]:
    name = fields.get("elementtype", "").upper()
    if name not in DTYPES:
        raise RefusedError(f"have an ElementType of {', '.join(DTYPES)}, got {name or 'none'}; convert it")
    if not _true(fields, "binarydata", absent=True):
        raise RefusedError("hold binary levels, got text; save it with BinaryData = True")
    said = [_true(fields, key) for key in ("binarydatabyteordermsb", "elementbyteordermsb") if key in fields]
    dtype = np.dtype(DTYPES[name])
    if dtype.itemsize > 1 and len(set(said)) != 1:
        raise RefusedError(
            f"say one byte order, got {said or 'none'}; write ElementByteOrderMSB = False, or True where it is big"
        )
    return dtype.newbyteorder(">" if said and said[0] else "<")


def _compressed(
    data: Path,
    start: int,
    shape: tuple[int, int, int],
    dtype: np.dtype[np.generic],
    *,
    core: str,
    voxel_um: Voxel | None,
) -> Volume:
    """The slices of one zlib stream from `start` to the end of the file, one pass from front to back."""
    stored = data.stat().st_size - start
    length = shape[1] * shape[2] * dtype.itemsize
    refuse_bomb(shape[1] * shape[2], shape[0] * length, stored)
    pieces = streamed_pieces(
        lambda: cast(BinaryIO, io.BufferedReader(Inflated(data, start, stored))), start=0, length=length, count=shape[0]
    )

    def read(index: int) -> Levels:
        return whole_levels(pieces(index), shape[1:], dtype)

    return volume_of(data, kind=KIND, core=core, shape=shape, dtype=dtype, read=read, voxel_um=voxel_um)


def _voxel(fields: dict[str, str]) -> Voxel | None:
    said = fields.get("elementspacing", fields.get("elementsize", "")).split()
    sides = [float(side) * MILLIMETRE for side in said]
    if len(sides) not in (2, 3) or set(sides) == {MILLIMETRE}:
        return None
    return cubic((sides[1], sides[0]), sides[2] if len(sides) == 3 else None)


def _true(fields: dict[str, str], key: str, *, absent: bool = False) -> bool:
    value = fields.get(key, str(absent)).lower()
    if value not in TRUTH:
        raise RefusedError(f"say True or False for {key}, got {fields[key]}; correct it")
    return TRUTH[value]
