import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray

import coresr_eval
from coresr_eval.report import Chart, Curve, draw
from coresr_eval.report.drawing import _apart, _dash, _number

Floats = NDArray[np.float64]
X = np.linspace(0.01, 0.5, 30)


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - of our own making


def chart(**more: Any) -> Chart:
    curves = (
        Curve(name="HR", x=X, y=X**2),
        Curve(name="net", x=X, y=X**2 + 0.1, low=X**2, high=X**2 + 0.2),
        Curve(name="bicubic", x=X, y=1 - X),
    )
    return Chart(**{"title": "T", "x_label": "x (µm)", "y_label": "y", "curves": curves, **more})


def paths(svg: str, name: str) -> list[tuple[float, float]]:
    """Points of the curve, in units of the SVG."""
    (group,) = [one for one in parse(svg).iter("g") if (said := one.find("title")) is not None and said.text == name]
    (path,) = group.iter("path")
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.attrib["d"])]


def texts(svg: str) -> dict[str, tuple[float, float]]:
    return {str(one.text): (float(one.attrib["x"]), float(one.attrib["y"])) for one in parse(svg).iter("text")}


@pytest.mark.parametrize("log", [False, True])
def test_a_curve_passes_where_its_numbers_are_on_the_axes(log: bool) -> None:
    svg = draw(chart(log_x=log, log_y=log))
    numbers = {float(text): at for text, at in texts(svg).items() if re.fullmatch(r"[\d.]+", text)}
    left, lowest = min(x for x, _ in numbers.values()), max(y for _, y in numbers.values())
    across = {number: x for number, (x, y) in numbers.items() if y == lowest}
    up = {number: y for number, (x, y) in numbers.items() if x == left}
    found = np.array(paths(svg, "HR"))
    np.testing.assert_allclose(found[[0, -1], 0], on_axis(across, X[[0, -1]], log=log), atol=0.15)
    baseline = 3.8  # labels stand this much below their ticks
    np.testing.assert_allclose(found[[0, -1], 1], on_axis(up, X[[0, -1]] ** 2, log=log) - baseline, atol=0.15)


def on_axis(ticks: dict[float, float], values: Floats, *, log: bool) -> Floats:
    """Where values stand, by the labels of the axis."""
    numbers, places = np.array(list(ticks)), np.array(list(ticks.values()))
    if log:
        numbers, values = np.log(numbers), np.log(values)
    slope, offset = np.polyfit(numbers, places, 1)
    return np.asarray(slope * values + offset)


def test_gaps_and_numbers_without_logarithm_are_not_bridged() -> None:
    gappy = Curve(name="g", x=[1, 2, 3, 4, 5], y=[1, 2, np.nan, 2, 1])
    svg = draw(chart(curves=(gappy,)))
    assert svg.count("M") > 0
    group = next(one for one in parse(svg).iter("g") if one.find("title") is not None)
    assert next(group.iter("path")).attrib["d"].count("M") == 2
    zero = Curve(name="g", x=[1, 2, 3, 4, 5], y=[1, 2, 0, 2, 1])
    group = next(
        one for one in parse(draw(chart(curves=(zero,), log_y=True))).iter("g") if one.find("title") is not None
    )
    assert next(group.iter("path")).attrib["d"].count("M") == 2
    nothing = Curve(name="g", x=[1, 2], y=[0, 0])
    assert "<svg" in draw(chart(curves=(nothing,), log_y=True))


def test_equal_charts_make_equal_text_whatever_the_user_has_set() -> None:
    first = draw(chart(), prefix="a")
    with mpl.rc_context({"ytick.labelsize": 30, "xtick.direction": "in", "axes.spines.left": False}):
        before = dict(mpl.rcParams)
        assert draw(chart(), prefix="a") == first
        assert dict(mpl.rcParams) == before


def test_two_charts_of_a_page_share_no_id() -> None:
    one, other = draw(chart(), prefix="a"), draw(chart(), prefix="b")
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for svg, own in zip((one, other), ids, strict=True):
        assert set(re.findall(r"#([\w-]+)", svg)) == own  # every reference leads somewhere, and no id is idle


def test_a_chart_loads_nothing_and_rules_nothing_but_itself() -> None:
    svg = draw(chart())
    assert not re.search(r"https?:|xmlns|xlink|<style|<script|<metadata|font-family|<\?xml|<!", svg)
    assert not re.search(r"#[0-9a-f]{6}\b", svg)  # every colour is the page's
    colours = set(re.findall(r"var\((--[\w-]+)\)", svg))
    assert {"--ink", "--soft", "--rule", "--curve-0", "--curve-1", "--curve-2"} == colours


def test_a_chart_is_told_to_who_cannot_see_it() -> None:
    root = parse(draw(chart(title="Porosity")))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "Porosity: y against x (µm) of HR, net, bicubic"
    assert [one.text for one in root.iter("title")] == ["HR", "net", "bicubic"]


