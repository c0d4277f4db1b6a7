"""Each caution is said where it belongs, with what to do about it, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.inspection.cautions import cautions
from coresr_data.inspection.looking import look
from coresr_data.intensity import Window
from coresr_data.store import Store, open_store, write_manifest
from coresr_data.store.manifest import Manifest

MakeStore = Callable[..., Store]


def said(store: Store, levels: NDArray[Any] | None = None, **changes: Any) -> list[str]:
    """The cautions of a store after its manifest, and the levels of its first core, were changed."""
    if levels is not None:
        np.save(store.path / store.manifest.cores[0].folder / "hr.npy", levels)
    write_manifest(store.path, replace(store.manifest, **changes))
    store = open_store(store.path)
    return cautions(store, [look(store, core, most_pixels=2**30) for core in store.manifest.cores])


def cores(manifest: Manifest, **changes: Any) -> tuple[Any, ...]:
    return tuple(replace(core, **changes) for core in manifest.cores)


def test_a_sound_store_needs_none(make_store: MakeStore) -> None:
    assert said(make_store("store")) == []


def test_levels_that_fill_little_of_the_window(make_store: MakeStore) -> None:
    store = make_store("store", dtype="uint16")
    levels = np.linspace(0, 4095, 6 * 48 * 64).reshape(6, 48, 64).astype(np.uint16)
    (caution,) = said(store, levels)
    assert caution.startswith("the levels 0–4095 fill little of the window")
    assert "--window 0 4095" in caution
    assert said(store, levels, window=Window(0, 4095)) == []
    # a quarter is enough
    assert said(store, levels, window=Window(0, 4 * 4095)) == []
    assert len(said(store, levels, window=Window(0, 4 * 4095 + 40))) == 1


@pytest.mark.parametrize(("level", "word"), [(0, "darker"), (255, "brighter")])
def test_levels_cut_off_at_an_end_of_the_dtype(make_store: MakeStore, level: int, word: str) -> None:
    store = make_store("store", slices=2)
    levels = np.linspace(1, 254, 2 * 48 * 64).reshape(2, 48, 64).astype(np.uint8)
    levels.flat[: int(0.02 * levels.size)] = level
    (caution,) = said(store, levels)
    assert caution.startswith(f"2.0% of core plug is at level {level}, the end of uint8: what is {word} was cut off")
    assert "export" in caution
    levels.flat[: int(0.02 * levels.size)] = 99
    levels.flat[: int(0.009 * levels.size)] = level
    assert said(store, levels) == []


def test_a_window_that_is_too_narrow(make_store: MakeStore) -> None:
    store = make_store("store", slices=1)
    levels = np.full((1, 48, 64), 150, np.uint8)
    levels[0, 0, :6] = [99, 99, 201, 201, 201, 202]
    levels[0, 1] = np.linspace(100, 200, 64)
    (caution,) = said(store, levels, window=Window(100, 200))
    assert caution.startswith("0.2% of core plug is outside the window 100–200")
    assert "widen --window" in caution
    levels[0, 0, :3] = 150
    assert said(store, levels, window=Window(100, 200)) == []


def test_a_mask_that_leaves_next_to_nothing(make_store: MakeStore) -> None:
    mask = np.zeros((1, 48, 64), np.bool_)
    mask[:, :4] = True
    (caution,) = said(make_store("store", mask=mask))
    assert caution.startswith("the mask leaves 8.3% of core plug; look at it with inspect --html")
    mask[:, :6] = True
    assert said(make_store("more", mask=mask)) == []


def test_voxels_that_are_no_cubes(make_store: MakeStore) -> None:
    store = make_store("store")
    (apart,) = said(store, cores=cores(store.manifest, voxel_um=(10.0, 2.5, 2.5)))
    assert apart.startswith("slices of core plug lie 10 µm apart, 4 times the 2.5 µm of a pixel")
    (oblong,) = said(store, cores=cores(store.manifest, voxel_um=(2.5, 2.0, 2.5)))
    assert oblong.startswith("pixels of core plug are 2×2.5 µm, not square, and training turns patches by 90°")
    for voxel in ((2.51, 2.5, 2.51), None):
        assert said(store, cores=cores(store.manifest, voxel_um=voxel)) == []


@pytest.mark.parametrize(("published", "why"), [(False, "which was accepted"), (True, "as they were published")])
def test_splits_that_show_the_same_rock(make_store: MakeStore, published: bool, why: str) -> None:
    border = {"above": 13, "below": 16, "splits": ["train", "valid"], "likeness": 0.7234}
    split: dict[str, Any] = {
        "alike": 0.35,
        "cores": [{"core": "plug", "gap": 2, "measured": False, "published": published, "borders": [border]}],
    }
    store = make_store("store")
    (caution,) = said(store, split=split)
    assert caution.startswith(
        f"slices 13 in train and 16 in valid of core plug show the same rock (correlation 0.72), {why}: scores on valid"
    )
    border["likeness"] = 0.34
    assert said(store, split=split) == []


def test_slices_that_two_splits_share(make_store: MakeStore) -> None:
    split = {"cores": [], "equal": [["train", "a", "test", "b"]], "copies": [{"one": "a"}, {"one": "b"}]}
    (caution,) = said(make_store("store"), split=split)
    assert caution.startswith("3 pairs of equal or nearly equal slices lie in two splits each")
    assert "remove one of each pair" in caution


@pytest.mark.parametrize("verdict", ["shifted", "distorted", "aligned", "unclear"])
def test_pairs_that_do_not_lie_on_one_another(make_store: MakeStore, verdict: str) -> None:
    found = {"verdict": verdict, "pairs": 8, "shift_y": -1.5, "shift_x": 0.25}
    pairs = {"plug": {"registration": {"2": found}}}
    cautioned = said(make_store("store"), degradation_parameters={"pairs": pairs})
    if verdict in {"aligned", "unclear"}:
        assert cautioned == []
    else:
        assert cautioned[0].startswith(f"the ×2 LR of core plug is {verdict} against its HR, by -1.50 LR pixels down")
        assert "+0.25 to the right" in cautioned[0]
        assert "register the pair" in cautioned[0]


def test_what_is_prepared_with_a_similarity_accepted_is_cautioned_about(real_data: Any, tmp_path: Any) -> None:
    from coresr_data.packing import prepare

    store = prepare(real_data / "shale-fibsem" / "slices", tmp_path / "store", scale=2, accept_similar=True)
    found = said(store)
    assert [caution.split(" show ")[0] for caution in found] == [
        "slices 1 in train and 7 in valid of core slices",
        "slices 7 in valid and 13 in test of core slices",
    ]
