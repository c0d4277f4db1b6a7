"""Is a file a safetensors file that can be read safely? Asked of its bytes before any library sees them.

A safetensors file is the length of its header (8 bytes, little-endian), the header (JSON: for each tensor its dtype,
shape and place), and the tensors' bytes. The library accepts what we do not: names given twice, of which the last
wins, and names of any kind. A pickle under whatever name is told by its content and refused as unsafe.
"""

import io
import itertools
import json
import math
import os
import pickletools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
from torch import Tensor

MAX_HEADER = 16_000_000
"""Bytes: that of a network of ours takes kilobytes."""
MAX_ELEMENTS = 1_000_000_000
"""Of all tensors together: seven times the largest network here."""
NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")
ITEM_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of an element of each dtype that may occur."""
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")
"""Suffixes of weight files that other programs write as pickles."""
CALLING = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD", "EXT1", "EXT2", "EXT4"}
"""Operations of a pickle that name or call code."""


class UnsafeFileError(ValueError):
    """A weight file whose format can execute code when it is read."""

    exit_code = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a header says of one tensor; `begin` and `end` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a safetensors file holds, by name."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]

    @property
    def elements(self) -> int:
        """Of all tensors together."""
        return sum(math.prod(entry.shape) for entry in self.tensors.values())


def read_header(path: Path) -> Header:
    """What the file says it holds; no tensor is read.

    FileNotFoundError without a file, UnsafeFileError for a pickle, ValueError for anything but a whole safetensors
    file with legal names and dtypes.
    """
    with _opened(path) as file:
        return _header(path, file)[0]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that `read_header` accepts, from the very bytes that were checked."""
    with _opened(path) as file:
        header, data = _header(path, file)
        data += file.read(sum(entry.end - entry.begin for entry in header.tensors.values()))
    try:
        return safetensors.torch.load(data), header.metadata
    except (safetensors.SafetensorError, ValueError) as error:  # cut while it was read, say
        raise _damaged(path, str(error)) from error


def strict_json(text: str | bytes) -> Any:
    """JSON as its standard has it: no name twice in an object, no NaN or infinity; ValueError says what is wrong."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("JSON nested without end") from error


def refuse_pickle(path: Path) -> None:
    """UnsafeFileError if a file is a pickle by its suffix or its content, or an archive that can hold one."""
    with path.open("rb") as file:
        kind = _pickled(file.read(4096))
    if kind is None and path.suffix.lower() in PICKLED:
        kind = f"a {path.suffix} file"
    if kind is not None:
        raise UnsafeFileError(
            f"checkpoint must be a .safetensors file, got {path}, which is {kind}: reading a pickle can run code; "
            f"convert it with python -m coresr_models convert {path} OUT.safetensors"
        )


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint must be a .safetensors file, got {path}, which is not there")
    refuse_pickle(path)
    return path.open("rb")


def _pickled(head: bytes) -> str | None:
    """What executable format the first bytes of a file betray, if any."""
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER:
        return None  # a safetensors header, whose length may spell what looks like a pickle's first operations
    if head[:4] in {b"PK\3\4", b"PK\5\6", b"PK\7\x08"}:
        return "a zip archive as torch.save and TorchScript write"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:1] == b"\x80" and head[1:2] <= b"\5":
        return "a pickle"
    try:
        for operation, _, _ in pickletools.genops(io.BytesIO(head)):
            if operation.name in CALLING:
                return "a pickle"
    except (ValueError, IndexError, OverflowError):  # neither a pickle so far nor one that is cut
        pass
    return None


def _header(path: Path, file: BinaryIO) -> tuple[Header, bytes]:
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if size < 10 or length > size - 8:
        raise _damaged(path, f"{size} bytes, less than its header of {length}")
    if length > MAX_HEADER:
        raise _damaged(path, f"a header of {length} bytes, more than {MAX_HEADER}")
    raw = file.read(length)
    try:
        header = _checked(raw, size - 8 - length)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return header, length.to_bytes(8, "little") + raw


def _checked(raw: bytes, payload: int) -> Header:
    about = strict_json(raw.decode())
    if raw[:1] != b"{" or not isinstance(about, dict):
        raise ValueError("a header that is no JSON object from its first byte")
    metadata = about.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata that are not text by name")
    tensors = {name: _entry(name, value) for name, value in about.items()}
    end = 0
    for name, entry in sorted(tensors.items(), key=lambda item: item[1].begin):
        if entry.begin != end:
            raise ValueError(f"tensor {name} at byte {entry.begin} where {end} is next: a gap or an overlap")
        end = entry.end
    if end != payload:
        raise ValueError(f"{payload} bytes of tensors where its header says {end}")
    header = Header(tensors=tensors, metadata=metadata)
    if header.elements > MAX_ELEMENTS:
        raise ValueError(f"{header.elements} elements, more than {MAX_ELEMENTS}")
    return header


def _entry(name: str, value: Any) -> Entry:
    if NAME.fullmatch(name) is None:
        raise ValueError(f"a tensor named {name[:200]!r}, not of letters, digits, points and underscores")
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name} without exactly dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise ValueError(f"tensor {name} of dtype {dtype!r:.50}, none of {', '.join(ITEM_SIZES)}")
    if not _integers(shape) or len(shape) > 8 or any(side < 1 for side in shape):
        raise ValueError(f"tensor {name} of shape {shape!r:.50}, not of at most eight numbers from 1")
    if not _integers(offsets) or len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1]:
        raise ValueError(f"tensor {name} at bytes {offsets!r:.50}, not from one place to a later one")
    begin, end = offsets
    if end - begin != ITEM_SIZES[dtype] * math.prod(shape):
        raise ValueError(f"tensor {name} of {end - begin} bytes, not those of {dtype} {shape!r:.50}")
    return Entry(dtype=dtype, shape=tuple(shape), begin=begin, end=end)


def _integers(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int for value in values)


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    ordered = sorted(pairs, key=lambda pair: pair[0])
    for (name, _), (other, _) in itertools.pairwise(ordered):
        if name == other:
            raise ValueError(f"the name {name[:200]!r} twice")
    return dict(pairs)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:50]}, too large")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text}, which is no JSON")


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"checkpoint {path} must be a whole safetensors file, got {why}; copy it again")
