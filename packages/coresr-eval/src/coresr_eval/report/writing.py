"""Scores on disk: rows as CSV, JSON and Markdown, in files that appear whole or not at all."""

import csv
import io
import json
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coresr_eval.protocol import Score
from coresr_eval.report.rows import guard
from coresr_eval.report.words import cell, decimals, homeless, in_levels, percent, unmarked

if TYPE_CHECKING:  # statistics imports scipy.stats, which takes a second
    from coresr_eval.statistics import Comparison, Row

_COLUMNS = ("model", "core", "slice", "psnr", "ssim", "mae", "lr_psnr", "drift")


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """CSV `model,core,slice,psnr,ssim,mae,lr_psnr,drift`: dB with 6 decimals (`inf` if perfect), the rest with 8.

    MAE and drift are in grey of [0, 1]; what was not taken is empty. A name that a spreadsheet could take
    for a formula gets a leading `'`, as does one that begins with it.
    """
    text = io.StringIO()
    rows = [(cell(s.model), cell(s.core), s.slice, *_numbers(s)) for s in scores]
    csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *rows])
    write_whole(path, text.getvalue().encode())


def _numbers(score: Score) -> list[str]:
    decimals_of = {"psnr": 6, "ssim": 8, "mae": 8, "lr_psnr": 6, "drift": 8}
    values = [(getattr(score, name), places) for name, places in decimals_of.items()]
    return ["" if value is None or math.isnan(value) else f"{value:.{places}f}" for value, places in values]


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """JSON in the order given. Infinite numbers become `"inf"` and `"-inf"`, which `float` reads.

    Raises ValueError for NaN and TypeError for what JSON does not know.
    """
    write_whole(path, (json.dumps(_finite(value), indent=2, allow_nan=False) + "\n").encode())


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {homeless(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(float(value))
    return homeless(value) if isinstance(value, str) else value


def write_markdown(path: Path, summary: Mapping[str, Any], comparison: "Comparison | None" = None) -> None:
    """The rows of `summary` as a table for a README, an issue or a notebook, what guards them, and the protocol.

    A `comparison` of the same scores adds the intervals of gains, and letters that models share unless they differ.
    """
    rated = {} if comparison is None else {row.model: row for row in comparison.rows}
    head = ["model", "images", "PSNR (dB)", "SSIM", "gain over bicubic (dB)", "MAE (levels of 255)"]
    head += [f"{percent(comparison.level)} interval of the gain", "letters"] if comparison else []
    lines = [_line(head), _line(["---", *["---:"] * (len(head) - 1)])]
    for row in summary["rows"]:
        gain = decimals(row["gain_db"], 2, signed=True) if "gain_db" in row else "–"
        cells = [unmarked(row["model"]), str(row["n"]), decimals(row["psnr"], 2), decimals(row["ssim"], 4), gain]
        lines.append(_line([*cells, in_levels(row["mae"], 2), *_judged(rated.get(row["model"]))]))
    lines += [f"\nCaution: {unmarked(sentence)}" for sentence in guard(summary["rows"])]
    if comparison:
        lines.append(f"\n{unmarked(' '.join(comparison.notes))}")
    terms = (f"{unmarked(key.replace('_', ' '))} {unmarked(str(term))}" for key, term in summary["protocol"].items())
    lines.append("\nProtocol: " + "; ".join(terms) + ". Tables may be compared only if theirs are equal.")
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _judged(row: "Row | None") -> list[str]:
    if row is None:
        return []
    ends = [decimals(end, 2, signed=True) for end in (row.gain_low, row.gain_high)]
    return ["–" if row.model == "bicubic" else " to ".join(ends), row.letters]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_whole(path: Path, data: bytes) -> None:
    """The file appears whole or not at all: written aside in its folder, flushed, renamed over an old one.

    Its mode is 0666 less the umask. OSError where the folder cannot be written.
    """
    aside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # os.open and not tempfile, which writes 0600: the kernel takes the umask off by itself
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:  # noqa: PTH123 - with a mode
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the name itself is durable only with its folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
