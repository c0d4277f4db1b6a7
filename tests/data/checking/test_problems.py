"""A problem is one line, whatever the names of files hold."""

import os
from pathlib import Path

import pytest

from coresr_data.checking.problems import error, said, shown, warning


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        (b"plain name.png", "plain name.png"),
        ("schräg µ 岩.png".encode(), "schräg µ 岩.png"),
        (b"core \xff.png", r"core \xff.png"),
        (b"new\nline\t\x1b[31m.png", r"new\nline\t\x1b[31m.png"),
        ("a\u2028b\u202ec".encode(), r"a\u2028b\u202ec"),
    ],
)
def test_names_are_printed_on_one_line_of_letters(name: bytes, printed: str) -> None:
    text = shown(Path(os.fsdecode(name)))
    assert text == printed
    text.encode()
    assert len(text.splitlines()) == 1


def test_a_line_says_severity_and_reason_and_the_path_once() -> None:
    assert error("x", Path("a.png"), "slice a.png must be grey").line == "error    slice a.png must be grey"
    assert warning("x", "a.png", "all black").line == "warning  a.png: all black"


def test_an_error_without_words_is_called_by_its_kind() -> None:
    assert said(KeyError()) == "KeyError"
    assert said(OSError(2, "not there", "a\nb")) == r"[Errno 2] not there: 'a\nb'"
