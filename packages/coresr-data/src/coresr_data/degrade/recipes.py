"""Recipes: how the parameters of a degradation are drawn, by name in `DEGRADATIONS`."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from coresr_data.degrade.scanner import Drift, Noise, Rings, Streaks
from coresr_data.degrade.steps import Bin, Blur, Resize, Sinc
from coresr_data.resize import KERNELS, Kernel

Linear = Resize | Blur | Bin | Sinc
Step = Resize | Blur | Bin | Sinc | Noise | Rings | Streaks | Drift
Steps = tuple[Step, ...]
Recipe = Callable[[Generator], Steps]


def _bicubic(rng: Generator) -> Steps:
    del rng
    return (Resize(),)


def _unknown(rng: Generator) -> Steps:
    """One of MATLAB's five kernels, antialiased: DeepRock-SR's unknown LR."""
    return (Resize(kernel=list(KERNELS)[rng.integers(len(KERNELS))]),)


def blur(sigma_y: float, sigma_x: float | None = None, *, angle: float = 0.0) -> Recipe:
    """A fixed Gaussian in HR pixels, then MATLAB's bicubic: at sigma 0 the bicubic LR, exactly."""
    steps = (Blur(sigma_y=sigma_y, sigma_x=sigma_y if sigma_x is None else sigma_x, angle=angle), Resize())
    return lambda _: steps


def _blur(rng: Generator) -> Steps:
    """Sharp to blurred by three HR pixels, round or, as often, longish in any direction; then MATLAB's bicubic."""
    sigma = rng.uniform(0, 3, 2)
    if rng.random() < 0.5:
        return blur(float(sigma[0]))(rng)
    return blur(float(max(sigma[0], 0.1)), float(max(sigma[1], 0.1)), angle=float(rng.uniform(0, 180)))(rng)


def _scanner(rng: Generator) -> Steps:
    """A micro-CT scanner around what was fitted to a real pair, ×3 at 6 µm: PSF 1.0 to 1.15 LR pixels, noise 0.013."""
    sigma = rng.uniform(0.8, 1.4)
    lines = int(rng.integers(0, 7))
    return (
        Blur(sigma_y=float(sigma * rng.uniform(0.95, 1.05)), sigma_x=float(sigma), pixel="lr"),
        Bin(),
        Rings(
            radii=_floats(rng.uniform(0.02, 0.9, lines)),
            heights=_floats(rng.normal(0, 0.006, lines)),
            centre_y=float(rng.normal(0.5, 0.02)),
            centre_x=float(rng.normal(0.5, 0.02)),
        ),
        Drift(
            gain=float(rng.normal(1, 0.01)),
            offset=float(rng.normal(0, 0.005)),
            tilt_y=float(rng.normal(0, 0.01)),
            tilt_x=float(rng.normal(0, 0.01)),
            cupping=float(rng.uniform(0, 0.05)),
        ),
        Noise(
            gaussian=float(rng.uniform(0.004, 0.018)),
            poisson=float(rng.uniform(0, 2e-4)),
            correlation=float(rng.uniform(0, 1)),
        ),
    )


def _second_order(rng: Generator) -> Steps:
    """Blur, resize, noise, twice over, and ringing last: Real-ESRGAN's pipeline (Wang et al. 2021) for grey slices.

    No JPEG, which scans do not meet. What it resizes to in between lies on whole samples per LR pixel, so that crops
    stay aligned.
    """
    between = int(rng.integers(1, 4))
    ringing = (Sinc(cutoff=float(rng.uniform(np.pi / 3, np.pi)), reach_samples=int(rng.integers(3, 11))),)
    return (
        _any_blur(rng, 3.0),
        Resize(kernel=_smooth(rng), samples=between),
        Noise(gaussian=float(rng.uniform(0, 0.03)), poisson=float(rng.uniform(0, 5e-4))),
        *((_any_blur(rng, 1.5),) if rng.random() < 0.8 else ()),
        Resize(kernel=_smooth(rng)),
        Noise(gaussian=float(rng.uniform(0, 0.025)), poisson=float(rng.uniform(0, 4e-4))),
        *(ringing if rng.random() < 0.5 else ()),
    )


def _any_blur(rng: Generator, most: float) -> Blur:
    y, x = _floats(rng.uniform(0.2, most, 2))
    return (
        Blur(sigma_y=y, sigma_x=x, angle=float(rng.uniform(0, 180)))
        if rng.random() < 0.5
        else Blur(sigma_y=y, sigma_x=y)
    )


def _smooth(rng: Generator) -> Kernel:
    kernels: tuple[Kernel, ...] = ("triangle", "cubic", "lanczos2", "lanczos3")
    return kernels[rng.integers(len(kernels))]


def _floats(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


DEGRADATIONS: dict[str, Recipe] = {
    "bicubic": _bicubic,
    "default": _bicubic,  # as DeepRock-SR calls it
    "unknown": _unknown,
    "blur": _blur,
    "scanner": _scanner,
    "second-order": _second_order,
}
"""How LR can be made, by name."""
