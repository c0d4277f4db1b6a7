"""A crop mends a shift of whole HR pixels and changes no level; what it cannot mend is refused or said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from coresr_data import prepare
from coresr_data.align import Registration, measure
from coresr_data.align.correcting import _as_dtype, corrected, cropped_to_match
from coresr_data.resize import imresize
from coresr_data.volume import Levels, Volume, from_array
from tests.data.align.pairs import grains, pair, turned


def volume(levels: Levels) -> Volume:
    return from_array(levels, Path(__file__))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 4), st.floats(-20, 20))
def test_law_a_crop_leaves_at_most_half_a_hr_pixel(scale: int, shift: float) -> None:
    found = measure(*pair(grains((64, 64)), 2, (0, 0)), scale=2)
    fields = {name: getattr(found, name) for name in found.__slots__}
    moved = Registration(**{**fields, "scale": scale, "shift": (shift, -shift)})
    assert max(map(abs, moved.remaining)) <= 0.5 / scale + 1e-9
    assert moved.crop[0] / scale + moved.remaining[0] == pytest.approx(shift)


def test_grey_levels_of_another_scanner_are_brought_to_those_of_hr() -> None:
    lr, hr = pair(grains((200, 200)), 2, (0, 0))
    other = np.floor(0.5 * lr + 30.5).astype(np.uint8)
    mended = corrected(other, hr, measure(other, hr, scale=2), grey=True)
    assert mended.lr.dtype == np.uint8
    np.testing.assert_allclose(mended.lr.astype(float), lr, atol=4)
    assert mended.did["gain"] == pytest.approx(0.5, abs=0.01)
    assert mended.did["clipped_share"] == 0


def test_levels_beyond_the_dtype_are_clipped_and_counted() -> None:
    lr, hr = pair(grains((200, 200)), 2, (0, 0))
    found = measure(lr, hr, scale=2)
    pushed = Registration(**{**{n: getattr(found, n) for n in found.__slots__}, "gain": 1.0, "offset": 60.0})
    mended = corrected(lr.astype(np.uint8), hr, pushed, grey=True)
    wanted = float((lr.astype(np.uint8) < 60).mean())
    assert 0 < wanted == mended.did["clipped_share"]
    assert mended.lr.min() == 0


def test_levels_are_rounded_half_up() -> None:
    levels, clipped = _as_dtype(np.array([0.49, 0.5, 1.5, 2.5, -0.6, 255.4, 255.5]), np.dtype(np.uint8))
    np.testing.assert_array_equal(levels, [0, 1, 2, 3, 0, 255, 255])
    assert clipped == pytest.approx(2 / 7)


def test_a_crop_leaves_every_level_as_scanned_and_copies_none() -> None:
    lr, hr = (image.astype(np.uint16) for image in pair(grains((240, 240)), 3, (4, -2)))
    mended = corrected(lr, hr, measure(lr, hr, scale=3))
    assert mended.did == {"crop_hr_pixels": [4, -2]}
    assert np.shares_memory(mended.lr, lr)
    assert np.shares_memory(mended.hr, hr)
    assert mended.hr.shape == tuple(3 * n for n in mended.lr.shape)
    np.testing.assert_array_equal(mended.lr, lr[2:, : lr.shape[1] - 1])
    np.testing.assert_array_equal(mended.hr, hr[2 : 2 + 3 * mended.lr.shape[0], 2 : 2 + 3 * mended.lr.shape[1]])


def test_a_crop_of_a_stack_keeps_all_its_slices() -> None:
    lr, hr = pair(grains((160, 160)), 2, (2, 0))
    stacks = np.repeat(lr[None], 9, axis=0), np.repeat(hr[None], 9, axis=0)
    mended = corrected(*stacks, measure(*stacks, scale=2))
    assert mended.lr.shape == (9, lr.shape[0] - 1, lr.shape[1])
    assert mended.hr.shape == (9, hr.shape[0] - 2, hr.shape[1])


def test_what_a_crop_leaves_is_said_and_a_shift_of_lr_mends_it() -> None:
    image = ndimage.gaussian_filter(grains((480, 480)), 6)
    lr, hr = pair(image, 8, (4, 2))  # an eighth shrinks to a quarter: half and quarter LR pixels
    hr = imresize(hr, 1 / 4)
    found = measure(lr, hr, scale=2)
    assert found.shift == pytest.approx((0.5, 0.25), abs=0.03)
    cropped = corrected(lr, hr, found)
    assert abs(cropped.remaining[1]) == pytest.approx(0.25, abs=0.03)
    moved = corrected(lr, hr, found, resample=True)
    assert not any(moved.remaining)
    assert measure(moved.lr, moved.hr, scale=2).shift == pytest.approx((0, 0), abs=0.02)
    np.testing.assert_array_equal(moved.hr, cropped.hr)
    assert moved.lr.std() == pytest.approx(cropped.lr.std(), rel=0.01)
    inner = (slice(4, -4), slice(4, -4))
    before, after = (np.abs(one.lr - imresize(one.hr, 1 / 2))[inner].mean() for one in (cropped, moved))
    assert after < before / 10


@pytest.mark.parametrize("words", ["unclear", "distorted"])
def test_what_no_crop_mends_is_refused(words: str) -> None:
    image = grains((720, 720))
    lr, hr = turned(image, 3, 3.1, 0) if words == "distorted" else (image[:180, :180], grains((540, 540), 3))
    with pytest.raises(ValueError, match=f"got one {words}: confidence .*register it with a tool"):
        corrected(lr, hr, measure(lr, hr, scale=3))


# Volumes


def whole(some: Volume) -> Levels:
    return np.stack([some[i] for i in range(len(some))])


def deep_pair(scale: int, shift: tuple[int, int, int]) -> tuple[Levels, Levels]:
    """LR and HR volumes cut `shift` HR voxels apart from one block."""
    block, margin = grains((90, 100, 110)), 6
    sides = tuple((n - 2 * margin) // scale * scale for n in block.shape)
    hr, lr = (
        block[tuple(slice(margin - d, margin - d + n) for d, n in zip(off, sides, strict=True))]
        for off in ((0, 0, 0), shift)
    )
    small = ndimage.uniform_filter(lr, scale)[tuple(slice(scale // 2, None, scale) for _ in sides)]
    return small.astype(np.uint8), hr.astype(np.uint8)


@pytest.mark.parametrize("shift", [(1, -2, 3), (-4, 0, 1), (0, 0, 0)])
def test_a_pair_of_volumes_is_cropped_along_every_axis(shift: tuple[int, int, int]) -> None:
    lr, hr = deep_pair(3, shift)
    own, other, did = cropped_to_match(volume(hr), volume(lr), 3)
    assert did["hr_voxels"] == list(shift)
    assert max(map(abs, did["remaining_lr_voxels"])) < 0.05
    assert (len(own), own.size) == (3 * len(other), (3 * other.size[0], 3 * other.size[1]))
    found = measure(whole(other), whole(own), scale=3)
    assert max(map(abs, found.shift)) < 0.05
    mended = corrected(lr, hr, measure(lr, hr, scale=3))
    for place in (0, len(other) - 1):
        np.testing.assert_array_equal(other[place], mended.lr[place])
        np.testing.assert_array_equal(own[3 * place + 1], mended.hr[3 * place + 1])
    first = max(0, -(-shift[0] // 3))
    assert other.numbers[0] == first
    assert own.numbers[0] == 3 * first - shift[0]
    assert own.names[0] == f"{Path(__file__).name}[{own.numbers[0]}]"


def test_a_pair_with_as_many_slices_keeps_them_all() -> None:
    lr, hr = (np.repeat(one[None], 12, axis=0).astype(np.uint8) for one in pair(grains((160, 160)), 2, (2, 0)))
    own, other, did = cropped_to_match(volume(hr), volume(lr), 2)
    assert did["hr_voxels"] == [2, 0]
    assert len(own) == len(other) == 12
    np.testing.assert_array_equal(other[5], lr[5, 1:])
    np.testing.assert_array_equal(own[5], hr[5, : 2 * other.size[0]])


def test_only_the_middle_of_a_large_pair_is_read_before_it_is_cropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coresr_data.align.correcting.MIDDLE", 20)
    lr, hr = deep_pair(3, (3, 0, 0))
    read: list[int] = []
    small = volume(lr)

    def noting(index: int) -> Levels:
        read.append(index)
        return small.read(index)

    noted = replace(small, read=noting)
    _, _, did = cropped_to_match(volume(hr), noted, 3)
    assert did["hr_voxels"] == [3, 0, 0]
    assert read == list(range((len(lr) - 20) // 2, (len(lr) - 20) // 2 + 20))


def test_volumes_of_different_places_are_refused() -> None:
    lr, _ = deep_pair(3, (0, 0, 0))
    other = grains((3 * lr.shape[0], 3 * lr.shape[1], 3 * lr.shape[2]), 5).astype(np.uint8)
    with pytest.raises(ValueError, match="^pair must differ by a shift alone, got one unclear"):
        cropped_to_match(volume(other), volume(lr), 3)


def test_the_bentheimer_pair_is_mended_by_a_voxel_along_every_axis(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "bentheimer-pair"
    store = prepare(source, tmp_path / "store", scale=3, layout="pair", axis="x", voxel_um=2, register=True)
    (core,) = store.manifest.cores
    said = store.manifest.degradation_parameters["pairs"]["bentheimer-pair"]
    assert said["cropped"]["hr_voxels"] == [1, 1, 1]
    assert max(map(abs, said["cropped"]["remaining_lr_voxels"])) < 0.1
    assert abs(said["registration"]["3"]["shift_y"]) < 0.1
    assert (core.height, core.width) == (87, 132)
    hr, lr = (tifffile.imread(source / name) for name in ("hr_2um.tif", "lr_6um.tif"))
    for row in (0, len(core.slices) - 1):  # LR voxel i covers HR from 3·i - 1 on, its middle is there
        number = core.slices[row].number
        np.testing.assert_array_equal(store.hr(core)[row], hr[2:89, 2:134, number])
        np.testing.assert_array_equal(store.lr(core)[row], lr[1:, 1:, number // 3])


def test_registering_is_for_scan_pairs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^register must be asked of a scan pair, got layout slices; leave it out"):
        prepare(tmp_path, tmp_path / "store", scale=2, layout="slices", register=True)
