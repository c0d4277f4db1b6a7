"""What a scanner adds to an image: noise, rings, streaks and drift, on [0, 1]; plain numbers, with `apply`.

Places are shares of the whole slice, so that one draw fits every size and a crop shows the rings of its slice. None of
these steps looks at neighbours or changes the grid.
"""

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from coresr_data.degrade.kernels import Float, gaussian
from coresr_data.degrade.steps import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Normal noise of variance gaussian² + poisson · signal: electronics, and photons in great numbers.

    `correlation` is the standard deviation, in LR pixels, of the Gaussian that white noise was smoothed with, for the
    filter of a reconstruction correlates neighbours; the variance stays as said. Foi et al. 2008 on the model; that a
    count is nearly normal holds from about 20 photons on.
    """

    gaussian: float = 0.0
    """Standard deviation on [0, 1]."""
    poisson: float = 0.0
    """Variance at signal 1: one over the photons that grey level 1 stands for."""
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= value < inf for value in (self.gaussian, self.poisson, self.correlation)):
            raise ValueError(f"noise must be 0 or more, got {self}")

    def apply(self, image: Float, grid: Grid, rng: Generator) -> Float:
        """Draws one number a pixel, and a rim of them where neighbours are correlated."""
        taps = gaussian(self.correlation * grid.samples)
        taps = taps / np.linalg.norm(taps)
        rim = len(taps) // 2
        field = rng.standard_normal((image.shape[0] + 2 * rim, image.shape[1] + 2 * rim))
        for axis in (0, 1):
            field = correlate1d(field, taps, axis, mode="constant")
        field = field[rim : rim + image.shape[0], rim : rim + image.shape[1]]
        return np.asarray(image + np.sqrt(self.gaussian**2 + self.poisson * np.maximum(image, 0)) * field)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rings:
    """Rings about the axis of rotation, each from one faulty place of the detector.

    The centre is a share of the slice's height and width, 0.5 the middle; radii are shares of half its diagonal.
    """

    radii: tuple[float, ...]
    heights: tuple[float, ...]
    """Of each ring above (or below) what it lies on, on [0, 1]."""
    width: float = 0.5
    """Standard deviation of a ring's cross-section, LR pixels."""
    centre_y: float = 0.5
    centre_x: float = 0.5

    def __post_init__(self) -> None:
        _check_lines("rings", self.width, self.radii, self.heights)
        if not (isfinite(self.centre_y) and isfinite(self.centre_x)):
            raise ValueError(f"centre must be finite, got {self}")

    def apply(self, image: Float, grid: Grid) -> Float:
        """Adds the rings."""
        y, x = grid.from_middle(image.shape)
        _, _, height, width = grid.frame
        r = np.hypot(y - (self.centre_y - 0.5) * height, x - (self.centre_x - 0.5) * width)
        half = np.hypot(height, width) / 2
        rings = zip(self.radii, self.heights, strict=True)
        return image + sum((h * _ridge(r - radius * half, self.width) for radius, h in rings), np.zeros(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaks:
    """Straight lines across the slice: curtains of a cut face, or a projection that was lost."""

    angles: tuple[float, ...]
    """Degrees from x towards y along which each line runs."""
    offsets: tuple[float, ...]
    """From the middle of the slice, as shares of half its diagonal."""
    heights: tuple[float, ...]
    """Of each line above (or below) what it lies on, on [0, 1]."""
    width: float = 0.5
    """Standard deviation of a line's cross-section, LR pixels."""

    def __post_init__(self) -> None:
        _check_lines("streaks", self.width, self.angles, self.offsets, self.heights)

    def apply(self, image: Float, grid: Grid) -> Float:
        """Adds the lines."""
        y, x = grid.from_middle(image.shape)
        half = np.hypot(grid.frame.height, grid.frame.width) / 2
        total: Float = np.zeros(1)
        for angle, offset, height in zip(np.deg2rad(self.angles), self.offsets, self.heights, strict=True):
            across = y * np.cos(angle) - x * np.sin(angle)
            total = total + height * _ridge(across - offset * half, self.width)
        return image + total


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Slow change of grey level: image · gain · (1 + tilts + cupping) + offset.

    A tilt is the change from the middle of the slice to its edge along that axis. `cupping` is how much brighter the
    corners are than the middle, growing with the square of the distance, around an average of zero.
    """

    gain: float = 1.0
    offset: float = 0.0
    tilt_y: float = 0.0
    tilt_x: float = 0.0
    cupping: float = 0.0

    def __post_init__(self) -> None:
        if not all(isfinite(v) for v in (self.gain, self.offset, self.tilt_y, self.tilt_x, self.cupping)):
            raise ValueError(f"drift must be finite, got {self}")

    def apply(self, image: Float, grid: Grid) -> Float:
        """The image with its grey levels moved."""
        y, x = grid.from_middle(image.shape)
        height, width = grid.frame.height / 2, grid.frame.width / 2
        share = (y**2 + x**2) / (height**2 + width**2)  # its mean over any rectangle is a third
        field = 1 + self.tilt_y * y / height + self.tilt_x * x / width + self.cupping * (share - 1 / 3)
        return image * (self.gain * field) + self.offset


def _ridge(away: NDArray[np.float64], width: float) -> Float:
    return np.asarray(np.exp(-0.5 * (away / width) ** 2))


def _check_lines(what: str, width: float, *each: tuple[float, ...]) -> None:
    if len({len(numbers) for numbers in each}) != 1:
        raise ValueError(f"{what} must have as many numbers of each kind, got {', '.join(str(len(n)) for n in each)}")
    if not (0 < width < inf and all(isfinite(number) for numbers in each for number in numbers)):
        raise ValueError(f"{what} must be finite and their width positive, got width {width} and {each}")
