"""What a validation measures: whole slices against their HR, or, where there are no pairs, against what must hold."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from coresr_data import Store
from coresr_data.intensity import to_unit
from coresr_data.resize import resizing
from coresr_eval import Pair, Protocol, score
from coresr_eval.consistency import drift, lr_psnr
from coresr_eval.protocol import mean
from coresr_eval.spectrum import radial_power, spectral_distance

Upscale = Callable[[Tensor], Tensor]

SIDE = 512
"""Pixels of a slice, at most, whose spectrum stands for it: of large slices not all are held at once."""


def against_hr(upscale: Upscale, pairs: Iterable[Pair], protocol: Protocol) -> dict[str, float]:
    """Means over the pairs: psnr, ssim, drift from HR, lr_psnr where it is known how LR was made, spectrum_db.

    `spectrum_db` is the distance of SR's power spectrum from HR's, of slices without a mask. NaN where no pair can be
    scored.
    """
    found: dict[str, list[float]] = {"psnr": [], "ssim": [], "drift": [], "lr_psnr": [], "spectrum_db": []}
    for one in score({"": upscale}, pairs, protocol):
        (scores,), sr = one.scores, one.images[""]
        found["psnr"].append(scores.psnr)
        found["ssim"].append(scores.ssim)
        found["drift"].append(scores.drift)
        found["lr_psnr"] += [] if scores.lr_psnr is None else [scores.lr_psnr]
        if one.pair.mask is None:
            found["spectrum_db"].append(float(spectral_distance(sr[None, None], one.pair.hr[None, None])))
    sometimes = ("lr_psnr", "spectrum_db")
    return {name: mean(values) for name, values in found.items() if values or name not in sometimes}


def without_hr(upscale: Upscale, lr: Iterable[Tensor], hr: Iterable[Tensor], scale: int) -> dict[str, float]:
    """What SR of LR slices `(h, w)` that have no HR must hold: lr_psnr under bicubic, drift from LR, mean_spectrum_db.

    The latter compares with slices `(y, x)` of HR of another place: the mean power of all of both over the same square,
    from the middles of the slices. Smaller than the `spectrum_db` of pairs, for what is particular to a slice is gone.
    """
    consistency, drifts, images = [], [], []
    for image in lr:
        with torch.inference_mode(), torch.autocast(image.device.type, enabled=False):
            sr = upscale(image[None, None]).float()
        # float64 matrices: on a slice of a few hundred pixels they cost milliseconds
        shrunk = resizing(sr.shape[-2], sr.shape[-1], 1 / scale)
        consistency.append(float(lr_psnr(sr, image[None, None], shrunk.forward, data_range=1.0)))
        drifts.append(float(drift(sr, image[None, None])))
        images.append(_middle(sr[0, 0], min(*sr.shape[-2:], SIDE)))
    found = {"lr_psnr": mean(consistency), "drift": mean(drifts)}
    return found | (
        {"mean_spectrum_db": _distance(images, [_middle(one, min(*one.shape, SIDE)) for one in hr])} if images else {}
    )


def slices(store: Store, image: Literal["lr", "hr"], *, most: int) -> Iterator[Tensor]:
    """`most` slices `(h, w)` in [0, 1] of those that no network learns from, where there are any, evenly spread."""
    try:
        rows = store.rows("valid", image)
    except ValueError:  # a store without a split
        rows = store.rows("train", image)
    if most < len(rows):
        rows = [rows[round((i + 0.5) * len(rows) / most - 0.5)] for i in range(most)]
    levels = store.hr if image == "hr" else store.lr
    for core, row in rows:
        yield torch.from_numpy(to_unit(levels(core)[row], store.manifest.window))


def has_pairs(store: Store) -> bool:
    """Whether slices to validate on have both LR and HR."""
    try:
        return bool(store.rows("valid"))
    except ValueError:
        return False


def said(scores: Mapping[str, float]) -> str:
    """The scores of a validation as a line."""
    parts = []
    if "psnr" in scores:
        parts.append("PSNR {psnr:.3f} dB ({gain_db:+.3f} over bicubic), SSIM {ssim:.4f}".format(**scores))
    if "lr_psnr" in scores:
        parts.append(f"LR-PSNR {scores['lr_psnr']:.1f} dB")
    parts.append(f"drift {scores['drift']:+.4f}")
    if "spectrum_db" in scores:
        parts.append(f"spectrum {scores['spectrum_db']:.2f} dB off")
    if "mean_spectrum_db" in scores:
        parts.append(f"mean spectrum {scores['mean_spectrum_db']:.2f} dB off that of HR")
    return ", ".join(parts)


def _distance(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Root mean square over rings of the difference of mean powers, in dB."""
    side = min(min(image.shape) for image in (*ours, *theirs))
    floor = 1 / (12 * 255**2)  # what rounding to 8 bits adds anywhere
    powers = [
        torch.stack([radial_power(_middle(one, side)[None, None]).power[0] for one in some]).mean(dim=0)
        for some in (ours, theirs)
    ]
    ratio = powers[0].clamp(min=floor) / powers[1].clamp(min=floor)
    return float((10 * ratio.log10()).square().mean().sqrt())


def _middle(image: Tensor, side: int) -> Tensor:
    top, left = ((size - side) // 2 for size in image.shape)
    return image[top : top + side, left : left + side]
