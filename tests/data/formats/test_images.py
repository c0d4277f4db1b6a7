"""Every grey level of a slice arrives, every slice of a folder in its place, and what is written is read back.

What is refused for its pixels is in `test_input_faults.py`.
"""

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coresr_data.formats.images import (
    image_paths,
    look,
    open_image,
    open_sizes,
    open_slices,
    read_slice,
    write_slice,
)

Levels = NDArray[Any]

GREY = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
REAL = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float32)


def dtype_of(value: object) -> str | None:
    return str(value.dtype) if isinstance(value, np.ndarray) else None


def tiff(path: Path, levels: Levels, **options: Any) -> None:
    tifffile.imwrite(path, levels, **{"photometric": "minisblack", **options})


def png(path: Path, levels: Levels, **options: Any) -> None:
    Image.fromarray(levels).save(path, **options)


def test_eight_and_sixteen_bit_pngs_keep_every_level(tmp_path: Path) -> None:
    for levels in (np.arange(256, dtype=np.uint8).reshape(16, 16), np.arange(65536, dtype=np.uint16).reshape(256, 256)):
        png(tmp_path / "a.png", levels)
        read = read_slice(tmp_path / "a.png")
        assert read.dtype == levels.dtype
        np.testing.assert_array_equal(read, levels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("levels", [GREY, DEEP, DEEP.view(np.int16), DEEP.astype(np.uint32) << 8, REAL], ids=dtype_of)
def test_tiffs_keep_every_level_in_their_own_dtype(
    tmp_path: Path, levels: Levels, byteorder: str, compression: str | None
) -> None:
    tiff(tmp_path / "a.tif", levels, byteorder=byteorder, compression=compression)
    read = read_slice(tmp_path / "a.tif")
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_rgb_with_equal_channels_is_grey(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.stack([GREY] * 3, axis=-1)).save(tmp_path / name)
    np.testing.assert_array_equal(read_slice(tmp_path / name), GREY)


@pytest.mark.parametrize("levels", [GREY, DEEP, REAL], ids=dtype_of)
@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_equal_channels_of_a_tiff_are_grey_in_their_own_dtype(
    tmp_path: Path, levels: Levels, planarconfig: str
) -> None:
    channels = np.stack([levels] * 3, axis=-1 if planarconfig == "contig" else 0)
    tifffile.imwrite(tmp_path / "a.tif", channels, photometric="rgb", planarconfig=planarconfig)
    read = read_slice(tmp_path / "a.tif")
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)


def test_a_slice_of_an_ome_set_of_one_file_each_is_read(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0"?><OME><Image><Pixels SizeX="24" SizeY="20" SizeZ="9" SizeC="1" SizeT="1">'
        '<TiffData IFD="0" FirstZ="4"><UUID FileName="b.tif">urn:uuid:1</UUID></TiffData></Pixels></Image></OME>'
    )
    tiff(tmp_path / "a.tif", DEEP, description=text, metadata=None)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif"), DEEP)


def test_an_eight_bit_bmp_keeps_every_level(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    png(tmp_path / "a.bmp", levels)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.bmp"), levels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_gives_what_its_decoder_gives(tmp_path: Path, channels: int) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(48)).astype(np.uint8)
    image = Image.fromarray(smooth if channels == 1 else np.stack([smooth] * 3, axis=-1))
    image.save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("L"))
    read = read_slice(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read, expected)
    assert np.abs(read.astype(int) - smooth).max() <= 3


# Compressed TIFFs, with imagecodecs and without

SIGNED, LONG, DOUBLE = DEEP.view(np.int16), DEEP.astype(np.uint32) << 16, REAL.astype(np.float64)


@pytest.mark.parametrize("levels", [GREY, DEEP, SIGNED, LONG, REAL, DOUBLE], ids=dtype_of)
@pytest.mark.parametrize(
    ("compression", "predictor"),
    [("lzw", False), ("lzw", True), ("zstd", False), ("zstd", True), ("packbits", False)],
)
def test_compressed_tiffs_keep_every_level(tmp_path: Path, levels: Levels, compression: str, predictor: bool) -> None:
    pytest.importorskip("imagecodecs")
    tiff(tmp_path / "a.tif", levels, compression=compression, predictor=predictor)
    read = read_slice(tmp_path / "a.tif")
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)


