"""Fit a scanner to a real pair: the blur, the grey match and the noise that turn its HR into its LR.

The blur is a Gaussian along each axis, moved by a sub-pixel shift, found by least squares with gain and offset solved
for on the way (variable projection, Golub and Pereyra 1973). It is fitted on one part of the pair, judged on another.
"""

import math

import numpy as np

from coresr_data.degrade.scanner import Noise
from coresr_data.degrade.steps import Frame, Grid
from coresr_data.fitting.fitted import ScannerFit
from coresr_data.fitting.matching import correlation_of, match, noise_of
from coresr_data.fitting.seeing import (
    MOST_SHIFT,
    MOST_SIGMA,
    Float,
    Pair,
    Part,
    Seeing,
    cubic_axis,
    gaussian_axis,
    solved,
)
from coresr_data.intensity import Window, checked, default_window
from coresr_data.patches import keyed
from coresr_data.volume import Levels

EDGE = 4
"""LR pixels left out at every face, or more for a wide blur: what lies beyond is not in the pair."""
LEAST = 10
"""LR pixels that a side of the part to fit, and of the part held out, must have within the slice."""
LEAST_EXPLAINED = 0.1


def fit_scanner(lr: Levels, hr: Levels, *, scale: int, window: Window | None = None) -> ScannerFit:
    """Fit images `(h, w)` or stacks `(n, h, w)` that show the same rock, HR `scale` times as large.

    Stacks of as many slices pair one to one; where HR has `scale` times as many, an LR slice is their blurred mean.
    Grey levels go by `window` or, without, integers by the range of their dtype while floats are on [0, 1] already.
    The last third of the slices, or else of the longest axis, is held out. ValueError for sizes that do not pair or
    are too small, and where no scanner explains the LR.
    """
    pair = _paired(lr, hr, scale, window)
    fitted, held, said = _parts(pair, EDGE)
    scanner = solved(pair, fitted, gaussian_axis)
    if (edge := _edge(scanner, scale)) > EDGE:
        fitted, held, said = _parts(pair, edge)
        scanner = solved(pair, fitted, gaussian_axis)
    _refuse_nonsense(pair, scanner, fitted)
    bicubic = solved(pair, fitted, cubic_axis, scanner.shifts)
    signal = scanner.of(pair, fitted)
    residual = pair.lr[fitted] - signal
    gaussian, poisson = noise_of(residual, signal, quantum=pair.quantum)
    z, y, x = (correlation_of(residual, axis) for axis in range(3))
    noise = Noise(gaussian=gaussian, poisson=poisson, correlation=(y + x) / 2)
    real, made = pair.lr[held], scanner.of(pair, held)
    ungreyed = Seeing(axis=gaussian_axis, sigmas=scanner.sigmas, shifts=scanner.shifts).of(pair, held)
    none = (0.0,) * len(pair.axes)
    return ScannerFit(
        scale=scale,
        sigma=scanner.sigmas,
        shift=tuple(-shift / scale for shift in scanner.shifts),
        gain=scanner.gain,
        offset=scanner.offset,
        grey_needed=bool(((ungreyed - real) ** 2).mean() > 1.05**2 * ((made - real) ** 2).mean()),
        noise=noise,
        correlation_z=z if pair.deep else None,
        held_out=said,
        bicubic=match(Seeing(axis=cubic_axis, sigmas=none, shifts=none).of(pair, held), real),
        bicubic_matched=match(bicubic.of(pair, held), real),
        fit=match(made, real),
        fit_with_noise=match(_with_noise(made, noise, scale), real),
    )


