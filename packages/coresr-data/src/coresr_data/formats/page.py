"""One page of a TIFF: where it lies, whether it is plainly grey, its levels.

The chain of pages is walked here, with limits, before anything else parses the file: it may be a circle.
"""

import logging
import math
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile

from coresr_data.formats.extras import MissingExtraError, extra
from coresr_data.formats.inflation import DEFLATE, refuse_inflation
from coresr_data.formats.limits import MOST_TILE, refuse_bomb
from coresr_data.formats.picture import one_channel, read_frame, refuse_rotation
from coresr_data.formats.pieces import MOST_SLICES, RefusedError
from coresr_data.formats.voxels import tiff_voxel
from coresr_data.volume import Levels, Voxel

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MOST_TAGS = 4096
STRIP_OFFSETS, EXIF_ORIENTATION, PREDICTOR = 273, 274, 317
ALIKE = (256, 257, 258, 259, 262, 277, 284, PREDICTOR, 322, 323, 339, 32997)
"""Tags that must be the same on every page of a stack: size, bits, compression, samples, tiles, kind of number."""
PLAIN = (1, *DEFLATE)
"""Compressions that need no library: none and deflate."""
FLOATING = 3
"""The predictor that tifffile cannot undo by itself."""
EXACT = ("uint8", "uint16", "int16", "uint32", "int32", "float32")
"""What Pillow reads from a grey TIFF without loss; of other channels it cuts 16 bits to 8."""
WHOLE = {3: "H", 4: "I", 16: "Q"}  # types of tags: SHORT, LONG, LONG8

_log = logging.getLogger("tifffile")
_log.addHandler(logging.NullHandler())  # read_page raises: no second line on stderr


@dataclass(frozen=True, slots=True)
class Directory:
    """Where a page's header lies, what it must share with the others of a stack, and where its only strip begins."""

    offset: int
    alike: tuple[bytes, ...]
    strip: int | None


def directories(path: Path) -> list[Directory]:
    """Every page of a TIFF, by its header alone; RefusedError for a circle, a broken chain and too many pages."""
    with path.open("rb") as file:
        start = file.read(16)
        if start[:4] not in MAGIC:
            raise RefusedError("be a TIFF, got another kind of file; name it after its kind")
        order = "<" if start[:2] == b"II" else ">"
        big = b"+" in start[:4]
        found: list[Directory] = []
        seen: set[int] = set()
        try:
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), start, 8 if big else 4)
            while offset:
                if offset in seen:
                    raise RefusedError(f"have pages in a row, got a circle after {len(found)}; write it again")
                if len(found) == MOST_SLICES:
                    raise RefusedError(f"have at most {MOST_SLICES} pages, got more; cut it into several volumes")
                seen.add(offset)
                directory, offset = _directory(file, offset, order, big=big)
                found.append(directory)
        except (struct.error, OverflowError):
            raise RefusedError(f"be a whole TIFF, got one cut after {len(found)} pages; replace it") from None
    if not found:
        raise RefusedError("be a TIFF with pages, got 0 pages; replace it")
    return found


