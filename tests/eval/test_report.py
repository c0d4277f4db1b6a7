import base64
import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coresr_eval.protocol import Score
from coresr_eval.report import (
    Crop,
    png_data_uri,
    render,
    summary,
    write_json,
    write_page,
    write_scores,
    write_whole,
)

PROTOCOL: dict[str, object] = {"data_range": 1.0, "shave": 2, "ssim_window": 7}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title><a href=http://example.org>x</a>",
    "=cmd()|' /C calc'!A0",
    "javascript:alert(1)//file:///etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "a\x1b[31m\x00\r\nb\u202ec\u2028\ud800d",
)
TAGS = (
    "html head meta title style body main footer h1 h2 h3 p b strong br div span section figure figcaption img "
    "table caption thead tbody tr th td ul li"
)
ATTRIBUTES = "lang charset http-equiv content name class role aria-label tabindex scope rowspan src alt"


def score(model: str, psnr: float, *, core: str = "a", number: int = 0, ssim: float = 0.5) -> Score:
    return Score(model=model, core=core, slice=number, psnr=psnr, ssim=ssim)


def crop(*, core: str = "a", error: float = 0.1, lr: int = 8) -> Crop:
    hr = np.random.default_rng(3).uniform(0.2, 0.8, (16, 16))
    sloped = np.linspace(0, 1, 256).reshape(16, 16)
    return Crop(
        core=core,
        slice=7,
        lr=hr[: 2 * lr : 2, ::2],
        bicubic=hr + error * sloped,
        sr=hr - error / 4 * sloped,
        hr=hr,
    )


