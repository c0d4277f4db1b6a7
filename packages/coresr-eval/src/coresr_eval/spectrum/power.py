"""How much of an image is coarse, how much fine: its radial power spectrum, and how far two of them are apart.

A spectrum knows nothing of where things are: two images of the same spectrum may share not one grain. What agrees is
the question of `coresr_eval.spectrum.correlation`.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from coresr_eval.spectrum.rings import Rings, check, check_pair, half_spectrum, rings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Power over frequency, of a batch of images."""

    frequency: Tensor
    """Middle of each ring in cycles per pixel, (k,), evenly spaced up to Nyquist's 0.5 at most."""
    power: Tensor
    """Mean power of each ring in squared grey, (b, k): white noise of variance v reads v everywhere."""
    counts: Tensor
    """Frequencies in each ring, (k,)."""


def per_mm(frequency: Tensor, voxel_um: float) -> Tensor:
    """Cycles per pixel as cycles per millimetre, for voxels of `voxel_um` micrometres a side.

    >>> import torch
    >>> per_mm(torch.tensor([0.25, 0.5]), voxel_um=2.5)
    tensor([100., 200.])
    """
    if not (voxel_um > 0 and math.isfinite(voxel_um)):
        raise ValueError(f"voxel_um must be positive, got {voxel_um}")
    return frequency * (1000 / voxel_um)


def radial_power(image: Tensor) -> Spectrum:
    """The radial power spectrum of each image `(b, c, h, w)` or volume `(b, c, z, y, x)`, channels averaged.

    The mean is removed and a Hann window laid over, so the rim of the image counts less than its middle. The corners
    of the spectrum, beyond 0.5 cycles per pixel, are left out, so the rings hold less than all of the variance (in 2-D
    π/4 of white noise). The first ring, waves as wide as the image, reads up to a tenth low: removing the mean takes
    that. A flat image has power 0. Voxels are taken as cubes.
    """
    check(image, "the image")
    rings = rings_of(image.shape[2:], image.device)
    return Spectrum(frequency=rings.frequency.clone(), power=_power(image, rings), counts=rings.counts.clone())


def spectral_distance(image: Tensor, reference: Tensor, *, above: float = 0.0, data_range: float = 1.0) -> Tensor:
    """Root mean square over rings of 10 log10(P_image / P_reference), in dB, `(b,)`: the log-spectral distance.

    Each ring above the frequency `above` (cycles per pixel) counts once: 0.5 / scale leaves the detail that the LR
    could not hold. Powers below data_range² / (12 · 255²), what rounding to 8 bits adds anywhere, are raised to it:
    else an image without any fine detail would be as far off as its rounding errors are small, and further than
    the same image saved as PNG. Noise in HR counts like detail.
    """
    check_pair(image, reference)
    if not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(f"data_range must be positive, got {data_range}")
    rings = rings_of(image.shape[2:], image.device)
    fine = _beyond(rings, above)
    floor = (data_range / 255) ** 2 / 12
    ours, theirs = (_power(each, rings)[:, fine].clamp(min=floor) for each in (image, reference))
    return (10 * (ours / theirs).log10()).square().mean(dim=1).sqrt()


def beyond_lr(sr: Tensor, hr: Tensor, *, scale: int) -> Tensor:
    """Energy of SR over that of HR above the LR's Nyquist frequency 0.5 / scale, in dB, `(b,)`.

    0: as much fine detail as HR, which says nothing of it being the same; negative: softer; positive: more than there
    was, noise or invention. Minus infinity where SR has none, NaN where HR has none either. Rings are round and the
    LR's band is square, so LR holds a part of the innermost of them (its corners, up to 0.71 / scale).
    """
    if scale < 2:
        raise ValueError(f"scale must be at least 2, got {scale}")
    check_pair(sr, hr)
    rings = rings_of(sr.shape[2:], sr.device)
    fine = _beyond(rings, 0.5 / scale)
    ours, theirs = ((_power(image, rings) * rings.counts)[:, fine].sum(dim=1) for image in (sr, hr))
    return 10 * (ours / theirs).log10()


def _power(image: Tensor, rings: Rings) -> Tensor:
    spectrum = half_spectrum(image)
    return rings.sums(spectrum.real.square().add_(spectrum.imag.square()).mean(dim=1)) / rings.counts


def _beyond(rings: Rings, above: float) -> Tensor:
    fine = rings.frequency > above
    if not (above >= 0 and fine.any()):
        raise ValueError(
            f"the frequency to start above must be 0 or more and below {float(rings.frequency[-1]):.4g} cycles per "
            f"pixel, got {above}"
        )
    return fine
