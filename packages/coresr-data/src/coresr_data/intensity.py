"""Grey levels ↔ float32 [0, 1]: a declared window, and its exact inverse."""

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Window(NamedTuple):
    """The grey levels that become 0 and 1. Others go below 0 or above 1: nothing is clipped on the way in."""

    low: float
    high: float


def default_window(dtype: DTypeLike) -> Window:
    """The whole range of an 8- or 16-bit dtype; ValueError for others, whose window must be declared, not guessed.

    float32 could not tell the levels of a 32-bit range apart.

    >>> default_window(np.uint16)
    Window(low=0.0, high=65535.0)
    """
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.integer) or dtype.itemsize > 2:
        raise ValueError(f"window must be declared for {dtype} grey levels; give --window LOW HIGH")
    limits = np.iinfo(dtype)
    return Window(float(limits.min), float(limits.max))


def to_unit(levels: NDArray[Any], window: Window) -> NDArray[np.float32]:
    """Grey levels of any dtype and shape → float32, window.low at 0 and window.high at 1."""
    low, high = checked(window)
    if low == 0:
        unit = levels.astype(np.float32)
        unit *= np.float32(1 / high)
        return unit
    # in float64, for float32 would round away what differs between two levels far above their distance
    return ((levels.astype(np.float64) - low) / (high - low)).astype(np.float32)


def from_unit(values: NDArray[np.floating], window: Window, dtype: DTypeLike) -> NDArray[Any]:
    """float32 [0, 1] → grey levels of `dtype`; integers are rounded half up and clipped to the range of the dtype.

    FloatingPointError where a value that must become an integer is NaN or infinite.

    >>> levels = np.arange(65536, dtype=np.uint16)
    >>> bool((from_unit(to_unit(levels, default_window("uint16")), default_window("uint16"), "uint16") == levels).all())
    True
    """
    low, high = checked(window)
    levels = values.astype(np.float64) * (high - low) + low
    dtype = np.dtype(dtype)
    if np.issubdtype(dtype, np.integer):
        if bad := int(np.count_nonzero(~np.isfinite(levels))):
            raise FloatingPointError(f"values must be finite to become {dtype} grey levels, got {bad} that are not")
        limits = np.iinfo(dtype)
        levels = np.clip(np.floor(levels + 0.5), limits.min, limits.max)
    return levels.astype(dtype)


def clipped_share(values: NDArray[np.floating], window: Window, dtype: DTypeLike) -> float:
    """The share of values that `from_unit` clips to the range of an integer dtype; 0 for floats."""
    dtype = np.dtype(dtype)
    if not np.issubdtype(dtype, np.integer):
        return 0.0
    limits = np.iinfo(dtype)
    levels = np.floor(values.astype(np.float64) * (window.high - window.low) + window.low + 0.5)
    return float(((levels < limits.min) | (levels > limits.max)).mean())


def checked(window: Window) -> Window:
    """The window itself; ValueError where it is not finite or not ascending."""
    if not (isfinite(window.low) and isfinite(window.high) and window.low < window.high):
        raise ValueError(f"window must be LOW < HIGH, both finite, got {window.low:g} {window.high:g}")
    return window
