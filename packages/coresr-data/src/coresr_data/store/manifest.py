"""What `dataset.json` holds: where every slice of a store came from, and what was done to it."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from coresr_data.intensity import Window
from coresr_data.volume import Voxel

SCHEMA = 2
MANIFEST, HR, LR, MASK, DRAWN = "dataset.json", "hr.npy", "lr_x{scale}.npy", "mask.npy", "drawn_x{scale}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice of a store; its place in the list is its row in the arrays."""

    number: int
    """Along the axis that was cut: that of the source's file name, or counted from 0 within one file or volume."""
    split: str
    source: str
    """Core and slice, as messages name it: `plug/0007.png`, `plug/plug.raw[x=63]`; no path to open."""
    sha256: str
    """Of the source's grey levels."""
    rock: float = 1.0
    """Share of the slice inside the mask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """Slices of one physical sample that share a size, by depth."""

    name: str
    """After the folder or file it came from. Cores of one name are one sample: one for each size of its slices, and in
    an unpaired store one for HR and one for LR."""
    folder: str
    """Of the arrays, in the store."""
    height: int
    width: int
    """HR pixels; where there is no HR, those that HR would have."""
    cropped: tuple[int, int]
    """HR rows and columns cut at the far edges so that HR divides by the scales."""
    voxel_um: Voxel | None
    """Sides of an HR voxel along z, y and x in micrometres, None where nobody said."""
    slices: tuple[Slice, ...]
    images: tuple[str, ...] = ("hr", "lr")
    """Which of HR and LR there are: one alone in an unpaired store."""
    masked: bool = False
    sha256: dict[str, str] = field(default_factory=dict)
    """Of every file in the folder, by its name, when it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `dataset.json` holds."""

    scales: tuple[int, ...]
    """HR size over LR size, ascending, one LR array each."""
    dtype: str
    window: Window
    degradation: str
    """`bicubic`, `unknown` …, or `real` where LR was scanned and not made."""
    split: dict[str, Any]
    """How the splits were made."""
    cores: tuple[Core, ...]
    degradation_parameters: dict[str, Any] = field(default_factory=dict)
    """The seed of what was drawn, the steps where all slices went through the same, and how scanned pairs lie."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Sources left out on request, and why."""
    schema: int = SCHEMA

    @property
    def grey(self) -> str:
        """Dtype and window in words."""
        return f"{self.dtype}, {self.window.low:g} → 0, {self.window.high:g} → 1"

    def arrays(self, core: Core) -> list[str]:
        """The names of the arrays that a core's folder holds."""
        hr = [HR] if "hr" in core.images else []
        lr = [LR.format(scale=scale) for scale in self.scales] if "lr" in core.images else []
        return [*hr, *lr, *([MASK] if core.masked else [])]


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `dataset.json`, the last file of a store."""
    text = json.dumps(asdict(manifest), indent=1, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path, text: bytes) -> Manifest:
    """What a `dataset.json` at `path` says; ValueError where it is none, or one of another schema."""
    try:
        fields = json.loads(text)
        schema = fields["schema"]
        found = _manifest(fields) if schema == SCHEMA else None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} must be a store manifest, got {error!r}; prepare the store again") from error
    if found is None:
        raise ValueError(f"{path} must be of schema {SCHEMA}, got {schema}; prepare the store again")
    return found


def _manifest(fields: dict[str, Any]) -> Manifest:
    converted = {
        "scales": tuple(fields["scales"]),
        "window": Window(*fields["window"]),
        "cores": tuple(_core(core) for core in fields["cores"]),
        "skipped": tuple((source, why) for source, why in fields["skipped"]),
    }
    return Manifest(**{**fields, **converted})


def _core(fields: dict[str, Any]) -> Core:
    converted = {
        "slices": tuple(Slice(**one) for one in fields["slices"]),
        "cropped": tuple(fields["cropped"]),
        "voxel_um": None if fields["voxel_um"] is None else tuple(fields["voxel_um"]),
        "images": tuple(fields["images"]),
    }
    return Core(**{**fields, **converted})
