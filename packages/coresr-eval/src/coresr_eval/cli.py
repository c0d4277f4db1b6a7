"""How every command line of coresr ends: one clear line on stderr and an exit code, never a traceback.

The same as `coresr_data.cli`, for the packages do not need one another.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn, TypeAlias

USAGE, NO_INPUT, INTERRUPTED = 64, 66, 130
# sysexits; the first class that fits decides
EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (FileNotFoundError, NO_INPUT),  # missing input
    (FileExistsError, 73),  # cannot create output
    (NotADirectoryError, 73),
    (PermissionError, 73),
    (OSError, 74),  # input/output
    (FloatingPointError, 70),  # numeric failure
    (ValueError, 65),  # bad data
)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001, argparse has no public name for it


class UsageError(ValueError):
    """A command that cannot be meant as written."""

    exit_code = USAGE


class Parser(argparse.ArgumentParser):
    """argparse that answers a wrong command in one line, with exit code 64."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is."""
        fail(f"{message}; see {self.prog} --help", USAGE)


def whole(least: int) -> Callable[[str], int]:
    """For the `type` of an option: whole numbers from `least` on, and exit code 64 for others."""

    def number(text: str) -> int:
        found = int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text) else least - 1
        if found < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, got {text}")
        return found

    return number


def fail(message: str, code: int) -> NoReturn:
    """End the program with `coresr: error: <message>`, on one line; what a terminal would obey is shown escaped."""
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in " ".join(message.split()))
    print("coresr: error: " + line, file=sys.stderr)
    raise SystemExit(code)


def run(main: Callable[[], None]) -> None:
    """Run a command; turn what a user can mend into one line, and leave a fault of ours its traceback.

    An exception's own `exit_code` wins over the table. With CORESR_TRACEBACK set, every traceback is shown.
    """
    for stream in (sys.stdout, sys.stderr):  # names may hold bytes, and lines µ and →, that a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except (OSError, ValueError, FloatingPointError, KeyboardInterrupt) as error:
        if os.environ.get("CORESR_TRACEBACK"):
            raise
        if isinstance(error, KeyboardInterrupt):
            fail("interrupted", INTERRUPTED)
        if isinstance(error, PermissionError) and _is_there(error.filename):
            fail(f"input must be readable, got {error.filename}: {error.strerror}; allow it to be read", NO_INPUT)
        code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        fail(str(error) or type(error).__name__, getattr(error, "exit_code", code))


def _is_there(path: str | bytes | None) -> bool:
    """Whether permission was denied to a file to read: a file to write is always a new one."""
    try:
        return path is not None and bool(os.lstat(path))
    except FileNotFoundError:
        return False
    except OSError:  # in a folder that may not be entered
        return True
