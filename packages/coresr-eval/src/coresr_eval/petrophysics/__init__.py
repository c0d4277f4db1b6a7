"""What an image says of the pore space: porosity, surface, topology, sizes, connection and flow, in µm.

A pore space is a boolean array, `(y, x)` or `(z, y, x)`, True in the pore. Thresholds are fixed on HR and applied
unchanged to every other image. Each function says where its number holds.
"""

from coresr_eval.petrophysics.agreement import dice
from coresr_eval.petrophysics.conduction import effective_conductivity, formation_factor
from coresr_eval.petrophysics.connectivity import Connected, connected_porosity
from coresr_eval.petrophysics.correlations import TwoPoint, lineal_path, two_point
from coresr_eval.petrophysics.electric import electric_length
from coresr_eval.petrophysics.functionals import Minkowski, euler, minkowski, porosity, specific_surface
from coresr_eval.petrophysics.permeability import MILLIDARCY_UM2, Permeability, permeability
from coresr_eval.petrophysics.sizes import PoreSizes, critical_diameter, pore_sizes
from coresr_eval.petrophysics.stokes import stokes_permeability
from coresr_eval.petrophysics.sweeping import Curves, Described, Sweep, describe, porosity_curve, sweep
from coresr_eval.petrophysics.thresholds import around, multi_otsu, otsu, phases, segment, threshold_from_labels

__all__ = [
    "MILLIDARCY_UM2",
    "Connected",
    "Curves",
    "Described",
    "Minkowski",
    "Permeability",
    "PoreSizes",
    "Sweep",
    "TwoPoint",
    "around",
    "connected_porosity",
    "critical_diameter",
    "describe",
    "dice",
    "effective_conductivity",
    "electric_length",
    "euler",
    "formation_factor",
    "lineal_path",
    "minkowski",
    "multi_otsu",
    "otsu",
    "permeability",
    "phases",
    "pore_sizes",
    "porosity",
    "porosity_curve",
    "segment",
    "specific_surface",
    "stokes_permeability",
    "sweep",
    "threshold_from_labels",
    "two_point",
]
