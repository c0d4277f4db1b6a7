"""The page that a person chooses a network from: `python -m bench.report` measures and writes `bench/results`.

Expects the demo to have run, and the micro-benchmarks in `bench/results/micro.json`.
"""

import io
import json
import platform
import re
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
import torch
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.cost import REPEATS, SIDE, Cost, measure_all
from bench.quality import BUDGET_SECONDS, Quality, score_all
from coresr_eval.report import render, write_json, write_whole
from coresr_train.machine import cores

RESULTS = Path(__file__).parent / "results"
MICRO = RESULTS / "micro.json"


def main() -> None:
    """Measure cost and quality, join them with the micro-benchmarks, write JSON and the page."""
    RESULTS.mkdir(exist_ok=True)
    costs = measure_all()
    qualities, protocol = score_all(RESULTS)
    by_name = {quality.name: quality for quality in qualities}
    rows = [{**asdict(cost), **({} if cost.name not in by_name else asdict(by_name[cost.name]))} for cost in costs]
    about = {"machine": machine(), "side": SIDE, "repeats": REPEATS, "budget_seconds": BUDGET_SECONDS}
    write_json(RESULTS / "bench.json", {**about, "protocol": protocol, "rows": rows, "micro": micro()})
    page = render(
        "bench.html",
        templates=Path(__file__).parent,
        about=about,
        protocol=protocol,
        costs=costs,
        qualities=by_name,
        plot=Markup(plot(costs, by_name)),  # noqa: S704 - an SVG of our own, its texts escaped by matplotlib
        micro=micro(),
        n=qualities[0].n,
    )
    write_whole(RESULTS / "index.html", page.encode())
    print(f"page {RESULTS / 'index.html'}")


def machine() -> str:
    """What it ran on, as far as a reader needs to know."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = found[1]
    return (
        f"{model}, {cores()} cores, {platform.system()}, Python {platform.python_version()}, torch {torch.__version__}"
    )


def micro() -> list[dict[str, object]]:
    """Name and median milliseconds of every micro-benchmark, with the spread of the middle half."""
    if not MICRO.is_file():
        return []
    return [
        {
            "name": one["name"].removeprefix("test_benchmark_").replace("_", " "),
            "median_ms": 1e3 * one["stats"]["median"],
            "iqr_ms": 1e3 * one["stats"]["iqr"],
            "rounds": one["stats"]["rounds"],
        }
        for one in json.loads(MICRO.read_text())["benchmarks"]
    ]


def plot(costs: list[Cost], qualities: dict[str, Quality]) -> str:
    """PSNR against seconds a slice, as an SVG that takes the colour of the page's text."""
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "coresr", "font.family": "sans-serif", "font.size": 10}
    )
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    scored = [cost for cost in costs if cost.name in qualities]
    for above, cost in enumerate(scored):  # names alternate above and below, for neighbours lie close
        at = (cost.seconds, qualities[cost.name].psnr)
        axes.plot(*at, "o", color="#b0671e", markersize=8)
        axes.annotate(cost.name, at, xytext=(6, 8 if above % 2 == 0 else -16), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel(f"seconds for one {2 * SIDE}² slice, float32 (log scale; left is faster)")
    axes.set_ylabel("PSNR on the test split (dB; higher is better)")
    axes.margins(x=0.25, y=0.15)
    axes.grid(visible=True, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", "currentColor")


if __name__ == "__main__":
    main()
