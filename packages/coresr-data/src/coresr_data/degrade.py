"""HR → LR on grey levels, in the dtype of the levels."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coresr_data.resize import imresize

Levels = NDArray[Any]


def bicubic(hr: Levels, scale: int) -> Levels:
    """MATLAB's antialiased bicubic: `(scale·h, scale·w)` → `(h, w)`, integers rounded after each pass as MATLAB does.

    ValueError where the size does not divide by the scale.
    """
    if any(size % scale for size in hr.shape):
        raise ValueError(f"HR size must be a multiple of scale {scale}, got {hr.shape[0]}×{hr.shape[1]}; crop it first")
    integer = bool(np.issubdtype(hr.dtype, np.integer))
    return imresize(hr, 1 / scale, matlab_uint8=integer).astype(hr.dtype)


DEGRADATIONS: dict[str, Callable[[Levels, int], Levels]] = {"bicubic": bicubic}
