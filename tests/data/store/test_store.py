"""A store says what it holds, and notices when it does not, or when it is no longer what it was."""

import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data.datasets import Paired
from coresr_data.degrade import bicubic
from coresr_data.intensity import Window
from coresr_data.packing import prepare
from coresr_data.store import (
    Core,
    Manifest,
    Slice,
    Store,
    create_array,
    digest_of,
    open_store,
    refuse_change,
    stamp_of,
    verify,
    write_manifest,
)

MakeCore = Callable[..., Path]
MakeStore = Callable[..., Store]

MASK = np.indices((2, 12, 24)).sum(0) % 3 > 0


@pytest.fixture
def written(make_store: MakeStore) -> Store:
    """Two slices of 12×24, 16 bit, at ×2 and ×3, each with a mask of its own."""
    return make_store(
        "store", sizes=[(12, 24)], slices=2, splits=("train", "test"), scales=(2, 3), mask=MASK, dtype="uint16"
    )


def test_arrays_come_back_mapped_read_only_and_aligned_at_every_scale(written: Store) -> None:
    (core,) = written.manifest.cores
    hr = written.hr(core)
    assert isinstance(hr, np.memmap)
    assert (hr.shape, str(hr.dtype)) == ((2, 12, 24), "uint16")
    with pytest.raises(ValueError, match="read-only"):
        hr[0, 0, 0] = 1
    for scale in (2, 3):
        lr = written.at(scale).lr(core)
        assert isinstance(lr, np.memmap)
        np.testing.assert_array_equal(lr, [bicubic(one, scale) for one in hr])


def test_one_scale_is_chosen_and_the_only_one_needs_no_choice(written: Store, store: Store) -> None:
    assert (store.scale, store.at(2).scale) == (2, 2)
    assert (written.at(3).scale, written.at(3).at(2).scale) == (3, 2)
    match = r"^scale must be chosen from 2, 3 for store .*store, got none; name one$"
    with pytest.raises(ValueError, match=match):
        _ = written.scale
    with pytest.raises(ValueError, match=match):
        written.lr(written.manifest.cores[0])
    with pytest.raises(ValueError, match=r"^scale must be one of 2, 3 in store .*store, got 4; prepare it with this"):
        written.at(4)
    assert written.at(3) == replace(written, chosen=3)


def test_a_mask_is_one_for_each_slice_or_one_for_all_or_rock_everywhere(make_store: MakeStore, written: Store) -> None:
    np.testing.assert_array_equal(written.mask(written.manifest.cores[0]), MASK)
    shared = make_store("shared", sizes=[(12, 24)], slices=3, mask=MASK[:1])
    np.testing.assert_array_equal(shared.mask(shared.manifest.cores[0]), np.repeat(MASK[:1], 3, axis=0))
    bare = make_store("bare", sizes=[(12, 24)], slices=3)
    everywhere = bare.mask(bare.manifest.cores[0])
    assert everywhere.shape == (3, 12, 24)
    assert everywhere.dtype == bool
    assert everywhere.all()


def test_cores_of_one_name_and_several_sizes_keep_to_their_own_arrays(make_store: MakeStore) -> None:
    mixed = make_store("mixed", sizes=[(12, 24), (8, 40)], slices=2)
    one, other = mixed.manifest.cores
    assert (one.name, other.name) == ("plug", "plug")
    assert (mixed.hr(one).shape, mixed.hr(other).shape) == ((2, 12, 24), (2, 8, 40))
    assert (mixed.lr(one).shape, mixed.lr(other).shape) == ((2, 6, 12), (2, 4, 20))
    assert [core.folder for core, _ in mixed.rows("train")] == ["core0", "core0", "core1", "core1"]


# Rows


def test_rows_are_found_by_split_and_an_absent_split_is_named(written: Store) -> None:
    assert written.rows("test") == [(written.manifest.cores[0], 1)]
    with pytest.raises(
        ValueError, match=r"^split must be one of test, train with pairs in store .*, got valid; prepare it with"
    ):
        written.rows("valid")


def test_rows_of_an_unpaired_store_are_asked_for_by_image(make_store: MakeStore) -> None:
    unpaired = make_store(
        "unpaired",
        sizes=[(12, 24), (8, 40), (16, 16)],
        slices=2,
        splits=("train", "test"),
        images=[("hr",), ("lr",), ("hr", "lr")],
    )
    places = {image: [(core.folder, row) for core, row in unpaired.rows("train", image)] for image in ("hr", "lr")}
    assert places == {"hr": [("core0", 0), ("core2", 0)], "lr": [("core1", 0), ("core2", 0)]}
    assert [(core.folder, row) for core, row in unpaired.rows("test")] == [("core2", 1)]
    with pytest.raises(ValueError, match="^split must be one of test, train with LR slices in store .*, got valid; "):
        unpaired.rows("valid", "lr")