WITHOUT = """
import sys
sys.modules["imagecodecs"] = None  # as if it were not installed
import pathlib
import numpy as np
from coresr_data.formats.images import read_slice
from coresr_data.formats.tiff import open_tiff
for path in map(pathlib.Path, sys.argv[1:]):
    try:
        levels = read_slice(path) if path.stem != "stack" else open_tiff(path)[1]
        np.save(path.with_suffix(".npy"), levels)
    except ValueError as error:
        print(path.name, type(error).__name__, error.exit_code, error)
"""


def test_without_imagecodecs_pillow_reads_what_it_reads_exactly_and_the_extra_is_named_for_the_rest(
    tmp_path: Path,
) -> None:
    pytest.importorskip("imagecodecs")
    grey: dict[str, Levels] = {"u1": GREY, "u2": DEEP, "i2": SIGNED, "u4": LONG, "f4": REAL, "f8": DOUBLE}
    for name, levels in grey.items():
        tiff(tmp_path / f"lzw_{name}.tif", levels, compression="lzw")
    tiff(tmp_path / "zlib_predicted_u2.tif", DEEP, compression="zlib", predictor=True)
    tiff(tmp_path / "zlib_predicted_f4.tif", REAL, compression="zlib", predictor=True)
    tiff(tmp_path / "lzma_u1.tif", GREY, compression="jpegxl")
    tiff(tmp_path / "rgb_u1.tif", np.stack([GREY] * 3, axis=-1), photometric="rgb", compression="lzw")
    tiff(tmp_path / "rgb_u2.tif", np.stack([DEEP] * 3, axis=-1), photometric="rgb", compression="lzw")
    tiff(tmp_path / "stack.tif", np.stack([255 - GREY, GREY]), compression="lzw")
    paths = sorted(tmp_path.glob("*.tif"))
    done = subprocess.run([sys.executable, "-c", WITHOUT, *map(str, paths)], capture_output=True, text=True, check=True)
    refused = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert set(refused) == {"lzma_u1.tif", "lzw_f8.tif", "rgb_u2.tif"}
    for line in refused.values():
        assert "MissingExtraError 69 reading compressed TIFF must have imagecodecs, got none; " in line
        assert line.endswith('pip install "coresr-data[tiff]"')
    by_dtype = grey | {"stack": GREY}
    for path in {path for path in paths if path.name not in refused}:
        read, levels = np.load(path.with_suffix(".npy")), by_dtype[path.stem.rpartition("_")[2]]
        assert read.dtype == levels.dtype
        np.testing.assert_array_equal(read, levels, err_msg=path.name)


def test_a_slice_read_alone_is_checked_for_nan(tmp_path: Path) -> None:
    levels = REAL.copy()
    levels[3, 5] = np.nan
    tiff(tmp_path / "a.tif", levels)
    with pytest.raises(
        ValueError, match=r"^slice .*a\.tif must hold finite levels, got 1 bad pixels, the first at y 3, x 5"
    ):
        read_slice(tmp_path / "a.tif")


def test_pillow_is_told_the_one_format_it_may_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    really = Image.open

    def noted(path: Any, **options: Any) -> Any:
        told.append(options["formats"])
        return really(path, **options)

    monkeypatch.setattr(Image, "open", noted)
    for name in ("a.png", "a.bmp", "a.jpg"):
        png(tmp_path / name, GREY)
        read_slice(tmp_path / name)
    assert told == [("PNG",), ("BMP",), ("JPEG",)]


def test_what_tifffile_logs_elsewhere_is_no_fault_of_this_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiff(tmp_path / "a.tif", GREY)
    really = tifffile.TiffPage.asarray

    def beside_another(self: Any) -> Any:
        other = threading.Thread(target=logging.getLogger("tifffile").error, args=("another file is broken",))
        other.start()
        other.join()
        return really(self)

    monkeypatch.setattr(tifffile.TiffPage, "asarray", beside_another)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif"), GREY)


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a\.png, which is not there"):
        read_slice(tmp_path / "a.png")


