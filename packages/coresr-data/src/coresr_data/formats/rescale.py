"""Stored value × slope + intercept, as DICOM and NIfTI headers ask for: exact where it can be."""

from dataclasses import dataclass

import numpy as np

from coresr_data.formats.pieces import RefusedError
from coresr_data.volume import Levels

WHOLE = (np.int16, np.uint16, np.int32, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale:
    """A slope, an intercept, and the dtype of their results."""

    slope: float
    intercept: float
    dtype: np.dtype[np.generic]

    def __call__(self, stored: Levels) -> Levels:
        """The levels of stored values; RefusedError where an integer goes beyond what the header promised."""
        if self.slope == 1 and self.intercept == 0:
            return stored
        if self.dtype.kind == "f":
            return (stored.astype(np.float64) * self.slope + self.intercept).astype(self.dtype)
        levels = stored.astype(np.int64) * int(self.slope) + int(self.intercept)
        limits = np.iinfo(self.dtype.str)
        if levels.size and (levels.min() < limits.min or levels.max() > limits.max):
            raise RefusedError(
                f"hold levels from {limits.min} to {limits.max}, as its bits stored promise, "
                f"got {levels.min()} to {levels.max()}; replace it"
            )
        return levels.astype(self.dtype)


def rescale(stored: np.dtype[np.generic], slope: float, intercept: float, *, bits: int | None = None) -> Rescale:
    """How stored values become levels, decided from the header alone so that all slices share a dtype.

    Slope 1 and intercept 0 leave the dtype as it is. A whole slope and intercept give the first that holds every
    result of: the stored dtype, int16, uint16, int32, int64; `bits` are those used, where fewer than the dtype has.
    Anything else is computed in float64 and becomes float32, or float64 where the stored values have over 16 bits.
    """
    if not (np.isfinite(slope) and np.isfinite(intercept)) or slope == 0:
        raise RefusedError(f"have a finite slope other than 0 and a finite intercept, got {slope} and {intercept}")
    if slope == 1 and intercept == 0:
        return Rescale(slope=1, intercept=0, dtype=stored)
    if stored.kind in "iu" and slope == int(slope) and intercept == int(intercept):
        used = bits or 8 * stored.itemsize
        low, high = (-(2 ** (used - 1)), 2 ** (used - 1) - 1) if stored.kind == "i" else (0, 2**used - 1)
        ends = sorted(value * int(slope) + int(intercept) for value in (low, high))
        for dtype in (stored, *map(np.dtype, WHOLE)):
            limits = np.iinfo(dtype.str)
            if limits.min <= ends[0] and ends[1] <= limits.max:
                return Rescale(slope=slope, intercept=intercept, dtype=dtype)
    exact = stored.itemsize <= 2 or stored == np.float32
    return Rescale(slope=slope, intercept=intercept, dtype=np.dtype(np.float32 if exact else np.float64))