def _paired(lr: Levels, hr: Levels, scale: int, window: Window | None) -> Pair:
    if lr.ndim != hr.ndim or lr.ndim not in (2, 3) or scale < 2:
        raise ValueError(f"LR and HR must both be (h, w) or (n, h, w), got {lr.shape} and {hr.shape} at ×{scale}")
    low, high = (levels if levels.ndim == 3 else levels[None] for levels in (lr, hr))
    deep = len(high) == scale * len(low)
    if high.shape[1:] != tuple(scale * n for n in low.shape[1:]) or not (deep or len(high) == len(low)):
        raise ValueError(
            f"HR must be {scale} times LR within a slice, and as many slices or {scale} times as many, "
            f"got LR {lr.shape} and HR {hr.shape}; crop them, or name the right scale"
        )
    integer = np.issubdtype(lr.dtype, np.integer)
    chosen = window or default_window(lr.dtype) if integer else window
    quantum = 1 / (chosen.high - chosen.low) if integer and chosen is not None else 0.0
    pair = Pair(_unit(low, window), _unit(high, window), scale, deep, quantum)
    for name, stack in (("LR", pair.lr), ("HR", pair.hr)):
        if not np.isfinite(stack).all() or stack.min() == stack.max():
            raise ValueError(f"{name} must hold rock, got levels that are all one or not finite; name another part")
    return pair


def _unit(levels: Levels, window: Window | None) -> Float:
    integer = np.issubdtype(levels.dtype, np.integer)
    low, high = checked(window or (default_window(levels.dtype) if integer else Window(0, 1)))
    return np.asarray((levels.astype(np.float64) - low) / (high - low))


def _parts(pair: Pair, edge: int) -> tuple[Part, Part, str]:
    """The part to fit, the part held out, and that in words."""
    size = pair.lr.shape
    faces = [edge if axis in pair.axes else 0 for axis in range(3)]
    along = 0 if not pair.deep and size[0] >= 3 else int(np.argmax(size))
    first, last = faces[along], size[along] - faces[along]
    cut = last - max((last - first) // 3, 1)
    gap = edge if along in pair.axes else 0
    whole = [slice(face, n - face) for face, n in zip(faces, size, strict=True)]
    fitted, held = list(whole), list(whole)
    fitted[along], held[along] = slice(first, cut - gap), slice(cut, last)
    for part in (fitted, held):
        if any(part[axis].stop - part[axis].start < (LEAST if axis else 1) for axis in range(3)):
            raise ValueError(
                f"LR must leave {LEAST} pixels to fit and {LEAST} to judge on, {edge} from its borders, "
                f"got LR {'×'.join(map(str, size))}; name a larger part"
            )
    name = ("slices", "rows", "columns")[along]
    return tuple(fitted), tuple(held), f"{name} {cut}–{last - 1} of {size[along]}"


def _edge(scanner: Seeing, scale: int) -> int:
    """LR pixels within which the mirrored border shows: three standard deviations and the shift."""
    reach = max(3 * sigma + abs(shift) for sigma, shift in zip(scanner.sigmas, scanner.shifts, strict=True))
    return math.ceil(reach / scale)


def _refuse_nonsense(pair: Pair, scanner: Seeing, part: Part) -> None:
    real = pair.lr[part]
    explained = 1 - float(((scanner.of(pair, part) - real) ** 2).mean()) / float(real.var())
    if scanner.gain <= 0 or explained < LEAST_EXPLAINED:
        raise ValueError(
            f"LR and HR must show the same rock, got a gain of {scanner.gain:.3g} that explains {explained:.0%} of LR; "
            "check which scans they are, the scale and the registration"
        )
    if max(map(abs, scanner.shifts)) > 0.99 * MOST_SHIFT * pair.scale:
        raise ValueError(f"LR and HR must be registered to {MOST_SHIFT:g} LR pixels, got more; align them first")
    if max(scanner.sigmas) > 0.99 * MOST_SIGMA * pair.scale:
        raise ValueError(f"blur must be below {MOST_SIGMA:g} LR pixels, got more; check the pair")


def _with_noise(made: Float, noise: Noise, scale: int) -> Float:
    _, height, width = made.shape
    grid = Grid(scale, 1, Frame(0, 0, height, width))
    return np.stack([noise.apply(image, grid, keyed("scanner fit", i)) for i, image in enumerate(made)])
