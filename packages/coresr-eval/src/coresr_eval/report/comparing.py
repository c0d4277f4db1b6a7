"""A comparison in sentences, and where its dots and intervals stand in a forest plot."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coresr_eval.report.words import decimals, listed

if TYPE_CHECKING:  # statistics imports scipy.stats, which takes a second
    from coresr_eval.statistics import Comparison, Difference

_BASELINE = "bicubic"
_ROOM = 0.04  # of the width on both sides, so that no dot touches the edge


def sentences(comparison: "Comparison") -> list[dict[str, str]]:
    """What a reader must take home: the best model against each other, and which does not beat bicubic.

    Each is `{"verdict", "text"}`; all other pairs are in the table.
    """
    best = comparison.rows[0].model
    taken = [pair for pair in comparison.pairs if best in (pair.one, pair.other)]
    beaten = [pair for pair in taken if pair.verdict == "different"]
    equal = [pair for pair in taken if pair.verdict == "equivalent"]
    found = [_equal(best, equal, comparison)] if equal else []
    found += [_unclear(pair, comparison) for pair in taken if pair.verdict == "not distinguishable"]
    found += [_better(beaten, comparison)] if beaten else []
    rest = [pair for pair in comparison.pairs if pair not in taken and _BASELINE in (pair.one, pair.other)]
    worse = [pair for pair in rest if pair.verdict == "different" and pair.one == _BASELINE]
    found += [_better(worse, comparison)] if worse else []
    found += [_equal(_BASELINE, [pair], comparison) for pair in rest if pair.verdict == "equivalent"]
    return found + [_unclear(pair, comparison) for pair in rest if pair.verdict == "not distinguishable"]


def _better(pairs: "Sequence[Difference]", comparison: "Comparison") -> dict[str, str]:
    """Of pairs with the same better model."""
    steps = [f"{pair.other} by {amount(abs(pair.difference), comparison)}" for pair in pairs]
    text = f"{pairs[0].one} is better than {listed(steps)}: more than chance explains on {counted(comparison)}."
    return {"verdict": "different", "text": text}


def _equal(model: str, pairs: "Sequence[Difference]", comparison: "Comparison") -> dict[str, str]:
    """Of pairs that all hold `model`."""
    others = [pair.other if pair.one == model else pair.one for pair in pairs]
    margin = f"differ by less than {amount(comparison.margin, comparison)}, too little to matter."
    if len(others) == 1:
        who = f"{pairs[0].one} and {pairs[0].other} are as good as each other"
        return {"verdict": "equivalent", "text": f"{who}: on {counted(comparison)} they {margin}"}
    text = f"{listed(others)} are each as good as {model}: on {counted(comparison)} the two {margin}"
    return {"verdict": "equivalent", "text": text}


def _unclear(pair: "Difference", comparison: "Comparison") -> dict[str, str]:
    images, low, high = counted(comparison), pair.low, pair.high
    if not comparison.higher_is_better:
        low, high = -high, -low
    if math.isinf(low) or math.isinf(high):
        text = f"cannot be told apart on {images}, too few to say how far apart they may be."
    elif low > 0:
        steps = f"{amount(low, comparison)} to {amount(high, comparison)}"
        text = f"cannot be told apart on {images}: {pair.one} may be better by {steps}, but among "
        text += f"{len(comparison.pairs)} pairs chance alone makes such a difference."
    else:
        steps = f"{amount(-low, comparison)} worse to {amount(high, comparison)} better"
        text = f"cannot be told apart on {images}: {pair.one} may be anything from {steps}."
    return {"verdict": pair.verdict, "text": f"{pair.one} and {pair.other} {text}"}


def counted(comparison: "Comparison") -> str:
    """The images as a geologist counts them."""
    slices = "this one slice" if comparison.n == 1 else f"these {comparison.n} slices"
    return slices if len(comparison.cores) == 1 else f"{slices} of {len(comparison.cores)} cores"


def amount(value: float, comparison: "Comparison") -> str:
    """A number of the metric with its unit: two decimals of a dB, four of what has no unit."""
    return f"{decimals(value, digits(comparison))} {comparison.unit}".strip()


def digits(comparison: "Comparison") -> int:
    """Decimals that are read."""
    return 2 if comparison.unit == "dB" else 4


def forest(comparison: "Comparison") -> dict[str, object]:
    """Gains over bicubic as percentages of the plot's width: `rows` of dot and interval, `zero`, and `ticks`.

    An interval without end reaches the edge of the plot.
    """
    ends = [end for row in comparison.rows for end in (row.gain, row.gain_low, row.gain_high)]
    known = [end for end in ends if math.isfinite(end)]
    low, high = min(0.0, *known), max(0.0, *known)
    span = high - low or 1.0
    low, span = low - _ROOM * span, span * (1 + 2 * _ROOM)

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low) / span)), 3)

    rows = [
        {"dot": place(row.gain), "low": place(row.gain_low), "high": place(row.gain_high)} for row in comparison.rows
    ]
    marks = _ticks(low, low + span)
    ticks = [{"at": place(tick), "value": tick} for tick in marks]
    places = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if len(marks) > 1 else 1
    return {"rows": rows, "zero": place(0.0), "ticks": ticks, "digits": places}


def _ticks(low: float, high: float) -> Sequence[float]:
    """Three to seven round numbers between the two."""
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
