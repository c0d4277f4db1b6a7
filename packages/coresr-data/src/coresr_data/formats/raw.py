"""Raw volumes: nothing but levels, whose shape, dtype and byte order somebody must say.

Either in words, `200x500x500:uint16:little`, or in a MetaImage header (`.mhd` with its data beside it, or `.mha`).
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coresr_data.formats.pieces import RefusedError, refusals, refuse_absent, refuse_shape
from coresr_data.volume import Levels, Volume, Voxel, from_array

KIND = "raw volume"
EXAMPLE = "200x500x500:uint16:little"
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
ORDERS: dict[str, Literal["<", ">"]] = {"little": "<", "big": ">"}
SAMPLED = 64
"""Rows, in the middle of the volume, that are looked at for the wrong byte order."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawHeader:
    """What the levels of a raw file are."""

    shape: tuple[int, int, int]
    """(z, y, x), x fastest."""
    dtype: np.dtype[Any]
    """With its byte order, as `>u2`."""
    offset: int = 0
    """Bytes before the first level."""


def raw_header(text: str) -> RawHeader:
    """`ZxYxX:DTYPE[:little|big][:OFFSET]` in words; ValueError where something is missing or unknown.

    The byte order is required of levels of several bytes: half of all programs would guess it wrong.

    >>> raw_header("200x500x500:uint16:big:1024")
    RawHeader(shape=(200, 500, 500), dtype=dtype('>u2'), offset=1024)
    """
    shape, _, rest = text.partition(":")
    name, *options = rest.split(":")
    sides = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)[x×]([1-9]\d*)", shape)
    if sides is None:
        raise ValueError(f"raw header must begin with slices x rows x columns, got {text!r}; write {EXAMPLE}")
    if name not in DTYPES:
        raise ValueError(f"raw dtype must be one of {', '.join(DTYPES)}, got {name!r}; write {EXAMPLE}")
    order = options.pop(0) if options and options[0] in ORDERS else None
    if order is None and np.dtype(name).itemsize > 1:
        raise ValueError(f"raw header must say the byte order of {name}, got {text!r}; write {EXAMPLE} or :big")
    if len(options) > 1 or not all(re.fullmatch(r"\d+", option) for option in options):
        raise ValueError(f"raw header must end in little or big and a number of bytes, got {text!r}; write {EXAMPLE}")
    return RawHeader(
        shape=(int(sides[1]), int(sides[2]), int(sides[3])),
        dtype=np.dtype(name).newbyteorder(ORDERS[order or "little"]),
        offset=int(options[0]) if options else 0,
    )


def open_raw(path: Path, header: RawHeader, *, voxel_um: Voxel | None = None, core: str | None = None) -> Volume:
    """The slices of a raw file, mapped.

    ValueError unless the file is exactly as long as the header says. Where the levels would be far smoother in the
    other byte order, a warning is logged.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        refuse_shape((header.shape[0], 1, 1))
        needed = header.offset + int(np.prod(header.shape, dtype=object)) * header.dtype.itemsize
        stored = path.stat().st_size
        if stored != needed:
            raise RefusedError(
                f"be {needed} bytes long for {_say(header)}, got {stored}{_guess(stored, header)}; correct the header"
            )
        array = np.memmap(path, header.dtype, "r", header.offset, header.shape)
    if swapped(array):
        _log.warning(
            "raw volume %s is far smoother with its bytes the other way round than as %s; "
            "look at a slice, and correct the byte order if it is noise",
            path,
            _say(header),
        )
    return from_array(array, path, voxel_um=voxel_um, core=core)


def refuse_without_header(path: Path) -> Volume:
    """ValueError, with the header beside the file where there is one, for a raw file that nobody described."""
    beside = [path.with_suffix(suffix) for suffix in (".mhd", ".nhdr")]
    headers = [str(header) for header in beside if header.is_file()]
    raise ValueError(
        f"raw volume {path} must come with a header, got none; "
        + (f"open {headers[0]} instead" if headers else f"say its shape, dtype and byte order: --raw {EXAMPLE}")
    )


def swapped(array: Levels) -> bool:
    """Whether levels are noise as they are read, and an image in the other byte order, beyond doubt.

    Neighbours of white noise differ by 1.1 standard deviations on average, those of an image by far less. False
    where neither is clear, as for noise itself.
    """
    if array.dtype.itemsize == 1:
        return False
    z, y = array.shape[0] // 2, max(0, array.shape[1] // 2 - SAMPLED // 2)
    rows = np.array(array[z, y : y + SAMPLED])
    return _roughness(rows) > 0.8 and _roughness(rows.byteswap()) < 0.4


def _roughness(rows: Levels) -> float:
    """Mean difference of neighbours along x over the standard deviation; 0 for a constant, infinite for nonsense."""
    with np.errstate(all="ignore"):
        levels = rows.astype(np.float64)
        if not np.isfinite(levels).all() or np.abs(levels).max() > 1e30:
            return np.inf
        spread = levels.std()
        return float(np.abs(np.diff(levels, axis=1)).mean() / spread) if spread > 0 and levels.shape[1] > 1 else 0.0


def _guess(stored: int, header: RawHeader) -> str:
    """What else would fit, where something does."""
    voxels = int(np.prod(header.shape, dtype=object))
    left = stored - voxels * header.dtype.itemsize
    if 0 < left <= 4096:
        return f", {left} bytes more than the levels: perhaps an offset"
    fitting = [f"{8 * size}" for size in (1, 2, 4, 8) if header.offset + voxels * size == stored]
    return f", which {fitting[0]} bit levels would fill" if fitting else ""


def _say(header: RawHeader) -> str:
    dtype, order = header.dtype.newbyteorder("="), "big" if header.dtype.str[0] == ">" else "little"
    shape = "x".join(map(str, header.shape))
    return (
        f"{shape}:{dtype}" + ("" if dtype.itemsize == 1 else f":{order}") + (f":{header.offset}" * (header.offset > 0))
    )
