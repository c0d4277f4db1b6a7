"""Charts by matplotlib, which draws with stand-ins for the colours of the page; `inlining` puts the variables there."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from coresr_eval.report.charts import Chart, Curve, shortened
from coresr_eval.report.inlining import inlined
from coresr_eval.report.words import printable

_SIZE = (5.4, 3.5)  # inches of 72 units: on a phone a unit is a pixel, and text of 10 stays legible
_FONT = 10.0
_INK, _SOFT, _RULE = "#000001", "#000002", "#000003"
_COLOURS = 8  # --curve-0 … of base.html
_DASHES: tuple[tuple[float, tuple[float, ...] | None], ...] = ((0, None), (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
_STAND_INS = {_INK: "var(--ink)", _SOFT: "var(--soft)", _RULE: "var(--rule)"} | {
    f"#0000{16 + i:02x}": f"var(--curve-{i})" for i in range(_COLOURS)
}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "coresr",
    "font.size": _FONT,
    "text.color": _INK,
    "text.parse_math": False,  # a $ in a name is a $
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.8,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "grid.color": _RULE,
    "grid.linewidth": 0.7,
    "path.simplify_threshold": 0.2,
}


def drawn(chart: Chart, order: Sequence[str], prefix: str) -> Markup:
    """What `charts.draw` answers; the colours and line styles of curves follow `order`."""
    with mpl.rc_context():
        mpl.rcdefaults()  # a user's own style must not change the page
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        _axes(axes, chart)
        for at, _ in chart.marks:
            axes.axvline(at, color=_SOFT, linewidth=0.9, linestyle=(0, (2, 2)))
        for i, curve in enumerate(chart.curves):
            _curve(axes, curve, order.index(curve.name), gid=f"curve{i}", log=chart.log_y)
        axes.autoscale_view()
        axes.autoscale(enable=False)  # names beside the axes must not widen them
        _ticks(axes.xaxis, log=chart.log_x)
        _ticks(axes.yaxis, log=chart.log_y)
        _marks(axes, chart.marks)
        _names(axes, chart, order)
        text = io.BytesIO()
        with warnings.catch_warnings():  # the reader's font shows what matplotlib's lacks
            warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
            figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    titles = {f"curve{i}": printable(curve.name) for i, curve in enumerate(chart.curves)}
    return inlined(text.getvalue(), label=_told(chart), stand_ins=_STAND_INS, prefix=prefix, titles=titles)


def _told(chart: Chart) -> str:
    """The chart for who cannot see it."""
    names = ", ".join(printable(curve.name) for curve in chart.curves)
    return f"{printable(chart.title)}: {printable(chart.y_label)} against {printable(chart.x_label)} of {names}"


def _axes(axes: Axes, chart: Chart) -> None:
    axes.set_xlabel(printable(chart.x_label))
    axes.set_ylabel(printable(chart.y_label))
    axes.set(xscale="log" if chart.log_x else "linear", yscale="log" if chart.log_y else "linear")
    axes.tick_params(length=3, width=0.8)
    axes.tick_params(which="minor", length=0)
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01, y=0.06)


def _ticks(axis: Axis, *, log: bool) -> None:
    """Few, and numbers without mathematical text: it would be parsed from names, too."""
    if not log:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        return
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,), numticks=7))
    axis.set_major_formatter(FuncFormatter(_number))
    axis.set_minor_formatter(NullFormatter())


def _number(value: float, _: object) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    if -4 < exponent < 5:
        return f"{value:g}"
    digit = round(value / 10.0**exponent)
    raised = "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return raised if digit == 1 else f"{digit}·{raised}"


def _curve(axes: Axes, curve: Curve, place: int, *, gid: str, log: bool) -> None:
    colour = f"#0000{16 + place % _COLOURS:02x}"
    x, y = np.asarray(curve.x, np.float64), _shown(curve.y, log=log)
    if curve.low is not None and curve.high is not None:
        low, high = _shown(curve.low, log=log), _shown(curve.high, log=log)
        axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    # a point between two gaps has no line
    single = np.isfinite(y) & ~np.isfinite(np.append(y[1:], np.nan)) & ~np.isfinite(np.append(np.nan, y[:-1]))
    axes.plot(x[single], y[single], "o", color=colour, markersize=4)
    axes.plot(x, y, color=colour, linewidth=1.8, linestyle=_dash(place), gid=gid)


def _dash(place: int) -> tuple[float, tuple[float, ...] | None]:
    return _DASHES[(place + place // 4 + place // _COLOURS) % len(_DASHES)]  # colours that some see alike differ here


def _shown(numbers: object, *, log: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values = np.array(numbers, np.float64)
    values[log & (values <= 0)] = np.nan
    return values


def _marks(axes: Axes, marks: Sequence[tuple[float, str]]) -> None:
    """Labels above the axes; one that would touch its neighbour stands a line higher."""
    lines: list[float] = []  # where the last label of each line ends, as a share of the axes
    for at, label in sorted(marks):
        place, half = _share(axes, at, 0)[0], len(label) * _FONT * 0.27 / (_SIZE[0] * 72 * 0.75)
        line = next((i for i, end in enumerate(lines) if place - half > end), len(lines))
        lines[line : line + 1] = [place + half]
        text = axes.text(place, 1.02 + 0.06 * line, printable(label), transform=axes.transAxes, color=_SOFT)
        text.set(fontsize=_FONT - 1, horizontalalignment="center", verticalalignment="bottom")


def _names(axes: Axes, chart: Chart, order: Sequence[str]) -> None:
    """Each name at the height where its curve ends, or as near as the others let it, after a piece of its line."""
    ends = []
    for curve in chart.curves:
        y = _shown(curve.y, log=chart.log_y)
        if known := np.flatnonzero(np.isfinite(y)).tolist():
            x = float(np.asarray(curve.x, np.float64)[known[-1]])
            ends.append((float(np.clip(_share(axes, x, float(y[known[-1]]))[1], 0, 1)), curve.name))
    ends.sort()
    for (height, name), placed in zip(ends, _apart([height for height, _ in ends], 0.075), strict=True):
        place = order.index(name)
        colour = f"#0000{16 + place % _COLOURS:02x}"
        axes.plot([1.005, 1.025], [height, placed], color=_RULE, linewidth=0.8, transform=axes.transAxes, clip_on=False)
        (sample,) = axes.plot([1.03, 1.09], [placed, placed], color=colour, linewidth=1.8, linestyle=_dash(place))
        sample.set(transform=axes.transAxes, clip_on=False)
        text = axes.text(1.105, placed, shortened(name), transform=axes.transAxes, color=_INK)
        text.set_verticalalignment("center")


def _share(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """A point of the data as shares of the axes' width and height."""
    if axes.get_yscale() == "log" and y <= 0:
        y = axes.get_ylim()[0]
    across, up = axes.transLimits.transform(axes.transScale.transform((x, y)))
    return float(across), float(up)


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Rising heights moved apart to `gap` at least: groups that touch are spread about their middle."""
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _bottom(groups[-1], gap) - _top(groups[-2], gap) < gap:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_bottom(group, gap) + i * gap for group in groups for i in range(len(group))]


def _bottom(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - (len(group) - 1) * gap / 2


def _top(group: Sequence[float], gap: float) -> float:
    return _bottom(group, gap) + (len(group) - 1) * gap
