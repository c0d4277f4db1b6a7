"""What every measure of a pore space asks of its input: a boolean array, and the size of its voxels."""

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pore: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Voxel: TypeAlias = float | tuple[float, ...]


def checked(pore: ArrayLike) -> Pore:
    """`pore` as it is, `(y, x)` or `(z, y, x)`; ValueError unless boolean with at least two voxels a side."""
    array = np.asarray(pore)
    if array.dtype != np.bool_ or array.ndim not in (2, 3):
        raise ValueError(
            f"pore must be a boolean array (y, x) or (z, y, x), got {array.dtype} {array.shape}; "
            f"make one of grey levels by segment(image, threshold)"
        )
    if min(array.shape) < 2:
        raise ValueError(f"pore must have at least two voxels a side, got {array.shape}; give one slice as (y, x)")
    return array


def spacing(voxel_um: Voxel, ndim: int) -> tuple[float, ...]:
    """Sides of a voxel in µm, in the order of the array's axes."""
    sides = (voxel_um,) * ndim if isinstance(voxel_um, int | float) else tuple(voxel_um)
    if len(sides) != ndim or not all(side > 0 and math.isfinite(side) for side in sides):
        raise ValueError(f"voxel_um must be one positive number or {ndim} of them in the axes' order, got {voxel_um}")
    return tuple(float(side) for side in sides)


def cubic(voxel_um: Voxel, ndim: int) -> float:
    """The one side of a voxel in µm; ValueError where sides differ."""
    sides = spacing(voxel_um, ndim)
    if len(set(sides)) > 1:
        raise ValueError(f"voxel_um must be the same on every axis here, got {sides}; resample to cubic voxels first")
    return sides[0]


def along(axis: int, ndim: int) -> int:
    """`axis` counted from the front; ValueError unless the array has it."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis must be one of the {ndim} axes of the array, got {axis}")
    return axis % ndim
