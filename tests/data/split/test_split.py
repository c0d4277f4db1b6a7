"""No split sees another's rock."""

from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coresr_data.split import (
    SPLITS,
    Fractions,
    Micrometres,
    borders,
    by_core,
    by_fraction,
    by_ranges,
    equal_slices,
    gap_in_slices,
    refuse_equal_slices,
)

SANDSTONE = (0, 50, 100, 150, 180, 200, 250, 300, 400)

depths = st.sampled_from([20, 60, 400]).flatmap(
    lambda deepest: st.lists(st.integers(0, deepest), min_size=1, max_size=40, unique=True).map(sorted)
)
gaps = st.integers(0, 6)
fractions: st.SearchStrategy[Fractions] = st.sampled_from(
    [(0.7, 0.15, 0.15), (0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (1.0, 0.0, 0.0), (0.8, 0.0, 0.2), (0.0, 0.5, 0.5)]
)
laws = settings(deadline=None, max_examples=200)


def room(numbers: list[int], parts: int, gap: int) -> bool:
    """Whether `parts` slices can be picked with the gap between each two."""
    picked = [numbers[0]]
    for number in numbers:
        if number - picked[-1] > gap:
            picked.append(number)
    return len(picked) >= parts


@laws
@given(depths, fractions, gaps)
def test_fractions_become_one_block_each_with_the_gap_between_and_are_refused_only_where_none_fit(
    numbers: list[int], shares: Fractions, gap: int
) -> None:
    parts = [name for name, share in zip(SPLITS, shares, strict=True) if share > 0]
    if not room(numbers, len(parts), gap):
        with pytest.raises(ValueError, match=f"gap {gap} must leave a slice for each part, got {len(numbers)} slices"):
            by_fraction(numbers, shares, gap=gap)
        return
    assigned = by_fraction(numbers, shares, gap=gap)
    assert len(assigned) == len(numbers)
    used = [(number, name) for number, name in zip(numbers, assigned, strict=True) if name]
    assert [name for name, _ in groupby(name for _, name in used)] == parts
    for (above, one), (below, other) in pairwise(used):
        assert one == other or below - above > gap
    # within a block nothing is left out
    assert len([name for name, _ in groupby(assigned) if name]) == len(parts)


@laws
@given(st.integers(3, 300), fractions)
def test_without_a_gap_every_slice_is_used_and_shares_are_kept(n: int, shares: Fractions) -> None:
    assigned = by_fraction(range(n), shares, gap=0)
    assert None not in assigned
    for name, share in zip(SPLITS, shares, strict=True):
        assert abs(assigned.count(name) - n * share) < 2


def test_a_gap_costs_its_slices_and_no_more() -> None:
    assigned = by_fraction(range(100), (0.7, 0.15, 0.15), gap=3)
    assert [assigned.count(name) for name in SPLITS] == [66, 14, 14]
    assert [i for i, name in enumerate(assigned) if name is None] == [66, 67, 68, 83, 84, 85]


def test_few_slices_still_give_one_to_each_part() -> None:
    assert by_fraction(range(3), (0.7, 0.15, 0.15), gap=0) == ["train", "valid", "test"]
    assert by_fraction(range(7), (0.7, 0.15, 0.15), gap=2) == ["train", None, None, "valid", None, None, "test"]
    assert by_fraction(range(10), (0.98, 0.01, 0.01), gap=0) == ["train"] * 8 + ["valid", "test"]


def test_too_few_slices_for_any_gap_are_to_be_taken_whole() -> None:
    with pytest.raises(ValueError, match=r"gap 0 must leave .*, got 1 slices; take --split none$"):
        by_fraction(range(1), (0.7, 0.15, 0.15), gap=0)
    with pytest.raises(ValueError, match=r"gap 5 must leave .*, got 7 slices; take a smaller gap or more slices$"):
        by_fraction(range(7), (0.7, 0.15, 0.15), gap=5)


def test_numbers_that_are_far_apart_need_no_slice_left_out() -> None:
    assert None not in by_fraction(SANDSTONE, (0.6, 0.2, 0.2), gap=2)


@pytest.mark.parametrize(
    "shares",
    [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5), (float("nan"), 0.5, 0.5), (0.5, 0.5, float("nan"))],
)
def test_fractions_that_are_not_three_parts_of_one_are_refused(shares: Fractions) -> None:
    with pytest.raises(ValueError, match="^split must be three fractions that sum to 1, got "):
        by_fraction(range(9), shares, gap=0)


def test_ranges_of_the_sandstone_give_seven_one_one() -> None:
    ranges = {"train": (0, 250), "valid": (300, 300), "test": (400, 400)}
    assigned = by_ranges(SANDSTONE, ranges, gap=2)
    assert assigned == ["train"] * 7 + ["valid", "test"]


def test_slices_in_no_range_are_left_out_and_both_ends_are_in() -> None:
    assigned = by_ranges(range(10), {"test": (0, 2), "train": (5, 8)}, gap=2)
    assert assigned == ["test"] * 3 + [None] * 2 + ["train"] * 4 + [None]


