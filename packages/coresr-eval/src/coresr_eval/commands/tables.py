"""What `score` wrote, read again: tables that may stand side by side, and the refusal of those that may not."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from coresr_eval.cli import UsageError
from coresr_eval.commands.naming import named
from coresr_eval.protocol import refuse_different
from coresr_eval.statistics import BASELINE


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A column of `scores.csv` that can be compared."""

    unit: str = ""
    higher_is_better: bool = True
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """The least and the greatest value that it can have."""


METRICS: Mapping[str, Metric] = {
    "psnr": Metric(unit="dB"),
    "ssim": Metric(bounds=(-1.0, 1.0)),
    "mae": Metric(higher_is_better=False, bounds=(0.0, math.inf)),
    "lr_psnr": Metric(unit="dB"),
}
_SAME_DB = 0.01  # bicubic of the same slices on another machine differs by less than a thousandth
Scores: TypeAlias = Mapping[tuple[str, int], Mapping[str, float]]
"""Core and slice → metric → value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What `score` wrote about one model."""

    name: str
    """What the user calls the model, else its own name."""
    named: bool
    """Whether the user called it so."""
    path: Path
    of: str
    """What `score` called the model there, where it is one of several."""
    protocol: Mapping[str, object]
    store: str | None
    """Identity of the store, where `summary.json` says it."""
    bicubic: Scores
    model: Scores


def read(text: str) -> list[Table]:
    """The tables of the models at `[NAME=]DIR`, or of the one at `[NAME=]DIR/MODEL`, in their order.

    FileNotFoundError where there is none, ValueError where `score` did not write it so, UsageError for one NAME of
    several models.
    """
    name, place = named(text)
    path, only = _folder(Path(place))
    for file in ("scores.csv", "summary.json"):
        if not (path / file).is_file():
            raise FileNotFoundError(f"{path} must hold {file}, got none; name a folder that score wrote")
    summary = _summary(path / "summary.json")
    scores = _scores(path / "scores.csv")
    others = [model for model in scores if model != BASELINE]
    if BASELINE not in scores or not others:
        found = ", ".join(scores) or "none"
        raise ValueError(f"{path / 'scores.csv'} must be of {BASELINE} and a model beside it, got {found}")
    if only and only not in others:
        raise FileNotFoundError(f"{path} must hold the scores of {only!r}, got {', '.join(others)}")
    if name and not only and len(others) > 1:
        raise UsageError(f"NAME={path} must be of one model, got {', '.join(others)}; write {name}={path}/{others[0]}")
    for model in others:
        if set(scores[BASELINE]) != set(scores[model]):
            raise ValueError(f"{path / 'scores.csv'} must be of the same images for {BASELINE} and {model}, got others")
    return [
        Table(
            name=name or model,
            named=bool(name),
            path=path,
            of=model if len(others) > 1 else "",
            protocol=summary["protocol"],
            store=summary.get("store"),
            bicubic=scores[BASELINE],
            model=scores[model],
        )
        for model in ([only] if only else others)
    ]


def _folder(place: Path) -> tuple[Path, str]:
    """The folder of a table, and the model in it where one is named."""
    if place.is_dir() or not (place.parent / "scores.csv").is_file():
        return place, ""
    return place.parent, place.name


def _summary(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON, got {error}; score again") from error
    if not isinstance(found, dict) or not isinstance(found.get("protocol"), dict):
        raise ValueError(f"{path} must hold a protocol, got none; score again")  # noqa: TRY004 - of a file
    return found


def _scores(path: Path) -> dict[str, Scores]:
    """By model; a metric that was not taken is left out."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), strict=True))
        keys = [(_name(row["model"]), _name(row["core"]), int(row["slice"])) for row in rows]
        taken = [{metric: float(row[metric]) for metric in METRICS if row.get(metric)} for row in rows]
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} must be a table that score wrote, got {error!r}; score again") from error
    for key, times in Counter(keys).items():
        if times > 1:
            raise ValueError(f"{path} must hold each image once, got core {key[1]!r} slice {key[2]} {times} times")
    found: dict[str, dict[tuple[str, int], Mapping[str, float]]] = {}
    for (model, core, number), values in zip(keys, taken, strict=True):
        found.setdefault(model, {})[core, number] = values
    return dict(found)


def _name(text: str) -> str:
    """A name as it was before `write_scores` disarmed it."""
    return text.removeprefix("'")


def refuse_unlike(tables: Sequence[Table]) -> None:
    """UsageError for folders or names given twice, ValueError for tables of another protocol or other images."""
    _refuse_names(tables)
    refuse_different({str(table.path): table.protocol for table in tables})
    for table in tables[1:]:
        _refuse_other_images(tables[0], table)


def _refuse_names(tables: Sequence[Table]) -> None:
    """A table given twice, or two that nobody said to be seeds of one recipe and yet have one name."""
    given = Counter((table.path.resolve(), table.of) for table in tables)
    if twice := [path for (path, _), times in given.items() if times > 1]:
        raise UsageError(f"each DIR must be given once, got {twice[0]} twice")
    for name, times in Counter(table.name for table in tables).items():
        if times > 1 and not all(table.named for table in tables if table.name == name):
            raise UsageError(
                f"models must have names of their own, got {name!r} {times} times; write NAME=DIR, with the same NAME "
                "for seeds of one recipe"
            )


def _refuse_other_images(first: Table, table: Table) -> None:
    where = f"{first.path} and {table.path}"
    if None not in (first.store, table.store) and first.store != table.store:
        raise ValueError(f"tables must be of one store, got {first.store} and {table.store}: {where}")
    if apart := set(first.bicubic) ^ set(table.bicubic):
        core, number = min(apart)
        raise ValueError(
            f"tables must be of the same images, got {len(apart)} that one lacks, such as core {core!r} slice "
            f"{number}: {where}; score both on one split"
        )
    for (core, number), scores in first.bicubic.items():
        ours, theirs = scores.get("psnr", math.nan), table.bicubic[core, number].get("psnr", math.nan)
        if not math.isclose(ours, theirs, rel_tol=0, abs_tol=_SAME_DB):
            raise ValueError(
                f"{BASELINE} must have the same PSNR in all tables, got {ours} and {theirs} dB on core {core!r} slice "
                f"{number}: {where}; these are other images of the same name"
            )
