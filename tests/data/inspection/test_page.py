"""The page tells what a store holds, in one file that loads and runs nothing, whatever its names are."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

import jinja2

from coresr_data.inspection import page as page_module
from coresr_data.inspection import panels
from coresr_data.inspection.cautions import cautions
from coresr_data.inspection.looking import Seen, look
from coresr_data.inspection.page import page, render
from coresr_data.store import DRAWN, Core, Store, open_store, write_manifest

MakeStore = Callable[..., Store]

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</style></title></svg><a href=http://example.org>x</a>",
    "=cmd()|' /C calc'!A0",
    "javascript:alert(1)//file:///etc/passwd",
    "{{ 7 * 7 }}{% raw %}",
    "a\x1b[31m\x00\r\nb\u202ec\u2028\ud800d",
)
TAGS = (
    "html head meta title style body main footer section h1 h2 h3 p b i strong br div span ul li code figure figcaption"
    " img table caption thead tbody tr th td svg g path defs use rect clippath pattern text"
)
ATTRIBUTES = (
    "lang charset http-equiv content name class role aria-label tabindex scope src alt width height style viewbox d id "
    "href x y transform clip-path fill patternunits"
)


class Page(HTMLParser):
    """What a page is made of: its start tags with their attributes, and its text but for its style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._in_style = False
        self.feed(text)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in {"br", "td", "th"} else ""  # a browser parts cells
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"comment {data!r}")

    def count(self, tag: str, **attributes: str) -> int:
        return sum(tag == one and attributes.items() <= found.items() for one, found in self.tags)


def changed(store: Store, **changes: Any) -> Store:
    write_manifest(store.path, replace(store.manifest, **changes))
    return open_store(store.path)


def with_cores(store: Store, **changes: Any) -> Store:
    return changed(store, cores=tuple(replace(core, **changes) for core in store.manifest.cores))


def shown(store: Store) -> Page:
    return Page(render(store))


