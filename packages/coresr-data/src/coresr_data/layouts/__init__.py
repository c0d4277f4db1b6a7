"""Find what people have: which of the files under a folder are which core's HR and LR."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from coresr_data.align.correcting import cropped_to_match
from coresr_data.formats import kind_of, looks_like_volume, may_be_volume, open_volume, refuse_mixed
from coresr_data.formats.images import image_paths, open_sizes, open_slices
from coresr_data.formats.links import called, refuse_link
from coresr_data.layouts.pairing import by_depth, child, find_pairs, refuse_other_depths
from coresr_data.layouts.skipping import open_readable
from coresr_data.layouts.sources import Source
from coresr_data.layouts.trees import find_in_trees, trees
from coresr_data.split import SPLITS
from coresr_data.volume import Axis, Volume, along, printable

Layout = Literal["auto", "slices", "stack", "paired", "pair", "unpaired", "deeprock", "drsrd1"]
LAYOUTS: dict[Layout, str] = {
    "auto": "look, and say what it took",
    "slices": "a folder of slice images, or one such folder per core",
    "stack": "a volume (a file, a DICOM folder, a Zarr), or a folder of volumes, one core each",
    "paired": "hr/ and lr/ (or lr_x2/ …) with equal names, also below one folder per core, or train/ valid/ test/",
    "pair": "one scan pair: two volumes called hr… and lr…",
    "unpaired": "hr/ and lr/ without correspondence, each slices, cores or volumes",
    "deeprock": "the DeepRock-SR tree as downloaded, 2D or 3D, with its published split",
    "drsrd1": "the same for DRSRD1",
}
"""What can be read, in words."""
UNUSED: dict[str, tuple[Layout, ...]] = {
    "axis": ("paired", "deeprock", "drsrd1"),
    "rock": ("slices", "stack", "paired", "pair", "unpaired"),
    "raw": ("slices", "paired", "deeprock", "drsrd1"),
    "variable": ("slices", "paired"),
}
"""Options of a reading, and the layouts that have no use for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How to read what is found."""

    scales: tuple[int, ...] = (2,)
    rocks: tuple[str, ...] = ()
    """Of a published set; none: all."""
    degradation: str | None = "default"
    """Of the LR of a published set; None: LR is to be made."""
    axis: Axis = "z"
    several_sizes: bool = False
    skip_bad: bool = False
    external_links: bool = False
    register: bool = False
    """Crop a scan pair by whole HR voxels until LR lies on HR."""
    raw: Any = None
    variable: str | None = None

    def whole(self, path: Path) -> Volume:
        """A volume of any format as it lies."""
        return open_volume(path, raw=self.raw, variable=self.variable, external_links=self.external_links)

    def volume(self, path: Path) -> Volume:
        """A volume of any format, cut along the axis."""
        return along(self.whole(path), self.axis)

    def refuse_unused(self, layout: Layout) -> None:
        """ValueError for what was asked for and would be passed over."""
        asked = {"axis": self.axis if self.axis != "z" else None, "rock": ", ".join(self.rocks) or None}
        asked |= {"raw": None if self.raw is None else "a header", "variable": self.variable}
        for option, value in asked.items():
            if value is not None and layout in UNUSED[option]:
                raise ValueError(f"{option} must be left out where the layout is {layout}, got {value}; drop it")

    @property
    def scale(self) -> int:
        """The only scale; ValueError where several are wanted."""
        if len(self.scales) != 1:
            raise ValueError(f"scale must be one for scanned LR, got {', '.join(map(str, self.scales))}; name one")
        return self.scales[0]


def find(source: Path, layout: Layout = "auto", reading: Reading | None = None) -> list[Source]:
    """The cores under `source`, by name.

    FileNotFoundError where there is nothing of the kind, ValueError where it cannot be told what belongs to what, and
    for options that the layout has no use for.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout}")
    if not source.exists():
        raise FileNotFoundError(f"source must be a folder or a volume file, got {source}, which is not there")
    layout, reading = recognised(source) if layout == "auto" else layout, reading or Reading()
    reading.refuse_unused(layout)
    return FINDERS[layout](source, reading)


def recognised(source: Path) -> Layout:
    """What `auto` takes `source` for; never `unpaired`, which would hide that names do not match.

    ValueError where slices lie both in `source` and in folders below it, or beside a volume.
    """
    if not source.is_dir():
        return "stack"
    if trees(source):
        return "drsrd1" if "drsrd" in str(source.resolve()).lower() else "deeprock"
    if _twins(source) and not any(p.is_dir() for p in _twins(source)):
        return "pair"
    if any((source / split / hr).is_dir() for split in ("", *SPLITS) for hr in ("hr", "HR")):
        return "paired"
    direct, nested = image_paths(source), _folders(source)
    if direct and nested:
        raise ValueError(
            f"slices must lie in {source} or in one folder per core below it, got both ({nested[0].name}/ too); "
            "say --layout slices for those directly in it"
        )
    for folder in (source, *nested):
        refuse_mixed(folder, remedy=", or say --layout slices for the images")
    if nested and (beside := [path for path in _visible(source) if path not in nested and may_be_volume(path)]):
        raise ValueError(
            f"source must hold folders of slices or volumes, got both in {source}: {nested[0].name}/ and "
            f"{beside[0].name}; prepare them apart, or say --layout slices or stack"
        )
    slices = not looks_like_volume(direct[0]) if direct else bool(nested)
    return "slices" if slices else "stack"


