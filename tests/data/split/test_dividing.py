"""Splits by depth part no two slices that show the same rock, and say what to do where they would."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from coresr_data.formats.images import open_slices
from coresr_data.split.dividing import OTHERWISE, divide, measure
from coresr_data.split.similar import ALIKE
from coresr_data.volume import Levels, Volume

THIRDS = (0.5, 0.25, 0.25)


def volume_of(levels: Sequence[Levels] | Levels, numbers: Sequence[int] | None = None) -> Volume:
    """A volume in memory."""
    return Volume(
        core="plug",
        numbers=tuple(numbers or range(len(levels))),
        names=tuple(map(str, range(len(levels)))),
        size=(levels[0].shape[0], levels[0].shape[1]),
        dtype=levels[0].dtype,
        read=lambda index: levels[index],
        sources=(Path("plug"),),
    )


def rock(slices: int, *, length: float, seed: int = 0) -> Levels:
    """Grains whose slices correlate as exp(-d² / 4 length²): 0.35 at about two lengths."""
    field = ndimage.gaussian_filter(
        np.random.default_rng(seed).standard_normal((slices, 96, 96)), (length, 2, 2), mode="wrap", truncate=5
    )
    return np.asarray(128 + 30 * field / field.std()).astype(np.float32)


def test_the_gap_that_nobody_gave_is_as_far_as_slices_stay_alike() -> None:
    volume = volume_of(rock(120, length=4))
    division = divide([volume], THIRDS, gap=None, masks=[None])
    assert division.measured
    assert division.gap is not None
    assert 6 <= division.gap <= 14  # 2 · 4 · sqrt(ln(1 / 0.35)) is 8.2
    assert not division.alike
    (assigned,) = division.assigned
    used = [(number, split) for number, split in enumerate(assigned) if split]
    for (above, one), (below, other) in pairwise(used):
        assert one == other or below - above > division.gap
    assert [(border.splits, border.core) for border in division.borders] == [
        (("train", "valid"), "plug"),
        (("valid", "test"), "plug"),
    ]
    assert all(border.below - border.above == division.gap + 1 for border in division.borders)


def test_a_border_that_needs_more_gets_more() -> None:
    levels = rock(100, length=0.5)  # nothing alike, but for one thick bed where the first border falls
    levels[45:62] = levels[50] + rock(17, length=0.5, seed=1) / 10
    division = divide([volume_of(levels)], THIRDS, gap=None, masks=[None])
    assert division.measured
    assert not division.alike
    first = division.borders[0]
    assert first.above < 45 or first.below >= 62


def test_slices_far_apart_need_no_gap() -> None:
    numbers = [0, 50, 100, 150, 180, 200, 250, 300, 400]
    division = divide([volume_of(rock(9, length=0.3), numbers)], THIRDS, gap=None, masks=[None])
    assert division.gap == 0
    assert None not in division.assigned[0]


def test_a_core_that_is_alike_from_end_to_end_is_refused_with_every_way_out() -> None:
    volume = volume_of(rock(1, length=0.1).repeat(14, axis=0) + rock(14, length=0.3, seed=2) / 3)
    with pytest.raises(
        ValueError, match="got slices of plug alike .* over 13 slice numbers, which leaves no"
    ) as refusal:
        divide([volume], THIRDS, gap=None, masks=[None])
    assert str(refusal.value).endswith(OTHERWISE)
    for way in ("--split none", "--train", "--axis"):
        assert way in OTHERWISE


def test_a_gap_that_is_too_small_is_refused_with_the_smallest_that_will_do() -> None:
    volume = volume_of(rock(120, length=4))
    enough = divide([volume], THIRDS, gap=None, masks=[None]).gap
    match = rf"of plug alike \(correlation 0\.9\d, {ALIKE} or more\); take --gap {enough}, which leaving --gap out"
    with pytest.raises(ValueError, match=match):
        divide([volume], THIRDS, gap=1, masks=[None])
    assert divide([volume], THIRDS, gap=enough, masks=[None]).gap == enough


def test_ranges_that_part_the_same_rock_are_refused_with_the_distance_that_will_do() -> None:
    volume = volume_of(rock(120, length=4))
    with pytest.raises(ValueError, match=r"leave \d+ slice numbers between splits$") as refusal:
        divide([volume], {"train": (0, 60), "test": (62, 119)}, gap=None, masks=[None])
    enough = int(str(refusal.value).split()[-5])
    division = divide([volume], {"train": (0, 60), "test": (61 + enough, 119)}, gap=None, masks=[None])
    assert division.gap is None
    assert not division.measured


def test_what_is_alike_is_accepted_on_request_at_the_widest_gap_that_fits_and_recorded() -> None:
    volume = volume_of(rock(1, length=0.1).repeat(14, axis=0) + rock(14, length=0.3, seed=2) / 3)
    division = divide([volume], THIRDS, gap=None, masks=[None], accept=True)
    assert division.gap == 5
    assert [border.likeness > 0.8 for border in division.alike] == [True, True]
    division = divide([volume], {"train": (0, 0), "test": (13, 13)}, gap=None, masks=[None], accept=True)
    assert len(division.alike) == 1


def test_the_splits_of_others_are_measured_and_kept() -> None:
    volume = volume_of(rock(20, length=4))
    splits = ("train",) * 10 + ("valid",) * 10
    division = measure([volume], [splits], [None])
    assert division.assigned == (splits,)
    (border,) = division.alike
    assert (border.above, border.below) == (9, 10)
    assert border.likeness > 0.9


def test_slices_of_several_sizes_are_split_together_and_compared_apart() -> None:
    levels = rock(120, length=2)
    odd, even = volume_of(levels[1::2], range(1, 120, 2)), volume_of(levels[::2, :64], range(0, 120, 2))
    division = divide([even, odd], THIRDS, gap=None, masks=[None, None])
    used = sorted(
        (number, split)
        for volume, assigned in zip((even, odd), division.assigned, strict=True)
        for number, split in zip(volume.numbers, assigned, strict=True)
        if split
    )
    assert division.gap is not None
    for (above, one), (below, other) in pairwise(used):
        assert one == other or below - above > division.gap
    assert len(division.borders) == 4


def test_a_field_of_view_is_left_out_of_the_comparison() -> None:
    y, x = np.ogrid[:96, :96]
    field = (y - 48) ** 2 + (x - 48) ** 2 < 42**2
    levels = np.where(field, rock(40, length=0.3), 0).astype(np.float32)
    assert divide([volume_of(levels)], THIRDS, gap=None, masks=[field]).gap == 0
    with pytest.raises(ValueError, match="must not show the same rock"):
        divide([volume_of(levels)], THIRDS, gap=None, masks=[None])


@settings(deadline=None, max_examples=25)
@given(st.integers(10, 60), st.floats(0.3, 6), st.integers(0, 1000))
def test_whatever_is_not_refused_parts_only_slices_that_differ(slices: int, length: float, seed: int) -> None:
    volume = volume_of(rock(slices, length=length, seed=seed))
    try:
        division = divide([volume], THIRDS, gap=None, masks=[None])
    except ValueError:
        return
    assert len(division.borders) == 2
    assert not division.alike


def test_the_shale_is_refused_by_fractions_and_by_its_first_and_last_slice(real_data: Path) -> None:
    volume = open_slices(real_data / "shale-fibsem" / "slices")
    with pytest.raises(ValueError, match="alike .* over 13 slice numbers"):
        divide([volume], (0.7, 0.15, 0.15), gap=None, masks=[None])
    with pytest.raises(ValueError, match=r"slice 0 in train and 13 in test .*correlation 0\.38.*--split none"):
        divide([volume], {"train": (0, 0), "test": (13, 13)}, gap=None, masks=[None])
