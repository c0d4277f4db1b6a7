"""Hostile names, scores, crops, and a page taken apart. What tests share of the report."""

from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coresr_eval.protocol import Score
from coresr_eval.report import Crop, summary, write_page
from tests.eval.report.making import PROTOCOL


class Page(HTMLParser):
    """What a page is made of: its start tags with their attributes, its text, its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(path.read_bytes().decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag not in {"b", "strong"}:  # cells and lines are read apart
            self.text += " "

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the name of HTMLParser's
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside != "style":
            self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"comment {data!r}")

    def images(self, alt: str) -> list[str]:
        found = [attributes for tag, attributes in self.tags if tag == "img"]
        return [str(image["src"]) for image in found if alt in str(image["alt"])]

    @property
    def line(self) -> str:
        return " ".join(self.text.split())


@pytest.fixture
def parsed() -> Callable[[Path], Page]:
    return Page


@pytest.fixture
def hostile() -> tuple[str, ...]:
    """Names that want to be script, style, formula, template, mathematics, terminal codes: the last does not print."""
    return (
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "' onmouseover='alert(1)",
        "</style></title><a href=http://example.org>x</a>",
        "]]></svg><script>",
        "$\\frac{1}{$",
        "=cmd()|' /C calc'!A0",
        "javascript:alert(1)//file:///etc/passwd",
        "{{ 7 * 7 }}{% raw %}",
        "a\x1b[31m\x00\r\nb\u202ec\u2028\ud800d",
    )


@pytest.fixture
def score() -> Callable[..., Score]:
    def make(model: str, psnr: float, *, core: str = "a", number: int = 0, **others: float) -> Score:
        values: dict[str, float] = {"ssim": 0.5, "mae": 0.02, "lr_psnr": 45.0, "drift": 0.001, **others}
        return Score(model=model, core=core, slice=number, psnr=psnr, **values)

    return make


@pytest.fixture
def crop() -> Callable[..., Crop]:
    """Noise as HR, images that are off by more to the right and below, and a detail of its own in one LR pixel."""

    def make(*, core: str = "a", error: float = 0.1, beyond: bool = True) -> Crop:
        hr = np.random.default_rng(3).uniform(0.2, 0.8, (16, 16))
        sloped = np.linspace(0, 1, 256).reshape(16, 16)
        detail = np.zeros((16, 16))
        detail[4:6, 8:10] = [[0.06, -0.06], [-0.06, 0.06]]
        return Crop(
            core=core,
            slice=7,
            lr=hr[::2, ::2],
            hr=hr,
            images={"bicubic": hr + error * sloped, "net": hr - error / 4 * sloped},
            beyond={"net": detail} if beyond else {},
        )

    return make


@pytest.fixture
def page(tmp_path: Path, score: Callable[..., Score], parsed: Callable[[Path], Page]) -> Callable[..., Page]:
    """A page of two scores, unless others are given, read back."""

    def make(scores: Sequence[Score] | None = None, *, crops: Sequence[Crop] = (), **more: Any) -> Page:
        found = summary(
            PROTOCOL,
            [score("bicubic", 30.0), score("net", 31.5)] if scores is None else scores,
            rocks=more.pop("rocks", None),
        )
        write_page(tmp_path / "x.html", title="T", summary=found, crops=crops, **more)
        return parsed(tmp_path / "x.html")

    return make