def _slices(source: Path, reading: Reading) -> list[Source]:
    """A folder of slices, or one such folder per core."""
    folders = [source] if not source.is_dir() or image_paths(source) else _folders(source) or [source]
    for folder in folders if folders != [source] else ():
        refuse_link(folder, source, external_links=reading.external_links)
    return [part for folder in folders for part in _core(folder, reading)]


def _core(folder: Path, reading: Reading) -> list[Source]:
    links, axis = reading.external_links, reading.axis
    if reading.skip_bad and folder.is_dir():
        found = open_readable(folder, several_sizes=reading.several_sizes, external_links=links)
    elif reading.several_sizes:
        found = [Source(core=volume.core, hr=volume) for volume in open_sizes(folder, external_links=links)]
    else:
        volume = open_slices(folder, external_links=links)
        found = [Source(core=volume.core, hr=volume)]
    return [replace(one, hr=along(one.slices, axis)) for one in found]


def _stack(source: Path, reading: Reading) -> list[Source]:
    """One volume, or a folder of them."""
    volumes = [reading.volume(path) for path in _volumes(source, external_links=reading.external_links)]
    return [Source(core=volume.core, hr=volume) for volume in volumes]


def _paired(source: Path, reading: Reading) -> list[Source]:
    return find_pairs(
        source, reading.scales, several_sizes=reading.several_sizes, external_links=reading.external_links
    )


def _pair(source: Path, reading: Reading) -> list[Source]:
    """Two volumes, called `hr…` and `lr…`, and nothing else that is called so."""
    twins = _twins(source)
    if not twins:
        raise FileNotFoundError(f"source must hold one volume called hr… and one called lr…, got {source}; rename them")
    for path in twins:
        refuse_link(path, source, external_links=reading.external_links)
    whole = [reading.whole(path) for path in twins]
    refuse_other_depths([volume for volume, path in zip(whole, twins, strict=True) if kind_of(path) == "slices"])
    hr, lr = (along(volume, reading.axis) for volume in whole)
    name = printable(called(source))
    if not reading.register:
        return [by_depth(name, hr, lr, reading.scale)]
    by_depth(name, hr, lr, reading.scale)  # refuses what does not belong together before anything is read
    hr, lr, did = cropped_to_match(hr, lr, reading.scale)
    return [replace(by_depth(name, hr, lr, reading.scale), cropped=did)]


def _unpaired(source: Path, reading: Reading) -> list[Source]:
    """Cores with HR alone from `hr/`, cores with LR alone from `lr/`."""
    found: list[Source] = []
    for image in ("hr", "lr"):
        folder = child(source, image, external_links=reading.external_links)
        layout = recognised(folder)
        if layout not in {"slices", "stack"}:
            raise ValueError(f"folder {folder} must hold slices or volumes, got {layout}; sort them into {image}/")
        for one in FINDERS[layout](folder, reading):
            lr = {reading.scale: one.slices} if image == "lr" else {}
            found.append(replace(one, hr=None if lr else one.hr, lr=lr, images=(image,)))
    return found


def _trees(source: Path, reading: Reading) -> list[Source]:
    found = find_in_trees(
        source,
        rocks=reading.rocks,
        degradation=reading.degradation,
        scales=reading.scales,
        variable=reading.variable,
    )
    for path in (path for one in found for volume in (one.slices, *one.lr.values()) for path in volume.sources):
        refuse_link(path, path.parent, external_links=reading.external_links)
    return found


FINDERS: dict[Layout, Callable[[Path, Reading], list[Source]]] = {
    "slices": _slices,
    "stack": _stack,
    "paired": _paired,
    "pair": _pair,
    "unpaired": _unpaired,
    "deeprock": _trees,
    "drsrd1": _trees,
}


def _folders(source: Path) -> list[Path]:
    """The folders of slices directly in `source`, by name; hidden ones are passed over."""
    return [path for path in _visible(source) if path.is_dir() and image_paths(path)]


def _visible(source: Path) -> list[Path]:
    return [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]


def _twins(source: Path) -> list[Path]:
    """What is called `hr…` and what is called `lr…`, in this order; empty unless there is one of each."""
    named = [[p for p in source.iterdir() if p.name.lower().startswith(image)] for image in ("hr", "lr")]
    return [paths[0] for paths in named] if [len(paths) for paths in named] == [1, 1] else []


def _volumes(source: Path, *, external_links: bool) -> list[Path]:
    """The volumes in a folder, or `source` itself where it is one: a file, a Zarr, a DICOM series."""
    if not source.is_dir() or looks_like_volume(source):
        return [source]
    found = [p for p in _visible(source) if looks_like_volume(p) or (p.is_symlink() and not p.exists())]
    for path in found:
        refuse_link(path, source, external_links=external_links)
    described = {p.stem for p in found if p.suffix.lower() in {".mhd", ".nhdr"}}
    return [p for p in found if p.suffix.lower() != ".raw" or p.stem not in described] or [source]
