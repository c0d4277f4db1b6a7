"""What the formats of volumes share: refusals that name the file, limits known from headers, slices read in pieces.

Nothing here holds a volume whole: a raw file is read slice by slice, a compressed stream from front to back, a chunked
array by slabs as deep as its chunks.
"""

import io
import itertools
import math
import os
import sys
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coresr_data.formats.extras import MissingExtraError
from coresr_data.volume import Levels, Volume, Voxel, stamped

MOST_PIXELS = 2**28  # of a slice; a few bytes of header can promise any number
MOST_SLICES = 100_000  # each has a name in memory
MOST_RATIO = 1000  # decoded bytes per byte stored, where a file is one compressed stream
SLAB_BYTES = 2**29  # decoded at once from a chunked array
MOST_CHUNK = 2**31  # bytes of a chunk, which is decoded whole
BLOCK = 2**20  # bytes


class Readable(Protocol):
    """An open file, as far as it is needed here."""

    def read(self, size: int, /) -> bytes:
        """So many bytes, fewer only at the end."""
        ...


class RefusedError(Exception):
    """What the file must be, and what was found instead."""


@contextmanager
def refusals(path: Path, kind: str) -> Iterator[None]:
    """Whatever goes wrong in a parser is a ValueError that names the file, except that the file or an extra is absent.

    Parsers raise what they met: struct.error, KeyError, zlib.error, RuntimeError and many more.
    """
    try:
        yield
    except RefusedError as refusal:
        raise ValueError(f"{kind} {path} must {refusal}") from None
    except (FileNotFoundError, MissingExtraError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{kind} {path} must be readable, got {reason}; replace it") from error


def volume_of(
    path: Path,
    *,
    kind: str,
    core: str,
    shape: tuple[int, int, int],
    dtype: np.dtype[np.generic],
    read: Callable[[int], Levels],
    voxel_um: Voxel | None,
    source: Path | None = None,
) -> Volume:
    """The Volume of one file that holds `shape` (z, y, x): slices numbered from 0, named `file[0]`, refused by name.

    `source` is the file that holds the levels, where it is another.
    """
    refuse_shape(shape)
    refuse_dtype(dtype)

    def checked(index: int) -> Levels:
        with refusals(path, kind):
            levels = read(index % shape[0])
            return levels.astype(levels.dtype.newbyteorder("="), order="C")

    return Volume(
        core=core,
        numbers=tuple(range(shape[0])),
        names=tuple(f"{path.name}[{index}]" for index in range(shape[0])),
        size=shape[1:],
        dtype=dtype.newbyteorder("="),
        read=checked,
        sources=(source or path,),
        voxel_um=voxel_um,
        stamps=stamped([source or path]),
    )


def refuse_shape(shape: tuple[int, int, int]) -> None:
    """RefusedError for a volume (z, y, x) without pixels or too large to be true."""
    if min(shape) < 1:
        raise RefusedError(f"hold pixels, got shape {_by(shape)}; replace it")
    if shape[0] > MOST_SLICES:
        raise RefusedError(f"hold at most {MOST_SLICES} slices, got {shape[0]}; cut it into several volumes")
    if shape[1] * shape[2] > MOST_PIXELS:
        raise RefusedError(
            f"hold slices of at most {MOST_PIXELS} pixels, got {_by(shape[1:])}; cut it into smaller volumes"
        )


def refuse_dtype(dtype: np.dtype[np.generic]) -> None:
    """RefusedError for whatever is not one grey level a pixel: 8 to 64 bit integers, 16 to 64 bit floats."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise RefusedError(f"hold grey levels of 8 to 64 bits, got {dtype}; convert it to 8 or 16 bit grey")


def refuse_absent(path: Path, kind: str) -> None:
    """FileNotFoundError where `path` is no file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{kind} must be a file, got {path}, which is {'a folder' if path.is_dir() else 'not there'}"
        )


def refuse_length(path: Path, expected: int) -> None:
    """RefusedError where a file of raw levels is not exactly as long as its header says."""
    if (length := path.stat().st_size) != expected:
        raise RefusedError(f"be {expected} bytes long, as its header says, got {length}; replace it")


def refuse_ratio(stored: int, size: int) -> None:
    """RefusedError where so many stored bytes promise to decode to more than a compressed volume of rock does."""
    if size > MOST_RATIO * stored:
        raise RefusedError(
            f"decode to at most {MOST_RATIO} times its {stored} bytes, got a header that says {size}; replace it"
        )


