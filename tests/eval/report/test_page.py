import base64
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest

from coresr_eval.protocol import Score
from coresr_eval.report import (
    Chart,
    Crop,
    Curve,
    render,
    summary,
    write_comparison,
    write_json,
    write_page,
    write_scores,
)
from coresr_eval.statistics import Comparison, compare

PROTOCOL: dict[str, object] = {"data_range": 1.0, "shave": 2, "ssim_window": 7}
TAGS = (
    "html head meta title style body main footer h1 h2 h3 p b strong br div span section figure figcaption img "
    "table caption thead tbody tfoot tr th td ul li fieldset legend label input script"
)
DRAWN = "svg g defs path use text clippath rect title line circle"
ATTRIBUTES = (
    "lang charset http-equiv content name class role aria-label tabindex scope rowspan src alt width height "
    "type min max value checked"
)
DRAWING = (
    "id d x y x1 x2 y1 y2 cx cy r width height viewbox transform style clip-path href class role aria-label "
    "stroke-linejoin"
)
FREE = {"alt", "aria-label"}
"""Alone among attributes these hold names from outside."""
Make = Callable[..., Any]


def scores_of(score: Make) -> list[Score]:
    return [score("bicubic", 30.0), score("net", 31.5)]


@pytest.fixture
def page(tmp_path: Path, score: Make, parsed: Make) -> Make:
    """A page of two scores, unless others are given, read back."""

    def make(scores: Sequence[Score] | None = None, *, crops: Sequence[Crop] = (), **more: Any) -> Any:
        found = summary(PROTOCOL, scores_of(score) if scores is None else scores, rocks=more.pop("rocks", None))
        write_page(tmp_path / "x.html", title="T", summary=found, crops=crops, **more)
        return parsed(tmp_path / "x.html")

    return make


def chart(name: str) -> Chart:
    curves = (Curve(name=name, x=[1, 2, 3], y=[0, 1, 2]),)
    return Chart(title=name, x_label=name, y_label=name, curves=curves, marks=((2, name),), note=name, log_y=True)


def comparison(*names: str, cores: str = "abcd") -> Comparison:
    images = [(core, number) for core in cores for number in range(6)]
    rng = np.random.default_rng(0)
    base = rng.normal(30, 1, len(images))
    models = {
        name: (base + gain + rng.normal(0, 0.1, len(images)))[None] for gain, name in enumerate(("bicubic", *names))
    }
    return compare(models, images)


def check(found: Any, hostile: Sequence[str]) -> None:
    """Only tags and attributes that the templates write, and every hostile name as text."""
    inside_svg = set()
    for tag, attributes in found.tags:
        drawn = tag in DRAWN.split() and not (tag == "title" and not attributes and "svg" not in inside_svg)
        inside_svg.add(tag)
        assert tag in TAGS.split() or drawn
        assert set(attributes) <= set((DRAWING if drawn else ATTRIBUTES).split())
        assert ("src" in attributes) == (tag == "img")
        assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")
        assert re.fullmatch(r"#chart-\d+-\w+", str(attributes.get("href", "#chart-0-m1")))
        for name in attributes.keys() - FREE:
            assert not re.search("https?:|file:|javascript:|url\\((?!#)", str(attributes[name]))
    for name in hostile[:-1]:
        assert name in found.text
    assert r"a\x1b[31m\x00\r\nb\u202ec\u2028\ud800d" in found.text
    assert found.text.replace("\n", "").isprintable()


def test_hostile_names_come_out_as_text(
    tmp_path: Path, parsed: Make, score: Make, crop: Make, hostile: tuple[str, ...]
) -> None:
    scores = [score(model, 30.0, core=core, drift=0.1) for core in hostile for model in ("bicubic", *hostile)]
    write_page(
        tmp_path / "x.html",
        title=hostile[0],
        summary=summary({name: name for name in hostile}, scores, rocks=dict(zip(hostile, hostile, strict=True))),
        crops=[crop(core=name) for name in hostile],
        charts=[chart(name) for name in hostile],
        comparison=comparison(*hostile),
    )
    read = parsed(tmp_path / "x.html")
    check(read, hostile)
    assert [tag for tag, _ in read.tags].count("script") == len(read.scripts) == 1
    for title in hostile:
        write_page(tmp_path / "x.html", title=title, summary=summary({}, scores[:1]), crops=[], notes=hostile)
        check(parsed(tmp_path / "x.html"), hostile)


