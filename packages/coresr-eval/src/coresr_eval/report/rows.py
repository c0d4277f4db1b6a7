"""From the scores of images to the rows of a table, and what must be said of them in words."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from coresr_eval.guards import DRIFT, contradicts
from coresr_eval.protocol import Score
from coresr_eval.report.words import decimals, in_levels, printable


def summary(
    protocol: Mapping[str, object], scores: Sequence[Score], *, rocks: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `summary.json` holds: the protocol, a row per model over all images, and the same rows per core.

    `psnr`, `lr_psnr` and `gain_db` are in dB, `mae` and `drift` in grey of [0, 1]; each is a mean over images, and
    `worst_drift` the drift farthest from 0, `worst_lr_psnr` the lowest LR-PSNR. The gain is PSNR minus bicubic's PSNR
    of the same image: 0 where both are infinite, None where infinite gains and losses meet. What was not taken of each
    image is None. Bicubic's row comes first. With `rocks`, the kind of rock of each core, the rows come `per_rock` too,
    in their order.
    ValueError without scores, for an image without bicubic, for a score given twice, for a core without its rock.
    """
    if not scores:
        raise ValueError("scores must be of one image at least, got none")
    if (n := len({(score.model, score.core, score.slice) for score in scores})) != len(scores):
        raise ValueError(f"scores must be one per model and image, got {len(scores)} for {n}")
    cores = {score.core: score.core for score in scores}
    found: dict[str, Any] = {"protocol": dict(protocol), "rows": _rows(scores), "per_core": _grouped(scores, cores)}
    if rocks is not None:
        if missing := [core for core in cores if core not in rocks]:
            raise ValueError(f"rocks must name the rock of every core, got none of {printable(missing[0])}")
        found["per_rock"] = _grouped(scores, rocks)
    return found


def _grouped(scores: Sequence[Score], groups: Mapping[str, str]) -> dict[str, list[dict[str, object]]]:
    found = {name: [score for score in scores if groups[score.core] == name] for name in dict.fromkeys(groups.values())}
    return {name: _rows(of) for name, of in found.items() if of}


def _rows(scores: Sequence[Score]) -> list[dict[str, object]]:
    bicubic = {(score.core, score.slice): score.psnr for score in scores if score.model == "bicubic"}
    rows: list[dict[str, object]] = []
    for model in dict.fromkeys(["bicubic", *(score.model for score in scores)]):
        ours = [score for score in scores if score.model == model]
        gains = []
        for score in ours:
            if (base := bicubic.get((score.core, score.slice))) is None:
                where = f"{printable(score.core)} slice {score.slice}"
                raise ValueError(f"scores of core {where} must include bicubic, got {printable(model)}")
            gains.append(0.0 if score.psnr == base else score.psnr - base)  # inf - inf is no gain either
        row = {"model": model, "n": len(ours), **_means(ours)}
        if model != "bicubic":
            row["gain_db"] = None if {math.inf, -math.inf} <= set(gains) else fmean(gains)
        rows.append(row)
    return rows


def _means(scores: Sequence[Score]) -> dict[str, object]:
    means = {}
    for name in ("psnr", "ssim", "mae", "lr_psnr", "drift"):
        values = [getattr(score, name) for score in scores]
        means[name] = None if any(value is None or math.isnan(value) for value in values) else fmean(values)
    worst = None if means["drift"] is None else max((score.drift for score in scores), key=abs)
    least = None if means["lr_psnr"] is None else min(score.lr_psnr for score in scores if score.lr_psnr is not None)
    return {**means, "worst_drift": worst, "worst_lr_psnr": least}


def guard(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What PSNR does not show and a petrophysicist must know, one sentence each; `rows` as `summary` gives them.

    The bounds and their reasons are those of `guards`. Drift is that of the worst image, and so is LR-PSNR where the
    mean is within its bound: one invented rock must not hide among others.
    """
    sentences = []
    base = rows[0]
    for row in rows:
        model, drift = row["model"], row["worst_drift"]
        if drift is not None and abs(drift) > DRIFT:  # whoever moved it, a scan too
            levels = in_levels(drift, 1, signed=True)
            sentences.append(
                f"{model} shifts the mean grey level, by {levels} of 255 on its worst image: a threshold fixed on "
                "HR parts other pixels in SR, so hold its porosity against HR's with care."
            )
        for name, where in (("lr_psnr", ""), ("worst_lr_psnr", " on its worst image")):
            if None not in (row[name], base[name]) and contradicts(row[name], base[name]):
                sentences.append(
                    f"{model} contradicts its input{where}: degraded again as LR was made, it matches LR with "
                    f"{decimals(row[name], 1)} dB, bicubic with {decimals(base[name], 1)} dB{where and ' on its own'}. "
                    "It has invented or moved structures, or removed noise that LR holds."
                )
                break
    return sentences
