"""What a user can mend is one line on stderr and an exit code; a fault of ours keeps its traceback."""

import argparse

import pytest

from coresr_data.cli import EXIT_CODES, Parser, fail, run


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


def test_the_table_never_hides_a_narrow_class_behind_a_wide_one() -> None:
    kinds = [kind for kind, _ in EXIT_CODES]
    assert not any(issubclass(later, kind) for i, kind in enumerate(kinds) for later in kinds[i + 1 :])


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(ValueError("one\n  two\n\nthree"), capsys) == (65, "coresr: error: one two three\n")


def test_an_error_without_a_message_says_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(FloatingPointError(), capsys) == (70, "coresr: error: FloatingPointError\n")


@pytest.mark.parametrize("error", [TypeError("ours"), KeyError("ours"), AssertionError("ours")])
def test_a_fault_of_ours_keeps_its_traceback(error: Exception) -> None:
    def command() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        run(command)


def test_a_traceback_is_shown_where_the_environment_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    def command() -> None:
        raise ValueError("mine")

    monkeypatch.setenv("CORESR_TRACEBACK", "1")
    with pytest.raises(ValueError, match="mine"):
        run(command)


def test_a_command_that_succeeds_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(lambda: None)
    assert capsys.readouterr() == ("", "")


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