# Folders


def save(folder: Path, *names: str) -> None:
    for level, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_slice(path, np.full((4, 6), level, np.uint8))


def test_slices_are_ordered_by_the_last_number_of_their_names(tmp_path: Path) -> None:
    save(tmp_path, "core2_10.png", "core2_9.tif", "core2_0100.TIFF")
    volume = open_slices(tmp_path)
    assert volume.numbers == (9, 10, 100)
    assert volume.names == ("core2_9.tif", "core2_10.png", "core2_0100.TIFF")
    assert volume.sources == tuple(tmp_path / name for name in volume.names)
    assert [int(volume[i][0, 0]) for i in range(len(volume))] == [1, 0, 2]
    assert (volume.core, volume.size, volume.dtype) == (tmp_path.name, (4, 6), np.dtype("uint8"))


def test_names_without_numbers_are_counted_in_order(tmp_path: Path) -> None:
    save(tmp_path, "b.png", "a.png", "c.png")
    assert open_slices(tmp_path).numbers == (0, 1, 2)
    assert int(open_slices(tmp_path)[0][0, 0]) == 1


def test_a_name_without_a_number_among_numbers_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "overview.png")
    with pytest.raises(ValueError, match=r"as many numbers, got .*overview\.png with 0 where most hold 1; rename or"):
        open_slices(tmp_path)


def test_two_slices_of_one_number_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "a_1.png", "a_001.tif")
    with pytest.raises(ValueError, match=r"unique, got 1 in both .*a_001\.tif and .*a_1\.png; rename one"):
        open_slices(tmp_path)


def test_the_folder_one_stands_in_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, "1.png")
    monkeypatch.chdir(tmp_path)
    assert open_slices(Path()).core == tmp_path.name


def test_hidden_files_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, "1.png", ".2.png", "3.png/4.png")
    (tmp_path / "notes.txt").write_text("5")
    assert [path.name for path in image_paths(tmp_path)] == ["1.png"]


def test_a_slice_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    write_slice(tmp_path / "2.png", np.zeros((6, 4), np.uint8))
    volume = open_slices(tmp_path)
    match = r"^slice 2\.png in .* must be 4×6 uint8 like 1\.png, got 6×4 uint8; remove it, or crop or convert it to m"
    with pytest.raises(ValueError, match=match):
        volume[1]


def test_a_slice_of_another_dtype_is_refused_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    write_slice(tmp_path / "2.png", np.zeros((4, 6), np.uint16))
    with pytest.raises(ValueError, match=r"^slice 2\.png in .* must be 4×6 uint8 like 1\.png, got 4×6 uint16; "):
        open_slices(tmp_path)[1]


def test_only_the_first_header_is_read_before_a_slice_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").write_bytes(b"")
    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
        volume = open_slices(tmp_path)
    volume[0]
    with pytest.raises(ValueError, match=r"2\.png"):
        volume[1]


# Folders of several sizes


def test_a_folder_of_several_sizes_is_one_volume_a_size_with_one_core_and_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, size in enumerate([(4, 6), (8, 6), (4, 6), (6, 4)]):
        write_slice(tmp_path / f"{number}.{'png' if number % 2 else 'tif'}", np.full(size, number, np.uint8))
    with monkeypatch.context() as patched:
        patched.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
        patched.setattr("tifffile.TiffPage.asarray", lambda _: pytest.fail("decoded"))
        volumes = open_sizes(tmp_path)
    assert {volume.core for volume in volumes} == {tmp_path.name}
    assert [(v.size, v.numbers, v.names) for v in volumes] == [
        ((4, 6), (0, 2), ("0.tif", "2.tif")),
        ((8, 6), (1,), ("1.png",)),
        ((6, 4), (3,), ("3.png",)),
    ]
    for volume in volumes:
        assert [int(volume[i][0, 0]) for i in range(len(volume))] == [*volume.numbers]


