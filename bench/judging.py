"""What the benches of generative networks say of an image: fidelity, spectrum, pores, and whether it is still its LR.

All of it by coresr_eval: means over the slices of one core, whose HR says where its pores are.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coresr_data import Separable, Store, whole_slices
from coresr_eval import Pair, Protocol, score
from coresr_eval.analysis import Analysis, Fineness, Pores
from coresr_eval.consistency import hallucination_share
from coresr_eval.fidelity import lpips
from coresr_eval.grounds import ground
from coresr_eval.perceptual import MissingExtraError
from coresr_eval.protocol import Scored, mean, score_image

HR = "HR"
"""What HR itself is called among the models: it says what can be had."""
LEVELS = 255
"""Grey levels that a drift of 1 is worth."""
CROP, ENLARGED = 128, 3
"""Side of a crop in HR pixels at most, and by how much it is shown larger."""
PLACES = (0.25, 0.5, 0.75)
"""Of the crops along the diagonal of a slice: chosen before anybody saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Of one model; NaN is what nobody can say."""

    psnr: float
    ssim: float
    lr_psnr: float
    """dB of the image, degraded again, against its LR."""
    drift: float
    """Grey levels of 255 by which it is brighter than HR."""
    share: float
    """Of its variance, what its LR cannot support."""
    lpips: float
    fineness: Fineness
    pores: Pores


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """All models, and HR, on the slices of one core."""

    models: Mapping[str, Verdict]
    lr: Pores
    threshold: float
    """Of grey on [0, 1], up to which it is pore."""
    slices: int
    without_lpips: str
    """Why nobody can say LPIPS, or nothing."""


def pairs_of(store: Store, split: str) -> Iterator[Pair]:
    """Whole slices, with the operator that made their LR where it is known."""
    for one in whole_slices(store, split, operators=True):
        operator = one.operator
        yield Pair(
            core=one.core,
            slice=one.number,
            lr=one.lr,
            hr=one.hr,
            operator=None if operator is None else operator.forward,
            pinv=operator.pinv if isinstance(operator, Separable) else None,
        )


def judge(
    models: Mapping[str, Callable[[Tensor], Tensor]],
    pairs: Sequence[Pair],
    store: Store,
    crops: Path,
    threshold: float | None = None,
) -> Judged:
    """Every model on the pairs of one core; crops of the first, the middle and the last slice go into a folder.

    Up to `threshold` HR is pore, by Otsu unless given.
    """
    manifest, scale = store.manifest, store.scale
    (core,) = {pair.core for pair in pairs}
    voxel = next(one.voxel_um for one in manifest.cores if one.name == core)
    at = ground([pair.hr.numpy() for pair in pairs], voxel and (voxel[1], voxel[2]), threshold=threshold)
    protocol = Protocol(scale=scale, shave=scale, degradation=manifest.degradation, grey=manifest.grey)
    analysis, without = Analysis({core: at}), _without_lpips()
    numbers: dict[str, list[dict[str, float]]] = {name: [] for name in (*models, HR)}
    shown = {0, len(pairs) // 2, len(pairs) - 1}
    crops.mkdir(parents=True, exist_ok=True)
    for place, one in enumerate(score(models, pairs, protocol)):
        images = {**one.images, HR: one.pair.hr}
        scored = Scored(pair=one.pair, images=images, scores=())
        analysis.add(scored)
        for name, image in images.items():
            numbers[name].append(_numbers(name, image, one.pair, protocol, perceptual=not without))
        if place in shown:
            draw(images, crops / f"{one.pair.slice}.png")
    fineness, pores = analysis.fineness(), analysis.pores()[core]
    return Judged(
        models={
            name: Verdict(**_means(found), fineness=fineness[name], pores=pores[name])
            for name, found in numbers.items()
        },
        lr=pores["lr"],
        threshold=at.threshold,
        slices=len(pairs),
        without_lpips=without,
    )


def _numbers(name: str, image: Tensor, pair: Pair, protocol: Protocol, *, perceptual: bool) -> dict[str, float]:
    scores, share, distance = score_image(name, image, pair, protocol), math.nan, math.nan
    if pair.operator is not None and pair.pinv is not None:
        share = float(hallucination_share(image[None, None], pair.operator, pair.pinv))
    if perceptual:
        distance = float(lpips(image[None, None], pair.hr[None, None], data_range=1.0, shave=protocol.shave))
    return {
        "psnr": scores.psnr,
        "ssim": scores.ssim,
        "lr_psnr": math.nan if scores.lr_psnr is None else scores.lr_psnr,
        "drift": LEVELS * scores.drift,
        "share": share,
        "lpips": distance,
    }


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: mean(one[name] for one in found) for name in found[0]}


def _without_lpips() -> str:
    grey = torch.zeros(1, 1, 64, 64)
    try:
        lpips(grey, grey, data_range=1.0)
    except MissingExtraError as error:
        return str(error)
    return ""


def draw(images: Mapping[str, Tensor], path: Path) -> None:
    """Parts of each image, images from left to right and places downwards, in the grey levels of HR, the last."""
    height, width = images[HR].shape
    tall, wide = min(CROP, height), min(CROP, width)
    places = PLACES if height > 2 * CROP else (0.5,)
    corners = [(round(at * (height - tall)), round(at * (width - wide))) for at in places]
    low, high = np.quantile(images[HR].numpy(), [0.001, 0.999])
    rows = []
    for top, left in corners:
        cut = [image[top : top + tall, left : left + wide].numpy() for image in images.values()]
        grey = [np.pad(np.clip((one - low) / (high - low), 0, 1), ((0, 1), (0, 1)), constant_values=1) for one in cut]
        rows.append(np.concatenate(grey, axis=1))
    picture = Image.fromarray(np.round(255 * np.concatenate(rows)).astype(np.uint8))
    picture.resize((ENLARGED * picture.width, ENLARGED * picture.height), Image.Resampling.NEAREST).save(path)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown: the first column is words, the others are numbers."""
    lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float, form: str) -> str:
    """As `form` says, or a dash for what is not a finite number."""
    return format(value, form).replace("-", "−") if math.isfinite(value) else "–"
