"""`python -m coresr_eval {score,upscale}`: how good a model is, and its image of a slice. Needs `coresr-eval[cli]`."""

import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coresr_eval.inference import tiled
from coresr_eval.protocol import Pair, Protocol, Score, Scored, score
from coresr_eval.report import Crop, summary, write_json, write_page, write_scores

try:
    from coresr_data import Store, Window, from_unit, open_store, to_unit, whole_slices
    from coresr_data.cli import Parser, UsageError, run
    from coresr_data.formats.images import SUFFIXES, look, read_slice, write_slice
    from coresr_data.intensity import clipped_share, default_window
    from coresr_models import Checkpoint, complete, load
    from coresr_models.blocks import Bicubic
except ImportError as missing:  # the metrics do without them, the command line cannot
    print(f"coresr: error: {missing}; install coresr-data and coresr-models beside coresr-eval", file=sys.stderr)
    raise SystemExit(69) from missing

CROP = 192
"""Side in HR pixels of what the page shows of a slice."""
SHOWN = 4
"""Slices shown on the page, spread over the split."""
SEEN = {
    "train": "These slices are the ones it was trained on: the scores say nothing about others.",
    "valid": "Its weights were chosen on these slices: the scores flatter it a little.",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    options = _parser().parse_args(arguments)
    options.command(options)


class Model(NamedTuple):
    """A model by what the user calls it."""

    name: str
    """In tables."""
    upscale: Callable[[Tensor], Tensor]
    scale: int
    checkpoint: Checkpoint | None


def _parser() -> Parser:
    parser = Parser(prog="python -m coresr_eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    model_help = "a run folder (its best), a .safetensors file, or the word bicubic"

    judge = commands.add_parser("score", help="score a model on a split of a store, beside bicubic")
    judge.add_argument("model", metavar="MODEL", help=model_help)
    judge.add_argument("--data", type=Path, required=True, metavar="STORE")
    judge.add_argument("--split", default="test")
    judge.add_argument("--scale", type=int, help="for bicubic, where the store holds several scales")
    judge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for scores.csv, summary.json, index.html"
    )
    judge.set_defaults(command=_score)

    enlarge = commands.add_parser("upscale", help="super-resolve one slice, keeping its bit depth")
    enlarge.add_argument("model", metavar="MODEL", help=model_help)
    enlarge.add_argument("input", type=Path, metavar="IN", help="a grey PNG or TIFF slice of any size")
    enlarge.add_argument("output", type=Path, metavar="OUT", help="PNG or TIFF, by its suffix")
    enlarge.add_argument("--scale", type=int, help="for bicubic, which has none of its own")
    enlarge.add_argument(
        "--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="grey levels that become 0 and 1"
    )
    enlarge.add_argument("--tile", type=int, default=512, help="side of a tile in LR pixels (default 512)")
    enlarge.set_defaults(command=_upscale)
    return parser


def _score(options: Namespace) -> None:
    store = open_store(options.data)
    manifest = store.manifest
    only = manifest.scales[0] if len(manifest.scales) == 1 else None
    model = _model(options.model, options.scale or only)
    store = store.at(model.scale)
    protocol = Protocol(scale=model.scale, shave=model.scale, degradation=manifest.degradation, grey=manifest.grey)
    rows = store.rows(options.split)
    pairs = (Pair(core=one.core, slice=one.number, lr=one.lr, hr=one.hr) for one in whole_slices(store, options.split))
    models = {"bicubic": _model("bicubic", model.scale).upscale, model.name: model.upscale}
    shown = {round(i * (len(rows) - 1) / max(1, SHOWN - 1)) for i in range(SHOWN)}
    scores: list[Score] = []
    crops: list[Crop] = []
    for number, scored in enumerate(score(models, pairs, protocol)):
        scores += scored.scores
        if number in shown:
            crops.append(_crop(scored, model.name))
    options.out.mkdir(parents=True, exist_ok=True)
    result = summary(asdict(protocol), scores)
    write_scores(options.out / "scores.csv", scores)
    write_json(options.out / "summary.json", result)
    title = f"{model.name} on {options.split} of {options.data.resolve().name}"
    notes = _notes(model, store, options.split, len(crops))
    write_page(options.out / "index.html", title=title, summary=result, crops=crops, notes=notes)
    for row in result["rows"]:
        gain = f"  {row['gain_db']:+.3f} dB over bicubic" if row.get("gain_db") is not None else ""
        print(f"{row['model']:<24} n {row['n']:<4} PSNR {row['psnr']:.3f} dB  SSIM {row['ssim']:.4f}{gain}")
    print(f"page {options.out / 'index.html'}")


def _upscale(options: Namespace) -> None:
    if options.output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"OUT must end in {', '.join(SUFFIXES)}, got {options.output}")
    if options.output.exists() and options.output.samefile(options.input):
        raise FileExistsError(f"OUT must not be IN, got {options.output} twice; name another file")
    levels, voxel = read_slice(options.input), look(options.input).voxel_um
    model = _model(options.model, options.scale, tile=options.tile)
    window = Window(*options.window) if options.window else _window(model, levels.dtype)
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


