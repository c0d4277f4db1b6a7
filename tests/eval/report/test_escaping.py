"""Names from outside come out of every page as text, and no page loads or runs what is not its own."""

import base64
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from coresr_eval.report import render, summary, write_comparison, write_json, write_page, write_scores
from tests.eval.report.making import Make, chart, comparison

TAGS = (
    "html head meta title style body main footer h1 h2 h3 p b strong br div span section figure figcaption img "
    "table caption thead tbody tfoot tr th td ul li fieldset legend label select option input script"
)
DRAWN = "svg g defs path use text clippath rect title line circle"
ATTRIBUTES = (
    "lang charset http-equiv content name class role aria-label tabindex scope rowspan src alt width height "
    "type min max value selected"
)
DRAWING = (
    "id d x y x1 x2 y1 y2 cx cy r width height viewbox transform style clip-path href class role aria-label "
    "stroke-linejoin"
)
FREE = {"alt", "aria-label"}
"""Alone among attributes these hold names from outside."""


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