def test_the_first_slice_of_a_size_says_the_dtype_of_the_others(tmp_path: Path) -> None:
    write_slice(tmp_path / "1.png", GREY, voxel_um=(2, 2))
    write_slice(tmp_path / "2.png", DEEP, voxel_um=(2, 2))
    (volume,) = open_sizes(tmp_path)
    assert (volume.dtype, volume.voxel_um) == (np.dtype("uint8"), (2, 2, 2))
    with pytest.raises(ValueError, match=r"^slice 2\.png in .* must be 20×24 uint8 like 1\.png, got 20×24 uint16; "):
        volume[1]


def test_a_folder_of_one_size_is_one_volume(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "2.png")
    (volume,) = open_sizes(tmp_path)
    assert (volume.numbers, volume.size) == ((1, 2), (4, 6))


def test_names_and_links_are_refused_among_several_sizes_too(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "1.tif")
    with pytest.raises(ValueError, match="^names must differ in more than suffix, case or Unicode form, got"):
        open_sizes(tmp_path)
    (tmp_path / "1.tif").unlink()
    (tmp_path / "2.png").symlink_to(Path(__file__))
    with pytest.raises(ValueError, match="--allow-external-links"):
        open_sizes(tmp_path)


def test_a_single_image_is_a_volume_of_one_slice_called_after_its_file(tmp_path: Path) -> None:
    write_slice(tmp_path / "plug7.png", GREY, voxel_um=(2, 2))
    volume = open_image(tmp_path / "plug7.png")
    assert (volume.core, volume.names, volume.numbers, volume.voxel_um) == ("plug7", ("plug7.png",), (0,), (2, 2, 2))
    np.testing.assert_array_equal(volume[0], GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.jpg"])
def test_a_header_says_size_and_dtype_before_anything_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(GREY).save(tmp_path / name)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    monkeypatch.setattr("tifffile.TiffPage.asarray", lambda _: pytest.fail("decoded"))
    header = look(tmp_path / name)
    assert (header.size, str(header.dtype), header.voxel_um) == ((20, 24), "uint8", None)


def test_missing_and_empty_folders_are_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^slices must be a folder, got .*nowhere, which is not there$"):
        open_slices(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"^folder must hold PNG, TIFF, BMP or JPEG slices, got .* with none; name another"
    ):
        open_slices(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match=r"got .*file, which is a file$"):
        open_slices(tmp_path / "file")


# Writing


@pytest.mark.parametrize(
    ("name", "levels"),
    [
        ("a.png", GREY),
        ("a.png", DEEP),
        ("a.tif", GREY),
        ("a.TIFF", DEEP),
        ("a.tif", REAL),
        ("a.tif", SIGNED),
        ("a.tif", DOUBLE),
    ],
    ids=dtype_of,
)
def test_what_is_written_is_what_is_read(tmp_path: Path, name: str, levels: Levels) -> None:
    write_slice(tmp_path / name, levels)
    read = read_slice(tmp_path / name)
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_slice_is_flushed_to_the_disk_before_it_appears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    there: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda _: there.append((tmp_path / name).exists()))
    write_slice(tmp_path / name, GREY)
    assert there == [False]


def test_an_older_slice_is_replaced(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.png", GREY)
    write_slice(tmp_path / "a.png", 255 - GREY)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), 255 - GREY)


@pytest.mark.parametrize(
    ("name", "levels", "reason"),
    [
        ("a.jpg", GREY, r"output must end in \.png, \.tif, \.tiff, got .*a\.jpg"),
        ("a", GREY, r"output must end in \.png"),
        ("a.png", REAL, r"output must be a TIFF for float32 levels, got .*a\.png; PNG holds 8 and 16 bit"),
        ("a.png", DEEP.view(np.int16), r"output must be a TIFF for int16 levels"),
        ("a.png", np.stack([GREY] * 3, axis=-1), r"levels must be \(y, x\), got shape \(20, 24, 3\) for .*a\.png"),
        ("a.tif", GREY[None], r"levels must be \(y, x\), got shape \(1, 20, 24\) for .*a\.tif"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, levels: Levels, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        write_slice(tmp_path / name, levels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "encoder"), [("a.png", "PIL.Image.Image.save"), ("a.tif", "tifffile.imwrite")])
def test_a_write_that_fails_leaves_the_older_file_and_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, encoder: str
) -> None:
    write_slice(tmp_path / name, GREY)

    def full(*arguments: Any, **_: Any) -> None:
        aside = next(a for a in arguments if isinstance(a, Path))
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encoder, full)
    with pytest.raises(OSError, match="No space left"):
        write_slice(tmp_path / name, DEEP)
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(read_slice(tmp_path / name), GREY)


