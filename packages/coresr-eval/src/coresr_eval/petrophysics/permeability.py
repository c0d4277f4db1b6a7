"""Permeability of a pore space by three published relations, cheap; `stokes_permeability` solves for the flow."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from coresr_eval.petrophysics.electric import electric_length
from coresr_eval.petrophysics.functionals import porosity, specific_surface
from coresr_eval.petrophysics.sizes import critical_diameter
from coresr_eval.petrophysics.voxels import Voxel, along, checked, cubic

MILLIDARCY_UM2 = 0.9869233e-3
"""One millidarcy in µm²."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permeability:
    """Estimates along one axis, in µm² (one millidarcy is `MILLIDARCY_UM2`)."""

    formation_factor: float
    electric_um: float
    """Λ, the radius of the pores that carry the current."""
    critical_um: float
    """l_c, the diameter of the widest sphere that crosses."""
    johnson_um2: float
    """Λ² / (8 F) (Johnson, Koplik & Schwartz 1986)."""
    katz_thompson_um2: float
    """l_c² / (226 F) (Katz & Thompson 1986)."""
    kozeny_carman_um2: float
    """φ³ / (5 s²), s per bulk volume (Carman 1937)."""


def permeability(pore: ArrayLike, *, voxel_um: Voxel, axis: int = 0) -> Permeability:
    """Three estimates of the permeability of `pore`, `(z, y, x)` of cubic voxels, along `axis`.

    Validity: estimates, not measurements. Johnson's is exact in straight round tubes and the one to take: over blocks
    of a segmented Berea sandstone it read 1.8 to 2.2 times the Stokes solve. Katz-Thompson was fitted to sandstones by
    mercury; its l_c is here the diameter of a sphere, too small by a voxel: in those blocks, with l_c of 2 to 3
    voxels, it read a fiftieth, in tubes it reads a seventh. Kozeny-Carman's 5 is for packed beds of even grains; it
    knows nothing of pores that lead nowhere: 4 to 10 times too much there, and not 0 where nothing crosses. Ratios
    between images of one rock on one grid are worth more than the values.
    """
    array = checked(pore)
    if array.ndim != 3:
        raise ValueError(f"pore must be (z, y, x) for a permeability, got {array.shape}; a slice has no flow paths")
    side, across = cubic(voxel_um, 3), along(axis, 3)
    electric, factor = electric_length(array, voxel_um=side, axis=across)
    critical = critical_diameter(array, voxel_um=side, axis=across)
    return Permeability(
        formation_factor=factor,
        electric_um=electric,
        critical_um=critical,
        johnson_um2=electric**2 / (8 * factor),
        katz_thompson_um2=critical**2 / (226 * factor),
        kozeny_carman_um2=porosity(array) ** 3 / (5 * specific_surface(array, voxel_um=side) ** 2),
    )
