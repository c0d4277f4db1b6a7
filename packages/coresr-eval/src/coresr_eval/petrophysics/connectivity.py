"""Which pores can a fluid cross? Clusters through faces (4 neighbours in 2-D, 6 in 3-D)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import label

from coresr_eval.petrophysics.voxels import Pore, checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected:
    """Porosities, each a share of the bulk."""

    porosity: float
    """Of all pores."""
    through: tuple[float, ...]
    """Of the clusters that reach both faces across each axis."""
    isolated: float
    """Of the clusters that reach no face of the image at all."""


def connected_porosity(pore: ArrayLike) -> Connected:
    """How much of the pore space percolates along each axis, and how much is cut off.

    Validity: in a slice hardly any pore of a rock is connected, for paths leave the plane; and a small window
    percolates more easily than the rock, since a cluster need only cross the window.
    """
    array = checked(pore)
    clusters, _ = label(array)
    sizes = np.bincount(clusters.ravel())
    reaching = [_touching(clusters, axis, at) for axis in range(array.ndim) for at in (0, -1)]
    isolated = int(sizes.sum() - sizes[np.unique(np.concatenate([*reaching, [0]]))].sum())
    through = (np.intersect1d(reaching[2 * axis], reaching[2 * axis + 1]) for axis in range(array.ndim))
    return Connected(
        porosity=int(np.count_nonzero(array)) / array.size,
        through=tuple(int(sizes[ids].sum()) / array.size for ids in through),
        isolated=isolated / array.size,
    )


def percolating(pore: Pore, axis: int) -> Pore:
    """The clusters of `pore` that reach both faces across `axis`, as an array of its shape."""
    clusters, number = label(pore)
    chosen = np.zeros(number + 1, dtype=bool)
    chosen[np.intersect1d(_touching(clusters, axis, 0), _touching(clusters, axis, -1))] = True
    return np.asarray(chosen[clusters])


def _touching(clusters: NDArray[np.int32], axis: int, at: int) -> NDArray[np.int32]:
    """Numbers of the clusters in one face of the array, without the solid's 0."""
    ids = np.unique(np.take(clusters, at, axis=axis))
    return ids[ids > 0]
