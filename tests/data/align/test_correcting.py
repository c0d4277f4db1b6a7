"""A crop mends a shift of whole HR pixels and changes no level; what it cannot mend is refused."""

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
from coresr_data.align.correcting import cropped_to_match, refuse_unmendable
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
    z, y, x = (max(0, -(-one // 3)) for one in shift)
    top, left = 3 * y - shift[1], 3 * x - shift[2]
    assert other.numbers[0] == z
    assert own.numbers[0] == 3 * z - shift[0]
    (height, width), (tall, wide) = other.size, own.size
    for place in (0, len(other) - 1):
        np.testing.assert_array_equal(other[place], lr[z + place, y : y + height, x : x + width])
        depth = own.numbers[3 * place + 1]
        np.testing.assert_array_equal(own[3 * place + 1], hr[depth, top : top + tall, left : left + wide])
    assert own.names[0] == f"{Path(__file__).name}[{own.numbers[0]}]"


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 4), st.integers(-40, 40), st.integers(-40, 40))
def test_law_a_shift_of_whole_hr_pixels_is_mended_slice_by_slice(scale: int, y: int, x: int) -> None:
    lr, hr = (np.repeat(one[None], 2, axis=0) for one in pair(grains((260, 260)), scale, (y, x)))
    own, other, did = cropped_to_match(volume(hr), volume(lr), scale)
    assert did["hr_voxels"] == [y, x]
    assert len(own) == len(other) == 2
    inner = (slice(3, -3), slice(3, -3))  # borders are mirrored, and were not in the same places
    np.testing.assert_allclose(other[1][inner], imresize(own[1], 1 / scale)[inner], atol=1e-9)


def test_a_pair_with_as_many_slices_keeps_them_all() -> None:
    lr, hr = (np.repeat(one[None], 12, axis=0).astype(np.uint8) for one in pair(grains((160, 160)), 2, (2, 0)))
    own, other, did = cropped_to_match(volume(hr), volume(lr), 2)
    assert did["hr_voxels"] == [2, 0]
    assert len(own) == len(other) == 12
    np.testing.assert_array_equal(other[5], lr[5, 1:])
    np.testing.assert_array_equal(own[5], hr[5, : 2 * other.size[0]])


def test_what_a_crop_leaves_is_said() -> None:
    image = ndimage.gaussian_filter(grains((480, 480)), 6)
    lr, hr = pair(image, 8, (4, 2))  # an eighth shrinks to a quarter: half and quarter LR pixels
    small = imresize(hr, 1 / 4)
    _, _, did = cropped_to_match(volume(np.stack([small] * 2)), volume(np.stack([lr] * 2)), 2)
    assert did["shift_lr_voxels"] == pytest.approx([0.5, 0.25], abs=0.03)
    assert np.add(did["remaining_lr_voxels"], np.divide(did["hr_voxels"], 2)) == pytest.approx(did["shift_lr_voxels"])
    assert abs(did["remaining_lr_voxels"][1]) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("words", ["unclear", "distorted"])
def test_what_no_crop_mends_is_refused(words: str) -> None:
    image = grains((720, 720))
    lr, hr = turned(image, 3, 3.1, 0) if words == "distorted" else (image[:180, :180], grains((540, 540), 3))
    with pytest.raises(ValueError, match=f"got one {words}: confidence .*register it with a tool"):
        refuse_unmendable(measure(lr, hr, scale=3))


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
