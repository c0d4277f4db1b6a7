"""Prepare a store: find what people have, divide it, degrade it, and refuse what would fool its user."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from coresr_data.align.registering import registration
from coresr_data.degrade.recipes import Recipe
from coresr_data.fitting.fitted import load_fit, recipe_of
from coresr_data.intensity import Window, checked, default_window
from coresr_data.layouts import Layout, Reading, find, recognised
from coresr_data.layouts.skipping import without_bad
from coresr_data.layouts.sources import Source
from coresr_data.packing.copies import copies
from coresr_data.packing.planning import Wanted, plan
from coresr_data.packing.writing import Making, Part, Written, write_core
from coresr_data.split import Gap, Split, equal_slices, refuse_equal_slices
from coresr_data.store import MANIFEST, Manifest, Store, open_store, write_manifest, written_aside
from coresr_data.store.aside import refuse_taken
from coresr_data.volume import Axis

SCANNED: tuple[Layout, ...] = ("paired", "pair", "unpaired")
"""Layouts that bring their own LR."""
PUBLISHED: tuple[Layout, ...] = ("deeprock", "drsrd1")
"""Layouts that bring LR of the degradations `default` and `unknown`."""
LONGEST = 200
"""Bytes of a folder's name, which may grow by a suffix."""


def prepare(
    source: Path,
    path: Path,
    *,
    scale: int | Sequence[int],
    layout: Layout = "auto",
    rock: str | Sequence[str] = (),
    degradation: str | Path | Recipe | None = None,
    seed: int = 0,
    split: Split | None = None,
    gap: Gap | None = None,
    axis: Axis = "z",
    window: Window | None = None,
    voxel_um: float | None = None,
    mask: str | Path = "auto",
    several_sizes: bool = False,
    skip_bad: bool = False,
    accept_similar: bool = False,
    accept_shift: bool = False,
    register: bool = False,
    external_links: bool = False,
    raw: Any = None,
    variable: str | None = None,
) -> Store:
    """Write the store at `path` from what lies at `source`, and open it.

    LR is made by `degradation` (bicubic unless said): a name of `DEGRADATIONS`, the path of a fitted scanner, or a
    recipe; scanned LR, and that of a published set (`default` or `unknown`), is taken as it is. `split` is shares of
    train/valid/test by depth (0.7/0.15/0.15), ranges of slice numbers, names of cores, or "none"; a split that the
    folders say is kept. `gap` is what must lie between splits, measured unless said. `mask` is "auto", "rock", "none"
    or a file. `register` crops a scan pair by whole HR voxels until LR lies on HR. HR is cropped at its far edges to a
    multiple of all scales. All cores share a dtype and one window. ValueError for what is refused; the store appears
    whole or not at all.
    """
    scales = _scales(scale)
    if voxel_um is not None and not (0 < voxel_um < math.inf):
        raise ValueError(f"voxel size must be positive micrometres, got {voxel_um}")
    _refuse_places(source, path)
    layout = recognised(source) if layout == "auto" else layout
    if register and layout != "pair":
        raise ValueError(f"register must be asked of a scan pair, got layout {layout}; leave it out")
    name, recipes, given = _degradation(degradation, layout, scales)
    reading = Reading(
        scales=scales,
        rocks=(rock,) if isinstance(rock, str) else tuple(rock),
        degradation=given,
        axis=axis,
        several_sizes=several_sizes,
        skip_bad=skip_bad,
        external_links=external_links,
        register=register,
        raw=raw,
        variable=variable,
    )
    sources = find(source, layout, reading)
    _refuse_misfits(sources, scales)
    window = checked(window or default_window(sources[0].slices.dtype))
    sources = [without_bad(one) for one in sources] if skip_bad else sources
    wanted = Wanted(split=split, gap=gap, mask=mask, voxel_um=voxel_um, accept_similar=accept_similar)
    parts, how = plan(sources, wanted)
    making = Making(recipes=recipes, window=window, seed=seed)
    parameters = {**_pairing(parts, accept=accept_shift), **({"seed": seed} if recipes else {})}
    if isinstance(degradation, str | Path) and Path(degradation).suffix == ".json":
        parameters["scanner"] = asdict(load_fit(Path(degradation)))  # how well it was fitted, beside its steps
    with written_aside(path) as aside:
        written = [
            write_core(aside, part, folder=folder, scales=scales, making=making)
            for part, folder in zip(parts, folder_names([part.source.core for part in parts]), strict=True)
        ]
        published = any(part.source.published for part in parts)
        how |= _shared(aside, written, scales, accept=accept_similar, published=published)
        if steps := next((one.fixed for one in written if one.fixed), None):
            parameters["steps"] = {str(scale): made for scale, made in steps.items()}
        manifest = Manifest(
            scales=scales,
            dtype=str(sources[0].slices.dtype),
            window=window,
            degradation=name,
            degradation_parameters=parameters,
            split=how,
            cores=tuple(one.core for one in written),
            skipped=tuple(reason for one in sources for reason in one.skipped),
        )
        write_manifest(aside, manifest)
    return open_store(path)