class Page(HTMLParser):
    """What a page is made of: its start tags with their attributes, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_bytes().decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"comment {data!r}")

    def images(self, alt: str) -> list[str]:
        found = [attributes for tag, attributes in self.tags if tag == "img"]
        return [str(image["src"]) for image in found if alt in str(image["alt"])]


def page(
    path: Path, scores: Sequence[Score] | None = None, *, crops: Sequence[Crop] = (), notes: Sequence[str] = ()
) -> Page:
    scores = [score("bicubic", 30.0), score("net", 31.5)] if scores is None else scores
    write_page(path, title="T", summary=summary(PROTOCOL, scores), crops=crops, notes=notes)
    return Page(path)


def decoded(uri: str) -> NDArray[np.uint8]:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body, validate=True))) as image:
        assert image.format == "PNG"
        assert image.mode in {"L", "P"}
        assert not image.info.keys() & {"exif", "Software", "Creation Time"}
        return np.asarray(image)


def test_summary_holds_means_and_the_gain_of_each_image_over_bicubic_of_the_same_image() -> None:
    scores = [
        score("net", 33.0, core="b", number=4, ssim=0.9),
        score("bicubic", 20.0, core="a", number=4, ssim=0.4),
        score("bicubic", 30.0, core="b", number=4, ssim=0.8),
        score("bicubic", 25.0, core="b", number=5, ssim=0.6),
        score("net", 21.0, core="a", number=4, ssim=0.5),
    ]
    found = summary(PROTOCOL, scores)
    assert list(found) == ["protocol", "rows", "per_core"]
    assert found["protocol"] == PROTOCOL
    assert found["rows"] == [
        {"model": "bicubic", "n": 3, "psnr": 25.0, "ssim": pytest.approx(0.6)},
        # not 27 - 25: bicubic's third image is none of the net's; (33 - 30 + 21 - 20) / 2
        {"model": "net", "n": 2, "psnr": 27.0, "ssim": pytest.approx(0.7), "gain_db": 2.0},
    ]
    assert found["per_core"] == {
        "a": [
            {"model": "bicubic", "n": 1, "psnr": 20.0, "ssim": 0.4},
            {"model": "net", "n": 1, "psnr": 21.0, "ssim": 0.5, "gain_db": 1.0},
        ],
        "b": [
            {"model": "bicubic", "n": 2, "psnr": 27.5, "ssim": pytest.approx(0.7)},
            {"model": "net", "n": 1, "psnr": 33.0, "ssim": 0.9, "gain_db": 3.0},
        ],
    }


@pytest.mark.parametrize(
    ("pairs", "gain"),
    [
        ([(math.inf, math.inf), (31.0, 30.0)], 0.5),
        ([(math.inf, 30.0)], math.inf),
        ([(math.inf, 30.0), (30.0, math.inf)], None),
    ],
)
def test_perfect_images_have_a_gain_that_is_never_nan(pairs: list[tuple[float, float]], gain: float | None) -> None:
    ours = [score("net", pair[0], number=number) for number, pair in enumerate(pairs)]
    base = [score("bicubic", pair[1], number=number) for number, pair in enumerate(pairs)]
    assert summary({}, [*ours, *base])["rows"][1]["gain_db"] == gain


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], "must be of one image at least, got none"),
        ([score("bicubic", 30.0), score("net", 31.0, number=9)], "core a slice 9 must include bicubic, got net"),
        ([score("bicubic", 30.0), score("bicubic", 31.0)], "must be one per model and image, got 2 for 1"),
    ],
)
def test_summary_refuses_scores_that_cannot_be_compared(scores: list[Score], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        summary(PROTOCOL, scores)


def test_scores_survive_the_round_trip_through_csv(tmp_path: Path) -> None:
    scores = [score("bicubic", 30.123456, core='a, "b"', number=3, ssim=0.12345678), score("net", math.inf)]
    write_scores(tmp_path / "scores.csv", scores)
    text = (tmp_path / "scores.csv").read_text()
    assert text.startswith("model,core,slice,psnr,ssim\nbicubic,")
    read = [
        Score(model=r["model"], core=r["core"], slice=int(r["slice"]), psnr=float(r["psnr"]), ssim=float(r["ssim"]))
        for r in csv.DictReader(io.StringIO(text))
    ]
    assert read == scores


@pytest.mark.parametrize("name", [*HOSTILE, "+1", "-1", "@x", "'=1", "\t=1", "\uff1d1", " =1"])
def test_no_cell_of_the_csv_begins_a_formula_or_holds_a_control(tmp_path: Path, name: str) -> None:
    write_scores(tmp_path / "scores.csv", [score(name, -3.5, core=name)])
    row = list(csv.reader(io.StringIO((tmp_path / "scores.csv").read_bytes().decode(), newline="")))[1]
    assert row[2:] == ["0", "-3.500000", "0.50000000"]
    for cell in row[:2]:
        assert cell.isprintable()
        assert cell.lstrip()[0] not in "=+-@\uff1d"
        if name.isprintable():
            assert name in {cell, cell.removeprefix("'")}
    if not name.isprintable():
        assert "\\x" in row[0] or "\\t" in row[0]


def test_two_names_never_become_one_in_the_csv(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.csv", [score("=1", 1.0), score("'=1", 1.0), score("''=1", 1.0)])
    assert len({line.split(",")[0] for line in (tmp_path / "scores.csv").read_text().splitlines()}) == 4


def test_json_keeps_its_order_and_writes_infinity_as_a_text_that_float_reads(tmp_path: Path) -> None:
    value = {"z": [1.5, math.inf], "a": {"x": -math.inf, "y": None, "n": 3, "t": "µ\ud800\x1b"}}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert text.endswith("}\n")
    assert "\x1b" not in text
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {"z": [1.5, "inf"], "a": {"x": "-inf", "y": None, "n": 3, "t": "µ\ud800\x1b"}}
    assert list(read) == ["z", "a"]
    assert float(read["a"]["x"]) == -math.inf


def test_json_refuses_nan_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"psnr": math.nan})
    assert not list(tmp_path.iterdir())


def test_hostile_names_come_out_as_text(tmp_path: Path) -> None:
    scores = [score(model, 30.0, core=core) for core in HOSTILE for model in ("bicubic", *HOSTILE)]
    found = summary({name: name for name in HOSTILE}, scores)
    crops = [crop(core=name) for name in HOSTILE]
    for title in HOSTILE:
        write_page(tmp_path / "x.html", title=title, summary=found, crops=crops, notes=HOSTILE)
        parsed = Page(tmp_path / "x.html")
        assert {tag for tag, _ in parsed.tags} <= set(TAGS.split())
        for tag, attributes in parsed.tags:
            assert set(attributes) <= set(ATTRIBUTES.split())
            assert ("src" in attributes) == (tag == "img")
            assert str(attributes.get("src", "data:image/png;base64,")).startswith("data:image/png;base64,")
            for name in attributes.keys() - {"alt"}:  # alone among attributes holds names from outside
                assert not re.search("https?:|file:|javascript:", str(attributes[name]))
        assert len([tag for tag, _ in parsed.tags if tag == "title"]) == 1
        for name in HOSTILE[:-1]:
            assert name in parsed.text
        assert r"a\x1b[31m\x00\r\nb\u202ec\u2028\ud800d" in parsed.text
        assert parsed.text.replace("\n", "").isprintable()


def test_the_page_loads_nothing_and_runs_nothing(tmp_path: Path) -> None:
    parsed = page(tmp_path / "x.html", crops=[crop()])
    metas = [attributes for tag, attributes in parsed.tags if tag == "meta"]
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert {"http-equiv": "Content-Security-Policy", "content": policy} in metas
    assert ("html", {"lang": "en"}) in parsed.tags
    assert any(meta.get("name") == "viewport" for meta in metas)
    assert not re.search(r"url\(|@import|<script|https?:", (tmp_path / "x.html").read_text())


def test_equal_arguments_make_equal_bytes(tmp_path: Path) -> None:
    page(tmp_path / "x.html", crops=[crop()], notes=["n"])
    page(tmp_path / "y.html", crops=[crop()], notes=["n"])
    assert (tmp_path / "x.html").read_bytes() == (tmp_path / "y.html").read_bytes()


def test_the_verdict_says_gain_and_number_and_that_one_slice_is_no_statistics(tmp_path: Path) -> None:
    text = " ".join(page(tmp_path / "x.html").text.split())
    assert "net gains +1.50 dB in PSNR over bicubic (31.50 against 30.00 dB;" in text
    assert "measured on one image." in text
    assert "One slice is no statistics" in text
    assert "Core by core" not in text
    worse = [score(m, p, core=c, number=k) for c in "ab" for k in range(5) for m, p in (("bicubic", 30), ("net", 29))]
    text = " ".join(page(tmp_path / "x.html", worse).text.split())
    assert "net gains −1.00 dB" in text
    assert "mean of 10 images of 2 cores." in text
    assert "no statistics" not in text
    assert "Core by core" in text
    one_core = [score("bicubic", 30.0, number=k) for k in range(20)]
    text = page(tmp_path / "x.html", one_core).text
    assert "All 20 images are of one core" in text
    assert "Bicubic, the baseline alone" in text


def test_a_gain_without_a_value_is_a_dash_and_an_infinite_one_a_sign(tmp_path: Path) -> None:
    both = [("net", math.inf, 0), ("bicubic", 30.0, 0), ("net", 30.0, 1), ("bicubic", math.inf, 1)]
    assert "gains – dB" in page(tmp_path / "x.html", [score(m, p, number=k) for m, p, k in both]).text
    assert "gains +∞ dB" in page(tmp_path / "x.html", [score(m, p, number=k) for m, p, k in both[:2]]).text


def test_a_png_data_uri_decodes_to_the_image() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(8, 32)
    np.testing.assert_array_equal(decoded(png_data_uri(levels / 255)), levels)
    windowed = decoded(png_data_uri(np.array([[0.0, 0.25, 0.5, 0.75, 1.0]]), window=(0.25, 0.75)))
    assert windowed.tolist() == [[0, 0, 128, 255, 255]]


def test_a_coloured_png_shows_the_colours_given() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    uri = png_data_uri(np.array([[0.0, 100 / 255, 1.0]]), colours=colours)
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(image)[0], colours[[0, 100, 255]])


@pytest.mark.parametrize(
    ("image", "window"), [(np.zeros(3), (0, 1)), (np.full((2, 2), np.nan), (0, 1)), (np.zeros((2, 2)), (1, 1))]
)
def test_a_png_of_what_is_no_image_is_refused(image: NDArray[np.float64], window: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"image must be \(y, x\), finite, its window not empty, got"):
        png_data_uri(image, window=window)


def test_all_error_maps_share_one_scale_which_the_legend_tells(tmp_path: Path) -> None:
    crops = [crop(error=0.1), crop(error=0.02)]
    parsed = page(tmp_path / "x.html", crops=crops)
    errors = [np.abs(image - one.hr) for one in crops for image in (one.bicubic, one.sr)]
    top = math.ceil(255 * float(np.quantile(errors, 0.995)))
    maps = [decoded(uri) for uri in parsed.images("Absolute difference")]
    assert len(maps) == 4
    for shown, error in zip(maps, errors, strict=True):
        np.testing.assert_array_equal(shown, np.rint(np.clip(error * 255 / top, 0, 1) * 255))
    assert len(parsed.images(f"Colour scale of the difference from HR, 0 to {top} grey levels of 255")) == 2
    beyond = 100 * float((np.array(errors) * 255 > top).mean())
    assert f"{top} and more" in parsed.text
    assert f"{beyond:.1f} % of pixels are beyond" in parsed.text
    assert f"mean {255 * float(errors[0].mean()):.2f} levels" in parsed.text


def test_the_colour_scale_rises_evenly_in_lightness(tmp_path: Path) -> None:
    (bar,) = page(tmp_path / "x.html", crops=[crop()]).images("Colour scale")
    image = Image.open(io.BytesIO(base64.b64decode(bar.partition(",")[2]))).convert("RGB")
    rgb = np.asarray(image)[0] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    lightness = np.where(luminance > (6 / 29) ** 3, 116 * np.cbrt(luminance) - 16, luminance * (29 / 3) ** 3)
    assert (np.diff(lightness) > 0).all()
    np.testing.assert_allclose(lightness, np.linspace(0, 97, 256), atol=4)


def test_the_four_images_of_a_row_share_the_grey_window_that_is_told(tmp_path: Path) -> None:
    one = crop()
    parsed = page(tmp_path / "x.html", crops=[one])
    told = re.search(r"Black is grey level (\d+) of 255 and below, white (\d+) and above", parsed.text)
    assert told is not None
    low, high = int(told[1]), int(told[2])
    assert low == math.floor(255 * np.quantile(one.hr, 0.005))
    for label, image in (("LR", one.lr), ("bicubic", one.bicubic), ("SR", one.sr), ("HR", one.hr)):
        (uri,) = parsed.images(f"{label} image of core a, slice 7, {image.shape[1]} × {image.shape[0]} pixels")
        expected = np.rint(np.clip((255 * image - low) / (high - low), 0, 1) * 255)
        assert np.abs(decoded(uri) - expected).max() <= 1


def test_a_flat_crop_is_shown(tmp_path: Path) -> None:
    flat = np.ones((4, 4))
    one = Crop(core="a", slice=0, lr=flat[:2, :2], bicubic=flat, sr=flat, hr=flat)
    assert "grey level 254 of 255 and below, white 255 and above" in page(tmp_path / "x.html", crops=[one]).text


@pytest.mark.parametrize("name", ["bicubic", "sr", "hr", "lr"])
@pytest.mark.parametrize("shape", [(15, 16), (16, 15), (1, 16, 16), (0, 16)])
def test_crops_of_unequal_shapes_are_refused(name: str, shape: tuple[int, ...]) -> None:
    arrays = {"lr": np.zeros((8, 8)), "bicubic": np.zeros((16, 16)), "sr": np.zeros((16, 16)), "hr": np.zeros((16, 16))}
    arrays[name] = np.zeros(shape)
    with pytest.raises(ValueError, match=r"of core a slice 7 must be .*, got .*\(\d"):
        Crop(core="a", slice=7, lr=arrays["lr"], bicubic=arrays["bicubic"], sr=arrays["sr"], hr=arrays["hr"])


def test_a_crop_of_lines_or_with_a_hole_is_refused() -> None:
    line, holed = np.zeros(16), np.full((16, 16), np.nan)
    for image in (line, holed):
        with pytest.raises(ValueError, match=r"hr of core a slice 7 must be finite and \(y, x\), got shape"):
            Crop(core="a", slice=7, lr=image[:8], bicubic=image, sr=image, hr=image)


def test_a_whole_file_replaces_the_old_one_and_obeys_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    target.chmod(0o600)
    mask = os.umask(0o027)
    try:
        write_whole(target, b"new")
    finally:
        os.umask(mask)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "x"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_file_and_folder_are_flushed_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(fd: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else f"file of {os.fstat(fd).st_size}")
        fsync(fd)

    def renamed(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(tmp_path / "x", b"12345")
    assert calls == ["file of 5", "rename", "folder"]


def test_a_template_without_one_of_its_values_raises(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text("<p>{{ word }}</p>")
    with pytest.raises(jinja2.UndefinedError, match="'word' is undefined"):
        render("own.html", templates=tmp_path)
    with pytest.raises(jinja2.UndefinedError, match="'summary' is undefined"):
        render("scores.html", title="T")


def test_a_folder_of_templates_may_extend_the_base_and_is_escaped_too(tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text('{% extends "base.html" %}{% block main %}<p>{{ word }}</p>{% endblock %}')
    text = render("own.html", templates=tmp_path, word="<b>\x1b")
    assert r"<p>&lt;b&gt;\x1b</p>" in text
    assert "Content-Security-Policy" in text


def test_the_home_folder_appears_in_no_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/planted")
    names = ["/home/planted/run", "x=/home/planted", "/home/planted2", "/mnt/home/planted"]
    scores = [score(model, 30.0, core=names[0]) for model in ("bicubic", *names)]
    write_scores(tmp_path / "a", scores)
    write_json(tmp_path / "b", summary({"data": names[0]}, scores))
    page(tmp_path / "c", scores, crops=[crop(core=names[0])], notes=names)
    for output in tmp_path.iterdir():
        text = output.read_text()
        assert not re.search(r"(?<!/mnt)/home/planted(?!2)", text)
        assert {"~/run", "x=~", "/home/planted2", "/mnt/home/planted"} <= set(re.findall(r"[\w=~/]+", text))