def _window(model: Model, dtype: np.dtype[Any]) -> Window:
    """The window that the model was trained under; without a record, the whole range of the dtype."""
    data = model.checkpoint.provenance.get("data", {}) if model.checkpoint else {}
    if "window" not in data:
        return default_window(dtype)
    if data["dtype"] != str(dtype):
        raise UsageError(
            f"IN must hold {data['dtype']} levels as the model's training slices, got {dtype}; "
            "say which of its levels are 0 and 1 with --window LOW HIGH"
        )
    return Window(*data["window"])


def _model(name: str, scale: int | None, tile: int = 512) -> Model:
    if name == "bicubic":
        if scale is None:
            raise UsageError("scale must be given for bicubic, got none; add --scale")
        bicubic = Bicubic(scale=scale).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Model(name, bicubic, scale, None)  # in the order of the networks, whose skip then has the same bits
    path = Path(name)
    checkpoint = load(path / "best.safetensors" if path.is_dir() else path)
    network, channels = checkpoint.model, complete(checkpoint.spec).arguments["channels"]
    if scale not in (None, network.scale):
        raise ValueError(f"model {name} must be of scale {scale}, got {network.scale}; train or name another")
    if channels != 1:
        raise ValueError(f"model {name} must be of one channel, got {channels}; slices are grey")
    called = path.resolve().name if path.is_dir() else path.stem
    if called == "bicubic":
        raise ValueError(f"model {name} must not be named bicubic like the baseline beside it; rename it")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False  # TF32 keeps 10 bits: scores are of the float32 network
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster, and the same image

    def upscale(lr: Tensor) -> Tensor:
        sr = tiled(
            network,
            lr.to(device),
            scale=network.scale,
            multiple_of=network.multiple_of,
            receptive_field=network.receptive_field,
            tile=tile,
        )
        return sr.to(lr.device)

    return Model(called, upscale, network.scale, checkpoint)


def _notes(model: Model, store: Store, split: str, crops: int) -> list[str]:
    """What a reader must know to believe the page."""
    notes = [f"The pictures are the middle {CROP}² pixels, or less, of {crops} slices spread evenly over the split."]
    if model.checkpoint is not None:
        arguments = ", ".join(f"{key} {value}" for key, value in model.checkpoint.spec.arguments.items())
        notes.append(f"{model.name} is {model.checkpoint.spec.name} ({arguments}).")
        trained = model.checkpoint.provenance.get("data", {}).get("sha256")
        if trained is None:
            notes.append("Its file does not say what it was trained on.")
        elif trained != store.sha256:
            notes.append("It was trained on another store, which may hold the same rock.")
        else:
            notes.append(f"It was trained on this store. {SEEN.get(split, '')}".strip())
    notes.append(f"{_divided(store)} This is its {split} part.")
    notes.append(f"The store's identity (sha256 of its manifest, sources included) is {store.sha256}.")
    return notes


def _divided(store: Store) -> str:
    """How the store was split, as a sentence, and how alike the slices on both sides of a border are."""
    parts, cores = store.manifest.split["parts"], store.manifest.split["cores"]
    if isinstance(parts, dict):
        how = "into " + "; ".join(f"{part} {_part(of)}" for part, of in parts.items())
    elif isinstance(parts, list):
        how = f"by depth in shares of {'/'.join(f'{share:g}' for share in parts)}"
    else:
        how = f"by its {parts}"
    likeness = [border["likeness"] for core in cores for border in core["borders"]]
    alike = f" Slices on both sides of a border correlate by {max(likeness):.2f} at most." if likeness else ""
    return f"The store was split {how}.{alike}"


def _part(of: Sequence[int | str]) -> str:
    return f"{of[0]}–{of[-1]}" if isinstance(of[0], int) else ", ".join(map(str, of))


def _crop(scored: Scored, name: str) -> Crop:
    """The middle of a slice: chosen before anybody saw it."""
    scale = scored.pair.hr.shape[0] // scored.pair.lr.shape[0]
    height, width = scored.pair.lr.shape
    side = min(CROP // scale, height, width)
    y, x = (height - side) // 2, (width - side) // 2
    low = (slice(y, y + side), slice(x, x + side))
    high = (slice(scale * y, scale * (y + side)), slice(scale * x, scale * (x + side)))
    return Crop(
        core=scored.pair.core,
        slice=scored.pair.slice,
        lr=scored.pair.lr[low].numpy(),
        bicubic=scored.images["bicubic"][high].numpy(),
        sr=scored.images[name][high].numpy(),
        hr=scored.pair.hr[high].numpy(),
    )


if __name__ == "__main__":
    run(main)
