"""HR → LR keeps dtype, says what it refuses, is MATLAB's bicubic, and the same in a crop as in its slice."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.degrade import DEGRADATIONS, STEPS, apply, apply_at, as_json, bicubic, blur, from_json, margin
from coresr_data.degrade.recipes import Steps
from coresr_data.degrade.scanner import Drift, Noise, Rings, Streaks
from coresr_data.degrade.steps import Bin, Blur, Frame, Resize, Sinc
from coresr_data.intensity import Window
from coresr_data.patches import keyed
from coresr_data.resize import imresize

laws = settings(deadline=None, max_examples=40)
names = st.sampled_from(sorted(DEGRADATIONS))
scales = st.sampled_from([2, 3, 4])
draws = st.integers(0, 10**6)
EIGHT_BIT = Window(0, 255)


def rock(height: int = 48, width: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def drawn(name: str, number: int) -> Steps:
    return DEGRADATIONS[name](keyed("test", name, number))


def without_noise(steps: Steps) -> Steps:
    return tuple(step for step in steps if not isinstance(step, Noise))


# Bicubic, as MATLAB makes it


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_integers_are_rounded_as_matlab_does(dtype: str, scale: int) -> None:
    hr = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (8 * scale, 6 * scale), dtype)
    lr = bicubic(hr, scale)
    assert lr.shape == (8, 6)
    assert lr.dtype == dtype
    np.testing.assert_array_equal(lr, imresize(hr, 1 / scale, matlab_uint8=True))
    for name in ("bicubic", "default"):
        np.testing.assert_array_equal(apply(hr, drawn(name, 0), scale=scale), lr)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_stay_unrounded_in_their_own_dtype(dtype: str) -> None:
    hr = np.random.default_rng(0).random((8, 12)).astype(dtype)
    for steps in ((Resize(),), (Blur(sigma_y=1, sigma_x=1), Bin()), (Bin(), Drift(offset=0.1))):
        lr = apply(hr, steps, scale=2, window=Window(0, 1))
        assert lr.dtype == dtype
    np.testing.assert_allclose(bicubic(hr, 2), imresize(hr, 0.5), rtol=1e-6)


def test_eight_bits_of_matlabs_own_example() -> None:
    # By hand: halving 0…7 gives 0.449, 2.488, 4.512, 6.551 (its 4×4 of floats is 8 of these down plus 1 of these
    # across). Down first: 3.59, 19.91, 36.09, 52.41 become 4, 20, 36, 52; then 4.449 … across are rounded.
    lr = bicubic(np.arange(64, dtype=np.uint8).reshape(8, 8), 2)
    np.testing.assert_array_equal(lr, np.add.outer([4, 20, 36, 52], [0, 2, 5, 7]))


def test_each_kernel_of_unknown_is_rounded_as_matlab_does() -> None:
    for number in range(8):
        (step,) = drawn("unknown", number)
        assert isinstance(step, Resize)
        expected = imresize(rock(), 1 / 4, kernel=step.kernel, matlab_uint8=True)
        np.testing.assert_array_equal(apply(rock(), (step,), scale=4), expected)


def test_a_blur_of_nothing_is_bicubic_to_the_last_bit() -> None:
    np.testing.assert_array_equal(apply(rock(), blur(0.0)(keyed()), scale=3), bicubic(rock(), 3))
    almost = apply(rock(), blur(1e-3)(keyed()), scale=3).astype(int)
    assert np.abs(almost - bicubic(rock(), 3)).max() <= 2  # rounded once and not after each pass


# Whatever is not a single resize: float64 inside, rounded once


def test_blur_and_bin_are_scipys_filter_and_block_means_rounded_half_up() -> None:
    lr = apply(rock(), (Blur(sigma_y=1.5, sigma_x=0.8), Bin()), scale=3)
    soft = ndimage.gaussian_filter(rock().astype(float), (1.5, 0.8), mode="reflect")
    np.testing.assert_array_equal(lr, np.floor(soft.reshape(16, 3, 20, 3).mean(axis=(1, 3)) + 0.5))


def test_halves_are_rounded_up_without_exception() -> None:
    hr = np.random.default_rng(1).integers(0, 256, (200, 200), np.uint8)
    sums = hr.astype(int).reshape(100, 2, 100, 2).sum(axis=(1, 3))
    assert (sums % 4 == 2).sum() > 2000
    np.testing.assert_array_equal(apply(hr, (Bin(),), scale=2), (sums + 2) // 4)


def test_integers_are_clipped_to_their_range_at_the_end_and_not_before() -> None:
    hr = np.full((4, 4), 250, np.uint8)
    over = (Bin(), Drift(offset=0.1))
    assert (apply(hr, over, scale=2, window=EIGHT_BIT) == 255).all()
    assert (apply(hr, (*over, Drift(offset=-0.1)), scale=2, window=EIGHT_BIT) == 250).all()
    assert (apply(hr, (Bin(), Drift(offset=-1.1)), scale=2, window=EIGHT_BIT) == 0).all()


def test_noise_and_drift_go_by_the_window() -> None:
    hr = np.full((200, 200), 1000, np.uint16)
    lr = apply(hr, (Bin(), Drift(gain=1.5, offset=0.1)), scale=2, window=Window(500, 1500))
    assert (lr == 500 + 1000 * (1.5 * 0.5 + 0.1)).all()
    noisy = apply(hr, (Bin(), Noise(gaussian=0.02)), scale=2, window=Window(500, 1500), rng=keyed("n"))
    assert float(noisy.std()) == pytest.approx(20, rel=5 / np.sqrt(2 * 100 * 100))
    assert float(noisy.mean()) == pytest.approx(1000, abs=5 * 20 / 100)


def test_linear_steps_do_not_care_for_the_window() -> None:
    steps = (Blur(sigma_y=1, sigma_x=2, angle=20), Bin())
    one, other = (apply(rock(), steps, scale=2, window=w) for w in (None, Window(-3, 1)))
    np.testing.assert_array_equal(one, other)


@laws
@given(names, draws, scales, st.floats(0, 255))
def test_a_constant_stays_that_constant_through_every_recipe(name: str, number: int, scale: int, level: float) -> None:
    kept = tuple(step for step in drawn(name, number) if isinstance(step, Resize | Blur | Bin | Sinc))
    np.testing.assert_allclose(apply(np.full((36, 24), level), kept, scale=scale), level, rtol=0, atol=1e-10)
    whole = np.full((36, 24), round(level), np.uint8)
    assert (apply(whole, kept, scale=scale) == round(level)).all()


@laws
@given(names, draws, scales)
def test_the_same_steps_and_generator_make_the_same_lr(name: str, number: int, scale: int) -> None:
    steps = drawn(name, number)
    assert steps == drawn(name, number)
    first, again = (apply(rock(), steps, scale=scale, window=EIGHT_BIT, rng=keyed("lr", number)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (48 // scale, 60 // scale)


# Crops


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int]:
    """Size and place of a patch, in LR pixels of a slice of 30×40, at its borders often."""
    size = draw(st.integers(1, 12))
    y = draw(st.one_of(st.just(0), st.just(30 - size), st.integers(0, 30 - size)))
    x = draw(st.one_of(st.just(0), st.just(40 - size), st.integers(0, 40 - size)))
    return size, y, x


@laws
@given(names, draws, scales, places())
def test_a_patch_of_the_degraded_slice_is_the_degraded_patch(
    name: str, number: int, scale: int, place: tuple[int, int, int]
) -> None:
    size, y, x = place
    steps = without_noise(drawn(name, number))
    hr = np.random.default_rng(number).random((30 * scale, 40 * scale))
    whole = apply(hr, steps, scale=scale, window=Window(0, 1))
    patch = apply_at(hr, steps, y=y, x=x, size=size, scale=scale, window=Window(0, 1))
    np.testing.assert_allclose(patch, whole[y : y + size, x : x + size], rtol=0, atol=1e-12)


@laws
@given(draws, scales, places())
def test_a_patch_of_eight_bit_bicubic_is_exact(number: int, scale: int, place: tuple[int, int, int]) -> None:
    size, y, x = place
    hr = rock(30 * scale, 40 * scale, number)
    for steps in (drawn("bicubic", 0), drawn("unknown", number)):
        patch = apply_at(hr, steps, y=y, x=x, size=size, scale=scale)
        np.testing.assert_array_equal(patch, apply(hr, steps, scale=scale)[y : y + size, x : x + size])


def test_the_margin_is_enough_and_one_lr_pixel_less_is_not() -> None:
    scale, steps = 3, (Blur(sigma_y=2, sigma_x=2), Bin())
    assert margin(steps, scale) == 9  # four sigmas are eight HR pixels
    hr = np.random.default_rng(0).random((90, 90))
    whole = apply(hr, steps, scale=scale)

    def off(around: int) -> float:
        crop = hr[45 - around : 54 + around, 45 - around : 54 + around]
        lr, cut = apply(crop, steps, scale=scale), around // scale
        return float(np.abs(lr[cut : cut + 3, cut : cut + 3] - whole[15:18, 15:18]).max())

    assert off(9) < 1e-14
    assert off(6) > 1e-6


@pytest.mark.parametrize(
    ("steps", "scale", "expected"),
    [
        ((Bin(),), 2, 0),
        ((Resize(),), 2, 6),  # 8 taps: 4 to a side, and one for where they are counted from
        ((Resize(),), 4, 12),
        ((Blur(sigma_y=1, sigma_x=0.2, pixel="lr"), Bin()), 3, 12),
        ((Bin(), Blur(sigma_y=0.2, sigma_x=1, pixel="lr")), 3, 12),
        ((Bin(), Noise(gaussian=1, correlation=3), Rings(radii=(0.1,), heights=(1,)), Drift(tilt_x=1)), 2, 0),
        ((Bin(), Sinc(cutoff=2, reach_samples=5)), 4, 20),
        ((Resize(samples=2), Bin()), 2, 0),  # onto the grid that it is on
        ((Resize(kernel="triangle", samples=2), Resize()), 4, 16),  # 2 and 1 HR pixels, 4 and 1 of twice their size
    ],
)
def test_the_margin_is_whole_lr_pixels_of_what_the_steps_reach(steps: Steps, scale: int, expected: int) -> None:
    assert margin(steps, scale) == expected


def test_a_patch_has_noise_of_its_own_as_strong_as_the_slices() -> None:
    hr = np.full((400, 400), 100, np.uint8)
    steps = (Bin(), Noise(gaussian=0.05, correlation=0.8))
    patch = apply_at(hr, steps, y=20, x=30, size=100, scale=2, window=EIGHT_BIT, rng=keyed("patch"))
    assert float(patch.std()) == pytest.approx(0.05 * 255, rel=0.15)


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (21, 0), (0, 31)])
def test_patches_outside_the_slice_are_refused(place: tuple[int, int]) -> None:
    said = f"^patch must lie in the slice of 30×40 LR pixels, got 10 at y {place[0]}, x {place[1]}$"
    with pytest.raises(ValueError, match=said):
        apply_at(rock(60, 80), (Resize(),), y=place[0], x=place[1], size=10, scale=2)


# What is refused


@pytest.mark.parametrize(("shape", "scale"), [((9, 8), 2), ((8, 9), 2), ((8, 8), 3)])
def test_sizes_that_do_not_divide_are_refused(shape: tuple[int, int], scale: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of scale {scale}, got {shape[0]}×{shape[1]}; crop it first$"):
        bicubic(np.zeros(shape, np.uint8), scale)


@pytest.mark.parametrize("levels", [np.zeros((2, 8, 8)), np.zeros((8, 8), bool), np.zeros((8, 8), complex)])
def test_what_is_no_grey_image_is_refused(levels: NDArray[np.generic]) -> None:
    with pytest.raises(ValueError, match=r"^HR must be \(h, w\) grey levels, got shape"):
        apply(levels, (Resize(),), scale=2)


def test_steps_that_do_not_end_at_lr_are_refused() -> None:
    for steps, left in (
        ((), 2),
        ((Blur(sigma_y=1, sigma_x=1),), 2),
        ((Bin(), Resize(samples=3)), 3),
        ((Resize(samples=3),), 3),
    ):
        with pytest.raises(ValueError, match=f"^steps must end at LR, got {left} samples per LR pixel; add a resize"):
            apply(rock(), steps, scale=2)


def test_a_window_or_generator_that_is_needed_must_be_given() -> None:
    with pytest.raises(ValueError, match="^window must be given for Drift"):
        apply(rock(), (Bin(), Drift()), scale=2)
    with pytest.raises(ValueError, match="^rng must be given for Noise"):
        apply(rock(), (Bin(), Noise()), scale=2, window=EIGHT_BIT)
    with pytest.raises(ValueError, match="^window must be LOW < HIGH"):
        apply(rock(), (Bin(), Drift()), scale=2, window=Window(1, 1))


@pytest.mark.parametrize("frame", [Frame(-1, 0, 40, 40), Frame(0, 0, 23, 40), Frame(0, 11, 40, 40)])
def test_a_frame_that_does_not_hold_its_crop_is_refused(frame: Frame) -> None:
    with pytest.raises(ValueError, match="^frame must hold the crop of 24×30 LR pixels, got Frame"):
        apply(rock(), (Resize(),), scale=2, frame=frame)


# Records


@laws
@given(names, draws)
def test_recorded_steps_come_back_exactly(name: str, number: int) -> None:
    steps = drawn(name, number)
    assert from_json(json.loads(json.dumps(as_json(steps), allow_nan=False))) == steps


def test_every_step_can_be_recorded_under_its_name() -> None:
    steps = (
        Resize(kernel="lanczos2", samples=2),
        Blur(sigma_y=1.1, sigma_x=0.2, angle=3.3, pixel="lr"),
        Bin(),
        Sinc(cutoff=1.0, reach_samples=3),
        Noise(gaussian=0.1, poisson=0.2, correlation=0.3),
        Rings(radii=(0.1, 0.2), heights=(0.3, 0.4), width=0.6, centre_y=0.4, centre_x=0.6),
        Streaks(angles=(1.0,), offsets=(0.2,), heights=(0.3,), width=0.7),
        Drift(gain=1.1, offset=0.1, tilt_y=0.2, tilt_x=0.3, cupping=0.4),
    )
    recorded = json.loads(json.dumps(as_json(steps)))
    assert [one["step"] for one in recorded] == list(STEPS)
    assert recorded[1] == {"step": "blur", "sigma_y": 1.1, "sigma_x": 0.2, "angle": 3.3, "pixel": "lr"}
    assert from_json(recorded) == steps


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({"step": "blurr"}, "^step must be one of resize, blur, bin, .*drift, got blurr$"),
        ({"sigma_y": 1}, "^step must be one of .* got None$"),
        ({"step": "blur", "sigma_y": 1, "sigma_x": 1, "sigma": 2}, "^step blur must have sigma_y, .*, got sigma$"),
        ({"step": "bin", "factor": 2}, "^step bin must have no fields, got factor$"),
        ({"step": "blur", "sigma_y": 1}, "^step blur must be whole, got .*sigma_x"),
        ({"step": "blur", "sigma_y": "1", "sigma_x": 1}, "^step blur must be whole"),
        ({"step": "blur", "sigma_y": -1, "sigma_x": 1}, "^sigmas must be 0 or more"),
    ],
)
def test_records_that_are_not_known_are_refused(recorded: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_json([recorded])
