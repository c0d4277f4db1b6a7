"""Find where a loaded pair was cut from the slices, by its pixels alone: all contenders must do the same work."""

from typing import NamedTuple

import numpy as np

from bench.peers.contenders import PATCH, SCALE, Contender
from coresr_data.volume import Levels

ROUNDING = 0.01
"""Grey levels that float32 may be off by."""
_FLOAT = np.dtype(np.float32)


class Place(NamedTuple):
    """HR pixels of the first row and column of a patch, and which of the eight symmetries turned it."""

    image: int
    y: int
    x: int
    symmetry: int
    """`symmetry % 4` quarter turns, and from 4 on a flip of the columns after them."""


def check(contender: Contender, pair: tuple[Levels, Levels], hr: Levels, lr: Levels) -> Place:
    """Where a loaded pair, LR and HR `(channels, h, w)`, comes from in the slices `(n, h, w)`.

    RuntimeError where it is not float32 of 96 and 192 pixels, is no exact cut of one slice, or LR is cut from
    elsewhere than HR.
    """
    low, high = pair
    size = PATCH // SCALE
    if low.shape[1:] != (size, size) or high.shape[1:] != (PATCH, PATCH) or {low.dtype, high.dtype} != {_FLOAT}:
        raise RuntimeError(
            f"{contender.name} must load float32 pairs of {size} and {PATCH} pixels, "
            f"got {low.dtype} {low.shape} and {high.dtype} {high.shape}"
        )
    place = find(_levels(contender, high), hr)
    if place is None:
        raise RuntimeError(f"{contender.name} must load a cut of a slice, got pixels of none")
    y, x = place.y // SCALE, place.x // SCALE
    off = np.abs(_upright(_grey(contender, low), place.symmetry) - lr[place.image, y : y + size, x : x + size]).max()
    if place.y % SCALE or place.x % SCALE or off > ROUNDING + 6 * 255 * contender.noise_std:
        raise RuntimeError(
            f"{contender.name} must load LR of the same place as HR, {place}, got LR off by {off} levels"
        )
    return place


def find(patch: Levels, images: Levels) -> Place | None:
    """Where in the images `(n, h, w)` the square patch was cut and how it was turned, None where it was not."""
    _, height, width = images.shape
    pixels = images.tobytes()
    for symmetry in range(8):
        upright = _upright(patch, symmetry)
        at = pixels.find(upright[0].tobytes())
        while at >= 0:
            image, y, x = at // (height * width), at // width % height, at % width
            if np.array_equal(images[image, y : y + len(patch), x : x + len(patch)], upright):
                return Place(image, y, x, symmetry)
            at = pixels.find(upright[0].tobytes(), at + 1)
    return None


def _upright(patch: Levels, symmetry: int) -> Levels:
    unflipped = patch[:, ::-1] if symmetry >= 4 else patch
    return np.ascontiguousarray(np.rot90(unflipped, -(symmetry % 4)))


def _grey(contender: Contender, image: Levels) -> Levels:
    """`(channels, h, w)` values as `(h, w)` grey levels, before rounding; RuntimeError where channels differ."""
    if not (image == image[:1]).all():
        raise RuntimeError(f"{contender.name} must load equal channels, got {image.shape} that differ")
    grey: Levels = image[0].astype(np.float64) * contender.gain + contender.offset
    return grey


def _levels(contender: Contender, image: Levels) -> Levels:
    grey = _grey(contender, image)
    levels = np.rint(grey)
    if (off := np.abs(grey - levels).max()) > ROUNDING:
        raise RuntimeError(f"{contender.name} must load whole grey levels, got values between them by {off}")
    return levels.astype(np.uint8)
