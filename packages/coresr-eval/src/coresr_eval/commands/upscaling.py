"""`upscale MODEL IN OUT`: the super-resolved slice, stack or volume, in its own bit depth, tile by tile.

The same command gives the same bytes, at once or where it goes on, on a machine of the same kind and with as many
threads (OMP_NUM_THREADS): with another number of them some networks differ in the last bit of float32, which a few
pixels in ten thousand show as a level.
"""

import hashlib
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from coresr_data.commands.opening import add_opening, add_window
from coresr_data.formats import open_volume
from coresr_data.output import FOREIGN, SUFFIXES, part_of
from coresr_data.volume import AXES, Stamp, Volume, along, stamped
from coresr_eval import __version__
from coresr_eval.cli import Commands, UsageError, whole
from coresr_eval.commands.loading import MODEL, Model, find_model, model_window
from coresr_eval.commands.projecting import assumed
from coresr_eval.commands.sharing import together
from coresr_eval.commands.volumes import Network, Work, said_voxel, write
from coresr_models.checkpoint import sha256

BICUBIC_REACH = 2
"""LR pixels to each side that a pixel of `Bicubic` sees."""


def add(commands: Commands) -> None:
    """Declare the command."""
    enlarge = commands.add_parser("upscale", help="super-resolve a slice, a stack or a volume, keeping its bit depth")
    enlarge.add_argument("model", metavar="MODEL", help=MODEL)
    enlarge.add_argument("input", type=Path, metavar="IN", help="grey slices of any size, in any format prepare reads")
    enlarge.add_argument(
        "output",
        type=Path,
        metavar="OUT",
        help="a .tif, .npy, .mhd or .zarr, a folder of slices, or .png of one slice; goes on where a run stopped",
    )
    enlarge.add_argument("--scale", type=whole(1), help="for bicubic, which has none of its own")
    add_window(enlarge, "grey levels that become 0 and 1")
    enlarge.add_argument("--tile", type=whole(1), default=512, help="side of a tile in LR pixels (default 512)")
    enlarge.add_argument(
        "--overlap",
        type=whole(1),
        metavar="N",
        help="blend tiles by N LR pixels, where a network must see the whole slice",
    )
    enlarge.add_argument(
        "--self-ensemble", action="store_true", help="mean over the eight orientations of each slice, in eight times"
    )
    enlarge.add_argument(
        "--back-project",
        action="store_true",
        help="make OUT, degraded as the model's LR was, give IN back: for an IN made so, without noise; not for a scan",
    )
    enlarge.add_argument("--axis", choices=AXES, default="z", help="what the slices lie across (default z)")
    add_opening(enlarge)
    enlarge.set_defaults(command=_upscale)


def _upscale(options: Namespace) -> None:
    suffix = options.output.suffix.lower()
    if suffix != ".png" and suffix in FOREIGN:
        raise UsageError(f"OUT must end in .png, {', '.join(SUFFIXES)} or be a folder, got {options.output}")
    if 2 * (options.overlap or 0) > options.tile:
        half = f"half a --tile of {options.tile} LR pixels"
        raise UsageError(f"--overlap must be from 1 to {half}, got {options.overlap}; take larger tiles")
    with torch.inference_mode(), together() as processes:
        if processes.rank == 0:  # the others come later, when it may have appeared
            _refuse_taken(options)
        model = find_model(options.model, options.scale, tile=options.tile)
        volume = open_volume(options.input, raw=options.raw, variable=options.variable)
        window = options.window or model_window(model, volume.dtype)
        work = Work(
            volume=along(volume, options.axis),
            network=_network(model),
            window=window,
            tile=options.tile,
            overlap=options.overlap,
            self_ensemble=options.self_ensemble,
            operators=assumed(model) if options.back_project else None,
        )
        if suffix == ".png" and (len(work.volume) > 1 or volume.dtype not in (np.uint8, np.uint16)):
            held = f"{len(work.volume)} slice{'s' * (len(work.volume) > 1)} of {volume.dtype}"
            raise UsageError(
                f"OUT must be a .tif for {held}, got {options.output}; PNG holds one slice of 8 or 16 bits"
            )
        clipped, new, total = write(work, options.output, _digest(options, work, volume), processes)
        if processes.rank == 0:
            _tell(options, work, clipped=clipped, new=new, total=total)