def test_hostile_names_come_out_as_text_of_a_comparison(tmp_path: Path, parsed: Make, hostile: tuple[str, ...]) -> None:
    protocol = {name: name for name in hostile}
    compared = comparison(*hostile)
    for title in hostile:
        write_comparison(tmp_path / "x.html", compared, title=title, protocol=protocol, notes=hostile)
        read = parsed(tmp_path / "x.html")
        check(read, hostile)
        assert not read.scripts


def policy(found: Any) -> str:
    (meta,) = [attributes for tag, attributes in found.tags if attributes.get("http-equiv")]
    assert meta["http-equiv"] == "Content-Security-Policy"
    return str(meta["content"])


def test_the_page_loads_nothing_and_without_pictures_runs_nothing(tmp_path: Path, page: Make) -> None:
    found = page(charts=[chart("c")])
    assert policy(found) == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not found.scripts
    assert found.line.endswith("This page is one file: it loads nothing and runs no script.")
    assert ("html", {"lang": "en"}) in found.tags
    assert any(attributes.get("name") == "viewport" for _, attributes in found.tags)
    assert not re.search(r"url\((?!#chart-0-)|@import|<script|https?:", (tmp_path / "x.html").read_text())


def test_the_one_script_is_allowed_by_its_digest_and_told(tmp_path: Path, page: Make, crop: Make) -> None:
    found = page(crops=[crop(), crop()])
    (script,) = found.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert policy(found) == f"{allowed}; script-src 'sha256-{digest}'"
    assert found.line.endswith("This page is one file: it loads nothing, and its one script only moves the sliders.")
    assert not re.search(r"https?:|\burl\(|@import|\beval\(|innerHTML", (tmp_path / "x.html").read_text())


def test_equal_arguments_make_equal_bytes(tmp_path: Path, page: Make, crop: Make) -> None:
    pages = []
    for _ in range(2):
        page(crops=[crop()], charts=[chart("c"), chart("d")], notes=["n"], comparison=comparison("net"))
        pages.append((tmp_path / "x.html").read_bytes())
    assert pages[0] == pages[1]
    for name in "yz":
        write_comparison(tmp_path / name, comparison("net"), title="T", protocol=PROTOCOL, charts=[chart("c")])
    assert (tmp_path / "y").read_bytes() == (tmp_path / "z").read_bytes()


def test_the_verdict_says_gain_and_number_and_that_one_slice_is_no_statistics(page: Make, score: Make) -> None:
    text = page().line
    assert "net gains +1.50 dB in PSNR over bicubic (31.50 against 30.00 dB;" in text
    assert "measured on one image." in text
    assert "One slice is no statistics" in text
    assert "Core by core" not in text
    worse = [score(m, p, core=c, number=k) for c in "ab" for k in range(5) for m, p in (("bicubic", 30), ("net", 29))]
    text = page(worse).line
    assert "net gains −1.00 dB" in text
    assert "mean of 10 images of 2 cores." in text
    assert "no statistics" not in text
    assert "Core by core" in text
    one_core = [score("bicubic", 30.0, number=k) for k in range(20)]
    text = page(one_core).text
    assert "All 20 images are of one core" in text
    assert "Bicubic, the baseline alone" in text


def test_a_gain_without_a_value_is_a_dash_and_an_infinite_one_a_sign(page: Make, score: Make) -> None:
    both = [("net", np.inf, 0), ("bicubic", 30.0, 0), ("net", 30.0, 1), ("bicubic", np.inf, 1)]
    assert "gains – dB" in page([score(m, p, number=k) for m, p, k in both]).text
    assert "gains +∞ dB" in page([score(m, p, number=k) for m, p, k in both[:2]]).text


def test_the_table_holds_bicubic_first_and_errors_in_grey_levels(page: Make, score: Make) -> None:
    scores = [score("net", 31.5, mae=0.01, lr_psnr=50.04, drift=-0.003), score("bicubic", 30.0)]
    text = page(scores).line
    head = "model PSNR dB gain over bicubic dB SSIM MAE levels LR-PSNR dB drift levels images"
    first = "bicubic 30.00 – 0.5000 5.10 45.0 +0.26 1"
    assert f"{head} {first} net 31.50 +1.50 0.5000 2.55 50.0 −0.77 1 PSNR," in text
    bare = [Score(model="bicubic", core="a", slice=0, psnr=30.0, ssim=0.5)]
    assert "bicubic 30.00 – 0.5000 – – – 1" in page(bare).line


