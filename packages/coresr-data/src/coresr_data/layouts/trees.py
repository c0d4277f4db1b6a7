"""The trees of DeepRock-SR and DRSRD1 as they are downloaded, with the splits that were published.

DeepRock-SR (ODC-BY 1.0): `DeepRockSR-2D/{sandstone,carbonate,coal,shuffled}2D/<kind>2D_<split>_<images>/`, where images
are `HR`, `LR_default_X2`, `LR_default_X4`, `LR_unknown_X2`, `LR_unknown_X4`; `0001.png` in HR is `0001x2.png` in LR.
`DeepRockSR-3D` alike with `3D`, `.mat` volumes (variable `temp`) and LR that is ×4 in depth, too.
DRSRD1 has the same authors; that its folders are named by the same pattern under a root of its own is unverified.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from coresr_data.formats import open_volume
from coresr_data.formats.images import look
from coresr_data.layouts.pairing import by_depth, from_rows, matched, refuse_size
from coresr_data.layouts.sources import Row, Source, by_number, of_volumes
from coresr_data.split import SPLITS

ROCK = re.compile(r"(?P<rock>.+)(?P<dimensions>[23]D)")
LR = "{rock}{dimensions}_{split}_LR_{degradation}_X{scale}"
HR = "{rock}{dimensions}_{split}_HR"
REPEATED = "shuffled"
"""The rock that holds the slices of all others again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """One rock of a published set."""

    rock: str
    dimensions: str
    """`2D` or `3D`."""
    folder: Path

    @property
    def suffix(self) -> str:
        """Of its files: PNG images or MATLAB volumes."""
        return ".png" if self.dimensions == "2D" else ".mat"

    def images(self, pattern: str, split: str, **rest: object) -> Path:
        """The folder of some images of a split."""
        return self.folder / pattern.format(rock=self.rock, dimensions=self.dimensions, split=split, **rest)


def trees(source: Path) -> list[Tree]:
    """The rocks of a published set in `source`: its root, a folder that holds the root, or one rock's folder."""
    for depth in range(3):
        pattern = "/".join("*" * depth)
        folders = sorted(source.glob(pattern)) if depth else [source.resolve()]
        if found := [tree for folder in folders if (tree := _tree(folder))]:
            return found
    return []


def _tree(folder: Path) -> Tree | None:
    name = ROCK.fullmatch(folder.name)
    if name is None:
        return None
    tree = Tree(rock=name["rock"], dimensions=name["dimensions"], folder=folder)
    return tree if any(tree.images(HR, split).is_dir() for split in SPLITS) else None


def find_in_trees(
    source: Path,
    *,
    rocks: Sequence[str] = (),
    degradation: str | None = "default",
    scales: Sequence[int],
    variable: str | None = None,
) -> list[Source]:
    """One core per rock of the set in `source`, with the published split; all rocks but the shuffled one, unless named.

    `degradation` is that of the LR that is read, `default` or `unknown`; None reads HR alone. FileNotFoundError where
    images are not there, ValueError for unknown rocks and for names or sizes that do not match.
    """
    found = trees(source)
    if not found:
        raise FileNotFoundError(
            f"source must hold folders like sandstone2D/sandstone2D_train_HR, got {source} without; name their root"
        )
    if len({tree.dimensions for tree in found}) > 1:
        raise ValueError(f"source must hold a 2D or a 3D set, got both in {source}; name one of them")
    return [_core(tree, degradation, scales, variable) for tree in _chosen(found, rocks)]


def _chosen(found: Sequence[Tree], rocks: Sequence[str]) -> list[Tree]:
    known = {tree.rock: tree for tree in found}
    if unknown := [rock for rock in rocks if rock not in known]:
        raise ValueError(f"rock must be one of {', '.join(known)}, got {', '.join(unknown)}")
    if REPEATED in rocks and len(set(rocks)) > 1:
        raise ValueError(f"rock {REPEATED} must stand alone, got {', '.join(rocks)}: it holds the slices of the others")
    chosen = [known[rock] for rock in dict.fromkeys(rocks)]
    return chosen or [tree for tree in found if tree.rock != REPEATED] or list(found)


def _core(tree: Tree, degradation: str | None, scales: Sequence[int], variable: str | None) -> Source:
    given = tuple(scales) if degradation else ()
    if tree.dimensions == "3D" and len(given) > 1:
        raise ValueError(f"scale must be one for a 3D set, got {', '.join(map(str, given))}; prepare them apart")
    rows = [row for split in SPLITS for row in _rows(tree, split, degradation, given)]
    rows = by_number(rows)
    if tree.dimensions == "2D":
        source = from_rows(tree.rock, rows, given, {path: look(path) for path in (rows[0].hr, *rows[0].lr)})
        for scale, volume in source.lr.items():
            refuse_size(rows[0].hr, source.slices.size, volume.source(0), volume.size, scale)
    else:
        source = _stacked(tree, rows, given, variable)
    splits = [row.split for row in rows]
    each = len(source.slices) // len(rows)
    return replace(source, splits=tuple(split for split in splits for _ in range(each)), published=True)


def _rows(tree: Tree, split: str, degradation: str | None, scales: Sequence[int]) -> list[Row]:
    folder = tree.images(HR, split)
    if not folder.is_dir():
        return []
    hr = _files(tree, folder)
    lr = [
        matched(hr, _files(tree, tree.images(LR, split, degradation=degradation, scale=scale)), scale)
        for scale in scales
    ]
    return [Row(_number(path), split, path, tuple(by_hr[path] for by_hr in lr)) for path in hr]


def _stacked(tree: Tree, rows: Sequence[Row], scales: Sequence[int], variable: str | None) -> Source:
    hr, *lr = (
        of_volumes(tree.rock, paths, [row.number for row in rows], lambda path: open_volume(path, variable=variable))
        for paths in ([row.hr for row in rows], *([row.lr[place] for row in rows] for place in range(len(scales))))
    )
    return by_depth(tree.rock, hr, lr[0], scales[0]) if lr else Source(core=tree.rock, hr=hr)


def _files(tree: Tree, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"set must hold {folder}, which is not there; choose another scale or degradation")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == tree.suffix and path.name[0] != ".")
    if not files:
        raise FileNotFoundError(f"folder must hold {tree.suffix} files, got {folder} with none; download it again")
    return files


def _number(path: Path) -> int:
    if not path.stem.isdecimal():
        raise ValueError(f"HR names must be numbers like 0001, got {path}; rename it")
    return int(path.stem)
