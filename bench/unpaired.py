"""What scans without a twin are worth: a CycleGAN on unpaired rock beside a net that was taught by the registered pair.

`python -m bench.unpaired OUT` takes Bentheimer sandstone at 6 and 2 µm. `edsr_x3` learns from the first part of the
registered pair along x; `cyclegan_x3` sees the HR of that same part alone, and for its LR the slices of another
sub-volume. Ten minutes each; both are scored beside bicubic on the pair's last third, which neither saw. What OUT
already holds is kept, but for the scores; OUT/crops shows slices by each.

The pair lies one HR voxel off along every axis. A net that is taught by it learns that, one that never sees it cannot:
so the pair is cropped until LR lies on HR, unless `--as-it-lies`.
"""

import argparse
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import Tensor

from bench.judging import HR, Judged, judge, number, pairs_of, table
from bench.report import machine
from bench.runs import prepared, real_data, told, trained
from coresr_data import Store, open_store
from coresr_data.degrade.operators import linear
from coresr_data.degrade.recipes import Linear
from coresr_data.fitting import fit_scanner
from coresr_data.fitting.fitted import ScannerFit, steps_of
from coresr_eval import Pair
from coresr_eval.analysis import Pores
from coresr_eval.commands.loading import find_model
from coresr_eval.petrophysics import otsu
from coresr_train.machine import cores

SCALE, VOXEL_UM, PATCH = 3, 2, 72
TRAIN = (0, 176)
"""Slices across x of HR, both ends included, that anything is learnt from."""
SPLIT = ("--train", f"{TRAIN[0]}:{TRAIN[1]}", "--valid", "205:232", "--test", "260:389")
COLUMNS = (
    "image",
    "PSNR dB",
    "SSIM",
    "spectrum from HR's, dB",
    "energy beyond LR, dB",
    "agrees with HR down to, µm",
    "porosity",
    "over the sweep",
    "error over it",
    "Dice with HR",
    "LR consistency dB",
    "drift, levels",
)
LEGEND = """\
Spectrum: log-spectral distance over all rings. Energy: above LR's Nyquist frequency, beside HR's. Agrees: ring
correlation with HR above a half, median over slices. Error: mean over the sweep's thresholds of the absolute difference
of porosity from HR's. Consistency: seen through the scanner that was fitted to the training part, against LR. Drift:
mean grey less HR's, of 255."""


