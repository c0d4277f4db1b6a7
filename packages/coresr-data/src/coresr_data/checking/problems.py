"""One thing that is wrong with what people have, in one line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from coresr_data.volume import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error is what `prepare` refuses, a warning what it takes, or takes when asked to."""

    severity: Literal["error", "warning"]
    kind: str
    """In a word, to count alike ones: `unreadable`, `equal`, `saturated` …"""
    path: str
    """As it can be printed: the file, and which slice of a volume."""
    reason: str

    @property
    def line(self) -> str:
        """Severity, path and reason; messages of readers name the path themselves."""
        where = "" if self.path in self.reason else f"{self.path}: "
        return f"{self.severity:<8} {where}{self.reason}"


def error(kind: str, path: Path | str, reason: str) -> Problem:
    """What `prepare` refuses."""
    return Problem(severity="error", kind=kind, path=shown(path), reason=shown(reason))


def warning(kind: str, path: Path | str, reason: str) -> Problem:
    """What `prepare` takes, and a person should look at."""
    return Problem(severity="warning", kind=kind, path=shown(path), reason=shown(reason))


def shown(text: Path | str) -> str:
    r"""Text on one line: bytes that are not UTF-8 and control characters appear as `\xff`, `\n`.

    >>> print(shown("a b\n\tµ"))
    a b\n\tµ
    """
    plain = printable(str(text))
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in plain)


def said(error: Exception) -> str:
    """The message of an error, on one line."""
    return shown(str(error)) or type(error).__name__
