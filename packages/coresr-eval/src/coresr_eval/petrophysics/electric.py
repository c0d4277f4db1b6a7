"""How wide are the pores that carry a current? The length Λ of Johnson, Koplik & Schwartz, from the electric field."""

import math

import numpy as np
from numpy.typing import ArrayLike

from coresr_eval.petrophysics.conduction import field
from coresr_eval.petrophysics.functionals import specific_surface
from coresr_eval.petrophysics.voxels import Floats, Voxel, along, checked, spacing


def electric_length(pore: ArrayLike, *, voxel_um: Voxel, axis: int = 0, tolerance: float = 1e-6) -> tuple[float, float]:
    """Λ in µm, the width of the pores that carry the current, and the formation factor F, along `axis` of `(z, y, x)`.

    Λ = 2 ∫|E|² dV / ∫|E|² dS over pores and walls (Johnson, Koplik & Schwartz 1986): the radius of a round tube. The
    voxel faces of the walls count for as much surface as `specific_surface` finds, E² at a wall is that of its voxel.
    Λ is 0 and F infinite where nothing crosses. Raises ValueError without a solid voxel.
    """
    array = checked(pore)
    if array.ndim != 3 or array.all():
        raise ValueError(f"pore must be (z, y, x) with solid voxels, got {array.shape}, {array.mean():.3g} of it pore")
    across, sides = along(axis, array.ndim), spacing(voxel_um, array.ndim)
    rock, sides = np.moveaxis(array, across, 0), (sides[across], *np.delete(sides, across).tolist())
    potential, current = field(rock.astype(np.float64), sides, tolerance)
    if not current:
        return 0.0, math.inf
    carrying = np.isfinite(potential)
    squared, walls = np.zeros(rock.shape), np.zeros(rock.shape)
    for number, side in enumerate(sides):
        below, above, faces = _gradients(potential, number, side)
        squared += (below**2 + above**2) / 2
        walls += faces * math.prod(sides) / side
    smooth = specific_surface(carrying, voxel_um=sides) * carrying.size * math.prod(sides) / walls[carrying].sum()
    factor = math.prod(sides[1:]) * math.prod(rock.shape[1:]) / (current * sides[0] * len(rock))
    return 2 * current / float((squared * walls)[carrying].sum() * smooth), factor


def _gradients(potential: Floats, axis: int, side: float) -> tuple[Floats, Floats, Floats]:
    """Of each voxel the field through its lower and its upper face, none through a wall, and the number of walls."""
    ahead = np.moveaxis(potential, axis, 0)
    steps = np.zeros((len(ahead) + 1, *ahead.shape[1:]))
    steps[1:-1] = np.nan_to_num(np.diff(ahead, axis=0)) / side
    wall = np.zeros(steps.shape)
    wall[1:-1] = np.isnan(ahead[:-1]) != np.isnan(ahead[1:])
    if axis == 0:
        steps[0], steps[-1] = np.nan_to_num(ahead[0] - 1) * 2 / side, np.nan_to_num(-ahead[-1]) * 2 / side
    below, above, walls = (np.moveaxis(part, 0, axis) for part in (steps[:-1], steps[1:], wall[:-1] + wall[1:]))
    return below, above, walls
