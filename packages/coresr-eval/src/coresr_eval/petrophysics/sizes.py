"""How wide are the pores? Local thickness by openings with discs or spheres."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from coresr_eval.petrophysics.connectivity import percolating
from coresr_eval.petrophysics.voxels import Floats, Pore, Voxel, along, checked, cubic

STEPS = 24  # radii that are tried at most


@dataclass(frozen=True, slots=True, kw_only=True)
class PoreSizes:
    """The pore space by the diameter of the widest disc or sphere that covers a voxel and fits into the pores."""

    diameter_um: Floats
    """Classes, rising, `(k,)`: the diameter is this or up to the next."""
    share: Floats
    """Of the pore volume, `(k,)`, sums to 1."""

    @property
    def d10(self) -> float:
        """A tenth of the pore volume is in pores narrower than this, µm."""
        return self.quantile(0.1)

    @property
    def d50(self) -> float:
        """Half of the pore volume is in pores narrower than this, µm."""
        return self.quantile(0.5)

    @property
    def d90(self) -> float:
        """Nine tenths of the pore volume are in pores narrower than this, µm."""
        return self.quantile(0.9)

    def quantile(self, part: float) -> float:
        """The class below or in which `part` of the pore volume lies, µm."""
        at = int(np.searchsorted(np.cumsum(self.share), part - 1e-12))
        return float(self.diameter_um[min(at, self.diameter_um.size - 1)])


def pore_sizes(pore: ArrayLike, *, voxel_um: Voxel) -> PoreSizes:
    """Volume-weighted pore sizes of `pore` (Hildebrand & Rüegsegger 1997), cubic voxels only.

    The diameter of a sphere that fits is twice the distance from its centre to the nearest solid voxel's centre, less
    one voxel; up to 24 radii are tried, half a voxel apart or, in wide pores, in equal ratios. Validity: a channel of
    n voxels reads n or n - 1; pores below three voxels are shapes of the grid; the border of the image is no wall, so
    pores that it cuts may read too wide. Costs one distance transform a radius: 0.3 s at 500², 35 s at 200³.
    Raises ValueError without a pore voxel, or without a solid one.
    """
    array = checked(pore)
    side = cubic(voxel_um, array.ndim)
    if array.all() or not array.any():
        raise ValueError(f"pore must hold both pore and solid voxels, got only {'pore' if array.all() else 'solid'}")
    distance = distance_transform_edt(array)
    radii = _radii(float(distance.max()))
    left, volumes = array.copy(), []
    for radius in radii[::-1]:
        opened = left & _dilated(distance >= radius, radius)
        volumes.append(int(np.count_nonzero(opened)))
        left &= ~opened
    shares = np.array(volumes[::-1]) / np.count_nonzero(array)
    kept = shares > 0
    return PoreSizes(diameter_um=(2 * radii[kept] - 1) * side, share=shares[kept])


def critical_diameter(pore: ArrayLike, *, voxel_um: Voxel, axis: int) -> float:
    """Diameter in µm of the widest sphere that can cross `pore` along `axis`; 0 where not even a voxel's path does."""
    array = checked(pore)
    side, across = cubic(voxel_um, array.ndim), along(axis, array.ndim)
    if array.all():
        raise ValueError("pore must hold solid voxels, got only pore")
    distance = distance_transform_edt(array)
    radii = np.unique(distance)[1:]
    fits, fails = -1, radii.size  # the widest that is known to cross, and the narrowest that is known not to
    while fails - fits > 1:
        middle = (fits + fails) // 2
        if percolating(distance >= radii[middle], across).any():
            fits = middle
        else:
            fails = middle
    return float(2 * radii[fits] - 1) * side if fits >= 0 else 0.0


def _radii(largest: float) -> Floats:
    """From one voxel to the largest, half a voxel apart or in equal ratios."""
    halves = np.append(np.arange(1, largest, 0.5), largest)
    return halves if halves.size <= STEPS else np.geomspace(1, largest, STEPS)


def _dilated(centres: Pore, radius: float) -> NDArray[np.bool_]:
    """All voxels nearer than `radius` to one of `centres`."""
    return np.asarray(distance_transform_edt(~centres) < radius)
