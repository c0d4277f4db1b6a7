"""Registration of real pairs: known shifts, scales and turns are found, and chance is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from coresr_data.align import CONFIDENT, _middle, measure, verdict
from coresr_data.formats.images import read_slice
from coresr_data.resize import axis_matrix, imresize
from tests.data.align.pairs import Float, grains, pair, turned

# Shifts


@pytest.mark.parametrize(
    ("scale", "shift"), [(4, (0, 1)), (4, (1, 0)), (2, (1, -2)), (3, (9, 4)), (3, (0, 0)), (2, (-6, 2))]
)
def test_the_shift_of_noisy_sandstone_is_found_to_a_twentieth_of_a_pixel(
    real_data: Path, scale: int, shift: tuple[int, int]
) -> None:
    for path in sorted((real_data / "sandstone-versa" / "slices").iterdir())[::4]:
        found = measure(*pair(read_slice(path), scale, shift, noise=8), scale=scale)
        assert found.shift == pytest.approx([one / scale for one in shift], abs=0.05)
        assert (found.shift_y, found.shift_x) == found.shift
        assert found.drift < 0.1
        assert verdict(found) == ("shifted" if max(map(abs, shift)) > scale / 2 else "aligned")


@pytest.mark.parametrize("quarters", [0, 1, 4, 12])
def test_every_pair_off_by_a_pixel_or_more_is_detected_and_none_that_is_not(quarters: int) -> None:
    for seed in range(12):
        along = [(quarters, 0), (0, -quarters), (quarters, quarters)][seed % 3]
        found = measure(*pair(grains((300, 300), seed), 4, along, noise=12, seed=seed), scale=4)
        assert verdict(found) == ("shifted" if quarters >= 4 else "aligned")


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(-40, 40), st.integers(-40, 40))
def test_law_a_shift_of_whole_hr_pixels_is_found(scale: int, y: int, x: int) -> None:
    found = measure(*pair(grains((260, 260)), scale, (y, x)), scale=scale)
    assert found.crop == (y, x)
    np.testing.assert_allclose(found.remaining, 0, atol=0.05)


def test_it_agrees_with_another_implementation() -> None:
    registration = pytest.importorskip("skimage.registration")
    for seed, shift in enumerate([(1, 0), (-2, 3), (5, -7)]):
        lr, hr = pair(grains((300, 300), seed), 4, shift, noise=6)
        other, _, _ = registration.phase_cross_correlation(
            lr, imresize(hr, 1 / 4), upsample_factor=50, normalization=None
        )
        np.testing.assert_allclose(measure(lr, hr, scale=4).shift, other, atol=0.06)


def test_large_shifts_are_not_drawn_towards_zero_by_the_window() -> None:
    lr, hr = pair(grains((420, 420)), 3, (-89, 61), noise=10)
    np.testing.assert_allclose(measure(lr, hr, scale=3).shift, (-89 / 3, 61 / 3), atol=0.03)


# Chance


@pytest.mark.parametrize("softness", [0, 2])
@pytest.mark.parametrize("side", [32, 64])
def test_noise_alone_is_unclear_and_never_aligned(side: int, softness: float) -> None:
    rng = np.random.default_rng(side)
    for _ in range(40):
        lr = ndimage.gaussian_filter(rng.normal(100, 20, (side, side)), softness)
        hr = ndimage.gaussian_filter(rng.normal(100, 20, (2 * side, 2 * side)), 2 * softness)
        assert verdict(measure(lr, hr, scale=2)) == "unclear"


def test_different_places_of_one_rock_are_unclear() -> None:
    lr, _ = pair(grains((256, 256), 1), 2, (0, 0))
    assert verdict(measure(lr, grains((256, 256), 2), scale=2)) == "unclear"


@pytest.mark.parametrize("level", [(7, 7), (0, 255)])
def test_flat_images_are_unclear(level: tuple[int, int]) -> None:
    found = measure(np.full((20, 20), level[0], np.uint8), np.full((40, 40), level[1], np.uint8), scale=2)
    assert (found.confidence, found.drift, verdict(found)) == (0, 0, "unclear")
    assert found.scale_error == (None, None)
    assert found.rotation_deg is None


def test_the_limit_can_be_set() -> None:
    found = measure(*pair(grains((300, 300)), 4, (3, 0)), scale=4)
    assert (verdict(found), verdict(found, limit=0.8)) == ("shifted", "aligned")


# Scale and turn


@pytest.mark.parametrize("ratio", [2.97, 3.0, 3.02])
@pytest.mark.parametrize("degrees", [-0.5, 0, 0.7])
def test_the_true_scale_and_turn_are_found(ratio: float, degrees: float) -> None:
    found = measure(*turned(grains((720, 720)), 3, ratio, degrees), scale=3)
    assert [3 * (1 + one) for one in found.scale_error if one is not None] == pytest.approx([ratio] * 2, abs=2e-3)
    assert found.rotation_deg == pytest.approx(degrees, abs=0.03)
    n = 180
    off = np.hypot(3 / ratio - 1, np.radians(degrees)) * n / 2
    assert off / 1.05 - 0.1 <= found.drift <= np.sqrt(2) * off + 0.1
    assert verdict(found) == ("aligned" if (ratio, degrees) == (3.0, 0) else "distorted")


def test_a_scale_error_is_found_per_axis() -> None:
    image = grains((720, 720))
    y, x = np.mgrid[:180, :180] - 89.5
    lr = ndimage.map_coordinates(ndimage.gaussian_filter(image, 1.2), [3.03 * y + 269.5, 2.99 * x + 269.5])
    found = measure(lr, image[:540, :540], scale=3)
    assert found.scale_error == pytest.approx((0.01, -1 / 300), abs=1e-3)
    assert found.rotation_deg == pytest.approx(0, abs=0.03)


def test_a_few_tiles_that_show_something_else_do_not_spoil_the_scale() -> None:
    lr, hr = pair(grains((512, 512)), 2, (0, 0), noise=4)
    lr[:64, :64] = np.roll(lr, 4, axis=1)[:64, :64]
    found = measure(lr, hr, scale=2)
    assert found.scale_error == pytest.approx((0, 0), abs=4e-4)
    assert verdict(found) == "aligned"


# Stacks and volumes


def test_a_stack_pairs_its_slices_one_to_one_and_pools_them() -> None:
    lrs, hrs = zip(*(pair(grains((160, 160), seed), 4, (2, 1), noise=60, seed=seed) for seed in range(30)), strict=True)
    stack = measure(np.stack(lrs), np.stack(hrs), scale=4)
    assert stack.shift == pytest.approx((0.5, 0.25), abs=0.05)
    alone = [measure(lr, hr, scale=4).confidence for lr, hr in zip(lrs[:5], hrs[:5], strict=True)]
    assert stack.confidence > 2 * max(alone)


def shrunk(volume: Float, scale: int) -> Float:
    for axis in range(3):
        n = volume.shape[axis]
        matrix = axis_matrix(n, n // scale, 1 / scale).toarray()
        volume = np.moveaxis(np.tensordot(matrix, volume, axes=(1, axis)), 0, axis)
    return volume


def test_a_volume_is_registered_along_depth_too() -> None:
    image = grains((88, 104, 120))
    lr, hr = shrunk(image[8:80, 8:104, 8:112], 2), image[5:77, 7:103, 12:116]
    found = measure(lr, hr, scale=2)
    assert found.shift == pytest.approx((-1.5, -0.5, 2), abs=0.05)
    assert (found.shift_y, found.shift_x) == found.shift[1:]
    assert found.scale_error == pytest.approx((0, 0, 0), abs=3e-3)


def test_of_a_large_pair_only_blocks_are_read_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lr, hr = pair(grains((2400, 2400)), 2, (3, -1))
    read: list[int] = []

    def counted(n_in: int, n_out: int, scale: float) -> object:
        read.append(n_in)
        return axis_matrix(n_in, n_out, scale)

    monkeypatch.setattr("coresr_data.align.phase.axis_matrix", counted)
    found = measure(lr, hr, scale=2)
    assert found.shift == pytest.approx((1.5, -0.5), abs=0.03)
    assert max(read) <= 2 * 512


# Grey levels


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 3), st.floats(-50, 50))
def test_law_gain_and_offset_are_found(gain: float, offset: float) -> None:
    lr, hr = pair(grains((200, 200)), 2, (1, 0))
    found = measure(gain * lr + offset, hr, scale=2)
    assert found.gain == pytest.approx(gain, rel=0.02)
    assert found.offset == pytest.approx(offset, abs=3 * gain)
    assert found.r2 > 0.99


def test_a_softer_lr_does_not_pass_for_one_of_less_contrast() -> None:
    lr, hr = pair(grains((600, 600)), 2, (0, 0))
    soft = ndimage.gaussian_filter(lr, 1.0)
    assert soft.std() < 0.9 * lr.std()
    assert measure(soft, hr, scale=2).gain == pytest.approx(1, abs=0.13)


def test_of_a_long_side_the_middle_is_read() -> None:
    assert (_middle(0, 10, 4), _middle(5, 8, 4), _middle(100, 200, 50)) == (slice(3, 7), slice(5, 8), slice(125, 175))


@pytest.mark.parametrize(
    ("lr", "hr", "scale", "reason"),
    [
        ((20, 20), (40, 44), 2, "HR must be 2 × LR, 40×40, got (40, 44)"),
        ((20, 20), (2, 40, 40), 2, "both be (y, x) or (z, y, x)"),
        ((20,), (40,), 2, "both be (y, x) or (z, y, x)"),
        ((20, 20), (20, 20), 0, "scale of 1 or more"),
        ((20, 20, 20), (30, 40, 40), 2, "HR must be 2 × LR, 40×40×40, got (30, 40, 40)"),
        ((15, 20), (30, 40), 2, "at least 16 pixels"),
    ],
)
def test_pairs_of_other_shapes_are_refused(lr: Any, hr: Any, scale: int, reason: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011, the reason is compared below, brackets and all
        measure(np.zeros(lr), np.zeros(hr), scale=scale)
    assert reason in str(refusal.value)


# Real


def test_the_bentheimer_pair_is_one_hr_voxel_off_along_every_axis(real_data: Path) -> None:
    lr = tifffile.imread(real_data / "bentheimer-pair" / "lr_6um.tif")
    hr = tifffile.imread(real_data / "bentheimer-pair" / "hr_2um.tif")
    found = measure(lr, hr, scale=3)
    assert found.confidence > 10 * CONFIDENT
    assert found.crop == (1, 1, 1)
    assert found.shift == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=0.1)
    assert verdict(found) == "aligned"
    assert found.scale_error[2] == pytest.approx(0.0045, abs=1e-3)  # x drifts by ±0.3 LR pixels from end to end
    assert found.gain == pytest.approx(0.94, abs=0.02)
    assert found.r2 > 0.97