@pytest.fixture(scope="module")
def rich(write_store: MakeStore, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A masked store of two cores, two scales and three splits, with drawn parameters."""
    mask = np.zeros((1, 48, 72), np.bool_)
    mask[:, 6:42, 12:60] = True
    store = write_store(
        tmp_path_factory.mktemp("stores") / "plug & sons",
        sizes=[(48, 72), (48, 72)],
        slices=8,
        splits=("train", "train", "valid", "test"),
        scales=(2, 4),
        mask=mask,
    )
    for core in store.manifest.cores:
        for scale in (2, 4):
            drawn = [
                [{"step": "resize", "kernel": "box", "samples": 1}, {"step": "blur", "sigma_y": k}] for k in range(8)
            ]
            drawn[0][0]["kernel"] = "lanczos3"
            (store.path / core.folder / DRAWN.format(scale=scale)).write_text(json.dumps(drawn))
    return open_store(store.path)


@pytest.fixture(scope="module")
def rich_page(rich: Store) -> Page:
    return shown(rich)


# What it says


def test_it_says_what_the_store_is(rich: Store, rich_page: Page) -> None:
    text = rich_page.text
    assert "What plug & sons holds" in text
    assert (
        "16 slices of 1 core, ×2/×4: HR with LR made of it (bicubic). 8 to train on, 4 to validate, 4 to test." in text
    )
    assert "uint8; level 0 becomes 0 and 255 becomes 1 for the network" in text
    assert rich.sha256 in text
    assert (
        "8 slices of 72 × 48 HR pixels with LR of 36 × 24 and 18 × 12. "
        "A slice is 180 µm wide and 120 µm high, the HR voxel 2.5 µm."
    ) in text


def test_it_lists_the_cores_with_voxel_splits_levels_and_mask(rich: Store, rich_page: Page) -> None:
    for core in rich.manifest.cores:
        levels = rich.hr(core)[:, rich.mask(core)[0]]
        share = f"{100 * core.slices[0].rock:.1f} %"
        row = f"plug HR and LR 72 × 48 2.5 µm 4 2 2 {levels.min()} to {levels.max()} {share}"
        assert row in rich_page.text


def test_it_shows_slices_with_bars_and_masks(rich: Store, rich_page: Page) -> None:
    share = f"{100 * rich.manifest.cores[0].slices[0].rock:.1f} %"
    assert rich_page.text.count("Slice 0, train, " + share + " in the mask") == 2
    assert rich_page.count("div", **{"class": "bar"}) == 2 * 8
    assert "50 µm" in rich_page.text
    assert f"It leaves {share} of the core." in rich_page.text
    assert {attributes["style"] for tag, attributes in rich_page.tags if tag == "i" and "style" in attributes} == {
        "width: 27.78%"
    }


def test_it_shows_the_split_along_depth_with_its_legend(rich_page: Page) -> None:
    for name, words in (
        ("train", "train: 4 slices, 0 to 5"),
        ("valid", "valid: 2 slices, 2 to 6"),
        ("test", "test: 2 slices"),
    ):
        assert words in rich_page.text
        assert rich_page.count("i", **{"class": name}) == 2
    assert "no slice in the store" not in rich_page.text
    assert rich_page.count("svg", **{"aria-label": "Splits along depth, by slice number"}) == 2
    assert "from one slice number to the next it is 2.5 µm" in rich_page.text


def test_it_shows_histograms_and_says_of_how_many_slices(rich_page: Page) -> None:
    assert rich_page.count("svg", **{"aria-label": "How often each grey level occurs"}) == 2
    assert rich_page.text.count("How often each grey level occurs, in all 8 slices, inside the mask.") == 2
    assert "No pixel lies outside the window." in rich_page.text


def test_it_shows_patches_of_every_scale(rich_page: Page) -> None:
    for scale, size in ((2, "LR 24 × 24"), (4, "LR 12 × 12")):
        assert f"×{scale}" in rich_page.text
        assert size in rich_page.text
    assert rich_page.text.count("HR 48 × 48") == rich_page.count("div", **{"class": "trio"})
    assert rich_page.text.count("120 µm wide") == rich_page.count("div", **{"class": "trio"})


def test_it_sums_up_what_was_drawn(rich_page: Page) -> None:
    for scale in (2, 4):
        assert f"What the degradation drew, ×{scale}" in rich_page.text
    for row in (
        "resize kernel 16 box 14×, lanczos3 2×",
        "resize samples 16 1, always",
        "blur sigma y 16 0 to 7, mean 3.5",
    ):
        assert rich_page.text.count(row) == 2


def test_what_is_not_there_is_not_shown(store: Store) -> None:
    text = shown(store).text
    for absent in ("drew", "Left out", "in the mask", "Its cores"):
        assert absent not in text
    assert "no slice in the store" in text
    bare = shown(with_cores(open_store(store.path), voxel_um=(2.5, 2.5, 2.5)))
    assert "nobody said" not in bare.text


def test_without_a_voxel_there_are_no_bars_and_it_says_why(make_store: MakeStore) -> None:
    parsed = shown(with_cores(make_store("store"), voxel_um=None))
    assert parsed.count("div", **{"class": "bar"}) == 0
    assert "How large a voxel is nobody said, so there are no scale bars; prepare with --voxel-um" in parsed.text
    assert "depth below" not in parsed.text


def test_an_unpaired_store_is_shown_without_patches(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(48, 64), (30, 40)], images=[("hr",), ("lr",)])
    text = shown(with_cores(store, cropped=(1, 0))).text
    assert "LR and HR that are not paired." in text
    assert "6 slices of 20 × 15 LR pixels, 1 row and 0 columns of HR cut at the far edges" in text
    assert "Patch pairs" not in text
    assert "real" not in text


def test_a_store_of_pairs_and_of_hr_alone_says_so(make_store: MakeStore) -> None:
    text = shown(make_store("store", sizes=[(48, 64), (30, 40)], images=[("hr", "lr"), ("hr",)])).text
    assert "LR and HR, paired in some of its cores alone." in text


def test_cautions_stand_on_top_and_what_was_skipped_below(make_store: MakeStore) -> None:
    store = changed(
        with_cores(make_store("store"), voxel_um=(10.0, 2.5, 2.5)), skipped=(("plug/7.png", "truncated & gone"),)
    )
    text = shown(store).text
    (caution,) = cautions(store, [look(store, core, most_pixels=2**30) for core in store.manifest.cores])
    assert text.index(caution[1:]) < text.index("The store")
    assert "Left out source why plug/7.png truncated & gone" in text


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"parts": [0.7, 0.15, 0.15]}, "train/valid/test by depth in shares of 0.7/0.15/0.15"),
        ({"parts": {"train": [0, 250], "test": [400, 400]}}, "train: slices 0 to 250 test: slices 400 to 400"),
        ({"parts": {"train": ["a*"], "test": ["b", "c"]}}, "train: a* test: b, c"),
        ({"parts": "none"}, "none: every slice is for training"),
        ({"parts": "folders"}, "as the folders say"),
        (
            {"parts": [1, 0, 0], "alike": 1, "cores": [{"core": "a", "gap": 9, "measured": True, "borders": []}]},
            "at least 9 slice numbers between splits, as measured",
        ),
    ],
)
def test_the_split_is_said_in_words(make_store: MakeStore, split: dict[str, Any], said: str) -> None:
    assert said in shown(changed(make_store("store"), split=split)).text


def test_how_lr_was_made_is_said_in_words(make_store: MakeStore) -> None:
    parameters = {
        "seed": 3,
        "steps": {"2": [{"step": "blur", "sigma_y": 1.5}, {"step": "bin"}]},
        "pairs": {
            "plug": {
                "hr_slices_per_lr_slice": 4,
                "hr_voxels_off_centre": 0.5,
                "registration": {"2": {"verdict": "aligned", "pairs": 8, "shift_y": 0.1, "shift_x": -0.25}},
            },
            "bare": {"hr_slices_per_lr_slice": 1, "hr_voxels_off_centre": 0},
            "small": {
                "hr_slices_per_lr_slice": 1,
                "hr_voxels_off_centre": 0,
                "registration": {"2": {"verdict": "unclear", "pairs": 0}},
            },
        },
        "fitted_on": {"psnr": 31.5},
    }
    text = shown(changed(make_store("store"), degradation_parameters=parameters)).text
    for words in (
        "seed 3",
        "steps at ×2 blur (sigma y 1.5), then bin",
        "pair plug ×2 aligned, 8 pairs looked at. LR lies +0.10 LR pixels down and -0.25 to the right of its HR. Of 4",
        "Of 4 HR slices to one of LR the middle one is kept. It lies 0.5 HR voxels below the middle of its LR slice.",
        "pair bare as published",
        "pair small ×2 unclear, 0 pairs looked at.",
        'fitted on {"psnr": 31.5}',
    ):
        assert words in text


def test_of_many_cores_some_are_shown_and_all_are_listed(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(24, 24)] * 11, slices=2)
    names = [f"core-{number}" for number in range(11)]
    cores = tuple(replace(core, name=name) for core, name in zip(store.manifest.cores, names, strict=True))
    store = changed(store, cores=cores)
    parsed = shown(store)
    assert "6 cores of 11, evenly spread, are shown below" in parsed.text
    assert parsed.count("section") == 6
    assert all(f" {name} HR and LR 24 × 24" in parsed.text for name in names)


def test_the_table_of_cores_ends_and_says_how_many_more(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_ROWS", 3)
    text = shown(make_store("store", sizes=[(24, 24)] * 5, slices=1)).text
    assert "And 2 more cores." in text


def test_of_a_large_store_a_few_slices_are_read(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store("store", slices=40, splits=["train"] * 30 + ["test"] * 10)
    for module in (page_module, panels):
        monkeypatch.setattr(module, "LOOKED_AT", 5 * 48 * 64)
    allowed = []

    def listening(store: Store, core: Core, *, most_pixels: int) -> Seen:
        allowed.append(most_pixels)
        return look(store, core, most_pixels=most_pixels)

    monkeypatch.setattr(page_module, "look", listening)
    text = shown(store).text
    assert allowed == [5 * 48 * 64]
    assert "How often each grey level occurs, in 5 of 40 slices." in text


# How it is made


def test_hostile_names_come_out_as_text(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_CORES", len(HOSTILE))
    store = make_store("store", sizes=[(24, 24)] * len(HOSTILE), slices=1)
    cores = [
        replace(core, name=name, slices=tuple(replace(one, source=name, split=name) for one in core.slices))
        for core, name in zip(store.manifest.cores, HOSTILE, strict=True)
    ]
    cores[0] = replace(cores[0], slices=store.manifest.cores[0].slices)  # to train on
    manifest = replace(
        store.manifest,
        degradation=HOSTILE[1],
        degradation_parameters={name: name for name in HOSTILE}
        | {"steps": {"2": [{"step": name, name: name} for name in HOSTILE]}},
        split={"parts": {name: [name] for name in HOSTILE}},
        skipped=tuple((name, name) for name in HOSTILE),
        cores=tuple(cores),
    )
    text = render(replace(store, manifest=manifest))
    text.encode()
    parsed = Page(text)
    assert {tag for tag, _ in parsed.tags} <= set(TAGS.split())
    for tag, attributes in parsed.tags:
        assert set(attributes) <= set(ATTRIBUTES.split())
        assert ("src" in attributes) == (tag == "img")
        assert re.match(r"data:image/(png|jpeg);base64,[\w+/=]+$", attributes.get("src") or "data:image/png;base64,x")
        assert (attributes.get("href") or "#").startswith("#")
        for key in attributes.keys() - {"alt"}:  # alone among attributes holds names from outside
            assert not re.search("https?:|file:|javascript:|alert", str(attributes[key]))
    assert len([tag for tag, _ in parsed.tags if tag == "title"]) == 1
    for name in HOSTILE:
        printed = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name)
        assert parsed.text.count(" ".join(printed.split())) >= 10
    assert parsed.text.isprintable()


@pytest.mark.skipif(os.name != "posix", reason="names of any bytes are POSIX's")
def test_a_folder_whose_name_is_no_utf8_has_a_page(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store("store")
    odd = tmp_path / os.fsdecode(b"<b>st\xffre")
    store.path.rename(odd)
    page(open_store(odd), tmp_path / "page.html")
    parsed = Page((tmp_path / "page.html").read_bytes().decode())
    assert r"What <b>st\udcffre holds" in parsed.text


def test_the_page_loads_nothing_and_runs_nothing(rich: Store, rich_page: Page) -> None:
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert rich_page.count("meta", **{"http-equiv": "Content-Security-Policy", "content": policy}) == 1
    assert ("html", {"lang": "en"}) in rich_page.tags
    text = render(rich)
    assert not re.search(r"url\((?!#)|@import|<script|https?:", text)
    assert str(rich.path.parent) not in text
    assert all(attributes.get("alt") for tag, attributes in rich_page.tags if tag == "img")


def test_equal_stores_make_equal_bytes(rich: Store, tmp_path: Path) -> None:
    for name in ("x.html", "y.html"):
        page(open_store(rich.path), tmp_path / name)
    assert (tmp_path / "x.html").read_bytes() == (tmp_path / "y.html").read_bytes()


def test_the_page_appears_whole_or_not_at_all(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "page.html").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        page(store, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_value_that_is_missing_is_an_error_and_no_gap(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "_totals", lambda cores: {})
    with pytest.raises(jinja2.UndefinedError):
        render(store)


def test_the_real_sandstone_has_a_page_of_under_two_megabytes(sandstone: Store) -> None:
    text = render(sandstone)
    assert len(text.encode()) < 2_000_000
    parsed = Page(text)
    assert "A slice is 1.284 mm wide and 1.284 mm high, the HR voxel 2.23 µm." in parsed.text
    assert "of core slices is at level 255" in parsed.text
    assert parsed.text.count("200 µm") == 8


def test_a_page_of_many_large_cores_is_of_under_two_megabytes(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(280, 280)] * 7, slices=4, scales=(2, 4))  # as large as is not reduced
    assert len(render(store).encode()) < 2_000_000
