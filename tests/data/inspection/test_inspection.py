"""`describe` says what a store holds, line by line, for every kind of store."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coresr_data import inspection
from coresr_data.inspection import describe, gap_words, voxel_words
from coresr_data.store import Store, open_store, write_manifest

MakeStore = Callable[..., Store]


def changed(store: Store, **changes: Any) -> Store:
    write_manifest(store.path, replace(store.manifest, **changes))
    return open_store(store.path)


def test_a_store_of_pairs_is_described(store: Store) -> None:
    (core,) = store.manifest.cores
    hr = store.hr(core)
    lines = list(describe(store))
    assert lines[:4] == [
        f"store      {store.path} (×2, bicubic LR, identity {store.sha256[:12]})",
        "grey       uint8, 0 → 0, 255 → 1",
        "voxel      HR 2.5 µm, LR 5 µm",
        "core       plug: HR 48×64, LR 24×32",
    ]
    rows = {
        name: [row for row, one in enumerate(core.slices) if one.split == name] for name in ("train", "valid", "test")
    }
    for line, (name, inside), gap in zip(
        lines[4:7], rows.items(), ("", ", after a gap of 2", ", after a gap of 2"), strict=True
    ):
        first, last = core.slices[inside[0]].number, core.slices[inside[-1]].number
        levels = hr[inside]
        assert line == (
            f"  {name:<8} {len(inside):>5} slices, numbers {first}–{last}, HR levels {levels.min()}–{levels.max()}, "
            f"mean {levels.mean():.1f}{gap}"
        )


def test_what_was_skipped_and_cautions_come_last(make_store: MakeStore) -> None:
    store = changed(make_store("store"), skipped=(("plug/7.png", "truncated"),), split={"equal": [[]]})
    lines = list(describe(store))
    assert lines[-2] == "skipped    plug/7.png: truncated"
    assert lines[-1].startswith("caution    1 pairs of equal")


def test_a_masked_core_in_several_scales_says_its_share(make_store: MakeStore) -> None:
    mask = np.zeros((1, 48, 64), np.bool_)
    mask[:, :36] = True
    store = make_store("store", scales=(2, 4), mask=mask)
    lines = list(describe(store))
    assert "(×2/×4, bicubic LR," in lines[0]
    assert lines[2] == "voxel      HR 2.5 µm, LR 5 µm/10 µm"
    assert lines[3] == "core       plug: HR 48×64, LR 24×32, LR 12×16, 75.0% inside the mask"


def test_an_unpaired_store_says_what_each_core_holds(make_store: MakeStore) -> None:
    lines = list(describe(make_store("store", sizes=[(48, 64), (30, 40)], images=[("hr",), ("lr",)])))
    assert "core       plug: HR 48×64" in lines
    assert "core       plug: LR 15×20" in lines
    assert [line.split(",")[2].split()[:2] for line in lines if "slices, numbers" in line] == [
        ["HR", "levels"],
        ["LR", "levels"],
    ]


def test_voxels_are_said_core_by_core_where_they_differ(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(48, 64), (30, 40)])
    one, other = store.manifest.cores
    lines = list(describe(changed(store, cores=(one, replace(other, voxel_um=(7.0, 3.0, 3.0), cropped=(1, 0))))))
    assert lines[2] == "voxel      HR differs between cores"
    assert "core       plug: HR 48×64, LR 24×32, voxel HR 2.5 µm, LR 5 µm" in lines
    assert (
        "core       plug: HR 30×40, LR 15×20, cropped by 1 rows and 0 columns, "
        "voxel HR 7×3×3 µm, LR 7×6×6 µm along z, y and x"
    ) in lines


def test_large_stores_are_looked_at_in_part_and_say_so(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store("store", slices=12)
    monkeypatch.setattr(inspection, "MOST_PIXELS", 5 * 48 * 64)
    assert " in 5 of them" in list(describe(store))[4]
    monkeypatch.setattr(inspection, "MOST_PIXELS", 48 * 64 // 2)
    assert " in 1 of them at every 2th line" in list(describe(store))[4]
    monkeypatch.undo()
    assert " of them" not in list(describe(store))[4]


@pytest.mark.parametrize(
    ("voxel", "said"),
    [
        (None, "HR not said"),
        ((2.23, 2.23, 2.23), "HR 2.23 µm, LR 4.46 µm/6.69 µm"),
        ((500.0, 430.0, 430.0), "HR 500×430×430 µm, LR 500×860×860 µm/500×1290×1290 µm along z, y and x"),
    ],
)
def test_lr_voxels_grow_within_the_slice_alone(voxel: Any, said: str) -> None:
    assert voxel_words(voxel, (2, 3)) == said


@pytest.mark.parametrize(
    ("above", "below", "said"),
    [
        ([0, 1, 2], [5, 6], ", after a gap of 2"),
        ([0, 2], [3], ", after a gap of 0"),
        ([0, 4], [2, 6], ", between the others"),
    ],
)
def test_the_gap_is_counted_in_slice_numbers(above: list[int], below: list[int], said: str) -> None:
    assert gap_words(above, below) == said