# Voxels


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("voxel", [(2.23, 2.23), (0.0123457, 0.0123457), (430.123, 430.123), (254.0, 254.0)])
def test_a_voxel_that_is_written_is_read_to_six_digits(tmp_path: Path, name: str, voxel: tuple[float, float]) -> None:
    write_slice(tmp_path / name, DEEP, voxel_um=voxel)
    np.testing.assert_array_equal(read_slice(tmp_path / name), DEEP)
    found = look(tmp_path / name).voxel_um
    assert found is not None
    np.testing.assert_allclose(found, (voxel[0], *voxel), rtol=1e-6, atol=0)


@pytest.mark.parametrize("levels", [GREY, DEEP, SIGNED, LONG, REAL, DOUBLE], ids=dtype_of)
def test_a_tiff_with_a_voxel_keeps_every_level_and_shows_it_to_imagej(tmp_path: Path, levels: Levels) -> None:
    write_slice(tmp_path / "a.tif", levels, voxel_um=(3.0, 2.0))
    np.testing.assert_array_equal(read_slice(tmp_path / "a.tif"), levels)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert (file.imagej_metadata or {})["unit"] == "micron"
        tags = file.pages.first.tags
        assert [tag.name for tag in tags].count("ImageDescription") == 1
        assert tags["ResolutionUnit"].value == 1
        assert (tags["XResolution"].value, tags["YResolution"].value) == ((1, 2), (1, 3))


def test_a_png_shows_its_voxel_to_everybody_in_pixels_a_metre(tmp_path: Path) -> None:
    write_slice(tmp_path / "a.png", GREY, voxel_um=(4.0, 2.0))
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_allclose(image.info["dpi"], (0.0254 / 2e-6, 0.0254 / 4e-6))


@pytest.mark.parametrize("voxel", [(0.0, 1.0), (1.0, np.nan), (-1.0, 1.0), (1.0, 1e9)])
def test_a_voxel_that_cannot_be_is_not_written(tmp_path: Path, voxel: tuple[float, float]) -> None:
    for name in ("a.png", "a.tif"):
        with pytest.raises(ValueError, match=r"voxel_um must be two sides of 0\.001 to 100000 µm, got"):
            write_slice(tmp_path / name, GREY, voxel_um=voxel)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_has_the_voxel_of_its_slices(tmp_path: Path) -> None:
    for name in ("1.png", "2.tif", "3.png"):
        write_slice(tmp_path / name, GREY, voxel_um=(430.0, 430.0))
    volume = open_slices(tmp_path)
    assert volume.voxel_um == (430.0, 430.0, 430.0)
    for index in range(3):
        np.testing.assert_array_equal(volume[index], GREY)


def test_a_slice_of_another_voxel_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write_slice(tmp_path / "1.png", GREY, voxel_um=(2.0, 2.0))
    write_slice(tmp_path / "2.tif", GREY, voxel_um=(2.01, 2.01))
    volume = open_slices(tmp_path)
    match = r"^slice .*2\.tif must have voxels of 2×2×2 µm like most of its core, got 2\.01×2\.01×2\.01 µm; res"
    with pytest.raises(ValueError, match=match):
        volume[1]


def test_the_real_sandstone_reads_as_pillow_reads_it(real_data: Path) -> None:
    volume = open_slices(real_data / "sandstone-versa" / "slices")
    assert volume.numbers == (0, 50, 100, 150, 180, 200, 250, 300, 400)
    assert (volume.size, str(volume.dtype), volume.voxel_um) == ((576, 576), "uint8", None)
    np.testing.assert_array_equal(volume[3], np.asarray(Image.open(volume.source(3)).convert("L")))
