"""Which LR belongs to which HR: by name where slices are files, by depth where a scan pair is two volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from coresr_data.formats.images import Header, image_paths, look, of_images
from coresr_data.formats.links import called, refuse_link
from coresr_data.formats.numbering import by_stem, numbers_of
from coresr_data.layouts.sources import Row, Source, by_number, picked
from coresr_data.split import SPLITS
from coresr_data.volume import Volume, printable

VOXEL_TOLERANCE = 0.01
"""Relative difference between the voxels of a pair and what the scale says."""


def matched(hr: Sequence[Path], lr: Sequence[Path], scale: int) -> dict[Path, Path]:
    """HR → LR of the same name, in the order of HR; `x2` may end every LR name at scale 2.

    Names are compared without suffix and in Unicode's composed form (NFC). ValueError lists every name without a
    partner, both ways, and names that differ in suffix, case or Unicode form alone.
    """
    own, other = by_stem(hr), by_stem(lr)
    tail = f"x{scale}"
    if other and all(name.lower().endswith(tail) for name in other):
        other = {name[: -len(tail)]: path for name, path in other.items()}
    _refuse_lost(
        [own[name].name for name in own if name not in other], [p.name for n, p in other.items() if n not in own]
    )
    return {path: other[name] for name, path in own.items()}


def _refuse_lost(hr: Sequence[str], lr: Sequence[str], what: str = "names") -> None:
    found = [f"{image} alone {', '.join(map(printable, names))}" for image, names in (("HR", hr), ("LR", lr)) if names]
    if found:
        raise ValueError(
            f"HR and LR must have the same {what}, got {'; '.join(found)}; add or remove these, "
            "or say --layout unpaired if they do not belong together"
        )


def find_pairs(
    source: Path, scales: Sequence[int], *, several_sizes: bool = False, external_links: bool = False
) -> list[Source]:
    """The pairs of slices in `hr/` and `lr/` (or `lr_x2/` …, one a scale), alone or below `train/`, `valid/`, `test/`.

    Both may hold one folder per core instead of slices. ValueError, from the headers alone, where names do not match,
    an HR image is not `scale` times its LR, or sizes differ within a core and `several_sizes` does not allow it.
    """
    parts = [(split, source / split) for split in SPLITS if (source / split).is_dir()] or [("", source)]
    rows: dict[str, list[Row]] = {}
    for split, folder in parts:
        hr = child(folder, "hr", external_links=external_links)
        named = [[f"lr_x{scale}", *(["lr"] if len(scales) == 1 else [])] for scale in scales]
        lr = [child(folder, *names, external_links=external_links) for names in named]
        for core, images in _cores(hr, lr, called(source), external_links=external_links).items():
            rows.setdefault(core, []).extend(_rows(split, images, scales, external_links=external_links))
    return [part for core, found in rows.items() for part in _joined(core, found, scales, several_sizes)]


def child(folder: Path, *names: str, external_links: bool) -> Path:
    """The first of these folders in `folder`, in small or capital letters; FileNotFoundError without."""
    for name in names:
        for spelt in (name, name.upper(), name.replace("lr", "LR")):
            if (folder / spelt).is_dir():
                refuse_link(folder / spelt, folder, external_links=external_links)
                return folder / spelt
    raise FileNotFoundError(
        f"source must hold a folder {' or '.join(names)}, got {folder} without; name another folder"
    )


def _cores(hr: Path, lr: Sequence[Path], alone: str, *, external_links: bool) -> dict[str, list[Path]]:
    """Core → its folders of images, HR first."""
    if image_paths(hr):
        return {printable(alone): [hr, *lr]}
    inside = [{p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != "."} for folder in (hr, *lr)]
    for names in inside[1:]:
        _refuse_lost(sorted(inside[0] - names), sorted(names - inside[0]))
    if not inside[0]:
        raise FileNotFoundError(f"folder must hold slices, or one folder of them per core, got {hr} with none")
    found = {printable(name): [folder / name for folder in (hr, *lr)] for name in sorted(inside[0])}
    for core in (core for cores in found.values() for core in cores):
        refuse_link(core, core.parent, external_links=external_links)
    return found


def _rows(split: str, folders: Sequence[Path], scales: Sequence[int], *, external_links: bool) -> list[Row]:
    files = [image_paths(folder) for folder in folders]
    for folder, paths in zip(folders, files, strict=True):
        if not paths:
            raise FileNotFoundError(f"folder must hold slices, got {folder} with none; name another folder")
        for path in paths:
            refuse_link(path, folder, external_links=external_links)
    lr = [matched(files[0], others, scale) for others, scale in zip(files[1:], scales, strict=True)]
    return [Row(0, split, path, tuple(by_hr[path] for by_hr in lr)) for path in files[0]]


def _joined(core: str, rows: Sequence[Row], scales: Sequence[int], several_sizes: bool) -> list[Source]:
    """The pairs of a core, a source for each HR size."""
    numbers = numbers_of([row.hr for row in rows])
    by_size: dict[tuple[int, int], list[Row]] = {}
    headers: dict[Path, Header] = {}
    for row in by_number([row._replace(number=number) for row, number in zip(rows, numbers, strict=True)]):
        headers |= {path: look(path) for path in (row.hr, *row.lr)}
        size = headers[row.hr].size
        for scale, path in zip(scales, row.lr, strict=True):
            refuse_size(row.hr, size, path, headers[path].size, scale)
        by_size.setdefault(size, []).append(row)
    if len(by_size) > 1 and not several_sizes:
        (size, (one, *_)), (other_size, (other, *_)), *_ = by_size.items()
        raise ValueError(
            f"slices of a core must share a size, got {_by(size)} in {one.hr} and {_by(other_size)} in {other.hr}; "
            "crop them, or say --several-sizes"
        )
    return [from_rows(core, found, scales, headers) for found in by_size.values()]


def from_rows(core: str, rows: Sequence[Row], scales: Sequence[int], headers: Mapping[Path, Header]) -> Source:
    """Pairs of image files as one source; `headers` are those read so far, of the first row at least.

    ValueError for dtypes or stated pixels that do not fit.
    """

    def volume(paths: Sequence[Path]) -> Volume:
        slices = [(row.number, path) for row, path in zip(rows, paths, strict=True)]
        return of_images(core, slices, [headers[path] for path in paths if path in headers], folders=True)

    hr = volume([row.hr for row in rows])
    lr = {scale: volume([row.lr[place] for row in rows]) for place, scale in enumerate(scales)}
    for scale, one in lr.items():
        refuse_dtype(hr, one)
        hr = _measured(hr, one, (scale, scale, scale), images=True)
    splits = tuple(row.split for row in rows)
    return Source(core=core, hr=hr, lr=lr, splits=splits if all(splits) else None)


def by_depth(core: str, hr: Volume, lr: Volume, scale: int) -> Source:
    """A registered scan pair: LR slice i with HR slice r·i + r // 2, where HR is r = 1 or `scale` times as deep.

    That is the middle one of the r slices that the LR slice covers; for an even r the middle lies half an HR voxel
    above it. ValueError for other ratios of slices, pixels or stated voxels.
    """
    depth = len(hr) // len(lr)
    if len(hr) != depth * len(lr) or depth not in {1, scale}:
        raise ValueError(
            f"HR must have 1 or {scale} slices for each LR slice, got {len(hr)} in {hr.source(0)} and {len(lr)} in "
            f"{lr.source(0)}; crop them to the same rock, or name another scale"
        )
    refuse_size(hr.source(0), hr.size, lr.source(0), lr.size, scale)
    refuse_dtype(hr, lr)
    hr = _measured(hr, lr, (depth, scale, scale))
    hr = picked(hr, [depth * i + depth // 2 for i in range(len(lr))])
    return Source(core=core, hr=hr, lr={scale: replace(lr, numbers=hr.numbers)}, depth=depth)


def refuse_other_depths(folders: Sequence[Volume]) -> None:
    """ValueError where folders of slices that pair by depth do not hold the same depths.

    As many of both must have equal numbers; of other ratios, and beside a volume, it is known that none may be missing.
    """
    if len(folders) == 2 and len(folders[0]) == len(folders[1]):
        hr, lr = (set(volume.numbers) for volume in folders)
        _refuse_lost([str(n) for n in sorted(hr - lr)], [str(n) for n in sorted(lr - hr)], "slice numbers")
        return
    for volume in folders:
        if gaps := [f"{one} and {other}" for one, other in pairwise(volume.numbers) if other != one + 1]:
            raise ValueError(
                f"slices must be numbered without gaps to be paired by depth, got none between {', '.join(gaps)} in "
                f"{volume.source(0).parent}; add them"
            )


def _measured(hr: Volume, lr: Volume, ratios: tuple[int, int, int], *, images: bool = False) -> Volume:
    """HR with the voxel that LR says, where it says none itself; ValueError where the two do not fit.

    The distance of `images` is no statement, but guessed from square pixels, and is not compared.
    """
    if lr.voxel_um is None:
        return hr
    z, y, x = (side / ratio for side, ratio in zip(lr.voxel_um, ratios, strict=True))
    if hr.voxel_um is None:
        return replace(hr, voxel_um=(z, y, x))
    z, y, x = (side * ratio for side, ratio in zip(hr.voxel_um, ratios, strict=True))
    if any(abs(a / b - 1) > VOXEL_TOLERANCE for a, b in list(zip(lr.voxel_um, (z, y, x), strict=True))[images:]):
        raise ValueError(
            f"LR voxel must be {_by((z, y, x))} µm for scale {ratios[1]} and an HR voxel of {_by(hr.voxel_um)} µm, "
            f"got {_by(lr.voxel_um)} µm in {lr.source(0)}; mend the header, or name another scale"
        )
    return hr


def refuse_size(hr: Path, hr_size: tuple[int, int], lr: Path, lr_size: tuple[int, int], scale: int) -> None:
    """ValueError where HR is not `scale` times as high and wide as LR."""
    expected = (scale * lr_size[0], scale * lr_size[1])
    if hr_size != expected:
        raise ValueError(
            f"HR must be {scale} times as large as LR, got {_by(hr_size)} in {hr} and {_by(lr_size)} in {lr}, "
            f"where HR should be {_by(expected)}; crop one, or name another scale"
        )


def refuse_dtype(hr: Volume, lr: Volume) -> None:
    """ValueError where HR and LR differ in dtype."""
    if hr.dtype != lr.dtype:
        raise ValueError(
            f"HR and LR must share a dtype, got {hr.dtype} in {hr.source(0)} and {lr.dtype} in {lr.source(0)}; "
            "convert one"
        )


def _by(sides: Sequence[float]) -> str:
    return "×".join(f"{side:g}" for side in sides)
