"""Two slices are alike where they show the same rock, and only there, whatever the scanner puts over both."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.formats.images import open_slices
from coresr_data.phantom import ROCKS, phantom
from coresr_data.split.similar import ALIKE, COPY, SIDE, closest, frame_of, look, reach, similarity, tells, thumbnail

Float = NDArray[np.float64]


def texture(seed: int, size: tuple[int, int] = (200, 240), *, grain: float = 4) -> Float:
    """Grains of a few pixels, grey levels about 128."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(size), grain)
    return np.asarray(128 + 30 * field / field.std())


def alike(one: NDArray[np.generic], other: NDArray[np.generic], mask: NDArray[np.bool_] | None = None) -> float:
    frame = frame_of((one.shape[0], one.shape[1]), mask)
    return similarity(look(one, frame), look(other, frame), frame)


def slowly(one: Float, other: Float, inside: NDArray[np.bool_], drift: int) -> float:
    """The best Pearson correlation over all drifts, of the blocks that lie inside both times, one after the other."""
    best = -1.0
    height, width = one.shape
    for dy, dx in product(range(-drift, drift + 1), repeat=2):
        pairs = [
            (one[y + dy, x + dx], other[y, x])
            for y, x in product(range(height), range(width))
            if 0 <= y + dy < height and 0 <= x + dx < width and inside[y, x] and inside[y + dy, x + dx]
        ]
        best = max(best, float(np.corrcoef(np.array(pairs).T)[0, 1]))
    return best


@pytest.mark.parametrize("drift", [0, 2])  # blocks; drifted, what both show is no longer of mean 0
@pytest.mark.parametrize("round_", [False, True])
def test_similarity_is_the_best_correlation_over_all_drifts(round_: bool, drift: int) -> None:
    rock, first = texture(0, (144, 148)), 4 * drift
    one, other = rock[:136, :140], rock[first : first + 136, first : first + 140] + texture(1, (136, 140))
    y, x = np.ogrid[:136, :140]
    mask = (y - 68) ** 2 + (x - 70) ** 2 < 60**2 if round_ else None
    frame = frame_of((136, 140), mask)
    assert (frame.block, frame.drift) == (4, 2)
    a, b = look(one, frame), look(other, frame)
    assert similarity(a, b, frame) == pytest.approx(slowly(a, b, frame.inside, 2), abs=1e-9)


def test_blocks_are_means_of_four_by_four_and_of_less_where_slices_are_small() -> None:
    assert [frame_of((n, 500)).block for n in (8, 16, 31, 32, 48, 64, 500)] == [1, 1, 1, 2, 3, 4, 4]
    assert [frame_of((n, 500)).drift for n in (63, 64, 128, 200, 256, 500)] == [1, 1, 2, 3, 4, 4]
    frame = frame_of((9, 10))
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 255, (66, 71)).astype(np.uint8)
    frame = frame_of(levels.shape)
    seen = look(levels, frame)
    expected = levels[:64, :68].astype(float).reshape(16, 4, 17, 4).mean(axis=(1, 3))
    y, x = np.mgrid[-1:1:16j, -1:1:17j]
    powers = np.stack([y**i * x**j for i in range(3) for j in range(3 - i)], axis=-1).reshape(-1, 6)
    fitted, *_ = np.linalg.lstsq(powers, expected.ravel(), rcond=None)
    np.testing.assert_allclose(seen, expected - (powers @ fitted).reshape(16, 17), atol=1e-9)


@pytest.mark.parametrize(("dy", "dx"), [(0, 0), (8, 0), (-12, 4), (0, -12)])
def test_a_slice_is_alike_itself_when_it_drifted(dy: int, dx: int) -> None:
    big = texture(0, (240, 280))
    one, other = big[20:220, 20:260], big[20 + dy : 220 + dy, 20 + dx : 260 + dx]
    assert alike(one, other) > 0.97
    assert alike(one, np.roll(other, (60, 60), axis=(0, 1))) < ALIKE


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5), st.floats(-100, 100))
def test_brightness_and_contrast_do_not_count(seed: int, gain: float, offset: float) -> None:
    one, other = texture(seed, (96, 96)), texture(seed, (96, 96)) + 0.5 * texture(seed + 1, (96, 96))
    plain = alike(one, other)
    assert alike(one, gain * other + offset) == pytest.approx(plain, abs=1e-6)
    assert alike(other, one) == pytest.approx(plain, abs=1e-9)


