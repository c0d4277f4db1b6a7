"""Slices read in pieces: each byte once on the way forward, the right bytes on any way, and nothing held for good."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats import pieces
from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.pieces import (
    MOST_PIXELS,
    MOST_SLICES,
    Inflated,
    RefusedError,
    by_slabs,
    in_order,
    raw_pieces,
    refusals,
    refuse_dtype,
    refuse_length,
    refuse_ratio,
    refuse_shape,
    streamed_pieces,
    volume_of,
)

Levels = NDArray[Any]


@given(st.lists(st.integers(0, 9), max_size=30))
def test_any_order_of_asking_gives_the_same_pieces(indices: list[int]) -> None:
    read = in_order(lambda: iter([bytes([n]) for n in range(10)]))
    assert [read(index)[0] for index in indices] == indices


def test_going_forward_makes_one_pass_after_the_first_look() -> None:
    made = []

    def numbers() -> Iterator[bytes]:
        for n in range(100):
            made.append(n)
            yield bytes([n])

    read = in_order(numbers)
    for index in range(100):
        assert read(index) == bytes([index])
    assert len(made) <= 100 + 1 + 2


def test_a_pass_that_broke_starts_over() -> None:
    broken = [True]

    def numbers() -> Iterator[bytes]:
        for n in range(4):
            if n == 2 and broken[0]:
                broken[0] = False
                raise RefusedError("be whole")
            yield bytes([n])

    read = in_order(numbers)
    read(0), read(1)
    with pytest.raises(RefusedError):
        read(2)
    assert [read(3), read(2), read(3)] == [b"\3", b"\2", b"\3"]


def test_another_process_makes_a_pass_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []

    def numbers() -> Iterator[bytes]:
        passes.append(os.getpid())
        yield from (bytes([n]) for n in range(10))

    read = in_order(numbers)
    assert [read(0), read(1), read(2)] == [b"\0", b"\1", b"\2"]
    assert len(passes) == 2
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert [read(3), read(4), read(5)] == [b"\3", b"\4", b"\5"]
    assert len(passes) == 4


def test_a_stream_must_be_as_long_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"head" + bytes(range(12)) + b"pad"))

    def pieces_of(count: int, padding: int) -> list[bytes]:
        read = streamed_pieces(partial(gzip.GzipFile, path), start=4, length=3, count=count, padding=padding)
        return [read(index) for index in range(count)]

    assert pieces_of(4, 3) == [bytes(range(n, n + 3)) for n in (0, 3, 6, 9)]
    with pytest.raises(RefusedError, match="end after 4 slices, got more"):
        pieces_of(4, 2)
    with pytest.raises(RefusedError, match="hold 6 slices, got 5"):
        pieces_of(6, 3)


def test_a_long_way_to_the_first_piece_is_skipped_in_blocks(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(2 * pieces.BLOCK + 5) + b"rock", 1))
    read = streamed_pieces(partial(gzip.GzipFile, path), start=2 * pieces.BLOCK + 5, length=4, count=1)
    assert read(0) == b"rock"


def test_raw_pieces_are_read_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(b"head" + bytes(range(9)))
    read = raw_pieces(path, start=4, length=3)
    assert [read(2), read(0)] == [b"\6\7\x08", b"\0\1\2"]
    with pytest.raises(RefusedError, match="hold slice 3 whole, got 0 of 3 bytes"):
        read(3)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50), st.lists(st.integers(1, 400), min_size=1))
def test_inflated_bytes_are_those_of_zlib(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, repeat: int, asks: list[int]
) -> None:
    stored = zlib.compress(data * repeat)
    path = tmp_path_factory.getbasetemp() / "zlib"
    path.write_bytes(b"before" + stored + b"after")
    with io.BufferedReader(Inflated(path, 6, len(stored)), 64) as file:
        found = [file.read(count) for count in asks] + [file.read()]
    assert b"".join(found) == data * repeat


@pytest.mark.parametrize("size", [1, 2, 64, 300])
def test_what_the_decoder_still_holds_at_the_end_of_its_input_arrives(tmp_path: Path, size: int) -> None:
    stored = zlib.compress(bytes(100_000))
    path = tmp_path / "zlib"
    path.write_bytes(stored)
    with Inflated(path, 0, len(stored)) as file:
        found, buffer = 0, bytearray(size)
        while count := file.readinto(buffer):
            found += count
    assert found == 100_000


def test_a_stream_that_goes_on_behind_its_end_is_refused(tmp_path: Path) -> None:
    stored = zlib.compress(bytes(range(100)))
    path = tmp_path / "zlib"
    path.write_bytes(stored)
    with (
        io.BufferedReader(Inflated(path, 0, len(stored) - 1)) as file,
        pytest.raises(RefusedError, match="one cut short"),
    ):
        file.read()


@pytest.mark.parametrize(("shape", "chunk"), [((10, 2, 3), 4), ((10, 2, 3), 1), ((1, 2, 3), 7), ((7, 2, 3), 7)])
def test_slabs_are_as_deep_as_chunks_and_read_once(shape: tuple[int, ...], chunk: int) -> None:
    levels, asked = np.arange(np.prod(shape)).reshape(shape), []

    def slab(first: int, stop: int) -> Levels:
        asked.append((first, stop))
        return levels[first:stop]

    read = by_slabs(slab, shape=shape, chunk=chunk, itemsize=8)
    for index in range(shape[0]):
        np.testing.assert_array_equal(read(index), levels[index])
    assert asked == [(first, min(first + chunk, shape[0])) for first in range(0, shape[0], chunk)]


def test_slabs_that_would_fill_the_memory_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "SLAB_BYTES", 3 * 48)
    levels, asked = np.arange(60).reshape(10, 2, 3), []

    def slab(first: int, stop: int) -> Levels:
        asked.append((first, stop))
        return levels[first:stop]

    read = by_slabs(slab, shape=(10, 2, 3), chunk=8, itemsize=8)
    for index in range(10):
        np.testing.assert_array_equal(read(index), levels[index])
    assert asked == [(0, 3), (3, 6), (6, 9), (9, 10)]


def test_several_arrays_are_read_side_by_side_and_few_slabs_are_kept() -> None:
    asked = []

    def array(which: int) -> Any:
        def slab(first: int, stop: int) -> Levels:
            asked.append((which, first))
            return np.full((stop - first, 1, 1), which)

        return by_slabs(slab, shape=(4, 1, 1), chunk=2, itemsize=8)

    several = [array(which) for which in range(3)]
    for index in range(4):
        for which, read in enumerate(several):
            assert read(index) == which
    assert len(asked) == 6
    assert len(pieces._KEPT) <= 4


def test_limits_are_known_from_the_header() -> None:
    refuse_shape((MOST_SLICES, 2**14, 2**14))
    for shape in ((0, 1, 1), (1, -1, 1), (MOST_SLICES + 1, 1, 1), (1, MOST_PIXELS + 1, 1)):
        with pytest.raises(RefusedError):
            refuse_shape(shape)
    for code in ("u1", "i2", "f2", "f4", "f8", "u8"):
        refuse_dtype(np.dtype(code))
    for code in ("?", "c8", "S1", "O", "V4", "M8[s]", "u1,u1", "g"):
        with pytest.raises(RefusedError, match="grey levels of 8 to 64 bits"):
            refuse_dtype(np.dtype(code))
    refuse_ratio(10, 10_000)
    with pytest.raises(RefusedError, match="at most 1000 times its 10 bytes, got a header that says 10001"):
        refuse_ratio(10, 10_001)


def test_a_length_must_be_exact(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(9))
    refuse_length(path, 9)
    for expected in (8, 10):
        with pytest.raises(RefusedError, match=f"be {expected} bytes long, as its header says, got 9"):
            refuse_length(path, expected)


def test_every_failure_names_the_file() -> None:
    for failure in (KeyError("x"), RuntimeError("two\nlines"), OSError("disk"), AssertionError(), RecursionError()):
        with pytest.raises(ValueError, match=r"^a b must be readable, got .+; replace it$"), refusals(Path("b"), "a"):
            raise failure
    with pytest.raises(ValueError, match="^a b must be grey; convert it$"), refusals(Path("b"), "a"):
        raise RefusedError("be grey; convert it")
    for passed in (FileNotFoundError("x"), MissingExtraError("x"), MemoryError()):
        with pytest.raises(type(passed), match=r"^x?$"), refusals(Path("b"), "a"):
            raise passed


def test_a_volume_answers_native_writable_contiguous_levels(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.touch()
    stored = np.arange(12, dtype=">u2").reshape(2, 2, 3)
    volume = volume_of(
        path,
        kind="file",
        core="a",
        shape=(2, 3, 2),
        dtype=stored.dtype,
        read=lambda index: {0: stored[0].T, 1: stored[1].T}[index],
        voxel_um=None,
    )
    for index in (0, 1, -1):
        levels = volume[index]
        np.testing.assert_array_equal(levels, stored[index].T)
        assert (levels.dtype.isnative, levels.flags.writeable, levels.flags.c_contiguous) == (True, True, True)


def test_a_volume_of_another_dtype_than_said_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    volume = volume_of(
        tmp_path / "a",
        kind="file",
        core="a",
        shape=(1, 2, 3),
        dtype=np.dtype("u1"),
        read=lambda index: np.zeros((2, 3), "u2"),
        voxel_um=None,
    )
    with pytest.raises(ValueError, match=r"must be 2×3 uint8 .*, got 2×3 uint16"):
        volume[0]
