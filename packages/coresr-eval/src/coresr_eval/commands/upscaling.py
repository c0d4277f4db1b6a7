"""`upscale MODEL IN OUT`: the super-resolved image of a slice, in its own bit depth."""

from argparse import Namespace
from pathlib import Path

import torch

from coresr_data import Window, from_unit, to_unit
from coresr_data.formats.images import SUFFIXES, look, read_slice, write_slice
from coresr_data.intensity import clipped_share
from coresr_eval.cli import Commands, UsageError
from coresr_eval.commands.loading import MODEL, find_model, model_window


def add(commands: Commands) -> None:
    """Declare the command."""
    enlarge = commands.add_parser("upscale", help="super-resolve one slice, keeping its bit depth")
    enlarge.add_argument("model", metavar="MODEL", help=MODEL)
    enlarge.add_argument("input", type=Path, metavar="IN", help="a grey PNG or TIFF slice of any size")
    enlarge.add_argument("output", type=Path, metavar="OUT", help="PNG or TIFF, by its suffix")
    enlarge.add_argument("--scale", type=int, help="for bicubic, which has none of its own")
    enlarge.add_argument(
        "--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="grey levels that become 0 and 1"
    )
    enlarge.add_argument("--tile", type=int, default=512, help="side of a tile in LR pixels (default 512)")
    enlarge.set_defaults(command=_upscale)


def _upscale(options: Namespace) -> None:
    if options.output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"OUT must end in {', '.join(SUFFIXES)}, got {options.output}")
    if options.output.exists() and options.output.samefile(options.input):
        raise FileExistsError(f"OUT must not be IN, got {options.output} twice; name another file")
    levels, voxel = read_slice(options.input), look(options.input).voxel_um
    model = find_model(options.model, options.scale, tile=options.tile)
    window = Window(*options.window) if options.window else model_window(model, levels.dtype)
    with torch.inference_mode():
        sr = model.upscale(torch.from_numpy(to_unit(levels, window))[None, None])[0, 0]
    if not sr.isfinite().all():
        raise ValueError(f"the image of {options.input} must be finite, got {int((~sr.isfinite()).sum())} bad pixels")
    image, clipped = from_unit(sr.numpy(), window, levels.dtype), clipped_share(sr.numpy(), window, levels.dtype)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_slice(options.output, image, voxel_um=voxel and (voxel[1] / model.scale, voxel[2] / model.scale))
    print(f"{options.output}: {sr.shape[0]}×{sr.shape[1]} {levels.dtype}, from {levels.shape[0]}×{levels.shape[1]}")
    clipping = f"{100 * clipped:.3f} % of pixels clipped to {levels.dtype}"
    print(f"grey window {window.low:g} {window.high:g}, {clipping}")
