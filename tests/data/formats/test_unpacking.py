"""Chunks that would decode to more than their levels are refused before they are, whatever packed them."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coresr_data.formats import unpacking
from coresr_data.formats.pieces import RefusedError
from coresr_data.formats.zarr import open_zarr
from coresr_data.volume import Volume

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

LEVELS = np.random.default_rng(0).integers(0, 200, (2, 64, 64), dtype=np.uint8)
BOMB = bytes(2**22)
"""A thousand times a chunk."""


def blosc(data: bytes) -> bytes:
    return bytes(numcodecs.Blosc().encode(data))


def zstd(data: bytes) -> bytes:
    return bytes(numcodecs.Zstd().encode(data))


def zstd_blocks(size: int, *, block: int = 2**17) -> bytes:
    """A frame of zeros that does not say its size: blocks of one byte repeated."""
    cut = [min(block, size - at) for at in range(0, size, block)]
    blocks = b"".join(((n << 3) | 2 | (at == len(cut) - 1)).to_bytes(3, "little") + b"\0" for at, n in enumerate(cut))
    return bytes.fromhex("28b52ffd 00 58") + blocks


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd,
    "blosc": blosc,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "lz4": lambda data: bytes(numcodecs.LZ4().encode(data)),
}


def stored(path: Path, name: str) -> Path:
    """An array of format 2, one chunk a slice, packed by a codec of this name."""
    array = zarr.create_array(
        path,
        shape=LEVELS.shape,
        chunks=(1, 64, 64),
        dtype="uint8",
        zarr_format=2,
        compressors=numcodecs.get_codec({"id": name}),
    )
    array[:] = LEVELS
    return path


@pytest.mark.parametrize("name", PACKED)
def test_a_chunk_of_the_right_size_is_read_and_one_that_inflates_is_refused(tmp_path: Path, name: str) -> None:
    path = stored(tmp_path / "a.zarr", name)
    np.testing.assert_array_equal(open_zarr(path)[1], LEVELS[1])
    np.testing.assert_array_equal(open_zarr(path).region(1, slice(3, 9), slice(5, 60)), LEVELS[1, 3:9, 5:60])
    (path / "1.0.0").write_bytes(PACKED[name](BOMB))
    reads: list[Callable[[Volume], Any]] = [
        lambda volume: volume[1],
        lambda volume: volume.region(1, *2 * [slice(0, 8)]),
    ]
    for read in reads:
        with pytest.raises(ValueError, match=r"must decode to 4096 bytes a chunk, got more in 1\.0\.0; replace it$"):
            read(open_zarr(path))
    np.testing.assert_array_equal(open_zarr(path)[0], LEVELS[0])


@pytest.mark.parametrize("pack", [zstd, blosc])
def test_nothing_of_it_is_decoded(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    import tracemalloc

    path = stored(tmp_path / "a.zarr", pack.__name__)
    (path / "0.0.0").write_bytes(pack(bytes(2**26)))
    volume = open_zarr(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="got more in"):
            volume[0]
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("block", [2**17, 1000])
def test_a_frame_that_does_not_say_its_size_is_bounded_by_its_blocks(tmp_path: Path, block: int) -> None:
    path = stored(tmp_path / "a.zarr", "zstd")
    (path / "0.0.0").write_bytes(zstd_blocks(4096, block=min(block, 4096)))
    assert not open_zarr(path)[0].any()
    (path / "0.0.0").write_bytes(b"\x53\x2a\x4d\x18\x05\0\0\0dummy" + zstd_blocks(2**22, block=block))
    with pytest.raises(ValueError, match=r"must decode to 4096 bytes a chunk, got more in 0\.0\.0"):
        open_zarr(path)[0]


@pytest.mark.parametrize("first", [zstd(bytes(64)), zstd(b""), zstd_blocks(64)])
def test_frames_behind_the_first_are_counted_too(tmp_path: Path, first: bytes) -> None:
    path = stored(tmp_path / "a.zarr", "zstd")
    for bomb in (zstd(BOMB), zstd_blocks(2**22)):
        (path / "0.0.0").write_bytes(first + bomb)
        with pytest.raises(ValueError, match=r"must decode to 4096 bytes a chunk, got more in 0\.0\.0"):
            open_zarr(path)[0]


def test_a_shard_that_says_its_chunks_lie_beyond_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    how = {"shape": LEVELS.shape, "chunks": (1, 32, 32), "shards": (2, 64, 64), "dtype": "uint8"}
    zarr.create_array(path, **how, compressors=zarr.codecs.GzipCodec())[:] = LEVELS
    shard = path / "c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[-(16 * 8 + 4) + 8 : -(16 * 8 + 4) + 16] = (2**62).to_bytes(8, "little")
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"must have its chunks within its shards of \d+ bytes, got one at 0 of"):
        open_zarr(path)[0]


def test_shards_of_shards_are_refused() -> None:
    inner = {"name": "sharding_indexed", "configuration": {}}
    outer = {"index_codecs": [{"name": "bytes"}, {"name": "crc32c"}], "codecs": [inner]}
    with pytest.raises(RefusedError, match="have shards of chunks, got shards of shards"):
        unpacking.chunk_codecs({"codecs": [{"name": "sharding_indexed", "configuration": outer}]}, (1, 8, 8))


@pytest.mark.parametrize(
    "deltas", [[{"dtype": "<f8", "astype": "u1"}], [{"dtype": "u1", "astype": "u1"}, {"dtype": "u1", "astype": "u1"}]]
)
def test_filters_that_multiply_bytes_are_refused(tmp_path: Path, deltas: list[dict[str, str]]) -> None:
    codecs = [{"name": "delta", "configuration": one} for one in deltas]
    with pytest.raises(RefusedError, match="be filtered by one delta of one type"):
        unpacking.inspector(tmp_path, codecs, 4096, 0)
    unpacking.inspector(tmp_path, [{"name": "delta", "configuration": {"dtype": "u1"}}], 4096, 0)


def test_chunks_inside_of_shards_are_held_against_their_own_size(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    how = {"shape": LEVELS.shape, "chunks": (1, 32, 32), "shards": (2, 64, 64), "dtype": "uint8"}
    zarr.create_array(path, **how, compressors=zarr.codecs.ZstdCodec())[:] = LEVELS
    np.testing.assert_array_equal(open_zarr(path)[1], LEVELS[1])
    shard = path / "c/0/0/0"
    data, bomb = shard.read_bytes(), zstd(BOMB)
    table = bytearray(data[-(16 * 8 + 4) :])
    table[16:32] = len(data).to_bytes(8, "little") + len(bomb).to_bytes(8, "little")
    table[-4:] = int(numcodecs.CRC32C(location="end").encode(bytes(table[:-4]))[-4:].view("<u4")[0]).to_bytes(
        4, "little"
    )
    shard.write_bytes(data + bomb + table)
    with pytest.raises(ValueError, match="must decode to 1024 bytes a chunk, got more in c/0/0/0"):
        open_zarr(path)[0]


@pytest.mark.parametrize(
    "codecs",
    [
        [{"name": "zstd", "configuration": {}}, {"name": "gzip", "configuration": {}}],
        [{"name": "zstd", "configuration": {}}, {"name": "shuffle", "configuration": {}}],
    ],
)
def test_what_is_packed_twice_or_shuffled_afterwards_is_refused(tmp_path: Path, codecs: list[dict[str, Any]]) -> None:
    with pytest.raises(RefusedError, match="be packed once and last, got zstd, "):
        unpacking.inspector(tmp_path, codecs, 4096, 0)