def _refuse_places(source: Path, path: Path) -> None:
    """FileExistsError where the store's place is taken, ValueError where the source is a store."""
    refuse_taken(path)
    if (source / MANIFEST).is_file():
        raise ValueError(f"source must hold slices or volumes, got {source}, which is a store already; use it as it is")


def _scales(scale: int | Sequence[int]) -> tuple[int, ...]:
    scales = (scale,) if isinstance(scale, int) else tuple(sorted(set(scale)))
    if not scales or min(scales) < 2:
        raise ValueError(f"scale must be 2 or more, got {', '.join(map(str, scales)) or 'none'}")
    return scales


def _degradation(
    degradation: str | Path | Recipe | None, layout: Layout, scales: Sequence[int]
) -> tuple[str, dict[int, Recipe], str | None]:
    """What the LR of a layout is called, the recipes that make it, by scale, and which of a published set it is."""
    if layout in SCANNED:
        if degradation is not None:
            raise ValueError(f"degradation must be left out where LR was scanned ({layout}), got {degradation}")
        return "real", {}, None
    if layout in PUBLISHED and degradation in {None, "default", "unknown"}:
        published = str(degradation or "default")
        return published, {}, published
    degradation = degradation or "bicubic"
    if callable(degradation):
        return getattr(degradation, "__name__", "recipe"), dict.fromkeys(scales, degradation), None
    return Path(degradation).name, {scale: recipe_of(str(degradation), scale=scale) for scale in scales}, None


def _refuse_misfits(sources: Sequence[Source], scales: Sequence[int]) -> None:
    """ValueError for cores that cannot share a store, or are too small for it."""
    first, whole = sources[0].slices, math.lcm(*scales)
    numbered: dict[tuple[str, tuple[str, ...], int], Path] = {}
    for source in sources:
        volume = source.slices
        keys = {(source.core, source.images, number): volume.source(0) for number in volume.numbers}
        # the sizes of one core number its slices together, other cores each from where they like
        if not source.published and (twins := numbered.keys() & keys):
            raise ValueError(
                f"cores must have names of their own, got {source.core} in {numbered[min(twins)]} and "
                f"{volume.source(0)}; rename one"
            )
        numbered |= keys
        if volume.dtype != first.dtype:
            raise ValueError(
                f"cores must share a dtype, got {first.dtype} in {first.core} and {volume.dtype} in {volume.core}; "
                "prepare them apart"
            )
        if source.hr and min(volume.size) < whole:
            raise ValueError(
                f"slices must be at least {whole} pixels a side for scale {', '.join(map(str, scales))}, "
                f"got {volume.size[0]}×{volume.size[1]} in {volume.core}"
            )


def _pairing(parts: Sequence[Part], *, accept: bool) -> dict[str, Any]:
    """How scanned pairs lie on one another; ValueError for those that do not, unless accepted."""
    pairs = {}
    for part in parts:
        source = part.source
        if source.hr and source.lr:
            found: dict[str, Any] = {
                "hr_slices_per_lr_slice": source.depth,
                "hr_voxels_off_centre": 0.5 if source.off_centre else 0,
            }
            if source.cropped:
                found["cropped"] = dict(source.cropped)
            if not source.published:
                found["registration"] = {str(s): registration(source, s, accept=accept) for s in source.lr}
            pairs[source.core] = found
    return {"pairs": pairs} if pairs else {}


def _shared(
    store: Path, written: Sequence[Written], scales: Sequence[int], *, accept: bool, published: bool
) -> dict[str, Any]:
    """The slices that splits share, equal or nearly; ValueError for them, but for what is accepted or published."""
    digests = [(s.split, s.source, s.sha256) for one in written for s in one.core.slices]
    if not published:
        refuse_equal_slices(digests)
    found = []
    for copy in copies(store, written, scales):
        if not (accept or published):
            raise ValueError(
                f"splits must not share a slice, got {copy} nearly equal (correlation {copy.likeness:.2f}); "
                "remove one, put both into one split, or say --accept-similar"
            )
        found.append(asdict(copy))
    return {"equal": [[*one, *other] for one, other in equal_slices(digests)], "copies": found}


def folder_names(cores: Sequence[str]) -> list[str]:
    """A name for the folder of each core, which every file system takes: the core's own where that will do.

    No two are equal, in whatever case.
    """
    taken = {MANIFEST.casefold()}
    names = []
    for core in cores:
        safe = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "_", unicodedata.normalize("NFC", core)).rstrip(". ")
        safe = re.sub(r"^\.+", "_", safe)
        safe = safe.encode()[:LONGEST].decode(errors="ignore") or "core"
        name = next(n for n in (safe, *(f"{safe}-{k}" for k in range(2, len(cores) + 2))) if n.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names
