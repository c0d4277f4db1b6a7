"""TIFF stacks: several pages, an ImageJ stack behind one page, OME-TIFF, or one page with a depth of its own.

The pages of a file are its slices, in the order of the file. What the text of the file says of its axes is only held
against their number; other files that it may name are never opened.
"""

import math
import mmap
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from coresr_data.formats.inflation import refuse_inflation
from coresr_data.formats.page import (
    Directory,
    axes_said,
    directories,
    lies_whole,
    opened,
    page_levels,
    page_voxel,
    refuse_page,
)
from coresr_data.formats.pieces import RefusedError, refusals, refuse_absent, refuse_shape
from coresr_data.formats.tiles import in_tiles, tile_levels
from coresr_data.volume import Levels, Volume, from_array, promised

KIND = "TIFF stack"
MOST_FRAMES = 10_000
"""Pages of a stack that is read page by page."""


def open_tiff(path: Path) -> Volume:
    """The grey pages of one file as slices, in its own dtype; a single image is one slice.

    Uncompressed pages at equal distances are mapped, any number of them; others are decoded when asked for, at most
    10,000. The voxel is ImageJ's or OME's. ValueError, naming the file, for pages that differ, colour, several
    channels, several axes beside y and x, and a number of pages other than the file's text says.
    """
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        pages = directories(path)
        stored = path.stat().st_size
        with opened(path) as tiff:
            first = tiff.pages.first
            refuse_page(first, stored)
            voxel_um = page_voxel(first)
            depth = _depth(len(pages), first)
            if any(page.alike != pages[0].alike for page in pages):
                raise RefusedError("have pages of one size and kind, got several; write each to a file of its own")
            shape = (depth, int(first.imagelength), int(first.imagewidth))
            refuse_shape((shape[0], 1, 1))
            stride = _stride(pages, first, depth, stored)
            dtype = np.dtype(first.dtype)
            start = first.dataoffsets[0] if first.dataoffsets else 0
            order = tiff.byteorder
            cuttable = in_tiles(first)
        if stride is None:
            _refuse_unmapped(first, len(pages), depth)
        array = None if stride is None else _mapped(path, shape, dtype.newbyteorder(order), start, stride)
    if array is not None:
        return from_array(array, path, voxel_um=voxel_um)
    packed = len(pages) < depth
    read = _held(path, pages[0].offset, shape) if packed else _page_reader(path, pages)
    cut = None if packed or not cuttable else partial(_cut, path, pages)
    return replace(promised(path, shape, dtype, read), voxel_um=voxel_um, cut=cut)


def _depth(pages: int, first: Any) -> int:
    """The number of slices, from the axes that the text of the file says, else from its pages."""
    deep = int(first.imagedepth)
    if deep > 1 and pages > 1:
        raise RefusedError(f"have pages or a depth, got {pages} pages of depth {deep}; write one volume a file")
    axes = {name: size for name, size in axes_said(first).items() if size != 1}
    if any(size < 1 for size in axes.values()) or "channels" in axes:
        raise RefusedError(f"be grey, got {_say(axes)}; write one channel a file")
    if len(axes) > 1:
        raise RefusedError(f"have one axis beside y and x, got {_say(axes)}; write one volume a file")
    _refuse_order(str(first.description))
    said = math.prod(axes.values())
    if axes and said != max(pages, deep) and not (pages == 1 and deep == 1):
        raise RefusedError(f"have {said} pages as its text says, got {pages}; replace it")
    return said if axes else max(pages, deep)


def _refuse_order(description: str) -> None:
    """RefusedError where OME's text puts the pages into another order than the file does."""
    for data in re.findall(r"<(?:\w+:)?TiffData\s[^>]*>", description):
        said = {key: int(value) for key, value in re.findall(r"\b(IFD|First[ZT])\s*=\s*[\"'](\d+)[\"']", data)}
        if "IFD" in said and said["IFD"] != max(said.get("FirstZ", 0), said.get("FirstT", 0)):
            raise RefusedError("have its pages in the order of its slices, got another in its OME text; save it anew")


def _stride(pages: Sequence[Directory], first: Any, depth: int, stored: int) -> int | None:
    """Bytes from one slice to the next where all can be mapped at once, else None."""
    if first.samplesperpixel != 1 or not lies_whole(first, stored):
        return None
    if len(pages) == 1:
        start, size = first.dataoffsets[0], first.nbytes // first.imagedepth
        if depth > first.imagedepth and start + depth * size > stored:
            raise RefusedError(f"hold {depth} slices of {size} bytes, got {stored} bytes in all; replace it")
        return int(size)
    starts = [page.strip for page in pages if page.strip is not None]
    steps = set(np.diff(starts).tolist())
    if len(starts) != len(pages) or len(steps) != 1 or (step := steps.pop()) < first.nbytes:
        return None
    return int(step) if starts[-1] + first.nbytes <= stored else None


def _refuse_unmapped(first: Any, pages: int, depth: int) -> None:
    """RefusedError for a stack that is neither mapped nor read page by page nor one page deep enough."""
    if pages == 1 and depth > 1 and (depth, 1) != (first.imagedepth, first.samplesperpixel):
        raise RefusedError(f"have {depth} pages as its text says, got one; save it uncompressed")
    if pages > MOST_FRAMES:
        raise RefusedError(
            f"have at most {MOST_FRAMES} pages where they cannot be mapped, got {pages}; save it uncompressed"
        )


def _mapped(path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], start: int, stride: int) -> Levels:
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    strides = (stride, shape[2] * dtype.itemsize, dtype.itemsize)
    return np.ndarray(shape, dtype, buffer=mapped, offset=start, strides=strides)


def _page_reader(path: Path, pages: Sequence[Directory]) -> Callable[[int], Levels]:
    def read(index: int) -> Levels:
        with refusals(path, f"page {index} of"), _page(path, pages[index].offset, index) as page:
            return page_levels(page, path, frame=index)

    return read


def _cut(path: Path, pages: Sequence[Directory], index: int, y: slice, x: slice) -> Levels:
    with refusals(path, f"page {index} of"), _page(path, pages[index].offset, index) as page:
        return tile_levels(page, y, x)


def _held(path: Path, offset: int, shape: tuple[int, int, int]) -> Callable[[int], Levels]:
    """Reads from a volume packed into one page, decoded at the first call."""

    @cache
    def block() -> Levels:
        with refusals(path, KIND), _page(path, offset, 0) as page:
            refuse_inflation(page, range(len(page.dataoffsets)))
            return np.asarray(page.asarray()).reshape(shape)

    return lambda index: block()[index]


@contextmanager
def _page(path: Path, offset: int, index: int) -> Iterator[Any]:
    """One page of a file, let pass by the gate, without those before it."""
    with opened(path) as tiff:
        tiff.filehandle.seek(offset)
        page = tifffile.TiffPage(tiff, index=index)
        refuse_page(page, path.stat().st_size)
        yield page


def _say(axes: dict[str, int]) -> str:
    return ", ".join(f"{size} {name}" for name, size in axes.items())