def _refuse_taken(options: Namespace) -> None:
    if options.output.exists():
        if options.input.exists() and options.output.samefile(options.input):
            raise FileExistsError(f"OUT must not be IN, got {options.output} twice; name another file")
        raise FileExistsError(f"OUT must be new, got {options.output}, which is there; remove it or name another")


def _network(model: Model) -> Network:
    """What runs, where, and what it states of itself; of bicubic, too."""
    if model.checkpoint is None:
        return Network(model.upscale, model.scale, 1, BICUBIC_REACH, torch.device("cpu"))
    network = model.checkpoint.model
    device = next(network.parameters()).device
    return Network(network, network.scale, network.multiple_of, network.receptive_field, device)


def _digest(options: Namespace, work: Work, volume: Volume) -> str:
    """Of all that decides the levels: another model, window or source does not go on with the same output."""
    model = Path(options.model)
    weights = model / "best.safetensors" if model.is_dir() else model
    said: dict[str, Any] = {
        "model": "bicubic" if options.model == "bicubic" else sha256(weights),
        "scale": work.network.scale,
        "sources": [[path.name, *stamp] for path, stamp in sorted(_stamps(options, volume).items())],
        "raw": str(options.raw),
        "variable": options.variable,
        "axis": options.axis,
        "window": list(work.window),
        "tile": options.tile,
        "overlap": options.overlap,
        "self_ensemble": options.self_ensemble,
        "back_project": options.back_project,
        "machine": [work.network.device.type, torch.__version__, __version__],
    }
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _stamps(options: Namespace, volume: Volume) -> dict[Path, Stamp]:
    """Of every file that the levels may come from, headers and chunks too; not of what this run writes among them."""
    source, part = options.input, part_of(options.output).name
    beside = [source] if source.is_file() else []
    if source.is_dir() and len(volume.sources) == 1:
        inside = (path for path in source.rglob("*") if part not in path.relative_to(source).parts)
        beside = [path for path in inside if path.is_file()]
    return {**stamped(beside), **volume.stamps}


def _tell(options: Namespace, work: Work, *, clipped: int, new: int, total: int) -> None:
    """What was written, and what a reader must know of it."""
    volume, dtype = work.volume, work.dtype
    slices = "" if len(volume) == 1 else f"{len(volume)} slices of "
    made, given = ("×".join(map(str, size)) for size in (work.size, volume.size))
    print(f"{options.output}: {slices}{made} {dtype}, from {given}")
    if dtype != volume.dtype:
        print(f"IN is {volume.dtype}, beyond whose largest level SR may lie: OUT is {dtype}")
    _tell_voxel(work, options.output)
    if options.axis != "z":
        print(f"slices across {options.axis}: OUT lies ({options.axis}, {'z, x' if options.axis == 'y' else 'z, y'})")
    if not work.by_tiles:
        how = f"from tiles blended by {work.overlap} LR pixels" if work.overlap else "whole"
        exact = work.network.receptive_field is not None
        why = "without --overlap this network is exact in tiles" if exact else "for this network is not exact in tiles"
        print(f"slices were made {how}, {why}")
    if work.operators is not None:
        print(
            "back-projected: OUT, before it is rounded and clipped, gives IN back under MATLAB's bicubic "
            f"1/{work.network.scale}, IN's rounding and noise included; a scan was not made so: leave it away there"
        )
    share = 100 * clipped / max(1, new)
    of = "pixels" if new == total else f"the {100 * new / total:.1f} % of pixels that were left to write were"
    said = f"{share:.3f} % of {of} clipped to {dtype}"
    print(f"grey window {work.window.low:g} {work.window.high:g}, {said}")


def _tell_voxel(work: Work, out: Path) -> None:
    """Its sides, and whether OUT says them."""
    if work.voxel_um is None:
        print("voxel not said by IN")
        return
    if len(work.volume) == 1:
        print(f"pixel {work.voxel_um[1]:g}×{work.voxel_um[2]:g} µm: {work.network.scale} times finer")
    else:
        sides = "×".join(f"{side:g}" for side in work.voxel_um)
        print(f"voxel {sides} µm: {work.network.scale} times finer in the plane of the slices, their distance is kept")
    if said_voxel(work, out) is None:
        print("OUT has no room for this voxel and says none; a .mhd or .zarr has")
