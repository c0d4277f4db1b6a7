"""Masks keep the rock, leave the padding, the air and the holder, and find nothing where there is only rock."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from coresr_data import mask as masks
from coresr_data.formats.images import open_slices, write_slice
from coresr_data.mask import field_of_view, from_file, masks_for, otsu, rock, rock_level
from coresr_data.mask.disk import Mask
from coresr_data.phantom import ROCKS, phantom
from coresr_data.volume import Levels, Volume


def volume_of(slices: Sequence[Levels] | Levels) -> Volume:
    return Volume(
        core="plug",
        numbers=tuple(range(len(slices))),
        names=tuple(f"{number}" for number in range(len(slices))),
        size=slices[0].shape,
        dtype=slices[0].dtype,
        read=lambda index: slices[index],
        sources=(Path("plug"),),
    )


def disk(size: int, y: float, x: float, radius: float) -> Mask:
    rows, columns = np.mgrid[:size, :size]
    return np.asarray(np.hypot(rows - y, columns - x) <= radius)


@pytest.fixture(scope="module")
def grown() -> NDArray[np.uint8]:
    """Four slices of synthetic sandstone, none of whose levels is 0."""
    return np.maximum(phantom(ROCKS[0], slices=4, size=160, seed=3), 1)


def without_rim(inside: Mask, rim: int) -> Mask:
    return np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))[1:-1, 1:-1] > rim)


# Padding


@pytest.mark.parametrize("level", [0, 255])
@pytest.mark.parametrize(
    ("y", "x", "radius"), [(79.5, 79.5, 80), (75, 84, 71.5), (60, 60, 90), (79.5, 79.5, 100)], ids=str
)
def test_a_round_field_of_view_is_found_to_a_pixel(
    grown: NDArray[np.uint8], y: float, x: float, radius: float, level: int
) -> None:
    inside = disk(160, y, x, radius)
    padded = np.where(inside, grown, np.uint8(level))
    found = field_of_view(volume_of(padded))
    assert found is not None
    assert not (found & ~disk(160, y, x, radius - 1)).any()  # of the two pixels of the rim, one for the fit
    assert found[disk(160, y, x, radius - 3)].all()


@pytest.mark.parametrize("rim", [0, 1, 5])
def test_the_rim_is_as_wide_as_asked_for(grown: NDArray[np.uint8], rim: int) -> None:
    padded = np.where(disk(160, 79.5, 79.5, 70), grown, 0)
    found = field_of_view(volume_of(padded), rim=rim)
    assert found is not None
    assert np.sqrt(found.sum() / np.pi) == pytest.approx(70 - rim, abs=0.15)


def test_dark_pores_at_the_edge_of_a_round_field_stay_inside(grown: NDArray[np.uint8]) -> None:
    inside = disk(160, 79.5, 79.5, 78)
    clipped = np.where(grown < 60, 0, grown)
    found = field_of_view(volume_of(np.where(inside, clipped, 0)[:1]))
    assert found is not None
    assert found[disk(160, 79.5, 79.5, 75.5)].all()
    assert not (found & ~inside).any()


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_the_padding_may_be_any_level_of_any_dtype(grown: NDArray[np.uint8], dtype: str) -> None:
    lowest = -2048 if dtype == "int16" else 0
    padded = np.where(disk(160, 80, 80, 75), grown.astype(dtype), np.array(lowest, dtype))
    found = field_of_view(volume_of(padded))
    assert found is not None
    assert np.sqrt(found.sum() / np.pi) == pytest.approx(73, abs=0.3)


def test_a_full_frame_has_no_padding(grown: NDArray[np.uint8]) -> None:
    assert field_of_view(volume_of(grown)) is None
    assert field_of_view(volume_of(grown[:1])) is None
    assert masks_for("auto", volume_of(grown)) is None


def test_rock_that_is_dark_near_a_corner_is_no_padding(grown: NDArray[np.uint8]) -> None:
    dark = grown.copy()
    dark[:, :50, :50] //= 8
    assert field_of_view(volume_of(dark)) is None
    clipped = grown.copy()
    clipped[:, disk(160, 0, 0, 40)] = 0  # a vug that is one level through all the slices
    assert field_of_view(volume_of(clipped)) is None
    assert field_of_view(volume_of(clipped[:1])) is None


def test_a_dead_corner_is_no_padding(grown: NDArray[np.uint8]) -> None:
    dead = grown.copy()
    dead[:, :3, :3] = 0
    assert field_of_view(volume_of(dead)) is None


def test_padding_must_be_constant_over_depth_and_within_a_slice(grown: NDArray[np.uint8]) -> None:
    inside = disk(160, 79.5, 79.5, 75)
    noise = np.random.default_rng(0).integers(0, 9, grown.shape).astype(np.uint8)
    assert field_of_view(volume_of(np.where(inside, grown, noise))) is None
    steps = np.arange(len(grown), dtype=np.uint8)[:, None, None]
    assert field_of_view(volume_of(np.where(inside, grown, steps))) is None


def test_slices_are_looked_at_over_the_whole_depth(grown: NDArray[np.uint8]) -> None:
    inside = disk(160, 79.5, 79.5, 75)
    padded = np.where(inside, grown, 0)
    padded[-1] = grown[-1]
    assert field_of_view(volume_of(padded)) is None
    read: list[int] = []

    class Listening(list[Levels]):
        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return super().__getitem__(index)

    slices = Listening([grown[0]] * 100)
    many = volume_of(slices)
    read.clear()
    field_of_view(many, slices=5)
    assert read == [0, 25, 50, 74, 99]
    with pytest.raises(ValueError, match="slices must be 1 or more, got 0"):
        field_of_view(many, slices=0)


def test_words_in_the_padding_and_marks_on_it_are_outside(grown: NDArray[np.uint8]) -> None:
    padded = np.where(disk(160, 79.5, 79.5, 70), grown, 0)
    padded[:, 3:6, 3:8] = 200
    found = field_of_view(volume_of(padded))
    assert found is not None
    assert not found[:10, :10].any()
    assert np.sqrt(found.sum() / np.pi) == pytest.approx(68, abs=0.3)


def test_padding_along_one_side_is_found(grown: NDArray[np.uint8]) -> None:
    strip = grown.copy()
    strip[:, :20] = 0
    found = field_of_view(volume_of(strip))
    assert found is not None
    np.testing.assert_array_equal(found, np.indices((160, 160))[0] >= 22)


def test_padding_around_any_shape_is_found_and_marks_on_it_are_outside(grown: NDArray[np.uint8]) -> None:
    shape = np.zeros((160, 160), np.bool_)  # a broken plug: far from convex
    shape[20:140, 20:60] = shape[100:140, 20:140] = True
    padded = np.where(shape, grown, 0)
    padded[:, 60:70, 30:40] = 0  # a pore of the padding's level, within the rock
    padded[:, 30:35, 100:105] = 200  # a mark in the padding
    found = field_of_view(volume_of(padded))
    assert found is not None
    np.testing.assert_array_equal(found, without_rim(shape, 2))


def test_a_segmented_slice_has_no_padding() -> None:
    speckled = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((120, 120)), 3) > 0.08
    speckled[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    speckled[ndimage.distance_transform_edt(np.pad(np.ones((116, 116)), 2)) == 0] = False
    assert field_of_view(volume_of([speckled.astype(np.uint8)])) is None


@pytest.mark.parametrize("folder", ["sandstone-versa/slices", "shale-fibsem/slices", "duvernay-sem"])
def test_real_full_frames_have_no_padding(real_data: Path, folder: str) -> None:
    assert field_of_view(open_slices(real_data / folder)) is None


@pytest.fixture(scope="module")
def core_ct(real_data: Path) -> Volume:
    """Four slices of a half core in its liner, Hounsfield units."""
    dicom = pytest.importorskip("pydicom")
    paths = sorted((real_data / "core-ct").glob("*.dcm"))
    return volume_of([dicom.dcmread(path).pixel_array for path in paths])


def test_the_round_field_of_a_medical_scanner_is_found(core_ct: Volume) -> None:
    found = field_of_view(core_ct, rim=0)
    assert found is not None
    assert found.mean() == pytest.approx(np.pi / 4, abs=0.001)
    outside = np.all([core_ct[index] == -2048 for index in range(4)], axis=0)
    assert not (found & outside & ~disk(512, 255.5, 255.5, 256)).any()


# Rock in air


@pytest.fixture(scope="module")
def tube() -> tuple[Levels, Mask]:
    """Three slices of siltstone of 60 pixels radius in air of level 10, in a darker tube; and where the rock is."""
    grown = phantom(ROCKS[2], slices=3, size=160, seed=3)
    size = grown.shape[-1]
    inside = disk(size, 84, 80, 60)
    wall = disk(size, 80, 80, 78) & ~disk(size, 80, 80, 73)
    air = np.random.default_rng(5).normal(10, 3, grown.shape)
    scanned = np.where(inside, grown, np.where(wall, 45, air))
    return scanned.clip(0, 255).astype(np.uint8), inside


def test_rock_in_a_tube_is_found_with_its_pores_filled(tube: tuple[Levels, Mask]) -> None:
    scanned, inside = tube
    found = masks_for("rock", volume_of(scanned))
    assert found is not None
    assert found.shape == scanned.shape
    for one in found:
        assert not (one & ~inside).any()
        assert one[disk(160, 84, 80, 56)].mean() > 0.995
        assert one[disk(160, 84, 80, 50)].all()


def test_rock_is_cut_back_by_the_rim_but_not_at_the_frame() -> None:
    half = np.zeros((60, 60), np.uint8)
    half[:, 30:] = 200
    found = rock(half, rim=4)
    np.testing.assert_array_equal(found, np.indices((60, 60))[1] >= 34)


def test_rock_is_the_largest_bright_piece_with_holes_and_narrow_notches_filled() -> None:
    inside = disk(200, 100, 100, 70)
    scanned = np.where(inside, 200, 10)
    scanned[disk(200, 100, 100, 25)] = 10  # a vug, wider than what is closed
    scanned[95:99, 150:200] = 10  # a crack open to the air, narrower
    scanned[5:20, 5:20] = 250  # a bright piece of the holder, apart
    found = rock(scanned.astype(np.uint8), rim=0)
    assert not found[:25, :25].any()
    assert found[disk(200, 100, 100, 67)].all()
    assert not (found & ~disk(200, 100, 100, 72)).any()


def test_one_threshold_serves_all_slices_and_finds_none_where_there_is_no_rock(tube: tuple[Levels, Mask]) -> None:
    scanned = tube[0].copy()
    scanned[-1] = np.where(scanned[-1] > 60, 45, scanned[-1])  # the tube alone
    found = masks_for("rock", volume_of(scanned))
    assert found is not None
    assert not found[-1].any()
    assert found[0].mean() > 0.3


def test_the_half_core_is_told_from_its_liner(core_ct: Volume) -> None:
    """Liner 110 HU, rock 2770 HU: by radius and level, measured apart from the mask."""
    found = masks_for("rock", core_ct)
    assert found is not None
    rows, columns = np.mgrid[:512, :512]
    liner = (np.abs(np.hypot(rows - 243, columns - 241) - 157) < 4) & (rows < 380)
    for index, one in enumerate(found):
        assert 0.115 < one.mean() < 0.125
        assert not (one & liner).any()
        assert ndimage.gaussian_filter(core_ct[index].astype(float), 3)[one].min() > 774  # halfway to air


def test_a_core_of_one_level_is_refused() -> None:
    flat = volume_of(np.full((3, 20, 20), 7, np.uint8))
    with pytest.raises(ValueError, match="core plug must show rock and air to be told apart, got one level"):
        masks_for("rock", flat)
    with pytest.raises(ValueError, match="got 4 of one"):
        otsu(np.ones(4))


@settings(max_examples=30, deadline=None)
@given(
    low=st.floats(0, 40),
    high=st.floats(60, 200),
    spread=st.floats(0.5, 4),
    share=st.floats(0.1, 0.9),
    seed=st.integers(0, 99),
)
def test_otsu_separates_two_classes(low: float, high: float, spread: float, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = np.concatenate(
        [rng.normal(low, spread, int(2000 * share)), rng.normal(high, spread, 2000 - int(2000 * share))]
    )
    threshold = otsu(levels)
    assert low < threshold < high
    assert ((levels > threshold) == (levels > (low + high) / 2)).mean() > 0.99


def test_otsu_equals_the_search_over_all_thresholds(grown: NDArray[np.uint8]) -> None:
    levels = grown.ravel().astype(np.float64)

    def within(threshold: float) -> float:
        parts = levels[levels > threshold], levels[levels <= threshold]
        return sum(float(part.var()) * len(part) for part in parts if len(part))

    best = min(np.arange(levels.min(), levels.max()) + 0.5, key=within)
    assert otsu(levels) == pytest.approx(best, abs=1.5)
    assert within(otsu(levels)) < 1.0005 * within(best)


def test_a_threshold_from_some_pixels_is_that_of_all(
    tube: tuple[Levels, Mask], monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned, _ = tube
    whole = rock_level(volume_of(scanned))
    monkeypatch.setattr(masks, "SAMPLED", 160 * 160 // 4)
    assert rock_level(volume_of(scanned)) == pytest.approx(whole, abs=3)


# From outside


@pytest.mark.parametrize("suffix", ["npy", "png"])
def test_what_is_not_0_in_a_file_is_rock(tmp_path: Path, suffix: str) -> None:
    drawn = np.zeros((12, 16), np.uint8)
    drawn[2:5, 3:9] = 255
    drawn[7, 7] = 1
    path = tmp_path / f"mask.{suffix}"
    np.save(path, drawn) if suffix == "npy" else write_slice(path, drawn)
    found = from_file(path, (5, 12, 16))
    assert found.shape == (1, 12, 16)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found[0], drawn != 0)
    chosen = masks_for(path, volume_of(np.ones((5, 12, 16), np.uint8)))
    assert chosen is not None
    np.testing.assert_array_equal(chosen, found)


def test_a_mask_for_every_slice_stays_one(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).random((5, 12, 16)) > 0.5
    np.save(tmp_path / "mask.npy", drawn)
    np.testing.assert_array_equal(from_file(tmp_path / "mask.npy", (5, 12, 16)), drawn)
    (tmp_path / "drawn").mkdir()
    for number, one in enumerate(drawn):
        Image.fromarray(one.astype(np.uint8) * 255).save(tmp_path / "drawn" / f"{number}.png")
    np.testing.assert_array_equal(from_file(tmp_path / "drawn", (5, 12, 16)), drawn)


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (np.ones((12, 15), np.uint8), "must be 1 or 5 slices of 12×16 like the slices it is for, got 1 of 12×15"),
        (np.ones((4, 12, 16), np.uint8), "got 4 of 12×16; draw it on those"),
        (np.zeros((12, 16), np.uint8), "must hold rock, which is not 0, got 0 alone"),
        (np.ones((12, 16, 3, 2), np.uint8), r"must be (h, w) or (n, h, w) numbers, got (12, 16, 3, 2) uint8"),
        (np.full((12, 16), "x"), "numbers, got (12, 16) <U1"),
        (np.array([[{}]]), "must be a whole NumPy array, got"),
        (np.zeros((0, 12, 16), np.uint8), "got 0 of"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_by_name(tmp_path: Path, drawn: Levels, said: str) -> None:
    np.save(tmp_path / "mask.npy", drawn)
    with pytest.raises(ValueError) as refusal:  # noqa: PT011, the words are compared below
        from_file(tmp_path / "mask.npy", (5, 12, 16))
    assert str(refusal.value).startswith(f"mask {tmp_path / 'mask.npy'} must ")
    assert said in str(refusal.value)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00", b"<html>"])
def test_a_broken_mask_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mask.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"mask\.npy must be a whole NumPy array, got .*; replace it"):
        from_file(tmp_path / "mask.npy", (5, 12, 16))


def test_a_mask_that_is_not_there_is_missing(tmp_path: Path) -> None:
    for name in ("mask.npy", "mask.png"):
        with pytest.raises(FileNotFoundError, match=name):
            from_file(tmp_path / name, (5, 12, 16))


def test_none_is_no_mask() -> None:
    assert masks_for("none", volume_of(np.ones((3, 8, 8), np.uint8))) is None


@pytest.mark.parametrize("make", [lambda path: masks_for(path, volume_of(np.ones((3, 8, 8), np.uint8)))])
def test_masks_beyond_memory_lie_in_a_file_and_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Mask | None]
) -> None:
    drawn = np.random.default_rng(0).random((3, 8, 8)) > 0.5
    np.save(tmp_path / "mask.npy", drawn)
    monkeypatch.setattr(masks, "IN_MEMORY", 3 * 8 * 8 - 1)
    found = make(tmp_path / "mask.npy")
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, drawn)
