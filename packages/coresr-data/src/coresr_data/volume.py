"""Open what people have as slices `(z, y, x)`, lazily: every input format ends here.

A file passes a gate first: opened by its content, a list of allowed formats and pixel modes, one frame, and never a
conversion that could change a grey level.
"""

import logging
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

Levels = NDArray[Any]

SUFFIXES = (".png", ".tif", ".tiff")
# Pillow's pixel modes that hold grey levels as they are; RGB joins them when its three channels are equal
MODES = {
    "L": "uint8",
    "I;16": "uint16",
    "I;16L": "uint16",
    "I;16B": "uint16",
    "I": "int32",
    "F": "float32",
    "RGB": "uint8",
}
EXIF_ORIENTATION = 274
MOST_PIXELS = 2**28  # of an image that is decoded whole; a few bytes of header can promise any number

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # read_slice raises: no second line on stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The slices of one core, ordered by depth; `volume[i]` reads the i-th as `(y, x)` in its own dtype."""

    core: str
    paths: tuple[Path, ...]
    numbers: tuple[int, ...]
    """Slice numbers as in the file names, ascending."""
    size: tuple[int, int]
    """Height and width in pixels, the same for every slice."""
    dtype: np.dtype[np.generic]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Levels:
        levels = read_slice(self.paths[index])
        if levels.shape != self.size or levels.dtype != self.dtype:
            raise ValueError(
                f"slice {self.paths[index]} must be {_say(self.size, self.dtype)} like {self.paths[0].name}, "
                f"got {_say(levels.shape, levels.dtype)}; remove it, or crop or convert it to match"
            )
        return levels


