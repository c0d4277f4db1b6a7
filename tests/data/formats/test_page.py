"""Pages that say too few parts, or parts that lie beyond the file, are refused, whole or by regions."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coresr_data.formats import open_volume
from coresr_data.formats.images import read_slice

LEVELS = np.random.default_rng(0).integers(1, 65536, (61, 47)).astype(np.uint16)
OFFSETS, COUNTS = 324, 325
READS: list[Callable[[Path], NDArray[Any]]] = [
    read_slice,
    lambda path: open_volume(path)[0],
    lambda path: open_volume(path).region(0, slice(0, 16), slice(0, 16)),
]


def tiles(path: Path, **how: Any) -> None:
    """Twelve packed tiles in a BigTIFF."""
    how = {"tile": (16, 16), "compression": "zlib"} | how
    tifffile.imwrite(path, LEVELS, bigtiff=True, photometric="minisblack", metadata=None, **how)


def changed(path: Path, code: int, change: Callable[[list[int]], list[int]]) -> None:
    """Put other values, of 64 bits, behind the file, and let the tag say where."""
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        tag = tiff.pages.first.tags[code]
        values, place = change(list(tag.value)), tag.offset
    struct.pack_into("<HQQ", data, place + 2, 16, len(values), len(data))
    path.write_bytes(data + struct.pack(f"<{len(values)}Q", *values))


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("codes", [(OFFSETS,), (COUNTS,), (OFFSETS, COUNTS)])
def test_a_page_with_too_few_parts_is_refused_and_not_filled_with_zeros(
    tmp_path: Path, read: Callable[[Path], NDArray[Any]], codes: tuple[int, ...]
) -> None:
    path = tmp_path / "a.tif"
    tiles(path)
    assert read(path).min() > 0
    for code in codes:
        changed(path, code, lambda values: values[:6])
    with pytest.raises(ValueError, match=r"a\.tif must have 12 parts, got (6|12) offsets and (6|12) counts; replace"):
        read(path)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("code", [OFFSETS, COUNTS])
@pytest.mark.parametrize("compression", ["zlib", "none"])
def test_a_part_beyond_the_file_is_refused_before_so_many_bytes_are_asked_for(
    tmp_path: Path, read: Callable[[Path], NDArray[Any]], code: int, compression: str
) -> None:
    path = tmp_path / "a.tif"
    tiles(path, compression=compression)
    changed(path, code, lambda values: [2**40, *values[1:]])
    with pytest.raises(ValueError, match=r"a\.tif must be readable, got part 0 of \d+ bytes at \d+ in a file of \d+;"):
        read(path)


def test_a_part_that_ends_with_the_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tiles(path)
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages.first
        last = path.read_bytes()[page.dataoffsets[-1] :][: page.databytecounts[-1]]
    changed(path, OFFSETS, lambda values: [*values[:-1], path.stat().st_size + 8 * len(values)])
    path.write_bytes(path.read_bytes() + last)
    for read in READS[:2]:
        np.testing.assert_array_equal(read(path), LEVELS)


def test_planes_of_colour_are_counted_as_parts_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    planes = np.stack([LEVELS] * 3)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", tile=(16, 16), compression="zlib")
    np.testing.assert_array_equal(read_slice(path), LEVELS)
