"""Up to which fineness do two images agree? Fourier ring correlation, and the resolution read off it.

Between SR and HR it says up to which resolution SR *agrees with HR*: what lies beyond is missing, or invented, or was
noise in HR. It is no resolution of the scanner. That would need two scans of one sample with independent noise; halves
taken out of one image are not independent once a reconstruction or an up-sampler has correlated its pixels, and would
flatter every SR, so no one-image variant is offered.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from coresr_eval.spectrum.rings import check_pair, half_spectrum, independent, rings_of

FEWEST = 16
"""Independent frequencies that a ring must be worth to end the agreement: the first four or so of a slice are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frc:
    """Correlation over frequency, of a batch of pairs."""

    frequency: Tensor
    """Middle of each ring in cycles per pixel, (k,), evenly spaced up to Nyquist's 0.5 at most."""
    correlation: Tensor
    """Correlation of each ring, (b, k), in [-1, 1]. Its square is the share of HR's power in the ring that SR explains
    at best; 0 where either image has no power there."""
    counts: Tensor
    """How many independent frequencies each ring is worth under the window, (k,), mirror images counted."""

    @property
    def error(self) -> Tensor:
        """Standard error of the correlation, (1 - correlation²) / √counts, (b, k): that of a sample correlation."""
        return (1 - self.correlation.square()) / self.counts.sqrt()


def frc(image: Tensor, reference: Tensor) -> Frc:
    """Fourier ring correlation of each pair `(b, c, h, w)`, or shell correlation of volumes `(b, c, z, y, x)`.

    Re Σ A B* / √(Σ|A|² Σ|B|²) over each ring and all channels (Saxton & Baumeister 1982; van Heel 1987), after
    removing the means and under a Hann window. For a = s + n, b = s + m with independent noise of one power it is
    S / (S + N) of the powers. Rings as in `radial_power`: corners left out, voxels taken as cubes.
    """
    check_pair(image, reference)
    rings = rings_of(image.shape[2:], image.device)
    a, b = half_spectrum(image), half_spectrum(reference)
    common = rings.sums((a.real * b.real + a.imag * b.imag).sum(dim=1))
    ours, theirs = (rings.sums((x.real.square() + x.imag.square()).sum(dim=1)) for x in (a, b))
    both = (ours * theirs).sqrt()
    correlation = torch.where(both > 0, common / both, torch.zeros_like(both)).clamp(-1, 1)
    counts = rings.counts * independent(tuple(image.shape[2:]))
    return Frc(frequency=rings.frequency.clone(), correlation=correlation, counts=counts)


def half_bit(counts: Tensor) -> Tensor:
    """The threshold at which a ring holds half a bit of information per frequency (van Heel & Schatz 2005).

    That is SNR √2 - 1 of the two images' mean, (√2 - 1) / 2 = 0.2071 of each; few frequencies demand more.
    """
    noise = 1 / counts.sqrt()
    return (0.2071 + 1.9102 * noise) / (1.2071 + 0.9102 * noise)


def resolution_um(curve: Frc, voxel_um: float, *, threshold: float | Literal["half-bit"] = 1 / 7) -> Tensor:
    """The finest period in micrometres up to which the two images agree, `(b,)`: voxel_um / f at the first crossing.

    f is where the correlation first falls below `threshold`, between rings by a straight line; rings of fewer than
    `FEWEST` frequencies, where chance alone would cross it, are passed over. 1/7 is that of two equally noisy images
    whose mean correlates by 1/2 with the truth (Rosenthal & Henderson 2003); against an HR taken as the truth itself
    it is lenient, and 0.5 is the customary choice. Where the curve never falls below, two voxels: the images agree in
    all that their grid can hold. Where it starts below, infinite: they agree in nothing that can be told.
    Raises ValueError where no ring is large enough.
    """
    if not (voxel_um > 0 and math.isfinite(voxel_um)):
        raise ValueError(f"voxel_um must be positive, got {voxel_um}")
    if threshold != "half-bit" and not 0 < threshold < 1:
        raise ValueError(f"threshold must be half-bit or lie between 0 and 1, got {threshold}")
    enough = curve.counts >= FEWEST
    if not enough.any():
        raise ValueError(
            f"the largest ring must be worth at least {FEWEST} frequencies, got {float(curve.counts.max()):.1f}; "
            f"take larger images"
        )
    level = half_bit(curve.counts) if threshold == "half-bit" else torch.full_like(curve.counts, threshold)
    crossing = _crossing(curve.frequency[enough], (curve.correlation - level)[:, enough])
    return voxel_um / crossing


def _crossing(frequency: Tensor, above: Tensor) -> Tensor:
    """Where each row of `above` (b, k) first falls below zero: 0 where at once, 0.5 where never."""
    first = (above < 0).int().argmax(dim=1)
    before = (first - 1).clamp(min=0)
    each = torch.arange(len(above), device=above.device)
    high, low = above[each, before], above[each, first]
    crossing = frequency[before] + (frequency[first] - frequency[before]) * high / (high - low)
    crossing = torch.where(first == 0, torch.zeros_like(crossing), crossing)
    return torch.where((above >= 0).all(dim=1), torch.full_like(crossing, 0.5), crossing)
