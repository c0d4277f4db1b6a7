"""HR → LR on grey levels, in the dtype of the levels: a recipe draws steps, `apply` applies them.

What was drawn is plain numbers that `as_json` records and `from_json` makes anew. Noise is drawn when applied, from
the generator handed in; NumPy does not promise that another version of it draws the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.random import Generator

from coresr_data.degrade.kernels import Float
from coresr_data.degrade.recipes import DEGRADATIONS, Linear, Recipe, Step, Steps, blur
from coresr_data.degrade.scanner import Drift, Noise, Rings, Streaks
from coresr_data.degrade.steps import Bin, Blur, Frame, Grid, Resize, Sinc
from coresr_data.intensity import Window, checked
from coresr_data.resize import imresize
from coresr_data.volume import Levels

__all__ = [
    "DEGRADATIONS",
    "STEPS",
    "Frame",
    "Recipe",
    "Step",
    "Steps",
    "apply",
    "apply_at",
    "as_json",
    "bicubic",
    "blur",
    "from_json",
    "margin",
]

STEPS: dict[str, type[Step]] = {
    "resize": Resize,
    "blur": Blur,
    "bin": Bin,
    "sinc": Sinc,
    "noise": Noise,
    "rings": Rings,
    "streaks": Streaks,
    "drift": Drift,
}


# Applying


def apply(
    levels: Levels,
    steps: Steps,
    *,
    scale: int,
    window: Window | None = None,
    rng: Generator | None = None,
    frame: Frame | None = None,
) -> Levels:
    """Grey levels `(scale·h, scale·w)` → `(h, w)` of the same dtype; noise, rings and drift go by `window`.

    One `Resize` alone on integers rounds after each pass as MATLAB does. Anything else is float64 throughout; integers
    are rounded half up and clipped to their range once, at the end, floats are neither. `frame` says where a crop lies
    in its slice; without, it is the whole slice. ValueError where the size does not divide by the scale, where the
    steps do not end at LR, or where a window or a generator is needed and not given.
    """
    grid = _start(levels, scale, frame)
    steps = tuple(step for step in steps if not (isinstance(step, Blur) and step.sigma_y == step.sigma_x == 0))
    integer = bool(np.issubdtype(levels.dtype, np.integer))
    if len(steps) == 1 and isinstance(steps[0], Resize) and steps[0].samples == 1:
        return imresize(levels, 1 / scale, kernel=steps[0].kernel, matlab_uint8=integer).astype(levels.dtype)
    # Linear steps do not care about the unit, and in grey levels a mean of four meets its halves exactly.
    first = next((i for i, step in enumerate(steps) if not isinstance(step, Linear)), len(steps))
    image, grid = _each(levels.astype(np.float64), steps[:first], grid, rng)
    if first < len(steps):
        if window is None:
            raise ValueError(f"window must be given for {steps[first]}, got none")
        low, high = checked(window)
        image, grid = _each((image - low) / (high - low), steps[first:], grid, rng)
        image = image * (high - low) + low
    if grid.samples != 1:
        raise ValueError(f"steps must end at LR, got {grid.samples} samples per LR pixel; add a resize or a bin")
    if not integer:
        return image.astype(levels.dtype)
    limits = np.iinfo(levels.dtype)
    return np.clip(np.floor(image + 0.5), limits.min, limits.max).astype(levels.dtype)


def _start(levels: Levels, scale: int, frame: Frame | None) -> Grid:
    if levels.ndim != 2 or not np.issubdtype(levels.dtype, np.integer) | np.issubdtype(levels.dtype, np.floating):
        raise ValueError(f"HR must be (h, w) grey levels, got shape {levels.shape} {levels.dtype}")
    if any(size % scale for size in levels.shape):
        raise ValueError(
            f"HR size must be a multiple of scale {scale}, got {levels.shape[0]}×{levels.shape[1]}; crop it first"
        )
    height, width = (size // scale for size in levels.shape)
    frame = frame or Frame(0, 0, height, width)
    if not (0 <= frame.y <= frame.height - height and 0 <= frame.x <= frame.width - width):
        raise ValueError(f"frame must hold the crop of {height}×{width} LR pixels, got {frame}")
    return Grid(scale, scale, frame)


def _each(image: Float, steps: Steps, grid: Grid, rng: Generator | None) -> tuple[Float, Grid]:
    for step in steps:
        if isinstance(step, Noise):
            if rng is None:
                raise ValueError(f"rng must be given for {step}, got none")
            image = step.apply(image, grid, rng)
        else:
            image = step.apply(image, grid)
        if isinstance(step, Linear):
            grid = grid._replace(samples=step.density(grid.samples))
    return image, grid


def margin(steps: Steps, scale: int) -> int:
    """HR pixels, a multiple of the scale, to cut more of around a crop so that its own LR is that of the slice."""
    grid, total = Grid(scale, scale, Frame(0, 0, 1, 1)), 0.0
    for step in steps:
        if isinstance(step, Linear):
            total += step.reach(grid)
            grid = grid._replace(samples=step.density(grid.samples))
    return scale * math.ceil(total / scale)


def apply_at(
    hr: Levels,
    steps: Steps,
    *,
    y: int,
    x: int,
    size: int,
    scale: int,
    window: Window | None = None,
    rng: Generator | None = None,
) -> Levels:
    """The LR patch (size, size) at LR pixel (y, x) of a whole HR slice, which is read only where it matters."""
    height, width = (n // scale for n in hr.shape)
    if not (0 <= y <= height - size and 0 <= x <= width - size):
        raise ValueError(f"patch must lie in the slice of {height}×{width} LR pixels, got {size} at y {y}, x {x}")
    more = margin(steps, scale) // scale
    top, left, bottom, right = (
        max(y - more, 0),
        max(x - more, 0),
        min(y + size + more, height),
        min(x + size + more, width),
    )
    crop = np.asarray(hr[scale * top : scale * bottom, scale * left : scale * right])
    lr = apply(crop, steps, scale=scale, window=window, rng=rng, frame=Frame(top, left, height, width))
    return lr[y - top : y - top + size, x - left : x - left + size]


def bicubic(hr: Levels, scale: int) -> Levels:
    """MATLAB's antialiased bicubic: `(scale·h, scale·w)` → `(h, w)`, integers rounded after each pass as MATLAB does.

    ValueError where the size does not divide by the scale.
    """
    return apply(hr, (Resize(),), scale=scale)


# Recording


def as_json(steps: Steps) -> list[dict[str, Any]]:
    """The steps as JSON holds them: `[{"step": "blur", "sigma_y": 1.5, …}, …]`."""
    names = {kind: name for name, kind in STEPS.items()}
    return [{"step": names[type(step)], **asdict(step)} for step in steps]


def from_json(recorded: Sequence[Mapping[str, Any]]) -> Steps:
    """The steps again, exactly; ValueError for names or fields that are not known."""
    return tuple(_step(one) for one in recorded)


def _step(recorded: Mapping[str, Any]) -> Step:
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items()}
    name = values.pop("step", None)
    if name not in STEPS:
        raise ValueError(f"step must be one of {', '.join(STEPS)}, got {name}")
    known = [field.name for field in fields(STEPS[name])]
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"step {name} must have {', '.join(known) or 'no fields'}, got {', '.join(unknown)}")
    kind: Any = STEPS[name]
    try:
        step: Step = kind(**values)
    except TypeError as error:  # a field is missing, or a word stands where a number should
        raise ValueError(f"step {name} must be whole, got {dict(recorded)}: {error}") from None
    return step
