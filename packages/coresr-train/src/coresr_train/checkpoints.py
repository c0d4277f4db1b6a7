"""Checkpoints on disk: `RUN/checkpoints/<step>/`, each whole or not there, the damaged ones found out.

A checkpoint is written aside, each file and the folder flushed, its manifest last, and takes its name by one rename;
only then older ones may go. Tensors are safetensors, all else is JSON: nothing is ever unpickled.
"""

import errno
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

FORMAT = 1
FOLDER, STATE, MANIFEST = "checkpoints", "state.json", "manifest.json"
ASIDE = ".tmp-", ".trash-"
MOST_MANIFEST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What a checkpoint holds."""

    folder: Path
    step: int
    tensors: dict[str, dict[str, Tensor]]
    """By file and name."""
    state: dict[str, Any]


class DamagedError(ValueError):
    """A checkpoint that is not as it was written."""


class FormatError(ValueError):
    """A checkpoint of a later version."""


def write(out: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> Path:
    """Write the checkpoint of a step and return its folder. OSError with the bytes that are needed and free."""
    folder, aside = _of(out, step), out / FOLDER / f".tmp-{step}"
    if folder.exists():  # a run was resumed at its end
        return folder
    files = {f"{name}.safetensors": safetensors.torch.save(_plain(some)) for name, some in tensors.items()}
    files[STATE] = json.dumps({"step": step, **state}, allow_nan=False, indent=1).encode()
    sums = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    files[MANIFEST] = json.dumps({"format": FORMAT, "files": sums}, indent=1).encode()
    needed = sum(map(len, files.values()))
    folder.parent.mkdir(exist_ok=True)
    _refuse_full(folder.parent, needed)
    try:
        _remove(aside)
        aside.mkdir()
        for name, data in files.items():
            _write(aside / name, data)
        _sync(aside)
        aside.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        _remove(aside)
        free = shutil.disk_usage(folder.parent).free
        raise OSError(
            error.errno,
            f"checkpoint {folder} of {needed} bytes must be written, got {error.strerror} with {free} bytes free; "
            "free some space and go on with --resume",
        ) from error
    return folder


def newest(out: Path) -> Saved | None:
    """The newest whole checkpoint of a run folder, None where there are none; a warning names each damaged one.

    DamagedError where all are.
    """
    for step in reversed(steps(out)):
        try:
            return read(_of(out, step))
        except DamagedError as error:
            warnings.warn(f"{error}; going back to the one before", stacklevel=2)
    if steps(out):
        raise DamagedError(f"checkpoints in {out / FOLDER} must be whole, got none whole; remove them to start anew")
    return None


def read(folder: Path) -> Saved:
    """A checkpoint, every byte of it checked.

    FileNotFoundError, FormatError for one of a later version, DamagedError where it is not as it was written.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"checkpoint must be a folder {FOLDER}/<step> of a run, got {folder}")
    try:
        manifest = json.loads(_limited(folder / MANIFEST))
        _refuse_other(manifest["format"])
        files = {name: _whole(folder, name, about) for name, about in manifest["files"].items()}
        state = json.loads(files.pop(STATE))
        tensors = {name.removesuffix(".safetensors"): safetensors.torch.load(data) for name, data in files.items()}
        return Saved(folder=folder, step=int(state["step"]), tensors=tensors, state=state)
    except FormatError:
        raise
    except (
        *(
            FileNotFoundError,
            NotADirectoryError,
            IsADirectoryError,
        ),  # a disk that fails to read has damaged nothing yet
        *(ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError),
    ) as error:
        raise DamagedError(f"checkpoint {folder} must be as it was written, got {error}") from error


def steps(out: Path) -> list[int]:
    """The steps of the checkpoints there are, in order; other things in the folder are not ours."""
    folder = out / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and name == str(int(name)))


def rotate(out: Path, *, keep: int, spared: Collection[int]) -> None:
    """Remove all but the newest `keep` checkpoints and those of the `spared` steps; a warning where one cannot go."""
    for step in steps(out)[:-keep]:
        if step not in spared:
            _discard(out, step)


def rewind(out: Path, step: int) -> None:
    """Remove the checkpoints after a step, and what an interrupted writer left."""
    folder = out / FOLDER
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith(ASIDE):
            _remove(path)
    for later in steps(out):
        if later > step:
            _discard(out, later)


def _discard(out: Path, step: int) -> None:
    trash = out / FOLDER / f".trash-{step}"
    try:
        _of(out, step).rename(trash)  # gone at once, or not at all
        _remove(trash)
    except OSError as error:
        warnings.warn(f"checkpoint {_of(out, step)} could not be removed: {error.strerror}", stacklevel=3)


def _of(out: Path, step: int) -> Path:
    return out / FOLDER / str(step)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _limited(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_MANIFEST)


def _refuse_other(found: object) -> None:
    if found != FORMAT:
        raise FormatError(
            f"checkpoint must be of format {FORMAT}, got {found} of a later version; upgrade coresr-train"
        )


def _whole(folder: Path, name: str, about: Mapping[str, Any]) -> bytes:
    path = folder / name
    if path.parent != folder or path.is_symlink():
        raise ValueError(f"a file {name!r} that is not in it")
    if path.stat().st_size != about["size"]:
        raise ValueError(f"{name} of {path.stat().st_size} bytes where {about['size']} were written")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise ValueError(f"other bytes in {name} than were written")
    return data


def _refuse_full(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"checkpoint folder {folder} must have {needed} bytes free, got {free}; free some and go on with --resume",
        )


def _write(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a folder of ours, which holds files alone."""
    if not folder.exists():
        return
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
