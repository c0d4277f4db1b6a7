"""Train, valid and test without leakage: by depth with a gap, never by shuffled slice.

Neighbouring slices of a core show nearly the same rock, so a split that mixes them measures memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

SPLITS = ("train", "valid", "test")

Fractions = tuple[float, float, float]
Ranges = Mapping[str, tuple[int, int]]


def by_fraction(numbers: Sequence[int], fractions: Fractions, *, gap: int) -> list[str | None]:
    """Contiguous blocks of depth, train uppermost; the split of each slice, None for slices left out in between.

    `numbers` are ascending slice numbers, `fractions` those of train, valid and test (sum 1). At least `gap` slice
    numbers lie between two splits. ValueError where a split with a positive fraction would get no slice.
    """
    if len(fractions) != len(SPLITS) or not (min(fractions) >= 0 and abs(sum(fractions) - 1) <= 1e-6):
        raise ValueError(f"split must be three fractions that sum to 1, got {'/'.join(map(str, fractions))}")
    _check_gap(gap)
    for usable in range(len(numbers), 0, -1):
        counts = _shares(usable, fractions)
        assigned = _blocks(numbers, counts, gap)
        if assigned is not None:
            if any(fraction > 0 and count == 0 for fraction, count in zip(fractions, counts, strict=True)):
                break
            return assigned
    raise ValueError(
        f"split {'/'.join(map(str, fractions))} with gap {gap} must leave a slice for each part, "
        f"got {len(numbers)} slices; take a smaller gap or more slices"
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
    assigned: list[str | None] = [None] * len(numbers)
    at, earliest = 0, numbers[0]
    for name, count in zip(SPLITS, counts, strict=True):
        while count and at < len(numbers) and numbers[at] < earliest:
            at += 1
        if at + count > len(numbers):
            return None
        assigned[at : at + count] = [name] * count
        at += count
        if count:
            earliest = numbers[at - 1] + gap + 1
    return assigned


def by_ranges(numbers: Sequence[int], ranges: Ranges, *, gap: int) -> list[str | None]:
    """Splits by explicit slice numbers, both ends included; None for slices in no range.

    ValueError where a range holds no slice, or two splits come closer than the gap (overlap included).
    """
    _check_gap(gap)
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
    used = [(number, name) for number, name in zip(numbers, assigned, strict=True) if name is not None]
    for (above, one), (below, other) in pairwise(used):
        if one != other and below - above <= gap:
            raise ValueError(
                f"at least {gap} slice numbers must lie between splits, "
                f"got slice {above} in {one} and {below} in {other}; leave slices out between them"
            )
    return assigned


def refuse_equal_slices(digests: Iterable[tuple[str, str, str]]) -> None:
    """Refuse `(split, source, sha256 of the levels)` in which two splits hold an equal slice (ValueError)."""
    seen: dict[str, tuple[str, str]] = {}
    for split, source, digest in digests:
        other = seen.setdefault(digest, (split, source))
        if other[0] != split:
            raise ValueError(
                f"splits must not share a slice, got {other[1]} in {other[0]} and {source} in {split} "
                "with equal levels; remove one"
            )


def _check_gap(gap: int) -> None:
    if gap < 0:
        raise ValueError(f"gap must be a number of slices, 0 or more, got {gap}")