def test_a_store_without_pairs_says_so_and_not_that_the_split_is_wrong(make_store: MakeStore) -> None:
    unpaired = make_store("unpaired", sizes=[(12, 24), (8, 40)], images=[("hr",), ("lr",)])
    with pytest.raises(ValueError, match="^store must hold pairs, got none in .*unpaired; prepare it from pairs$"):
        unpaired.rows("train")


def test_a_core_without_hr_has_none(make_store: MakeStore) -> None:
    unpaired = make_store("unpaired", sizes=[(12, 24), (8, 40)], images=[("hr",), ("lr",)])
    hr, lr = unpaired.manifest.cores
    assert unpaired.hr(hr).shape == (6, 12, 24)
    assert unpaired.lr(lr).shape == (6, 4, 20)
    with pytest.raises(FileNotFoundError, match=r"core1/hr\.npy"):
        unpaired.hr(lr)


# What is not as the manifest says


@pytest.mark.parametrize(
    ("name", "expected"),
    [("hr.npy", "(2, 12, 24) uint16"), ("lr_x3.npy", "(2, 4, 8) uint16"), ("mask.npy", "(2, 12, 24) bool")],
)
@pytest.mark.parametrize(
    "array", [np.zeros((2, 4, 6), "uint16"), np.zeros((2, 12, 24), "uint8"), np.zeros((1, 4, 8), "uint16")], ids=str
)
def test_an_array_that_is_not_what_the_manifest_says_is_refused(
    written: Store, name: str, expected: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> None:
    np.save(written.path / "core0" / name, array)
    opened = open_store(written.path)
    with pytest.raises(ValueError, match="must be") as refused:
        opened.map(opened.manifest.cores[0], name)
    found = f"got {array.shape} {array.dtype}; prepare the store again"
    assert str(refused.value) == f"{written.path}/core0/{name} must be {expected} as dataset.json says, {found}"


@pytest.mark.parametrize("keep", [0, 5, 200])
def test_an_array_cut_short_is_refused_by_name(written: Store, keep: int) -> None:
    path = written.path / "core0" / "hr.npy"
    path.write_bytes(path.read_bytes()[:keep])
    opened = open_store(written.path)
    with pytest.raises(ValueError, match=r"hr\.npy must be a whole NumPy array, got .*; prepare the store again$"):
        opened.hr(opened.manifest.cores[0])


def test_an_array_that_is_gone_is_missing_input(written: Store) -> None:
    (written.path / "core0" / "lr_x3.npy").unlink()
    opened = open_store(written.path).at(3)
    with pytest.raises(FileNotFoundError, match=r"lr_x3\.npy, which is not there; prepare the store again$"):
        opened.lr(opened.manifest.cores[0])


def test_a_pickle_in_place_of_an_array_is_never_loaded(written: Store) -> None:
    np.save(written.path / "core0" / "hr.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    opened = open_store(written.path)
    with pytest.raises(ValueError, match=r"hr\.npy must be a whole NumPy array"):
        opened.hr(opened.manifest.cores[0])


def test_a_folder_without_a_manifest_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^store must be a folder with dataset\.json, got .*; make one with: "):
        open_store(tmp_path)


def test_a_manifest_of_another_schema_is_refused_by_its_path(written: Store) -> None:
    fields = json.loads((written.path / "dataset.json").read_text())
    (written.path / "dataset.json").write_text(json.dumps({**fields, "schema": 1}))
    with pytest.raises(ValueError, match=r"store/dataset\.json must be of schema 2, got 1; prepare the store again$"):
        open_store(written.path)


# What changes after it was opened


def test_an_array_that_changed_after_opening_is_not_mapped(written: Store) -> None:
    (core,) = written.manifest.cores
    path = written.path / "core0" / "hr.npy"
    os.utime(path, ns=(0, stamp_of(path)[1] + 1))  # type: ignore[index]  # it is there
    with pytest.raises(ValueError, match=r"core0/hr\.npy must stay as it is while it is read, .*changed since start"):
        written.hr(core)
    written.at(2).lr(core)
    (written.path / "core0" / "lr_x2.npy").unlink()
    with pytest.raises(ValueError, match=r"lr_x2\.npy must stay as it is while it is read, got none: changed since"):
        written.at(2).lr(core)


def test_a_file_is_unchanged_by_its_size_and_its_time(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert stamp_of(path) is stamp_of(path / "below") is None
    path.write_bytes(b"1234")
    stamp = stamp_of(path)
    assert stamp == (4, path.stat().st_mtime_ns)
    refuse_change(path, stamp)
    path.write_bytes(b"123")
    os.utime(path, ns=(stamp[1], stamp[1]))
    with pytest.raises(
        ValueError, match="^.*/file must stay as it is while it is read, got 3 bytes .*; prepare the st"
    ):
        refuse_change(path, stamp)
    path.write_bytes(b"1234")
    os.utime(path, ns=(stamp[1], stamp[1] + 1))
    with pytest.raises(ValueError, match="changed since start"):
        refuse_change(path, stamp)


# Rot


def test_a_whole_store_is_verified_without_a_word(written: Store, make_store: MakeStore) -> None:
    assert list(verify(written)) == []
    assert list(verify(make_store("unpaired", sizes=[(12, 24), (8, 40)], images=[("hr",), ("lr",)]))) == []


@pytest.mark.parametrize("name", ["hr.npy", "lr_x2.npy", "lr_x3.npy", "mask.npy"])
def test_one_flipped_bit_of_any_array_is_found(written: Store, name: str) -> None:
    path = written.path / "core0" / name
    rotten = bytearray(path.read_bytes())
    rotten[-1] ^= 1
    path.write_bytes(rotten)
    (problem,) = verify(open_store(written.path))
    digest = hashlib.sha256(rotten).hexdigest()
    assert problem.startswith(f"{path} must have the sha256 {written.manifest.cores[0].sha256[name]} of dataset.json, ")
    assert problem.endswith(f"got {digest}; prepare the store again")
    opened = open_store(written.path)
    opened.map(opened.manifest.cores[0], name)  # nothing else notices


def test_every_problem_is_told_at_once(written: Store) -> None:
    folder = written.path / "core0"
    (folder / "hr.npy").unlink()
    (folder / "lr_x2.npy").write_bytes((folder / "lr_x2.npy").read_bytes()[:-1])
    np.save(folder / "mask.npy", MASK[:, :6])
    fields = json.loads((written.path / "dataset.json").read_text())
    del fields["cores"][0]["sha256"]["lr_x3.npy"]
    fields["cores"][0]["sha256"]["drawn_x2.json"] = "ab"
    (written.path / "dataset.json").write_text(json.dumps(fields))
    problems = dict(zip(["hr", "lr_x2", "lr_x3", "mask", "drawn"], verify(open_store(written.path)), strict=True))
    assert f"store must hold {folder}/hr.npy, which is not there" in problems["hr"]
    assert f"{folder}/lr_x2.npy must be a whole NumPy array" in problems["lr_x2"]
    assert f"{folder}/lr_x3.npy must have a sha256 in dataset.json, got none" in problems["lr_x3"]
    assert f"{folder}/mask.npy must be (2, 12, 24) bool as dataset.json says" in problems["mask"]
    assert "drawn_x2.json" in problems["drawn"]


def test_the_digest_is_that_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 10**6)
    assert digest_of(tmp_path / "file") == hashlib.sha256(b"abc" * 10**6).hexdigest()


# Identity


def test_the_identity_changes_with_one_grey_level_of_one_source(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    first = prepare(source, tmp_path / "first", scale=2)
    again = prepare(source, tmp_path / "again", scale=2)
    assert first.sha256 == again.sha256 == open_store(tmp_path / "first").sha256
    path = source / "slice_0000.png"
    levels = np.asarray(Image.open(path)).copy()
    levels[0, 0] ^= 1
    Image.fromarray(levels).save(path)
    assert prepare(source, tmp_path / "other", scale=2).sha256 != first.sha256


def test_the_identity_belongs_to_the_data_and_not_to_the_place(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.path, tmp_path / "moved")
    assert open_store(tmp_path / "moved").sha256 == store.sha256


def test_an_opened_store_travels_to_another_process(written: Store) -> None:
    found = pickle.loads(pickle.dumps(written.at(3)))  # noqa: S301  # our own bytes
    assert found == written.at(3)
    assert found.stamps == written.stamps


# Size


def test_a_new_array_has_its_place_on_the_disk(tmp_path: Path) -> None:
    array = create_array(tmp_path / "a.npy", (3, 100, 100), "uint16")
    assert (array.shape, str(array.dtype), int(array.sum())) == ((3, 100, 100), "uint16", 0)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= array.nbytes
    array[:] = 7
    array.flush()  # type: ignore[attr-defined]  # it is a memory map
    assert (np.load(tmp_path / "a.npy") == 7).all()


def test_a_store_of_ten_thousand_slices_is_open_and_serves_in_a_fifth_of_a_second(tmp_path: Path) -> None:
    slices = tuple(
        Slice(number=n, split="train", source=f"plug/{n:05d}.png", sha256=hashlib.sha256(str(n).encode()).hexdigest())
        for n in range(10_000)
    )
    core = Core(name="plug", folder="plug", height=500, width=500, cropped=(0, 0), voxel_um=None, slices=slices)
    manifest = Manifest(
        scales=(2,), dtype="uint8", window=Window(0, 255), degradation="bicubic", split={}, cores=(core,)
    )
    write_manifest(tmp_path, manifest)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        patches = Paired(open_store(tmp_path), patch=192)
        times.append(time.perf_counter() - start)
        assert patches.epoch == 40_000
    assert min(times) < 0.2
