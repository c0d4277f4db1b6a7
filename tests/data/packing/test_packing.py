"""What people have becomes a store: LR is MATLAB's, levels are the source's, and splits do not leak."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from coresr_data.degrade import apply, bicubic, from_json
from coresr_data.degrade.recipes import DEGRADATIONS, Steps
from coresr_data.degrade.steps import Blur, Resize
from coresr_data.formats import open_volume
from coresr_data.formats.images import open_slices, write_slice
from coresr_data.intensity import Window
from coresr_data.packing import folder_names, prepare
from coresr_data.patches import keyed
from coresr_data.split import Micrometres
from coresr_data.store import Store, digest_of, verify
from coresr_data.volume import Volume

MakeCore = Callable[..., Path]
Levels = NDArray[np.uint8]
RANGES = {"train": (0, 13), "valid": (16, 18), "test": (21, 23)}


def numbers(store: Store, core: int = 0) -> dict[str, list[int]]:
    slices = store.manifest.cores[core].slices
    return {name: [s.number for s in slices if s.split == name] for name in dict.fromkeys(s.split for s in slices)}


# What a store holds


def test_hr_is_the_source_and_lr_is_hr_degraded_as_matlab_does(store: Store, slices: Path) -> None:
    volume = open_slices(slices)
    (core,) = store.manifest.cores
    hr, lr = store.hr(core), store.lr(core)
    assert len(core.slices) == 20
    for row, one in enumerate(core.slices):
        np.testing.assert_array_equal(hr[row], volume[volume.numbers.index(one.number)])
        np.testing.assert_array_equal(lr[row], bicubic(hr[row], 2))


def test_the_manifest_says_where_everything_came_from(store: Store) -> None:
    m = store.manifest
    (core,) = m.cores
    assert (m.scales, m.dtype, m.window, m.degradation, m.skipped) == ((2,), "uint8", (0, 255), "bicubic", ())
    assert m.degradation_parameters == {
        "seed": 0,
        "steps": {"2": [{"step": "resize", "kernel": "cubic", "samples": 1}]},
    }
    assert (core.name, core.folder, core.height, core.width, core.cropped) == ("plug", "plug", 48, 64, (0, 0))
    assert (core.voxel_um, core.images, core.masked) == ((2.5, 2.5, 2.5), ("hr", "lr"), False)
    assert core.slices[3].source == "plug/slice_0003.png"
    assert len({one.sha256 for one in core.slices}) == 20
    assert numbers(store) == {"train": [*range(14)], "valid": [16, 17, 18], "test": [21, 22, 23]}
    assert (m.split["parts"], m.split["equal"], m.split["copies"]) == ([0.7, 0.15, 0.15], [], [])
    (how,) = m.split["cores"]
    assert {name: how[name] for name in ("core", "found", "kept", "gap", "measured", "published")} == {
        "core": "plug",
        "found": 24,
        "kept": 20,
        "gap": 2,
        "measured": False,
        "published": False,
    }
    assert [(one["above"], one["below"], one["splits"]) for one in how["borders"]] == [
        (13, 16, ["train", "valid"]),
        (18, 21, ["valid", "test"]),
    ]


def test_every_array_is_hashed_as_it_was_written(store: Store) -> None:
    (core,) = store.manifest.cores
    assert sorted(core.sha256) == ["hr.npy", "lr_x2.npy"]
    assert all(digest_of(store.path / "plug" / name) == digest for name, digest in core.sha256.items())
    assert list(verify(store)) == []


def test_two_runs_write_the_same_bytes(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    one, other = (prepare(source, tmp_path / name, scale=2, degradation="scanner", gap=0) for name in ("one", "other"))
    files = sorted(path.relative_to(one.path) for path in one.path.rglob("*") if path.is_file())
    assert len(files) == 4
    assert all((one.path / file).read_bytes() == (other.path / file).read_bytes() for file in files)


def test_sizes_that_do_not_divide_are_cropped_at_the_far_edges_and_recorded(
    make_core: MakeCore, tmp_path: Path
) -> None:
    source = make_core("plug", numbers=range(12), size=(20, 26))
    store = prepare(source, tmp_path / "store", scale=3, split="none")
    (core,) = store.manifest.cores
    assert (core.height, core.width, core.cropped) == (18, 24, (2, 2))
    hr = store.hr(core)
    assert hr.shape[1:] == (18, 24)
    assert store.lr(core).shape[1:] == (6, 8)
    np.testing.assert_array_equal(hr[0], open_slices(source)[0][:18, :24])


def test_several_scales_crop_to_a_multiple_of_all(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(3), size=(50, 40))
    store = prepare(source, tmp_path / "store", scale=[4, 2, 3, 2], split="none")
    assert store.manifest.scales == (2, 3, 4)
    (core,) = store.manifest.cores
    assert (core.height, core.width, core.cropped) == (48, 36, (2, 4))
    for scale in (2, 3, 4):
        np.testing.assert_array_equal(store.at(scale).lr(core)[1], bicubic(store.hr(core)[1], scale))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_levels_keep_their_dtype(tmp_path: Path, dtype: str) -> None:
    levels = (1000 * np.random.default_rng(0).random((12, 24, 32))).astype(dtype)
    for z, image in enumerate(levels):
        path = tmp_path / "plug" / f"{z}.tif"
        path.parent.mkdir(exist_ok=True)
        write_slice(path, image)
    store = prepare(tmp_path / "plug", tmp_path / "store", scale=2, window=Window(0, 1000), gap=0)
    (core,) = store.manifest.cores
    assert store.hr(core).dtype == store.lr(core).dtype == dtype
    np.testing.assert_array_equal(store.hr(core)[0], levels[0])
    assert store.manifest.window == (0, 1000)


def test_float_slices_need_a_declared_window(tmp_path: Path) -> None:
    write_slice(tmp_path / "0.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="^window must be declared for float32"):
        prepare(tmp_path, tmp_path / "store", scale=2)
    assert not (tmp_path / "store").exists()


def test_cores_of_several_dtypes_are_refused(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(9))
    (tmp_path / "src" / "b").mkdir()
    write_slice(tmp_path / "src" / "b" / "0.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(
        ValueError, match="^cores must share a dtype, got uint8 in a and uint16 in b; prepare them apart$"
    ):
        prepare(tmp_path / "src", tmp_path / "store", scale=2)


def test_cores_of_several_sizes_share_a_store(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(9), size=(48, 64))
    make_core("src/b", numbers=range(9), size=(64, 50), seed=1)
    store = prepare(tmp_path / "src", tmp_path / "store", scale=2, gap=1)
    assert [store.lr(core).shape[1:] for core in store.manifest.cores] == [(24, 32), (32, 25)]
    assert numbers(store, 0) == numbers(store, 1)


def test_slices_of_several_sizes_become_cores_of_one_name_split_together(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(20))
    for number in (0, 7, 12, 19):
        levels = np.random.default_rng(number).integers(0, 255, (64, 64)).astype(np.uint8)
        write_slice(source / f"slice_{number:04d}.png", levels)
    store = prepare(source, tmp_path / "store", scale=2, several_sizes=True, split=(0.5, 0.25, 0.25), gap=1)
    assert [(core.name, core.folder, core.height) for core in store.manifest.cores] == [
        ("plug", "plug", 64),
        ("plug", "plug-2", 48),
    ]
    assert numbers(store, 0) == {"train": [0, 7], "valid": [12], "test": [19]}
    together = sorted(s.number for core in store.manifest.cores for s in core.slices if s.split == "train")
    assert together == [*range(9)]
    (how,) = store.manifest.split["cores"]
    assert (how["found"], how["kept"], how["gap"]) == (20, 18, 1)


# Splits


def test_everything_is_train_where_no_split_is_wanted(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(5))
    store = prepare(source, tmp_path / "store", scale=2, split="none")
    assert numbers(store) == {"train": [0, 1, 2, 3, 4]}
    assert store.manifest.split["parts"] == "none"


def test_cores_are_split_whole_by_their_names_and_those_of_no_split_left_out(
    make_core: MakeCore, tmp_path: Path
) -> None:
    for seed, core in enumerate(("coal", "sand-1", "sand-2", "shale")):
        make_core(f"src/{core}", numbers=range(3), seed=seed)
    store = prepare(tmp_path / "src", tmp_path / "store", scale=2, split={"train": ["sand-*"], "test": ["coal"]})
    assert {core.name: {s.split for s in core.slices} for core in store.manifest.cores} == {
        "coal": {"test"},
        "sand-1": {"train"},
        "sand-2": {"train"},
    }
    assert store.manifest.split["parts"] == {"train": ["sand-*"], "test": ["coal"]}


def test_names_and_numbers_in_one_split_are_refused(make_core: MakeCore, tmp_path: Path) -> None:
    split: Any = {"train": (0, 3), "test": ("plug",)}
    with pytest.raises(ValueError, match="^split must be slice numbers or names of cores, got both in"):
        prepare(make_core("plug"), tmp_path / "store", scale=2, split=split)


def test_only_slices_of_a_split_are_read(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0010.png").write_bytes(b"")
    store = prepare(source, tmp_path / "store", scale=2, split={"train": (0, 5), "test": (20, 23)})
    assert numbers(store) == {"train": [0, 1, 2, 3, 4, 5], "test": [20, 21, 22, 23]}
    assert store.manifest.split["parts"] == {"train": [0, 5], "test": [20, 23]}


def rock(slices: int, length: float) -> Levels:
    """Slices that stay alike over about two lengths."""
    field = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((slices, 96, 96)), (length, 2, 2))
    return np.asarray(np.clip(128 + 30 * field / field.std(), 0, 255).astype(np.uint8))


def test_the_gap_is_measured_unless_it_is_given_in_slices_or_micrometres(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plug.tif", rock(80, 2), photometric="minisblack")
    store = prepare(tmp_path / "plug.tif", tmp_path / "measured", scale=2)
    (how,) = store.manifest.split["cores"]
    assert how["measured"]
    assert 3 <= how["gap"] <= 8
    assert all(one["likeness"] < 0.35 and one["below"] - one["above"] == how["gap"] + 1 for one in how["borders"])
    store = prepare(tmp_path / "plug.tif", tmp_path / "given", scale=2, gap=Micrometres(25), voxel_um=2.5)
    assert (store.manifest.split["cores"][0]["gap"], store.manifest.split["cores"][0]["measured"]) == (10, False)
    with pytest.raises(ValueError, match="^gap in micrometres must have a voxel size"):
        prepare(tmp_path / "plug.tif", tmp_path / "none", scale=2, gap=Micrometres(25))
    with pytest.raises(ValueError, match="^splits must not show the same rock, got slice .*; take --gap"):
        prepare(tmp_path / "plug.tif", tmp_path / "none", scale=2, gap=1)


def test_a_gap_in_micrometres_spans_as_many_slices_of_lr_alone_as_their_own_voxels_say(tmp_path: Path) -> None:
    for image, um in (("hr", 2.0), ("lr", 6.0)):
        (tmp_path / "set" / image).mkdir(parents=True)
        for z in range(24):
            levels = np.random.default_rng(z).integers(0, 255, (33, 33)).astype(np.uint8)
            write_slice(tmp_path / "set" / image / f"{z}.tif", levels, voxel_um=(um, um))
    store = prepare(tmp_path / "set", tmp_path / "store", scale=3, layout="unpaired", gap=Micrometres(12))
    assert [core["gap"] for core in store.manifest.split["cores"]] == [6, 2]


def tilted(folder: Path) -> NDArray[np.bool_]:
    """A plug in air that moves by a pixel and a half a slice; which pixels are rock, `(n, h, w)`."""
    levels = np.random.default_rng(0).normal(30, 4, (60, 96, 196)).round().astype(np.uint8)
    masks = np.zeros(levels.shape, np.bool_)
    y, x = np.mgrid[-44:45, -44:45]
    disk = y**2 + x**2 <= 44**2
    for z, image in enumerate(rock(60, 4)[:, :89, :89]):
        first = round(1.5 * z) + 8
        masks[z, 4:93, first : first + 89] = disk
        levels[z, 4:93, first : first + 89][disk] = np.maximum(image, 60)[disk]
    np.save(folder / "tilt.npy", levels)
    return masks


@pytest.mark.parametrize("mask", ["rock", "moves", "stripes"])
def test_a_mask_that_leaves_nothing_to_compare_hides_no_leak(tmp_path: Path, mask: str) -> None:
    np.save(tmp_path / "moves.npy", tilted(tmp_path))
    np.save(tmp_path / "stripes.npy", np.arange(196)[None, :] % 4 + np.zeros((96, 1)) == 0)
    wanted = {"none": "none", mask: "rock" if mask == "rock" else tmp_path / f"{mask}.npy"}
    stores = [prepare(tmp_path / "tilt.npy", tmp_path / name, scale=2, mask=one) for name, one in wanted.items()]
    whole, masked = (store.manifest.split["cores"][0] for store in stores)
    assert 8 <= whole["gap"] <= 20  # grains of four slices, and the outline of the plug
    assert masked == whole


def test_a_mask_that_leaves_nothing_to_compare_hides_no_copy(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    write_slice(source / "slice_0023.png", nearly(open_slices(source)[2]))
    np.save(tmp_path / "stripes.npy", np.arange(64)[None, :] % 4 + np.zeros((48, 1)) == 0)
    with pytest.raises(ValueError, match=r"got plug/slice_0002\.png in train and plug/slice_0023\.png in test nearly"):
        prepare(source, tmp_path / "store", scale=2, split=RANGES, mask=tmp_path / "stripes.npy")


def test_volumes_of_one_name_are_refused_and_not_split_as_one_core(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    np.save(tmp_path / "src" / "core.npy", rock(20, 0.5))
    tifffile.imwrite(tmp_path / "src" / "core.tif", rock(12, 0.5)[:, :64], photometric="minisblack")
    match = r"^cores must have names of their own, got core in .*core\.npy and .*core\.tif; rename one$"
    for split in (None, "none", {"train": ["core"]}):
        with pytest.raises(ValueError, match=match):
            prepare(tmp_path / "src", tmp_path / "store", scale=2, split=split)


def test_what_is_alike_is_accepted_on_request_and_recorded(tmp_path: Path) -> None:
    np.save(tmp_path / "plug.npy", rock(80, 2))
    store = prepare(tmp_path / "plug.npy", tmp_path / "store", scale=2, gap=0, accept_similar=True)
    (how,) = store.manifest.split["cores"]
    assert all(one["likeness"] > 0.8 for one in how["borders"])


def test_equal_slices_in_two_splits_are_refused_whatever_is_accepted_and_no_store_appears(
    make_core: MakeCore, tmp_path: Path
) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0023.png").write_bytes((source / "slice_0000.png").read_bytes())
    match = r"got plug/slice_0000\.png in train and plug/slice_0023\.png in test with equal levels"
    with pytest.raises(ValueError, match=match):
        prepare(source, tmp_path / "store", scale=2, accept_similar=True)
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_equal_slices_are_found_between_cores_too(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(24))
    make_core("src/b", numbers=range(100, 124), seed=1)
    (tmp_path / "src/b/slice_0123.png").write_bytes((tmp_path / "src/a/slice_0000.png").read_bytes())
    with pytest.raises(ValueError, match="splits must not share a slice"):
        prepare(tmp_path / "src", tmp_path / "store", scale=2)


def test_equal_slices_within_one_split_are_fine(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0001.png").write_bytes((source / "slice_0000.png").read_bytes())
    first, second = prepare(source, tmp_path / "store", scale=2, split=RANGES).manifest.cores[0].slices[:2]
    assert first.sha256 == second.sha256
    assert first.split == second.split == "train"


def nearly(levels: Levels) -> Levels:
    """The same slice, a little darker and with other noise."""
    noise = np.random.default_rng(7).normal(0, 4, levels.shape)
    return np.asarray(np.clip(0.9 * levels + noise, 0, 255).astype(np.uint8))


def test_near_copies_are_refused_wherever_they_lie_and_named(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(24))
    make_core("src/b", numbers=range(24), seed=1)
    write_slice(tmp_path / "src/b/slice_0023.png", nearly(open_slices(tmp_path / "src/a")[2]))
    match = r"got a/slice_0002.png in train and b/slice_0023.png in test nearly equal \(correlation 0.9\d\); remove one"
    with pytest.raises(ValueError, match=match):
        prepare(tmp_path / "src", tmp_path / "store", scale=2, split=RANGES)
    assert not (tmp_path / "store").exists()
    store = prepare(tmp_path / "src", tmp_path / "store", scale=2, split=RANGES, accept_similar=True)
    (copy,) = store.manifest.split["copies"]
    assert (copy["one"], copy["other"], copy["splits"]) == (
        "a/slice_0002.png",
        "b/slice_0023.png",
        ["train", "test"],
    )
    assert 0.9 <= copy["likeness"] < 1


def test_near_copies_within_a_split_are_fine(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    write_slice(source / "slice_0009.png", nearly(open_slices(source)[2]))
    assert prepare(source, tmp_path / "store", scale=2, split=RANGES).manifest.split["copies"] == []


# Degradations


def recorded(store: Store, scale: int = 2) -> list[Steps]:
    drawn = json.loads((store.path / store.manifest.cores[0].folder / f"drawn_x{scale}.json").read_text())
    return [from_json(one) for one in drawn]


@pytest.mark.parametrize("name", ["unknown", "blur", "scanner", "second-order"])
def test_what_a_degradation_drew_is_recorded_slice_by_slice(make_core: MakeCore, tmp_path: Path, name: str) -> None:
    source = make_core("plug", numbers=range(6))
    store = prepare(source, tmp_path / "store", scale=(2, 4), split="none", degradation=name, seed=5)
    m = store.manifest
    (core,) = m.cores
    assert (m.degradation, m.degradation_parameters) == (name, {"seed": 5})
    assert sorted(core.sha256) == ["drawn_x2.json", "drawn_x4.json", "hr.npy", "lr_x2.npy", "lr_x4.npy"]
    for scale in (2, 4):
        steps = recorded(store, scale)
        assert len({str(one) for one in steps}) > 1
        for row, one in enumerate(core.slices):
            assert steps[row] == DEGRADATIONS[name](keyed("degradation", 5, "plug", one.number, scale))
            noise = keyed("degradation noise", 5, "plug", one.number, scale)
            lr = apply(store.hr(core)[row], steps[row], scale=scale, window=m.window, rng=noise)
            np.testing.assert_array_equal(store.at(scale).lr(core)[row], lr)


def test_what_is_drawn_depends_on_the_slice_and_the_seed_alone(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(6))
    whole, part, other = (
        prepare(source, tmp_path / f"store{k}", scale=2, split=split, degradation="scanner", seed=seed)
        for k, (split, seed) in enumerate([({"train": (0, 5)}, 0), ({"train": (3, 5)}, 0), ({"train": (3, 5)}, 1)])
    )
    core, short, third = (store.manifest.cores[0] for store in (whole, part, other))
    np.testing.assert_array_equal(whole.lr(core)[3:], part.lr(short))
    assert not (other.lr(third) == part.lr(short)).all()


def test_a_recipe_of_ones_own_that_draws_nothing_is_recorded_once(make_core: MakeCore, tmp_path: Path) -> None:
    def soft(rng: Generator) -> Steps:
        del rng
        return (Blur(sigma_y=1.5, sigma_x=1.5), Resize())

    store = prepare(make_core("plug"), tmp_path / "store", scale=2, split="none", degradation=soft)
    m = store.manifest
    assert m.degradation == "soft"
    assert [one["step"] for one in m.degradation_parameters["steps"]["2"]] == ["blur", "resize"]
    assert sorted(m.cores[0].sha256) == ["hr.npy", "lr_x2.npy"]


def test_lr_that_was_scanned_is_taken_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hr = rock(72, 2)[:, :72]
    lr = hr.reshape(24, 3, 24, 3, 32, 3).mean(axis=(1, 3, 5)) + rng.normal(0, 2, (24, 24, 32))
    np.save(tmp_path / "hr.npy", hr)
    (tmp_path / "set").mkdir()
    np.save(tmp_path / "set" / "hr.npy", hr)
    np.save(tmp_path / "set" / "lr.npy", np.clip(lr, 0, 255).astype(np.uint8))
    store = prepare(tmp_path / "set", tmp_path / "store", scale=3, voxel_um=2)
    m = store.manifest
    (core,) = m.cores
    assert (m.degradation, core.name, core.voxel_um, core.images) == ("real", "set", (2, 2, 2), ("hr", "lr"))
    pair = m.degradation_parameters["pairs"]["set"]
    assert (pair["hr_slices_per_lr_slice"], pair["hr_voxels_off_centre"]) == (3, 0)
    assert pair["registration"]["3"]["verdict"] == "aligned"
    assert "seed" not in m.degradation_parameters
    for row, one in enumerate(core.slices):
        np.testing.assert_array_equal(store.hr(core)[row], hr[one.number])
        np.testing.assert_array_equal(store.lr(core)[row], np.clip(lr, 0, 255).astype(np.uint8)[one.number // 3])
    with pytest.raises(ValueError, match=r"^degradation must be left out where LR was scanned \(pair\), got bicubic"):
        prepare(tmp_path / "set", tmp_path / "other", scale=3, degradation="bicubic")


def test_unpaired_cores_hold_what_they_have(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("set/hr", numbers=range(12))
    make_core("set/lr", numbers=range(12), size=(32, 40), seed=1)
    store = prepare(tmp_path / "set", tmp_path / "store", scale=3, layout="unpaired", gap=0, voxel_um=2)
    m = store.manifest
    assert m.degradation == "real"
    assert [(core.name, core.images, core.height, core.width) for core in m.cores] == [
        ("hr", ("hr",), 48, 63),
        ("lr", ("lr",), 96, 120),
    ]
    assert [sorted(core.sha256) for core in m.cores] == [["hr.npy"], ["lr_x3.npy"]]
    assert store.lr(m.cores[1]).shape == (12, 32, 40)
    np.testing.assert_array_equal(store.lr(m.cores[1])[2], open_slices(tmp_path / "set" / "lr")[2])
    assert len(store.rows("train", "hr")) == len(store.rows("train", "lr")) == 8


# Voxels and masks


def test_a_voxel_that_files_say_is_kept_and_one_that_differs_refused(tmp_path: Path) -> None:
    for z in range(3):
        levels = np.random.default_rng(z).integers(0, 255, (32, 32)).astype(np.uint8)
        (tmp_path / "plug").mkdir(exist_ok=True)
        write_slice(tmp_path / "plug" / f"{z}.tif", levels, voxel_um=(2.5, 2.5))
    store = prepare(tmp_path / "plug", tmp_path / "store", scale=2, split="none", voxel_um=2.51)
    assert store.manifest.cores[0].voxel_um == pytest.approx((2.5, 2.5, 2.5), rel=1e-3)
    with pytest.raises(
        ValueError, match=r"^voxel size must be what the files say, 2\.5.* got 2\.6 µm; leave --voxel-um"
    ):
        prepare(tmp_path / "plug", tmp_path / "other", scale=2, split="none", voxel_um=2.6)


def test_the_voxel_of_lr_alone_is_divided_by_the_scale(tmp_path: Path) -> None:
    for image, um in (("hr", 2.0), ("lr", 6.0)):
        (tmp_path / "set" / image).mkdir(parents=True)
        for z in range(3):
            levels = np.random.default_rng(z).integers(0, 255, (33, 33)).astype(np.uint8)
            write_slice(tmp_path / "set" / image / f"{z}.tif", levels, voxel_um=(um, um))
    store = prepare(tmp_path / "set", tmp_path / "store", scale=3, layout="unpaired", split="none")
    for core in store.manifest.cores:
        assert core.voxel_um == pytest.approx((2, 2, 2), rel=1e-3)


def padded(folder: Path) -> NDArray[np.bool_]:
    """Noise in a round field of view; which pixels lie in it."""
    y, x = np.ogrid[:66, :80]
    field = (y - 33) ** 2 + (x - 40) ** 2 <= 30**2
    folder.mkdir()
    for z in range(12):
        levels = np.random.default_rng(z).integers(50, 255, (66, 80)).astype(np.uint8)
        write_slice(folder / f"{z}.png", np.where(field, levels, 0).astype(np.uint8))
    return np.asarray(field)


def test_a_round_field_of_view_becomes_a_mask_without_asking(tmp_path: Path) -> None:
    field = padded(tmp_path / "plug")
    store = prepare(tmp_path / "plug", tmp_path / "store", scale=4)
    (core,) = store.manifest.cores
    assert core.masked
    mask = np.load(store.path / "plug" / "mask.npy")
    assert (mask.shape, mask.dtype.name) == ((1, 64, 80), "bool")
    assert not mask[0][~field[:64]].any()
    assert 0.85 * field.mean() < mask.mean() < field.mean()
    assert {one.rock for one in core.slices} == {float(mask.mean())}
    assert "mask.npy" in core.sha256
    plain = prepare(tmp_path / "plug", tmp_path / "plain", scale=4, mask="none")
    assert (plain.manifest.cores[0].masked, plain.manifest.cores[0].slices[0].rock) == (False, 1.0)
    # the circle that all slices share makes none of them alike, masked or not
    assert plain.manifest.split["cores"] == store.manifest.split["cores"]
    assert store.manifest.split["cores"][0]["gap"] == 0


def test_a_mask_of_ones_own_is_cut_with_its_slices(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(8), size=(33, 40))
    masks = np.random.default_rng(0).random((8, 33, 40)) < np.linspace(0.3, 0.9, 8)[:, None, None]
    np.save(tmp_path / "mask.npy", masks)
    split = {"train": (1, 2), "test": (6, 7)}
    store = prepare(source, tmp_path / "store", scale=4, split=split, mask=str(tmp_path / "mask.npy"))
    (core,) = store.manifest.cores
    np.testing.assert_array_equal(np.load(store.path / "plug" / "mask.npy"), masks[[1, 2, 6, 7], :32, :40])
    assert [one.rock for one in core.slices] == [float(masks[z, :32, :40].mean()) for z in (1, 2, 6, 7)]


# Bad slices


def spoilt(make_core: MakeCore) -> Path:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0000.png").write_bytes(b"")
    write_slice(source / "slice_0004.png", np.full((48, 64), 9, np.uint8))
    write_slice(source / "slice_0007.png", np.zeros((8, 8), np.uint8))
    whole = (source / "slice_0011.png").read_bytes()
    (source / "slice_0011.png").write_bytes(whole[: len(whole) // 2])
    return source


def test_bad_slices_are_left_out_on_request_and_listed_with_their_reasons(make_core: MakeCore, tmp_path: Path) -> None:
    store = prepare(spoilt(make_core), tmp_path / "store", scale=2, split="none", skip_bad=True)
    assert numbers(store)["train"] == [n for n in range(24) if n not in {0, 4, 7, 11}]
    skipped = dict(store.manifest.skipped)
    assert sorted(skipped) == [f"plug/slice_{n:04d}.png" for n in (0, 4, 7, 11)]
    assert "readable" in skipped["plug/slice_0000.png"]
    assert skipped["plug/slice_0004.png"] == "slice slice_0004.png must hold rock, got grey level 9 alone"
    assert skipped["plug/slice_0007.png"] == "8×8 uint8, most are 48×64 uint8"
    assert "readable" in skipped["plug/slice_0011.png"]
    assert str(tmp_path) not in (store.path / "dataset.json").read_text()


@pytest.mark.parametrize("bad", [0, 4, 7, 11])
def test_a_bad_slice_ends_it_without_a_store_unless_it_is_to_be_left_out(
    make_core: MakeCore, tmp_path: Path, bad: int
) -> None:
    source = spoilt(make_core)
    for number in {0, 4, 7, 11} - {bad}:
        (source / f"slice_{number:04d}.png").unlink()
    with pytest.raises(ValueError, match=f"slice_{bad:04d}"):
        prepare(source, tmp_path / "store", scale=2, split="none")
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_a_bad_half_of_a_pair_leaves_out_both(tmp_path: Path) -> None:
    for image, side in (("hr", 32), ("lr", 16)):
        (tmp_path / "set" / image).mkdir(parents=True)
        for z in range(4):
            levels = np.random.default_rng(z).integers(0, 255, (side, side)).astype(np.uint8)
            write_slice(tmp_path / "set" / image / f"{z}.png", levels)
    write_slice(tmp_path / "set" / "lr" / "2.png", np.full((16, 16), 9, np.uint8))
    store = prepare(tmp_path / "set", tmp_path / "store", scale=2, split="none", skip_bad=True)
    assert numbers(store)["train"] == [0, 1, 3]
    assert [source for source, _ in store.manifest.skipped] == ["set/hr/2.png"]


def test_a_core_without_a_slice_left_is_refused(tmp_path: Path) -> None:
    for z in range(3):
        write_slice(tmp_path / f"{z}.png", np.full((16, 16), 9, np.uint8))
    with pytest.raises(ValueError, match="must hold a slice that can be used, got none: slice 2.png must hold rock"):
        prepare(tmp_path, tmp_path / "store", scale=2, skip_bad=True)
    for z in range(3):
        (tmp_path / f"{z}.png").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="^folder must hold slices that can be read"):
        prepare(tmp_path, tmp_path / "store", scale=2, skip_bad=True)


def test_a_slice_of_another_size_ends_it_without_a_store(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source / "slice_0005.png")
    with pytest.raises(ValueError, match=r"slice_0005\.png.* must be 48×64 uint8"):
        prepare(source, tmp_path / "store", scale=2, gap=2)
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


# Settings


def test_a_taken_store_is_refused_untouched(store: Store, slices: Path) -> None:
    before = (store.path / "dataset.json").read_bytes()
    with pytest.raises(FileExistsError, match="remove it or name another"):
        prepare(slices, store.path, scale=2)
    assert (store.path / "dataset.json").read_bytes() == before


def test_a_taken_place_and_a_missing_window_are_refused_before_a_slice_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "plug.npy", np.zeros((9, 32, 32), np.float32))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    read: list[int] = []
    monkeypatch.setattr(Volume, "__getitem__", lambda _, index: read.append(index))
    with pytest.raises(FileExistsError, match="^out must be a new or an empty folder, got .*taken"):
        prepare(tmp_path / "plug.npy", tmp_path / "taken", scale=2, window=Window(0, 1), skip_bad=True)
    with pytest.raises(ValueError, match="^window must be declared for float32"):
        prepare(tmp_path / "plug.npy", tmp_path / "store", scale=2, skip_bad=True)
    assert read == []


def test_a_source_that_is_a_store_is_called_one(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^source must hold slices or volumes, got .*, which is a store already; use"):
        prepare(store.path, tmp_path / "store", scale=2)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scale": 1}, "^scale must be 2 or more, got 1$"),
        ({"scale": []}, "^scale must be 2 or more, got none$"),
        ({"scale": 50}, "^slices must be at least 50 pixels a side for scale 50, got 48×64 in plug$"),
        ({"scale": (7, 8)}, "^slices must be at least 56 pixels a side for scale 7, 8, got 48×64 in plug$"),
        ({"window": Window(5, 5)}, "^window must be LOW < HIGH"),
        ({"voxel_um": 0.0}, "^voxel size must be positive micrometres, got 0.0$"),
        ({"voxel_um": float("nan")}, "^voxel size must be positive"),
        ({"degradation": "nearest"}, "^degradation must be one of bicubic.*, got nearest$"),
        ({"gap": -1}, "^gap must be"),
        ({"split": (0.5, 0.5, 0.5)}, "^split must be three fractions"),
        ({"split": {"train": ("chalk",)}}, "^train must name cores among plug, got chalk$"),
        ({"axis": "w"}, "^axis must be one of z, y, x, got w$"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    slices: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        prepare(slices, tmp_path / "new" / "store", **{"scale": 2, **options})
    assert list(tmp_path.iterdir()) == []


def test_folders_are_called_after_their_cores_where_that_will_do() -> None:
    assert folder_names(["plug", "ünder % 'n core", "a b"]) == ["plug", "ünder % 'n core", "a b"]
    assert folder_names(["a/b", "..", ".x", "", "end. ", "new\nline", "dataset.json"]) == [
        *("a_b", "core", "_x", "core-2", "end", "new_line", "dataset.json-2"),
    ]
    assert folder_names(["Plug", "plug", "PLUG", "plug-2"]) == ["Plug", "plug-2", "PLUG-3", "plug-2-2"]
    assert len(folder_names(["ü" * 255])[0].encode()) <= 200


@given(st.lists(st.text(max_size=300), max_size=8))
def test_folders_are_always_different_and_stay_in_their_store(cores: list[str]) -> None:
    names = folder_names(cores)
    assert len({name.casefold() for name in names}) == len(cores)
    for name in names:
        assert Path(name).name == name
        assert 0 < len(name.encode()) < 255
        assert name[0] != "."


# Real rock


def test_the_real_sandstone_is_split_seven_one_one(sandstone: Store) -> None:
    (core,) = sandstone.manifest.cores
    assert [(one.number, one.split) for one in core.slices] == [
        *((number, "train") for number in (0, 50, 100, 150, 180, 200, 250)),
        (300, "valid"),
        (400, "test"),
    ]
    assert (core.height, core.width) == (576, 576)
    np.testing.assert_array_equal(sandstone.lr(core)[8], bicubic(sandstone.hr(core)[8], 2))
    assert all(one["likeness"] < 0.2 for one in sandstone.manifest.split["cores"][0]["borders"])


def test_the_shale_is_taken_whole_or_along_another_axis(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "shale-fibsem" / "slices"
    with pytest.raises(ValueError, match="--split none"):
        prepare(source, tmp_path / "store", scale=2)
    assert numbers(prepare(source, tmp_path / "whole", scale=2, split="none")) == {"train": [*range(14)]}
    store = prepare(source, tmp_path / "along", scale=2, axis="y", split={"train": (0, 99), "test": (110, 150)})
    assert (store.manifest.cores[0].height, store.manifest.cores[0].width) == (14, 1100)


def test_the_bentheimer_pair_is_split_along_its_last_axis(real_data: Path, tmp_path: Path) -> None:
    store = prepare(real_data / "bentheimer-pair", tmp_path / "store", scale=3, axis="x", voxel_um=2)
    (core,) = store.manifest.cores
    (how,) = store.manifest.split["cores"]
    assert (core.height, core.width, how["found"], how["measured"]) == (90, 135, 130, True)
    assert 20 <= how["gap"] <= 40
    hr, lr = (tifffile.imread(real_data / "bentheimer-pair" / name) for name in ("hr_2um.tif", "lr_6um.tif"))
    for row in (0, len(core.slices) - 1):
        number = core.slices[row].number
        np.testing.assert_array_equal(store.hr(core)[row], hr[:, :, number])
        np.testing.assert_array_equal(store.lr(core)[row], lr[:, :, number // 3])


def test_the_hounsfield_units_of_the_real_core_come_back_as_they_are(real_data: Path, tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    store = prepare(real_data / "core-ct", tmp_path / "store", scale=2, split="none")
    (core,) = store.manifest.cores
    volume = open_volume(real_data / "core-ct")
    assert (str(store.hr(core).dtype), core.voxel_um) == ("int16", (500, 430, 430))
    for row, path in enumerate(sorted((real_data / "core-ct").iterdir())):
        np.testing.assert_array_equal(store.hr(core)[row], volume[row])
        file = pydicom.dcmread(path)
        units = file.pixel_array.astype(int) * int(file.get("RescaleSlope", 1)) + int(file.get("RescaleIntercept", 0))
        np.testing.assert_array_equal(store.hr(core)[row], units)
