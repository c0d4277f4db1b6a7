"""Do two segmentations agree? Dice of each phase."""

import numpy as np
from numpy.typing import ArrayLike


def dice(labels: ArrayLike, reference: ArrayLike) -> dict[int, float]:
    """Dice of each phase that occurs in either, 2 |A∩B| / (|A| + |B|), by its label.

    `labels` and `reference` are whole numbers or booleans on one grid; ValueError otherwise. Booleans have two phases,
    True for the pore; one that occurs in neither has NaN. A rare phase scores low by its boundary alone, and Dice falls
    with coarser voxels: compare images on one grid, phase by phase.

    >>> dice([True, True, False, False], [True, False, False, False])
    {False: 0.8, True: 0.6666666666666666}
    """
    a, b = np.asarray(labels), np.asarray(reference)
    if a.shape != b.shape or a.size == 0 or not {a.dtype.kind, b.dtype.kind} <= set("biu"):
        raise ValueError(
            f"labels and reference must be whole numbers or booleans of one shape, "
            f"got {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        )
    if a.dtype == b.dtype == np.bool_:
        a_true, b_true, both = (int(np.count_nonzero(mask)) for mask in (a, b, a & b))
        neither = a.size - a_true - b_true + both
        return {False: _ratio(neither, 2 * a.size - a_true - b_true), True: _ratio(both, a_true + b_true)}
    phases = np.union1d(a, b).tolist()
    masks = {phase: (a == phase, b == phase) for phase in phases}
    return {
        p: _ratio(int(np.count_nonzero(m & n)), int(np.count_nonzero(m) + np.count_nonzero(n)))
        for p, (m, n) in masks.items()
    }


def _ratio(both: int, sizes: int) -> float:
    return 2 * both / sizes if sizes else float("nan")
