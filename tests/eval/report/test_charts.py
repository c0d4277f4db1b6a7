import math
import subprocess
import sys

import numpy as np
import pytest

from coresr_eval.report import Chart, Curve

NOTHING = math.nan


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"x": [1, 2, 2], "y": [1, 2, 3]}, "x of curve c must be finite and increasing"),
        ({"x": [1, math.inf], "y": [1, 2]}, "x of curve c must be finite and increasing"),
        ({"x": [], "y": []}, "x of curve c must be finite and increasing"),
        ({"x": [[1, 2]], "y": [1, 2]}, "x of curve c must be finite and increasing"),
        ({"x": [1, 2], "y": [1]}, r"y of curve c must be \(2,\) as its x, got \(1,\)"),
        ({"x": [1, 2], "y": [1, math.inf]}, "y of curve c must hold numbers and no infinity"),
        ({"x": [1, 2], "y": [NOTHING, NOTHING]}, "y of curve c must hold numbers and no infinity"),
        ({"x": [1, 2], "y": [1, 2], "low": [0, 1]}, "low and high of curve c must be given both or neither"),
        ({"x": [1, 2], "y": [1, 2], "low": [0], "high": [3, 3]}, r"low of curve c must be \(2,\) as its x"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused(curve: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Curve(name="c", **curve)


def test_a_curve_may_have_gaps_and_be_of_one_point() -> None:
    gap = Curve(name="gap", x=np.array([1.0, 2.0]), y=(NOTHING, 1.0))
    point = Curve(name="point", x=[1], y=[1])
    chart = Chart(title="T", x_label="x", y_label="y", curves=(gap, point), log_y=True)
    assert chart.hidden == 0  # a gap is no number that the axis could not show


@pytest.mark.parametrize(
    ("names", "more", "message"),
    [
        ("", {}, "curves of chart T must be of one name each, got 0"),
        ("aa", {}, "curves of chart T must be of one name each, got 2"),
        ("a", {"marks": ((math.nan, "m"),)}, "x and marks of chart T must be finite"),
        ("a", {"log_x": True}, "x and marks of chart T must be positive, got 0"),
        ("b", {"log_x": True, "marks": ((-1.0, "m"),)}, "x and marks of chart T must be positive, got -1"),
    ],
)
def test_charts_that_cannot_be_drawn_are_refused(names: str, more: dict[str, object], message: str) -> None:
    curves = tuple(Curve(name=name, x=[0 if name == "a" else 1, 2], y=[1, 2]) for name in names)
    with pytest.raises(ValueError, match=message):
        Chart(title="T", x_label="x", y_label="y", curves=curves, **more)  # type: ignore[arg-type]


def test_a_chart_counts_what_its_logarithmic_axis_cannot_show() -> None:
    curves = (Curve(name="a", x=[1, 2, 3], y=[0, 1, NOTHING]), Curve(name="b", x=[1, 2], y=[-1, 1]))
    assert Chart(title="T", x_label="x", y_label="y", curves=curves, log_y=True).hidden == 2
    assert Chart(title="T", x_label="x", y_label="y", curves=curves).hidden == 0


def test_reports_import_neither_matplotlib_nor_the_statistics() -> None:
    code = "import sys, coresr_eval.report; print(*{'matplotlib', 'scipy.stats', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
