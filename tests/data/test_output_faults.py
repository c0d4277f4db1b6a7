"""A volume written by processes that die at every system call, and by disks that fail at every one (RELIABILITY D18).

The child process counts the calls that change files; at the n-th it dies, before the call or with half its bytes
written. A second run must end with what an undisturbed run writes, byte by byte.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data import output
from coresr_data.output import writing

WRITES = ("pwrite", "write")
CALLS = (*WRITES, "fsync", "replace", "mkdir", "unlink", "rmdir", "ftruncate", "posix_fallocate")
JOBS: dict[str, dict[str, Any]] = {
    "tiles.tif": {"tile": (4, 3)},  # 4×4 tiles
    "slices.tif": {},
    "slices.npy": {},
    "slices.mhd": {},
    "tiles.zarr": {"tile": (8, 6)},
    "tif": {},
    "png": {"names": [f"{z}.png" for z in range(8)]},
}


@pytest.fixture(autouse=True)
def _every_tile_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "COMMIT_BYTES", 1)


def volume(name: str) -> NDArray[Any]:
    depth = 1 if "tiles" in name else 8
    return np.random.default_rng(1).integers(0, 65536, (depth, 16, 12)).astype(np.uint16)


def write(path: Path, computed: list[int] | None = None) -> None:
    levels = volume(path.name)
    options = {"voxel_um": (2.0, 2.0, 2.0), **JOBS[path.name]}
    with writing(path, shape=levels.shape, dtype=levels.dtype, digest="d", **options) as writer:
        for tile in writer.todo:
            if computed is not None:
                computed.append(tile.z)
            writer.write(tile, levels[tile.z, tile.y, tile.x])


def digest(folder: Path) -> str:
    """Of every name and byte in a folder."""
    total = hashlib.sha256()
    for one in sorted(folder.rglob("*")):
        total.update(str(one.relative_to(folder)).encode() + b"\0")
        total.update(one.read_bytes() if one.is_file() else b"/")
    return total.hexdigest()


def dies_at(path: Path, number: int, *, half: bool) -> bool:
    """Whether a child that dies at its `number`-th call, counted from 1, came so far."""
    if (child := os.fork()) == 0:
        left = number

        def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
            def done(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    if half:
                        file, data, *place = arguments
                        call(file, bytes(data)[: len(data) // 2], *place)
                    os._exit(137)
                return call(*arguments, **options)

            return done

        for name in WRITES if half else CALLS:
            setattr(os, name, deadly(getattr(os, name)))
        try:
            write(path)
        finally:
            os._exit(0 if left > 0 else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 137}
    return code == 137


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: a disk would take minutes to flush so often."""
    if not (memory := Path("/dev/shm")).is_dir():  # noqa: S108, the folder in it has a name of its own
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize(("name", "half"), [*((name, False) for name in JOBS), ("tiles.tif", True), ("tif", True)])
def test_a_crash_at_any_call_leaves_nothing_half_done_and_a_rerun_ends_bit_equal(
    tmp_path: Path, name: str, half: bool
) -> None:
    if "zarr" in name:
        pytest.importorskip("zarr")
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / name)
    wanted, worked = digest(tmp_path / "whole"), []
    for number in range(1, 1000):
        place = tmp_path / "crashed"
        place.mkdir()
        if not dies_at(place / name, number, half=half):
            break
        if (place / name).exists():  # it died after the last rename
            with pytest.raises(FileExistsError):
                write(place / name)
            worked.append(0)
        else:
            computed: list[int] = []
            write(place / name, computed)
            worked.append(len(computed))
        assert digest(place) == wanted, f"after a crash at call {number}"
        shutil.rmtree(place)
    tiles = 16 if name == "tiles.tif" else 4 if "tiles" in name else 8
    assert worked == sorted(worked, reverse=True)  # what was committed is never done again
    assert set(worked) == set(range(half, tiles + 1))  # no write comes after the last tile's line in the journal


@pytest.mark.parametrize("name", ["slices.npy", "slices.mhd", "tiles.zarr", "png"])
@pytest.mark.parametrize(("code", "again"), [(errno.ENOSPC, True), (errno.EIO, False)])
def test_a_disk_that_fails_at_any_call_leaves_nothing_at_the_target(
    tmp_path: Path, name: str, code: int, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "zarr" in name:
        pytest.importorskip("zarr")
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / name)
    wanted, failed = digest(tmp_path / "whole"), 0
    for number in range(1, 1000):
        place = tmp_path / "failed"
        place.mkdir()
        left = number

        def faulty(call: Callable[..., Any]) -> Callable[..., Any]:
            def done(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0 or (again and left < 0):
                    raise OSError(code, os.strerror(code))
                return call(*arguments, **options)

            return done

        with monkeypatch.context() as patch:
            for call in ("pwrite", "write", "fsync", "posix_fallocate", "replace"):
                patch.setattr(os, call, faulty(getattr(os, call)))
            said = ""
            try:
                write(place / name)
            except OSError as error:
                said = str(error)
        if left > 0:
            break
        assert f"disk of {place} must have room for" in said or code != errno.ENOSPC
        failed += 1
        if not (place / name).exists():  # unless what failed was to flush the name of what is there
            assert not {one.name for one in place.iterdir()} - {f".{name}.part", "slices.raw"}
            write(place / name)
        assert digest(place) == wanted, f"after a fault at call {number}"
        shutil.rmtree(place)
    assert failed > 12


@pytest.mark.parametrize("name", ["slices.npy", "tiles.tif"])
def test_short_writes_are_continued(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    write(tmp_path / "whole" / name)
    (tmp_path / "short").mkdir()
    pwrite, plain = os.pwrite, os.write
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: pwrite(file, data[:5], place))
    monkeypatch.setattr(os, "write", lambda file, data: plain(file, data[:1]))
    write(tmp_path / "short" / name)
    assert digest(tmp_path / "short") == digest(tmp_path / "whole")


@pytest.mark.parametrize("name", ["slices.npy", "slices.mhd", "tiles.tif", "tif"])
def test_levels_are_on_the_disk_before_the_journal_says_so_and_the_journal_before_the_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace: list[tuple[str, Path]] = []

    def traced(call: str, place: int) -> None:
        plain = getattr(os, call)

        def done(*arguments: Any, **options: Any) -> Any:
            where = arguments[place]
            trace.append((call, Path(f"/proc/self/fd/{where}").readlink() if isinstance(where, int) else Path(where)))
            return plain(*arguments, **options)

        monkeypatch.setattr(os, call, done)

    for call in ("pwrite", "write", "fsync"):
        traced(call, 0)
    traced("replace", 1)
    write(tmp_path / name)
    journal = tmp_path / f".{name}.part" / "done"
    lines = [i for i, (call, file) in enumerate(trace) if (call, file) == ("write", journal)]
    assert len(lines) == (16 if name == "tiles.tif" else 8)
    for last, line in zip([trace.index(("replace", journal.with_name("job.json"))), *lines], lines, strict=False):
        changes = [i for i in range(last + 1, line) if trace[i][0] in {"pwrite", "replace"}]
        assert changes
        for i in changes:  # an image is renamed, and so its folder is flushed
            call, file = trace[i]
            assert ("fsync", file if call == "pwrite" else file.parent) in trace[i:line]
        assert trace[line + 1] == ("fsync", journal)
    appeared = [file for call, file in trace[lines[-1] :] if call == "replace"]
    assert appeared == [*([tmp_path / "slices.raw"] if name == "slices.mhd" else []), tmp_path / name]
    assert trace[-1] == ("fsync", tmp_path)
