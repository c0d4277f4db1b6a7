"""From the sources that were found to the parts of a store: voxels, masks and splits, before anything is written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from coresr_data.layouts.sources import Source, only
from coresr_data.mask import KINDS, field_of_view, masks_for
from coresr_data.packing.writing import Masks, Part
from coresr_data.split import SPLITS, Cores, Fractions, Gap, Ranges, Split, by_core, by_ranges, gap_in_slices
from coresr_data.split.dividing import Division, Mask, divide, measure, refuse_alike
from coresr_data.split.similar import ALIKE, tells
from coresr_data.volume import Voxel

FRACTIONS: Fractions = (0.7, 0.15, 0.15)
AGREES = 0.01
"""Relative difference that two statements of a voxel size may have."""
LOOKED_AT = 9
"""Masks of single slices that say which part of most slices is rock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a store shall be split and masked."""

    split: Split | None = None
    """None: what the folders say, else `FRACTIONS`."""
    gap: Gap | None = None
    """None: measured."""
    mask: str | Path = "auto"
    voxel_um: float | None = None
    accept_similar: bool = False


def plan(sources: Sequence[Source], wanted: Wanted) -> tuple[list[Part], dict[str, Any]]:
    """The parts of a store, and how they were split, as its manifest says it.

    ValueError where the split cannot be had, or would part slices that show the same rock unless that is accepted.
    """
    given = any(source.splits for source in sources)
    if given and wanted.split is not None:
        raise ValueError(f"split must be the one that the folders say, got {said(wanted.split)} too; leave it out")
    split = wanted.split or FRACTIONS
    parts, cores = [], []
    for sample, whole in _samples(sources, split):
        found, division = _sample(sample, whole, split, wanted)
        parts += found
        cores.append(_record(sample, division))
    return parts, {"parts": "folders" if given else said(split), "alike": ALIKE, "cores": cores}


def said(split: Split) -> Any:
    """A split as JSON holds it."""
    if isinstance(split, Mapping):
        return {name: list(part) for name, part in split.items()}
    return split if isinstance(split, str) else list(split)


def _samples(sources: Sequence[Source], split: Split) -> list[tuple[list[Source], str | None]]:
    """The sources of each physical sample, and its split where it has one as a whole; those in no split left out."""
    samples: dict[tuple[str, tuple[str, ...]], list[Source]] = {}
    for source in sources:
        samples.setdefault((source.core, source.images), []).append(source)
    if not isinstance(split, Mapping) or _by_depth(split):
        return [(sample, SPLITS[0] if split == "none" else None) for sample in samples.values()]
    names = list(dict.fromkeys(source.core for source in sources))
    splits = dict(zip(names, by_core(names, cast(Cores, split)), strict=True))
    return [(sample, splits[core]) for (core, _), sample in samples.items() if splits[core] is not None]


def _by_depth(split: Mapping[str, Sequence[Any]]) -> bool:
    """Whether its parts are ranges of slice numbers, and not names of cores; ValueError for both at once."""
    ranges = [all(isinstance(end, int) for end in part) for part in split.values()]
    if any(ranges) and not all(ranges):
        raise ValueError(f"split must be slice numbers or names of cores, got both in {said(split)}; choose one")
    return all(ranges)


def _sample(sample: Sequence[Source], whole: str | None, split: Split, wanted: Wanted) -> tuple[list[Part], Division]:
    rows = [list(range(len(source.slices))) for source in sample]
    if whole is None and isinstance(split, Mapping):  # what is not used is not read, neither for masks nor for gaps
        rows = _used(sample, cast(Ranges, split))
    used = [(source, only(source, kept), kept) for source, kept in zip(sample, rows, strict=True) if kept]
    masks = [_masks(source, some, kept, wanted.mask) for source, some, kept in used]
    sources = [some for _, some, _ in used]
    fields = [_field(source, mask, wanted.mask) for source, mask in zip(sources, masks, strict=True)]
    voxels = [voxel_of(source, wanted.voxel_um) for source in sources]
    gap = None if wanted.gap is None else gap_in_slices(wanted.gap, _um_a_slice(sources[0], voxels[0]))
    division = _divided(sources, whole, split, fields, gap=gap, accept=wanted.accept_similar)
    parts = [
        Part(source=source, splits=splits, masks=mask, field=field, voxel_um=voxel)
        for source, splits, mask, field, voxel in zip(sources, division.assigned, masks, fields, voxels, strict=True)
    ]
    return parts, division


def _used(sample: Sequence[Source], ranges: Ranges) -> list[list[int]]:
    """The places of the slices that lie in a range, source by source; ValueError for ranges that hold none."""
    numbers = sorted(number for source in sample for number in source.slices.numbers)
    splits = dict(zip(numbers, by_ranges(numbers, ranges, gap=0), strict=True))
    return [[i for i, number in enumerate(source.slices.numbers) if splits[number]] for source in sample]


def _divided(
    sources: Sequence[Source],
    whole: str | None,
    split: Split,
    fields: Sequence[Mask],
    *,
    gap: int | None,
    accept: bool,
) -> Division:
    if whole is not None:
        return Division(assigned=tuple((whole,) * len(source.slices) for source in sources))
    volumes = [source.slices for source in sources]
    given = [source.splits for source in sources if source.splits is not None]
    if not given:
        return divide(volumes, cast(Fractions | Ranges, split), gap=gap, masks=fields, accept=accept)
    division = measure(volumes, given, fields)
    if not (accept or sources[0].published):
        refuse_alike(division)
    return division


def _masks(source: Source, some: Source, kept: Sequence[int], mask: str | Path) -> Masks:
    """The masks of the slices kept; of LR alone none, for a mask lies on HR pixels."""
    if source.hr is None or some.hr is None:
        return None
    if mask in KINDS:
        return masks_for(mask, some.hr)
    masks = masks_for(mask, source.hr)
    return masks if masks is None or len(masks) == 1 else masks[list(kept)]


def _field(source: Source, masks: Masks, mask: str | Path) -> Mask:
    """Where slices are compared: within the masks of most slices if that shows their rock, else within the padding."""
    if masks is not None:
        places = np.unique(np.linspace(0, len(masks) - 1, min(LOOKED_AT, len(masks))).round().astype(int))
        field = np.asarray(masks[places].mean(axis=0) >= 0.5)
        if tells(field, masks[places]):
            return field
    return None if mask == "auto" and source.hr else field_of_view(source.slices)


def voxel_of(source: Source, voxel_um: float | None) -> Voxel | None:
    """Sides of an HR voxel: as the files say, else as `voxel_um` does; ValueError where the two differ."""
    stated = source.slices.voxel_um
    if stated is not None and source.hr is None:
        scale = next(iter(source.lr))
        stated = (stated[0] / scale, stated[1] / scale, stated[2] / scale)
    if voxel_um is None:
        return stated
    if stated is None:
        return voxel_um, voxel_um, voxel_um
    if any(abs(voxel_um / side - 1) > AGREES for side in stated):
        raise ValueError(
            f"voxel size must be what the files say, {'×'.join(f'{side:g}' for side in stated)} µm along z, y, x in "
            f"{source.slices.source(0)}, got {voxel_um:g} µm; leave --voxel-um out, or mend the header"
        )
    return stated


def _um_a_slice(source: Source, voxel: Voxel | None) -> float | None:
    """How far apart two slice numbers lie: slices of LR alone as far as LR voxels are deep."""
    return voxel and voxel[0] * (1 if source.hr else next(iter(source.lr)))


def _record(sample: Sequence[Source], division: Division) -> dict[str, Any]:
    """How a sample was divided, for the manifest."""
    return {
        "core": sample[0].core,
        "found": sum(len(source.slices) for source in sample),
        "kept": sum(split is not None for splits in division.assigned for split in splits),
        "gap": division.gap,
        "measured": division.measured,
        "published": sample[0].published,
        "borders": [{name: value for name, value in asdict(one).items() if name != "core"} for one in division.borders],
    }
