"""Which slice lies above which: the number in the names of a folder's files, by one rule for everybody."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path


def numbers_of(paths: Sequence[Path]) -> list[int]:
    """The number of each slice: the one in the names that is not the same in all; where none differs, the place.

    So names that differ in letters alone count from 0 in the order given, and a single name says its last number.
    ValueError where names hold more or fewer numbers than others, where several of these vary, for nobody says which
    is the depth, and where two slices of a folder share one.
    """
    for reason in unlike(paths).values():
        raise ValueError(f"{reason}; rename or remove it")
    columns = list(zip(*(_digits(path) for path in paths), strict=True))
    varying = [column for column in columns if len(set(column)) > 1] if len(paths) > 1 else columns[-1:]
    if len(varying) > 1:
        one, other = paths[0], next(path for path in paths if _digits(path) != _digits(paths[0]))
        raise ValueError(
            f"slice names must differ in one number, which is the depth, got {len(varying)} that vary, as in "
            f"{one} and {other.name}; rename them, or give each core a folder of its own"
        )
    if not varying:
        return list(range(len(paths)))
    numbers = [int(digits) for digits in varying[0]]
    seen: dict[tuple[Path, int], Path] = {}
    for number, path in zip(numbers, paths, strict=True):
        if (twin := seen.setdefault((path.parent, number), path)) is not path:
            raise ValueError(f"slice numbers must be unique, got {number} in both {twin} and {path}; rename one")
    return numbers


def unlike(paths: Iterable[Path]) -> dict[Path, str]:
    """The files whose names hold more or fewer numbers than most, and that in words."""
    counts = {path: len(_digits(path)) for path in paths}
    held = Counter(counts.values())
    most = max(held, key=lambda count: (held[count], count), default=0)
    return {
        path: f"slice names must all hold as many numbers, got {path} with {count} where most hold {most}"
        for path, count in counts.items()
        if count != most
    }


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Name without suffix, in Unicode's composed form, → path; ValueError for names that are alike but for these."""
    found: dict[str, Path] = {}
    folded: dict[str, Path] = {}
    for path in paths:
        stem = unicodedata.normalize("NFC", path.stem)
        twin = folded.setdefault(stem.casefold(), path)
        if twin is not path:
            raise ValueError(
                f"names must differ in more than suffix, case or Unicode form, got {twin} and {path}; rename one"
            )
        found[stem] = path
    return found


def _digits(path: Path) -> list[str]:
    return re.findall(r"\d+", path.stem)
