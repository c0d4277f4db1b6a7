import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from coresr_train import checkpoints
from coresr_train.checkpoints import DamagedError, FormatError, newest, read, rewind, rotate, steps, write


def tensors(step: int) -> dict[str, dict[str, Tensor]]:
    return {"nets": {"a.weight": torch.full((2, 3), float(step))}, "moments": {}}


def filled(out: Path, *numbers: int) -> Path:
    for step in numbers:
        write(out, step, tensors(step), {"seen": [step]})
    return out


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    some = {"nets": {"a": torch.randn(3, 2).to(memory_format=torch.preserve_format), "n": torch.tensor(7)}}
    folder = write(tmp_path, 40, some, {"seen": 0.1})
    assert folder == tmp_path / "checkpoints" / "40"
    found = read(folder)
    assert found.step == 40
    assert found.state["seen"] == 0.1
    assert all(torch.equal(found.tensors["nets"][name], tensor) for name, tensor in some["nets"].items())
    assert not [path.name for path in folder.parent.iterdir() if path.name.startswith(".")]


def test_the_newest_is_found_by_number_and_other_things_are_left_alone(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    filled(tmp_path, 9, 10, 100)
    (tmp_path / "checkpoints" / "200 copy").mkdir()
    (tmp_path / "checkpoints" / "0300").mkdir()
    (tmp_path / "checkpoints" / ".tmp-400").mkdir()
    (tmp_path / "checkpoints" / "note.txt").write_text("mine")
    assert steps(tmp_path) == [9, 10, 100]
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 100


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def bit_flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("mutation", [truncated, emptied, zeroed, bit_flipped, lengthened, Path.unlink])
@pytest.mark.parametrize("name", ["nets.safetensors", "moments.safetensors", "state.json", "manifest.json"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    mutation: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    filled(tmp_path, 10, 20)
    mutation(tmp_path / "checkpoints" / "20" / name)
    if (mutation, name) == (lengthened, "manifest.json"):
        (tmp_path / "checkpoints" / "20" / name).write_text("[]")
    with pytest.warns(UserWarning, match=r"checkpoints/20 must be as it was written.*going back"):
        found = newest(tmp_path)
    assert found is not None
    assert found.step == 10


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"format": 1, "files": []}', '{"format": 1, "files": {}}'])
def test_a_manifest_that_says_nothing_is_damage(text: str, tmp_path: Path) -> None:
    folder = filled(tmp_path, 5) / "checkpoints" / "5"
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DamagedError, match="as it was written"):
        read(folder)


def test_a_checkpoint_of_a_later_version_stays_and_says_so(tmp_path: Path) -> None:
    manifest = filled(tmp_path, 5, 6) / "checkpoints" / "6" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    with pytest.raises(FormatError, match="of format 1, got 2 of a later version; upgrade"):
        newest(tmp_path)


def test_a_disk_that_cannot_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 5, 6)

    def failing(self: Path) -> bytes:
        raise OSError(5, "Input/output error", str(self))

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(OSError, match="Input/output error"):
        newest(tmp_path)


def test_a_manifest_reads_nothing_outside_its_folder(tmp_path: Path) -> None:
    folder = filled(tmp_path, 5, 6) / "checkpoints" / "5"
    for name in ("../6/state.json", "/etc/hostname"):
        manifest = {"format": 1, "files": {name: {"size": 1, "sha256": ""}}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(DamagedError, match="not in it"):
            read(folder)


def test_where_all_are_damaged_nothing_starts_anew_behind_ones_back(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    emptied(tmp_path / "checkpoints" / "10" / "state.json")
    with pytest.warns(UserWarning, match="going back"), pytest.raises(DamagedError, match="none whole"):
        newest(tmp_path)


def test_a_missing_checkpoint_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="checkpoints/<step>"):
        read(tmp_path / "checkpoints" / "3")


@pytest.mark.parametrize(
    ("keep", "spared", "left"),
    [(2, set(), [4, 5]), (2, {1}, [1, 4, 5]), (3, {2, 9}, [2, 3, 4, 5]), (9, set(), [1, 2, 3, 4, 5])],
)
def test_the_newest_and_the_spared_stay(keep: int, spared: set[int], left: list[int], tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3, 4, 5)
    rotate(tmp_path, keep=keep, spared=spared)
    assert steps(tmp_path) == left
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == sorted(map(str, left))


def test_one_that_cannot_be_removed_costs_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 1, 2, 3)

    def busy(self: Path, target: Path) -> Path:
        raise OSError(16, "busy", str(self), None, str(target))

    monkeypatch.setattr(Path, "rename", busy)
    with pytest.warns(UserWarning, match="checkpoints/1 could not be removed: busy"):
        rotate(tmp_path, keep=2, spared=set())
    assert steps(tmp_path) == [1, 2, 3]


def test_going_back_removes_what_came_after_and_what_was_half_written(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3)
    shutil.copytree(tmp_path / "checkpoints" / "3", tmp_path / "checkpoints" / ".tmp-4")
    shutil.copytree(tmp_path / "checkpoints" / "3", tmp_path / "checkpoints" / ".trash-1")
    rewind(tmp_path, 2)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1", "2"]


def test_everything_is_flushed_before_it_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    names: dict[int, str] = {}
    real_open, real_fsync, real_rename = os.open, os.fsync, os.rename

    def opened(path: os.PathLike[str] | str, *rest: int) -> int:
        handle = real_open(path, *rest)
        names[handle] = Path(path).name
        return handle

    def synced(handle: int) -> None:
        calls.append(f"sync {names[handle]}")
        real_fsync(handle)

    def renamed(one: str, other: str) -> None:
        calls.append(f"rename {Path(one).name} {Path(other).name}")
        real_rename(one, other)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    write(tmp_path, 7, tensors(7), {})
    files = ["nets.safetensors", "moments.safetensors", "state.json", "manifest.json"]
    assert calls == [*(f"sync {name}" for name in files), "sync .tmp-7", "rename .tmp-7 7", "sync checkpoints"]


def test_a_full_disk_leaves_the_old_ones_and_says_what_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 1)
    real = os.write

    def full(_handle: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match=r"checkpoints/2 of \d+ bytes must be written.*\d+ bytes free; free some"):
        write(tmp_path, 2, tensors(2), {})
    monkeypatch.setattr(os, "write", real)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["1"]
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"must have \d+ bytes free, got 10"):
        write(tmp_path, 2, tensors(2), {})


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:7]))
    assert read(write(tmp_path, 2, tensors(2), {})).step == 2


def test_a_step_that_is_saved_already_is_left_as_it_is(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2) / "checkpoints" / "2"
    before = (folder / "manifest.json").stat().st_mtime_ns
    assert write(tmp_path, 2, tensors(2), {"seen": [2]}) == folder
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    assert checkpoints.newest(tmp_path) is not None
