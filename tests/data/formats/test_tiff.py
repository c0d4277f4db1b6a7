"""Stacks of every kind of TIFF, held against the array that was written and against tifffile's own reading."""

import os
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coresr_data.formats import tiff as tiff_module
from coresr_data.formats.page import directories
from coresr_data.formats.tiff import open_tiff
from coresr_data.volume import along

Levels = NDArray[Any]
STACK = np.random.default_rng(0).integers(0, 65536, (5, 20, 24), dtype=np.uint16)


def write(path: Path, levels: Levels = STACK, **options: Any) -> Path:
    tifffile.imwrite(path, levels, **({} if options.get("imagej") else {"photometric": "minisblack"}) | options)
    return path


MAPPED: dict[str, dict[str, Any]] = {
    "plain": {},
    "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "big endian BigTIFF": {"byteorder": ">", "bigtiff": True},
    "without a text": {"metadata": None},
    "one page, the others behind it": {"truncate": True},
    "one page with a depth": {"volumetric": True},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "ImageJ, slices saved as frames": {"imagej": True, "metadata": {"axes": "TYX"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
}
DECODED: dict[str, dict[str, Any]] = {
    "deflate": {"compression": "zlib"},
    "deflate, predicted": {"compression": "zlib", "predictor": True},
    "big endian deflate": {"compression": "zlib", "byteorder": ">"},
    "strips": {"rowsperstrip": 3},
    "tiles": {"tile": (16, 16)},
    "ImageJ, deflate": {"imagej": True, "compression": "zlib", "metadata": {"axes": "ZYX"}},
    "one page with a depth, in tiles": {"volumetric": True, "tile": (16, 16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("case", MAPPED | DECODED)
def test_a_stack_is_read_as_it_was_written(tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "core.tif", **(MAPPED | DECODED)[case])
    volume = open_tiff(path)
    assert (volume.core, volume.numbers, volume.size) == ("core", (0, 1, 2, 3, 4), (20, 24))
    assert volume.dtype == np.uint16
    assert (volume.names[2], volume.sources) == ("core.tif[2]", (path,))
    assert (volume.array is not None) == (case in MAPPED)
    for index in (4, 0, 2, -1):
        assert volume[index].dtype.isnative
        np.testing.assert_array_equal(volume[index], STACK[index])
    np.testing.assert_array_equal(along(volume, "x")[3], STACK[:, :, 3])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_keeps_its_dtype(tmp_path: Path, dtype: str, compression: str | None) -> None:
    levels = STACK.astype(dtype) if dtype != "f2" else (STACK % 1000).astype(dtype)
    volume = open_tiff(write(tmp_path / "a.tif", levels, compression=compression))
    assert volume.dtype == dtype
    np.testing.assert_array_equal(volume[3], levels[3])


def test_pages_with_their_headers_between_them_are_mapped_too(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for levels in STACK:
            file.write(levels, contiguous=False, photometric="minisblack")
    volume = open_tiff(tmp_path / "a.tif")
    assert volume.array is not None
    np.testing.assert_array_equal(volume.array, STACK)


def test_pages_at_uneven_distances_are_read_one_by_one(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for index, levels in enumerate(STACK):
            file.write(levels, contiguous=False, photometric="minisblack", description="x" * 40 * index, metadata=None)
    volume = open_tiff(tmp_path / "a.tif")
    assert volume.array is None
    for index, levels in enumerate(STACK):
        np.testing.assert_array_equal(volume[index], levels)


def test_a_stack_whose_last_page_is_cut_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for levels in STACK:
            file.write(levels, contiguous=False, photometric="minisblack", metadata=None)
    os.truncate(tmp_path / "a.tif", (tmp_path / "a.tif").stat().st_size - 10)
    with pytest.raises(ValueError, match=r"a\.tif must "):
        open_tiff(tmp_path / "a.tif")[4]


def test_imagej_may_say_the_number_of_its_images_alone(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        tifffile.imwrite(file, STACK, photometric="minisblack", description="ImageJ=1\nimages=5\n", metadata=None)
    one = write(tmp_path / "b.tif", STACK[0], description="ImageJ=1.53t\nimages=5\n", metadata=None)
    with one.open("ab") as file:
        file.write(STACK[1:].tobytes())
    for path in (tmp_path / "a.tif", one):
        volume = open_tiff(path)
        assert len(volume) == 5
        np.testing.assert_array_equal(volume[0], STACK[0])


def test_a_page_with_a_depth_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = open_tiff(write(tmp_path / "a.tif", volumetric=True, tile=(16, 16, 16), compression="zlib"))
    decoded: list[int] = []
    really = tifffile.TiffPage.asarray

    def noted(self: Any) -> Any:
        decoded.append(1)
        return really(self)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", noted)
    for index in range(5):
        np.testing.assert_array_equal(volume[index], STACK[index])
    assert decoded == [1]


def test_lzw_pages_are_read(tmp_path: Path) -> None:
    first, *others = (Image.fromarray(levels) for levels in STACK)
    first.save(tmp_path / "a.tif", save_all=True, append_images=others, compression="tiff_lzw")
    volume = open_tiff(tmp_path / "a.tif")
    for index, levels in enumerate(STACK):
        np.testing.assert_array_equal(volume[index], levels)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_pages_of_equal_channels_are_grey(tmp_path: Path, planarconfig: str) -> None:
    levels = np.stack([STACK] * 3, axis=-1 if planarconfig == "contig" else 1)
    volume = open_tiff(write(tmp_path / "a.tif", levels, photometric="rgb", planarconfig=planarconfig))
    np.testing.assert_array_equal(volume[4], STACK[4])
    levels[(4, 0, 0, 1) if planarconfig == "contig" else (4, 1, 0, 0)] ^= 1
    volume = open_tiff(write(tmp_path / "a.tif", levels, photometric="rgb", planarconfig=planarconfig))
    np.testing.assert_array_equal(volume[3], STACK[3])
    with pytest.raises(ValueError, match=r"^page 4 of .*a\.tif must be grey, got RGB whose channels differ; choose"):
        volume[4]


def test_a_single_page_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    volume = open_tiff(write(tmp_path / "a.tif", STACK[0]))
    assert (len(volume), volume.size) == (1, (20, 24))
    np.testing.assert_array_equal(volume[0], STACK[0])


VOXELS: dict[str, tuple[dict[str, Any], tuple[float, float, float] | None]] = {
    "ImageJ": (
        {"imagej": True, "resolution": (1 / 2.23, 1 / 2.5), "metadata": {"axes": "ZYX", "spacing": 4.5, "unit": "um"}},
        (4.5, 2.5, 2.23),
    ),
    "ImageJ in millimetres": (
        {"imagej": True, "resolution": (100, 100), "metadata": {"axes": "ZYX", "unit": "mm"}},
        (10, 10, 10),
    ),
    "OME": (
        {
            "ome": True,
            "metadata": {"axes": "ZYX", "PhysicalSizeX": 2, "PhysicalSizeY": 3, "PhysicalSizeZ": 0.004}
            | {"PhysicalSizeZUnit": "mm"},
        },
        (4, 3, 2),
    ),
    "nobody": ({}, None),
    "dots per inch": ({"resolution": (11389.6, 11389.6), "resolutionunit": "INCH"}, None),
    "pixels per centimetre": ({"resolution": (4000, 4000), "resolutionunit": "CENTIMETER"}, (2.5, 2.5, 2.5)),
}


@pytest.mark.parametrize("case", VOXELS)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_the_voxel_is_the_files_in_micrometres(tmp_path: Path, case: str, compression: str | None) -> None:
    options, expected = VOXELS[case]
    found = open_tiff(write(tmp_path / "a.tif", compression=compression, **options)).voxel_um
    if expected is None or found is None:
        assert found is expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def two_sizes(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0], photometric="minisblack")
        file.write(STACK[0, :10], photometric="minisblack")


def two_dtypes(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        file.write(STACK[0], photometric="minisblack")
        file.write(STACK[0].astype(np.uint8), photometric="minisblack")


def ome(path: Path, text: str, pages: int = 5) -> None:
    text = f'<?xml version="1.0"?><OME><Image><Pixels SizeX="24" SizeY="20" {text}</Image></OME>'
    write(path, STACK[:pages], description=text, metadata=None)


def pages_with_a_depth(path: Path) -> None:
    with tifffile.TiffWriter(path) as file:
        for _ in range(2):
            file.write(STACK, volumetric=True, tile=(16, 16, 16), photometric="minisblack", metadata=None)


def shortened(path: Path, **options: Any) -> None:
    write(path, **options)
    os.truncate(path, path.stat().st_size - STACK[0].nbytes)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "pages of two sizes": (two_sizes, "pages of one size and kind, got several; write each to a file of its own"),
    "pages of two dtypes": (two_dtypes, "pages of one size and kind, got several; write each to a file of its own"),
    "ImageJ's channels": (
        lambda p: write(p, imagej=True, metadata={"axes": "CYX"}),
        "be grey, got 5 channels; write one channel a file",
    ),
    "OME's channels": (lambda p: write(p, ome=True, metadata={"axes": "CYX"}), "be grey, got 5 channels; write one"),
    "a hyperstack": (
        lambda p: write(p, np.stack([STACK, STACK]), imagej=True, metadata={"axes": "TZYX"}),
        "one axis beside y and x, got .* slices.*; write one volume a file",
    ),
    "two axes of an array": (
        lambda p: write(p, np.stack([STACK, STACK])),
        "one axis beside y and x, got 2 along axis 0, 5 along axis 1; write one volume a file",
    ),
    "an OME set of several files": (
        lambda p: ome(p, 'SizeZ="9" SizeT="1" SizeC="1"/>'),
        "have 9 pages as its text says, got 5; replace it",
    ),
    "more pages than OME says": (lambda p: ome(p, 'SizeZ="3"/>'), "have 3 pages as its text says, got 5; replace it"),
    "OME's pages in another order": (
        lambda p: ome(p, 'SizeZ="2"><TiffData IFD="1" FirstZ="0"/><TiffData IFD="0" FirstZ="1"/></Pixels>', 2),
        "pages in the order of its slices, got another in its OME text; save it anew",
    ),
    "fewer pages than ImageJ says": (
        lambda p: write(p, STACK[:4], description="ImageJ=1.53t\nimages=5\nslices=5\n", metadata=None),
        "have 5 pages as its text says, got 4; replace it",
    ),
    "a compressed page that says it is five": (
        lambda p: write(
            p, STACK[0], description="ImageJ=1.53t\nimages=5\nslices=5\n", metadata=None, compression="zlib"
        ),
        "have 5 pages as its text says, got one; save it uncompressed",
    ),
    "pages with a depth": (
        pages_with_a_depth,
        "have pages or a depth, got 2 pages of depth 5; write one volume a file",
    ),
    "more slices than names fit": (
        lambda p: write(
            p,
            np.zeros((100_001, 1, 1), np.uint8),
            description="ImageJ=1.53t\nimages=100001\n",
            metadata=None,
            truncate=True,
        ),
        "at most 100000 slices, got 100001; cut it into several volumes",
    ),
    "a stack behind one page, cut": (lambda p: shortened(p, truncate=True), "hold 5 slices of 960 bytes, got"),
    "palette": (lambda p: Image.fromarray(STACK[0].astype(np.uint8)).convert("P").save(p), "got palette; convert"),
    "rotated": (lambda p: write(p, extratags=[(274, 3, 1, 6, True)]), "stored upright, got EXIF orientation 6"),
    "no tiff": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "be a TIFF, got another kind of file"),
    "empty": (lambda p: p.write_bytes(b""), "be a TIFF, got another kind of file"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_plainly_a_grey_stack_is_refused_by_name(tmp_path: Path, case: str) -> None:
    write_bad, reason = BAD[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_bad(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=reason) as refusal:
        open_tiff(tmp_path / "a.tif")
    assert str(refusal.value).startswith(f"TIFF stack {tmp_path / 'a.tif'} must ")


@pytest.mark.parametrize(("orientation", "refused"), [(6, True), (1, False)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_an_orientation_of_a_later_page_is_seen(
    tmp_path: Path, compression: str | None, orientation: int, refused: bool
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for tags in ([], [(274, 3, 1, orientation, True)]):
            writer.write(STACK[0], contiguous=False, compression=compression, extratags=tags, metadata=None)
    if refused:
        with pytest.raises(ValueError, match=r"a\.tif must have pages of one size and kind, got several; write each"):
            open_tiff(tmp_path / "a.tif")
    else:
        np.testing.assert_array_equal(open_tiff(tmp_path / "a.tif")[1], STACK[0])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"metadata": None}])
def test_a_stack_cut_anywhere_is_refused_and_never_filled(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.tif", **options)
    data = path.read_bytes()
    for length in range(0, len(data), 997):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.tif"):
            for index in range(5):
                np.testing.assert_array_equal(open_tiff(path)[index], STACK[index])


def test_a_missing_stack_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^TIFF stack must be a file, got .*a\.tif, which is not there$"):
        open_tiff(tmp_path / "a.tif")


def test_other_files_that_the_text_names_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "other.tif", STACK[1])
    text = '<UUID FileName="other.tif">urn:uuid:1</UUID>'
    ome(tmp_path / "a.tif", f'SizeZ="2"><TiffData FirstZ="1">{text}</TiffData></Pixels>', 2)
    opened: list[str] = []
    really = tifffile.TiffFile.__init__

    def noted(self: Any, file: Any, *arguments: Any, **options: Any) -> None:
        opened.append(Path(file).name)
        really(self, file, *arguments, **options)

    monkeypatch.setattr(tifffile.TiffFile, "__init__", noted)
    volume = open_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume[1], STACK[1])
    assert set(opened) == {"a.tif"}


# Limits


def test_a_stack_of_2000_pages_is_opened_by_its_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.zeros((2000, 8, 8), np.uint8)
    levels[1234] = 7
    path = write(tmp_path / "a.tif", levels, compression="zlib", metadata=None)
    with monkeypatch.context() as patched:
        patched.setattr(tifffile.TiffPage, "asarray", lambda *_: pytest.fail("decoded"))
        start = time.perf_counter()
        volume = open_tiff(path)
        assert time.perf_counter() - start < 0.5
    assert (len(volume), volume.array) == (2000, None)
    np.testing.assert_array_equal(volume[1234], levels[1234])


def test_more_pages_than_allowed_are_refused_unless_they_are_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_module, "MOST_FRAMES", 4)
    assert len(open_tiff(write(tmp_path / "a.tif"))) == 5
    write(tmp_path / "a.tif", compression="zlib")
    with pytest.raises(ValueError, match="at most 4 pages where they cannot be mapped, got 5; save it uncompressed"):
        open_tiff(tmp_path / "a.tif")


def test_a_slice_of_20000_squared_is_mapped_whatever_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.zeros((16, 16), np.uint8))
    header = bytearray(path.read_bytes()[:-256])
    with tifffile.TiffFile(path) as file:
        tags = file.pages.first.tags
        at = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength", "RowsPerStrip", "StripByteCounts")]
    for place, value in zip(at, (20000, 20000, 20000, 20000**2), strict=True):
        header[place : place + 4] = struct.pack("<I", value)
    path.write_bytes(header)
    os.truncate(path, len(header) + 20000**2)  # a hole, which takes no place on the disk
    start = time.perf_counter()
    volume = open_tiff(path)
    assert time.perf_counter() - start < 0.5
    assert volume.size == (20000, 20000)
    assert volume.array is not None
    assert not volume.array[0, 12345].any()


def test_a_directory_is_read_by_its_entries_alone(tmp_path: Path) -> None:
    for big in (False, True):
        pages = directories(write(tmp_path / "a.tif", bigtiff=big))
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            assert [page.offset for page in pages] == [page.offset for page in file.pages]
            assert [page.strip for page in pages] == [page.dataoffsets[0] for page in file.pages]


# Real stacks


@pytest.mark.parametrize("name", ["lr_6um", "hr_2um"])
def test_the_real_bentheimer_pair_reads_as_tifffile_reads_it(real_data: Path, name: str) -> None:
    path = real_data / "bentheimer-pair" / f"{name}.tif"
    volume, expected = open_tiff(path), tifffile.imread(path)
    assert (len(volume), *volume.size) == expected.shape
    for index in (0, 7, len(volume) - 1):
        np.testing.assert_array_equal(volume[index], expected[index])
