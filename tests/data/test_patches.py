"""Where a patch is cut is a pure function of seed and number; every epoch visits everything once."""

import hashlib
import random
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coresr_data.patches import BLOCK, ROUNDS, TRIES, Draw, Plan, draw, keyed, permuted, places, plan

laws = settings(deadline=None, max_examples=50)


def layout(*sizes: tuple[int, int], size: int) -> Plan:
    return plan(np.array([h for h, _ in sizes]), np.array([w for _, w in sizes]), size)


SOME = layout((24, 32), (24, 32), (40, 17), size=8)


# Keys


def test_raw_draws_are_those_that_every_numpy_gives() -> None:
    # From a run with NumPy 2.4: raw bits of Philox are stable between versions, methods of Generator are not.
    assert keyed("canary", 0).bit_generator.random_raw(8).tolist() == [
        3776681863233445922,
        14984222592704509614,
        8846160066352832623,
        10253472726716120437,
        566346695583424443,
        3779955717552403919,
        6801237938941560670,
        13680527725746808778,
    ]


def test_keys_are_framed_so_that_parts_never_run_together() -> None:
    keys: list[tuple[str | int, ...]] = [
        ("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), (1, 23), (12, 3), (123,), ("123",), (-1,), ("int:1",), (1,), ()
    ]  # fmt: skip
    assert len({int(keyed(*parts).bit_generator.random_raw()) for parts in keys}) == len(keys)


def test_an_integer_is_the_same_key_whatever_its_type() -> None:
    raw = keyed("crop", 3).bit_generator.random_raw()
    for three in (np.int64(3), np.uint8(3), np.array(3)):
        assert keyed("crop", three).bit_generator.random_raw() == raw  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        keyed("crop", 3.0)  # type: ignore[arg-type]


@laws
@given(st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_a_key_is_philoxs_key_and_nothing_of_the_system(parts: list[int | str]) -> None:
    framed = b"".join(
        len(text).to_bytes(4, "little") + text
        for text in (f"{'str' if isinstance(part, str) else 'int'}:{part}".encode() for part in parts)
    )
    words = int.from_bytes(hashlib.blake2b(framed, digest_size=16).digest(), "little")
    expected = np.random.Philox(key=words).random_raw(9)
    np.testing.assert_array_equal(keyed(*parts).bit_generator.random_raw(9), expected)


def test_a_name_that_is_not_utf_8_is_a_key_too() -> None:
    assert keyed("plug\udcff").bit_generator.random_raw() != keyed("plug\udcfe").bit_generator.random_raw()


# Order


def order(seed: int, n: int) -> list[int]:
    keys = keyed("order", seed).bit_generator.random_raw(ROUNDS)
    return [int(item) for item in permuted(np.arange(n, dtype=np.uint64), n, keys)]


@laws
@given(st.integers(0, 2**64), st.integers(1, 5000))
def test_an_epoch_is_a_permutation(seed: int, n: int) -> None:
    assert sorted(order(seed, n)) == list(range(n))


@laws
@given(st.integers(0, 2**64), st.integers(1, 2**40), st.lists(st.integers(0, 2**40), min_size=1, max_size=20))
def test_a_place_is_taken_to_the_same_item_whatever_is_asked_beside_it(seed: int, n: int, some: list[int]) -> None:
    keys = keyed("order", seed).bit_generator.random_raw(ROUNDS)
    asked = np.array([place % n for place in some], np.uint64)
    together = permuted(asked, n, keys)
    assert (together < n).all()
    assert [int(permuted(asked[i : i + 1], n, keys)[0]) for i in range(len(asked))] == together.tolist()


def test_no_two_seeds_share_an_order() -> None:
    assert len({tuple(order(seed, 63)) for seed in range(1000)}) == 1000


@pytest.mark.parametrize("n", [2, 6, 13])
def test_every_item_is_equally_likely_at_every_place(n: int) -> None:
    counts = np.zeros((n, n))
    for seed in range(3000):
        counts[np.arange(n), order(seed, n)] += 1
    assert np.abs(counts - 3000 / n).max() < 5 * np.sqrt(3000 / n)


def test_neighbours_are_taken_apart() -> None:
    n = 5000
    items = np.array(order(0, n), dtype=float)
    for lag in (1, 2, 3, 64, 1024):
        assert abs(np.corrcoef(items[lag:], items[:-lag])[0, 1]) < 5 / np.sqrt(n)


# Plans


def test_an_epoch_is_as_many_patches_as_fit_without_overlap() -> None:
    assert layout((24, 32), size=8).epoch == 3 * 4
    assert SOME.epoch == 12 + 12 + 5 * 2
    assert layout(*[(288, 288)] * 7, size=96).epoch == 63


@pytest.mark.parametrize("size", [0, -1, 18])
def test_a_patch_that_does_not_fit_the_smallest_image_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"must be 1 to 17 pixels, the smallest image's side, got {size}; change"):
        layout((24, 32), (40, 17), size=size)


@laws
@given(
    st.lists(st.tuples(st.integers(8, 60), st.integers(8, 60), st.floats(0, 1)), min_size=1, max_size=6),
    st.integers(1, 8),
)
def test_images_get_patches_by_their_share_of_rock(images: list[tuple[int, int, float]], size: int) -> None:
    heights, widths, rock = (np.array(column) for column in zip(*images, strict=True))
    if not rock.any():
        with pytest.raises(ValueError, match="^images must hold rock, got none in "):
            plan(heights, widths, size, rock)
        return
    full, weighted = plan(heights, widths, size), plan(heights, widths, size, rock)
    patches, shares = (np.diff(one.ends, prepend=0) for one in (full, weighted))
    assert (shares[rock == 0] == 0).all()
    assert (shares[rock > 0] >= 1).all()
    assert (np.abs(shares - patches * rock) <= 0.5)[shares > 1].all()
    np.testing.assert_array_equal(plan(heights, widths, size, np.ones(len(rock))).ends, full.ends)


def test_images_without_rock_are_never_drawn() -> None:
    some = plan(np.full(5, 24), np.full(5, 24), 8, np.array([0, 1, 0, 0.5, 0]))
    images = [draw(some, 0, number).image for number in range(some.epoch)]
    assert np.bincount(images, minlength=5).tolist() == [0, 9, 0, 5, 0]


# Draws


@laws
@given(
    st.lists(st.tuples(st.integers(5, 40), st.integers(5, 40)), min_size=1, max_size=5),
    st.integers(1, 5),
    st.integers(0, 2**64),
    st.integers(0, 10**15),
)
def test_a_patch_lies_within_its_image(sizes: list[tuple[int, int]], size: int, seed: int, number: int) -> None:
    one = draw(layout(*sizes, size=size), seed, number)
    height, width = sizes[one.image]
    assert 0 <= one.y <= height - size
    assert 0 <= one.x <= width - size
    assert 0 <= one.symmetry < 8


def test_every_epoch_visits_every_item_once_and_every_image_by_its_share() -> None:
    for epoch in range(5):
        draws = [draw(SOME, 7, number) for number in range(epoch * SOME.epoch, (epoch + 1) * SOME.epoch)]
        assert {one.epoch for one in draws} == {epoch}
        assert sorted(one.item for one in draws) == list(range(SOME.epoch))
        assert np.bincount([one.image for one in draws]).tolist() == [12, 12, 10]


def test_places_and_symmetries_reach_everywhere() -> None:
    draws = [draw(layout((10, 12), size=8), 0, number) for number in range(2000)]
    assert {one.y for one in draws} == set(range(3))
    assert {one.x for one in draws} == set(range(5))
    counts = np.bincount([one.symmetry for one in draws])
    assert len(counts) == 8
    assert np.abs(counts - 250).max() < 5 * np.sqrt(250)
    together = {(one.y, one.x, one.symmetry) for one in draws}
    assert len(together) == 3 * 5 * 8


def test_a_draw_depends_on_seed_and_number_alone() -> None:
    forwards = [draw(SOME, 1, number) for number in range(200)]
    backwards = [draw(SOME, 1, number) for number in reversed(range(200))][::-1]
    for seed in range(3):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # the global state is what must not matter
        torch.manual_seed(seed)
        places.cache_clear()
        assert [draw(SOME, 1, number) for number in range(200)] == forwards
    assert backwards == forwards
    assert [draw(SOME, 2, number) for number in range(200)] != forwards


def test_a_number_of_numpys_is_the_same_number() -> None:
    for number in (0, 50, 10**9):
        expected = draw(SOME, 1, number)
        places.cache_clear()
        assert draw(SOME, np.int64(1), np.int64(number)) == expected  # type: ignore[arg-type]


def test_epochs_and_seeds_cut_elsewhere() -> None:
    def cuts(seed: int, epoch: int) -> list[tuple[int, int, int]]:
        numbers = range(epoch * SOME.epoch, (epoch + 1) * SOME.epoch)
        return [one[1:4] for one in sorted((draw(SOME, seed, n) for n in numbers), key=lambda one: one.item)]

    runs = [cuts(0, 0), cuts(0, 1), cuts(0, 2), cuts(1, 0)]
    for i, one in enumerate(runs):
        for other in runs[:i]:
            assert np.mean([a == b for a, b in zip(one, other, strict=True)]) < 0.1


def test_a_billion_samples_are_jumped_in_less_than_a_tenth_of_a_second() -> None:
    many = layout(*[(288, 288)] * 1000, size=96)
    times = []
    for number in range(10**9, 10**9 + 5 * many.epoch, many.epoch):  # each in another epoch: nothing is cached
        start = time.perf_counter()
        draw(many, 0, number)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_samples_of_several_blocks_are_each_drawn_once_and_apart() -> None:
    many = layout(*[(100, 100)] * 30, size=8)
    draws = [draw(many, 3, number) for number in range(many.epoch)]
    assert many.epoch > 4 * BLOCK
    assert sorted(one.item for one in draws) == list(range(many.epoch))
    places_ = np.array([one[1:4] for one in draws])
    assert (places_[BLOCK : 2 * BLOCK] == places_[:BLOCK]).all(axis=1).mean() < 0.01


def test_the_first_sample_of_an_endless_set_is_drawn_at_once() -> None:
    huge = layout(*[(2048, 2048)] * 10_000, size=32)
    start = time.perf_counter()
    draw(huge, 0, 12345)
    assert time.perf_counter() - start < 0.1
    assert huge.epoch == 40_960_000


def test_a_stream_is_drawn_apart() -> None:
    one, other = ([draw(SOME, 0, number, stream=stream)[:4] for number in range(100)] for stream in ("", "lr"))
    assert np.mean([a == b for a, b in zip(one, other, strict=True)]) < 0.1
    cuts = [{d.item: d[1:4] for d in (draw(SOME, 0, n, stream=s) for n in range(SOME.epoch))} for s in ("", "lr")]
    assert np.mean([cuts[0][item] == cuts[1][item] for item in range(SOME.epoch)]) < 0.1


# Rock


@laws
@given(st.integers(0, 2**64), st.integers(0, 10**6), st.floats(0, 1))
def test_where_everything_is_rock_nothing_changes(seed: int, number: int, least: float) -> None:
    assert draw(SOME, seed, number, rock=lambda *_: 1.0, least=least) == draw(SOME, seed, number)


@laws
@given(st.integers(0, 2**64), st.integers(0, 10**6), st.floats(0, 1))
def test_the_first_place_with_enough_rock_is_taken_and_else_the_best(seed: int, number: int, least: float) -> None:
    asked: list[tuple[int, int, int]] = []

    def rock(image: int, y: int, x: int) -> float:
        asked.append((image, y, x))
        return float(keyed("rock", image, y, x).random())

    found = draw(SOME, seed, number, rock=rock, least=least)
    shares = [float(keyed("rock", *place).random()) for place in asked]
    assert (found.image, found.y, found.x) in asked
    assert asked[0] == draw(SOME, seed, number)[:3]
    assert {place[0] for place in asked} == {found.image}
    if shares[-1] >= least:
        assert asked[-1] == found[:3]
        assert all(share < least for share in shares[:-1])
    else:
        assert len(asked) == TRIES
        assert asked[int(np.argmax(shares))] == found[:3]
    plain = draw(SOME, seed, number)
    assert (found.symmetry, found.epoch, found.item) == (plain.symmetry, plain.epoch, plain.item)


def test_just_enough_rock_is_enough() -> None:
    shares = iter([0.5, 0.9])
    assert draw(SOME, 0, 1, rock=lambda *_: next(shares), least=0.5) == draw(SOME, 0, 1)


def test_candidates_reach_everywhere() -> None:
    asked: list[tuple[int, int]] = []
    one = layout((10, 12), size=8)
    for number in range(200):
        draw(one, 0, number, rock=lambda image, y, x: asked.append((y, x)) or 0.0, least=0.5)  # type: ignore[func-returns-value]
    assert len(asked) == 200 * TRIES
    counts = np.zeros((3, 5))
    np.add.at(counts, tuple(np.array(asked).T), 1)
    assert np.abs(counts - len(asked) / 15).max() < 5 * np.sqrt(len(asked) / 15)


def test_without_rock_anywhere_the_place_is_the_first_drawn() -> None:
    for number in range(50):
        assert draw(SOME, 0, number, rock=lambda *_: 0.0, least=0.5) == draw(SOME, 0, number)


def test_negative_numbers_are_refused() -> None:
    with pytest.raises(IndexError, match="^sample number must be 0 or more, got -1: a run has no end"):
        draw(SOME, 0, -1)


def test_draws_are_those_that_a_run_recorded() -> None:
    # From a run of version 0.3.0: changing one of these makes every seed another run.
    assert [draw(SOME, 0, number) for number in (0, 1, 10**9)] == [
        Draw(image=2, y=19, x=3, symmetry=6, epoch=0, item=33),
        Draw(image=0, y=10, x=3, symmetry=0, epoch=0, item=3),
        Draw(image=2, y=16, x=7, symmetry=3, epoch=29411764, item=24),
    ]