@laws
@given(depths, st.tuples(*[st.integers(0, 39)] * 4), gaps)
def test_ranges_never_come_closer_than_the_gap(numbers: list[int], picks: tuple[int, ...], gap: int) -> None:
    ends = sorted(numbers[pick % len(numbers)] for pick in picks)
    train, valid = (ends[0], ends[1]), (ends[2], ends[3])
    inside = [[n for n in numbers if first <= n <= last] for first, last in (train, valid)]
    apart = inside[1][0] - inside[0][-1] > gap
    if apart:
        assigned = by_ranges(numbers, {"train": train, "valid": valid}, gap=gap)
        assert [[n for n, s in zip(numbers, assigned, strict=True) if s == name] for name in SPLITS[:2]] == inside
    else:
        with pytest.raises(ValueError, match="splits"):
            by_ranges(numbers, {"train": train, "valid": valid}, gap=gap)


def test_overlapping_ranges_are_refused_by_the_slice_they_share() -> None:
    with pytest.raises(ValueError, match="^splits must not overlap, got slice 5 in train and valid$"):
        by_ranges(range(10), {"train": (0, 5), "valid": (5, 9)}, gap=0)


def test_ranges_that_come_too_close_are_refused_by_their_slices() -> None:
    numbers, ranges = [*range(6), 8, 9], {"train": (0, 5), "valid": (6, 9)}  # 6 and 7 lie between
    match = "^at least 3 slice numbers must lie between splits, got slice 5 in train and 8 in valid; leave"
    with pytest.raises(ValueError, match=match):
        by_ranges(numbers, ranges, gap=3)
    assert "valid" in by_ranges(numbers, ranges, gap=2)


@pytest.mark.parametrize("empty", [(20, 30), (9, 0), (301, 399)])
def test_a_range_without_a_slice_is_refused(empty: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=rf"^valid must hold a slice, got {empty[0]}:{empty[1]} among slices 0–400; "):
        by_ranges(SANDSTONE, {"train": (0, 10), "valid": empty}, gap=2)


def test_a_negative_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="^gap must be a number of slices, 0 or more, got -1$"):
        by_fraction(range(9), (0.7, 0.15, 0.15), gap=-1)
    with pytest.raises(ValueError, match="^gap must be a number of slices, 0 or more, got -1$"):
        by_ranges(range(9), {"train": (0, 3)}, gap=-1)


def test_equal_slices_are_refused_across_splits_and_fine_within_one() -> None:
    refuse_equal_slices([("train", "a/0.png", "x"), ("train", "a/1.png", "x"), ("test", "b/0.png", "y")])
    with pytest.raises(ValueError, match=r"got a/0\.png in train and b/7\.png in test with equal levels; remove one$"):
        refuse_equal_slices([("train", "a/0.png", "x"), ("valid", "a/5.png", "z"), ("test", "b/7.png", "x")])


def test_equal_slices_are_listed_with_the_first_of_their_kind() -> None:
    digests = [("train", "a", "x"), ("test", "b", "x"), ("valid", "c", "x"), ("train", "d", "x"), ("train", "e", "y")]
    assert equal_slices(digests) == [(("train", "a"), ("test", "b")), (("train", "a"), ("valid", "c"))]


@pytest.mark.parametrize(
    ("length", "voxel", "slices"), [(50, 2.23, 23), (50, 50, 1), (0.3, 0.1, 3), (0, 1, 0), (10.01, 10, 2), (60, 2, 30)]
)
def test_a_gap_in_micrometres_is_as_many_slices_as_span_it(length: float, voxel: float, slices: int) -> None:
    assert gap_in_slices(Micrometres(length), voxel) == slices


@pytest.mark.parametrize("length", [-1, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(length: float) -> None:
    with pytest.raises(ValueError, match="^gap must be 0 or more micrometres, got"):
        gap_in_slices(Micrometres(length), 1.0)


def test_a_gap_in_micrometres_needs_a_voxel_size() -> None:
    with pytest.raises(ValueError, match="^gap in micrometres must have a voxel size, got 50 um and none; give --vo"):
        gap_in_slices(Micrometres(50), None)


def test_cores_are_named_whole_or_by_patterns() -> None:
    names = ["coal", "sand-1", "sand-2", "shale"]
    assert by_core(names, {"train": ["sand*"], "test": ["coal"]}) == ["test", "train", "train", None]
    assert by_core(names, {"train": ["sand-?", "sand-1"], "valid": ["shale"]}) == [None, "train", "train", "valid"]
    assert by_core(["a*", "ab"], {"train": ["a*"], "test": ["ab"]}) == ["train", "test"]


def test_core_names_that_fit_none_or_two_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="^test must name cores among coal, sand, got chalk$"):
        by_core(["coal", "sand", "coal"], {"train": ["sand"], "test": ["chalk"]})
    with pytest.raises(ValueError, match="^a core must be in one split, got coal in train and test$"):
        by_core(["coal", "sand"], {"train": ["*"], "test": ["coal"]})


def test_borders_are_where_one_split_meets_the_next() -> None:
    assert borders(["train", None, "train", None, "valid", "test", None, "test"]) == [(2, 4), (4, 5)]
    assert borders([None, "train", "train"]) == []


def test_fractions_of_ten_thousand_slices_that_cannot_fit_are_refused_quickly() -> None:
    with pytest.raises(ValueError, match="got 10000 slices"):
        by_fraction(range(10_000), (0.7, 0.15, 0.15), gap=6000)
