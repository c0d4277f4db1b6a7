"""Each step does what it says to LR and HR alike, and draws by its own key."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from coresr_data.augment import (
    CUT,
    RIM,
    Augmentation,
    augmented,
    cut,
    cutblurred,
    grey_jitter,
    mixed,
    noisy,
    normal,
    partner,
    quantiles,
    turned,
    turned_copy,
)
from coresr_data.patches import keyed
from coresr_data.resize import imresize

laws = settings(deadline=None, max_examples=50)

RNG = np.random.default_rng(0)
LOW, HIGH = RNG.random((16, 16), np.float32), RNG.random((32, 32), np.float32)
KEY = (0, 1, 2)


# Amounts


@pytest.mark.parametrize("amount", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("step", ["noise_std", "jitter", "cutblur", "mixup"])
def test_an_amount_that_is_none_is_refused(step: str, amount: float) -> None:
    with pytest.raises(ValueError, match=f"^{step} must be 0 or more.*, got {amount}$"):
        Augmentation(**{step: amount})  # type: ignore[arg-type]


def test_shares_are_at_most_one() -> None:
    Augmentation(jitter=1, cutblur=1, noise_std=3, mixup=3)
    for step in ("jitter", "cutblur"):
        with pytest.raises(ValueError, match=f"^{step} must be 0 or more and at most 1, got 1.5$"):
            Augmentation(**{step: 1.5})  # type: ignore[arg-type]


def test_everything_but_the_symmetries_is_off_and_then_nothing_is_done() -> None:
    assert Augmentation() == Augmentation(augment=True, noise_std=0, jitter=0, cutblur=0, mixup=0)
    low, high = augmented(LOW, HIGH, KEY, 3, Augmentation())
    assert low is LOW
    assert high is HIGH


# Symmetries


def test_the_eight_symmetries_are_eight() -> None:
    square = np.arange(9).reshape(3, 3)
    images = [turned(square, symmetry) for symmetry in range(8)]
    assert len({image.tobytes() for image in map(np.ascontiguousarray, images)}) == 8
    for image in images:
        assert image[1, 1] == 4
        assert sorted(image.ravel()) == list(range(9))
        corners = [int(image[y, x]) for y, x in ((0, 0), (0, 2), (2, 2), (2, 0), (0, 0))]
        assert all((a, b) not in {(0, 8), (8, 0), (2, 6), (6, 2)} for a, b in pairwise(corners))


def test_symmetry_zero_changes_nothing_one_turns_left_and_four_mirrors() -> None:
    image = np.array([[0, 1], [2, 3]])
    np.testing.assert_array_equal(turned(image, 0), [[0, 1], [2, 3]])
    np.testing.assert_array_equal(turned(image, 1), [[1, 3], [0, 2]])
    np.testing.assert_array_equal(turned(image, 4), [[1, 0], [3, 2]])


@pytest.mark.parametrize("symmetry", range(8))
def test_a_symmetry_acts_alike_on_both_sizes(symmetry: int) -> None:
    def enlarged(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return image.repeat(3, axis=0).repeat(3, axis=1)

    lr = np.random.default_rng(0).random((5, 5))
    np.testing.assert_array_equal(turned(enlarged(lr), symmetry), enlarged(turned(lr, symmetry)))


def test_leading_axes_stay_in_place() -> None:
    stack = np.random.default_rng(0).random((3, 4, 4))
    for symmetry in range(8):
        np.testing.assert_array_equal(turned(stack, symmetry)[2], turned(stack[2], symmetry))


@pytest.mark.parametrize("symmetry", range(8))
def test_a_symmetry_is_quarter_turns_and_then_a_flip(symmetry: int) -> None:
    image = np.arange(30).reshape(2, 3, 5)
    expected = np.rot90(image, symmetry % 4, axes=(1, 2))
    np.testing.assert_array_equal(turned(image, symmetry), expected[..., ::-1] if symmetry >= 4 else expected)


@pytest.mark.parametrize(
    "dtype", ["uint8", ">u2", "uint16", "int16", "uint32", "int32", "float32", ">f4", "float64", "bool"]
)
def test_levels_are_turned_as_images_are_into_a_contiguous_copy(dtype: str) -> None:
    levels = RNG.integers(0, 256, (9, 9)).astype(dtype)
    for symmetry in range(8):
        copied = turned_copy(levels[:, 1:], symmetry)
        np.testing.assert_array_equal(copied, turned(levels[:, 1:], symmetry))
        assert copied.dtype == levels.dtype
        assert copied.flags.c_contiguous
        assert not np.shares_memory(copied, levels)


# Noise


def test_normal_numbers_are_those_that_every_numpy_gives() -> None:
    # From a run with NumPy 2.4: made of raw bits, which are stable between versions.
    drawn = normal(keyed("canary", 0), (2, 3))
    raw = keyed("canary", 0).bit_generator.random_raw(2).tolist()
    words = [(word >> shift) & 0xFFFF for word in raw for shift in (0, 16, 32, 48)][:6]
    np.testing.assert_allclose(drawn.ravel(), stats.norm.ppf((np.array(words) + 0.5) / 65536), rtol=1e-4)
    assert drawn.dtype == np.float32


def test_normal_numbers_are_normal_and_independent() -> None:
    drawn = normal(keyed("noise", 0), (1000, 1001)).astype(float)
    assert stats.kstest(drawn.ravel(), stats.norm.cdf).pvalue > 0.001
    assert abs(drawn.mean()) < 5e-3
    assert drawn.std() == pytest.approx(1, rel=5e-3)
    for one, other in ((drawn[1:], drawn[:-1]), (drawn[:, 1:], drawn[:, :-1])):
        assert abs((one * other).mean()) < 5e-3


def test_the_quantiles_ascend_and_have_mean_0_and_variance_1() -> None:
    table = quantiles().astype(float)
    assert (np.diff(table) > 0).all()
    assert table.mean() == pytest.approx(0, abs=1e-7)
    assert table.var() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(table, -table[::-1])
    assert 4.2 < table[-1] < 4.4


def test_noise_lies_in_the_slice_and_turns_with_it() -> None:
    straight = noisy(LOW, 0.1, KEY, 0) - LOW
    for symmetry in range(8):
        np.testing.assert_allclose(noisy(LOW, 0.1, KEY, symmetry) - LOW, turned(straight, symmetry), atol=1e-7)
    assert noisy(LOW, 0.1, KEY, 0).dtype == np.float32


# Jitter


def test_jitter_fills_the_declared_ranges_and_no_more() -> None:
    drawn = np.array([grey_jitter(keyed("jitter", n), 0.2) for n in range(2000)])
    for values, middle in zip(drawn.T, (1.0, 0.0), strict=True):
        assert stats.kstest(values, stats.uniform(middle - 0.2, 0.4).cdf).pvalue > 0.001
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.1


@laws
@given(st.integers(0, 2**64), st.floats(0.001, 1))
def test_jitter_changes_both_images_by_the_same_line_and_clips_nothing(seed: int, jitter: float) -> None:
    low, high = augmented(LOW, HIGH, (seed, 3, 4), 0, Augmentation(jitter=jitter))
    gain, offset = grey_jitter(keyed("jitter", seed, 3, 4), jitter)
    assert abs(gain - 1) <= jitter + 1e-6
    assert abs(offset) <= jitter + 1e-6
    np.testing.assert_allclose(low, gain * LOW + offset, atol=1e-6)
    np.testing.assert_allclose(high, gain * HIGH + offset, atol=1e-6)
    assert low.dtype == high.dtype == np.float32


# CutBlur


@laws
@given(st.integers(0, 2**64), st.integers(2 * RIM + 1, 300))
def test_the_square_keeps_from_the_rim_and_has_its_side(seed: int, side: int) -> None:
    inside = cut(keyed("cutblur", seed), side, 1.0)
    assert inside is not None
    y, x = np.nonzero(inside)
    assert y.min() >= RIM
    assert x.min() >= RIM
    assert max(y.max(), x.max()) < side - RIM
    assert y.max() - y.min() == x.max() - x.min()
    length = y.max() - y.min() + 1
    assert len(y) == length**2
    assert length == min(round(CUT * side), side - 2 * RIM)


def test_the_square_lies_everywhere_and_is_drawn_as_often_as_said() -> None:
    squares = [cut(keyed("cutblur", n), 20, 0.3) for n in range(3000)]
    found = [square for square in squares if square is not None]
    assert stats.binomtest(len(found), 3000, 0.3).pvalue > 0.001
    corners = np.array([np.argwhere(square)[0] for square in found])
    assert {tuple(corner) for corner in corners} == {(y, x) for y in (2, 3, 4) for x in (2, 3, 4)}
    assert stats.chisquare(np.bincount(3 * (corners[:, 0] - 2) + corners[:, 1] - 2)).pvalue > 0.001


def test_a_patch_without_room_for_a_square_is_refused() -> None:
    with pytest.raises(
        ValueError, match="^LR patch must be more than 4 pixels for cutblur, got 4; make the patch larg"
    ):
        cut(keyed("cutblur", 0), 4, 0.1)


def test_cutblur_puts_the_shrunk_hr_inside_and_leaves_the_rest() -> None:
    inside = cut(keyed("cutblur", 0), 16, 1.0)
    assert inside is not None
    low = cutblurred(LOW, HIGH, inside)
    shrunk = imresize(HIGH.astype(float), 0.5)
    np.testing.assert_allclose(low[inside], shrunk[inside], atol=1e-7)
    np.testing.assert_array_equal(low[~inside], LOW[~inside])
    assert low.dtype == np.float32


@laws
@given(st.integers(0, 2**64), st.integers(0, 9), st.integers(0, 9), st.integers(0, 7))
def test_the_square_is_that_of_the_sample_and_turns_with_it(seed: int, epoch: int, item: int, symmetry: int) -> None:
    inside = cut(keyed("cutblur", seed, epoch, item), 16, 0.5)
    low, _ = augmented(LOW, HIGH, (seed, epoch, item), symmetry, Augmentation(cutblur=0.5))
    expected = LOW if inside is None else cutblurred(LOW, HIGH, turned(inside, symmetry))
    np.testing.assert_array_equal(low, expected)


def test_cutblur_leaves_hr_and_is_nothing_where_lr_is_the_bicubic_of_hr() -> None:
    whole = RNG.random((64, 64))
    shrunk = imresize(whole, 0.5)
    low, high = shrunk[8:24, 8:24].astype(np.float32), whole[16:48, 16:48].astype(np.float32)
    after, same = augmented(low, high, KEY, 0, Augmentation(cutblur=1.0))
    assert same is high
    assert after is not low
    np.testing.assert_allclose(after, low, atol=1e-6)


# Mixup


def test_the_share_is_beta_and_the_partner_anyone() -> None:
    drawn = [partner((0, 0, item), 10, 0.4) for item in range(2000)]
    assert stats.kstest([share for _, share in drawn], stats.beta(0.4, 0.4).cdf).pvalue > 0.001
    assert stats.chisquare(np.bincount([place for place, _ in drawn], minlength=10)).pvalue > 0.001
    assert len({place for place, _ in drawn}) == 10


def test_mixing_is_linear_in_single_precision() -> None:
    other = RNG.random((16, 16), np.float32)
    found = mixed(LOW, other, np.float32(0.3))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.3 * LOW + 0.7 * other, atol=1e-6)
    np.testing.assert_array_equal(mixed(LOW, other, np.float32(1)), LOW)
    np.testing.assert_array_equal(mixed(LOW, other, np.float32(0)), other)


# All of them

AMOUNTS = st.fixed_dictionaries(
    {
        "noise_std": st.sampled_from([0, 0.1]),
        "jitter": st.sampled_from([0, 0.3]),
        "cutblur": st.sampled_from([0, 0.5, 1]),
    }
)


@laws
@given(st.integers(0, 2**64), st.integers(0, 7), AMOUNTS)
def test_the_steps_commute_with_the_symmetries(seed: int, symmetry: int, amounts: dict[str, float]) -> None:
    steps, key = Augmentation(**amounts), (seed, 0, 0)  # type: ignore[arg-type]
    straight = augmented(LOW, HIGH, key, 0, steps)
    bent = augmented(turned(LOW, symmetry), turned(HIGH, symmetry), key, symmetry, steps)
    for image, expected in zip(bent, straight, strict=True):
        np.testing.assert_allclose(image, turned(expected, symmetry), atol=1e-6)


@laws
@given(st.integers(0, 2**64))
def test_a_step_draws_the_same_whichever_others_there_are(seed: int) -> None:
    key = (seed, 0, 0)
    alone = {name: augmented(LOW, HIGH, key, 0, Augmentation(**{name: 0.5})) for name in ("jitter", "noise_std")}  # type: ignore[arg-type]
    gain, offset = np.polyfit(HIGH.ravel().astype(float), alone["jitter"][1].ravel().astype(float), 1)
    blurred, _ = augmented(LOW, HIGH, key, 0, Augmentation(cutblur=0.5))
    together, high = augmented(LOW, HIGH, key, 0, Augmentation(jitter=0.5, noise_std=0.5, cutblur=0.5))
    noise = alone["noise_std"][0] - LOW
    np.testing.assert_allclose(together, gain * blurred + offset + noise, atol=1e-5)
    np.testing.assert_allclose(high, gain * HIGH + offset, atol=1e-5)


def test_what_is_drawn_is_what_a_run_recorded() -> None:
    # From a run of this version: changing one of these makes every seed another run.
    assert grey_jitter(keyed("jitter", *KEY), 0.5) == pytest.approx((1.281837, 0.3312412), rel=1e-6)
    inside = cut(keyed("cutblur", *KEY), 20, 1.0)
    assert inside is not None
    assert tuple(np.argwhere(inside)[0]) == (2, 2)
    assert partner(KEY, 1000, 0.4)[0] == 280
