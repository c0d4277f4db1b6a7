"""The linear steps of a degradation as one operator A with `forward`, `adjoint` and `pinv`, for images as tensors."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from coresr_data.degrade.kernels import folded
from coresr_data.degrade.recipes import Linear, Steps
from coresr_data.degrade.steps import Axes, Bin, Blur, Frame, Grid, Resize, Sinc
from coresr_data.resize import Separable

TOLERANCE = 1e-10
"""Residual of an iterative inverse, relative to what was to be inverted."""
ITERATIONS = 2000


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A kernel (k, k), k odd, over images (..., height, width), borders mirrored; by FFT, in the dtype of the image."""

    kernel: Tensor
    height: int
    width: int

    def forward(self, image: Tensor) -> Tensor:
        """A x, of the same size."""
        y, x = self._places
        spread = torch.fft.rfft2(_of_size(image, self.height, self.width)[..., y[:, None], x])
        turn = spread * self._spectrum.to(spread)
        wide: Tensor = torch.fft.irfft2(turn, s=(len(y), len(x)))
        return wide[..., self._rim :, self._rim :]

    def adjoint(self, image: Tensor) -> Tensor:
        """Aᵀ y, of the same size."""
        y, x = self._places
        late = torch.nn.functional.pad(_of_size(image, self.height, self.width), (self._rim, 0, self._rim, 0))
        spread = torch.fft.rfft2(late)
        turn = spread * self._spectrum.to(spread).conj()
        wide = torch.fft.irfft2(turn, s=(len(y), len(x)))
        rows = wide.new_zeros(*wide.shape[:-2], self.height, len(x)).index_add(-2, y.to(wide.device), wide)
        folded_back: Tensor = rows.new_zeros(*rows.shape[:-1], self.width).index_add(-1, x.to(wide.device), rows)
        return folded_back

    @property
    def _rim(self) -> int:
        return int(self.kernel.shape[-1]) - 1

    @cached_property
    def _places(self) -> tuple[Tensor, Tensor]:
        """Which row and which column lies at each place of the mirrored image."""
        half = self._rim // 2
        y, x = (torch.from_numpy(folded(np.arange(-half, n + half), n)) for n in (self.height, self.width))
        return y, x

    @cached_property
    def _spectrum(self) -> Tensor:
        spectrum: Tensor = torch.fft.rfft2(self.kernel, s=(self.height + self._rim, self.width + self._rim))
        return spectrum


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Operators one after the other, with an inverse by iteration, where no product of two axes says it directly.

    `pinv` is Tikhonov's, Aᵀ (A Aᵀ + λ)⁻¹ with √λ = `tau` times the largest singular value, by conjugate gradients in
    float64 to a relative residual of 1e-10; with `tau` 0 Moore–Penrose's, for operators whose condition allows it.
    """

    parts: tuple[Separable | Convolution, ...]
    tau: float

    def forward(self, image: Tensor) -> Tensor:
        """A x: from (..., h_in, w_in) to (..., h_out, w_out)."""
        for part in self.parts:
            image = part.forward(image)
        return image

    def adjoint(self, image: Tensor) -> Tensor:
        """Aᵀ y: from (..., h_out, w_out) to (..., h_in, w_in)."""
        for part in reversed(self.parts):
            image = part.adjoint(image)
        return image

    def pinv(self, image: Tensor) -> Tensor:
        """The inverse of each image by itself; FloatingPointError where 2000 iterations do not reach the tolerance."""
        target = image.to(torch.float64)
        damping = (self.tau * self._norm) ** 2
        solved = torch.zeros_like(target)
        residual = direction = target
        size = start = _dot(residual, residual)
        for _ in range(ITERATIONS):
            if bool((size <= TOLERANCE**2 * start).all()):
                return self.adjoint(solved).to(image)
            turned = self.forward(self.adjoint(direction)) + damping * direction
            step = size / _dot(direction, turned).clamp_min(torch.finfo(torch.float64).tiny)
            solved, residual = solved + step * direction, residual - step * turned
            size, last = _dot(residual, residual), size
            direction = residual + size / last.clamp_min(torch.finfo(torch.float64).tiny) * direction
        worst = float((size / start).max().sqrt())
        raise FloatingPointError(
            f"inverse must reach a residual of {TOLERANCE:g}, got {worst:.1e} after {ITERATIONS} iterations; raise tau"
        )

    @cached_property
    def _norm(self) -> float:
        """The largest singular value, by iteration from the constant image, which every kernel keeps."""
        image = torch.ones(_size_in(self.parts[0]), dtype=torch.float64)
        norm = last = 0.0
        for _ in range(200):
            image = self.adjoint(self.forward(image / image.norm()))
            norm, last = float(image.norm()), norm
            if abs(norm - last) < TOLERANCE * norm:
                break
        return float(norm**0.5)


def linear(steps: Steps, height: int, width: int, scale: int, *, tau: float = 1e-3) -> Separable | Chain:
    """The steps as one operator on HR images `(..., height, width)`; what is not linear must be left out (ValueError).

    A `Resize` or `Bin` alone inverts exactly. With a blur, `tau` says below which share of the largest singular value
    the inverse leaves out or damps (see `Separable` and `Chain`, which a turned Gaussian or a sinc needs).
    """
    if height % scale or width % scale:
        raise ValueError(f"HR size must be a multiple of scale {scale}, got {height}×{width}; crop it first")
    grid, shape = Grid(scale, scale, Frame(0, 0, height // scale, width // scale)), (height, width)
    exact = len(steps) == 1 and isinstance(steps[0], Resize | Bin)
    parts: list[Separable | Convolution] = []
    for step in _linear_only(steps):
        if (axes := step.axes(shape, grid)) is not None:
            parts = _followed(parts, axes, 0.0 if exact else tau)
            shape = (axes[0].shape[0], axes[1].shape[0])
        elif isinstance(step, Blur | Sinc):
            kernel = torch.from_numpy(step.weights(grid))
            parts = [*parts, Convolution(kernel=kernel, height=shape[0], width=shape[1])]
        grid = grid._replace(samples=step.density(grid.samples))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Separable) else Chain(parts=tuple(parts), tau=tau)


def _linear_only(steps: Steps) -> tuple[Linear, ...]:
    linear = tuple(step for step in steps if isinstance(step, Linear))
    if not steps or len(linear) < len(steps):
        others = ", ".join(str(step) for step in steps if not isinstance(step, Linear))
        raise ValueError(
            f"steps must be linear to be an operator, got {others or 'none'}; leave out noise, rings, drift"
        )
    return linear


def _followed(parts: list[Separable | Convolution], axes: Axes, tau: float) -> list[Separable | Convolution]:
    """The parts with two more axes after them; what is separable in a row is one part."""
    last = parts[-1] if parts else None
    if not isinstance(last, Separable):
        rows, columns = (torch.from_numpy(axis.toarray()) for axis in axes)
        return [*parts, Separable(rows=rows, columns=columns, tau=tau)]
    rows, columns = (
        torch.from_numpy(axis @ m.numpy()) for axis, m in zip(axes, (last.rows, last.columns), strict=True)
    )
    return [*parts[:-1], Separable(rows=rows, columns=columns, tau=tau)]


def _of_size(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[-2:] != (height, width):
        raise ValueError(f"image must be (..., {height}, {width}) for this operator, got {tuple(image.shape)}")
    return image


def _size_in(part: Separable | Convolution) -> tuple[int, int]:
    if isinstance(part, Convolution):
        return part.height, part.width
    return part.rows.shape[1], part.columns.shape[1]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Of each image with its own, (..., 1, 1)."""
    return (a * b).sum(dim=(-2, -1), keepdim=True)
