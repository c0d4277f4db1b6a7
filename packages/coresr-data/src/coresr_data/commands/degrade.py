"""`degrade IN OUT`: the LR of a slice, a folder of slices or a volume, as `prepare` would make it."""

import hashlib
import json
from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from coresr_data.cli import Commands, whole
from coresr_data.commands.opening import add_opening, add_window
from coresr_data.store.aside import creating, write_whole
from coresr_data.volume import Levels, Volume, Voxel

RECORD = "degradation.json"


def add(commands: Commands) -> None:
    """Declare the command."""
    made = commands.add_parser("degrade", help="make the LR of a slice, a folder of slices or a volume")
    made.add_argument("source", type=Path, metavar="IN", help="HR, in any format that prepare reads")
    made.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="the LR to write: a folder of slices, or a .tif, .npy, .mhd or .zarr; .png or .tif of a single slice",
    )
    made.add_argument("--scale", type=whole(2), required=True, help="HR size over LR size")
    made.add_argument(
        "--degradation",
        default="bicubic",
        metavar="NAME",
        help="how LR is made: bicubic (default), blur, scanner, unknown …, or the JSON file of fit-scanner",
    )
    made.add_argument("--seed", type=int, default=0, help="of what the degradation draws (default 0)")
    add_window(made, "grey levels that become 0 and 1, which noise goes by (default: the dtype's range)")
    add_opening(made)
    made.set_defaults(command=_degrade)


@dataclass(frozen=True, kw_only=True)  # without slots, which would leave no room for what is cached
class _Work:
    """What is made of what."""

    volume: Volume
    making: Any
    scale: int
    degradation: str

    @property
    def size(self) -> tuple[int, int]:
        """Of LR; HR is cropped at its far edges to a multiple of the scale, as `prepare` does."""
        return self.volume.size[0] // self.scale, self.volume.size[1] // self.scale

    @property
    def voxel_um(self) -> Voxel | None:
        """Of LR: slices lie as far apart as before."""
        if self.volume.voxel_um is None:
            return None
        z, y, x = self.volume.voxel_um
        return z, self.scale * y, self.scale * x

    def lr(self, index: int) -> Levels:
        """The LR of a slice."""
        height, width = (self.scale * side for side in self.size)
        hr = self.volume[index][:height, :width]
        levels: Levels = self.making.lr(hr, self.volume.core, self.volume.numbers[index], self.scale)[0]
        return levels

    @cached_property
    def record(self) -> dict[str, Any]:
        """Everything that it takes to make the same again: the steps of every slice are drawn for it."""
        from coresr_data.degrade import as_json
        from coresr_data.patches import keyed

        recipe, seed, core = self.making.recipes[self.scale], self.making.seed, self.volume.core
        # the keys of prepare, so that what is made here is what its store would hold
        rngs = [keyed("degradation", seed, core, number, self.scale) for number in self.volume.numbers]
        steps = [as_json(recipe(rng)) for rng in rngs]
        alike = all(one == steps[0] for one in steps)
        height, width = self.volume.size
        return {
            "degradation": self.degradation,
            "scale": self.scale,
            "seed": seed,
            "core": core,
            "window": self.making.window and list(self.making.window),
            "voxel_um": self.voxel_um and list(self.voxel_um),
            "cropped": [height % self.scale, width % self.scale],
            "slices": list(self.volume.names),
            "steps": steps[0] if alike else steps,
        }

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(self.record, indent=1, allow_nan=False) + "\n"


def _degrade(options: Namespace) -> None:
    from coresr_data.formats import open_volume

    volume = open_volume(options.source, raw=options.raw, variable=options.variable)
    if min(volume.size) < options.scale:
        size = "×".join(map(str, volume.size))
        raise ValueError(f"slices must be at least {options.scale} pixels a side, got {size} in {options.source}")
    work = _Work(
        volume=volume,
        making=_making(options, volume),
        scale=options.scale,
        degradation=Path(options.degradation).name,
    )
    if len(volume) == 1 and options.out.suffix.lower() in {".png", ".tif", ".tiff"}:
        said = _write_one(work, options.out)
    else:
        said = _write_all(work, options.out)
    cropped = work.record["cropped"]
    cut = f", HR cropped by {cropped[0]} rows and {cropped[1]} columns" if any(cropped) else ""
    voxel = "voxel not said" if work.voxel_um is None else "voxel " + "×".join(f"{s:g}" for s in work.voxel_um) + " µm"
    height, width = work.size
    print(f"{options.out}: {len(volume)} slices of {height}×{width} {volume.dtype}, {voxel}{cut}; made as {said} says")


def _making(options: Namespace, volume: Volume) -> Any:
    from coresr_data.fitting.fitted import recipe_of
    from coresr_data.intensity import default_window
    from coresr_data.packing.writing import Making

    window = options.window
    if window is None and volume.dtype.kind in "iu" and volume.dtype.itemsize <= 2:
        window = default_window(volume.dtype)
    recipe = recipe_of(options.degradation, scale=options.scale)
    return Making(recipes={options.scale: recipe}, window=window, seed=options.seed)


def _write_one(work: _Work, out: Path) -> Path:
    """One image, and its record beside it."""
    from coresr_data.formats.images import write_slice

    beside = out.with_name(f"{out.name}.json")
    for one in (out, beside):
        _refuse_taken(one)
    lr = work.lr(0)
    write_whole(beside, work.text)
    try:
        with creating(out):
            write_slice(out, lr, voxel_um=work.voxel_um and work.voxel_um[1:])
    except BaseException:
        beside.unlink()
        raise
    return beside


def _write_all(work: _Work, out: Path) -> Path:
    """A folder with its record in it, or a volume with its record beside it; goes on where a run stopped."""
    from coresr_data.output import SUFFIXES, writing

    volume, slices = work.volume, out.suffix.lower() not in SUFFIXES
    beside = out.with_name(f"{out.name}.json")
    begun = out.with_name(f".{out.name}.part").exists()
    with writing(
        out,
        shape=(len(volume), *work.size),
        dtype=volume.dtype,
        digest=_digest(work),
        voxel_um=work.voxel_um,
        names=_names(volume) if slices else (),
    ) as writer:
        if not slices and not begun:
            _refuse_taken(beside)
        for tile in writer.todo:
            writer.write(tile, work.lr(tile.z))
        write_whole(writer.place / RECORD if slices else beside, work.text)
    return out / RECORD if slices else beside


def _names(volume: Volume) -> list[str]:
    """Those of the files of a folder of images, else slice numbers."""
    png = volume.dtype.name in {"uint8", "uint16"}
    if len(volume.sources) != len(volume) or volume.sources[0].suffix.lower() in {"", ".dcm", ".ima"}:
        return [f"{number:04d}.tif" for number in volume.numbers]
    return [
        path.name if path.suffix.lower() in {".tif", ".tiff"} or (png and path.suffix.lower() == ".png")
        else f"{path.stem}.{'png' if png else 'tif'}"
        for path in volume.sources
    ]  # fmt: skip


def _digest(work: _Work) -> str:
    """Of the record, and of size and time of every source: a change of any starts anew."""
    stamps = [[str(path), *stamp] for path, stamp in work.volume.stamps.items()]
    return hashlib.sha256(json.dumps([work.record, stamps]).encode()).hexdigest()


def _refuse_taken(path: Path) -> None:
    with creating(path):
        taken = path.exists()
    if taken:
        raise FileExistsError(f"output must be new, got {path}, which is there; remove it or name another")
