"""What a page shows is what the store holds: greys, bars, rows, histograms, and patches as training gets them."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from coresr_data.datasets import Paired
from coresr_data.inspection.figures import grey
from coresr_data.inspection.looking import look
from coresr_data.inspection.panels import Greys, _bar, _chosen, _edges, _shares, core_panel, patches_panel
from coresr_data.resize import imresize
from coresr_data.store import Store, open_store, write_manifest

MakeStore = Callable[..., Store]


def decoded(uri: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2], validate=True))) as image:
        return np.asarray(image)


def panel(store: Store, *, pictures: int = 4, most_pixels: int = 2**24) -> dict[str, Any]:
    return core_panel(
        store, look(store, store.manifest.cores[0], most_pixels=most_pixels), Greys(store), pictures=pictures
    )


@given(st.floats(1e-3, 1e9))
@example(0.3)
def test_a_scale_bar_is_round_and_between_a_ninth_and_a_third_of_the_picture(um: float) -> None:
    bar = _bar(um)
    assert 100 / 9 < bar["share"] <= 100 / 3 + 1e-9
    number, unit = bar["label"].split()
    length = float(number) * {"µm": 1, "mm": 1000}[unit]
    assert length == pytest.approx(um * bar["share"] / 100)
    assert re.sub(r"[0.]|e[+-]\d+", "", number) in {"1", "2", "5"}


@given(low=st.integers(-70_000, 70_000), span=st.integers(0, 140_000))
def test_bins_of_integers_hold_equally_many_levels(low: int, span: int) -> None:
    edges = _edges(float(low), float(low + span), integer=True)
    width = np.diff(edges)
    assert (width == width[0]).all()
    assert width[0] == int(width[0])
    assert edges[0] == low - 0.5
    assert edges[-1] > low + span
    assert len(width) <= 258


def test_bins_of_floats_run_from_end_to_end() -> None:
    edges = _edges(0.25, 0.75, integer=False)
    assert (edges[0], edges[-1], len(edges)) == (0.25, 0.75, 257)
    assert np.all(np.diff(_edges(1.0, 1.0, integer=False)) > 0)


def test_the_histogram_counts_the_pixels_inside_the_mask_of_hr_and_lr(make_store: MakeStore) -> None:
    mask = np.zeros((1, 48, 66), np.bool_)
    mask[:, 10:41, 9:51] = True  # begins and ends within LR pixels that it holds most of
    store = make_store("store", sizes=[(48, 66)], slices=4, mask=mask, scales=(3,))
    (core,) = store.manifest.cores
    shares, edges, looked_at = _shares(store, look(store, core, most_pixels=2**24))
    assert looked_at == 4
    assert list(shares) == ["HR", "LR ×3"]
    for name, levels, inside in (
        ("HR", store.hr(core), mask[0]),
        ("LR ×3", store.lr(core), mask[0].reshape(16, 3, 22, 3).mean((1, 3)) >= 0.5),
    ):
        expected, _ = np.histogram(levels[:, inside], edges)
        np.testing.assert_allclose(shares[name], expected / expected.sum())


def test_a_histogram_without_rock_is_empty(make_store: MakeStore) -> None:
    store = make_store("store", slices=2, mask=np.zeros((1, 48, 64), np.bool_))
    shares, _, _ = _shares(store, look(store, store.manifest.cores[0], most_pixels=2**24))
    assert all((share == 0).all() for share in shares.values())


def test_every_split_is_seen_and_slices_are_in_order(make_store: MakeStore) -> None:
    store = make_store("store", slices=20, splits=["train"] * 18 + ["valid", "test"])
    (core,) = store.manifest.cores
    seen = look(store, core, most_pixels=2**24)
    rows = _chosen(seen, 5)
    assert len(rows) == 5
    assert rows == sorted(rows)
    assert {core.slices[row].split for row in rows} == {"train", "valid", "test"}
    assert len(_chosen(seen, 2)) == 3
    assert _chosen(seen, 100) == list(range(20))


def test_pictures_show_the_slices_between_the_greys_that_are_named(make_store: MakeStore) -> None:
    store = make_store("store", slices=5)
    (core,) = store.manifest.cores
    shown = panel(store)
    low, high = shown["ends"]
    middle = store.hr(core)[2]
    assert (low, high) == (np.floor(np.quantile(middle, 0.005)), np.ceil(np.quantile(middle, 0.995)))
    for one in shown["pictures"]:
        picture = decoded(one["uri"]).astype(float)
        off = [np.abs(picture - grey(levels, (low, high))).mean() for levels in store.hr(core)]
        assert np.argmin(off) == one["number"]
        assert off[one["number"]] < 6  # of 255: a JPEG of noise


def test_the_scale_bar_is_of_the_picture_and_not_of_the_slice(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(560, 562)], slices=1, dtype="uint8")
    (one,) = panel(store)["pictures"]
    assert (one["size"], one["block"]) == ((186, 187), 3)
    assert one["bar"] == {"share": pytest.approx(100 * 200 / (187 * 3 * 2.5)), "label": "200 µm"}
    (core,) = store.manifest.cores
    write_manifest(store.path, replace(store.manifest, cores=(replace(core, voxel_um=None),)))
    shown = panel(open_store(store.path))
    assert shown["pictures"][0]["bar"] is None
    assert shown["sides_um"] is None


def test_a_core_of_lr_alone_is_shown_in_lr_pixels(make_store: MakeStore) -> None:
    store = make_store("store", images=[("lr",)], scales=(2,))
    shown = panel(store)
    assert (shown["image"], shown["size"], shown["lr"], shown["lines"]) == ("LR", (24, 32), [], ["LR ×2"])
    assert shown["sides_um"] == (48 * 2.5, 64 * 2.5)
    assert shown["pictures"][0]["bar"]["share"] == pytest.approx(100 * 50 / 160)


def test_patches_are_those_of_training_turns_and_all(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(96, 120)], splits=("train", "test"), scales=(2, 3))
    greys = Greys(store)
    for scale in (2, 3):
        group = patches_panel(store.at(scale), greys)
        assert group is not None
        assert (group["scale"], group["split"], group["patch"]) == (scale, "train", 96)
        pairs = Paired(store.at(scale), patch=96)
        assert len(group["pairs"]) == min(6, pairs.epoch)
        for number, shown in enumerate(group["pairs"]):
            sample = pairs[number]
            lr, hr = (sample[name][0].numpy().astype(np.float64) * 255 for name in ("lr", "hr"))
            expected = {"LR": lr, "bicubic": imresize(lr, scale), "HR": hr}
            ends = greys(pairs.rows[pairs.cuts.draw(0, number).image][0])
            assert [image["name"] for image in shown["images"]] == list(expected)
            for image in shown["images"]:
                picture = decoded(image["uri"])
                assert picture.shape == image["size"]
                assert np.abs(picture.astype(int) - grey(expected[image["name"]], ends)).max() <= 1


def test_a_patch_says_where_it_lies_before_it_is_turned(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(160, 128)])
    group = patches_panel(store, Greys(store))
    assert group is not None
    (core,) = store.manifest.cores
    for shown in group["pairs"]:
        whole = store.hr(core)[shown["number"]]
        cut = whole[shown["y"] : shown["y"] + 96, shown["x"] : shown["x"] + 96]
        turns = re.match(r"(turned by (\d+)°|not turned)(, mirrored)?$", shown["turn"])
        assert turns is not None
        cut = np.rot90(cut, int(turns[2] or 0) // 90)
        cut = cut[:, ::-1] if turns[3] else cut
        ends = Greys(store)(core)
        np.testing.assert_array_equal(decoded(shown["images"][2]["uri"]), grey(cut, ends))
        assert shown["um"] == 96 * 2.5


def test_small_slices_get_small_patches_and_unpaired_ones_none(make_store: MakeStore) -> None:
    small = make_store("small", sizes=[(30, 44)], scales=(2,))
    group = patches_panel(small, Greys(small))
    assert group is not None
    assert group["patch"] == 30
    unpaired = make_store("unpaired", sizes=[(48, 64), (48, 64)], images=[("hr",), ("lr",)])
    assert patches_panel(unpaired, Greys(unpaired)) is None
