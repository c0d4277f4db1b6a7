"""The rows of the fault matrix for what is read: each bad file is refused by name, reason and remedy, in one line.

A row that concerns a format's own headers is tested beside that format as well.
"""

import json
import os
import resource
import struct
import sys
import time
import unicodedata
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coresr_data.formats import open_volume
from coresr_data.formats.images import open_slices, read_slice, write_slice
from coresr_data.formats.raw import open_raw, raw_header
from coresr_data.formats.tiff import open_tiff

Levels = NDArray[Any]
Bad = dict[str, tuple[str, Callable[[Path], object], str]]

GREY = np.random.default_rng(0).integers(0, 256, (20, 24), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
REAL = np.random.default_rng(0).normal(size=(20, 24)).astype(np.float32)


def tiff(path: Path, levels: Levels, **options: Any) -> None:
    tifffile.imwrite(path, levels, **{"photometric": "minisblack", **options})


def png(path: Path, levels: Levels, **options: Any) -> None:
    Image.fromarray(levels).save(path, **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(path: Path, size: tuple[int, int], data: bytes, *, colours: int = 0, bits: int = 8) -> None:
    """A PNG as Pillow does not write it: height and width as told, grey (0), RGB (2) or grey with alpha (4)."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", size[1], size[0], bits, colours, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))


def rows_of(levels: Levels) -> bytes:
    rows = b"".join(b"\0" + row.tobytes() for row in levels.astype(levels.dtype.newbyteorder(">")))
    return chunk(b"IDAT", zlib.compress(rows))


def patched_tiff(path: Path, written: Callable[[Path], object] | None = None, **tags: int) -> None:
    """A small TIFF whose header lies."""
    (written or (lambda p: tiff(p, GREY)))(path)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        for name, value in tags.items():
            tag = file.pages.first.tags[name]
            at, kind = tag.valueoffset, {3: "<H", 4: "<I"}[int(tag.dtype)]
            data[at : at + struct.calcsize(kind)] = struct.pack(kind, value)
    path.write_bytes(data)


def cut(path: Path, keep: float) -> None:
    {".png": png, ".jpg": png, ".bmp": png, ".tif": tiff}[path.suffix](path, GREY)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])


def refused(path: Path, reason: str, read: Callable[[Path], object] = read_slice) -> None:
    """Reading fails in one line that says what and where, what was found instead, and what to do."""
    with pytest.raises(ValueError, match=reason) as refusal:
        read(path)
    said = str(refusal.value)
    assert said.startswith(f"slice {path} must ")
    assert ", got " in said
    assert "; " in said.partition(", got ")[2]
    assert "\n" not in said


def check_all(cases: Bad, folder: Path, case: str) -> None:
    name, write, reason = cases[case]
    write(folder / name)
    refused(folder / name, reason)


# D1 files that are no whole image

WHOLE = "must be readable, got .*; replace it"
OTHER = "readable PNG, TIFF, BMP or JPEG image, got another kind of file; replace it"
D1: Bad = {
    "empty png": ("a.png", lambda p: p.write_bytes(b""), OTHER),
    "empty tiff": ("a.tif", lambda p: p.write_bytes(b""), OTHER),
    "a web page named png": ("a.png", lambda p: p.write_text("<html>404</html>"), OTHER),
    "a web page named tif": ("a.tif", lambda p: p.write_text("<html>404</html>"), OTHER),
    "truncated png": ("a.png", lambda p: cut(p, 0.6), WHOLE),
    "truncated jpeg": ("a.jpg", lambda p: cut(p, 0.6), WHOLE),
    "truncated bmp": ("a.bmp", lambda p: cut(p, 0.9), WHOLE),
    "truncated tiff": ("a.tif", lambda p: cut(p, 0.6), WHOLE),
}


@pytest.mark.parametrize("case", D1)
def test_d1_what_is_no_whole_image_is_refused(tmp_path: Path, case: str) -> None:
    check_all(D1, tmp_path, case)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_d1_a_file_cut_anywhere_gives_all_its_pixels_or_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    levels = GREY if name == "a.bmp" else DEEP
    tiff(path, levels, compression="zlib", rowsperstrip=4) if name == "a.tif" else png(path, levels)
    data = path.read_bytes()
    found = 0
    for length in range(0, len(data), 13):
        path.write_bytes(data[:length])
        try:
            np.testing.assert_array_equal(read_slice(path), levels)
        except ValueError:
            found += 1
    assert found >= 0.9 * len(data) // 13


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_d1_a_flipped_bit_in_a_compressed_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tiff(path, DEEP, compression="zlib") if name == "a.tif" else png(path, DEEP)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    refused(path, WHOLE)


# D2 TIFFs that hold a header and nothing behind it

D2: Bad = {
    "a header alone": ("a.tif", lambda p: p.write_bytes(b"II*\0\x08\0\0\0"), "a whole TIFF, got one cut after 0 pages"),
    "no page": ("a.tif", lambda p: p.write_bytes(b"II*\0\0\0\0\0"), "TIFF with pages, got 0 pages; replace it"),
    "a strip of no bytes": ("a.tif", lambda p: patched_tiff(p, StripByteCounts=0), "got parts without data; replace"),
    "a strip at no place": ("a.tif", lambda p: patched_tiff(p, StripOffsets=0), "got parts without data; replace it"),
    "no rows": ("a.tif", lambda p: patched_tiff(p, ImageLength=0), "an image with pixels, got an empty one; replace"),
    "more strips than rows": (
        "a.tif",
        lambda p: patched_tiff(p, lambda q: tiff(q, GREY, rowsperstrip=2), ImageLength=10),
        "must be readable, got incorrect Strip",
    ),
}


@pytest.mark.parametrize("case", D2)
def test_d2_a_tiff_without_all_its_pixels_is_refused_not_filled(tmp_path: Path, case: str) -> None:
    check_all(D2, tmp_path, case)


def test_d2_what_tifffile_only_logs_is_said_once_and_not_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_all(D2, tmp_path, "more strips than rows")
    assert capsys.readouterr().err == ""


# D4 every grey level arrives

RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


@pytest.mark.parametrize("name", ["0.png", "0.tif"])
def test_d4_a_ramp_of_65536_levels_keeps_them_all(tmp_path: Path, name: str) -> None:
    write_slice(tmp_path / name, RAMP)
    np.testing.assert_array_equal(open_slices(tmp_path)[0], RAMP)
    np.testing.assert_array_equal(open_volume(tmp_path / name)[0], RAMP)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<f4", ">f4", "<f8"])
def test_d4_the_ends_of_every_dtype_arrive_in_native_byte_order(tmp_path: Path, dtype: str) -> None:
    limits = np.finfo(dtype) if dtype[-2] == "f" else np.iinfo(dtype)
    levels = np.array([[limits.min, limits.max, 1], [0, 2, 3]]).astype(dtype)[None]
    levels.tofile(tmp_path / "a.raw")
    np.save(tmp_path / "a.npy", levels)
    order = {"<": ":little", ">": ":big"}.get(dtype[0], "")
    byteorder: Any = dtype[0] if order else None
    header = raw_header(f"1x2x3:{np.dtype(dtype).newbyteorder('=')}{order}")
    tifffile.imwrite(tmp_path / "a.tif", levels[0], photometric="minisblack", byteorder=byteorder)
    opened = (
        open_raw(tmp_path / "a.raw", header),
        open_volume(tmp_path / "a.npy"),
        open_volume(tmp_path / "a.tif"),
    )
    for volume in opened:
        assert volume.dtype.isnative
        assert volume[0].dtype == volume.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(volume[0], levels[0])


# D5 pixel modes whose numbers are no grey levels


def with_alpha(channels: int) -> Image.Image:
    """Grey or RGB with equal channels, and an alpha of two values."""
    alpha = np.full_like(GREY, 255)
    alpha[5, 6] = 254
    return Image.fromarray(np.stack([*[GREY] * channels, alpha], axis=-1))


def colour() -> Levels:
    image = np.stack([GREY] * 3, axis=-1)
    image[3, 4, 2] ^= 1
    return image


def strong_colour() -> Levels:
    image = np.stack([GREY] * 3, axis=-1)
    image[:, :12, 2] = 255
    return image


def coloured_palette() -> Image.Image:
    image = Image.fromarray(GREY)
    image.putpalette([value for level in range(256) for value in (level, 255 - level, 0)])
    return image


def as_mode(mode: str) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(GREY).convert(mode).save(path)


ALPHA = "opaque, got an alpha channel that varies; remove it"
D5: Bad = {
    "palette png": ("a.png", as_mode("P"), "got mode P; convert"),
    "palette tiff": ("a.tif", as_mode("P"), "got palette; convert"),
    "palette bmp": ("a.bmp", lambda p: coloured_palette().save(p), "got mode P; convert"),
    "cmyk tiff": ("a.tif", as_mode("CMYK"), "got separated; convert"),
    "cmyk jpeg": ("a.jpg", as_mode("CMYK"), "got mode CMYK; convert"),
    "ycbcr tiff": ("a.tif", as_mode("YCbCr"), "got ycbcr; convert"),
    "one bit png": ("a.png", as_mode("1"), "got mode 1; convert"),
    "one bit tiff": ("a.tif", as_mode("1"), r"bits, got 1 .*; convert"),
    "one bit bmp": ("a.bmp", as_mode("1"), "got mode 1; convert"),
    "four bit png, which Pillow would stretch": (
        "a.png",
        lambda p: png_of(p, (20, 24), rows_of(GREY[:, :12]), bits=4),
        "got 4 bit L; convert",
    ),
    "twelve bit tiff": ("a.tif", lambda p: patched_tiff(p, BitsPerSample=12), r"bits, got 12 .*; convert"),
    "white is zero": ("a.tif", lambda p: tiff(p, GREY, photometric="miniswhite"), "got miniswhite; convert"),
    "complex tiff": ("a.tif", lambda p: tiff(p, REAL.astype(np.complex64)), r"bits, got .*\(complex64\); convert"),
    "rgba png": ("a.png", lambda p: with_alpha(3).save(p), ALPHA),
    "rgba tiff": ("a.tif", lambda p: with_alpha(3).save(p), ALPHA),
    "grey with alpha": ("a.png", lambda p: with_alpha(1).save(p), ALPHA),
    "grey with alpha tiff": ("a.tif", lambda p: with_alpha(1).save(p), ALPHA),
    "grey of 16 bit with alpha, which Pillow would cut to 8": (
        "a.png",
        lambda p: png_of(p, (20, 24), rows_of(np.stack([DEEP, DEEP], axis=-1)), colours=4, bits=16),
        "got 16 bit .*; convert it to 8 or 16 bit grey",
    ),
    "a transparent level": (
        "a.png",
        lambda p: png(p, GREY, transparency=5),
        "opaque, got a transparent colour; remove",
    ),
    "colour png": ("a.png", lambda p: png(p, colour()), "grey, got RGB whose channels differ; choose"),
    "colour tiff": ("a.tif", lambda p: tiff(p, colour(), photometric="rgb"), "grey, got RGB whose channels differ"),
    "colour bmp": ("a.bmp", lambda p: png(p, colour()), "grey, got RGB whose channels differ; choose"),
    "colour jpeg": ("a.jpg", lambda p: png(p, strong_colour()), "grey, got RGB whose channels differ; choose"),
    "rgb of 16 bit, which Pillow would cut to 8": (
        "a.png",
        lambda p: png_of(p, (20, 24), rows_of(np.stack([DEEP] * 3, axis=-1)), colours=2, bits=16),
        "of 8 bits, or grey of 16, got 16 bit RGB; convert",
    ),
}


@pytest.mark.parametrize("case", D5)
def test_d5_pixels_that_are_no_grey_levels_are_refused(tmp_path: Path, case: str) -> None:
    check_all(D5, tmp_path, case)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [255, 7])
def test_d5_an_alpha_that_is_the_same_everywhere_says_nothing(
    tmp_path: Path, name: str, channels: int, alpha: int
) -> None:
    Image.fromarray(np.stack([*[GREY] * channels, np.full_like(GREY, alpha)], axis=-1)).save(tmp_path / name)
    np.testing.assert_array_equal(read_slice(tmp_path / name), GREY)


# D6 several images where one is expected


def several(path: Path, **options: Any) -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    first.save(path, save_all=True, append_images=[second], **options)


D6: Bad = {
    "animated png": ("a.png", several, "a single frame, got 2; write one file per slice"),
    "two images in one jpeg": ("a.jpg", lambda p: several(p, format="MPO"), "a single frame, got 2; write one file"),
    "many pages": ("a.tif", lambda p: tiff(p, np.stack([GREY] * 3)), "got 3 pages; write one file per slice"),
    "a stack behind one page": (
        "a.tif",
        lambda p: tiff(p, np.stack([GREY] * 3), truncate=True),
        r"got a stack \(3, 20, 24\); write one file per slice",
    ),
    "a slice that says it is five": (
        "a.tif",
        lambda p: tiff(p, GREY, compression="zlib", description="ImageJ=1.53t\nimages=5\nslices=5\n", metadata=None),
        r"got a stack \(5, 20, 24\); write one file per slice",
    ),
    "a page with a depth": (
        "a.tif",
        lambda p: tiff(p, np.stack([GREY] * 3), volumetric=True),
        r"got a stack \(3, 20, 24\); write one file per slice",
    ),
}


@pytest.mark.parametrize("case", D6)
def test_d6_several_images_in_one_file_are_refused_as_a_slice(tmp_path: Path, case: str) -> None:
    check_all(D6, tmp_path, case)


# D7 rotated images


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    png(path, GREY, exif=exif)


D7: Bad = {
    "png": ("a.png", rotated, "upright, got EXIF orientation 6; write the rotated pixels"),
    "jpeg": ("a.jpg", rotated, "upright, got EXIF orientation 6; write the rotated pixels"),
    "tiff": ("a.tif", lambda p: tiff(p, GREY, extratags=[(274, 3, 1, 6, True)]), "upright, got EXIF orientation 6;"),
}


@pytest.mark.parametrize("case", D7)
def test_d7_an_orientation_is_refused(tmp_path: Path, case: str) -> None:
    check_all(D7, tmp_path, case)


# D8 pixels that are no numbers


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_d8_nan_and_infinite_pixels_are_counted_and_located(tmp_path: Path, value: float, name: str) -> None:
    levels = REAL.copy()
    levels[3, 5] = levels[7, 1] = value
    tiff(tmp_path / name, levels) if name == "a.tif" else np.save(tmp_path / name, levels)
    with pytest.raises(ValueError, match=r"a\.(tif|npy).* finite levels, got 2 bad pixels, the first at y 3, x 5; rep"):
        open_volume(tmp_path / name)[0]


# D9 a few bytes that promise many


def zeros(size: int) -> bytes:
    packer = zlib.compressobj(9)
    return chunk(b"IDAT", packer.compress(bytes(size)) + packer.flush())


def bomb_png(path: Path, side: int, data: bytes) -> None:
    png_of(path, (side, side), data)


def tiled_bomb(path: Path) -> None:
    patched_tiff(path, lambda p: tiff(p, GREY, tile=(16, 16), compression="zlib"), TileWidth=2**20, TileLength=2**20)


D9: Bad = {
    "png of 108 Mpx in 105 kB": (
        "a.png",
        lambda p: bomb_png(p, 10392, zeros(10392 * 10393)),
        "decode to at most 1000 times its 10.... bytes, got a header that says 107993664; replace it, or",
    ),
    "png of 400 Mpx": ("a.png", lambda p: bomb_png(p, 20000, rows_of(GREY)), "at most 268435456 pixels, got 400000000"),
    "png of 2^31 px in 66 bytes": (
        "a.png",
        lambda p: png_of(p, (1, 2**31 - 1), chunk(b"IDAT", b"x\x9c\x03\0\0\0\0\1")),
        "at most 268435456 pixels, got 2147483647; cut it",
    ),
    "bmp of 2^32 px": (
        "a.bmp",
        lambda p: p.write_bytes(
            struct.pack("<2sIHHIIiiHHIIIIII", b"BM", 54, 0, 0, 54, 40, 65536, 65536, 1, 24, 0, 0, 0, 0, 0, 0)
        ),
        "at most 268435456 pixels, got 4294967296; cut it",
    ),
    "tiff of 100000² px": (
        "a.tif",
        lambda p: patched_tiff(p, ImageWidth=100_000, ImageLength=100_000),
        "at most 268435456 pixels, got 10000000000; cut it",
    ),
    "tiff of 8192² px of 64 bit": (
        "a.tif",
        lambda p: patched_tiff(
            p, lambda q: tiff(q, GREY.astype(np.float64), compression="zlib"), ImageWidth=8192, ImageLength=8192
        ),
        "decode to at most 1000 times its .* bytes, got a header that says 536870912; replace it",
    ),
    "tiff with a tile of 2^40 px": ("a.tif", tiled_bomb, r"tiles of at most 67108864 pixels, got 1048576×1048576;"),
}


def in_a_small_child(work: Callable[[], object], extra: int = 2**26) -> tuple[float, int]:
    """Seconds, at best of three, and extra resident bytes of `work`, in a process that may map `extra` bytes more."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside the threads of other libraries
        child = os.fork()
    if child == 0:
        said = b"[1e9, 0]"
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * resource.getpagesize() + extra
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
            before, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, []
            for _ in range(3):
                start = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - start)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            said = json.dumps([min(seconds), 1024 * grown]).encode()
        finally:
            os.write(writing, said)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        seconds_taken, grown_by = json.loads(pipe.read())
    os.waitpid(child, 0)
    return seconds_taken, grown_by


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize("case", D9)
def test_d9_a_bomb_is_refused_from_its_header(tmp_path: Path, case: str) -> None:
    name, write, reason = D9[case]
    path = tmp_path / name
    write(path)
    refused(path, reason)

    def work() -> None:
        try:
            read_slice(path)
        except ValueError:
            return
        raise AssertionError

    seconds, grown = in_a_small_child(work)
    assert seconds < 0.05
    assert grown < 50e6


def test_d9_an_honest_black_image_is_no_bomb(tmp_path: Path) -> None:
    levels = np.zeros((4096, 4096), np.uint8)
    levels[:64, :64] = 1
    png(tmp_path / "a.png", levels)
    assert levels.nbytes > 900 * (tmp_path / "a.png").stat().st_size
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), levels)


