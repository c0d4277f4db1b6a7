"""Find what people have: which of the files under a folder are which core's HR and LR."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from coresr_data.align.correcting import cropped_to_match
from coresr_data.formats import looks_like_volume, open_volume
from coresr_data.formats.images import image_paths, open_sizes, open_slices
from coresr_data.layouts.pairing import by_depth, child, find_pairs
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

    def volume(self, path: Path) -> Volume:
        """A volume of any format, cut along the axis."""
        return along(open_volume(path, raw=self.raw, variable=self.variable), self.axis)

    @property
    def scale(self) -> int:
        """The only scale; ValueError where several are wanted."""
        if len(self.scales) != 1:
            raise ValueError(f"scale must be one for scanned LR, got {', '.join(map(str, self.scales))}; name one")
        return self.scales[0]


def find(source: Path, layout: Layout = "auto", reading: Reading | None = None) -> list[Source]:
    """The cores under `source`, by name.

    FileNotFoundError where there is nothing of the kind, ValueError where it cannot be told what belongs to what.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout}")
    if not source.exists():
        raise FileNotFoundError(f"source must be a folder or a volume file, got {source}, which is not there")
    return FINDERS[recognised(source) if layout == "auto" else layout](source, reading or Reading())


def recognised(source: Path) -> Layout:
    """What `auto` takes `source` for; never `unpaired`, which would hide that names do not match.

    ValueError where slices lie both in `source` and in folders below it.
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
    if direct:
        return "stack" if looks_like_volume(direct[0]) else "slices"
    return "slices" if nested else "stack"


def _slices(source: Path, reading: Reading) -> list[Source]:
    """A folder of slices, or one such folder per core."""
    folders = [source] if not source.is_dir() or image_paths(source) else _folders(source) or [source]
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
    volumes = [reading.volume(path) for path in _volumes(source)]
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
    hr, lr = (reading.volume(path) for path in twins)
    name = printable(source.resolve().name)
    if not reading.register:
        return [by_depth(name, hr, lr, reading.scale)]
    by_depth(name, hr, lr, reading.scale)  # refuses what does not belong together before anything is read
    hr, lr, did = cropped_to_match(hr, lr, reading.scale)
    return [replace(by_depth(name, hr, lr, reading.scale), cropped=did)]


def _unpaired(source: Path, reading: Reading) -> list[Source]:
    """Cores with HR alone from `hr/`, cores with LR alone from `lr/`."""
    found: list[Source] = []
    for image in ("hr", "lr"):
        folder = child(source, image)
        layout = recognised(folder)
        if layout not in {"slices", "stack"}:
            raise ValueError(f"folder {folder} must hold slices or volumes, got {layout}; sort them into {image}/")
        for one in FINDERS[layout](folder, reading):
            lr = {reading.scale: one.slices} if image == "lr" else {}
            found.append(replace(one, hr=None if lr else one.hr, lr=lr, images=(image,)))
    return found


def _trees(source: Path, reading: Reading) -> list[Source]:
    return find_in_trees(
        source,
        rocks=reading.rocks,
        degradation=reading.degradation,
        scales=reading.scales,
        variable=reading.variable,
    )


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
    return [p for p in sorted(source.iterdir()) if p.is_dir() and not p.name.startswith(".") and image_paths(p)]


def _twins(source: Path) -> list[Path]:
    """What is called `hr…` and what is called `lr…`, in this order; empty unless there is one of each."""
    named = [[p for p in source.iterdir() if p.name.lower().startswith(image)] for image in ("hr", "lr")]
    return [paths[0] for paths in named] if [len(paths) for paths in named] == [1, 1] else []


def _volumes(source: Path) -> list[Path]:
    """The volumes in a folder, or `source` itself where it is one: a file, a Zarr, a DICOM series."""
    if not source.is_dir() or looks_like_volume(source):
        return [source]
    found = [p for p in sorted(source.iterdir()) if not p.name.startswith(".") and looks_like_volume(p)]
    described = {p.stem for p in found if p.suffix.lower() in {".mhd", ".nhdr"}}
    return [p for p in found if p.suffix.lower() != ".raw" or p.stem not in described] or [source]
