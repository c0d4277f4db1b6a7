"""What a critic changes: a PSNR net, an ESRGAN of the same generator and budget, and the network between the two.

`python -m bench.gans OUT` prepares the sandstone (trained on slices 0–250, chosen on 300, scored on 400; ×2), trains
`rrdbnet_x2` for ten minutes and `esrgan_x2` for ten minutes in all, its PSNR stage included, the GAN once more from the
same stage with features of rock, mixes that stage's weights and the GANs' at α 0.5, and prints a table of them
beside bicubic. What OUT already holds is kept, but for the scores;
OUT/crops shows three places of the slice by each. Pore is what the slice's labels call so: Otsu's threshold would
part the heavy minerals from all the rest.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.judging import HR, Judged, judge, number, pairs_of, table
from bench.report import machine
from bench.runs import prepared, python, real_data, told, trained
from coresr_data import open_store
from coresr_eval import Pair
from coresr_eval.commands.loading import find_model
from coresr_eval.petrophysics import threshold_from_labels
from coresr_models import complete, load
from coresr_train.machine import cores

SCALE, ALPHA = 2, 0.5
PORE = 0
"""Its label."""
ROCK = ("--loss.features", "rock", "--loss.perceptual", "0.25")
"""Features learnt from the rock itself instead of those of photographs."""
SPLIT = ("--train", "0:250", "--valid", "300:300", "--test", "400:400")
COLUMNS = (
    "model",
    "PSNR dB",
    "SSIM",
    "LPIPS",
    "spectrum from HR's, dB",
    "energy beyond LR, dB",
    "LR consistency dB",
    "drift, levels",
    "porosity",
    "error",
    "share unsupported",
    "its error",
)
LEGEND = """\
Spectrum: log-spectral distance over all rings. Energy: above LR's Nyquist frequency, beside HR's. Consistency: degraded
again, against LR. Drift: mean grey less HR's, of 255. Share unsupported: of the variance, what LR cannot show; its
error: 0 right, 1 as good as none, 2 as much as HR's in unrelated places."""


def main() -> None:
    """Do what is left to do, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.gans", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="SLICES",
        help="the sandstone's, its labels beside them (default: where real rock lies)",
    )
    parser.add_argument("--budget", type=float, default=600, metavar="SECONDS", help="of each training (default 600)")
    options = parser.parse_args()
    out, slices = options.out, options.data or real_data() / "sandstone-versa" / "slices"
    out.mkdir(parents=True, exist_ok=True)
    path = prepared(out / "store", slices, "--scale", str(SCALE), *SPLIT)
    psnr = trained(out / "psnr", f"rrdbnet_x{SCALE}", path, budget=options.budget)
    gan = trained(out / "gan", f"esrgan_x{SCALE}", path, budget=options.budget)
    first = gan / "first" / "best.safetensors"
    rock = trained(out / "gan-rock", f"esrgan_x{SCALE}", path, *ROCK, "--start", str(first), budget=options.budget / 2)
    models = {
        "PSNR net": psnr / "best.safetensors",
        "ESRGAN's PSNR stage": first,
        f"ESRGAN, α {ALPHA:g}": mixed(first, gan, out / f"alpha-{ALPHA:g}.safetensors"),
        "ESRGAN": gan / "best.safetensors",
        f"ESRGAN, rock, α {ALPHA:g}": mixed(first, rock, out / f"alpha-{ALPHA:g}-rock.safetensors"),
        "ESRGAN, rock": rock / "best.safetensors",
    }
    refuse_unlike(models)
    torch.set_num_threads(cores())
    upscalers = {"bicubic": find_model("bicubic", SCALE).upscale}
    upscalers |= {name: find_model(str(file), SCALE).upscale for name, file in models.items()}
    store = open_store(path).at(SCALE)
    pairs = list(pairs_of(store, "test"))
    judged = judge(upscalers, pairs, store, out / "crops", threshold=labelled(pairs, slices.parent / "labels"))
    print(f"{machine()}; {told(psnr)}; {told(gan)}; {told(rock)}.\n")
    show(judged)
    print(f"Crops, left to right {', '.join(judged.models)}: {out / 'crops'}")


def mixed(first: Path, gan: Path, file: Path) -> Path:
    """The network between a GAN's first stage and itself, made unless it is there."""
    if not file.is_file():
        best = gan / "best.safetensors"
        python("coresr_models", "interpolate", str(first), str(best), str(file), "--alpha", f"{ALPHA:g}")
    return file


def labelled(pairs: Sequence[Pair], labels: Path) -> float:
    """The threshold at which HR's pores are most like the labelled ones."""
    hr = [pair.hr.numpy() for pair in pairs]
    phases = [np.asarray(Image.open(labels / f"{pair.slice:04d}.png")) for pair in pairs]
    return threshold_from_labels(hr, phases, PORE)


def refuse_unlike(models: Mapping[str, Path]) -> None:
    """ValueError where the networks differ in more than their weights: the table would compare that."""
    specs = {name: complete(load(file).spec) for name, file in models.items()}
    if len({str(spec) for spec in specs.values()}) > 1:
        raise ValueError(f"networks must be of one spec, got {specs}; give both presets the same generator")


def show(judged: Judged) -> None:
    """The table, and what a reader must know of its columns."""
    rows = []
    truth = judged.models[HR].pores.porosity
    for name, one in judged.models.items():
        rows.append(
            [
                name,
                number(one.psnr, ".2f"),
                number(one.ssim, ".4f"),
                number(one.lpips, ".4f"),
                number(one.fineness.distance_db, ".2f"),
                number(one.fineness.beyond_lr_db, "+.2f"),
                number(one.lr_psnr, ".1f"),
                number(one.drift, "+.2f"),
                number(one.pores.porosity, ".4f"),
                number(one.pores.porosity - truth, "+.4f"),
                number(one.share, ".4f"),
                "–" if one.fineness.invented is None else number(one.fineness.invented, ".3f"),
            ]
        )
    print(table(COLUMNS, rows))
    print(f"\n{LEGEND} Slices: {judged.slices}. Pore: up to {judged.threshold:.3f} of the grey range.")
    if judged.without_lpips:
        print(f"No LPIPS, for {judged.without_lpips}.")


if __name__ == "__main__":
    main()
