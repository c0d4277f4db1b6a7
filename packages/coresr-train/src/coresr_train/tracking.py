"""`metrics.jsonl`: the record of a run, one JSON object a line."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path


def append(path: Path, kind: str, values: Mapping[str, float | int | str | None]) -> None:
    """Append one line, `{"kind": kind, …}`, in a single write; numbers that JSON cannot hold become null."""
    line = json.dumps({"kind": kind, **finite(values)}, allow_nan=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def finite(values: Mapping[str, float | int | str | None]) -> dict[str, float | int | str | None]:
    """The values with None for numbers that JSON cannot hold."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
