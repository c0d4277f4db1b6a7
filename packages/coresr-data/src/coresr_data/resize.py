"""The resizer of images: separable linear operators, built in float64, equal to MATLAB's `imresize`.

An axis of n_in samples becomes n_out by a matrix M whose rows are a kernel sampled at the output's centre
u = (i + 0.5) / r - 0.5 (r = the scale), widened by 1/r when r < 1 so that it also low-passes, borders mirrored
with the edge sample repeated, each row normalised to sum 1. An image is M_h X M_wᵀ.
Source: the definition as reimplemented and checked against MATLAB by github.com/sanghyun-son/bicubic_pytorch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

Float = NDArray[np.float64]
Kernel = Literal["box", "triangle", "cubic", "lanczos2", "lanczos3"]


def _cubic(x: Float) -> Float:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _lanczos(lobes: int) -> Callable[[Float], Float]:
    return lambda x: np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)


# name → (width of the support in samples, function); cubic is Keys' with a = -0.5
KERNELS: dict[Kernel, tuple[float, Callable[[Float], Float]]] = {
    "box": (1.0, lambda x: np.where((x >= -0.5) & (x < 0.5), 1.0, 0.0)),
    "triangle": (2.0, lambda x: np.maximum(1 - np.abs(x), 0.0)),
    "cubic": (4.0, _cubic),
    "lanczos2": (4.0, _lanczos(2)),
    "lanczos3": (6.0, _lanczos(3)),
}


@lru_cache(maxsize=64)
def axis_matrix(
    n_in: int, n_out: int, scale: float, kernel: Kernel = "cubic", antialias: bool = True
) -> sparse.csr_array:
    """The operator of one axis as a float64 sparse matrix, (n_out, n_in); `scale` is output per input samples."""
    if n_in < 1 or n_out < 1 or not scale > 0:
        raise ValueError(f"sizes and scale must be positive, got {n_in} → {n_out} at scale {scale}")
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel}")
    support, function = KERNELS[kernel]
    shrink = min(scale, 1.0) if antialias else 1.0
    width = support / shrink
    centre = (np.arange(n_out) + 0.5) / scale - 0.5
    left = np.floor(centre + 1 - width / 2) - 1
    taps = left[:, None] + np.arange(math.ceil(width) + 2)
    weights = function(shrink * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    folded = np.mod(taps.astype(np.int64), 2 * n_in)
    columns = np.where(folded < n_in, folded, 2 * n_in - 1 - folded)
    rows = np.broadcast_to(np.arange(n_out)[:, None], columns.shape)
    kept = weights != 0
    return sparse.csr_array(sparse.coo_array((weights[kept], (rows[kept], columns[kept])), shape=(n_out, n_in)))


def imresize(
    image: NDArray[Any],
    scale: float,
    *,
    kernel: Kernel = "cubic",
    antialias: bool = True,
    matlab_uint8: bool = False,
) -> NDArray[Any]:
    """Resize `(h, w)` to `(ceil(h·scale), ceil(w·scale))` as MATLAB's `imresize(image, scale, kernel)` does.

    Floats come back as float64, unrounded. Integers need `matlab_uint8=True`, which rounds (half up) and clips to
    the dtype's range after each of the two passes, as MATLAB does with integer images; without it they raise
    TypeError, for a silent rounding or a silent change of dtype would both be wrong. Rows are resized first:
    both axes shrink equally here.

    >>> imresize(np.arange(64.0).reshape(8, 8), 0.25)
    array([[12.38378906, 16.63183594],
           [46.36816406, 50.61621094]])
    """
    if image.ndim != 2:
        raise ValueError(f"image must be (h, w), got shape {image.shape}")
    integer = np.issubdtype(image.dtype, np.integer)
    if integer != matlab_uint8 or not (integer or np.issubdtype(image.dtype, np.floating)):
        wanted = "an integer image" if matlab_uint8 else "a float image, or matlab_uint8=True to round as MATLAB does"
        raise TypeError(f"image must be {wanted}, got {image.dtype}")
    height, width = (math.ceil(size * scale) for size in image.shape)
    vertical = axis_matrix(image.shape[0], height, scale, kernel, antialias)
    horizontal = axis_matrix(image.shape[1], width, scale, kernel, antialias)
    if not integer:
        return np.asarray((horizontal @ (vertical @ image.astype(np.float64)).T).T)
    limits = np.iinfo(image.dtype)
    first = np.clip(np.floor(vertical @ image.astype(np.float64) + 0.5), limits.min, limits.max)
    second = np.clip(np.floor(horizontal @ first.T + 0.5), limits.min, limits.max)
    return np.ascontiguousarray(second.T.astype(image.dtype))


@dataclass(frozen=True, kw_only=True)
class Separable:
    """The linear operator A X = M_h X M_wᵀ on images, with its adjoint and its Moore–Penrose inverse.

    `rows` is M_h (h_out, h_in) and `columns` M_w (w_out, w_in), both float64. All three operations take
    `(..., h, w)` of any float dtype and device, are differentiable, and answer in that dtype.

    `tau` 0 inverts exactly, and both matrices must be of full rank and well conditioned for it. Above 0, singular
    values s_i s_j of A below `tau` times the largest are left out: the inverse of what a blur has kept, for what it
    wiped out would come back as noise 1 / tau times as strong.
    """

    rows: Tensor
    columns: Tensor
    tau: float = 0.0

    def forward(self, image: Tensor) -> Tensor:
        """A x: from (..., h_in, w_in) to (..., h_out, w_out)."""
        return _both_axes(self.rows, image, self.columns)

    def adjoint(self, image: Tensor) -> Tensor:
        """Aᵀ y: from (..., h_out, w_out) to (..., h_in, w_in)."""
        return _both_axes(self.rows.T, image, self.columns.T)

    def pinv(self, image: Tensor) -> Tensor:
        """A⁺ y, the smallest image that A maps to y (or the closest to it), (..., h_in, w_in)."""
        if self.tau == 0:
            return _both_axes(self._rows_pinv, image, self._columns_pinv)
        (u_h, s_h, v_h), (u_w, s_w, v_w) = self._spectra
        values = s_h[:, None] * s_w
        kept = values >= self.tau * values.max()
        inverse = torch.where(kept, 1 / values.where(kept, torch.ones_like(values)), 0)
        return _both_axes(v_h, _both_axes(u_h.T, image, u_w.T) * inverse.to(image), v_w)

    @cached_property
    def _rows_pinv(self) -> Tensor:
        return _pinv(self.rows)

    @cached_property
    def _columns_pinv(self) -> Tensor:
        return _pinv(self.columns)

    @cached_property
    def _spectra(self) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """U, s, V of either axis: M = U diag(s) Vᵀ."""
        parts = (torch.linalg.svd(matrix, full_matrices=False) for matrix in (self.rows, self.columns))
        return tuple((u, s, vt.T) for u, s, vt in parts)


def _both_axes(rows: Tensor, image: Tensor, columns: Tensor) -> Tensor:
    if image.shape[-2:] != (rows.shape[1], columns.shape[1]):
        raise ValueError(
            f"image must be (..., {rows.shape[1]}, {columns.shape[1]}) for this operator, got {tuple(image.shape)}"
        )
    return rows.to(image) @ image @ columns.to(image).T


def _pinv(matrix: Tensor) -> Tensor:
    # bicubic operators have a condition number of about 1.4 per axis, so the normal equations lose nothing
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    inverse: Tensor = torch.linalg.solve(wide @ wide.T, wide)
    return inverse.T if wide is matrix else inverse


def resizing(height: int, width: int, scale: float, *, kernel: Kernel = "cubic", antialias: bool = True) -> Separable:
    """The operator that resizes `(..., height, width)` by `scale` (0.5 halves), as `imresize` does on floats.

    The sizes must fit the scale exactly (ValueError): otherwise MATLAB's grid is off-centre, and flipping an image
    no longer commutes with resizing it.
    """
    sizes = [size * scale for size in (height, width)]
    if any(abs(size - round(size)) > 1e-9 for size in sizes):
        raise ValueError(f"height and width must be whole at scale {scale}, got {height}×{width}; crop the image first")
    rows, columns = (
        torch.from_numpy(axis_matrix(n, round(size), scale, kernel, antialias).toarray())
        for n, size in zip((height, width), sizes, strict=True)
    )
    return Separable(rows=rows, columns=columns)
