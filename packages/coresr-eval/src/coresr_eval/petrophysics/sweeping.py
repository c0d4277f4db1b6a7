"""How much does the choice of a threshold matter? Measures of each image over thresholds fixed on HR.

An image whose porosity changes little over the sweep has few voxels between the phases. That makes its porosity
robust, not right: edges may be sharp in the wrong place, so the same curve of HR, and Dice, belong beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coresr_eval.petrophysics.agreement import dice
from coresr_eval.petrophysics.functionals import Minkowski, minkowski
from coresr_eval.petrophysics.thresholds import Images, comparable, finite, segment
from coresr_eval.petrophysics.voxels import Floats, Voxel


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Measures of one image, `(k,)` each, one per threshold."""

    porosity: Floats
    specific_surface: Floats
    """1/µm"""
    euler: Floats
    """1/µm² or 1/µm³"""

    @property
    def porosity_range(self) -> tuple[float, float]:
        """Lowest and highest porosity over the sweep."""
        return float(self.porosity.min()), float(self.porosity.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Every image over the same thresholds."""

    thresholds: Floats
    images: Mapping[str, Curves]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One slice at one threshold, and its porosity over others."""

    functionals: Minkowski
    dice: float
    """Of the pore against the reference's pore at the same threshold."""
    curve: Floats
    """Porosity at each threshold of the sweep, `(k,)`."""


def porosity_curve(image: ArrayLike, thresholds: ArrayLike) -> Floats:
    """Porosity of `image`, any shape, at each of `thresholds` `(k,)`: by one sorting, whatever their number.

    >>> porosity_curve([[0.1, 0.4], [0.6, 0.9]], [0.0, 0.4, 0.5]).tolist()
    [0.0, 0.5, 0.5]
    """
    levels = np.sort(finite(image), axis=None)
    at = _thresholds(thresholds)
    if levels.size == 0:
        raise ValueError("image must hold a voxel or more, got none")
    return np.searchsorted(levels, comparable(at, levels), side="right") / levels.size


def sweep(images: Mapping[str, Images], thresholds: ArrayLike, *, voxel_um: Voxel | Mapping[str, Voxel]) -> Sweep:
    """Each of `images` (an array or several, averaged with equal weight) over thresholds that were fixed on HR.

    `voxel_um` is one size for all, or one by each image's name: LR on its own grid has larger voxels. Surfaces and
    Euler numbers may be compared between images on one grid only, so interpolate LR to the HR grid for those.
    """
    at = _thresholds(thresholds)
    voxels = voxel_um if isinstance(voxel_um, Mapping) else dict.fromkeys(images, voxel_um)
    if missing := sorted(set(images) - set(voxels)):
        raise ValueError(f"voxel_um must name every image, got none for {', '.join(missing)}")
    return Sweep(thresholds=at, images={name: _curves(image, at, voxels[name]) for name, image in images.items()})


def describe(
    image: NDArray[Any],
    hr: NDArray[Any],
    threshold: float,
    thresholds: ArrayLike,
    *,
    voxel_um: Voxel,
) -> Described:
    """What a score says of a slice on the HR grid: functionals and Dice at `threshold`, porosity over `thresholds`."""
    pore = segment(image, threshold)
    return Described(
        functionals=minkowski(pore, voxel_um=voxel_um),
        dice=dice(pore, segment(hr, threshold))[True],
        curve=porosity_curve(image, thresholds),
    )


def _curves(images: Images, thresholds: Floats, voxel_um: Voxel) -> Curves:
    listed = [images] if isinstance(images, np.ndarray) else list(images)
    if not listed:
        raise ValueError("images must hold one array or more, got none")
    at = [[minkowski(segment(image, t), voxel_um=voxel_um) for t in thresholds] for image in listed]
    means = np.array([[[m.porosity, m.specific_surface, m.euler] for m in row] for row in at]).mean(axis=0).T
    return Curves(porosity=means[0], specific_surface=means[1], euler=means[2])


def _thresholds(thresholds: ArrayLike) -> Floats:
    at = np.asarray(thresholds, dtype=np.float64)
    if at.ndim != 1 or at.size == 0 or not np.isfinite(at).all() or (np.diff(at) <= 0).any():
        raise ValueError(f"thresholds must be rising finite numbers (k,), got shape {at.shape}")
    return at
