"""Divide slices into splits, and see that no two splits show the same rock at their borders.

A gap that nobody gave is measured: as many slice numbers as slices stay alike over, more where a border needs it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from coresr_data.split import Fractions, Ranges, borders, by_fraction, by_ranges
from coresr_data.split.similar import ALIKE, Float, frame_of, look, reach, similarity
from coresr_data.volume import Volume

Mask = NDArray[np.bool_] | None
Likeness = Callable[[int, int], float]
Assigned = tuple[str | None, ...]
"""The split of every slice of a volume."""

OTHERWISE = "take --split none, name whole cores for --train and --test, or cut along another --axis"


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """Where one split of a core ends and the next begins."""

    core: str
    above: int
    below: int
    """Slice numbers, the nearest on both sides."""
    splits: tuple[str, str]
    likeness: float
    """Correlation of the two slices, see `similar`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """The splits of one sample, whose slices lie in one volume or in one for each size."""

    assigned: tuple[Assigned, ...]
    gap: int | None = None
    """Slice numbers that lie between two splits at least; None where nobody said and nothing was measured."""
    measured: bool = False
    """Whether the gap was."""
    borders: tuple[Border, ...] = ()

    @property
    def alike(self) -> list[Border]:
        """The borders at which two splits show the same rock."""
        return [border for border in self.borders if border.likeness >= ALIKE]


def divide(
    volumes: Sequence[Volume],
    split: Fractions | Ranges,
    *,
    gap: int | None,
    masks: Sequence[Mask],
    accept: bool = False,
) -> Division:
    """Split the slices of one sample by depth; ValueError where that would part slices that show the same rock.

    `masks` are the fields of view `(h, w)` of the volumes. With `accept` the division stands however alike its parts
    are, and a gap that is to be measured is the widest that fits.
    """
    likeness = [_likeness(volume, mask) for volume, mask in zip(volumes, masks, strict=True)]
    if gap is None and not isinstance(split, Mapping):
        return _apart(volumes, split, likeness, accept=accept)
    assigned = _laid(volumes, split, gap or 0)
    found = Division(assigned=assigned, gap=gap, borders=_borders(volumes, assigned, likeness))
    if not accept:
        refuse_alike(found, lambda: _remedy(volumes, split, likeness))
    return found


def refuse_alike(found: Division, remedy: Callable[[], str] = lambda: OTHERWISE) -> None:
    """ValueError, which names the worst, where two splits show the same rock at a border."""
    if found.alike:
        worst = max(found.alike, key=lambda border: border.likeness)
        raise ValueError(
            f"splits must not show the same rock, got slice {worst.above} in {worst.splits[0]} and {worst.below} in "
            f"{worst.splits[1]} of {worst.core} alike (correlation {worst.likeness:.2f}, {ALIKE} or more); {remedy()}"
        )


def measure(volumes: Sequence[Volume], assigned: Sequence[Assigned], masks: Sequence[Mask]) -> Division:
    """A division that others made, with what its borders are like; nothing is refused."""
    likeness = [_likeness(volume, mask) for volume, mask in zip(volumes, masks, strict=True)]
    return Division(assigned=tuple(assigned), borders=_borders(volumes, assigned, likeness))


def _likeness(volume: Volume, mask: Mask) -> Likeness:
    frame = frame_of(volume.size, mask)

    @lru_cache(maxsize=8)  # a start slice is compared again and again
    def seen(index: int) -> Float:
        return look(volume[index], frame)

    return lambda one, other: similarity(seen(one), seen(other), frame)


def _laid(volumes: Sequence[Volume], split: Fractions | Ranges, gap: int) -> tuple[Assigned, ...]:
    """The splits over all slices of the sample by depth, handed back by volume."""
    numbers = sorted(number for volume in volumes for number in volume.numbers)
    names = by_ranges(numbers, split, gap=gap) if isinstance(split, Mapping) else by_fraction(numbers, split, gap=gap)
    by_number = dict(zip(numbers, names, strict=True))
    return tuple(tuple(by_number[number] for number in volume.numbers) for volume in volumes)


def _apart(volumes: Sequence[Volume], split: Fractions, likeness: Sequence[Likeness], *, accept: bool) -> Division:
    """The division with the gap measured; ValueError where no gap keeps its parts apart."""
    gap = _alike_over(volumes, likeness)
    if accept:
        gap = _widest(volumes, split, gap)
    while True:
        try:
            assigned = _laid(volumes, split, gap)
        except ValueError as error:
            if gap == 0:
                raise
            raise ValueError(
                f"splits must not show the same rock, got slices of {volumes[0].core} alike (correlation {ALIKE} or "
                f"more) over {gap} slice numbers, which leaves no slice for each part of "
                f"{'/'.join(map(str, split))}; {OTHERWISE}"
            ) from error
        found = Division(assigned=assigned, gap=gap, measured=True, borders=_borders(volumes, assigned, likeness))
        if accept or not found.alike:
            return found
        gap = max(border.below - border.above for border in found.alike)


def _borders(
    volumes: Sequence[Volume], assigned: Sequence[Assigned], likeness: Sequence[Likeness]
) -> tuple[Border, ...]:
    return tuple(
        Border(
            core=volume.core,
            above=volume.numbers[above],
            below=volume.numbers[below],
            splits=(str(splits[above]), str(splits[below])),
            likeness=round(like(above, below), 3),
        )
        for volume, splits, like in zip(volumes, assigned, likeness, strict=True)
        for above, below in borders(splits)
    )


def _alike_over(volumes: Sequence[Volume], likeness: Sequence[Likeness]) -> int:
    """The most slice numbers over which slices of a volume are alike."""
    return max(
        reach(volume.numbers, lambda one, other, like=like: like(one, other) >= ALIKE)  # type: ignore[misc]  # a default binds it
        for volume, like in zip(volumes, likeness, strict=True)
    )


def _widest(volumes: Sequence[Volume], split: Fractions, most: int) -> int:
    """The widest gap up to `most` that leaves each part a slice."""
    fits, beyond = 0, most + 1
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        try:
            _laid(volumes, split, middle)
            fits = middle
        except ValueError:
            beyond = middle
    return fits


def _remedy(volumes: Sequence[Volume], split: Fractions | Ranges, likeness: Sequence[Likeness]) -> str:
    """The smallest gap that keeps the parts apart, where there is one."""
    if isinstance(split, Mapping):
        enough = _alike_over(volumes, likeness)
        numbers = [number for volume in volumes for number in volume.numbers]
        return f"leave {enough} slice numbers between splits" if enough < max(numbers) - min(numbers) else OTHERWISE
    try:
        return f"take --gap {_apart(volumes, split, likeness, accept=False).gap}, which leaving --gap out would find"
    except ValueError:
        return OTHERWISE
