"""Images by their spatial frequencies: power spectra, and up to which resolution two images agree."""

from coresr_eval.spectrum.correlation import Frc, frc, half_bit, resolution_um
from coresr_eval.spectrum.power import Spectrum, beyond_lr, per_mm, radial_power, spectral_distance

__all__ = [
    "Frc",
    "Spectrum",
    "beyond_lr",
    "frc",
    "half_bit",
    "per_mm",
    "radial_power",
    "resolution_um",
    "spectral_distance",
]
