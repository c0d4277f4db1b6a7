"""A store, what it was written from and how its pairs lie: every change is found, and no store is accused."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.checking import check_sources
from coresr_data.checking.examining import How
from coresr_data.checking.store import (
    MOST_PAIRS,
    Pairs,
    check_origin,
    check_registration,
    check_store,
    pairs_of_sources,
    pairs_of_store,
)
from coresr_data.formats.images import write_slice
from coresr_data.formats.raw import raw_header
from coresr_data.layouts import Reading, find
from coresr_data.packing import prepare
from coresr_data.resize import imresize
from coresr_data.store import Store, open_store

MakeCore = Callable[..., Path]
Levels = NDArray[Any]


@pytest.fixture
def copied(store: Store, tmp_path: Path) -> Path:
    shutil.copytree(store.path, tmp_path / "store")
    return tmp_path / "store"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


# Store


def test_a_store_as_written_has_no_problems(store: Store) -> None:
    assert check_store(store) == []
    assert check_store(store, deep=True) == []


@pytest.mark.parametrize("deep", [False, True])
def test_arrays_that_are_gone_or_of_another_shape_are_all_told(copied: Path, deep: bool) -> None:
    (copied / "plug" / "hr.npy").unlink()
    np.save(copied / "plug" / "lr_x2.npy", np.zeros((2, 3, 4), np.uint8))
    problems = check_store(open_store(copied), deep=deep)
    assert [problem.severity for problem in problems] == ["error", "error"]
    assert any("hr.npy" in problem.line and "not there" in problem.line for problem in problems)
    assert any("lr_x2.npy" in problem.line and "got (2, 3, 4)" in problem.line for problem in problems)


def test_one_flipped_bit_in_an_array_is_found_by_the_deep_check_alone(copied: Path) -> None:
    flip(copied / "plug" / "hr.npy", 5000)
    store = open_store(copied)
    assert check_store(store) == []
    (problem,) = check_store(store, deep=True)
    assert "hr.npy must have the sha256" in problem.line


# Sources


def test_sources_as_they_were_have_no_problems_wherever_they_lie_now(
    store: Store, slices: Path, tmp_path: Path
) -> None:
    assert check_origin(store, check_sources(slices)) == []
    shutil.copytree(slices, tmp_path / "deep" / "elsewhere")
    assert check_origin(store, check_sources(tmp_path)) == []


def test_one_flipped_bit_in_an_uncompressed_source_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "core").mkdir()
    for number in range(8):
        levels = rng.integers(1, 255, (16, 16), dtype=np.uint8)
        tifffile.imwrite(tmp_path / "core" / f"{number}.tif", levels, photometric="minisblack")
    store = prepare(tmp_path / "core", tmp_path / "store", scale=2, gap=0)
    flip(tmp_path / "core" / "5.tif", -40)
    checked = check_sources(tmp_path / "core")
    assert checked.problems == ()  # it loads as well as ever
    (problem,) = check_origin(store, checked)
    assert (problem.severity, problem.kind, problem.path) == ("error", "changed", "core/5.tif")
    assert "must hold the levels it was prepared from" in problem.line


def test_a_source_that_is_gone_is_told(store: Store, slices: Path, tmp_path: Path) -> None:
    shutil.copytree(slices, tmp_path / "plug")
    kept = store.manifest.cores[0].slices[3].source
    (tmp_path / kept).unlink()
    assert [problem.path for problem in check_origin(store, check_sources(tmp_path / "plug"))] == [kept]


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("one", [False, True])
def test_slices_along_another_axis_are_looked_for_along_it(tmp_path: Path, axis: Any, one: bool) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (16, 20, 22), dtype=np.uint8)
    source = tmp_path / "core.npy" if one else tmp_path / "core"
    if one:
        np.save(source, levels)
    else:
        source.mkdir()
        for number, level in enumerate(levels):
            write_slice(source / f"{number}.png", level)
    store = prepare(source, tmp_path / "store", scale=2, axis=axis, split="none")
    assert check_origin(store, check_sources(source)) == []
    levels[3, 7, 5] ^= 1
    if one:
        np.save(source, levels)
    else:
        write_slice(source / "3.png", levels[3])
    assert len(check_origin(store, check_sources(source))) == 1


@pytest.mark.parametrize("axis", ["y", "x"])
@pytest.mark.parametrize("name", ["core.bin", "core.npz"])
def test_sources_that_must_be_said_how_to_read_are_so_along_every_axis(tmp_path: Path, axis: Any, name: str) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (16, 20, 22), dtype=np.uint8)
    raw = raw_header("16x20x22:uint8") if name == "core.bin" else None
    how = How(raw=raw, variable=None if raw else "rock")
    levels.tofile(tmp_path / "core.bin")
    np.savez(tmp_path / "core.npz", rock=levels, other=levels[1:])
    source = tmp_path / name
    store = prepare(source, tmp_path / "store", scale=2, axis=axis, split="none", raw=how.raw, variable=how.variable)
    assert check_origin(store, check_sources(source, how=how), how=how) == []


def test_slices_that_were_cropped_to_lie_on_their_lr_are_known_by_what_is_left(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rock = ndimage.gaussian_filter(rng.normal(size=(60, 126, 126)), 2)
    rock = (128 + 40 * rock / rock.std()).clip(1, 254)
    source = tmp_path / "pair"
    source.mkdir()
    hr = rock[:, 4:124, 2:122].astype(np.uint8)
    lr = (
        rock[:, 3:123, 6:126].reshape(20, 3, 40, 3, 40, 3).mean(axis=(1, 3, 5))
    )  # by 1 up, and by more than an LR pixel to the right
    np.save(source / "hr.npy", hr)
    np.save(source / "lr.npy", lr.astype(np.uint8))
    store = prepare(source, tmp_path / "store", scale=3, layout="pair", split="none", register=True)
    pair = store.manifest.degradation_parameters["pairs"]["pair"]
    assert [abs(one) for one in pair["cropped"]["hr_voxels"]] == [0, 1, 4]
    assert np.prod(pair["cropped"]["hr_voxels"][1:]) < 0
    assert check_origin(store, check_sources(source)) == []
    hr[31, 60, 60] ^= 1  # in the middle of the three slices that LR slice 10 shows
    np.save(source / "hr.npy", hr)
    assert [problem.path for problem in check_origin(store, check_sources(source))] == ["pair/hr.npy[31]"]


@pytest.mark.parametrize("axis", ["z", "y"])
def test_links_out_of_the_sources_are_followed_where_they_were(tmp_path: Path, axis: Any) -> None:
    (tmp_path / "core").mkdir()
    for number in range(16):
        levels = np.random.default_rng(number).integers(1, 255, (16, 20), dtype=np.uint8)
        write_slice(tmp_path / f"{number}.png", levels)
        (tmp_path / "core" / f"{number}.png").symlink_to(f"../{number}.png")
    store = prepare(tmp_path / "core", tmp_path / "store", scale=2, axis=axis, split="none", external_links=True)
    how = How(external_links=True)
    checked = check_sources(tmp_path / "core", how=how)
    assert checked.problems == ()
    assert check_origin(store, checked, how=how) == []


# The lie of pairs


@pytest.fixture(scope="module")
def images() -> Levels:
    """Slices of two soft phases with noise, 20 × 256²."""
    rng = np.random.default_rng(0)
    field = ndimage.gaussian_filter(rng.normal(size=(20, 256, 256)), (0, 4, 4))
    soft = ndimage.gaussian_filter((field > 0).astype(float), (0, 1, 1))
    return np.asarray(60 + 120 * soft + rng.normal(0, 8, soft.shape)).astype(np.uint8)


def pairs(images: Levels, shifts: list[int], *, scale: int = 2) -> Pairs:
    """As many pairs as shifts, each moved down by so many HR pixels."""

    def read(index: int) -> tuple[Levels, Levels]:
        image, k = images[index % len(images)], shifts[index]
        n = (image.shape[0] - 32) // scale * scale
        lr = imresize(image[16 - k : 16 - k + n, :n].astype(float), 1 / scale)
        return lr, image[16 : 16 + n, :n]

    return Pairs(name="core ×2", scale=scale, count=len(shifts), read=read)


@pytest.mark.parametrize(("shift", "wrong"), [(0, False), (1, False), (4, True), (12, True)])
def test_pairs_off_by_a_lr_pixel_are_an_error_and_a_quarter_is_none(images: Levels, shift: int, wrong: bool) -> None:
    problems, (lie,) = check_registration([pairs(images, [shift] * 20, scale=4)])
    assert [problem.kind for problem in problems] == ["shifted"] * wrong
    assert lie.looked == 20
    assert lie.off == (20 - lie.unclear if wrong else 0)
    assert (lie.shift_y, lie.shift_x) == pytest.approx((shift / 4, 0), abs=0.05)
    if wrong:
        assert f"by {shift / 4:+.2f} rows and " in problems[0].line
        assert problems[0].severity == "error"


def test_pairs_that_are_stretched_are_off_though_their_middles_lie_together(images: Levels) -> None:
    def read(index: int) -> tuple[Levels, Levels]:
        wide = ndimage.zoom(images[index].astype(float), (1.06, 1), order=1)
        return imresize(wide[8:264], 1 / 2), images[index]

    stretched = Pairs(name="core ×2", scale=2, count=6, read=read)
    problems, (lie,) = check_registration([stretched])
    assert max(abs(lie.shift_y), abs(lie.shift_x)) < 0.5
    assert [problem.kind for problem in problems] == ["shifted"]


def test_a_twentieth_of_the_pairs_may_be_off(images: Levels) -> None:
    assert check_registration([pairs(images, [0] * 19 + [6])])[0] == []
    assert len(check_registration([pairs(images, [0] * 18 + [6, 6])])[0]) == 1


def test_pairs_that_tell_nothing_are_a_warning_and_count_for_nothing(images: Levels) -> None:
    flat = Pairs(name="flat", scale=2, count=3, read=lambda index: (np.ones((20, 20)), np.ones((40, 40))))
    small = Pairs(name="small", scale=2, count=3, read=lambda index: (np.ones((15, 20)), np.ones((30, 40))))
    problems, lies = check_registration([flat, small])
    assert [(problem.severity, problem.kind, problem.path) for problem in problems] == [
        ("warning", "unclear", "flat"),
        ("warning", "unclear", "small"),
    ]
    assert [(lie.looked, lie.unclear) for lie in lies] == [(3, 3), (3, 3)]
    assert np.isnan(lies[0].shift_y)
    good = pairs(images, [6])
    mixed = Pairs(name="mixed", scale=2, count=30, read=lambda index: good.read(0) if index == 29 else flat.read(0))
    problems, (lie,) = check_registration([mixed])
    assert (lie.off, lie.unclear) == (1, 29)
    assert [problem.kind for problem in problems] == ["shifted"]


def test_of_many_pairs_some_of_all_depths_are_looked_at() -> None:
    read: list[int] = []

    def remember(index: int) -> tuple[Levels, Levels]:
        read.append(index)
        return np.ones((20, 20)), np.ones((40, 40))

    check_registration([Pairs(name="many", scale=2, count=1000, read=remember)])
    assert len(read) == MOST_PAIRS
    assert (read[0], read[-1]) == (0, 999)
    assert max(np.diff(read)) < 40


def test_a_store_gives_its_pairs_a_core_and_scale_each(slices: Path, tmp_path: Path) -> None:
    store = prepare(slices, tmp_path / "store", scale=(2, 4), gap=2)
    found = list(pairs_of_store(store))
    assert [(one.name, one.scale, one.count) for one in found] == [("plug ×2", 2, 20), ("plug ×4", 4, 20)]
    lr, hr = found[1].read(3)
    np.testing.assert_array_equal(lr, store.at(4).lr(store.manifest.cores[0])[3])
    np.testing.assert_array_equal(hr, store.hr(store.manifest.cores[0])[3])


def test_the_real_pair_lies_together_slice_by_slice(real_data: Path) -> None:
    sources = find(real_data / "bentheimer-pair", "auto", Reading(scales=(3,), axis="x"))
    problems, (lie,) = check_registration(pairs_of_sources(sources))
    assert [problem for problem in problems if problem.severity == "error"] == []
    assert lie.looked == MOST_PAIRS
    assert lie.unclear < 8
    assert (lie.shift_y, lie.shift_x) == pytest.approx((0.37, 0.31), abs=0.1)  # a HR voxel, of slices 30×45 small
    assert 0.1 < lie.scatter < 0.4


def test_pairs_whose_shift_is_uncertain_are_not_accused_of_a_little_and_are_of_a_pixel(images: Levels) -> None:
    rng = np.random.default_rng(1)
    jitter = [int(one) for one in rng.normal(0, 1.6, 32).round()]  # a fifth of a LR pixel at ×8
    for moved, wrong in ((3, False), (8, True)):
        problems, (lie,) = check_registration([pairs(images, [moved + one for one in jitter], scale=8)])
        assert [problem.kind for problem in problems] == ["shifted"] * wrong
        assert lie.scatter == pytest.approx(0.2, abs=0.1)


def test_real_sandstone_with_made_lr_lies_together(sandstone: Store) -> None:
    problems, (lie,) = check_registration(pairs_of_store(sandstone))
    assert problems == []
    assert (lie.off, lie.unclear) == (0, 0)
    assert (lie.shift_y, lie.shift_x) == pytest.approx((0, 0), abs=0.05)
