"""Regions of deep chunks: whatever is asked of a chunk it is decoded whole, so several of its slices are kept."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from coresr_data.volume import Levels

MOST_KEPT = 2**26
"""Bytes, of all arrays together."""
HALO = 2
"""Regions of a slice overlap by their halos, and hold up to so many times its levels."""


def by_blocks(
    read: Callable[[slice, slice, slice], Levels], *, shape: tuple[int, int, int], deep: int, itemsize: int
) -> Callable[[int, slice, slice], Levels]:
    """Rows and columns of the i-th slice of an array `(z, y, x)` in chunks of `deep` slices, read by `read`.

    The same region of the slices around it in its chunks is kept, of so many slices that all the regions of one of them
    fit: a pass through the slices, region by region, decodes each chunk once for every so many slices.
    """
    thick = max(1, MOST_KEPT // (HALO * shape[1] * shape[2] * itemsize))
    owner = object()

    def cut(index: int, y: slice, x: slice) -> Levels:
        chunk = index // deep * deep
        first = chunk + (index - chunk) // thick * thick
        stop = min(first + thick, chunk + deep, shape[0])
        key = (owner, first, y.start, y.stop, x.start, x.stop)
        if (block := _KEPT.get(key)) is None:
            block = read(slice(first, stop), y, x)
            _KEPT.keep(key, block)
        return np.array(block[index - first], order="C")

    return cut


class _Kept:
    """The blocks that were used last, up to so many bytes."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[object, ...], Levels] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def get(self, key: tuple[object, ...]) -> Levels | None:
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
            return self._blocks.get(key)

    def keep(self, key: tuple[object, ...], block: Levels) -> None:
        with self._lock:
            if block.nbytes > MOST_KEPT or key in self._blocks:
                return
            self._blocks[key] = block
            self._bytes += block.nbytes
            while self._bytes > MOST_KEPT:
                self._bytes -= self._blocks.popitem(last=False)[1].nbytes


_KEPT = _Kept()