def test_noise_other_rock_and_constants_are_not_alike() -> None:
    rng = np.random.default_rng(0)
    noise = [alike(rng.standard_normal((128, 128)), rng.standard_normal((128, 128))) for _ in range(20)]
    assert max(noise) < 0.25
    rocks = [alike(texture(2 * i), texture(2 * i + 1)) for i in range(20)]
    assert max(rocks) < ALIKE
    assert alike(np.full((64, 64), 7, np.uint8), texture(0, (64, 64))) == 0
    assert alike(np.full((64, 64), 0.1), np.full((64, 64), 0.1)) == 0


def test_unsharp_noise_over_the_same_rock_hides_nothing() -> None:
    rng = np.random.default_rng(0)
    rock = texture(0)
    assert alike(rock + 30 * rng.standard_normal(rock.shape), rock + 30 * rng.standard_normal(rock.shape)) > 0.8


def test_what_the_scanner_puts_into_every_slice_does_not_count() -> None:
    y, x = np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 240), indexing="ij")
    cupping = 200 * (x * x + y * y) + 100 * x
    one, other = texture(0), texture(1)
    assert abs(alike(one + cupping, other + cupping) - alike(one, other)) < 0.02
    outside = x * x + y * y > 0.8
    one[outside] = other[outside] = 0
    assert alike(one, other) > 0.6  # the circle is all that they share
    assert alike(one, other, ~outside) < ALIKE


def test_blocks_count_where_half_of_them_is_rock() -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[:, 2:] = True
    assert frame_of((64, 64), mask).inside.all()
    mask[:, 2] = False
    assert not frame_of((64, 64), mask).inside[:, 0].any()


@pytest.mark.parametrize("side", [0, 8, 60])
def test_a_mask_that_leaves_few_blocks_hides_no_likeness_and_makes_none(side: int) -> None:
    mask = np.zeros((256, 256), np.bool_)
    mask[100 : 100 + side, 100 : 100 + side] = True
    rocks = [texture(i, (256, 256)) for i in range(8)]
    noisy = rocks[0] + 10 * np.random.default_rng(0).standard_normal((256, 256))
    assert alike(rocks[0], noisy, mask) > 0.8
    assert max(alike(rocks[i], rocks[i + 1], mask) for i in range(7)) < ALIKE
    assert frame_of((256, 256), mask).inside.all()


def test_a_mask_of_which_no_block_holds_half_hides_no_likeness() -> None:
    stripes = np.zeros((200, 240), np.bool_)
    stripes[:, ::4] = True
    assert alike(texture(0), texture(0) + texture(1) / 3, stripes) > 0.8
    assert not tells(stripes, stripes[None])


def test_a_field_tells_where_it_holds_half_of_the_rock_of_every_slice() -> None:
    masks = np.zeros((3, 96, 320), np.bool_)
    for place, mask in zip((0, 40, 80), masks, strict=True):
        mask[:, place : place + 120] = True
    assert tells(masks[1], masks)  # two thirds of the first and of the last
    assert not tells(masks[0], masks)
    assert tells(masks[0], np.zeros_like(masks))


# How far slices stay alike


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=60, unique=True).map(sorted), st.integers(0, 120))
def test_reach_is_the_largest_distance_at_which_a_start_slice_is_alike(numbers: list[int], far: int) -> None:
    asked = set()

    def near(one: int, other: int) -> bool:
        asked.add((one, other))
        return abs(numbers[one] - numbers[other]) <= far

    last = len(numbers) - 1
    starts = {round(last * i / 4) for i in range(5)}
    expected = max(
        abs(numbers[s] - n)
        for s in starts
        for n in (numbers[s:] if 2 * s < last else numbers[: s + 1])
        if abs(numbers[s] - n) <= far
    )
    assert reach(numbers, near) == expected
    assert len(asked) <= 5 * 2 * 7


def test_reach_of_ten_thousand_slices_asks_for_a_few_dozen() -> None:
    asked = []

    def near(one: int, other: int) -> bool:
        asked.append((one, other))
        return abs(one - other) <= 700

    assert reach(range(10_000), near) == 700
    assert len(asked) < 120


