"""Regions of a page of a TIFF that lies in tiles or strips: no more of a slice is decoded than is asked for."""

import importlib.util
import math
from itertools import product
from typing import Any

import numpy as np

from coresr_data.formats.inflation import refuse_inflation
from coresr_data.formats.page import FLOATING, PLAIN, PREDICTOR
from coresr_data.formats.pieces import RefusedError
from coresr_data.volume import Levels

JPEG = (6, 7)
"""Compressions whose tables lie elsewhere in the page."""
MOST_STRIP = 2**26
"""Bytes of a strip; a slice in one strip is decoded once, not for each of its regions."""


def in_tiles(page: Any) -> bool:
    """Whether a grey page is cut into tiles or short strips, and a library is there that decodes them."""
    plain = page.compression in PLAIN and page.tags.valueof(PREDICTOR, 1) != FLOATING
    strip = page.rowsperstrip * page.imagewidth * page.dtype.itemsize
    return bool(
        page.samplesperpixel == 1
        and page.imagedepth == 1
        and (page.is_tiled or (len(page.dataoffsets) > 1 and strip <= MOST_STRIP))
        and page.compression not in JPEG
        and (plain or importlib.util.find_spec("imagecodecs"))
    )


def tile_levels(page: Any, y: slice, x: slice) -> Levels:
    """The levels of rows `y` and columns `x` in native byte order; RefusedError for a tile that cannot be decoded."""
    high, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    across = -(-page.imagewidth // wide)
    levels = np.zeros((y.stop - y.start, x.stop - x.start), page.dtype.newbyteorder("="))
    rows, columns = (range(part.start // side, -(-part.stop // side)) for part, side in ((y, high), (x, wide)))
    for row, column in product(rows, columns):
        tile = _tile(page, row * across + column)
        top, left = row * high - y.start, column * wide - x.start
        inside = tile[max(0, -top) : levels.shape[0] - top, max(0, -left) : levels.shape[1] - left]
        levels[max(0, top) : max(0, top) + inside.shape[0], max(0, left) : max(0, left) + inside.shape[1]] = inside
    return levels


def _tile(page: Any, number: int) -> Levels:
    if number >= (said := min(len(page.dataoffsets), len(page.databytecounts))):  # of what lies whole nobody asked
        raise RefusedError(f"have {math.prod(page.chunked)} parts, got {said}; replace it")
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    file = page.parent.filehandle
    if offset + count > file.size:  # before so many are asked for
        raise RefusedError(f"hold tile {number} whole, got {max(0, file.size - offset)} of {count} bytes; replace it")
    refuse_inflation(page, [number])
    file.seek(offset)
    data = file.read(count)
    decoded, _, shape = page.decode(data, number)
    if decoded is None:
        raise RefusedError(f"hold tile {number}, got none; replace it")
    # beyond the edges of the image a tile is filled up
    levels: Levels = np.asarray(decoded).reshape(decoded.shape[-3:-1])[: shape[-3], : shape[-2]]
    return levels