def test_d9_pillows_own_limit_is_neither_ours_nor_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    png(tmp_path / "a.png", GREY)
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), GREY)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    with pytest.raises(ValueError, match="readable"):
        read_slice(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS == 100


def test_d9_a_compressed_file_of_more_than_4_gb_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    png(path, GREY)
    os.truncate(path, 2**32 + 1)
    refused(path, "at most 4294967296 bytes where it is compressed, got 4294967297; cut it")


# D10 headers without an end


def chain(path: Path, pages: int, back_to: int | None) -> None:
    """So many pages of a TIFF, of which the last leads back to one of them."""
    page = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", tag, 4, 1, 1) for tag in (256, 257, 273))
    length = len(page) + 4
    following = [8 + length * (index + 1) for index in range(pages)]
    following[-1] = 0 if back_to is None else 8 + length * back_to
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + b"".join(page + struct.pack("<I", at) for at in following))


@pytest.mark.parametrize(("pages", "back_to"), [(1, 0), (3, 1), (150, 0), (1000, 999)])
@pytest.mark.parametrize("read", [read_slice, open_tiff])
def test_d10_a_circle_of_pages_is_refused(
    tmp_path: Path, pages: int, back_to: int, read: Callable[[Path], object]
) -> None:
    chain(tmp_path / "a.tif", pages, back_to)
    with pytest.raises(ValueError, match=rf"a\.tif must have pages in a row, got a circle after {pages}; write it aga"):
        read(tmp_path / "a.tif")


