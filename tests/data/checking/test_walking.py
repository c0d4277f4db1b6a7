"""Walking below a folder: every file once, links by the rules, and no circle ever."""

import os
from pathlib import Path

import pytest

from coresr_data.checking.walking import walk


def walked(root: Path, *, external_links: bool = False) -> dict[str, str | None]:
    found = list(walk(root, external_links=external_links))
    assert len(found) == len({path for path, _ in found})
    return {str(path.relative_to(root)): reason for path, reason in found}


def test_files_of_all_depths_come_by_name_and_what_is_hidden_does_not(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.png", "a/b/d", ".hidden.png", ".folder/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(walked(tmp_path)) == ["a/b/d", "a/c.png", "b.png"]


def test_a_single_file_is_walked_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    assert list(walk(tmp_path / "a.tif")) == [(tmp_path / "a.tif", None)]


def test_a_zarr_is_one_thing(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(store=tmp_path / "core.zarr", shape=(2, 3, 4), dtype="uint8")[:] = 1
    assert walked(tmp_path) == {"core.zarr": None}
    assert list(walk(tmp_path / "core.zarr")) == [(tmp_path / "core.zarr", None)]


def test_links_to_nowhere_circles_and_pipes_are_errors(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("gone.png")
    (tmp_path / "b.png").symlink_to("c.png")
    (tmp_path / "c.png").symlink_to("b.png")
    os.mkfifo(tmp_path / "d.png")
    found = walked(tmp_path)
    assert "got gone.png, which is not there" in str(found["a.png"])
    assert "Too many levels of symbolic links" in str(found["b.png"])
    assert "got a pipe" in str(found["d.png"])
    assert len(found) == 4


def test_links_to_files_may_leave_the_folder_only_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.png").touch()
    (tmp_path / "in" / "own.png").touch()
    (tmp_path / "in" / "a.png").symlink_to("../out.png")
    (tmp_path / "in" / "b.png").symlink_to("own.png")
    found = walked(tmp_path / "in")
    assert "must stay inside" in str(found["a.png"])
    assert found["b.png"] is None
    assert walked(tmp_path / "in", external_links=True)["a.png"] is None


def test_links_to_folders_are_said_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.png").touch()
    (tmp_path / "in" / "deep" / "up").symlink_to("..")
    (tmp_path / "in" / "deep" / "self").symlink_to(".")
    (tmp_path / "in" / "out").symlink_to(tmp_path)
    found = walked(tmp_path / "in", external_links=True)
    assert list(found) == ["deep/a.png", "deep/self", "deep/up", "out"]
    assert all("must lead to a file, got the folder" in str(found[name]) for name in list(found)[1:])


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shut").mkdir()
    plain = Path.iterdir

    def denied(path: Path) -> object:
        if path.name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    assert "Permission denied" in str(walked(tmp_path)["shut"])
