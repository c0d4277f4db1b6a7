"""Rings of equal spatial frequency: how an image becomes a spectrum, and a spectrum a curve over frequency."""

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

SMALLEST = 8  # pixels a side: below, a Hann window leaves too few to speak of a spectrum


def half_spectrum(image: Tensor) -> Tensor:
    """The Fourier transform of each image, `(b, c, h, w // 2 + 1)`, such that |·|² is unbiased power.

    The mean is removed and a Hann window laid over, w_n = sin²(π (n + 1/2) / N) along each axis: without one, the jump
    from an edge to the opposite one fills every high frequency. Divided by the root of the window's energy, white
    noise of variance v has |·|² = v on average at every frequency (Welch 1967). Volumes `(b, c, z, y, x)` alike.
    """
    axes = tuple(range(2, image.ndim))
    image = image.detach().to(torch.float64, copy=True)
    # by way of the first pixel, so that a flat image leaves exact zeros where its mean would leave rounding
    image -= image.flatten(2)[..., 0].reshape(*image.shape[:2], *[1] * len(axes)).clone()
    image -= image.mean(dim=axes, keepdim=True)
    for axis in axes:
        window = _hann(image.shape[axis], image.device)
        image *= (window / window.square().sum().sqrt()).reshape(-1, *[1] * (image.ndim - 1 - axis))
    spectrum: Tensor = torch.fft.rfftn(image, dim=axes)
    return spectrum


def rings_of(shape: Sequence[int], device: torch.device) -> "Rings":
    """The rings of images of `shape`, kept for the next of the same size unless that would take much memory."""
    return (_kept if math.prod(shape) <= 2**22 else Rings)(tuple(shape), device)


class Rings:
    """The rings of images of `shape`, (h, w) or (z, y, x), in cycles per pixel.

    Ring k = 1, 2, … holds the frequencies nearest to k / n with n the shortest side, one frequency bin of that side
    wide; the last is the last that lies wholly within Nyquist's 0.5, so the corners of the spectrum are left out.
    """

    def __init__(self, shape: Sequence[int], device: torch.device) -> None:
        shortest = min(shape)
        self.rings = (shortest - 1) // 2
        # a column stands for its mirror image, too, except the first and, of an even width, the last
        self._twice = torch.full((shape[-1] // 2 + 1,), 2.0, dtype=torch.float64, device=device)
        self._twice[[0, -1] if shape[-1] % 2 == 0 else [0]] = 1.0
        radius = torch.zeros(*shape[:-1], shape[-1] // 2 + 1, dtype=torch.float64, device=device)
        for axis, size in enumerate(shape):
            frequencies = torch.fft.rfftfreq if axis == len(shape) - 1 else torch.fft.fftfreq
            each = frequencies(size, dtype=torch.float64, device=device) * shortest
            radius += each.square().reshape(-1, *[1] * (len(shape) - 1 - axis))
        # int32 would do, but adding up by it is 70 times slower
        self._ring = radius.sqrt_().round_().clamp_(max=self.rings + 1).long().flatten()
        self.frequency = torch.arange(1, self.rings + 1, dtype=torch.float64, device=device) / shortest
        self.counts = self.sums(torch.ones_like(radius)[None])[0]

    def sums(self, values: Tensor) -> Tensor:
        """Sum over each ring of `values` on half a spectrum, `(b, …, w // 2 + 1)` → `(b, k)`."""
        sums = torch.zeros(len(values), self.rings + 2, dtype=torch.float64, device=values.device)
        return sums.index_add_(1, self._ring, (values * self._twice).flatten(1))[:, 1:-1]


_kept = lru_cache(maxsize=8)(Rings)


@lru_cache(maxsize=64)
def independent(shape: tuple[int, ...]) -> float:
    """How many independent values each value of a ring is worth under the window, as a share.

    Values d bins apart along an axis correlate by the transform of the squared Hann window: 1, 2/3, 1/6, then 0. A
    mean over a ring therefore has the variance of a mean over this share of its values: one over the sum, over all
    distances, of the squared correlation times the chance that a value that far from one of the ring is in the ring,
    too. Rings are taken as straight, which the innermost few are not.
    """
    correlation = (1.0, 2 / 3, 1 / 6)
    total = 0.0
    for steps in itertools.product(range(-2, 3), repeat=len(shape)):
        length = math.hypot(*(step * min(shape) / size for step, size in zip(steps, shape, strict=True)))
        total += math.prod(correlation[abs(step)] ** 2 for step in steps) * _within(length, len(shape))
    return 1 / total


def _within(length: float, dimensions: int) -> float:
    """Chance that a step of `length` ring widths in any direction from a point of a straight ring ends in it."""
    if dimensions == 3:
        return 1 - length / 2 if length <= 1 else 1 / (2 * length)
    angle = (torch.arange(512, dtype=torch.float64) + 0.5) * (math.pi / 2 / 512)
    return float((1 - length * angle.cos()).clamp(min=0).mean())


def _hann(size: int, device: torch.device) -> Tensor:
    return (math.pi * (torch.arange(size, dtype=torch.float64, device=device) + 0.5) / size).sin().square()


def check(image: Tensor, what: str) -> None:
    """Raise ValueError unless `image` can have a spectrum."""
    if image.ndim not in {4, 5} or 0 in image.shape[:2]:
        raise ValueError(f"{what} must be images (b, c, h, w) or volumes (b, c, z, y, x), got {tuple(image.shape)}")
    if min(image.shape[2:]) < SMALLEST:
        raise ValueError(f"{what} must be at least {SMALLEST} pixels along every axis, got {tuple(image.shape)}")
    if not image.isfinite().all():
        raise ValueError(f"{what} must be finite, got {int((~image.isfinite()).sum())} bad pixels")


def check_pair(image: Tensor, reference: Tensor) -> None:
    """Raise ValueError unless both can have a spectrum and are of one shape."""
    if image.shape != reference.shape:
        raise ValueError(
            f"the two images must be of one shape, got {tuple(image.shape)} and {tuple(reference.shape)}; "
            f"bring both to the HR grid first"
        )
    check(image, "the first image")
    check(reference, "the second image")