def test_d10_more_pages_than_a_core_has_slices_are_refused(tmp_path: Path) -> None:
    chain(tmp_path / "a.tif", 100_001, None)
    start = time.perf_counter()
    refused(tmp_path / "a.tif", "at most 100000 pages, got more; cut it into several volumes")
    assert time.perf_counter() - start < 5


def test_d10_a_page_of_thousands_of_tags_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<IH", 8, 5000) + bytes(12 * 5000 + 4))
    refused(tmp_path / "a.tif", "at most 4096 tags a page, got 5000; replace it")


def test_d10_thousands_of_texts_are_passed_over_and_one_that_explodes_is_refused(tmp_path: Path) -> None:
    texts = b"".join(chunk(b"tEXt", b"k%d\0v" % number) for number in range(5000))
    png_of(tmp_path / "a.png", (20, 24), texts + rows_of(GREY))
    np.testing.assert_array_equal(read_slice(tmp_path / "a.png"), GREY)
    png_of(tmp_path / "b.png", (20, 24), chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**7))) + rows_of(GREY))
    refused(tmp_path / "b.png", WHOLE)


# D11 other formats under the name of an image


@pytest.mark.parametrize("start", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"8BPS\0\1", b"SIMPLE  =", b"GIF89a", b"RIFF    WEBP"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_d11_a_dangerous_format_is_refused_whatever_it_is_called(tmp_path: Path, start: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(start + bytes(200))
    refused(tmp_path / name, OTHER)


@pytest.mark.parametrize(("kind", "name"), [("TIFF", "a.png"), ("PNG", "a.tif"), ("BMP", "a.png"), ("PNG", "a.jpg")])
def test_d11_the_content_decides_among_those_allowed(tmp_path: Path, kind: str, name: str) -> None:
    png(tmp_path / name, GREY, format=kind)
    np.testing.assert_array_equal(read_slice(tmp_path / name), GREY)


# D13 names that differ to a computer alone


def save(folder: Path, *names: str) -> None:
    for level, name in enumerate(names):
        folder.mkdir(exist_ok=True)
        write_slice(folder / name, np.full((4, 6), level, np.uint8))


@pytest.mark.parametrize(
    "names",
    [("a.png", "a.tif"), ("1.png", "1.tif"), ("rock.png", "Rock.tif")],
    ids=["suffix", "suffix of a number", "case"],
)
def test_d13_slices_of_one_name_are_refused_with_both(tmp_path: Path, names: tuple[str, str]) -> None:
    save(tmp_path, *names)
    with pytest.raises(
        ValueError, match="^names must differ in more than suffix, case .*, got .*; rename one$"
    ) as refusal:
        open_slices(tmp_path)
    assert all(str(tmp_path / name) in str(refusal.value) for name in names)


def test_d13_names_equal_up_to_composed_letters_are_refused(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "Bohrkern_ä.png")
    save(tmp_path, composed, unicodedata.normalize("NFD", composed))
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system takes them for one")
    with pytest.raises(ValueError, match="^names must differ in more than suffix, case or Unicode form, got "):
        open_slices(tmp_path)


# D15 links


def test_d15_a_link_to_nowhere_names_its_target(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").symlink_to("gone/2.png")
    with pytest.raises(
        FileNotFoundError, match=r"^link .*2\.png must lead to a file, got gone/2\.png, which is not th"
    ):
        open_slices(tmp_path)


@pytest.mark.parametrize("targets", [{"2.png": "2.png"}, {"2.png": "3.png", "3.png": "2.png"}], ids=["self", "two"])
def test_d15_a_circle_of_links_is_refused(tmp_path: Path, targets: dict[str, str]) -> None:
    save(tmp_path, "1.png")
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
    with pytest.raises(ValueError, match=r"^link .*2\.png must lead to a file, got .*; mend it$"):
        open_slices(tmp_path)


def test_d15_a_link_that_leaves_the_folder_must_be_allowed(tmp_path: Path) -> None:
    save(tmp_path / "core", "1.png")
    save(tmp_path / "elsewhere", "7.png")
    (tmp_path / "core" / "2.png").symlink_to(tmp_path / "elsewhere" / "7.png")
    match = r"^link .*2\.png must stay inside .*core, got .*7\.png; copy the file, or say --allow-external-links$"
    with pytest.raises(ValueError, match=match):
        open_slices(tmp_path / "core")
    volume = open_slices(tmp_path / "core", external_links=True)
    assert volume.names == ("1.png", "2.png")
    np.testing.assert_array_equal(volume[1], read_slice(tmp_path / "elsewhere" / "7.png"))


def test_d15_a_link_inside_the_folder_and_a_link_to_the_folder_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "core", "1.png")
    (tmp_path / "core" / "all").mkdir()
    save(tmp_path / "core" / "all", "9.png")
    (tmp_path / "core" / "2.png").symlink_to("all/9.png")
    (tmp_path / "link").symlink_to("core")
    assert open_slices(tmp_path / "link").numbers == (1, 2)


def test_d15_a_folder_that_links_to_itself_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, "1.png")
    (tmp_path / "2.png").symlink_to(".")
    assert open_slices(tmp_path).names == ("1.png",)


# D16 names

NAMES = [
    b"with space 1.png",
    b"'quoted\" 2.png",
    b"% %s %d 3.png",
    b"new\nline 4.png",
    "Bohrkern_Ä_石_5.png".encode(),
    b"bytes \xff 6.png",
    b"x" * 250 + b"7.png",
]


def test_d16_every_name_that_a_file_system_allows_is_read_and_can_be_written_into_a_manifest(tmp_path: Path) -> None:
    for level, name in enumerate(NAMES):
        write_slice(tmp_path / os.fsdecode(name), np.full((4, 6), level, np.uint8))
    volume = open_slices(tmp_path)
    assert volume.numbers == (1, 2, 3, 4, 5, 6, 7)
    assert [int(volume[index][0, 0]) for index in range(7)] == [*range(7)]
    json.dumps(volume.names, ensure_ascii=False).encode()
    assert volume.names[5] == r"bytes \xff 6.png"
    assert volume.names[4] == "Bohrkern_Ä_石_5.png"


def test_d16_the_name_of_a_folder_is_the_cores_in_print(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"plug \xff")
    save(folder, "1.png")
    np.save(folder / os.fsdecode(b"\xfe.npy"), GREY)
    assert open_slices(folder).core == r"plug \xff"
    volume = open_volume(folder / os.fsdecode(b"\xfe.npy"))
    assert (volume.core, volume.names) == (r"\xfe", (r"\xfe.npy[0]",))


# D17 raw volumes that are not what somebody says

IMAGE = np.add.outer(np.arange(40), np.arange(50)) * 100 + np.random.default_rng(0).integers(0, 90, (6, 40, 50))
LITTLE = IMAGE.astype("<u2")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            "5x40x50:uint16:little",
            "20000 bytes long for 5x40x50:uint16:little, got 24000, 4000 bytes more than the lev",
        ),
        ("7x40x50:uint16:little", "28000 bytes long for 7x40x50:uint16:little, got 24000; correct the header"),
        ("6x40x50:uint16:little:10", "24010 bytes long for .*:10, got 24000; correct the header"),
        ("6x40x50:uint8", "12000 bytes long for 6x40x50:uint8, got 24000, which 16 bit levels would fill; correct"),
        ("6x40x50:float32:little", "48000 bytes long for .*, got 24000, which 16 bit levels would fill; correct the"),
        ("60000x4000x5000:uint16:big", "2400000000000 bytes long for .*, got 24000; correct the header"),
    ],
)
def test_d17_a_raw_file_is_exactly_as_long_as_its_header_says(tmp_path: Path, header: str, reason: str) -> None:
    LITTLE.tofile(tmp_path / "a.raw")
    with pytest.raises(ValueError, match=rf"^raw volume .*a\.raw must be {reason}"):
        open_raw(tmp_path / "a.raw", raw_header(header))


