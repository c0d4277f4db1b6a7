"""The folder that a volume is written in until it is whole: one process at a time, and only for the same job."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coresr_data.output import headers
from coresr_data.output.sinks import Job, sync
from coresr_data.store.aside import creating, write_whole

JOB, DONE = "job.json", "done"


class BusyError(OSError):
    """Another process is writing the same output."""

    exit_code = 75


def part_of(target: Path) -> Path:
    """The folder in which `target` is made."""
    return target.with_name(f".{target.name}.part")


@contextmanager
def claimed(target: Path) -> Iterator[tuple[Path, int]]:
    """The folder of a job and its journal, locked; removed afterwards where nothing in it is worth going on with."""
    part = part_of(target)
    with creating(target):
        if not part.exists():
            _refuse_taken(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir(exist_ok=True)
        journal = os.open(part / DONE, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        _lock(journal, target)
        try:
            _refuse_taken(target)  # by the run that made the part and was killed before it could remove that, too
            yield part, journal
        finally:
            if part.exists() and (not os.fstat(journal).st_size or target.exists()):
                shutil.rmtree(part)
    finally:
        os.close(journal)


def started(work: Path, job: Job, journal: int) -> int:
    """Make the output without levels, or check that what is there is this job's; the place of the first level."""
    wanted: dict[str, Any] = json.loads(json.dumps(asdict(job)))
    said = work.parent / JOB
    if said.exists():
        found = json.loads(said.read_text(encoding="utf-8"))
        start = int(found.pop("start"))
        if found != wanted:
            other = ", ".join(name for name in wanted if found.get(name) != wanted[name])
            raise FileExistsError(
                f"output {work.parent} must be half of the same job, got one of another {other}; "
                "remove it to start anew, or name another output"
            )
        return start
    for left in work.parent.iterdir():
        if left.name != DONE:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    os.ftruncate(journal, 0)
    for one in headers.parts(work.parent.parent / work.name):
        _refuse_taken(one)
    start = headers.make(work, job)
    write_whole(said, json.dumps({**wanted, "start": start}))
    sync(work.parent)
    sync(work.parent.parent)
    return start


def done(journal: int, part: Path, job: Job) -> set[int]:
    """The tiles in the journal, whose last line may be torn and is cut then."""
    text = b""
    while data := os.pread(journal, 2**20, len(text)):
        text += data
    whole = text.rfind(b"\n") + 1
    os.ftruncate(journal, whole)
    lines, count = text[:whole].split(b"\n")[:-1], len(job.tiles())
    if not all(line.isdigit() and int(line) < count for line in lines):
        raise ValueError(f"{part / DONE} must hold tile numbers below {count}, got others; remove {part} to start anew")
    return {int(line) for line in lines}


def _refuse_taken(path: Path) -> None:
    if path.exists() and (path.suffix.lower() in headers.SUFFIXES or not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(f"output must be new, got {path}, which is there; remove it or name another")


def _lock(journal: int, target: Path) -> None:
    try:
        import fcntl  # the system may have none
    except ImportError:
        return
    try:
        fcntl.lockf(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ended = not os.fstat(journal).st_nlink
    except OSError:
        ended = False
    else:
        if not ended:
            return
    raise BusyError(
        f"output {target} must be written by one process at a time, got another that "
        f"{'just ended; try again' if ended else 'writes it now; wait for it'}"
    )
