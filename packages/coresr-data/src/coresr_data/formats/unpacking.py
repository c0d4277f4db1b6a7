"""Chunks of a Zarr array, held against the bytes that their levels need before a codec decodes them.

Codecs trust what a chunk says of itself: a few bytes can ask for gigabytes. Sizes are read from the headers of
Zstandard (RFC 8878), Blosc and numcodecs' LZ4; other streams are decoded twice, first by blocks that are not held.
"""

import bz2
import gzip
import io
import lzma
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from coresr_data.formats.pieces import BLOCK, RefusedError

COMPRESSORS = ("blosc", "bz2", "gzip", "lz4", "lzma", "zlib", "zstd")
BEHIND = ("crc32c", "fletcher32")
"""Codecs that put a few bytes behind what a compressor made."""
SLACK = 64
"""Bytes of checksums."""
INFLATES = 1032
"""Bytes that a byte of zlib can become at most; a chunk that cannot become more than its own is not looked at."""
ZSTD_BLOCK = 2**17
ZSTD_FRAME, ZSTD_SKIPPED = 0xFD2FB528, 0x184D2A50


def inspector(
    folder: Path, codecs: Sequence[Mapping[str, Any]], chunk_bytes: int, inner: int
) -> Callable[[Path], None]:
    """What refuses a chunk file of the array in `folder`: RefusedError where a chunk in it decodes to too many bytes.

    `codecs` are those of a chunk as they encode, `(name, configuration)` mappings, and `inner` is how many chunks a
    file holds with an index of them at its end, 0 where it is one. RefusedError for codecs whose sizes are not known.
    """
    names = [codec["name"] for codec in codecs]
    deltas = [codec["configuration"] for codec in codecs if codec["name"] == "delta"]
    if len(deltas) > 1 or any(one.get("astype", one.get("dtype")) != one.get("dtype") for one in deltas):
        raise RefusedError("be filtered by one delta of one type, got others; save it without filters")
    packing = [at for at, name in enumerate(names) if name in COMPRESSORS]
    if len(packing) > 1 or (packing and set(names[packing[0] + 1 :]).difference(BEHIND)):
        raise RefusedError(f"be packed once and last, got {', '.join(names)}; save it with zstd or blosc")
    seen: dict[Path, tuple[int, int]] = {}

    def look(path: Path) -> None:
        status = path.stat()
        if not packing or seen.get(path) == (stamp := (status.st_size, status.st_mtime_ns)):
            return
        most, codec = chunk_bytes + SLACK, codecs[packing[0]]
        with path.open("rb") as file:
            for start, length in _indexed(file, inner, status.st_size) if inner else [(0, status.st_size)]:
                if _decoded(codec, file, start, length, most) > most:
                    name = path.relative_to(folder)
                    raise RefusedError(f"decode to {chunk_bytes} bytes a chunk, got more in {name}; replace it")
        seen[path] = stamp

    return look


def _indexed(file: BinaryIO, inner: int, size: int) -> Iterator[tuple[int, int]]:
    """Where in a shard its chunks lie: pairs of 64-bit numbers at its end, before a checksum of four bytes."""
    index = 16 * inner + 4
    file.seek(max(0, size - index))
    table = file.read(16 * inner)
    for at in range(0, len(table) - 15, 16):
        start, length = (int.from_bytes(table[at + part : at + part + 8], "little") for part in (0, 8))
        if start == 2**64 - 1:  # which is said of a chunk that is absent
            continue
        if start + length > size:
            raise RefusedError(f"have its chunks within its shards of {size} bytes, got one at {start} of {length}")
        yield start, length


def _decoded(codec: Mapping[str, Any], file: BinaryIO, start: int, length: int, most: int) -> int:
    """Bytes that a chunk decodes to, or so many that it is more than `most`."""
    file.seek(start)
    match codec["name"]:
        case "blosc":
            return int.from_bytes(file.read(8)[4:], "little")
        case "lz4":
            return int.from_bytes(file.read(4), "little")
        case "zstd":
            return _zstd(file, start + length, most)
        case "zlib" | "gzip" if INFLATES * length <= most:
            return 0
    return _streamed(codec, io.BytesIO(file.read(length)), most)


