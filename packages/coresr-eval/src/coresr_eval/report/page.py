"""Self-contained HTML pages: no network, one small script of known digest, everything on them escaped."""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from markupsafe import Markup

from coresr_eval import __version__
from coresr_eval.report.charts import Chart, draw
from coresr_eval.report.comparing import counted, digits, forest, sentences
from coresr_eval.report.pictures import Crop, shown
from coresr_eval.report.rows import guard
from coresr_eval.report.words import LEVELS, decimals, finalize, in_levels, percent
from coresr_eval.report.writing import write_whole

if TYPE_CHECKING:  # statistics imports scipy.stats, which takes a second
    from coresr_eval.statistics import Comparison


def write_page(
    path: Path,
    *,
    title: str,
    summary: Mapping[str, Any],
    crops: Sequence[Crop],
    charts: Sequence[Chart] = (),
    comparison: "Comparison | None" = None,
    notes: Sequence[str] = (),
) -> None:
    """One HTML page: verdict, tables, crops, charts, protocol. `summary` is what the function of that name answers.

    The `comparison` of the same scores, where given, puts intervals and letters into the table, and of several models
    says which truly differ. All maps of the page share one colour scale, from 0 to a whole number of grey levels of 255
    that at most 0.5 % of their pixels exceed. Equal arguments make equal bytes.
    """
    panels, scale = shown(crops)
    rows = summary["rows"]
    text = render(
        "scores.html",
        title=title,
        summary=summary,
        best=max(rows[1:], key=_rank, default=None),
        guards=guard(rows),
        rated={} if comparison is None else {row.model: row for row in comparison.rows},
        comparison=comparison,
        sentences=[] if comparison is None else sentences(comparison),
        crops=panels,
        scale=scale,
        charts=_drawn(charts),
        notes=notes,
    )
    write_whole(path, text.encode())


def write_comparison(
    path: Path,
    comparison: "Comparison",
    *,
    title: str,
    protocol: Mapping[str, object],
    charts: Sequence[Chart] = (),
    notes: Sequence[str] = (),
) -> None:
    """One HTML page of models beside each other: verdicts in words, intervals, pairs. Equal arguments, equal bytes."""
    text = render(
        "comparison.html",
        title=title,
        comparison=comparison,
        forest=forest(comparison),
        sentences=sentences(comparison),
        images=counted(comparison),
        digits=digits(comparison),
        protocol=protocol,
        charts=_drawn(charts),
        notes=notes,
    )
    write_whole(path, text.encode())


def _drawn(charts: Sequence[Chart]) -> list[dict[str, object]]:
    names = list(dict.fromkeys(curve.name for chart in charts for curve in chart.curves))
    return [{"chart": chart, "svg": draw(chart, names=names, prefix=f"chart-{i}")} for i, chart in enumerate(charts)]


def render(template: str, *, templates: Path | None = None, **values: object) -> str:
    """A template of this package, or of the folder `templates` (which wins), with `values` filled in.

    Everything is escaped, a missing value raises `jinja2.UndefinedError`, and the text is encodable as UTF-8. A
    template that sets `script` to the name of another gets that one as its only script, by digest.
    """
    folders = [] if templates is None else [FileSystemLoader(templates)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=finalize, trim_blocks=True)
    environment.loader = loader = ChoiceLoader([*folders, PackageLoader("coresr_eval")])

    def source(name: str) -> Markup:
        return Markup(loader.get_source(environment, name)[0])  # noqa: S704 - a file of ours

    environment.filters |= {
        "decimals": decimals,
        "in_levels": in_levels,
        "percent": percent,
        "digest": _digest,
        "source": source,
    }
    environment.globals |= {"version": __version__, "levels": LEVELS}
    return environment.get_template(template).render(values)


def _digest(text: str) -> str:
    """For the policy of the page, as browsers take it of what stands between the tags of the script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _rank(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """By which a model is the best of several: its PSNR, its gain where that is infinite, its SSIM."""
    gain = row["gain_db"]
    return float(row["psnr"]), -math.inf if gain is None else float(gain), float(row["ssim"])
