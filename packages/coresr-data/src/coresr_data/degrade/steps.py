"""The linear steps from HR to LR: plain numbers, with `apply` on float64 images `(h, w)`.

An image on its way lies on a grid of `samples` per LR pixel along each axis: `scale` in HR, 1 in LR, so that a crop at
whole LR pixels is a crop of the grid, too. Every kernel sums to 1.
"""

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, NamedTuple

import numpy as np
from scipy import sparse

from coresr_data.degrade.kernels import (
    Float,
    binning,
    blurring,
    both_axes,
    convolved,
    gaussian_2d,
    radius,
    sinc_2d,
)
from coresr_data.resize import KERNELS, Kernel, axis_matrix

Axes = tuple[sparse.csr_array, sparse.csr_array]
"""The operators of y and of x."""


class Frame(NamedTuple):
    """Where a crop lies in the whole slice, in LR pixels: its first row and column, and the size of the slice."""

    y: int
    x: int
    height: int
    width: int


class Grid(NamedTuple):
    """The grid that an image lies on."""

    scale: int
    samples: int
    """Along each axis per LR pixel."""
    frame: Frame

    def from_middle(self, shape: tuple[int, ...]) -> tuple[Float, Float]:
        """How far the samples lie from the middle of the whole slice, in LR pixels, (h, 1) and (1, w)."""
        y = self.frame.y + (np.arange(shape[0]) + 0.5) / self.samples - self.frame.height / 2
        x = self.frame.x + (np.arange(shape[1]) + 0.5) / self.samples - self.frame.width / 2
        return y[:, None], x[None, :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize:
    """MATLAB's antialiased resizing to `samples` per LR pixel: 1, unless more steps follow on a finer grid."""

    kernel: Kernel = "cubic"
    samples: int = 1

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {self.kernel}")
        if self.samples < 1:
            raise ValueError(f"samples per LR pixel must be 1 or more, got {self.samples}")

    def density(self, samples: int) -> int:
        """Samples per LR pixel afterwards."""
        del samples
        return self.samples

    def reach(self, grid: Grid) -> float:
        """HR pixels around a place that decide what it becomes."""
        if self.samples == grid.samples:
            return 0.0
        half = KERNELS[self.kernel][0] / 2 * max(1.0, grid.samples / self.samples)
        return (half + 1) * grid.scale / grid.samples

    def axes(self, shape: tuple[int, ...], grid: Grid) -> Axes:
        """ValueError for a box that does not shrink by a whole number."""
        # the box would have its edges on samples, and rounding would decide which it holds
        if self.kernel == "box" and grid.samples % self.samples:
            raise ValueError(
                f"box must shrink by a whole number, got {grid.samples} to {self.samples} samples per LR pixel; "
                "choose another kernel"
            )
        ratio = self.samples / grid.samples
        rows, columns = (axis_matrix(n, n * self.samples // grid.samples, ratio, self.kernel) for n in shape)
        return rows, columns

    def apply(self, image: Float, grid: Grid) -> Float:
        """The image on the new grid."""
        rows, columns = self.axes(image.shape, grid)
        return both_axes(rows, image, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur:
    """A Gaussian of standard deviations `sigma_y`, `sigma_x`, cut after four; 0 leaves the axis exactly as it is.

    `angle` in degrees turns its axes from x towards y. Sigmas are HR pixels, whatever the grid, or LR pixels where
    `pixel` says so: a scanner's blur goes with its own voxel.
    """

    sigma_y: float
    sigma_x: float
    angle: float = 0.0
    pixel: Literal["hr", "lr"] = "hr"

    def __post_init__(self) -> None:
        if not (0 <= self.sigma_y < inf and 0 <= self.sigma_x < inf and isfinite(self.angle)):
            raise ValueError(f"sigmas must be 0 or more and the angle finite, got {self}")
        if self.pixel not in ("hr", "lr"):
            raise ValueError(f"pixel must be hr or lr, got {self.pixel}")
        if not self._upright and min(self.sigma_y, self.sigma_x) == 0:
            raise ValueError(f"sigmas must be positive for a turned Gaussian, got {self}; set the angle to 0")

    @property
    def _upright(self) -> bool:
        return self.sigma_y == self.sigma_x or self.angle % 90 == 0

    def density(self, samples: int) -> int:
        """Samples per LR pixel afterwards: as before."""
        return samples

    def sigmas(self, grid: Grid) -> tuple[float, float]:
        """Of y and x in samples of the grid."""
        per_pixel = grid.samples / (grid.scale if self.pixel == "hr" else 1)
        y, x = self.sigma_y * per_pixel, self.sigma_x * per_pixel
        return (x, y) if self.angle % 180 == 90 else (y, x)

    def reach(self, grid: Grid) -> float:
        """HR pixels around a place that decide what it becomes."""
        return radius(max(self.sigmas(grid))) * grid.scale / grid.samples

    def axes(self, shape: tuple[int, ...], grid: Grid) -> Axes | None:
        """None where the Gaussian is turned: then it has `weights`."""
        if not self._upright:
            return None
        rows, columns = (blurring(n, sigma) for n, sigma in zip(shape, self.sigmas(grid), strict=True))
        return rows, columns

    def weights(self, grid: Grid) -> Float:
        """(k, k) of a turned Gaussian."""
        return gaussian_2d(*self.sigmas(grid), self.angle)

    def apply(self, image: Float, grid: Grid) -> Float:
        """The blurred image, on its grid."""
        axes = self.axes(image.shape, grid)
        return convolved(image, self.weights(grid)) if axes is None else both_axes(axes[0], image, axes[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The mean over each LR pixel, as a detector counts: scale × scale HR pixels become one."""

    def density(self, samples: int) -> int:
        """Samples per LR pixel afterwards: one."""
        del samples
        return 1

    def reach(self, grid: Grid) -> float:
        """HR pixels around an LR pixel that decide what it becomes: none but its own."""
        del grid
        return 0.0

    def axes(self, shape: tuple[int, ...], grid: Grid) -> Axes:
        """Block means."""
        rows, columns = (binning(n, grid.samples) for n in shape)
        return rows, columns

    def apply(self, image: Float, grid: Grid) -> Float:
        """The image on the LR grid."""
        rows, columns = self.axes(image.shape, grid)
        return both_axes(rows, image, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinc:
    """The ideal low-pass at `cutoff` radians per sample of its grid, `reach_samples` to each side: it rings."""

    cutoff: float
    reach_samples: int

    def __post_init__(self) -> None:
        if not (0 < self.cutoff <= np.pi and self.reach_samples >= 1):
            raise ValueError(f"cutoff must be in (0, π] and reach_samples 1 or more, got {self}")

    def density(self, samples: int) -> int:
        """Samples per LR pixel afterwards: as before."""
        return samples

    def reach(self, grid: Grid) -> float:
        """HR pixels around a place that decide what it becomes."""
        return self.reach_samples * grid.scale / grid.samples

    def axes(self, shape: tuple[int, ...], grid: Grid) -> None:
        """None: the low-pass of all directions is no product of two axes."""
        del shape, grid

    def weights(self, grid: Grid) -> Float:
        """(k, k)."""
        del grid
        return sinc_2d(self.cutoff, self.reach_samples)

    def apply(self, image: Float, grid: Grid) -> Float:
        """The filtered image, on its grid."""
        return convolved(image, self.weights(grid))
