"""Everything that is wrong with files and folders of slices, found in one pass."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from coresr_data.checking.apart import Lost
from coresr_data.checking.examining import Facts, How, Passed, Refused, Said, examined
from coresr_data.checking.problems import Problem, error, said, shown, warning
from coresr_data.checking.walking import walk
from coresr_data.formats import open_volume
from coresr_data.formats.images import SAME_VOXEL

SATURATED = 0.01
"""Share of pixels at an end of the dtype above which levels were probably clipped."""
TIME_LIMIT = 60.0  # seconds to open a file, and then for each slice

Slice = tuple[Path, Facts]
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a pass found."""

    problems: tuple[Problem, ...]
    """Errors first, by path."""
    files: int
    """Those that hold slices, or should."""
    slices: tuple[Slice, ...]
    """Those that could be decoded."""
    passed: int
    """Files that hold none."""


def check_sources(path: Path, *, how: How | None = None, time_limit: float = TIME_LIMIT) -> Checked:
    """Open and decode every slice at or below `path` once, and list all that is wrong, never stopping at the first.

    A file that takes longer than `time_limit` seconds to open, or for a slice, is an error, too. FileNotFoundError
    where there is nothing at `path`.
    """
    if not path.exists():
        raise FileNotFoundError(f"path must be a store, a folder or a volume, got {path}, which is not there")
    how = how or How()
    found = list(walk(path, external_links=how.external_links))
    problems = [error("place", one, reason) for one, reason in found if reason is not None]
    heard: dict[Path, list[Said]] = {one: [] for one, reason in found if reason is None}
    for one, message in examined(list(heard), how, time_limit=time_limit):
        heard[one].append(message)
    slices = []
    for one, messages in heard.items():
        for message in messages:
            if isinstance(message, Facts):
                slices.append((one, message))
                problems += _levels(one, message)
            elif not isinstance(message, Passed):
                problems.append(error("unreadable", one, _reason(message, time_limit)))
    if not slices and not problems:
        problems.append(error("empty", path, _nothing(path)))
    problems += _equal(slices)
    broken = {one.parent for one, messages in heard.items() if not _whole(messages)}
    for folder, inside in _by(slices, lambda one: one[0].parent).items():
        problems += _folder(folder, inside, whole=folder not in broken, external_links=how.external_links)
    passed = sum(any(isinstance(message, Passed) for message in messages) for messages in heard.values())
    return Checked(
        problems=tuple(sorted(problems, key=lambda one: (one.severity, one.path, one.kind, one.reason))),
        files=len(heard) - passed,
        slices=tuple(slices),
        passed=passed,
    )


def _nothing(path: Path) -> str:
    """Why there is no slice: a file alone is refused in the words of its reader, which know the remedy."""
    try:
        if path.is_file():
            open_volume(path)
    except (OSError, ValueError) as reason:
        return said(reason)
    return "it must hold slices, got none; name another place"


def _reason(message: Refused | Lost, time_limit: float) -> str:
    if isinstance(message, Refused):
        return message.reason
    return f"it must be read in {time_limit:g} s a slice, got {message.reason}; replace it, or raise --time-limit"


def _whole(messages: Sequence[Said]) -> bool:
    return all(isinstance(message, (Facts, Passed)) for message in messages)


def _by(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for one in things:
        groups[key(one)].append(one)
    return groups


def _name(one: Slice) -> str:
    """The file, or its slice where it holds several."""
    path, facts = one
    return shown(path) if facts.alone else f"{shown(path.parent)}/{facts.name}"


# One slice


def _levels(path: Path, facts: Facts) -> Iterator[Problem]:
    name = _name((path, facts))
    if facts.low == facts.high:
        kind = "black" if facts.low == 0 else "constant"
        yield warning(kind, name, f"slice must hold rock, got grey level {facts.low:g} alone; remove it")
        return
    for share, level, end in ((facts.at_low, facts.low, "lowest"), (facts.at_high, facts.high, "highest")):
        if share > SATURATED:
            reason = f"{100 * share:.1f} % of the pixels are {level:g}, the {end} of {facts.dtype}"
            yield warning("saturated", name, f"{reason}: clipped, or outside of the field of view")


# Slices beside each other


def _equal(slices: Sequence[Slice]) -> Iterator[Problem]:
    """Equal slices teach and test the same; those of one grey level are said already."""
    for alike in _by((one for one in slices if one[1].low != one[1].high), lambda one: one[1].sha256).values():
        for one in alike[1:]:
            yield warning("equal", _name(one), f"slices must differ, got the levels of {_name(alike[0])}; remove one")


def _folder(folder: Path, slices: Sequence[Slice], *, whole: bool, external_links: bool) -> Iterator[Problem]:
    """What is wrong between the files of a folder; volumes in files of their own need have nothing in common."""
    images = [one for one in slices if one[1].alone]
    if len({path for path, _ in images}) < 2:
        return
    if stacks := {path for path, facts in slices if not facts.alone}:
        for path in stacks:
            yield warning("stack", path, "most files beside it hold one slice each, got several; keep it apart")
    said_already = list(_unlike(images)) + list(_names(images))
    yield from said_already
    if whole and not stacks and not said_already:
        try:
            open_volume(folder, external_links=external_links)
        except (OSError, ValueError) as reason:
            yield error("series", folder, said(reason))


def _unlike(images: Sequence[Slice]) -> Iterator[Problem]:
    """Files whose dtype, voxel or size is not that of most beside them."""
    dtype = Counter(facts.dtype for _, facts in images).most_common(1)[0][0]
    voxels = Counter(facts.voxel_um for _, facts in images if facts.voxel_um).most_common(1)
    size = Counter(facts.shape for _, facts in images).most_common(1)[0][0]
    for path, facts in images:
        if facts.dtype != dtype:
            yield error("dtype", path, f"slice must be {dtype} like most beside it, got {facts.dtype}; convert it")
        if facts.voxel_um and not np.allclose(facts.voxel_um, voxels[0][0], rtol=SAME_VOXEL, atol=0):
            sides = ["×".join(f"{side:g}" for side in voxel) for voxel in (voxels[0][0], facts.voxel_um)]
            reason = f"slice must have voxels of {sides[0]} µm like most beside it, got {sides[1]}"
            yield error("voxel", path, f"{reason}; resample it, or keep it apart")
        if facts.shape != size:
            reason = f"slice is {'×'.join(map(str, facts.shape))}, most beside it are {'×'.join(map(str, size))}"
            yield warning("size", path, f"{reason}; crop it, keep it apart, or prepare several sizes")


def _names(images: Sequence[Slice]) -> Iterator[Problem]:
    """Names that differ in suffix, case or Unicode form alone."""
    paths = [path for path, _ in images]
    for twins in _by(paths, _folded).values():
        if len(twins) > 1:
            others = ", ".join(shown(path.name) for path in twins[1:])
            reason = f"slice names must differ in more than suffix, case or Unicode form, got {others}; rename one"
            yield error("names", twins[0], reason)


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", path.stem).casefold()
