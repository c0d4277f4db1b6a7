r"""Texts on their way out. Names come from strangers' files, so each output disarms them.

CSV cells never begin a formula, Markdown holds no mark of theirs, what does not print is shown as `\x1b`, and the home
folder is written `~`.
"""

import os
import re
from collections.abc import Sequence
from unicodedata import normalize

LEVELS = 255
"""Errors, drifts and windows are told in grey levels of 8 bits, whatever the source had."""
_FORMULA = ("=", "+", "-", "@", "'")  # the quote too, so that reading is always removing one leading quote


def homeless(text: str) -> str:
    """The text with the home folder as `~`: who made a report where is not its subject."""
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike Path.home, never raises
    # not after a letter, digit, `/` or `+`: there it is the middle of a longer path, or of base64
    return re.sub(rf"(?<![\w./+-]){re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text


def printable(text: str) -> str:
    """The text with all that does not print (controls, direction marks, surrogates) as Python escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in homeless(text))


def cell(text: str) -> str:
    """The text as a cell of CSV that no spreadsheet takes for a formula."""
    text = printable(text)
    return "'" + text if normalize("NFKC", text).lstrip().startswith(_FORMULA) else text


def unmarked(text: str) -> str:
    r"""The text inside a line of Markdown, what could mean something there after a `\`.

    CommonMark 0.31, section 2.4; and what GitHub makes links, tables, mathematics and mentions of.
    """
    return re.sub(r"[#$&*<>@\[\\\]_`{|}~]|:(?=//)|(?<=www)\.", r"\\\g<0>", printable(text), flags=re.IGNORECASE)


def finalize(value: object) -> object:
    """Each value on its way into a template; Markup (`super()`, macros) has been through it."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def decimals(value: float | str | None, digits: int, *, signed: bool = False) -> str:
    """A number for reading, `–` for none. Takes the texts of `write_json` too.

    What rounds to zero has no sign.

    >>> decimals(-1.2, 2), decimals(-0.001, 2), decimals("inf", 1, signed=True)
    ('−1.20', '0.00', '+∞')
    """
    if value is None:
        return "–"
    text = f"{float(value):{'+' if signed else ''}.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("inf", "∞").replace("-", "−")


def in_levels(value: float | str | None, digits: int, *, signed: bool = False) -> str:
    """A grey of [0, 1] in levels of 255, for reading."""
    return decimals(None if value is None else LEVELS * float(value), digits, signed=signed)


def percent(share: float) -> str:
    """A share of 1 as it is read.

    >>> percent(0.95)
    '95 %'
    """
    return f"{100 * share:g} %"


def listed(names: Sequence[str]) -> str:
    """Names as a sentence holds them.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