def test_d17_the_wrong_byte_order_is_hinted_at_and_the_right_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LITTLE.tofile(tmp_path / "a.raw")
    open_raw(tmp_path / "a.raw", raw_header("6x40x50:uint16:little"))
    assert caplog.messages == []
    open_raw(tmp_path / "a.raw", raw_header("6x40x50:uint16:big"))
    assert "a.raw is far smoother with its bytes the other way round than as 6x40x50:uint16:big" in caplog.messages[0]


def test_d17_the_byte_order_must_be_said() -> None:
    with pytest.raises(ValueError, match=r"must say the byte order of uint16, got '6x40x50:uint16'; write .* or :big$"):
        raw_header("6x40x50:uint16")


# D19 files that change while they are read


def vanish(path: Path) -> None:
    path.unlink()


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rewrite(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


@pytest.mark.parametrize("change", [vanish, shrink, rewrite])
@pytest.mark.parametrize("name", ["core/1.png", "core/1.tif", "a.tif", "a.raw", "a.npy"])
def test_d19_a_file_that_changes_is_refused_as_changed_since_start(
    tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    save(tmp_path / "core", "0.png")
    if name.startswith("core"):
        write_slice(path, np.full((4, 6), 7, np.uint8))
        volume = open_slices(tmp_path / "core")
    else:
        saved: dict[str, Callable[[Path, Any], object]] = {
            ".tif": tiff,
            ".npy": np.save,
            ".raw": lambda p, a: a.tofile(p),
        }
        saved[path.suffix](path, IMAGE.astype(np.uint8))
        volume = open_volume(path, raw=raw_header("6x40x50:uint8") if name == "a.raw" else None)
    last = volume[len(volume) - 1].copy()
    np.testing.assert_array_equal(last, volume[-1])
    change(path)
    os.utime(path, ns=(0, 0)) if path.exists() else None
    match = rf"file .*{path.name} must stay as it is while it is read, got one changed since start; start again"
    with pytest.raises(ValueError, match=match):
        volume[len(volume) - 1]