def test_hostile_names_are_text(hostile: tuple[str, ...]) -> None:
    curves = tuple(Curve(name=name, x=[1, 2], y=[i, 2 * i]) for i, name in enumerate(hostile, 1))
    for name in hostile:
        svg = draw(chart(title=name, x_label=name, y_label=name, curves=curves, marks=((1.5, name),)))
        root = parse(svg)
        assert {one.tag for one in root.iter()} <= {
            "svg",
            "g",
            "defs",
            "path",
            "use",
            "text",
            "clipPath",
            "rect",
            "title",
        }
        assert [one.text for one in root.iter("title")][:-1] == list(hostile[:-1])
        assert svg.isprintable()


def test_names_stand_in_the_order_of_the_ends_and_never_on_each_other() -> None:
    curves = tuple(Curve(name=f"c{i}", x=[0, 1], y=[0, 1 + i / 1000]) for i in range(6))
    said = texts(draw(chart(curves=curves)))
    heights = [said[f"c{i}"][1] for i in range(6)]
    assert (np.diff(heights) < -10).all()  # upwards, by more than the 10 units that a line is high


def test_labels_of_marks_that_would_touch_stand_above_each_other() -> None:
    said = texts(draw(chart(marks=((0.2, "Otsu of HR"), (0.22, "labels"), (0.45, "far")))))
    assert said["Otsu of HR"][1] - said["labels"][1] > 9
    assert said["far"][1] == said["Otsu of HR"][1]


@pytest.mark.parametrize("log", [False, True])
def test_one_point_a_flat_line_and_large_numbers_are_drawn_in_the_colours_of_the_page(log: bool) -> None:
    for x, y in (([1], [1]), ([1, 2], [0.5, 0.5]), ([1e6, 2e6], [1e-7, 3e-7]), ([1, 2], [3e8, 4e8])):
        svg = draw(chart(curves=(Curve(name="c", x=x, y=y),), log_x=log, log_y=log))
        assert not re.search(r"#[0-9a-f]{6}\b|black", svg)
        assert all("fill: var(--" in one.attrib["style"] for one in parse(svg).iter("text"))


def test_names_moved_apart_keep_their_middle() -> None:
    assert _apart([0.0, 0.5, 0.51], 0.1) == pytest.approx([0.0, 0.455, 0.555])
    assert _apart([0.1, 0.9], 0.1) == [0.1, 0.9]
    assert _apart([], 0.1) == []


def test_a_name_looks_the_same_in_all_charts_of_a_page() -> None:
    alone = draw(chart(curves=(Curve(name="bicubic", x=X, y=X),)), names=["HR", "net", "bicubic"])
    assert "--curve-2" in alone
    assert "--curve-0" not in alone


@pytest.mark.parametrize(
    ("value", "text"), [(0.001, "0.001"), (1e-6, "10⁻⁶"), (2e5, "2·10⁵"), (1e5, "10⁵"), (50, "50"), (1e12, "10¹²")]
)
def test_numbers_of_a_logarithmic_axis_are_read_without_mathematics(value: float, text: str) -> None:
    assert _number(value, None) == text


def rgb(colour: str) -> Floats:
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    values = np.array([int(digits[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(linear: Floats) -> Floats:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)


def test_curves_are_told_apart_on_light_dark_and_paper_by_who_sees_two_colours() -> None:
    from skimage.color import rgb2lab

    style = (Path(coresr_eval.__file__).parent / "templates" / "base.html").read_text()
    pages = [rgb(found) for found in re.findall(r"--page: #(\w+)", style)]
    curves = [rgb(found) for found in re.findall(r"--curve-\d: #(\w+)", style)]
    assert (len(pages), len(curves)) == (3, 24)
    # Viénot, Brettel and Mollon 1999, Color Research and Application 24(4), 243-252: what protanopes, deuteranopes see
    protan = np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]])
    deutan = np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]])
    for number, page in enumerate(pages):
        shades = curves[8 * number : 8 * number + 8]
        for shade in shades:
            bright, dark = sorted((float(of @ [0.2126, 0.7152, 0.0722]) for of in (page, shade)), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) > 3  # WCAG 2.1, 1.4.11: graphical objects
        for sight in (np.eye(3), protan, deutan):
            lab = [rgb2lab(encoded(sight @ shade).clip(0, 1)[None, None])[0, 0] for shade in shades]
            for i in range(8):
                for j in range(i):
                    assert np.linalg.norm(lab[i] - lab[j]) > 12 or _dash(i) != _dash(j)


def test_names_in_any_script_are_drawn_without_a_complaint() -> None:
    """Warnings are errors in these tests."""
    named = chart(curves=(Curve(name="模型", x=X, y=X),), title="岩石")
    assert "模型" in draw(named)
