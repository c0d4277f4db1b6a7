"""Regions of deep chunks: the same levels, fewer reads, bounded memory."""

from collections.abc import Callable

import numpy as np
import pytest

from coresr_data.formats import blocks
from coresr_data.formats.blocks import by_blocks
from coresr_data.volume import Levels

ROCK = np.random.default_rng(0).integers(0, 60000, (23, 12, 10), dtype=np.uint16)
PARTS = [(slice(0, 8), slice(0, 10)), (slice(4, 12), slice(0, 10))]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[slice, slice, slice]]:
    """What was read of `ROCK`, with room for four slices of its regions."""
    monkeypatch.setattr(blocks, "MOST_KEPT", 4 * 2 * ROCK[0].nbytes)
    monkeypatch.setattr(blocks, "_KEPT", blocks._Kept())
    return []


def regions(reads: list[tuple[slice, slice, slice]], deep: int) -> Callable[[int, slice, slice], Levels]:
    def read(z: slice, y: slice, x: slice) -> Levels:
        reads.append((z, y, x))
        return ROCK[z, y, x]

    return by_blocks(read, shape=ROCK.shape, deep=deep, itemsize=2)


@pytest.mark.parametrize("deep", [2, 6, 10, 64])
def test_a_pass_region_by_region_reads_each_once_for_several_slices(
    reads: list[tuple[slice, slice, slice]], deep: int
) -> None:
    cut = regions(reads, deep)
    for index in range(len(ROCK)):
        for y, x in PARTS:
            np.testing.assert_array_equal(cut(index, y, x), ROCK[index, y, x])
    starts = [z.start for z, y, _ in reads if y == PARTS[0][0]]
    assert starts == sorted(start for chunk in range(0, 23, deep) for start in range(chunk, min(chunk + deep, 23), 4))
    assert len(reads) == 2 * len(starts)
    assert all(z.start // deep == (z.stop - 1) // deep for z, _, _ in reads)  # never of two chunks


def test_what_is_kept_is_bounded_and_the_oldest_goes_first(reads: list[tuple[slice, slice, slice]]) -> None:
    cut = regions(reads, 64)
    for index in (0, 4, 8, 0, 12, 16, 0):
        cut(index, *PARTS[0])
    assert [z.start for z, _, _ in reads] == [0, 4, 8, 12, 16]
    cut(4, *PARTS[0])
    assert len(reads) == 6
    assert sum(block.nbytes for block in blocks._KEPT._blocks.values()) <= blocks.MOST_KEPT


def test_what_comes_out_is_the_callers_own(reads: list[tuple[slice, slice, slice]]) -> None:
    cut = regions(reads, 6)
    first = cut(3, *PARTS[0])
    first[:] = 0
    np.testing.assert_array_equal(cut(3, *PARTS[0]), ROCK[3, :8])
