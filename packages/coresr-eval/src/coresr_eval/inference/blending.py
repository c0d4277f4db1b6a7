"""Windows that fade tiles into one another and sum to exactly 1 wherever they overlap."""

import math

import torch
from torch import Tensor

LEVELS = 2**12
"""Of a weight: products of two weights are then whole numbers below 2²⁴, which float32 adds without rounding."""


def weights(core: slice, side: int, overlap: int, scale: int) -> Tensor:
    """Of the SR rows of a tile with its overlap, float64: `core` are its own LR rows of an image of `side`.

    A raised cosine rises over the `overlap` LR pixels on both sides of a border between tiles; nothing fades at the
    edges of the image. Tiles must be at least twice as wide as the overlap, except the last.
    """
    rise = _rise(2 * scale * overlap)
    start, stop = max(0, core.start - overlap), min(side, core.stop + overlap)
    found = torch.ones(scale * (stop - start), dtype=torch.float64)
    if core.start > 0:
        part = found[: len(rise)]
        part *= rise[: len(part)]
    if core.stop < side:
        part = found[scale * (core.stop - overlap - start) :]
        part *= 1 - rise[: len(part)]
    return found


def _rise(count: int) -> Tensor:
    """From 0 to 1, in whole steps of 1 / LEVELS."""
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.round(LEVELS * torch.sin(math.pi / 2 * places) ** 2) / LEVELS
