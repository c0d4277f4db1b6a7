"""Charts as data: curves over one axis, each perhaps in a band. `draw` makes an SVG of one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from coresr_eval.report.words import printable

_LONGEST = 18
Numbers = Sequence[float] | NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """`y` over `x`, one number each; NaN in `y` is a gap. `low` and `high`, given both or neither, bound its band.

    ValueError for unequal lengths, for `x` that is not finite and increasing, for infinite numbers, for no number.
    """

    name: str
    x: Numbers
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None

    def __post_init__(self) -> None:
        where = f"of curve {printable(self.name)}"
        if (self.low is None) != (self.high is None):
            raise ValueError(f"low and high {where} must be given both or neither, got one")
        x = np.asarray(self.x, np.float64)
        if x.ndim != 1 or not x.size or not np.isfinite(x).all() or (np.diff(x) <= 0).any():
            raise ValueError(f"x {where} must be finite and increasing, got shape {x.shape}; sort it, drop doubles")
        for name in ("y", "low", "high"):
            if (given := getattr(self, name)) is None:
                continue
            numbers = np.asarray(given, np.float64)
            if numbers.shape != x.shape:
                raise ValueError(f"{name} {where} must be {x.shape} as its x, got {numbers.shape}")
            if np.isinf(numbers).any() or np.isnan(numbers).all():
                raise ValueError(f"{name} {where} must hold numbers and no infinity, got {numbers.min()}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chart:
    """Curves in one pair of axes. ValueError without curves, for one name twice, for `x` that has no logarithm."""

    title: str
    x_label: str
    """With its unit: "frequency (cycles per HR pixel)"."""
    y_label: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False
    """Numbers that are not positive are then gaps, and the page says so."""
    marks: tuple[tuple[float, str], ...] = ()
    """Vertical lines, each at an `x` with a short label: a threshold, the Nyquist frequency of LR."""
    note: str = ""
    """What the reader sees in it and how far it holds, in whole sentences."""

    def __post_init__(self) -> None:
        names = [curve.name for curve in self.curves]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"curves of chart {printable(self.title)} must be of one name each, got {len(names)}")
        places = [*(float(at) for curve in self.curves for at in curve.x), *(at for at, _ in self.marks)]
        if not all(math.isfinite(at) for at in places) or (self.log_x and min(places) <= 0):
            kind = "positive" if self.log_x else "finite"
            raise ValueError(f"x and marks of chart {printable(self.title)} must be {kind}, got {min(places)}")

    @property
    def hidden(self) -> int:
        """How many numbers a logarithmic `y` axis cannot show."""
        if not self.log_y:
            return 0
        return sum(int((np.asarray(curve.y, np.float64) <= 0).sum()) for curve in self.curves)

    @property
    def shortened(self) -> list[tuple[str, str]]:
        """Names too long to stand beside their curves: as they stand there, and in full."""
        return [
            (short, curve.name) for curve in self.curves if (short := shortened(curve.name)) != printable(curve.name)
        ]


def shortened(name: str) -> str:
    """A name of 18 signs at most: its beginning and its end.

    >>> shortened("edsr-64x16-long-schedule-seed-3")
    'edsr-64x16…-seed-3'
    """
    name = printable(name)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 8] + "…" + name[-7:]


def draw(chart: Chart, *, names: Sequence[str] = (), prefix: str = "chart") -> Markup:
    """The chart as an inline SVG in the colours of the page: variables of `base.html`, so dark pages and print suit it.

    `names` in the order of their colours and line styles, so that a name looks alike in all charts of a page; those of
    the chart unless given. `prefix` begins every id of the SVG and must be another for each chart of a page. Equal
    arguments make equal text. It loads nothing, and everything that it was given is escaped.
    """
    from coresr_eval.report.drawing import drawn  # matplotlib takes half a second to import

    order = list(dict.fromkeys([*names, *(curve.name for curve in chart.curves)]))
    return drawn(chart, order, prefix)
