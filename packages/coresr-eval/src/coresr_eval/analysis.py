"""What a split as a whole says of each model: spectra, up to which fineness it agrees with HR, its pores.

Per core, for rocks differ: thresholds are fixed on a core's HR and applied unchanged to LR, bicubic and SR.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from coresr_eval.consistency import hallucination
from coresr_eval.grounds import THRESHOLDS, Ground
from coresr_eval.petrophysics import describe, porosity_curve
from coresr_eval.protocol import Pair, Scored
from coresr_eval.spectrum import frc, radial_power, resolution_um, spectral_distance

Floats = NDArray[np.float64]

AGREES = 0.5
"""Ring correlation with HR above which a model agrees: against a truth, a quarter of the power is explained there."""
_LEAST = 16  # pixels a side that an image must keep inside its mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Pores:
    """Of one kind of image in one core: means over its slices."""

    porosity: float
    """Share of pixels at or below the threshold."""
    low: float
    high: float
    """Porosity over the sweep."""
    curve: Floats
    """Porosity at each threshold of the sweep."""
    surface: float = math.nan
    """Pore boundary per area, 1/µm, or 1/pixel where the voxel is unknown."""
    euler: float = math.nan
    """Pores less solid islands per area, 1/µm² or 1/pixel²."""
    dice: float = math.nan
    """Of the pore against HR's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fineness:
    """Of one model over all slices: medians and means."""

    frequency: Floats
    """Cycles per HR pixel."""
    power: Floats
    """Mean over slices."""
    correlation: Floats
    """With HR by ring, mean over slices."""
    distance_db: float
    """Log-spectral distance from HR, mean over slices."""
    beyond_lr_db: float
    """Energy above LR's Nyquist frequency over HR's, both summed over the slices."""
    resolution: float
    """Median period in HR pixels down to which the model agrees with HR."""
    invented: float | None = None
    """How wrong detail is that LR cannot hold, energies summed over slices: 0 right, 1 as good as none, above 1 worse
    than none. See `consistency.hallucination_error`; None where it is not known how LR was made.
    """
    told: int = 0
    """Of how many slices that is."""


class _Seen(NamedTuple):
    """One image of one model."""

    frequency: Floats
    power: Floats
    correlation: Floats
    distance_db: float
    beyond: tuple[float, float]
    """Energy above LR's Nyquist frequency, its own and HR's."""
    resolution: float
    wrong: tuple[float, float] | None
    """Energy of its error and of HR beyond what LR can hold."""


class _Segmented(NamedTuple):
    """One image of one core."""

    curve: Floats
    surface: float = math.nan
    euler: float = math.nan
    dice: float = math.nan


class Analysis:
    """Takes the scored slices one by one; those that are flat, or whose mask leaves too little, are `skipped`."""

    def __init__(self, grounds: Mapping[str, Ground]) -> None:
        """`grounds` by core; a core without one gets no pores."""
        self.grounds = grounds
        self.skipped = 0
        self.slices = 0
        self._curves: dict[str, dict[str, list[_Segmented]]] = {}
        self._fine: dict[str, list[_Seen]] = {}
        self._hr: list[tuple[Floats, Floats]] = []

    def add(self, scored: Scored) -> None:
        """Look at one slice of one core."""
        pair, scale = scored.pair, scored.pair.hr.shape[0] // scored.pair.lr.shape[0]
        inside = within(pair.mask, pair.hr.shape, scale)
        if inside is None or bool((pair.hr[inside[1]] == pair.hr[inside[1]][0, 0]).all()):
            self.skipped += 1
            return
        self.slices += 1
        low, high = inside
        hr, lr = pair.hr[high].cpu(), pair.lr[low].cpu()
        images = {name: image[high].cpu() for name, image in scored.images.items()}
        self._spectra(hr, images, scale, _wrong(pair, scored.images, high))
        if (at := self.grounds.get(pair.core)) is not None:
            self._pores(pair.core, at, lr, {"hr": hr, **images})

    def _spectra(
        self, hr: Tensor, images: Mapping[str, Tensor], scale: int, wrong: Mapping[str, tuple[float, float] | None]
    ) -> None:
        whole = hr[None, None]
        reference = radial_power(whole)
        fine = reference.frequency > 0.5 / scale
        self._hr.append((reference.frequency.numpy(), reference.power[0].numpy()))
        for name, image in images.items():
            one = image[None, None]
            agreed, own = frc(one, whole), radial_power(one)
            energies = [float((of.power[0] * of.counts)[fine].sum()) for of in (own, reference)]
            seen = _Seen(
                frequency=agreed.frequency.numpy(),
                power=own.power[0].numpy(),
                correlation=agreed.correlation[0].numpy(),
                distance_db=float(spectral_distance(one, whole)),
                beyond=(energies[0], energies[1]),
                resolution=float(resolution_um(agreed, 1.0, threshold=AGREES)),
                wrong=wrong[name],
            )
            self._fine.setdefault(name, []).append(seen)

    def _pores(self, core: str, at: Ground, lr: Tensor, images: Mapping[str, Tensor]) -> None:
        found = self._curves.setdefault(core, {})
        found.setdefault("lr", []).append(_Segmented(porosity_curve(lr.numpy(), at.thresholds)))
        hr, voxel = images["hr"].numpy(), at.voxel_um or (1.0, 1.0)
        for name, image in images.items():
            said = describe(image.numpy(), hr, at.threshold, at.thresholds, voxel_um=voxel)
            segmented = _Segmented(said.curve, said.functionals.specific_surface, said.functionals.euler, said.dice)
            found.setdefault(name, []).append(segmented)

    @property
    def hr(self) -> tuple[Floats, Floats]:
        """Frequency and mean power of HR."""
        frequency = self._hr[0][0]
        return frequency, _mean_on(frequency, self._hr)

    def fineness(self) -> dict[str, Fineness]:
        """By model."""
        return {name: _fineness(found) for name, found in self._fine.items()}

    def pores(self) -> dict[str, dict[str, Pores]]:
        """By core, then by `lr`, `hr` and each model."""
        return {core: {name: _pores(of) for name, of in found.items()} for core, found in self._curves.items()}


