"""Folders and files that appear whole or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


class PlaceError(OSError):
    """Nothing can be made where the output shall lie."""

    exit_code = 73


@contextmanager
def creating(out: Path) -> Iterator[None]:
    """PlaceError that names `out`, and not what is written aside, where the system lets nothing be made there.

    What is wrong with the disk itself stays what it is.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {None, errno.EIO, errno.ENOSPC, errno.EDQUOT}:
            raise
        raise PlaceError(
            f"output must lie where it can be written, got {out}: {error.strerror}; name another place"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all, in folders that are made where they are missing; an old one is replaced."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]  # names may be as long as the file system allows
    aside = path.with_name(f".{digest}.tmp")
    with creating(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def refuse_taken(folder: Path) -> None:
    """FileExistsError where something other than an empty folder lies at `folder`."""
    target = folder.resolve()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"out must be a new or an empty folder, got {folder}; remove it or name another")


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A new folder that appears at `folder` whole when the block ends, or not at all; FileExistsError if taken.

    What a killed process left of the same folder is removed, what a living one is writing is not.
    """
    with creating(folder):
        target = folder.resolve()
        refuse_taken(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside, lock = _claimed(target)
    try:
        yield aside
        for file in aside.rglob("*"):
            _sync(file)
        _sync(aside)
        aside.replace(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        _unlock(lock)


def _claimed(target: Path) -> tuple[Path, int | None]:
    """A new folder beside the target, locked, after those that nobody holds any more were removed."""
    parent = _locked(target.parent, wait=True)  # so that nobody removes a new folder before its lock
    try:
        for left in target.parent.iterdir() if parent is not None else ():
            if left.name.startswith(f".{target.name}.tmp-") and (lock := _locked(left)) is not None:
                shutil.rmtree(left, ignore_errors=True)
                _unlock(lock)
        aside = target.with_name(f".{target.name}.tmp-{os.getpid()}-{uuid4().hex[:8]}")
        aside.mkdir()
        return aside, _locked(aside)
    finally:
        _unlock(parent)


def _locked(folder: Path, *, wait: bool = False) -> int | None:
    """A handle that holds a folder's lock until it is closed or its process dies; None where there is no lock to have.

    A process number would not do: another host or container counts its own.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return None
    import fcntl  # where folders cannot be opened, it is not there either

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _unlock(handle: int | None) -> None:
    if handle is not None:
        os.close(handle)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