def whole_levels(data: bytes, size: tuple[int, int], dtype: np.dtype[np.generic]) -> Levels:
    """The `(y, x)` levels of a slice stored row by row."""
    return np.frombuffer(data, dtype).reshape(size)


def raw_pieces(path: Path, *, start: int, length: int) -> Callable[[int], bytes]:
    """The i-th piece of `length` bytes after `start`.

    Read and not mapped: a file cut while it is mapped kills the process.
    """

    def read(index: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start + index * length)
            data = file.read(length)
        if len(data) != length:
            raise RefusedError(f"hold slice {index} whole, got {len(data)} of {length} bytes; replace it")
        return data

    return read


def streamed_pieces(
    opened: Callable[[], AbstractContextManager[Readable]], *, start: int, length: int, count: int, padding: int = 0
) -> Callable[[int], bytes]:
    """The i-th of `count` pieces of a compressed stream, `start` decoded bytes after its beginning.

    Going forward decodes each byte once and holds one piece; going back starts over. The stream must end after the
    last piece and at most `padding` more bytes, which is where its checksum is verified.
    """

    def pieces() -> Iterator[bytes]:
        with opened() as file:
            for skipped in range(0, start, BLOCK):
                file.read(min(BLOCK, start - skipped))
            for index in range(count):
                data = file.read(length)
                if len(data) != length:
                    raise RefusedError(f"hold {count} slices, got {index}; replace it")
                if index == count - 1 and len(file.read(padding + 1)) > padding:
                    raise RefusedError(f"end after {count} slices, got more; replace it")
                yield data

    return in_order(pieces)


def in_order(pieces: Callable[[], Iterator[bytes]]) -> Callable[[int], bytes]:
    """The i-th piece, from one pass as long as the indices ascend; each process makes its own pass.

    A pass is kept open from the second ascending index on: a look at one slice of each of many files opens none of
    them for good.
    """
    lock = threading.Lock()
    last, process = sys.maxsize, 0
    running: Iterator[bytes] | None = None

    def read(index: int) -> bytes:
        nonlocal last, process, running
        with lock:
            if process != os.getpid() or index <= last or running is None:
                going, at = pieces(), 0
            else:
                going, at = running, last + 1
            kept = process == os.getpid() and index > last
            last, process, running = index, os.getpid(), None  # where the next lines raise, the next call starts over
            data = next(itertools.islice(going, index - at, None))
            running = going if kept else None
        return data

    return read


def by_slabs(
    slab: Callable[[int, int], Levels], *, shape: tuple[int, ...], chunk: int, itemsize: int
) -> Callable[[int], Levels]:
    """The i-th slice of a chunked `(n, …)` array, reading `slab(first, stop)` as deep as its chunks.

    A pass decodes each chunk once, unless a slab of that depth would fill the memory: then a few times. A few slabs
    are kept, of all such arrays together, so that several can be read side by side.
    """
    largest = max(1, SLAB_BYTES // (itemsize * math.prod(shape[1:])))
    deep = -(-chunk // -(-chunk // largest))
    owner = object()

    def read(index: int) -> Levels:
        first = index // deep * deep
        found = next((levels for whose, at, levels in tuple(_KEPT) if whose is owner and at == first), None)
        if found is None:
            found = slab(first, min(first + deep, shape[0]))
            _KEPT.append((owner, first, found))
        levels: Levels = found[index - first]
        return levels

    return read


_KEPT: deque[tuple[object, int, Levels]] = deque(maxlen=4)


class Inflated(io.RawIOBase):
    """The decoded bytes of a zlib stream that lies between `start` and `start + length` of a file."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file = path.open("rb")
        self._file.seek(start)
        self._left = length
        self._decoder = zlib.decompressobj()

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or less; 0 at the end of the stream."""
        data = b""
        while not data and not self._decoder.eof:
            if not (fed := self._decoder.unconsumed_tail):
                fed = self._file.read(min(BLOCK, self._left))
                self._left -= len(fed)
            data = self._decoder.decompress(fed, len(buffer))
            if not (fed or data or self._decoder.eof):
                raise RefusedError("hold a whole compressed variable, got one cut short; replace it")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
