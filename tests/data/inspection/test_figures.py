"""Charts are the same bytes for the same numbers and hold no name from outside; pictures show their levels."""

import base64
import io
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("matplotlib")

from coresr_data.inspection.figures import (
    COLOURS,
    OUTLINE,
    _runs,
    _scaled,
    _spans,
    _top,
    axis_ends,
    data_uri,
    grey,
    histogram,
    outlined,
    reduced,
    strip,
)

NUMBERS = [*range(10), 14, 15, 20]
SPLITS = ["train"] * 10 + ["valid", "valid", "test"]


class Drawing(HTMLParser):
    """The tags of a chart, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += [data.strip()] if data.strip() else []


def chart(numbers: Sequence[int] = NUMBERS, splits: Sequence[str] = SPLITS, z_um: float | None = None) -> str:
    return strip(numbers, splits, z_um=z_um)


def levels_chart(window: tuple[float, float] = (0, 255), spike: float = 0.0) -> str:
    edges = np.arange(257) - 0.5
    share = np.exp(-((np.arange(256) - 120) ** 2) / 800)
    share[255] = spike * share.sum()
    return histogram({"HR": share / share.sum(), "LR ×2": share / share.sum()}, edges, window=window, unit="uint8")


@pytest.mark.parametrize("make", [chart, levels_chart], ids=["strip", "histogram"])
def test_equal_numbers_make_equal_charts_that_follow_the_page(make: object) -> None:
    assert callable(make)
    text = make()
    assert text == make()
    assert text.startswith('<svg viewBox="')
    assert text.endswith("</svg>")
    drawing = Drawing(text)
    assert {tag for tag, _ in drawing.tags} <= {
        "svg",
        "g",
        "path",
        "defs",
        "use",
        "rect",
        "clippath",
        "pattern",
        "text",
    }
    assert drawing.tags[0][1]["role"] == "img"
    assert drawing.tags[0][1]["aria-label"]
    assert "var(--ink)" in text or "var(--soft)" in text
    colours = {colour.lower() for colour in re.findall(r"(?<!\()#[0-9a-fA-F]{6}\b", text)}
    assert colours <= set(COLOURS.values()) | {"#ffffff", "#000000"}
    assert "font-family" not in text
    assert "<?xml" not in text
    assert "http" not in text
    ids = [attributes["id"] for _, attributes in drawing.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:url\(|href=\")#(\w+)", text)) == set(ids)


def test_the_strip_says_numbers_and_depth() -> None:
    assert "slice number" in Drawing(chart()).text
    assert not any("depth" in text for text in Drawing(chart()).text)
    assert "depth below slice 0 (µm)" in Drawing(chart(z_um=2.5)).text
    assert "depth below slice 0 (mm)" in Drawing(chart(z_um=250.0)).text
    found = re.findall(r' x="([\d.]+)" y="([\d.]+)"[^>]*>([\d.]+)<', chart([100, 200], ["train", "test"], z_um=10.0))
    below = max(float(y) for _, y, _ in found)
    slices = {round(float(x), 3): float(number) for x, y, number in found if float(y) == below}
    depths = {round(float(x), 3): float(number) for x, y, number in found if float(y) != below}
    assert {100, 160, 200} <= set(slices.values())
    assert {1000, 1600, 2000} <= set(depths.values())
    assert all(depths[x] == 10 * number for x, number in slices.items() if x in depths)


@given(st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_the_axis_of_depth_scales_there_and_back(factor: float, number: float) -> None:
    forward, back = _scaled(factor)
    assert forward(number) == number * factor
    assert back(forward(number)) == pytest.approx(number)


def test_each_split_has_its_colour_and_test_a_hatch() -> None:
    text = chart()
    assert {colour for colour in COLOURS.values() if colour in text} == set(COLOURS.values())
    assert "<pattern" in text
    assert "<pattern" not in chart([0, 1], ["train", "valid"])
    assert "#009e73" in chart([0], ["other"])


def test_the_colours_differ_in_lightness_too() -> None:
    def lightness(colour: str) -> float:
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        y = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        return float(116 * np.cbrt(y) - 16)

    found = sorted(lightness(colour) for colour in COLOURS.values())
    assert min(np.diff(found)) > 7


@given(st.dictionaries(st.integers(-5, 60), st.sampled_from(["train", "valid", "test"]), min_size=1))
def test_runs_cover_every_slice_once_and_in_its_split(found: dict[int, str]) -> None:
    runs = _runs(list(found), list(found.values()))
    covered = {n: split for split, start, end in runs for n in range(int(start + 0.5), int(end + 0.5))}
    assert covered == found
    assert sum(end - start for _, start, end in runs) == len(found)
    for (one, _, end), (other, start, _) in pairwise(runs):
        assert one != other or start > end


@given(st.dictionaries(st.integers(-5, 60), st.sampled_from(["train", "valid"]), min_size=1))
def test_spans_hold_every_slice_and_never_overlap(found: dict[int, str]) -> None:
    spans = _spans(list(found), list(found.values()))
    assert all(before[2] <= after[1] for before, after in pairwise(spans))
    for number, name in found.items():
        assert [split for split, start, end in spans if start < number < end] == [name]


def test_splits_mixed_over_thousands_of_slices_stay_a_small_chart() -> None:
    numbers = list(range(1000))
    splits = ["train" if number % 2 else "valid" for number in numbers]
    assert len(_runs(numbers, splits)) <= 401
    assert len(chart(numbers, splits)) < 300_000


def test_the_ends_of_the_window_are_marked_where_they_are_seen() -> None:
    assert {"becomes 0", "becomes 1"} <= set(Drawing(levels_chart()).text)
    assert {"becomes 0", "becomes 1"} & set(Drawing(levels_chart(window=(0, 65535))).text) == {"becomes 0"}
    assert "grey level (uint8)" in Drawing(levels_chart()).text
    assert "% of pixels" in Drawing(levels_chart()).text


@pytest.mark.parametrize(
    ("edges", "window", "seen"),
    [
        ((0, 100), (0, 255), True),
        ((0, 100), (-20, 130), True),
        ((0, 100), (0, 401), False),
        ((50, 90), (0, 65535), False),
    ],
)
def test_the_axis_shows_the_whole_window_unless_it_is_far_wider(
    edges: tuple[float, float], window: tuple[float, float], seen: bool
) -> None:
    left, right = axis_ends(np.array(edges, float), window)
    assert left < edges[0] < edges[1] < right
    assert (left < window[0] and right > window[1]) is seen


def test_a_bin_that_towers_over_all_is_cut_and_says_its_share() -> None:
    assert not [text for text in Drawing(levels_chart()).text if text.endswith(" %")]
    shares = [text for text in Drawing(levels_chart(spike=0.5)).text if text.endswith(" %")]
    assert set(shares) == {"33.3 %"}
    even = np.full(8, 1 / 8)
    assert _top({"HR": even}) == pytest.approx(1.2 / 8)
    assert _top({"HR": np.array([0.0, 1.0])}) == pytest.approx(1.2)


def test_reduced_pixels_are_means_of_blocks() -> None:
    levels = np.random.default_rng(0).integers(0, 255, (50, 70)).astype(np.uint8)
    small = reduced(levels, 20)  # 70 / 20 is 3.5, hence blocks of 4
    assert small.shape == (12, 17)
    for y, x in np.ndindex(small.shape):
        assert small[y, x] == pytest.approx(levels[4 * y : 4 * y + 4, 4 * x : 4 * x + 4].mean())
    np.testing.assert_array_equal(reduced(levels, 70), levels)


@given(height=st.integers(1, 90), width=st.integers(1, 90), side=st.integers(1, 30))
def test_reduced_images_fit_and_keep_a_constant(height: int, width: int, side: int) -> None:
    small = reduced(np.full((height, width), 7, np.uint16), side)
    assert max(small.shape) <= side
    assert (small == 7).all()


def test_greys_are_between_their_ends() -> None:
    np.testing.assert_array_equal(grey(np.array([[-5, 10, 15, 20, 99]]), (10, 20)), [[0, 0, 128, 255, 255]])
    np.testing.assert_array_equal(grey(np.array([[3.0]]), (3, 3)), [[0]])


def test_the_outline_runs_along_the_edge_of_the_mask_and_nowhere_else() -> None:
    mask = np.zeros((9, 12), np.bool_)
    mask[2:6, 3:9] = True
    found = outlined(np.full((9, 12), 80, np.uint8), mask)
    line = (found == OUTLINE).all(axis=2)
    assert (found[~line] == 80).all()
    assert line[2, 3:9].all()
    assert line[1, 3:9].all()
    assert not line[3:5, 4:8].any()
    assert not line[0].any()
    assert not line[7:].any()
    assert not (outlined(np.zeros((5, 5), np.uint8), np.ones((5, 5), np.bool_)) != 0).any()


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3)])
def test_a_picture_comes_back_from_its_uri(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    uri = data_uri(picture)
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True))) as image:
        np.testing.assert_array_equal(np.asarray(image), picture)
    smooth = np.repeat(np.arange(64, dtype=np.uint8)[None], 64, axis=0) * 3
    near = data_uri(smooth, exact=False)
    with Image.open(io.BytesIO(base64.b64decode(near.removeprefix("data:image/jpeg;base64,"), validate=True))) as image:
        assert np.abs(np.asarray(image).astype(int) - smooth).max() < 12