def main() -> None:
    """Do what is left to do, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.unpaired", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--budget", type=float, default=600, metavar="SECONDS", help="of each training (default 600)")
    parser.add_argument("--as-it-lies", action="store_true", help="leave the pair one HR voxel off")
    options = parser.parse_args()
    out, tail = options.out, "-as-it-lies" if options.as_it_lies else ""
    out.mkdir(parents=True, exist_ok=True)
    pair, unpaired = paired_store(out / f"pair{tail}", register=not options.as_it_lies), unpaired_store(out)
    patch = ("--data.patch", str(PATCH))
    taught = trained(out / f"supervised{tail}", f"edsr_x{SCALE}", pair.path, *patch, budget=options.budget)
    cycle = trained(out / "cyclegan", f"cyclegan_x{SCALE}", unpaired.path, budget=options.budget)
    models = {"bicubic": "bicubic", "CycleGAN, unpaired": str(cycle), "EDSR, paired": str(taught)}
    torch.set_num_threads(cores())
    scanner = fitted(pair)
    pairs = [seen_by(scanner, one) for one in pairs_of(pair, "test")]
    upscalers = {name: find_model(file, SCALE).upscale for name, file in models.items()}
    judged = judge(upscalers, pairs, pair, out / f"crops{tail}")
    print(f"{machine()}; {told(cycle)}; {told(taught)}.\n")
    show(judged)
    for line in domains(unpaired):
        print(line)
    print(
        f"Scanner: blur σ {scanner.sigma[0]:.2f} and {scanner.sigma[1]:.2f} HR pixels; it explains "
        f"{100 * scanner.fit.explained:.0f} % of LR held out."
    )
    print(f"Crops, left to right {', '.join(judged.models)}: {out / f'crops{tail}'}")


def paired_store(path: Path, *, register: bool) -> Store:
    """The pair, cut across its longest axis."""
    flags = ["--layout", "pair", "--scale", str(SCALE), "--axis", "x", "--voxel-um", str(VOXEL_UM), *SPLIT]
    flags += ["--register"] if register else []
    return open_store(prepared(path, real_data() / "bentheimer-pair", *flags)).at(SCALE)


def unpaired_store(out: Path) -> Store:
    """LR of another sub-volume, and the HR of the pair's training part, both cut across the axis of the stacks.

    Both scans are uint8 and show grains and pores at the same levels, so that one window, that of the dtype, suits
    both; `domains` says how alike they are.
    """
    source = out / "unpaired-source"
    if not source.is_dir():
        begun = out / "unpaired-source-begun"
        shutil.rmtree(begun, ignore_errors=True)
        for image in ("hr", "lr"):
            (begun / image).mkdir(parents=True)
        for stack in (real_data() / "bentheimer-lr").glob("*.tif"):
            shutil.copyfile(stack, begun / "lr" / stack.name)
        hr = tifffile.imread(real_data() / "bentheimer-pair" / "hr_2um.tif")[..., TRAIN[0] : TRAIN[1] + 1]
        tifffile.imwrite(begun / "hr" / "bentheimer_pair_train.tif", hr, photometric="minisblack")
        begun.rename(source)
    flags = ("--layout", "unpaired", "--scale", str(SCALE), "--voxel-um", str(VOXEL_UM), "--split", "none")
    return open_store(prepared(out / "unpaired", source, *flags)).at(SCALE)


def fitted(store: Store) -> ScannerFit:
    """The scanner that made LR of HR, slice by slice, on the training part."""
    rows = store.rows("train")
    lr, hr = (np.stack([levels(core)[row] for core, row in rows]) for levels in (store.lr, store.hr))
    return fit_scanner(lr, hr, scale=SCALE, window=store.manifest.window)


def seen_by(scanner: ScannerFit, pair: Pair) -> Pair:
    """The pair with the scanner as its operator, grey match included; for what LR cannot support it is too coarse."""
    blurred = tuple(step for step in steps_of(scanner) if isinstance(step, Linear))
    operator = linear(blurred, pair.hr.shape[0], pair.hr.shape[1], SCALE)

    def scanned(image: Tensor) -> Tensor:
        return scanner.gain * operator.forward(image) + scanner.offset

    return replace(pair, operator=scanned)


def domains(store: Store) -> Iterator[str]:
    """The two peaks of grey and the porosity of what the CycleGAN saw: it takes both for one kind of rock."""
    for image, of in (("lr", store.lr), ("hr", store.hr)):
        levels = np.concatenate([of(core)[row].ravel() for core, row in store.rows("train", image)])
        dark = levels <= otsu(levels)
        pore, grain = (np.bincount(levels[part]).argmax() for part in (dark, ~dark))
        yield f"Its {image.upper()}: pores at {pore}, grains at {grain} of 255, porosity {dark.mean():.3f} by Otsu."


def show(judged: Judged) -> None:
    """The table, and what a reader must know of its columns."""
    truth = judged.models[HR].pores
    rows = [["LR", *["–"] * 5, *_porosity(judged.lr, truth), *["–"] * 3]]
    for name, one in judged.models.items():
        rows.append(
            [
                name,
                number(one.psnr, ".2f"),
                number(one.ssim, ".3f"),
                number(one.fineness.distance_db, ".2f"),
                number(one.fineness.beyond_lr_db, "+.2f"),
                number(VOXEL_UM * one.fineness.resolution, ".1f"),
                *_porosity(one.pores, truth),
                number(one.pores.dice, ".3f"),
                number(one.lr_psnr, ".1f"),
                number(one.drift, "+.2f"),
            ]
        )
    print(table(COLUMNS, rows))
    print(
        f"\n{LEGEND} Slices: {judged.slices}. Threshold {judged.threshold:.3f} by Otsu on HR; the sweep is a fifth of "
        "the contrast to either side."
    )


def _porosity(pores: Pores, truth: Pores) -> list[str]:
    error = float(np.abs(pores.curve - truth.curve).mean())
    return [number(pores.porosity, ".3f"), f"{pores.low:.3f}–{pores.high:.3f}", number(error, ".4f")]


if __name__ == "__main__":
    main()
