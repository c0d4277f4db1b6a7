"""`score MODEL --data STORE`: how good a model is on a split of a store, beside bicubic."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from coresr_data import Store, open_store, whole_slices
from coresr_eval.cli import Commands
from coresr_eval.commands.loading import MODEL, Model, find_model
from coresr_eval.protocol import Pair, Protocol, Score, Scored, score
from coresr_eval.report import Crop, summary, write_json, write_page, write_scores

CROP = 192
"""Side in HR pixels of what the page shows of a slice."""
SHOWN = 4
"""Slices shown on the page, spread over the split."""
SEEN = {
    "train": "These slices are the ones it was trained on: the scores say nothing about others.",
    "valid": "Its weights were chosen on these slices: the scores flatter it a little.",
}


def add(commands: Commands) -> None:
    """Declare the command."""
    judge = commands.add_parser("score", help="score a model on a split of a store, beside bicubic")
    judge.add_argument("model", metavar="MODEL", help=MODEL)
    judge.add_argument("--data", type=Path, required=True, metavar="STORE")
    judge.add_argument("--split", default="test")
    judge.add_argument("--scale", type=int, help="for bicubic, where the store holds several scales")
    judge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for scores.csv, summary.json, index.html"
    )
    judge.set_defaults(command=_score)


def _score(options: Namespace) -> None:
    store = open_store(options.data)
    manifest = store.manifest
    only = manifest.scales[0] if len(manifest.scales) == 1 else None
    model = find_model(options.model, options.scale or only)
    store = store.at(model.scale)
    protocol = Protocol(scale=model.scale, shave=model.scale, degradation=manifest.degradation, grey=manifest.grey)
    rows = store.rows(options.split)
    pairs = (Pair(core=one.core, slice=one.number, lr=one.lr, hr=one.hr) for one in whole_slices(store, options.split))
    models = {"bicubic": find_model("bicubic", model.scale).upscale, model.name: model.upscale}
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
