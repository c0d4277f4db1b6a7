"""Write a volume slice by slice or tile by tile: resumable, and whole or not at all.

Work goes into `.NAME.part` beside NAME: `job.json` says what it is, `done` which tiles are safely written (one line
each, added only after their levels are on the disk), and under its own name lies what becomes NAME by a rename at the
end. A run that was killed goes on from there when it is started again with the same digest, and its result is bit
for bit that of an undisturbed run.
"""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from coresr_data.output import headers
from coresr_data.output.claiming import BusyError, claimed, done, part_of, started
from coresr_data.output.headers import SUFFIXES
from coresr_data.output.sinks import Job, Shape, Sink, Tile, sync
from coresr_data.volume import Levels, Voxel

__all__ = ["SUFFIXES", "BusyError", "VolumeWriter", "part_of", "writing"]

FOREIGN = (".bmp", ".dcm", ".gz", ".h5", ".jpeg", ".jpg", ".mat", ".mha", ".nii", ".npz", ".nrrd", ".png", ".raw")
COMMIT_BYTES = 2**26  # levels that a crash may cost


class VolumeWriter:
    """Takes the tiles that are still to do; made by `writing`."""

    def __init__(self, place: Path, job: Job, start: int, journal: int) -> None:
        self.place = place
        """Of the output until it appears: to a folder of slices files may be added."""
        self._job, self._start, self._journal = job, start, journal
        self._numbers = {tile: number for number, tile in enumerate(job.tiles())}
        self._done, self._pending = done(journal, place.parent, job), list[int]()
        self._sink: Sink | None = None
        self._bytes = 0

    @property
    def todo(self) -> list[Tile]:
        """The tiles that are not written yet, in order."""
        written = self._done.union(self._pending)
        return [tile for tile, number in self._numbers.items() if number not in written]

    def write(self, tile: Tile, levels: Levels) -> None:
        """Write the levels `(y, x)` of a tile; ValueError for another size or dtype, or a tile that is not to do."""
        number = self._numbers.get(tile)
        if number is None or number in self._done or number in self._pending:
            raise ValueError(f"tile must be one of those to do, got {tile}")
        if levels.shape != (tile.height, tile.width) or levels.dtype != np.dtype(self._job.dtype):
            raise ValueError(
                f"levels of slice {tile.z} must be {tile.height}×{tile.width} {self._job.dtype}, "
                f"got {'×'.join(map(str, levels.shape))} {levels.dtype}"
            )
        if self._sink is None:
            self._sink = headers.sink(self.place, self._job, self._start)
        self._sink.write(tile, levels)
        self._pending.append(number)
        self._bytes += levels.nbytes
        if self._bytes >= COMMIT_BYTES:
            self.commit()

    def commit(self) -> None:
        """Put what was written on the disk, and then into the journal."""
        if self._sink is None or not self._pending:
            return
        self._sink.flush()
        lines = memoryview("".join(f"{number}\n" for number in self._pending).encode())
        while lines:
            lines = lines[os.write(self._journal, lines) :]
        os.fsync(self._journal)
        self._done.update(self._pending)
        self._pending.clear()
        self._bytes = 0

    def close(self) -> None:
        """Keep what was written, for a run that goes on."""
        with suppress(OSError):  # on a full disk there is an error already that says so
            self.commit()
        if self._sink is not None:
            self._sink.close()


@contextmanager
def writing(
    path: Path,
    *,
    shape: Shape,
    dtype: DTypeLike,
    digest: str,
    voxel_um: Voxel | None = None,
    tile: tuple[int, int] | None = None,
    names: Sequence[str] = (),
) -> Iterator[VolumeWriter]:
    """A writer for the volume `(z, y, x)` at `path`, which appears when the block ends with every tile written.

    `.tif` is an OME-TIFF stack, `.npy`, `.mhd` (with `.raw` beside it) and `.zarr` what they are elsewhere, any other
    name a folder of slices called `names` (`0000.tif` … without). `digest` names what the levels are computed from:
    a run with the same one goes on where another stopped. FileExistsError where `path` is taken or half written with
    another digest, BusyError (exit code 75) where a process writes it now, OSError (74) on a full disk.
    """
    target = path.absolute()
    job = _job(target, shape, dtype, digest=digest, tile=tile, voxel_um=voxel_um, names=names)
    with claimed(target) as (part, journal), _full_disk_said(target, job):
        work = part / target.name
        start = started(work, job, journal)
        writer = VolumeWriter(work, job, start, journal)
        try:
            yield writer
            writer.commit()
        finally:
            writer.close()
        if missing := len(writer.todo):
            raise ValueError(f"every tile of {path} must be written, got {missing} missing; write those to do")
        for one in headers.parts(work):
            if one.exists():  # it may have been moved before a crash
                one.replace(target.with_name(one.name))
        sync(target.parent)
        shutil.rmtree(part)


def _job(
    target: Path,
    shape: Shape,
    dtype: DTypeLike,
    *,
    digest: str,
    tile: tuple[int, int] | None,
    voxel_um: Voxel | None,
    names: Sequence[str],
) -> Job:
    if target.suffix.lower() in FOREIGN:
        raise ValueError(f"output must be a folder, or end in {', '.join(SUFFIXES)}, got {target}")
    slices = target.suffix.lower() not in SUFFIXES
    if slices and tile is not None and tile != tuple(shape[1:]):
        raise ValueError(f"tiles must fill whole slices in a folder of slices, got {tile}; write a .tif or .zarr")
    if names and not slices:
        raise ValueError(f"names must be given for a folder of slices, got {target}")
    return Job(
        digest=digest,
        shape=shape,
        dtype=np.dtype(dtype).name,
        voxel_um=voxel_um,
        tile=tile or (shape[1], shape[2]),
        names=tuple(names) or (tuple(f"{z:04d}.tif" for z in range(shape[0])) if slices else ()),
    )


@contextmanager
def _full_disk_said(target: Path, job: Job) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        size, free = job.nbytes, shutil.disk_usage(target.parent).free
        raise OSError(
            f"disk of {target.parent} must have room for {size} bytes, got {free} free; free some, "
            "then run the same command again: it goes on where it stopped"
        ) from error
