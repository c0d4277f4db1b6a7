"""Deflated tiles and strips of a TIFF, held against the bytes that their pixels need before tifffile decodes them."""

import importlib.util
import math
import zlib
from collections.abc import Iterable
from typing import Any

from coresr_data.formats.pieces import BLOCK, RefusedError

DEFLATE = (8, 32946)
"""The compressions of a TIFF that are a zlib stream for each part."""
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""The bits of each byte in the other order, as tag FillOrder may say."""


def refuse_inflation(page: Any, parts: Iterable[int]) -> None:
    """RefusedError where one of these tiles or strips, deflated, gives more bytes than its pixels need.

    For tifffile without imagecodecs, which decodes all of a stream before it looks at its length; with it, streams are
    decoded up to that length. They are decoded twice then, here without being held.
    """
    if page.compression not in DEFLATE or importlib.util.find_spec("imagecodecs"):
        return
    most = math.prod(page.chunks) * page.dtype.itemsize
    for number in parts:
        place = page.dataoffsets[number], page.databytecounts[number]
        if _inflates_beyond(most, page.parent.filehandle, *place, mirrored=page.fillorder == 2):
            raise RefusedError(f"decode to at most {most} bytes a part, got more in part {number}; replace it")


def _inflates_beyond(most: int, file: Any, offset: int, count: int, *, mirrored: bool) -> bool:
    """Whether the `count` bytes at `offset` of a file decode to more than `most`; they are read and decoded by blocks.

    Trailing bytes, and a stream that ends too early, are tifffile's to judge.
    """
    decoder, decoded, stop = zlib.decompressobj(), 0, offset + count
    file.seek(offset)
    while not decoder.eof and (data := file.read(min(BLOCK, stop - file.tell()))):
        fed = data.translate(MIRRORED) if mirrored else data
        while fed and not decoder.eof:
            decoded += len(decoder.decompress(fed, BLOCK))
            if decoded > most:
                return True
            fed = decoder.unconsumed_tail
    return False
