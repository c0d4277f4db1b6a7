"""What a user can mend is one line on stderr and an exit code; a fault of ours keeps its traceback."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

import pytest

from coresr_data.cli import EXIT_CODES, Parser, fail, run, whole


class _RefusedError(ValueError):
    exit_code = 77


def ended(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[object, str]:
    """Exit code and stderr of a command that raises."""

    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as stop:
        run(command)
    output = capsys.readouterr()
    assert output.out == ""
    return stop.value.code, output.err


@pytest.fixture(autouse=True)
def _no_tracebacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CORESR_TRACEBACK", raising=False)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (FileNotFoundError("x"), 66),
        (FileExistsError("x"), 73),
        (NotADirectoryError("x"), 73),
        (PermissionError("x"), 73),
        (OSError(28, "x"), 74),
        (IsADirectoryError("x"), 74),
        (FloatingPointError("x"), 70),
        (ValueError("x"), 65),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), 65),
        (_RefusedError("x"), 77),
    ],
)
def test_every_error_has_its_exit_code_and_one_line(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, capsys) == (code, f"coresr: error: {error}\n")


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_may_not_be_read_is_missing_input_and_a_new_one_is_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: bool
) -> None:
    if there:
        (tmp_path / "x").touch()
    error = PermissionError(13, "Permission denied", str(tmp_path / "x"))
    said = f"input must be readable, got {tmp_path / 'x'}: Permission denied; allow it to be read" if there else error
    assert ended(error, capsys) == (66 if there else 73, f"coresr: error: {said}\n")


def test_a_file_in_a_folder_that_may_not_be_entered_is_missing_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: str) -> NoReturn:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", closed)
    code, said = ended(PermissionError(13, "Permission denied", str(tmp_path / "x")), capsys)
    assert code == 66
    assert f"got {tmp_path / 'x'}: Permission denied" in said


def test_a_command_that_is_interrupted_ends_with_130_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(KeyboardInterrupt(), capsys) == (130, "coresr: error: interrupted\n")


def test_the_table_never_hides_a_narrow_class_behind_a_wide_one() -> None:
    kinds = [kind for kind, _ in EXIT_CODES]
    assert not any(issubclass(later, kind) for i, kind in enumerate(kinds) for later in kinds[i + 1 :])


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(ValueError("one\n  two\n\nthree"), capsys) == (65, "coresr: error: one two three\n")


def test_names_do_nothing_to_the_terminal_that_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    names = "slice\x1b[2J\x07\x7f\x9b \u202egnp.x \udcff µ → 岩.png"
    said = r"slice\x1b[2J\x07\x7f\x9b \u202egnp.x \udcff µ → 岩.png"
    assert ended(ValueError(names), capsys) == (65, f"coresr: error: {said}\n")


def test_an_error_without_a_message_says_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(FloatingPointError(), capsys) == (70, "coresr: error: FloatingPointError\n")


@pytest.mark.parametrize("error", [TypeError("ours"), KeyError("ours"), AssertionError("ours")])
def test_a_fault_of_ours_keeps_its_traceback(error: Exception) -> None:
    def command() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        run(command)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt("mine")])
def test_a_traceback_is_shown_where_the_environment_asks(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        raise error

    monkeypatch.setenv("CORESR_TRACEBACK", "1")
    with pytest.raises(type(error), match="mine"):
        run(command)


def test_a_command_that_succeeds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(lambda: None)
    assert capsys.readouterr() == ("", "")


def test_an_option_of_whole_numbers_takes_them_from_its_least_on() -> None:
    assert [whole(2)(text) for text in ("2", "+3", " 400 ")] == [2, 3, 400]
    assert whole(-1)("-1") == -1
    for text in ("1", "-5", "2.0", "two", "", "2 3", "٣", "9" * 5000):
        with pytest.raises(argparse.ArgumentTypeError, match=f"^must be a whole number of 2 or more, got {text}$"):
            whole(2)(text)


def test_failing_ends_with_the_code_given(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        fail("no\nway", 75)
    assert (stop.value.code, capsys.readouterr().err) == (75, "coresr: error: no way\n")


def test_a_wrong_command_exits_64_in_one_line_that_points_to_help(capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog="coresr")
    parser.add_argument("--scale", type=int)
    commands = parser.add_subparsers()
    commands.add_parser("sub").add_argument("--gap", type=int)
    for arguments, reason, prog in (
        (["--scale", "two"], "argument --scale: invalid int value: 'two'", "coresr"),
        (["--colour"], "unrecognized arguments: --colour", "coresr"),
        (["sub", "--gap", "x"], "argument --gap: invalid int value: 'x'", "coresr sub"),
    ):
        with pytest.raises(SystemExit) as stop:
            parser.parse_args(arguments)
        assert stop.value.code == 64
        assert capsys.readouterr() == ("", f"coresr: error: {reason}; see {prog} --help\n")
    assert isinstance(parser, argparse.ArgumentParser)
