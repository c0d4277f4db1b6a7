"""What was looked at is told as it is: levels inside the mask, evenly spread slices, shares at the ends."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coresr_data.inspection.looking import array_of, look, spread
from coresr_data.intensity import Window
from coresr_data.store import Store, open_store, write_manifest

MakeStore = Callable[..., Store]
ALL = 2**30


def test_levels_are_those_of_the_slices_of_each_split(make_store: MakeStore) -> None:
    store = make_store("store", slices=9, splits=("train", "train", "valid"))
    (core,) = store.manifest.cores
    seen = look(store, core, most_pixels=ALL)
    assert [part.split for part in seen.parts] == ["train", "valid"]
    assert seen.image == "hr"
    for part in seen.parts:
        levels = store.hr(core)[list(part.rows)]
        assert part.numbers == part.rows == part.looked_at
        assert (part.low, part.high, part.pixels) == (levels.min(), levels.max(), levels.size)
        assert part.mean == pytest.approx(levels.mean())


def test_levels_outside_the_mask_do_not_count(make_store: MakeStore) -> None:
    mask = np.zeros((3, 48, 64), np.bool_)
    mask[0, 5:40, 9:30] = True
    mask[1, :, :2] = True
    store = make_store("store", slices=3, mask=mask)
    (core,) = store.manifest.cores
    (part,) = look(store, core, most_pixels=ALL).parts
    levels = store.hr(core)[mask]
    assert (part.low, part.high, part.pixels) == (levels.min(), levels.max(), mask.sum())
    assert part.mean == pytest.approx(levels.mean())
    assert look(store, core, most_pixels=ALL).rock == pytest.approx(mask.mean())


def test_a_mask_without_rock_leaves_nothing_to_look_at(make_store: MakeStore) -> None:
    store = make_store("store", slices=2, mask=np.zeros((1, 48, 64), np.bool_))
    seen = look(store, store.manifest.cores[0], most_pixels=ALL)
    assert np.isnan([seen.parts[0].low, seen.parts[0].high, seen.parts[0].mean]).all()
    assert seen.share([part.beyond for part in seen.parts]) == 0


def test_shares_are_of_pixels_at_the_ends_and_outside_the_window(make_store: MakeStore) -> None:
    store = make_store("store", slices=2)
    (core,) = store.manifest.cores
    levels = np.full((2, 48, 64), 100, np.uint8)
    levels[0, :12] = 255
    levels[0, 12:20] = 250
    levels[1, 3:9] = 5
    levels[1, :3] = 0
    np.save(store.path / core.folder / "hr.npy", levels)
    write_manifest(store.path, replace(store.manifest, window=Window(50, 200)))
    store = open_store(store.path)
    (part,) = look(store, core, most_pixels=ALL).parts
    assert part.ends == (3 / 96, 12 / 96)
    assert part.beyond == 29 / 96


def test_floats_have_no_ends(make_store: MakeStore) -> None:
    store = make_store("store", dtype="float32")
    (part,) = look(store, store.manifest.cores[0], most_pixels=ALL).parts
    assert part.ends == (0.0, 0.0)
    assert 0 < part.low < part.mean < part.high < 1


def test_a_core_of_lr_alone_is_looked_at_in_lr_of_the_smallest_scale(make_store: MakeStore) -> None:
    store = make_store("store", scales=(2, 4), images=[("lr",)])
    (core,) = store.manifest.cores
    seen = look(store, core, most_pixels=ALL)
    assert seen.image == "lr"
    assert seen.parts[0].pixels == 6 * 24 * 32
    shapes = [array_of(one, core, "lr").shape for one in (store, store.at(4))]
    assert shapes == [(6, 24, 32), (6, 12, 16)]


def test_no_more_is_looked_at_than_was_allowed(make_store: MakeStore) -> None:
    store = make_store("store", slices=12, splits=("train", "train", "test"))
    (core,) = store.manifest.cores
    for part in look(store, core, most_pixels=3 * 48 * 64).parts:
        assert len(part.looked_at) == min(3, len(part.rows))
        assert part.pixels == len(part.looked_at) * 48 * 64
    huge = look(store, core, most_pixels=48 * 64 // 5).parts[0]
    assert (len(huge.looked_at), huge.every, huge.pixels) == (1, 6, 8 * 64)


@given(n=st.integers(1, 300), most=st.integers(1, 40))
def test_spread_rows_are_of_those_given_and_evenly_apart(n: int, most: int) -> None:
    rows = [3 * row + 1 for row in range(n)]
    found = spread(rows, most)
    assert len(found) == min(n, most)
    assert set(found) <= set(rows)
    places = np.array([(row - 1) // 3 for row in found])
    steps = np.diff(places)
    assert (steps >= 1).all()
    assert np.ptp(steps) <= 1 if len(steps) else True
    assert abs(places[0] - (n - 1 - places[-1])) <= 1
