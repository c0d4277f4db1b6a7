"""`check PATH`: everything that is wrong with a store, a folder of slices or a volume, in one pass."""

from argparse import ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from coresr_data.checking import TIME_LIMIT, Checked, check_sources
from coresr_data.checking.examining import How
from coresr_data.checking.problems import Problem, shown
from coresr_data.checking.store import (
    Lie,
    check_origin,
    check_registration,
    check_store,
    pairs_of_sources,
    pairs_of_store,
)
from coresr_data.cli import Commands, UsageError, whole
from coresr_data.commands.opening import add_opening
from coresr_data.layouts import Reading, find
from coresr_data.layouts.sources import Source
from coresr_data.store import Store, open_store
from coresr_data.store.manifest import MANIFEST

SHOWN = 10
"""Warnings of a kind that are printed; errors always are."""


def add(commands: Commands) -> None:
    """Declare the command."""
    look = commands.add_parser("check", help="list every file that is wrong, with its reason, in one pass")
    look.add_argument("path", type=Path, metavar="PATH", help="a store, a folder of slices, or a volume")
    look.add_argument("--deep", action="store_true", help="read and hash every byte of a store")
    look.add_argument("--source", type=Path, metavar="DIR", help="what the store was prepared from: is it unchanged?")
    look.add_argument("--registration", action="store_true", help="does LR lie on its HR?")
    look.add_argument("--scale", type=whole(2), help="HR size over LR size, for --registration of a folder")
    look.add_argument("--time-limit", type=_seconds, default=TIME_LIMIT, metavar="S", help="seconds a slice may take")
    look.add_argument("--allow-external-links", action="store_true", help="follow links to files out of PATH")
    add_opening(look)
    look.set_defaults(command=_check)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"must be a number of seconds above 0, got {text}")
    return seconds


def _check(options: Namespace) -> None:
    store = open_store(options.path) if (options.path / MANIFEST).is_file() else None
    _refuse_misuse(options, store)
    how = How(raw=options.raw, variable=options.variable, external_links=options.allow_external_links)
    problems: list[Problem] = []
    lies: list[Lie] = []
    words = []
    if store is not None:
        problems += check_store(store, deep=options.deep)
        words.append(f"{sum(len(core.slices) for core in store.manifest.cores)} slices")
    if store is None or options.source is not None:
        checked = check_sources(
            options.path if store is None else options.source,
            how=how,
            time_limit=options.time_limit,
        )
        problems += checked.problems
        words += _counts(checked)
        if store is not None:
            problems += check_origin(store, checked, how=how, time_limit=options.time_limit)
    if options.registration and not any(problem.severity == "error" for problem in problems):
        pairs = pairs_of_store(store) if store else pairs_of_sources(_found(options))
        wrong, lies = check_registration(pairs)
        problems += wrong
    _print(problems, lies)
    errors = sum(problem.severity == "error" for problem in problems)
    print(f"{shown(options.path)}: {', '.join(words)}, {errors} errors, {len(problems) - errors} warnings")
    if errors:
        raise ValueError(f"{shown(options.path)} must be free of errors, got {errors}; mend what is listed above")


def _refuse_misuse(options: Namespace, store: Store | None) -> None:
    if store is None and (options.deep or options.source):
        raise UsageError(f"--deep and --source must be asked of a store, got {shown(options.path)}; leave them out")
    if store is None and options.registration and options.scale is None:
        raise UsageError("--registration of a folder must know the scale, got none; say --scale")


def _found(options: Namespace) -> list[Source]:
    reading = Reading(
        scales=(options.scale,),
        external_links=options.allow_external_links,
        raw=options.raw,
        variable=options.variable,
    )
    return find(options.path, "auto", reading)


def _counts(checked: Checked) -> list[str]:
    passed = [f"{checked.passed} other files passed over"] if checked.passed else []
    return [f"{len(checked.slices)} slices in {checked.files} files", *passed]


def _print(problems: Sequence[Problem], lies: Iterable[Lie]) -> None:
    """Errors all, warnings up to a few of a kind, and how pairs lie."""
    told: Counter[tuple[str, str]] = Counter()
    for problem in sorted(problems, key=lambda one: one.severity):  # errors first
        told[problem.severity, problem.kind] += 1
        if problem.severity == "error" or told[problem.severity, problem.kind] <= SHOWN:
            print(problem.line)
    for (severity, kind), count in told.items():
        if severity == "warning" and count > SHOWN:
            print(f"warning  {count - SHOWN} more of the kind: {kind}")
    for lie in lies:
        shift = f"{lie.shift_y:+.2f} rows, {lie.shift_x:+.2f} columns ± {lie.scatter:.2f} LR pixels"
        print(f"pairs    {shown(lie.name)}: shift {shift}, {lie.off} of {lie.looked} off, {lie.unclear} unclear")
