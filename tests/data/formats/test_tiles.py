"""Regions of slices are those of the slices, whatever the file, and no more than they need is read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from coresr_data.formats import open_volume
from coresr_data.formats.images import write_slice
from coresr_data.formats.pieces import RefusedError
from coresr_data.formats.tiles import tile_levels
from coresr_data.output import writing
from coresr_data.volume import along

DEPTH, HEIGHT, WIDTH = 3, 75, 103
STACK = np.random.default_rng(2).integers(0, 65536, (DEPTH, HEIGHT, WIDTH)).astype(np.uint16)
REGIONS = [(slice(0, HEIGHT), slice(0, WIDTH)), (slice(31, 33), slice(15, 49)), (slice(74, 75), slice(0, 103))]
REGIONS += [(slice(16, 64), slice(32, 64)), (slice(60, 75), slice(97, 103)), (slice(0, 1), slice(0, 1))]


def tif(**how: Any) -> Callable[[Path, NDArray[Any]], Path]:
    def write(folder: Path, levels: NDArray[Any]) -> Path:
        tifffile.imwrite(folder / "core.tif", levels, photometric="minisblack", **how)
        return folder / "core.tif"

    return write


def npy(folder: Path, levels: NDArray[Any]) -> Path:
    np.save(folder / "core.npy", levels.astype(">u2"))
    return folder / "core.npy"


def output(name: str) -> Callable[[Path, NDArray[Any]], Path]:
    def write(folder: Path, levels: NDArray[Any]) -> Path:
        with writing(folder / name, shape=levels.shape, dtype=levels.dtype, digest="d", tile=(32, 20)) as writer:
            for tile in writer.todo:
                writer.write(tile, levels[tile.z, tile.y, tile.x])
        return folder / name

    return write


def zarr2(folder: Path, levels: NDArray[Any]) -> Path:
    return stored(folder / "core.zarr", levels, (1, 30, 30), zarr_format=2)


def deep(folder: Path, levels: NDArray[Any]) -> Path:
    return stored(folder / "core.zarr", levels, (8, 30, 30))


def stored(path: Path, levels: NDArray[Any], chunks: tuple[int, int, int], zarr_format: Literal[2, 3] = 3) -> Path:
    array = zarr.create_array(path, shape=levels.shape, dtype=levels.dtype, chunks=chunks, zarr_format=zarr_format)
    array[:] = levels
    return path


def slices(folder: Path, levels: NDArray[Any]) -> Path:
    (folder / "core").mkdir()
    for z, one in enumerate(levels):
        write_slice(folder / "core" / f"{z}.tif", one)
    return folder / "core"


TILES: dict[str, Any] = {"tile": (32, 16)}
STRIPS: dict[str, Any] = {"rowsperstrip": 7}
BY_REGIONS = {
    "mapped": tif(),
    "tiles": tif(**TILES),
    "BigTIFF, big endian": tif(**TILES, bigtiff=True, byteorder=">"),
    "packed tiles": tif(**TILES, compression="zlib", predictor=True),
    "packed strips, big endian": tif(**STRIPS, compression="zlib", byteorder=">"),
    "npy, big endian": npy,
    "mhd": output("core.mhd"),
    "zarr": output("core.zarr"),
    "zarr 2": zarr2,
}
WHOLE = {
    "zarr in deep chunks": deep,
    "one strip": tif(compression="zlib", rowsperstrip=HEIGHT + 1, contiguous=False),
    "folder": slices,
}


@pytest.mark.parametrize("case", BY_REGIONS | WHOLE)
@pytest.mark.parametrize("depth", [1, DEPTH])
def test_a_region_is_that_of_its_slice(tmp_path: Path, case: str, depth: int) -> None:
    volume = open_volume((BY_REGIONS | WHOLE)[case](tmp_path, STACK[:depth]))
    assert volume.by_regions == (case in BY_REGIONS)
    for y, x in REGIONS:
        levels = volume.region(depth - 1, y, x)
        assert levels.dtype == np.uint16
        assert levels.dtype.isnative
        np.testing.assert_array_equal(levels, STACK[depth - 1, y, x])


def test_a_region_of_another_axis_is_that_of_its_slice(tmp_path: Path) -> None:
    for case in ("packed tiles", "mapped", "zarr"):
        folder = tmp_path / case
        folder.mkdir()
        volume = along(open_volume(BY_REGIONS[case](folder, STACK)), "y")
        np.testing.assert_array_equal(volume.region(40, slice(1, 3), slice(5, 50)), STACK[1:3, 40, 5:50])


def test_deep_chunks_are_cut_where_their_slices_are_too_many_to_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = deep(tmp_path, STACK)
    monkeypatch.setattr("coresr_data.formats.zarr.KEPT_SLAB", 1000)
    volume = open_volume(path)
    assert volume.by_regions
    np.testing.assert_array_equal(volume.region(2, slice(3, 60), slice(50, 70)), STACK[2, 3:60, 50:70])


def test_only_the_tiles_asked_for_are_read(tmp_path: Path) -> None:
    path = BY_REGIONS["packed tiles"](tmp_path, STACK[:1])
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        place, count = page.dataoffsets[0], page.databytecounts[0]
    volume = open_volume(path)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * count)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.region(0, slice(32, 60), slice(3, 90)), STACK[0, 32:60, 3:90])
    with pytest.raises(ValueError, match=r"core\.tif must be readable"):
        volume.region(0, slice(31, 60), slice(3, 90))


def test_a_file_that_changed_gives_no_region(tmp_path: Path) -> None:
    for case in ("packed tiles", "mapped"):
        volume = open_volume(BY_REGIONS[case](tmp_path, STACK))
        BY_REGIONS[case](tmp_path, STACK[:2])
        with pytest.raises(ValueError, match="must stay as it is while it is read"):
            volume.region(0, slice(0, 4), slice(0, 4))


def test_a_region_with_nan_is_refused_with_its_place(tmp_path: Path) -> None:
    levels = STACK.astype(np.float32)
    levels[1, 40, 50] = np.nan
    volume = open_volume(BY_REGIONS["packed tiles"](tmp_path, levels))
    volume.region(1, slice(0, 40), slice(0, WIDTH))
    with pytest.raises(
        ValueError, match=r"core\.tif\[1\] .*\(rows 35–45, columns 48–60\).*got 1 bad pixels, the first at y 40, x 50"
    ):
        volume.region(1, slice(35, 45), slice(48, 60))


def test_a_page_in_one_piece_that_lists_too_few_tiles_is_refused_by_them(tmp_path: Path) -> None:
    path = tif(tile=(16, 112))(tmp_path, np.tile(STACK[:1, :64, :56], 2))
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        page.dataoffsets, page.databytecounts = page.dataoffsets[:1], page.databytecounts[:1]
        assert page.is_contiguous  # so that nobody counted them
        levels = tile_levels(page, slice(0, 5), slice(0, 9))
        np.testing.assert_array_equal(levels, STACK[0, :5, :9])
        with pytest.raises(RefusedError, match=r"^have 4 parts, got 1; replace it$"):
            tile_levels(page, slice(20, 30), slice(0, 9))


def test_a_tile_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = BY_REGIONS["tiles"](tmp_path, STACK[:1])
    with tifffile.TiffFile(path) as tiff:
        page: Any = tiff.pages[0]
        page.dataoffsets = (*page.dataoffsets[:-1], path.stat().st_size - 3)
        with pytest.raises(RefusedError, match="must|hold tile 20 whole, got 3"):
            tile_levels(page, slice(64, 75), slice(96, 103))
        page.databytecounts = (2**40, *page.databytecounts[1:])
        with pytest.raises(RefusedError, match="hold tile 0 whole, got .* of 1099511627776 bytes"):
            tile_levels(page, slice(0, 1), slice(0, 1))