def _directory(file: BinaryIO, offset: int, order: str, *, big: bool) -> tuple[Directory, int]:
    """The page whose header is at `offset`, and where the next one's is."""
    count, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
    file.seek(offset)
    (tags,) = struct.unpack(order + count, file.read(struct.calcsize(count)))
    if tags > MOST_TAGS:
        raise RefusedError(f"have at most {MOST_TAGS} tags a page, got {tags}; replace it")
    table = file.read(tags * entry)
    alike = []
    strip = None
    for at in range(0, tags * entry, entry):
        code, kind, values = struct.unpack_from(order + "HH" + pointer, table, at)
        if values != 1:  # which lie elsewhere
            continue
        value = None
        if kind in WHOLE:
            (value,) = struct.unpack_from(order + WHOLE[kind], table, at + entry - struct.calcsize(pointer))
        if code in ALIKE or (code == EXIF_ORIENTATION and value != 1):  # upright is what no tag says, too
            alike.append(table[at : at + entry])
        elif code == STRIP_OFFSETS:
            strip = value
    (following,) = struct.unpack(order + pointer, file.read(struct.calcsize(pointer)))
    return Directory(offset, tuple(alike), strip), following


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """The TIFF alone, not the others that its text may name; RefusedError where tifffile found it broken."""
    with _heard() as errors:
        with tifffile.TiffFile(path, _multifile=False) as tiff:
            yield tiff
        if errors:
            raise RefusedError(f"be readable, got {errors[0]}; replace it")


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What tifffile logs as an error in this thread: it goes on with what is left, and would fill in zeros."""
    errors: list[str] = []
    thread = threading.get_ident()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                errors.append(record.getMessage().partition("> ")[2] or record.getMessage())

    ear = Ear(logging.ERROR)
    _log.addHandler(ear)
    try:
        yield errors
    finally:
        _log.removeHandler(ear)


def refuse_page(page: Any, stored: int) -> None:
    """RefusedError for a page that is not plainly grey, or promises too much for a file of `stored` bytes."""
    if page.photometric not in {1, 2} and not (page.photometric == 6 and page.compression == 7):
        # black is zero, RGB, YCbCr in JPEG; others would pass for grey, too
        raise RefusedError(f"be grey with 0 as black, got {_name(page.photometric)}; convert it to 8 or 16 bit grey")
    if page.bitspersample not in {8, 16, 32, 64} or page.dtype is None or page.dtype.kind not in "uif":
        raise RefusedError(
            f"be of 8, 16, 32 or 64 bits, got {page.bitspersample} ({page.dtype}); convert it to 8 or 16 bit grey"
        )
    refuse_rotation(page.tags.valueof(EXIF_ORIENTATION, 1))
    pixels = page.imagelength * page.imagewidth * page.imagedepth
    if pixels == 0:
        raise RefusedError("be an image with pixels, got an empty one; replace it")
    if not lies_whole(page, stored):
        refuse_bomb(pixels, page.nbytes, min(stored, sum(page.databytecounts)))
    if page.is_tiled and page.tilewidth * page.tilelength > MOST_TILE:
        raise RefusedError(
            f"have tiles of at most {MOST_TILE} pixels, got {page.tilelength}×{page.tilewidth}; write smaller ones"
        )
    if not lies_whole(page, stored):
        _refuse_parts(page, stored)
    if 0 in page.databytecounts or 0 in page.dataoffsets:  # which tifffile would fill with zeros
        raise RefusedError("be a whole image, got parts without data; replace it")


def _refuse_parts(page: Any, stored: int) -> None:
    """RefusedError unless every tile or strip of the page is said to lie in a file of `stored` bytes."""
    parts, offsets, counts = math.prod(page.chunked), page.dataoffsets, page.databytecounts
    if (len(offsets), len(counts)) != (parts, parts):  # those missing tifffile would fill with zeros
        raise RefusedError(f"have {parts} parts, got {len(offsets)} offsets and {len(counts)} counts; replace it")
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=True)):
        if offset + count > stored:
            raise RefusedError(
                f"be readable, got part {number} of {count} bytes at {offset} in a file of {stored}; replace it"
            )


def lies_whole(page: Any, stored: int) -> bool:
    """Whether the levels of the page lie in the file as they are, one after the other."""
    return bool(page.is_contiguous and page.dataoffsets and page.dataoffsets[0] + page.nbytes <= stored)


def slices_in(page: Any) -> int:
    """How many slices a file of one page holds: its depth, or as many as its text says to lie behind it.

    OME's text may be that of a set of files, each of one page.
    """
    return int(page.imagedepth) if page.is_ome else max(int(page.imagedepth), math.prod(axes_said(page).values()))


def page_levels(page: Any, path: Path, *, frame: int) -> Levels:
    """The `(y, x)` levels of a page that `refuse_page` let pass, in native byte order; `frame` is its place."""
    try:
        if page.compression not in PLAIN or page.tags.valueof(PREDICTOR, 1) == FLOATING:
            extra("imagecodecs", "tiff")
        refuse_inflation(page, range(len(page.dataoffsets)))
        levels = np.asarray(page.asarray())
    except MissingExtraError as missing:  # Pillow knows most of what is in use, too
        if page.dtype.name not in (EXACT if page.samplesperpixel == 1 else ("uint8",)):
            raise
        try:
            levels = read_frame(path, frame).astype(page.dtype, copy=False)  # it reads int16 as int32
        except Exception as error:  # decoders raise whatever their parser met
            raise missing from error
    if page.planarconfig == 2 and levels.ndim == 3:
        levels = np.moveaxis(levels, 0, -1)
    return one_channel(levels)


def page_voxel(page: Any) -> Voxel | None:
    """Of the first page; None where the file does not say it."""
    return tiff_voxel(str(page.description), {code: page.tags.valueof(code) for code in (282, 283, 296)})


def axes_said(first: Any) -> dict[str, int]:
    """Sizes of the axes beside y and x, in ImageJ's, OME's or tifffile's own text; empty where nobody said."""
    description = str(first.description)
    if (pixels := re.search(r"<(?:\w+:)?Pixels\s[^>]*>", description)) is not None:
        sizes = {axis: int(size) for axis, size in re.findall(r"\bSize([ZCT])\s*=\s*[\"'](\d+)[\"']", pixels[0])}
        channels = sizes.get("C", 1) if first.samplesperpixel == 1 else 1
        return {"slices": sizes.get("Z", 1), "frames": sizes.get("T", 1), "channels": channels}
    if description.startswith("ImageJ="):
        said = {k: int(v) for k, v in re.findall(r"^(images|slices|frames|channels)=(\d+)", description, re.MULTILINE)}
        images = said.pop("images", 1)
        if said.get("channels") == first.samplesperpixel:  # RGB
            said["channels"] = 1
        return said if math.prod(said.values()) > 1 else {"images": images}
    if (said_shape := re.match(r"\{.*\"shape\": \[([\d, ]+)\]", description)) is not None:
        shape = [int(size) for size in said_shape[1].split(",")]
        inside = len(shape) - len(first.shape)
        return {f"along axis {at}": shape[at] for at in range(inside)} if shape[inside:] == list(first.shape) else {}
    return {}


def _name(tag: object) -> str:
    return str(getattr(tag, "name", tag)).lower()
