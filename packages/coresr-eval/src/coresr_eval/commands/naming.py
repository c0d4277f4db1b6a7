"""What the user calls things: `[NAME=]MODEL` of models and tables, `NAME=CORE,…` of rocks."""

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from coresr_eval.cli import UsageError
from coresr_eval.statistics import BASELINE

IMAGES = {"hr": "the truth", "lr": "the input"}
"""Names of the other images beside the models', and what they stand for."""


def named(text: str) -> tuple[str, str]:
    """The name, empty where none is given, and the place of `[NAME=]PLACE`.

    A NAME holds no slash, and what is there under the whole text has no name: `runs/width=3` and `width=3` are places.

    >>> named("wide=runs/7"), named("runs/width=3")
    (('wide', 'runs/7'), ('', 'runs/width=3'))
    """
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).exists():
        return "", text
    if not name or name == BASELINE:
        raise UsageError(f"NAME must be a name other than {BASELINE}, got {text!r}")
    return name, place


def told_apart(texts: Sequence[str]) -> dict[str, str]:
    """By name the place of each `[NAME=]MODEL`, by default a folder's own name or a file's without suffix.

    The word bicubic is left out, for it stands in every table. UsageError for a model given twice and for two of one
    name, ValueError for a name that something else has.
    """
    given = [named(text) for text in texts]
    resolved = [place if place == BASELINE else str(Path(place).resolve()) for _, place in given]
    if twice := next((place for at, place in enumerate(resolved) if place in resolved[:at]), None):
        raise UsageError(f"each MODEL must be given once, got {twice} twice")
    if any(name and place == BASELINE for name, place in given):
        raise UsageError(f"{BASELINE} must keep its name, got another; it stands in every table")
    found: dict[str, str] = {}
    for name, place in [(name or _called(Path(place)), place) for name, place in given if place != BASELINE]:
        if name == BASELINE or name.casefold() in IMAGES:
            what = IMAGES.get(name.casefold(), "the baseline beside it")
            raise ValueError(f"model {place} must not be named {name} like {what}; rename it, or write NAME={place}")
        if name in found:
            raise UsageError(
                f"models must have names of their own, got {name!r} for {found[name]} and {place}; write NAME={place}"
            )
        found[name] = place
    return found


def _called(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def rocks_of(texts: Sequence[str], cores: Collection[str]) -> dict[str, str]:
    """By core its rock, in the order given, from `NAME=CORE,…` where a CORE may be a pattern such as `berea*`.

    UsageError for what is no such text, for a CORE that fits none, for a core without rock or with two.

    >>> rocks_of(["sandstone=berea*", "coal=c1"], ["berea-2", "berea-7", "c1"])
    {'berea-2': 'sandstone', 'berea-7': 'sandstone', 'c1': 'coal'}
    """
    rocks: dict[str, str] = {}
    for text in texts:
        name, equals, patterns = text.partition("=")
        if not name or not equals:
            raise UsageError(f"--rock must be NAME=CORE[,CORE…], got {text!r}")
        for pattern in patterns.split(","):
            fitting = [core for core in cores if core == pattern or fnmatchcase(core, pattern)]
            if not fitting:
                raise UsageError(f"--rock {name} must name cores of the store, got {pattern!r}; {_listed(cores)}")
            _given(rocks, dict.fromkeys(fitting, name))
    if missing := [core for core in cores if core not in rocks]:
        raise UsageError(f"--rock must name the rock of every core, got none of {missing[0]!r}; {_listed(cores)}")
    return rocks


def _given(rocks: dict[str, str], more: Mapping[str, str]) -> None:
    for core, rock in more.items():
        if rocks.setdefault(core, rock) != rock:
            raise UsageError(f"core {core!r} must be of one rock, got {rocks[core]} and {rock}")


def _listed(cores: Collection[str]) -> str:
    names = list(dict.fromkeys(cores))
    return f"its cores are {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
