"""How well does the pore space conduct? Laplace's equation on the voxels, current between two opposite faces.

Finite volumes: a voxel is a cell with its potential in the centre, conductances between neighbours are harmonic
means, the two faces across the axis are held at 1 and 0, all others are insulated. Solved by conjugate gradients,
preconditioned by the diagonal plus a coarse problem on cubes of voxels (additive two-level Schwarz).
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.sparse.linalg import LinearOperator, cg, splu

from coresr_eval.petrophysics.connectivity import percolating
from coresr_eval.petrophysics.voxels import Floats, Pore, Voxel, along, checked, spacing

COARSE = 8000  # unknowns of the coarse problem, about


def formation_factor(pore: ArrayLike, *, voxel_um: Voxel, axis: int = 0, tolerance: float = 1e-6) -> float:
    """F = σ_fluid / σ_rock along `axis` for a pore space that conducts by its fluid alone; infinite if none crosses.

    F ≥ 1/porosity, with equality in straight tubes. Validity: in 3-D, where clay and pores below a voxel may be left
    out; a 2-D section of a rock has hardly a path, and its F says nothing of the rock. Throats of one to three voxels
    conduct too well or not at all: on a coarser grid F differs by tens of percent. Sealed sides make a small window
    conduct worse. `tolerance` bounds the residual; the error of F is far smaller (its square: F is an energy).
    """
    conductivity = effective_conductivity(checked(pore), voxel_um=voxel_um, axis=axis, tolerance=tolerance)
    return 1 / conductivity if conductivity > 0 else math.inf


def effective_conductivity(
    conductivity: ArrayLike, *, voxel_um: Voxel, axis: int = 0, tolerance: float = 1e-6
) -> float:
    """Conductivity along `axis` of a medium of `conductivity` ≥ 0 a voxel, `(y, x)` or `(z, y, x)`, in its unit.

    Also the effective over the free diffusivity; exact for layers. Raises ValueError on a bad number, and
    FloatingPointError where conjugate gradients do not converge.
    """
    medium = np.asarray(conductivity, dtype=np.float64)
    checked(medium > 0)
    if not (np.isfinite(medium).all() and (medium >= 0).all()):
        raise ValueError(f"conductivity must be finite and not negative, got {medium.min()} to {medium.max()}")
    across, sides = along(axis, medium.ndim), spacing(voxel_um, medium.ndim)
    medium, sides = np.moveaxis(medium, across, 0), (sides[across], *np.delete(sides, across).tolist())
    current = field(medium, sides, tolerance)[1]
    return current * (sides[0] * len(medium)) / (math.prod(sides[1:]) * math.prod(medium.shape[1:]))


def field(medium: Floats, sides: tuple[float, ...], tolerance: float) -> tuple[Floats, float]:
    """The potential of each voxel in a cluster that percolates, NaN elsewhere, and the current along the first axis."""
    active = percolating(medium > 0, 0)
    potential = np.full(medium.shape, np.nan)
    if not active.any():
        return potential, 0.0
    matrix, inlet = _system(medium, active, sides)
    potential[active] = _solve(matrix, inlet, _coarse(active), tolerance)
    return potential, float(inlet.sum() - inlet @ potential[active])


def _system(medium: Floats, active: Pore, sides: tuple[float, ...]) -> tuple[csr_array, Floats]:
    """The equations of the active voxels, and the conductance of each to the face that is held at 1."""
    index = np.full(medium.shape, -1, dtype=np.int32)
    index[active] = np.arange(np.count_nonzero(active), dtype=np.int32)
    size, volume = int(index.max()) + 1, math.prod(sides)
    inlet, diagonal, links = np.zeros(size), np.zeros(size), []
    for axis, side in enumerate(sides):
        here = (slice(None),) * axis + (slice(None, -1),)
        there = (slice(None),) * axis + (slice(1, None),)
        both = active[here] & active[there]
        a, b = medium[here][both], medium[there][both]
        links.append((index[here][both], index[there][both], 2 * a * b / (a + b) * volume / side**2))
    for first, second, conductance in links:
        diagonal += np.bincount(first, conductance, size) + np.bincount(second, conductance, size)
    for face in (0, -1):  # half a voxel away
        at = index[face][active[face]]
        to_face = 2 * medium[face][active[face]] * volume / sides[0] ** 2
        diagonal[at] += to_face
        if face == 0:
            inlet[at] = to_face
    first, second, conductance = (np.concatenate(parts) for parts in zip(*links, strict=True))
    everyone = np.arange(size)
    rows, columns = np.concatenate([first, second, everyone]), np.concatenate([second, first, everyone])
    return coo_array((np.concatenate([-conductance, -conductance, diagonal]), (rows, columns))).tocsr(), inlet


def _coarse(active: Pore) -> csr_array:
    """Which cube each active voxel lies in, `(voxels, cubes)` of ones."""
    edge = max(2, math.ceil((np.count_nonzero(active) / COARSE) ** (1 / active.ndim)))
    cubes = tuple(-(-n // edge) for n in active.shape)
    number = np.ravel_multi_index(tuple(at // edge for at in np.nonzero(active)), cubes)
    _, column = np.unique(number, return_inverse=True)
    return csr_array((np.ones(column.size), (np.arange(column.size), column)))


def _solve(matrix: csr_array, right: Floats, cubes: csr_array, tolerance: float) -> Floats:
    diagonal, restricted = matrix.diagonal(), cubes.T.tocsr()
    coarse = splu(csc_array(restricted @ matrix @ cubes), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})

    def precondition(residual: Floats) -> Floats:
        corrected: Floats = residual / diagonal + cubes @ coarse.solve(restricted @ residual)
        return corrected

    return conjugate_gradients(matrix, right, precondition, tolerance)


def conjugate_gradients(
    matrix: csr_array | LinearOperator,
    right: Floats,
    precondition: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
    tolerance: float,
    limit: int = 5000,
) -> Floats:
    """The solution of a symmetric positive system; FloatingPointError if it takes more than `limit` steps."""
    operator = None if precondition is None else LinearOperator(matrix.shape, precondition, dtype=np.float64)
    solution, status = cg(matrix, right, rtol=tolerance, maxiter=limit, M=operator)
    if status:
        raise FloatingPointError(f"conjugate gradients must converge in {limit} steps, did not; loosen the tolerance")
    return np.asarray(solution)
