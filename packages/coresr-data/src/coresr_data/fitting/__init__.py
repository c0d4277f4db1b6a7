"""Fit a scanner to a real pair: the blur, the grey match and the noise that turn its HR into its LR.

The blur is a Gaussian along each axis, moved by a sub-pixel shift, found by least squares with gain and offset solved
for on the way (variable projection, Golub and Pereyra 1973). It is fitted on one part of the pair, judged on another.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import least_squares

from coresr_data.degrade.kernels import binning, folded, mirrored
from coresr_data.degrade.scanner import Noise
from coresr_data.degrade.steps import Frame, Grid
from coresr_data.fitting.fitted import ScannerFit
from coresr_data.fitting.matching import correlation_of, match, noise_of
from coresr_data.intensity import Window, checked, default_window
from coresr_data.patches import keyed
from coresr_data.resize import KERNELS
from coresr_data.volume import Levels

Float = NDArray[np.float64]
Part = tuple[slice, ...]
Axis = Callable[[int, int, float, float], sparse.csr_array]
"""(LR samples n, scale, sigma, shift in HR samples) → the operator of an axis, (n, scale · n)."""

EDGE = 4
"""LR pixels left out at every face, or more for a wide blur: what lies beyond is not in the pair."""
LEAST = 10
"""LR pixels that a side of the part to fit, and of the part held out, must have within the slice."""
LEAST_SIGMA = 0.3
"""HR pixels; a sharper Gaussian cannot be told from none."""
MOST_SIGMA, MOST_SHIFT = 4.0, 2.0
"""LR pixels."""
LEAST_EXPLAINED = 0.1


class Pair(NamedTuple):
    """Stacks (n, h, w) on [0, 1]; HR's is `scale` times as large, in depth too where `deep`."""

    lr: Float
    hr: Float
    scale: int
    deep: bool
    quantum: float
    """Distance of two grey levels of LR, 0 for floats."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Those that the blur acts on."""
        return (0, 1, 2) if self.deep else (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeing:
    """How HR is seen: sigma and shift of each blurred axis in HR pixels, then gain and offset."""

    axis: Axis
    sigmas: tuple[float, ...]
    shifts: tuple[float, ...]
    gain: float = 1.0
    offset: float = 0.0

    def of(self, pair: Pair, part: Part) -> Float:
        """The LR that this makes of HR, in a part of LR."""
        seen = pair.hr if pair.deep else pair.hr[part[0]]
        for number in range(len(pair.axes)):
            seen = self.along(number, seen, pair, part)
        return self.gain * seen + self.offset

    def along(self, number: int, image: Float, pair: Pair, part: Part) -> Float:
        """One blurred axis after another, before gain and offset."""
        axis = pair.axes[number]
        operator = self.axis(pair.lr.shape[axis], pair.scale, self.sigmas[number], self.shifts[number])[part[axis]]
        moved = np.moveaxis(image, axis, 0)
        made = operator @ moved.reshape(len(moved), -1)
        return np.moveaxis(made.reshape(-1, *moved.shape[1:]), 0, axis)


def fit_scanner(lr: Levels, hr: Levels, *, scale: int, window: Window | None = None) -> ScannerFit:
    """Fit images `(h, w)` or stacks `(n, h, w)` that show the same rock, HR `scale` times as large.

    Stacks of as many slices pair one to one; where HR has `scale` times as many, an LR slice is their blurred mean.
    Grey levels go by `window` or, without, integers by the range of their dtype while floats are on [0, 1] already.
    The last third of the slices, or else of the longest axis, is held out. ValueError for sizes that do not pair or
    are too small, and where no scanner explains the LR.
    """
    pair = _paired(lr, hr, scale, window)
    fitted, held, said = _parts(pair, EDGE)
    scanner = _solved(pair, fitted, gaussian_axis)
    if (edge := _edge(scanner, scale)) > EDGE:
        fitted, held, said = _parts(pair, edge)
        scanner = _solved(pair, fitted, gaussian_axis)
    _refuse_nonsense(pair, scanner, fitted)
    bicubic = _solved(pair, fitted, cubic_axis, scanner.shifts)
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


# The pair


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


# The fit


def gaussian_axis(n: int, scale: int, sigma: float, shift: float) -> sparse.csr_array:
    """A Gaussian cut after five sigmas, which least squares does not feel, around `shift`; then bins."""
    reach = int(5 * sigma + abs(shift)) + 1
    weights = np.exp(-0.5 * ((np.arange(-reach, reach + 1) - shift) / sigma) ** 2)
    return sparse.csr_array(binning(scale * n, scale) @ mirrored(weights / weights.sum(), scale * n))


def cubic_axis(n: int, scale: int, sigma: float, shift: float) -> sparse.csr_array:
    """MATLAB's antialiased bicubic around `shift`; it has no sigma."""
    del sigma
    centre = scale * (np.arange(n) + 0.5) - 0.5 + shift
    taps = np.floor(centre - 2 * scale).astype(np.int64)[:, None] + np.arange(4 * scale + 2)
    weights = KERNELS["cubic"][1]((centre[:, None] - taps) / scale)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.broadcast_to(np.arange(n)[:, None], taps.shape).ravel()
    entries = (weights.ravel(), (rows, folded(taps, scale * n).ravel()))
    return sparse.csr_array(sparse.coo_array(entries, shape=(n, scale * n)))


def _solved(pair: Pair, part: Part, axis: Axis, near: tuple[float, ...] | None = None) -> Seeing:
    """The sigmas, shifts, gain and offset of least squares in a part; `near` these shifts there is no sigma to find."""
    target, count, fixed = pair.lr[part], len(pair.axes), near is not None

    def seeing(values: Float) -> Seeing:
        numbers = tuple(map(float, values))
        sigmas, shifts = ((0.0,) * count, numbers) if fixed else (numbers[:count], numbers[count:])
        return Seeing(axis=axis, sigmas=sigmas, shifts=shifts)

    @lru_cache(maxsize=4)  # most steps of the search leave the first and dearest axis as it was
    def first(sigma: float, shift: float) -> Float:
        hr = pair.hr if pair.deep else pair.hr[part[0]]
        rest = (0.0,) * (count - 1)
        return Seeing(axis=axis, sigmas=(sigma, *rest), shifts=(shift, *rest)).along(0, hr, pair, part)

    def matched(values: Float) -> tuple[Seeing, Float]:
        bare = seeing(values)
        seen = first(bare.sigmas[0], bare.shifts[0])
        for number in range(1, count):
            seen = bare.along(number, seen, pair, part)
        centred = seen - seen.mean()
        gain = float((centred * target).sum() / (centred * centred).sum())
        offset = float(target.mean() - gain * seen.mean())
        return replace(bare, gain=gain, offset=offset), gain * seen + offset

    def residual(values: Float) -> Float:
        return np.asarray(matched(values)[1] - target).ravel()

    most = [MOST_SHIFT * pair.scale] * count
    start, low, high = list(near or [0.0] * count), [-m for m in most], most
    if not fixed:
        start, low = [float(pair.scale)] * count + start, [LEAST_SIGMA] * count + low
        high = [MOST_SIGMA * pair.scale] * count + high
    enough = 1e-5 if fixed else 1e-8  # what bicubic leaves is no noise, and least squares creeps there
    found = least_squares(residual, start, bounds=(low, high), x_scale=float(pair.scale), xtol=1e-6, ftol=enough)
    return matched(found.x)[0]


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
