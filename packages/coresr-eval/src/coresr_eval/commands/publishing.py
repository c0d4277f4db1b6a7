"""What `score` leaves behind: tables, numbers and a page, from the scored slices as they come."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from coresr_eval.analysis import Analysis
from coresr_eval.consistency import hallucination
from coresr_eval.figures import CORES, MODELS, charts, drawn
from coresr_eval.grounds import Ground
from coresr_eval.protocol import Protocol, Score, Scored
from coresr_eval.report import Crop, summary, write_json, write_markdown, write_page, write_scores
from coresr_eval.report.words import listed, printable
from coresr_eval.statistics import Comparison, compare

CROP = 192
"""Side in HR pixels of what the page shows of a slice."""
SHOWN = 4
"""Slices shown on the page, spread over the split."""
PICTURED = 6
"""Models whose images are shown beside bicubic's, the first that were named: each is a fifth of a megabyte."""
ANALYSED = 32
"""Slices whose spectra and pores are looked at, spread over the split: more would tell no more."""


def publish(
    scored: Iterable[Scored],
    out: Path,
    *,
    number: int,
    names: Sequence[str],
    protocol: Protocol,
    grounds: Mapping[str, Ground],
    title: str,
    notes: Sequence[str],
    rocks: Mapping[str, str] | None = None,
    identity: str | None = None,
) -> None:
    """Write the folder `out` from `number` slices scored for bicubic and the models `names`, and print the table.

    `rocks` are by core. `identity` is that of the data, where they have one: tables of others may not be compared.
    """
    nearest = next(one for one in (out.absolute(), *out.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise FileExistsError(f"--out must be a folder, got {nearest}, which is a file; name another")
    scores, crops, analysis = _looked_at(scored, names, number, grounds)
    comparison = compared(scores)
    result = summary(asdict(protocol), scores, rocks=rocks) | told(analysis)
    result |= {} if identity is None else {"store": identity}
    result |= {"comparison": asdict(comparison)} if comparison and len(names) > 1 else {}
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / "scores.csv", scores)
    write_json(out / "summary.json", result)
    write_markdown(out / "summary.md", result, comparison)
    write_page(
        out / "index.html",
        title=title,
        summary=result,
        crops=crops,
        charts=charts(analysis, protocol.scale),
        comparison=comparison,
        notes=[_pictures(len(crops), len(names)), *notes, *_analysed(analysis)],
    )
    print("\n".join(_printed(result["rows"], comparison)))
    print(f"page {out / 'index.html'}")


def _looked_at(
    scored: Iterable[Scored], names: Sequence[str], number: int, grounds: Mapping[str, Ground]
) -> tuple[list[Score], list[Crop], Analysis]:
    shown, analysed = spread(SHOWN, number), spread(ANALYSED, number)
    scores: list[Score] = []
    crops: list[Crop] = []
    analysis = Analysis(grounds)
    for at, one in enumerate(scored):
        scores += one.scores
        if at in shown:
            crops.append(crop_of(one, names[:PICTURED]))
        if at in analysed:
            analysis.add(one)
    return scores, crops, analysis


def _printed(rows: Sequence[Mapping[str, Any]], comparison: Comparison | None) -> list[str]:
    """The table for a terminal: letters where there are models to tell apart."""
    letters = {row.model: f"  {row.letters}" for row in comparison.rows} if comparison and len(rows) > 2 else {}
    wide = max(24, *(len(printable(row["model"])) for row in rows))
    lines = []
    for row in rows:
        gain = f"{row['gain_db']:+.3f} dB over bicubic" if row.get("gain_db") is not None else ""
        scores = f"n {row['n']:<4} PSNR {row['psnr']:.3f} dB  SSIM {row['ssim']:.4f}  {gain:<24}"
        lines.append(f"{printable(row['model']):<{wide}} {scores}{letters.get(row['model'], '')}".rstrip())
    return lines


def compared(scores: Sequence[Score]) -> Comparison | None:
    """The models against one another by PSNR; None of bicubic alone, of one image, where a PSNR is infinite."""
    images = list(dict.fromkeys((one.core, one.slice) for one in scores))
    found = {(one.model, one.core, one.slice): one.psnr for one in scores}
    names = list(dict.fromkeys(one.model for one in scores))
    table = {name: np.array([[found[name, *image] for image in images]]) for name in names}
    if min(len(table), len(images)) < 2 or not all(np.isfinite(values).all() for values in table.values()):
        return None
    return compare(table, images)


def titled(names: Sequence[str]) -> str:
    """Models in a title.

    >>> titled([]), titled(["a", "b"]), titled("abcd")
    ('bicubic', 'a and b', '4 models')
    """
    return f"{len(names)} models" if len(names) > 3 else listed(names or ["bicubic"])


def spread(most: int, number: int) -> set[int]:
    """At most `most` of `number` places, evenly spread, both ends among them."""
    return {round(i * (number - 1) / max(1, most - 1)) for i in range(most)}


def told(analysis: Analysis) -> dict[str, object]:
    """The analysis as `summary.json` holds it: numbers by model, and by core and kind of image."""
    fineness = {
        name: {
            "spectral_distance_db": of.distance_db,
            "beyond_lr_db": of.beyond_lr_db,
            "resolution_px": of.resolution,
            **({} if of.invented is None else {"wrong_detail": of.invented, "wrong_detail_slices": of.told}),
        }
        for name, of in analysis.fineness().items()
    }
    pores = {
        core: {
            "threshold": analysis.grounds[core].threshold,
            "sweep": list(analysis.grounds[core].thresholds[[0, -1]]),
            "voxel_um": analysis.grounds[core].voxel_um,
            "images": {name: _known(asdict(of)) for name, of in kinds.items()},
        }
        for core, kinds in analysis.pores().items()
    }
    return {"fineness": fineness, "pores": pores}


def _known(values: Mapping[str, object]) -> dict[str, object]:
    """Without the curve, which the page draws, and what an image does not have."""
    return {key: value for key, value in values.items() if isinstance(value, float) and not math.isnan(value)}


def crop_of(scored: Scored, names: Sequence[str]) -> Crop:
    """The middle of a slice, by bicubic and the models `names`: chosen before anybody saw it."""
    pair = scored.pair
    scale = pair.hr.shape[0] // pair.lr.shape[0]
    height, width = pair.lr.shape
    side = min(CROP // scale, height, width)
    y, x = (height - side) // 2, (width - side) // 2
    low = (slice(y, y + side), slice(x, x + side))
    high = (slice(scale * y, scale * (y + side)), slice(scale * x, scale * (x + side)))
    beyond = {}
    if pair.operator is not None and pair.pinv is not None:
        for name in names:
            invented = hallucination(scored.images[name][None, None], pair.operator, pair.pinv)
            beyond[name] = invented[0, 0][high].numpy()
    return Crop(
        core=pair.core,
        slice=pair.slice,
        lr=pair.lr[low].numpy(),
        hr=pair.hr[high].numpy(),
        images={name: scored.images[name][high].numpy() for name in ("bicubic", *names)},
        beyond=beyond,
    )


def _pictures(crops: int, models: int) -> str:
    of = f" by bicubic and the first {PICTURED} of {models} models" if models > PICTURED else ""
    return f"The pictures are the middle {CROP}² pixels, or less, of {crops} slices spread evenly over the split{of}."


def _analysed(analysis: Analysis) -> list[str]:
    """What was looked at for spectra and pores, and what their thresholds mean."""
    notes = []
    if analysis.slices:
        notes.append(
            f"Spectra and pores are of {_slices(analysis.slices)} spread evenly over the split. Where there is a mask, "
            "of the largest rectangle around the middle that lies inside it."
        )
    if analysis.skipped:
        notes.append(f"Spectra and pores leave out {_slices(analysis.skipped)}: flat, or too little inside the mask.")
    if len(drawn(analysis.fineness())) < len(analysis.fineness()):
        notes.append(f"Charts draw bicubic and the first {MODELS} models; the tables hold all.")
    told = [of.told for of in analysis.fineness().values() if 0 < of.told < analysis.slices]
    if told:
        notes.append(f"Wrong detail is of {_slices(told[0])}: how LR was made of the others has no direct inverse.")
    if analysis.pores():
        notes.append(
            "Pore is what is darker than a threshold fixed on the core's HR, the same for every image: Otsu's unless "
            "--pore said otherwise, which in a rock of several minerals takes the darkest for pore. The sweep goes a "
            "fifth of the contrast between pore and solid to either side. Pores finer than a pixel are not seen."
        )
    if len(analysis.pores()) > CORES:
        notes.append(f"Porosity is drawn of {CORES} cores, the first; the table holds all {len(analysis.pores())}.")
    return notes


def _slices(number: int) -> str:
    return "one slice" if number == 1 else f"{number} slices"
