"""Every file that is not plainly a grey slice is refused by name; every grey level of the others arrives."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coresr_data.volume import image_paths, open_slices, read_slice, write_slice

MakeCore = Callable[..., Path]
Levels = NDArray[Any]

GREY = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
REAL = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float32)


def tiff(path: Path, levels: Levels, **options: Any) -> None:
    tifffile.imwrite(path, levels, **{"photometric": "minisblack", **options})


def png(path: Path, levels: Levels, **options: Any) -> None:
    Image.fromarray(levels).save(path, **options)


def png_rgb16(path: Path, levels: Levels) -> None:
    """A 16-bit RGB PNG, which Pillow reads (as 8 bit) but does not write."""
    height, width, _ = levels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(">u2"))
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def patched_tiff(path: Path, **tags: int) -> None:
    """A small TIFF whose header lies."""
    tiff(path, GREY)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name, value in tags.items():
            at = file.pages.first.tags[name].valueoffset
            data[at : at + 4] = struct.pack("<I", value)
    path.write_bytes(data)


def test_eight_and_sixteen_bit_pngs_keep_every_level(tmp_path: Path) -> None:
    for levels in (np.arange(256, dtype=np.uint8).reshape(16, 16), np.arange(65536, dtype=np.uint16).reshape(256, 256)):
        png(tmp_path / "a.png", levels)
        read = read_slice(tmp_path / "a.png")
        assert read.dtype == levels.dtype
        np.testing.assert_array_equal(read, levels)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("levels", [GREY, DEEP, DEEP.view(np.int16), DEEP.astype(np.uint32) << 8, REAL], ids=str)
def test_tiffs_keep_every_level_in_their_own_dtype(
    tmp_path: Path, levels: Levels, byteorder: str, compression: str | None
) -> None:
    tiff(tmp_path / "a.tif", levels, byteorder=byteorder, compression=compression)
    read = read_slice(tmp_path / "a.tif")
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)


@pytest.mark.parametrize("levels", [GREY, DEEP, REAL], ids=str)
def test_lzw_tiffs_are_read_too(tmp_path: Path, levels: Levels) -> None:
    Image.fromarray(levels).save(tmp_path / "a.tif", compression="tiff_lzw")
    read = read_slice(tmp_path / "a.tif")
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)


def test_the_content_decides_under_a_png_name(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", GREY)
    (tmp_path / "a.tif").rename(tmp_path / "a.png")
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), GREY)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_rgb_with_equal_channels_is_grey(tmp_path: Path, name: str) -> None:
    Image.fromarray(np.stack([GREY] * 3, axis=-1)).save(tmp_path / name)
    np.testing.assert_array_equal(read_slice(tmp_path / name), GREY)


def colour() -> NDArray[np.uint8]:
    image = np.stack([GREY] * 3, axis=-1)
    image[3, 4, 2] ^= 1
    return image


def animated(path: Path) -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(path, save_all=True, append_images=[second])


def rotated_png(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    png(path, GREY, exif=exif)


def cut(path: Path, keep: float) -> None:
    png(path, GREY) if path.suffix == ".png" else tiff(path, GREY)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])


def holed(value: float) -> Levels:
    levels = REAL.copy()
    levels[3, 5] = levels[7, 1] = value
    return levels


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "colour png": ("a.png", lambda p: png(p, colour()), "grey, got RGB whose channels differ; choose"),
    "colour tiff": ("a.tif", lambda p: tiff(p, colour(), photometric="rgb"), "grey, got RGB whose channels differ"),
    "rgb of 16 bit, which Pillow would cut to 8": (
        "a.png",
        lambda p: png_rgb16(p, np.stack([DEEP] * 3, axis=-1)),
        "got 16 bit RGB; convert it to 16 bit grey",
    ),
    "palette png": ("a.png", lambda p: Image.fromarray(GREY).convert("P").save(p), "got mode P; convert"),
    "palette tiff": ("a.tif", lambda p: Image.fromarray(GREY).convert("P").save(p), "got palette; convert"),
    "rgba png": ("a.png", lambda p: Image.fromarray(GREY).convert("RGBA").save(p), "got mode RGBA; convert"),
    "rgba tiff": ("a.tif", lambda p: Image.fromarray(GREY).convert("RGBA").save(p), r"got shape \(20, 24, 4\)"),
    "grey with alpha": ("a.png", lambda p: Image.fromarray(GREY).convert("LA").save(p), "got mode LA; convert"),
    "a transparent level": (
        "a.png",
        lambda p: png(p, GREY, transparency=5),
        "opaque, got a transparent colour; remove",
    ),
    "cmyk tiff": ("a.tif", lambda p: Image.fromarray(GREY).convert("CMYK").save(p), "got separated; convert"),
    "white is zero": ("a.tif", lambda p: tiff(p, GREY, photometric="miniswhite"), "got miniswhite; convert"),
    "one bit png": ("a.png", lambda p: Image.fromarray(GREY).convert("1").save(p), "got mode 1; convert"),
    "one bit tiff": ("a.tif", lambda p: Image.fromarray(GREY).convert("1").save(p), "bits, got 1; convert"),
    "animated png": ("a.png", animated, "a single frame, got 2; write one file per slice"),
    "many pages": ("a.tif", lambda p: tiff(p, np.stack([GREY] * 3)), "got 3 pages; write one file per slice"),
    "a stack behind one page": (
        "a.tif",
        lambda p: tiff(p, np.stack([GREY] * 3), truncate=True),
        r"got a stack \(3, 20, 24\); write one file per slice",
    ),
    "rotated png": ("a.png", rotated_png, "upright, got EXIF orientation 6; write the rotated pixels"),
    "rotated tiff": (
        "a.tif",
        lambda p: tiff(p, GREY, extratags=[(274, 3, 1, 6, True)]),
        "upright, got EXIF orientation 6; write the rotated pixels",
    ),
    "truncated png": ("a.png", lambda p: cut(p, 0.6), "readable PNG or TIFF image, got .*; replace it"),
    "truncated tiff": ("a.tif", lambda p: cut(p, 0.6), "readable PNG or TIFF image, got .*; replace it"),
    "a tiff of nothing but a header": ("a.tif", lambda p: cut(p, 0.02), "TIFF, got 0 pages|readable"),
    "a tiff without its strip": ("a.tif", lambda p: patched_tiff(p, StripByteCounts=0), "got parts without data"),
    "a tiff that promises 10 Gpx": (
        "a.tif",
        lambda p: patched_tiff(p, ImageWidth=100_000, ImageLength=100_000),
        "at most 268435456 pixels, got 10000000000; cut it",
    ),
    "empty png": ("a.png", lambda p: p.write_bytes(b""), "readable PNG or TIFF image, got .*; replace it"),
    "empty tiff": ("a.tif", lambda p: p.write_bytes(b""), "readable PNG or TIFF image, got .*; replace it"),
    "a web page": ("a.png", lambda p: p.write_text("<html>404</html>"), "readable PNG or TIFF image, got .*; replace"),
    "a jpeg named png": ("a.png", lambda p: png(p, GREY, format="JPEG"), "readable PNG or TIFF image, got .*; replace"),
    "nan": (
        "a.tif",
        lambda p: tiff(p, holed(np.nan)),
        "finite levels, got 2 bad pixels, the first at y 3, x 5; repair",
    ),
    "infinity": ("a.tif", lambda p: tiff(p, holed(-np.inf)), "finite levels, got 2 bad pixels, the first at y 3, x 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_not_plainly_grey_is_refused_by_name(tmp_path: Path, case: str) -> None:
    name, write, reason = BAD[case]
    path = tmp_path / name
    write(path)
    with pytest.raises(ValueError, match=reason) as refusal:
        read_slice(path)
    assert str(refusal.value).startswith(f"slice {path} must ")


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_cut_anywhere_gives_all_its_pixels_or_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    png(path, DEEP) if name == "a.png" else tiff(path, DEEP, compression="zlib", rowsperstrip=4)
    data = path.read_bytes()
    refused = 0
    for length in range(0, len(data), 13):
        path.write_bytes(data[:length])
        try:
            np.testing.assert_array_equal(read_slice(path), DEEP)
        except ValueError:
            refused += 1
    assert refused >= 0.9 * len(data) // 13


def test_a_flipped_bit_in_a_compressed_file_is_refused(tmp_path: Path) -> None:
    for path, write in ((tmp_path / "a.png", png), (tmp_path / "a.tif", lambda p, a: tiff(p, a, compression="zlib"))):
        write(path, DEEP)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 16
        path.write_bytes(data)
        with pytest.raises(ValueError, match="readable PNG or TIFF image"):
            read_slice(path)


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
    assert [path.name for path in volume.paths] == ["core2_9.tif", "core2_10.png", "core2_0100.TIFF"]
    assert [int(volume[i][0, 0]) for i in range(len(volume))] == [1, 0, 2]
    assert (volume.core, volume.size, volume.dtype) == (tmp_path.name, (4, 6), np.dtype("uint8"))


def test_names_without_numbers_are_counted_in_order(tmp_path: Path) -> None:
    save(tmp_path, "b.png", "a.png", "c.png")
    assert open_slices(tmp_path).numbers == (0, 1, 2)
    assert int(open_slices(tmp_path)[0][0, 0]) == 1


def test_a_name_without_a_number_among_numbers_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "1.png", "overview.png")
    with pytest.raises(ValueError, match=r"must all hold a number, or none, got .*overview\.png without one; rename"):
        open_slices(tmp_path)


def test_two_slices_of_one_number_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "a_1.png", "a_001.tif")
    with pytest.raises(ValueError, match=r"unique, got 1 in both .*a_001\.tif and .*a_1\.png; rename one"):
        open_slices(tmp_path)


def test_hidden_files_other_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    save(tmp_path, "1.png", ".2.png", "3.png/4.png")
    (tmp_path / "notes.txt").write_text("5")
    assert [path.name for path in image_paths(tmp_path)] == ["1.png"]


def test_a_slice_of_another_size_is_refused_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    write_slice(tmp_path / "2.png", np.zeros((6, 4), np.uint8))
    volume = open_slices(tmp_path)
    match = r"slice .*2\.png must be 4×6 uint8 like 1\.png, got 6×4 uint8; remove it, or crop or convert it to match"
    with pytest.raises(ValueError, match=match):
        volume[1]


def test_a_slice_of_another_dtype_is_refused_when_it_is_read(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    write_slice(tmp_path / "2.png", np.zeros((4, 6), np.uint16))
    with pytest.raises(ValueError, match=r"slice .*2\.png must be 4×6 uint8 like 1\.png, got 4×6 uint16; "):
        open_slices(tmp_path)[1]


def test_only_the_first_slice_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").write_bytes(b"")
    volume = open_slices(tmp_path)
    volume[0]
    with pytest.raises(ValueError, match=r"2\.png"):
        volume[1]


def test_missing_and_empty_folders_are_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^slices must be a folder, got .*nowhere, which is not there$"):
        open_slices(tmp_path / "nowhere")
    with pytest.raises(
        FileNotFoundError, match=r"^folder must hold PNG or TIFF slices, got .* with none; name another"
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
        ("a.tif", DEEP.view("int16")),
    ],
    ids=str,
)
def test_what_is_written_is_what_is_read(tmp_path: Path, name: str, levels: Levels) -> None:
    write_slice(tmp_path / name, levels)
    read = read_slice(tmp_path / name)
    assert read.dtype == levels.dtype
    np.testing.assert_array_equal(read, levels)
    assert [path.name for path in tmp_path.iterdir()] == [name]


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
