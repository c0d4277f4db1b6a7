"""`inspect STORE [--html OUT]`: what it prints, the page it writes, and how it ends where it cannot."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from coresr_data.__main__ import main
from coresr_data.cli import run
from coresr_data.inspection import describe
from coresr_data.store import Store

Ended = tuple[object, str, str]


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run `inspect` in this process: exit code (0 where it returned), stdout, stderr."""
    monkeypatch.delenv("CORESR_TRACEBACK", raising=False)

    def ended(*arguments: object) -> Ended:
        code: object = 0
        try:
            run(lambda: main(["inspect", *map(str, arguments)]))
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return ended


def test_a_store_is_printed(inspect: Callable[..., Ended], store: Store) -> None:
    assert inspect(store.path) == (0, "\n".join(describe(store)) + "\n", "")


def test_a_page_is_written_beside(inspect: Callable[..., Ended], store: Store, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    out = tmp_path / "page.html"
    out.write_text("old")
    code, said, err = inspect(store.path, "--html", out)
    assert (code, err) == (0, "")
    assert said == "\n".join(describe(store)) + f"\nwrote      {out}\n"
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [out]


def test_only_a_page_is_written_over(inspect: Callable[..., Ended], store: Store, tmp_path: Path) -> None:
    precious = tmp_path / "slice.png"
    precious.write_text("precious")
    code, said, err = inspect(store.path, "--html", precious)
    assert (code, said) == (64, "")
    assert f"out must end in .html, got {precious}; name a page" in err
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_library_that_is_missing_is_named_with_its_extra(
    inspect: Callable[..., Ended], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in ("page", "panels", "figures"):
        monkeypatch.delitem(sys.modules, f"coresr_data.inspection.{module}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    code, _, err = inspect(store.path, "--html", tmp_path / "page.html")
    assert code == 69
    assert err == f'coresr: error: a page must have {missing} to be made, got none; pip install "coresr-data[html]"\n'
    assert not list(tmp_path.iterdir())
    assert inspect(store.path)[0] == 0


def test_a_page_that_cannot_be_written_ends_with_one_line(
    inspect: Callable[..., Ended], store: Store, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    code, _, err = inspect(store.path, "--html", tmp_path / "file" / "page.html")
    assert code == 73
    assert err.count("\n") == 1
    assert f"got {tmp_path / 'file' / 'page.html'}: " in err


def test_a_page_below_a_missing_folder_makes_the_folder(
    inspect: Callable[..., Ended], store: Store, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    assert inspect(store.path, "--html", tmp_path / "no" / "where" / "page.html")[0] == 0
    assert [path.name for path in (tmp_path / "no" / "where").iterdir()] == ["page.html"]


def test_a_store_that_may_not_be_read_is_missing_input(
    inspect: Callable[..., Ended], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    code, said, err = inspect(store.path)
    assert (code, said) == (66, "")
    assert err.startswith(f"coresr: error: input must be readable, got {store.path / 'dataset.json'}: ")


def test_what_is_no_store_is_missing_input(inspect: Callable[..., Ended], tmp_path: Path) -> None:
    code, said, err = inspect(tmp_path, "--html", tmp_path / "page.html")
    assert (code, said) == (66, "")
    assert "dataset.json" in err