def test_slices_that_are_alike_to_the_end_reach_as_far_as_there_are_slices() -> None:
    assert reach(range(14), lambda one, other: True) == 13
    assert reach([5], lambda one, other: True) == 0


# Copies


def test_thumbnails_are_block_means_of_length_one() -> None:
    levels = texture(0, (520, 400))
    frame = frame_of(levels.shape)
    seen = look(levels, frame)
    thumb = thumbnail(seen)
    assert thumb.shape == (SIDE * SIDE,)
    assert thumb.dtype == np.float32
    edges_y, edges_x = ([k * n // SIDE for k in range(SIDE)] + [n] for n in seen.shape)
    means = np.array(
        [
            [seen[top:bottom, left:right].mean() for left, right in pairwise(edges_x)]
            for top, bottom in pairwise(edges_y)
        ]
    )
    means -= means.mean()
    np.testing.assert_allclose(thumb.reshape(SIDE, SIDE), means / np.linalg.norm(means), atol=1e-6)
    assert not thumbnail(np.zeros((40, 40))).any()
    assert np.linalg.norm(thumbnail(np.random.default_rng(0).standard_normal((9, 50)))) == pytest.approx(1, abs=1e-6)


def test_the_closest_thumbnails_are_found_block_by_block_the_likest_first() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.standard_normal((n, SIDE * SIDE)).astype(np.float32) for n in (50, 40))
    other[7] = one[31]
    other[8] = one[3] + 0.3 * rng.standard_normal(SIDE * SIDE).astype(np.float32)
    one, other = (thumbs / np.linalg.norm(thumbs, axis=1, keepdims=True) for thumbs in (one, other))
    for rows in (1000, 7):
        found = closest(one, other, rows=rows)
        assert [(i, j) for i, j, _ in found] == [(31, 7), (3, 8)]
        assert found[0][2] == pytest.approx(1, abs=1e-5)
        assert found[1][2] == pytest.approx(float(one[3] @ other[8]), abs=1e-5)
        assert found[1][2] >= COPY


# Real and synthetic rock: what the docstring says


def how_far(core: NDArray[np.uint8]) -> int:
    frame = frame_of((core.shape[1], core.shape[2]))
    seen = [look(image, frame) for image in core]
    return reach(range(len(core)), lambda i, j: similarity(seen[i], seen[j], frame) >= ALIKE)


def test_the_phantoms_slices_stay_alike_over_a_grain_or_two() -> None:
    found = {rock.name: how_far(phantom(rock, slices=40, size=128, seed=0)) for rock in ROCKS}
    assert all(5 <= far <= 30 for far in found.values()), found


def test_the_shales_sections_are_alike_over_their_whole_depth(real_data: Path) -> None:
    volume = open_slices(real_data / "shale-fibsem" / "slices")
    frame = frame_of(volume.size)
    seen = [look(volume[i], frame) for i in range(len(volume))]
    likeness = [similarity(seen[0], one, frame) for one in seen[1:]]
    assert likeness[0] == pytest.approx(0.80, abs=0.01)
    assert likeness[-1] == pytest.approx(0.38, abs=0.01)
    assert min(likeness) >= ALIKE


def test_the_sandstones_slices_are_not_alike(real_data: Path) -> None:
    volume = open_slices(real_data / "sandstone-versa" / "slices")
    frame = frame_of(volume.size)
    seen = [look(volume[i], frame) for i in range(len(volume))]
    likeness = [similarity(seen[i], seen[j], frame) for i in range(9) for j in range(i)]
    assert max(likeness) == pytest.approx(0.17, abs=0.01)


def test_no_two_tiles_of_the_duvernay_shale_are_copies(real_data: Path) -> None:
    volume = open_slices(real_data / "duvernay-sem")
    frame = frame_of(volume.size)
    seen = [look(volume[i], frame) for i in range(len(volume))]
    thumbs = np.stack([thumbnail(one) for one in seen])
    likeness = thumbs @ thumbs.T - np.eye(len(thumbs))
    assert likeness.max() < COPY - 0.2
    i, j = np.unravel_index(likeness.argmax(), likeness.shape)
    assert similarity(seen[i], seen[j], frame) < 0.5
