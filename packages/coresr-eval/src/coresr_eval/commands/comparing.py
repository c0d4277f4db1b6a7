"""`compare [NAME=]DIR[/MODEL] …`: models side by side from what `score` wrote, with intervals, and which differ.

The interval of a mean ends where its metric does: no MAE is below 0, no SSIM above 1. Those of differences do not.
"""

import csv
import io
import math
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coresr_eval.cli import Commands, UsageError
from coresr_eval.commands.tables import METRICS, Scores, Table, read, refuse_unlike
from coresr_eval.report import write_comparison, write_json, write_whole
from coresr_eval.report.words import cell, decimals, printable
from coresr_eval.statistics import BASELINE, Comparison, Difference, Row, compare

MARGIN_DB = 0.05
"""Differences in dB that are smaller than this do not matter, unless told."""


def add(commands: Commands) -> None:
    """Declare the command."""
    beside = commands.add_parser("compare", help="set scored models side by side: which differences are real")
    beside.add_argument(
        "tables",
        nargs="+",
        metavar="[NAME=]DIR[/MODEL]",
        help="a folder that score wrote, or one of its models; the same NAME several times are seeds of one recipe",
    )
    beside.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for comparison.csv, pairs.csv, compare.json, index.html"
    )
    beside.add_argument("--metric", choices=METRICS, default="psnr", help="a column of scores.csv (default psnr)")
    beside.add_argument(
        "--margin", type=float, help=f"differences below it do not matter (default {MARGIN_DB} dB; others 0: all do)"
    )
    beside.set_defaults(command=_compare)


def _compare(options: Namespace) -> None:
    metric = METRICS[options.metric]
    margin = options.margin if options.margin is not None else MARGIN_DB if metric.unit == "dB" else 0.0
    if not 0 <= margin < math.inf:
        raise UsageError(f"--margin must be 0 or more, got {margin}")
    tables = [table for text in options.tables for table in read(text)]
    refuse_unlike(tables)
    images = list(tables[0].bicubic)
    runs = {BASELINE: [tables[0].bicubic]} | {name: [one.model for one in of] for name, of in _by_name(tables).items()}
    models = {name: _values(name, of, images, options.metric) for name, of in runs.items()}
    comparison = compare(
        models,
        images,
        metric=options.metric,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        bounds=metric.bounds,
        margin=margin,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, comparison, tables)
    print("\n".join(told(comparison)))
    print(f"page {options.out / 'index.html'}")


def _by_name(tables: Sequence[Table]) -> dict[str, list[Table]]:
    names = dict.fromkeys(table.name for table in tables)
    return {name: [table for table in tables if table.name == name] for name in names}


def _values(name: str, runs: Sequence[Scores], images: Sequence[tuple[str, int]], metric: str) -> NDArray[np.float64]:
    """A row per run, a column per image; ValueError where the metric was not taken, or is infinite."""
    values = np.array([[run[image].get(metric, math.nan) for image in images] for run in runs], dtype=np.float64)
    if not np.isfinite(values).all():
        found = "none of some" if np.isnan(values).any() else "inf, which is of a perfect image"
        raise ValueError(f"{metric} of {name!r} must be finite on all images, got {found}; compare another --metric")
    return values


def write(out: Path, comparison: Comparison, tables: Sequence[Table]) -> None:
    """`comparison.csv`, `pairs.csv`, `compare.json` and the page, each whole or not at all."""
    protocol = tables[0].protocol
    for file, kind, lines in (("comparison.csv", Row, comparison.rows), ("pairs.csv", Difference, comparison.pairs)):
        write_whole(out / file, _csv(kind, lines).encode())
    of = {name: [str(table.path / table.of) for table in runs] for name, runs in _by_name(tables).items()}
    write_json(out / "compare.json", {"protocol": protocol, "tables": of, **asdict(comparison)})
    title = " and ".join(row.model for row in comparison.rows)
    write_comparison(out / "index.html", comparison, title=title, protocol=protocol)


def _csv(kind: type[Row | Difference], lines: Sequence[Row | Difference]) -> str:
    text, names = io.StringIO(), [field.name for field in fields(kind)]
    values = [[getattr(line, name) for name in names] for line in lines]
    cells = [[cell(one) if isinstance(one, str) else _number(one) for one in line] for line in values]
    csv.writer(text, lineterminator="\n").writerows([names, *cells])
    return text.getvalue()


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.8g}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def told(comparison: Comparison) -> list[str]:
    """The comparison for a terminal: the rows, the pairs, the notes."""
    digits = 3 if comparison.unit == "dB" else 5
    wide = max(len(printable(row.model)) for row in comparison.rows)
    head = f"{comparison.metric} {comparison.unit}".strip()
    counted = f"{_count(comparison.n, 'image')} of {_count(len(comparison.cores), 'core')}"
    lines = [f"{head} of {counted}, {100 * comparison.level:g} % intervals"]

    def ends(low: float, high: float, *, signed: bool) -> str:
        return f"[{decimals(low, digits, signed=signed)}, {decimals(high, digits, signed=signed)}]"

    def between(value: float, low: float, high: float, *, signed: bool) -> str:
        return f"{decimals(value, digits, signed=signed)} {ends(low, high, signed=signed)}"

    for row in comparison.rows:
        mean = between(row.mean, row.low, row.high, signed=False)
        gain = between(row.gain, row.gain_low, row.gain_high, signed=True)
        name = f"{printable(row.model):<{wide}}  {_count(row.runs, 'run'):<7}"
        lines.append(f"  {name} {mean:<28} over bicubic {gain:<26} {row.letters}")
    for pair in comparison.pairs:
        apart = between(pair.difference, pair.low, pair.high, signed=True)
        names = f"{printable(pair.one)} − {printable(pair.other)}"
        verdict = f"{pair.verdict} ({printable(pair.about).partition(':')[0]})"
        others = ends(pair.core_low, pair.core_high, signed=True)
        lines.append(f"  {names:<{2 * wide + 3}}  {apart:<26}  p {pair.p_holm:<7.2g}  {verdict}; other cores {others}")
    return lines + [printable(note) for note in comparison.notes]
