"""Train, valid and test without leakage: by depth with a gap or by core, never by shuffled slice.

Neighbouring slices of a core show nearly the same rock, so a split that mixes them measures memory.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Literal, NamedTuple

SPLITS = ("train", "valid", "test")

Fractions = tuple[float, float, float]
Ranges = Mapping[str, tuple[int, int]]
Cores = Mapping[str, Sequence[str]]
"""Split → names of its cores, `*` and `?` standing for any letters."""
Split = Fractions | Ranges | Cores | Literal["none"]


class Micrometres(NamedTuple):
    """A length along depth."""

    length: float


Gap = int | Micrometres


def gap_in_slices(gap: Gap, voxel_um: float | None) -> int:
    """How many slice numbers must lie between splits, `voxel_um` apart along depth; ValueError for a negative gap."""
    if not isinstance(gap, Micrometres):
        if gap < 0:
            raise ValueError(f"gap must be a number of slices, 0 or more, got {gap}")
        return gap
    if not 0 <= gap.length < math.inf:
        raise ValueError(f"gap must be 0 or more micrometres, got {gap.length:g}")
    if voxel_um is None:
        raise ValueError(f"gap in micrometres must have a voxel size, got {gap.length:g} um and none; give --voxel-um")
    return math.ceil(gap.length / voxel_um - 1e-9)  # 0.3 / 0.1 is 3 slices, though not in floats


def by_fraction(numbers: Sequence[int], fractions: Fractions, *, gap: int) -> list[str | None]:
    """Contiguous blocks of depth, train uppermost; the split of each slice, None for slices left out in between.

    `numbers` are ascending slice numbers, `fractions` those of train, valid and test (sum 1). At least `gap` slice
    numbers lie between two splits. ValueError where a split with a positive fraction would get no slice.
    """
    if len(fractions) != len(SPLITS) or not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6):
        raise ValueError(f"split must be three fractions that sum to 1, got {'/'.join(map(str, fractions))}")
    gap = gap_in_slices(gap, None)
    for usable in range(len(numbers), 0, -1):
        counts = _shares(usable, fractions)
        assigned = _blocks(numbers, counts, gap)
        if assigned is not None:
            if any(fraction > 0 and count == 0 for fraction, count in zip(fractions, counts, strict=True)):
                break
            return assigned
    raise ValueError(
        f"split {'/'.join(map(str, fractions))} with gap {gap} must leave a slice for each part, "
        f"got {len(numbers)} slices; {'take a smaller gap or more slices' if gap else 'take --split none'}"
    )


def _shares(n: int, fractions: Sequence[float]) -> list[int]:
    """`n` whole slices by largest remainder; a positive fraction gets at least one while there are enough."""
    exact = [n * fraction for fraction in fractions]
    counts = [max(int(share), 1 if fraction > 0 else 0) for share, fraction in zip(exact, fractions, strict=True)]
    while sum(counts) < n:
        counts[max(range(len(counts)), key=lambda i: exact[i] - counts[i])] += 1
    while sum(counts) > n:
        # the last slice of a part goes only when every part is down to one
        counts[max(range(len(counts)), key=lambda i: (counts[i] > 1, counts[i] - exact[i]))] -= 1
    return counts


def _blocks(numbers: Sequence[int], counts: Sequence[int], gap: int) -> list[str | None] | None:
    """Lay the blocks down one after the other with the gap between; None where they do not fit."""
    places, at, earliest = [], 0, numbers[0]
    for count in counts:
        at = bisect_left(numbers, earliest, lo=at) if count else at
        if at + count > len(numbers):
            return None
        places.append(at)
        at += count
        if count:
            earliest = numbers[at - 1] + gap + 1
    assigned: list[str | None] = [None] * len(numbers)
    for name, place, count in zip(SPLITS, places, counts, strict=True):
        assigned[place : place + count] = [name] * count
    return assigned


def by_ranges(numbers: Sequence[int], ranges: Ranges, *, gap: int) -> list[str | None]:
    """Splits by explicit slice numbers, both ends included; None for slices in no range.

    ValueError where a range holds no slice, or two splits come closer than the gap (overlap included).
    """
    gap = gap_in_slices(gap, None)
    assigned: list[str | None] = [None] * len(numbers)
    for name, (first, last) in ranges.items():
        inside = [i for i, number in enumerate(numbers) if first <= number <= last]
        if not inside:
            raise ValueError(
                f"{name} must hold a slice, got {first}:{last} among slices {numbers[0]}–{numbers[-1]}; widen the range"
            )
        for i in inside:
            if assigned[i] is not None:
                raise ValueError(f"splits must not overlap, got slice {numbers[i]} in {assigned[i]} and {name}")
            assigned[i] = name
    for above, below in borders(assigned):
        if numbers[below] - numbers[above] <= gap:
            raise ValueError(
                f"at least {gap} slice numbers must lie between splits, got slice {numbers[above]} in "
                f"{assigned[above]} and {numbers[below]} in {assigned[below]}; leave slices out between them"
            )
    return assigned


def by_core(names: Sequence[str], parts: Cores) -> list[str | None]:
    """The split of each core, None for cores in no part.

    A core's own name comes before any pattern. ValueError where a name or pattern fits no core, or two splits want one.
    """
    assigned: list[str | None] = [None] * len(names)
    for split, patterns in parts.items():
        for pattern in patterns:
            found = [i for i, name in enumerate(names) if name == pattern]
            found = found or [i for i, name in enumerate(names) if fnmatchcase(name, pattern)]
            if not found:
                raise ValueError(f"{split} must name cores among {', '.join(dict.fromkeys(names))}, got {pattern}")
            for i in found:
                if assigned[i] not in {None, split}:
                    raise ValueError(f"a core must be in one split, got {names[i]} in {assigned[i]} and {split}")
                assigned[i] = split
    return assigned


def borders(assigned: Sequence[str | None]) -> list[tuple[int, int]]:
    """The places of the last slice of one split and the first of the next, by depth."""
    used = [i for i, split in enumerate(assigned) if split is not None]
    return [(above, below) for above, below in pairwise(used) if assigned[above] != assigned[below]]


def equal_slices(digests: Iterable[tuple[str, str, str]]) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """The equal slices that different splits hold, as pairs of `(split, source)`, by the sha256 of their levels."""
    seen: dict[str, tuple[str, str]] = {}
    found = []
    for split, source, digest in digests:
        other = seen.setdefault(digest, (split, source))
        if other[0] != split:
            found.append((other, (split, source)))
    return found


def refuse_equal_slices(digests: Iterable[tuple[str, str, str]]) -> None:
    """Refuse `(split, source, sha256 of the levels)` in which two splits hold an equal slice (ValueError)."""
    for one, other in equal_slices(digests):
        raise ValueError(
            f"splits must not share a slice, got {one[1]} in {one[0]} and {other[1]} in {other[0]} "
            "with equal levels; remove one"
        )