def test_rocks_and_cores_have_tables_of_their_own(page: Make, score: Make) -> None:
    scores = [score("bicubic", 20.0 + i, core=core) for i, core in enumerate("abc")]
    text = page(scores, rocks={"a": "coal", "b": "shale", "c": "shale"}).line
    assert re.search(
        "Rock by rock rock model .* images coal bicubic 20.00 – .* 1 shale bicubic 21.50 – .* 2 Core", text
    )
    assert "Rock by rock" not in page(scores, rocks=dict.fromkeys("abc", "coal")).text


def test_a_comparison_puts_intervals_letters_and_notes_into_the_table(page: Make) -> None:
    compared = comparison("net")
    (net,) = [row for row in compared.rows if row.model == "net"]
    text = page(comparison=compared).line
    between = f"{net.gain_low:+.2f} to {net.gain_high:+.2f}"
    assert f"net gains +1.50 dB (95 % interval {between}) in PSNR over bicubic" in text
    assert f"+1.50 {between} 0.5000" in text
    assert "images letters bicubic" in text
    assert f" 1 {net.letters} PSNR, SSIM and" in text
    for note in compared.notes:
        assert note in text
    assert "letter" not in page().text


def test_what_psnr_does_not_show_is_flagged_in_words(page: Make, score: Make) -> None:
    scores = [score("bicubic", 30.0), score("net", 31.5, drift=0.02, lr_psnr=30.0)]
    text = page(scores).line
    assert "net shifts the mean grey level, by +5.1 of 255 on its worst image" in text
    assert "net contradicts its input" in text
    assert "contradicts its input" not in page().text


def test_pictures_are_told_and_their_scale_and_window_too(page: Make, crop: Make) -> None:
    found = page(crops=[crop(error=0.9)])
    assert "Black is grey level 51 of 255 and below, white 200 and above." in found.line
    for text in ("LR image of core a, slice 7, 8 × 8 pixels", "HR image of core a, slice 7, 16 × 16 pixels"):
        assert len(found.images(text)) == 1
    assert len(found.images("Difference of SR from HR, core a, slice 7: ")) == 1
    assert len(found.images("Detail in SR that LR does not determine, core a, slice 7: ")) == 1
    top = re.search(r"Colour scale of the maps, 0 to (\d+) grey levels", str(found.tags))
    assert top is not None
    assert f"{top[1]} and more" in found.text
    assert "of all are beyond" in found.text
    assert "does not determine" not in page(crops=[crop(beyond=False)]).text


def test_charts_stand_with_title_note_and_what_they_hide(page: Make) -> None:
    found = page(charts=[chart("one"), chart("two")])
    assert [tag for tag, _ in found.tags].count("svg") == 2
    assert "two 1 value is zero or below and has no place on the logarithmic axis." in found.line
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 2


def test_a_name_too_long_for_a_chart_is_told_in_full_below_it(page: Make) -> None:
    name = "edsr-64x16-" + 9 * "long-" + "seed-3"
    assert f"edsr-64x16…-seed-3 is {name}." in page(charts=[chart(name)]).line
    assert " is short." not in page(charts=[chart("short")]).line


def test_a_name_keeps_its_colour_from_chart_to_chart(page: Make) -> None:
    styles = [str(attributes.get("style")) for _, attributes in page(charts=[chart("one"), chart("two")]).tags]
    assert {shade for style in styles for shade in re.findall(r"--curve-\d", style)} == {"--curve-0", "--curve-1"}


def test_a_comparison_is_told_in_words_as_dots_and_pair_by_pair(tmp_path: Path, parsed: Make) -> None:
    compared = comparison("net", "other")
    write_comparison(tmp_path / "x", compared, title="Three", protocol=PROTOCOL, notes=["mine"])
    found = parsed(tmp_path / "x")
    assert "other is better than net by" in found.line
    assert [tag for tag, _ in found.tags].count("circle") == 3
    row = compared.rows[0]
    assert f"{row.gain:+.2f} {row.gain_low:+.2f} to {row.gain_high:+.2f} {row.mean:.2f}" in found.line
    first = compared.pairs[0]
    assert f"{first.one} {first.other} {first.verdict} {first.about} {first.difference:+.2f}" in found.line
    assert all(note in found.line for note in (*compared.notes, "mine"))
    assert found.line.endswith("loads nothing and runs no script.")


