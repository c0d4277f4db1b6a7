"""A library that is missed says which extra brings it, and ends a command with 69."""

import sys
from pathlib import Path

import pytest

from coresr_data.cli import run
from coresr_data.formats.extras import NAMES, MissingExtraError, extra


def test_a_library_that_is_there_is_imported() -> None:
    assert extra("json", "nifti").loads("[1]") == [1]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_library_names_its_extra(name: str) -> None:
    match = rf'^reading {NAMES[name]} must have nowhere_to_be, got none; pip install "coresr-data\[{name}\]"$'
    with pytest.raises(MissingExtraError, match=match):
        extra("nowhere_to_be", name)


def test_a_library_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import nowhere_to_be")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="must have broken_library, got No module named 'nowhere_to_be'; pip"):
        extra("broken_library", "tiff")


def test_a_command_ends_with_69_and_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(SystemExit) as ended:
        run(lambda: extra("nibabel", "nifti"))
    assert ended.value.code == 69
    said = 'coresr: error: reading NIfTI must have nibabel, got none; pip install "coresr-data[nifti]"\n'
    assert capsys.readouterr().err == said
