"""Rows and columns: read from an image, cut into tiles, widened by a halo, scaled from LR to SR."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An LR image that is read by regions."""

    read: Callable[[slice, slice], Tensor]
    """Rows and columns → `(b, c, rows, columns)`, on the device of the network."""
    size: tuple[int, int]
    """Height and width."""


def padded(source: Source, y: slice, x: slice) -> Tensor:
    """Rows and columns of the image as it is padded at its far edges; nothing is read twice, nor beyond them."""
    height, width = source.size
    reflect = max(0, y.stop - height) < height and max(0, x.stop - width) < width
    rows, columns = _places(y, height, reflect=reflect), _places(x, width, reflect=reflect)
    top, left = int(rows.min()), int(columns.min())
    lr = source.read(slice(top, int(rows.max()) + 1), slice(left, int(columns.max()) + 1))
    if y.stop > height:
        lr = lr.index_select(-2, (rows - top).to(lr.device))
    return lr.index_select(-1, (columns - left).to(lr.device)) if x.stop > width else lr


def _places(part: slice, side: int, *, reflect: bool) -> Tensor:
    """Where in the image each row of a padded one is taken from."""
    places = torch.arange(part.start, part.stop)
    return torch.where(places < side, places, 2 * (side - 1) - places if reflect else side - 1)


def wider(part: slice, halo: int, side: int) -> slice:
    """With a halo on both sides, but within the image."""
    return slice(max(0, part.start - halo), min(side, part.stop + halo))


def cut(part: slice, side: int) -> Iterator[slice]:
    """Into pieces of `side`, the last perhaps narrower."""
    return (slice(start, min(start + side, part.stop)) for start in range(part.start, part.stop, side))


def scaled(part: slice, scale: int, origin: int = 0) -> slice:
    """SR rows of LR rows, counted from the LR row `origin`."""
    return slice(scale * (part.start - origin), scale * (part.stop - origin))


def length(part: slice) -> int:
    """How many rows."""
    return int(part.stop - part.start)


def up(size: int, multiple_of: int) -> int:
    """The next multiple."""
    return -(-size // multiple_of) * multiple_of
