"""`metrics.jsonl`: the record of a run, one JSON object a line."""

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, kind: str, values: Mapping[str, float | int | str | None]) -> None:
    """Append one line, `{"kind": kind, …}`, in a single write; numbers that JSON cannot hold become null."""
    line = json.dumps({"kind": kind, **finite(values)}, allow_nan=False) + "\n"
    _write(path, line.encode(), os.O_APPEND)


def finite(values: Mapping[str, float | int | str | None]) -> dict[str, float | int | str | None]:
    """The values with None for numbers that JSON cannot hold."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }


def rows(path: Path) -> list[dict[str, Any]]:
    """Every row of the record, in order; a last line that a crash cut off is left out.

    FileNotFoundError where there is no such file, ValueError for a line before the last that is no JSON object.
    """
    return [row for _, row in _lines(path)]


def truncate(path: Path, after: int, *, again: str = "") -> None:
    """Take rows of a `step` greater than `after` out of the record, and a last line that a crash cut off.

    Those of the kind `again` go at `after` itself, too: they will be made again. The file is replaced as a whole; the
    lines that stay keep their bytes. Where there is none, nothing is done. ValueError for a line before the last that
    is no JSON object.
    """
    with contextlib.suppress(FileNotFoundError):
        kept = (line for line, row in _lines(path) if row.get("step", after) < after + (row.get("kind") != again))
        write_whole(path, b"".join(line + b"\n" for line in kept))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and survives a loss of power."""
    aside = path.with_name(f".{path.name}.tmp")
    _write(aside, content, os.O_TRUNC, lasting=True)
    os.replace(aside, path)  # noqa: PTH105  # a crash suite stands at every call of os
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Each line without its end, and what it holds."""
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            found.append((line, row))
        elif number < len(lines):
            shown = line[:40].decode(errors="backslashreplace")
            raise ValueError(f"{path} line {number} must be a JSON object, got {shown!r}; remove that line")
    return found


def _write(path: Path, content: bytes, how: int, *, lasting: bool = False) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0) | how, 0o666)
    try:
        while content:
            content = content[os.write(handle, content) :]
        if lasting:
            os.fsync(handle)
    except OSError as error:
        said = f"{path} must be written, got {error.strerror}; free some space and go on with --resume"
        raise OSError(error.errno, said) from error
    finally:
        os.close(handle)