def within(
    mask: Tensor | None, shape: Sequence[int], scale: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """The largest centred part, in LR and in HR pixels, that lies inside the mask; None where that is too small."""
    height, width = (side // scale for side in shape)
    for share in np.linspace(1, 0, 50, endpoint=False):
        h, w = int(share * height), int(share * width)
        if min(h, w) * scale < _LEAST:
            return None
        top, left = (height - h) // 2, (width - w) // 2
        low = slice(top, top + h), slice(left, left + w)
        high = slice(scale * top, scale * (top + h)), slice(scale * left, scale * (left + w))
        if mask is None or bool(mask[high].all()):
            return low, high
    return None


def _wrong(
    pair: Pair, images: Mapping[str, Tensor], part: tuple[slice, slice]
) -> dict[str, tuple[float, float] | None]:
    """Energies in a part of the slice, by model; the operator was made for the whole."""
    operator, pinv = pair.operator, pair.pinv
    if operator is None or pinv is None:
        return dict.fromkeys(images)

    def energy(image: Tensor) -> float:
        return float(hallucination(image[None, None], operator, pinv)[0, 0][part].square().sum())

    there = energy(pair.hr)
    errors = {name: image - pair.hr for name, image in images.items()}
    if pair.mask is not None:
        errors = {name: error.where(pair.mask, 0) for name, error in errors.items()}
    return {name: (energy(error), there) for name, error in errors.items()}


def _fineness(found: Sequence[_Seen]) -> Fineness:
    frequency = found[0].frequency
    beyond = [math.fsum(one.beyond[at] for one in found) for at in (0, 1)]
    known = [one.wrong for one in found if one.wrong is not None]
    wrong = [math.fsum(one[at] for one in known) for at in (0, 1)]
    return Fineness(
        frequency=frequency,
        power=_mean_on(frequency, [(one.frequency, one.power) for one in found]),
        correlation=_mean_on(frequency, [(one.frequency, one.correlation) for one in found]),
        distance_db=float(np.mean([one.distance_db for one in found])),
        beyond_lr_db=10 * math.log10(beyond[0] / beyond[1]) if min(beyond) > 0 else -math.inf,
        resolution=float(np.median([one.resolution for one in found])),
        invented=wrong[0] / wrong[1] if wrong[1] > 0 else None,
        told=len(known),
    )


def _pores(found: Sequence[_Segmented]) -> Pores:
    curve: Floats = np.mean([one.curve for one in found], axis=0)
    return Pores(
        porosity=float(curve[THRESHOLDS // 2]),
        low=float(curve.min()),
        high=float(curve.max()),
        curve=curve,
        surface=float(np.mean([one.surface for one in found])),
        euler=float(np.mean([one.euler for one in found])),
        dice=_mean_known([one.dice for one in found]),
    )


def _mean_known(values: Sequence[float]) -> float:
    """A slice without pore in either image has no Dice."""
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def _mean_on(frequency: Floats, curves: Iterable[tuple[Floats, Floats]]) -> Floats:
    """Mean of curves `(frequency, value)`, each interpolated where its slice has another size than the first."""
    mean: Floats = np.mean([np.interp(frequency, own, values) for own, values in curves], axis=0)
    return mean
