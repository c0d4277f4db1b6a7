"""The number in a name that is the depth is found by one rule, or the names are refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coresr_data.formats.images import open_slices, write_slice
from coresr_data.formats.numbering import by_stem, numbers_of, unlike


def paths(*names: str) -> list[Path]:
    return [Path("plug") / name for name in names]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("s10_8bit.png", "s2_8bit.png", "s1_8bit.png"), [10, 2, 1]),
        (("rock_0001_2um.png", "rock_0010_2um.png"), [1, 10]),
        (("core2_10.png", "core2_9.tif"), [10, 9]),
        (("left_7.png", "right_8.png"), [7, 8]),
        (("b_2um.png", "a_2um.png"), [0, 1]),
        (("b.png", "a.png"), [0, 1]),
        (("core2_0300.png",), [300]),
        (("overview.png",), [0]),
        ((), []),
    ],
)
def test_the_number_that_varies_is_the_depth(names: Sequence[str], numbers: list[int]) -> None:
    assert numbers_of(paths(*names)) == numbers


@given(st.sets(st.integers(0, 9999), min_size=2), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_numbers_that_are_the_same_in_all_names_change_nothing(
    depths: set[int], before: int, behind: int, padded: bool
) -> None:
    ordered = sorted(depths, key=str)
    names = [f"core{before}_{depth:{'04' if padded else ''}}_{behind}um.png" for depth in ordered]
    assert numbers_of(paths(*names)) == ordered


def test_several_numbers_that_vary_are_refused_with_a_remedy() -> None:
    match = r"^slice names must differ in one number, .* got 2 that vary, as in plug/1_7\.png and 2_8\.png; rename them"
    with pytest.raises(ValueError, match=match):
        numbers_of(paths("1_7.png", "2_8.png"))


@pytest.mark.parametrize("odd", ["overview.png", "slice_4_of_9.png"])
def test_a_name_with_more_or_fewer_numbers_than_most_is_refused(odd: str) -> None:
    found = paths("slice_1.png", "slice_2.png", odd)
    assert list(unlike(found)) == [Path("plug") / odd]
    with pytest.raises(ValueError, match=rf"must all hold as many numbers, got plug/{odd} with \d where most hold 1"):
        numbers_of(found)


def test_two_names_of_a_folder_with_one_number_are_refused_and_those_of_two_folders_are_not() -> None:
    with pytest.raises(ValueError, match=r"^slice numbers must be unique, got 1 in both plug/a_1.png and plug/a_001"):
        numbers_of(paths("a_1.png", "a_001.png"))
    assert numbers_of([Path("train/1.png"), Path("train/2.png"), Path("valid/1.png")]) == [1, 2, 1]


def test_names_by_stem_keep_their_order() -> None:
    assert list(by_stem(paths("b.png", "a.tif"))) == ["b", "a"]
    with pytest.raises(ValueError, match="^names must differ in more than suffix, case or Unicode form, got plug/a"):
        by_stem(paths("a.png", "A.tif"))


def test_a_folder_of_slices_is_ordered_by_that_number(tmp_path: Path) -> None:
    for number in range(1, 13):
        write_slice(tmp_path / f"s{number}_8bit.png", np.full((4, 6), number, np.uint8))
    volume = open_slices(tmp_path)
    assert volume.numbers == tuple(range(1, 13))
    assert [int(volume[index][0, 0]) for index in range(12)] == [*range(1, 13)]
