"""One PNG, BMP or JPEG image, opened by Pillow behind a gate: nothing is converted that could change a grey level."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from coresr_data.formats.limits import refuse_bomb
from coresr_data.formats.pieces import RefusedError
from coresr_data.formats.voxels import png_voxel
from coresr_data.volume import Levels, Voxel

MAGIC = {b"\x89PNG": "PNG", b"BM": "BMP", b"\xff\xd8\xff": "JPEG"}
# Pillow's pixel modes that hold grey levels as they are; RGB joins them when its three channels are equal, and a second
# or fourth channel is passed over when it is the same everywhere
MODES = {
    "L": "uint8",
    "I;16": "uint16",
    "I;16L": "uint16",
    "I;16B": "uint16",
    "I": "int32",
    "F": "float32",
    "RGB": "uint8",
    "LA": "uint8",
    "RGBA": "uint8",
}
EXIF_ORIENTATION = 274
_limit = threading.Lock()


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Image.Image]:
    """An image of the one kind that its content shows, its header read and let pass by the gate."""
    with _without_pillows_limit():
        image = Image.open(path, formats=(kind,))
    with image:
        width, height = image.size
        refuse_bomb(width * height, width * height * len(image.getbands()), path.stat().st_size)
        if image.mode not in MODES:
            raise RefusedError(
                f"be grey (pixel modes {', '.join(MODES)}), got mode {image.mode}; convert it to 8 or 16 bit grey"
            )
        if (frames := getattr(image, "n_frames", 1)) != 1:
            raise RefusedError(f"be a single frame, got {frames}; write one file per slice")
        if "transparency" in image.info:
            raise RefusedError("be opaque, got a transparent colour; remove it")
        bits = re.search(r";(\d+)", str(image.tile))
        if bits and not image.mode.startswith("I"):  # which Pillow would cut or stretch to 8 bits
            raise RefusedError(
                f"be of 8 bits, or grey of 16, got {bits[1]} bit {image.mode}; convert it to 8 or 16 bit grey"
            )
        yield image


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Pillow's limit is lower than ours and, below twice of it, only a warning."""
    with _limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def shape_of(image: Image.Image) -> tuple[tuple[int, int], np.dtype[np.generic]]:
    """Height and width, and the dtype of its levels."""
    return (image.height, image.width), np.dtype(MODES[image.mode])


def voxel_of(image: Image.Image) -> Voxel | None:
    """Of a PNG whose header says it; the densities in BMP and JPEG are a printer's."""
    return png_voxel({str(key): value for key, value in image.info.items()}) if image.format == "PNG" else None


def levels_of(image: Image.Image) -> Levels:
    """Decode the `(y, x)` levels of an opened image."""
    refuse_rotation(image.getexif().get(EXIF_ORIENTATION, 1))
    return one_channel(np.asarray(image).astype(MODES[image.mode], copy=False))


def read_frame(path: Path, frame: int) -> Levels:
    """A page of a TIFF whose header was let pass before, for want of another decoder."""
    with _without_pillows_limit(), Image.open(path, formats=("TIFF",)) as image:
        image.seek(frame)
        return np.asarray(image)


def refuse_rotation(orientation: int) -> None:
    """RefusedError for an EXIF orientation: a rotated LR would no longer lie on its HR."""
    if orientation != 1:
        raise RefusedError(f"be stored upright, got EXIF orientation {orientation}; write the rotated pixels")


def one_channel(levels: Levels) -> Levels:
    """`(y, x)` of `(y, x)` or `(y, x, channels)`: grey, grey and alpha, RGB, RGB and alpha.

    RefusedError where channels of colour differ or alpha is not the same everywhere: which grey is meant, nobody said.
    """
    if levels.ndim == 3 and levels.shape[2] in (2, 4):
        alpha = levels[..., -1]
        if not (alpha == alpha.flat[0]).all():
            raise RefusedError("be opaque, got an alpha channel that varies; remove it")
        levels = levels[..., :-1]
    if levels.ndim == 3 and levels.shape[2] in (1, 3):
        if not (levels == levels[..., :1]).all():
            raise RefusedError("be grey, got RGB whose channels differ; choose or mix a channel first")
        levels = levels[..., 0]
    if levels.ndim != 2:
        raise RefusedError(f"be one grey image, got shape {levels.shape}; write one file per slice")
    return np.ascontiguousarray(levels)