def open_slices(folder: Path) -> Volume:
    """The PNG and TIFF slices of one core in `folder`, ordered by the last number in their names.

    FileNotFoundError without folder or images; ValueError where two slices share a number, or a size or dtype differs
    from the first slice's. Pixels are read when asked for, except the first slice's.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"slices must be a folder, got {folder}, which is {'a file' if folder.exists() else 'not there'}"
        )
    paths = image_paths(folder)
    if not paths:
        raise FileNotFoundError(f"folder must hold PNG or TIFF slices, got {folder} with none; name another folder")
    by_number = _numbered(paths)
    numbers = sorted(by_number)
    ordered = tuple(by_number[number] for number in numbers)
    first = read_slice(ordered[0])
    return Volume(
        core=folder.resolve().name, paths=ordered, numbers=tuple(numbers), size=first.shape, dtype=first.dtype
    )


def image_paths(folder: Path) -> list[Path]:
    """The PNG and TIFF files directly in `folder`, by name; hidden files are passed over."""
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
    )


def _numbered(paths: list[Path]) -> dict[int, Path]:
    """Slice number → path; the place in the list where no name holds a number."""
    found = [re.findall(r"\d+", path.stem) for path in paths]
    if not any(found):
        return dict(enumerate(paths))
    by_number: dict[int, Path] = {}
    for path, digits in zip(paths, found, strict=True):
        if not digits:
            raise ValueError(f"slice names must all hold a number, or none, got {path} without one; rename it")
        number = int(digits[-1])
        if number in by_number:
            raise ValueError(
                f"slice numbers must be unique, got {number} in both {by_number[number]} and {path}; rename one"
            )
        by_number[number] = path
    return by_number


def read_slice(path: Path) -> Levels:
    """One grey slice `(y, x)` in the file's own dtype: PNG or TIFF, 8, 16, 32 bit or float.

    An RGB image is accepted if its channels are equal. ValueError, naming the file, for anything else: unreadable or
    truncated files, colour, palettes, alpha, several frames, an EXIF rotation, NaN or infinite pixels.
    """
    if not path.is_file():
        raise FileNotFoundError(f"slice must be an image file, got {path}, which is not there")
    try:
        levels = _read_tiff(path) if path.suffix.lower() in {".tif", ".tiff"} else _read_pillow(path)
    except _RefusedError as refusal:
        raise ValueError(f"slice {path} must be {refusal}") from None
    except Exception as error:  # decoders raise whatever their parser met: zlib.error, struct.error, SyntaxError …
        raise ValueError(
            f"slice {path} must be a readable PNG or TIFF image, got {str(error) or type(error).__name__}; replace it"
        ) from error
    if np.issubdtype(levels.dtype, np.floating) and not np.isfinite(levels).all():
        bad = np.argwhere(~np.isfinite(levels))
        raise ValueError(
            f"slice {path} must hold finite levels, got {len(bad)} bad pixels, "
            f"the first at y {bad[0][0]}, x {bad[0][1]}; repair it"
        )
    return levels


class _RefusedError(Exception):
    """What the image must be, and what was found instead."""


def _read_tiff(path: Path) -> Levels:
    with tifffile.TiffFile(path) as tiff:
        if len(tiff.pages) != 1:
            raise _RefusedError(f"a single-page TIFF, got {len(tiff.pages)} pages; write one file per slice")
        page = tiff.pages.first
        if page.photometric not in {1, 2, 6}:  # black is zero, RGB, YCbCr; others would pass for grey, too
            raise _RefusedError(f"grey with 0 as black, got {_name(page.photometric)}; convert it to 8 or 16 bit grey")
        if page.bitspersample not in {8, 16, 32, 64}:
            raise _RefusedError(f"of 8, 16, 32 or 64 bits, got {page.bitspersample}; convert it to 8 or 16 bit grey")
        _refuse_rotation(page.tags.valueof(EXIF_ORIENTATION, 1))
        if page.size > MOST_PIXELS:
            raise _RefusedError(f"of at most {MOST_PIXELS} pixels, got {page.size}; cut it into smaller images")
        if tiff.series[0].size != page.size:
            raise _RefusedError(f"a single image, got a stack {tiff.series[0].shape}; write one file per slice")
        if page.compression not in {1, 8, 32946}:  # raw and deflate; without imagecodecs Pillow knows more than these
            return _read_pillow(path).astype(page.dtype, copy=False)  # it reads int16 as int32
        if 0 in page.databytecounts:  # which tifffile would fill with zeros
            raise _RefusedError("a whole image, got parts without data; replace it")
        levels = np.asarray(page.asarray())
    if levels.size == 0:
        raise _RefusedError("an image with pixels, got an empty one; replace it")
    return _one_channel(levels)


def _read_pillow(path: Path) -> Levels:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=("PNG", "TIFF")) as image:
            if image.mode not in MODES:
                raise _RefusedError(
                    f"grey (pixel modes {', '.join(MODES)}), got mode {image.mode}; convert it to 8 or 16 bit grey"
                )
            if (frames := getattr(image, "n_frames", 1)) != 1:
                raise _RefusedError(f"a single frame, got {frames}; write one file per slice")
            if "transparency" in image.info:
                raise _RefusedError("opaque, got a transparent colour; remove it")
            if image.mode == "RGB" and ";16" in str(image.tile):  # which Pillow would cut to 8 bits
                raise _RefusedError("8 bit where it is RGB, got 16 bit RGB; convert it to 16 bit grey")
            _refuse_rotation(image.getexif().get(EXIF_ORIENTATION, 1))
            return _one_channel(np.asarray(image).astype(MODES[image.mode], copy=False))


def _refuse_rotation(orientation: int) -> None:
    if orientation != 1:
        raise _RefusedError(f"stored upright, got EXIF orientation {orientation}; write the rotated pixels")


def _name(tag: object) -> str:
    return str(getattr(tag, "name", tag)).lower()


def _one_channel(levels: Levels) -> Levels:
    if levels.ndim == 3 and levels.shape[2] == 3:
        if not ((levels[..., 0] == levels[..., 1]) & (levels[..., 0] == levels[..., 2])).all():
            raise _RefusedError("grey, got RGB whose channels differ; choose or mix a channel first")
        levels = levels[..., 0]
    if levels.ndim != 2:
        raise _RefusedError(f"one grey image, got shape {levels.shape}")
    return np.ascontiguousarray(levels)


def write_slice(path: Path, levels: Levels) -> None:
    """Write `(y, x)` levels whole or not at all: PNG (uint8, uint16) or TIFF (float32 too), by the suffix of `path`."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"output must end in {', '.join(SUFFIXES)}, got {path}")
    if levels.ndim != 2:
        raise ValueError(f"levels must be (y, x), got shape {levels.shape} for {path}")
    if suffix == ".png" and levels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"output must be a TIFF for {levels.dtype} levels, got {path}; PNG holds 8 and 16 bit integers only"
        )
    aside = path.with_name(f".{path.name}.tmp{suffix}")
    try:
        if suffix == ".png":
            Image.fromarray(levels).save(aside)
        else:
            tifffile.imwrite(aside, levels, compression="zlib", photometric="minisblack")
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _say(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> str:
    return f"{'×'.join(map(str, shape))} {dtype}"