def _zstd(file: BinaryIO, stop: int, most: int) -> int:
    """What its frames say of themselves; of those that say nothing, the most that their blocks can become."""
    total = known = 0
    while file.tell() < stop:
        magic = int.from_bytes(file.read(4), "little")
        if magic & ~0xF == ZSTD_SKIPPED:
            file.seek(int.from_bytes(file.read(4), "little"), io.SEEK_CUR)
            continue
        if magic != ZSTD_FRAME:
            break  # what follows is no Zstandard, for the codec to refuse
        about = file.read(1)[0]
        single, flag = bool(about & 0x20), about >> 6
        file.seek((not single) + (0, 1, 2, 4)[about & 3], io.SEEK_CUR)
        said = file.read((int(single), 2, 4, 8)[flag])
        blocks = _blocks(file, checksum=bool(about & 4))
        if said:
            known += int.from_bytes(said, "little") + 256 * (flag == 1)
        else:
            total += blocks
        if known > most or total > 2 * most + BLOCK:  # writers may end blocks early
            return known + total
    return known + min(total, most)


def _blocks(file: BinaryIO, *, checksum: bool) -> int:
    total, last = 0, False
    while not last and len(header := file.read(3)) == 3:
        number = int.from_bytes(header, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        total += size if kind < 2 else ZSTD_BLOCK
        file.seek(1 if kind == 1 else size, io.SEEK_CUR)
    file.seek(4 * checksum, io.SEEK_CUR)
    return total


def _streamed(codec: Mapping[str, Any], packed: BinaryIO, most: int) -> int:
    """Decoded by blocks, no further than beyond `most`. Broken streams are the codec's to refuse."""
    total = 0
    try:
        for block in _opened(codec, packed):
            total += block
            if total > most:
                break
    except (EOFError, OSError, zlib.error, lzma.LZMAError):
        pass
    return total


def _opened(codec: Mapping[str, Any], packed: BinaryIO) -> Iterator[int]:
    name, configuration = codec["name"], codec["configuration"]
    if name == "zlib":
        decoder = zlib.decompressobj()
        fed = packed.read()
        while fed and not decoder.eof:
            yield len(decoder.decompress(fed, BLOCK))
            fed = decoder.unconsumed_tail
        return
    if name == "lzma" and (configuration.get("filters") or configuration.get("format", 1) not in (0, 1, 2)):
        raise RefusedError("be packed by known codecs, got lzma without its header; save it with zstd or blosc")
    kinds: dict[str, Callable[[BinaryIO], Any]] = {"gzip": _gzip, "bz2": bz2.BZ2File, "lzma": lzma.LZMAFile}
    with kinds[name](packed) as stream:
        while block := len(stream.read(BLOCK)):
            yield block


def _gzip(packed: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=packed)


def chunk_codecs(metadata: Mapping[str, Any], shape: Sequence[int]) -> tuple[list[dict[str, Any]], int]:
    """Of the metadata of an array: the codecs of a chunk as they encode, and how many chunks `shape` a file holds."""
    said, inner = [*(metadata.get("filters") or ()), metadata.get("compressor"), *metadata.get("codecs", ())], 0
    codecs = [_codec(one) for one in said if one is not None]
    if (outer := next((codec for codec in codecs if codec["name"] == "sharding_indexed"), None)) is not None:
        about = outer["configuration"]
        index = [_codec(one)["name"] for one in about.get("index_codecs", ())]
        if len(codecs) > 1 or index != ["bytes", "crc32c"] or about.get("index_location", "end") != "end":
            raise RefusedError("have shards with a plain index at their end, got others; save it without shards")
        codecs = [_codec(one) for one in about.get("codecs", ())]
        if any(codec["name"] == "sharding_indexed" for codec in codecs):
            raise RefusedError("have shards of chunks, got shards of shards; save it with one level of them")
        whole = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        inner = math.prod(outer // part for outer, part in zip(whole, shape, strict=True))
    return codecs, inner


def _codec(said: Any) -> dict[str, Any]:
    """Of either format of Zarr."""
    if not isinstance(said, dict):
        return {"name": str(said).removeprefix("numcodecs."), "configuration": {}}
    name = str(said.get("name", said.get("id"))).removeprefix("numcodecs.")
    return {"name": name, "configuration": said.get("configuration") or said}
