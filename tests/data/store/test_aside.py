"""A folder appears whole or not at all; what killed processes left is in nobody's way."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NoReturn

import pytest

import coresr_data.store.aside
from coresr_data.store.aside import PlaceError, write_whole, written_aside


def test_a_failure_inside_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with written_aside(tmp_path / "out") as aside:
            (aside / "half").write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_seen_under_the_name_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with written_aside(out) as aside:
        (aside / "core").mkdir()
        (aside / "core" / "file").write_text("whole")
        assert not out.exists()
    assert (out / "core" / "file").read_text() == "whole"
    assert list(out.parent.iterdir()) == [out]


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def synced(handle: int) -> None:
        calls.append(os.path.basename(os.readlink(f"/proc/self/fd/{handle}")))  # noqa: PTH119, PTH115

    def renamed(self: Path, target: Path) -> Path:
        calls.append("rename")
        os.rename(self, target)  # noqa: PTH104
        return target

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with written_aside(tmp_path / "out") as aside:
        (aside / "core").mkdir()
        (aside / "core" / "file").write_text("whole")
    assert set(calls[:2]) == {"core", "file"}
    assert calls[2:] == [aside.name, "rename", tmp_path.name]


def test_an_empty_folder_is_filled_also_through_a_link_and_a_relative_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with written_aside(Path("link")) as aside:
        (aside / "file").write_text("whole")
    assert (tmp_path / "real" / "file").read_text() == "whole"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with written_aside(Path()) as aside:
        (aside / "file").write_text("whole")
    assert (tmp_path / "here" / "file").read_text() == "whole"


def test_a_taken_name_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("folder", "file"):
        match = f"^out must be a new or an empty folder, got .*{name}; remove it or name another$"
        with pytest.raises(FileExistsError, match=match), written_aside(tmp_path / name):
            pass
    assert (tmp_path / "folder" / "mine").read_text() == (tmp_path / "file").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG])
def test_a_place_that_takes_nothing_is_said_by_the_name_that_was_given(
    monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refused(self: Path, *_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code), str(self))

    monkeypatch.setattr(Path, "mkdir", refused)
    match = f"^output must lie where it can be written, got new: {os.strerror(code)}; name another place$"
    for write in (lambda: written_aside(Path("new")).__enter__(), lambda: write_whole(Path("new"), "text")):
        with pytest.raises(PlaceError, match=match) as refusal:
            write()
        assert refusal.value.exit_code == 73


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_is_no_matter_of_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def failed(_: int) -> NoReturn:
        raise OSError(code, "the disk")

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, "fsync", failed)
    with pytest.raises(OSError, match="the disk") as error:
        write_whole(tmp_path / "file", "new")
    assert not isinstance(error.value, PlaceError)
    assert (tmp_path / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_file_appears_whole_in_new_folders_and_replaces_an_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / ("n" * 255)
    synced: list[int] = []
    plain = os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_size)
        assert path.exists() == (len(synced) > 1)
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    for text in ("one\n", "µ"):
        write_whole(path, text)
        assert path.read_bytes() == text.encode()
    assert synced == [4, 2]  # all of it is on the disk before it has its name
    assert list(path.parent.iterdir()) == [path]


# What others left, or are writing


WRITER = """
import runpy, sys
from pathlib import Path
written_aside = runpy.run_path(sys.argv[2])["written_aside"]  # without the package, which takes seconds to import
with written_aside(Path(sys.argv[1])) as aside:
    (aside / "core").mkdir()
    (aside / "core" / "half.npy").write_text("half")
    print(aside, flush=True)
    sys.stdin.read()
"""


def start_writer(out: Path) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", WRITER, str(out), str(coresr_data.store.aside.__file__)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    return writer, Path(writer.stdout.readline().strip())


def test_what_a_living_process_writes_stays_and_what_a_killed_one_left_goes(tmp_path: Path) -> None:
    writer, theirs = start_writer(tmp_path / "out")
    with writer:
        with written_aside(tmp_path / "out") as aside:
            assert theirs != aside
            assert (theirs / "core" / "half.npy").is_file()
        (tmp_path / "out").rmdir()
        writer.send_signal(signal.SIGKILL)
    assert (theirs / "core" / "half.npy").is_file(), "nobody else tidies up after a killed process"
    with written_aside(tmp_path / "out") as aside:
        (aside / "file").write_text("whole")
        assert not theirs.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_threads_that_write_the_same_folder_leave_each_other_alone(tmp_path: Path) -> None:
    inside, done = threading.Event(), threading.Event()
    found: list[bool] = []

    def write() -> None:
        with written_aside(tmp_path / "out") as aside:
            (aside / "file").write_text("mine")
            inside.set()
            done.wait(10)
            found.append((aside / "file").is_file())

    other = threading.Thread(target=write)
    other.start()
    inside.wait(10)
    with pytest.raises(RuntimeError, match="enough"), written_aside(tmp_path / "out"):
        done.set()
        other.join()
        raise RuntimeError("enough")
    assert found == [True]
    assert (tmp_path / "out" / "file").read_text() == "mine"


def test_a_leftover_with_the_number_of_this_process_is_no_hindrance(tmp_path: Path) -> None:
    left = tmp_path / f".out.tmp-{os.getpid()}"
    left.mkdir()
    (left / "dataset.json").write_text("half")
    with written_aside(tmp_path / "out") as aside:
        assert list(aside.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_leftovers_of_other_folders_and_files_of_other_names_are_not_ours(tmp_path: Path) -> None:
    names = {".other.tmp-1", ".out.tmp", "out.tmp-1", ".outer.tmp-1"}
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / ".out.tmp-link").symlink_to(tmp_path / ".other.tmp-1")
    (tmp_path / ".other.tmp-1" / "file").write_text("theirs")
    with written_aside(tmp_path / "out"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == names | {"out", ".out.tmp-link"}
    assert (tmp_path / ".other.tmp-1" / "file").read_text() == "theirs"