def test_a_comparison_says_whether_more_or_less_is_better(tmp_path: Path, parsed: Make) -> None:
    compared = comparison("net")
    write_comparison(tmp_path / "x", compared, title="T", protocol=PROTOCOL)
    text = parsed(tmp_path / "x").line
    assert "PSNR over these 24 slices of 4 cores, the best first: more is better. Dots are gains over bicubic" in text
    turned = replace(compared, rows=compared.rows[::-1], metric="mae", unit="", higher_is_better=False)
    write_comparison(tmp_path / "x", turned, title="T", protocol=PROTOCOL)
    text = parsed(tmp_path / "x").line
    assert "MAE over these 24 slices of 4 cores, the best first: less is better. Dots are differences from" in text
    assert "model letters minus bicubic difference mean runs" in text


def test_a_template_without_one_of_its_values_raises(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text("<p>{{ word }}</p>")
    with pytest.raises(jinja2.UndefinedError, match="'word' is undefined"):
        render("own.html", templates=tmp_path)
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        render("scores.html", title="T")


def test_a_folder_of_templates_may_extend_the_base_and_is_escaped_too(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text('{% extends "base.html" %}{% block main %}<p>{{ word }}</p>{% endblock %}')
    text = render("own.html", templates=tmp_path, word="<b>\x1b")
    assert r"<p>&lt;b&gt;\x1b</p>" in text
    assert "Content-Security-Policy" in text
    assert "<script" not in text


def test_the_home_folder_appears_in_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: Make, crop: Make
) -> None:
    monkeypatch.setenv("HOME", "/home/planted")
    names = ["/home/planted/run", "x=/home/planted", "/home/planted2", "/mnt/home/planted"]
    scores = [score(model, 30.0, core=names[0]) for model in ("bicubic", *names)]
    write_scores(tmp_path / "a", scores)
    found = summary({"data": names[0]}, scores)
    write_json(tmp_path / "b", found)
    charts, crops = [chart(name) for name in names], [crop(core=names[0])]
    write_page(tmp_path / "c", title=names[0], summary=found, crops=crops, charts=charts, notes=names)
    write_comparison(tmp_path / "d", comparison(*names), title=names[0], protocol={"data": names[0]}, notes=names)
    for output in tmp_path.iterdir():
        text = output.read_text()
        assert not re.search(r"(?<!/mnt)/home/planted(?!2)", text)
        assert {"~/run", "x=~", "/home/planted2", "/mnt/home/planted"} <= set(re.findall(r"[\w=~/]+", text))


def test_a_page_of_twelve_crops_of_rock_and_four_charts_stays_below_one_and_a_half_megabytes(
    tmp_path: Path, real_data: Path, score: Make
) -> None:
    from PIL import Image

    crops = []
    for path in sorted((real_data / "sandstone-versa" / "slices").iterdir())[:6]:
        whole = np.asarray(Image.open(path).convert("L"), np.float32) / 255
        for y in (96, 288):
            hr = whole[y : y + 192, 192:384]
            lr = hr.reshape(96, 2, 96, 2).mean(axis=(1, 3))
            soft = np.asarray(Image.fromarray(lr).resize((192, 192), Image.Resampling.BICUBIC))
            sr = soft + (hr - soft) / 4
            beyond = sr - sr.reshape(96, 2, 96, 2).mean(axis=(1, 3)).repeat(2, axis=0).repeat(2, axis=1)
            crops.append(Crop(core="plug", slice=y, lr=lr, bicubic=soft, sr=sr, hr=hr, hallucination=beyond))
    x = np.linspace(0.001, 0.5, 250)
    curves = tuple(Curve(name=str(i), x=x, y=np.exp(-x * i), low=np.exp(-x * i) / 2, high=x * i) for i in range(1, 5))
    charts = [Chart(title=str(i), x_label="x", y_label="y", curves=curves) for i in range(4)]
    found = summary(PROTOCOL, scores_of(score))
    write_page(tmp_path / "x.html", title="T", summary=found, crops=crops, charts=charts)
    assert len(crops) == 12
    assert (tmp_path / "x.html").stat().st_size < 1_500_000
