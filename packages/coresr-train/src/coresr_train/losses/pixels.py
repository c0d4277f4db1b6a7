"""Losses of grey levels: pixel by pixel, between neighbours, and of spectra."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "b c h w"]
Scalar = Float[Tensor, ""]
Distance = Callable[[Tensor, Tensor], Tensor]
"""What a loss is: SR and HR `(b, c, h, w)` in [0, 1] to one float32 value."""

EPSILON = 1e-3
"""Charbonnier's, on [0, 1]: a quarter of a grey level of 255."""


def at_least_float32(sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32, or in float64 where one is; ValueError where their shapes differ: broadcasting would train."""
    if sr.shape != hr.shape:
        raise ValueError(f"sr must have the shape of hr {tuple(hr.shape)}, got {tuple(sr.shape)}")
    dtype = torch.promote_types(torch.promote_types(sr.dtype, hr.dtype), torch.float32)
    return sr.to(dtype), hr.to(dtype)


def l1(sr: Image, hr: Image) -> Scalar:
    """Mean |sr - hr|."""
    return _difference(sr, hr).abs().mean()


def mse(sr: Image, hr: Image) -> Scalar:
    """Mean (sr - hr)²."""
    return _difference(sr, hr).square().mean()


def charbonnier(sr: Image, hr: Image) -> Scalar:
    """Mean sqrt((sr - hr)² + ε²) with ε = 1e-3 (Charbonnier et al. 1994): L1 with a round bottom; at least ε.

    >>> bool(charbonnier(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)) == torch.tensor(1e-3))
    True
    """
    return (_difference(sr, hr).square() + EPSILON**2).sqrt().mean()


def tv(sr: Image, hr: Image) -> Scalar:
    """Total variation of SR: mean |step to the pixel below| + mean |step to the one beside| (anisotropic).

    Rudin et al. 1992. HR says only which shape is right; the sides must be 2 pixels or more.

    >>> float(tv(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]), torch.zeros(1, 1, 2, 2)))
    1.0
    """
    sr, _ = at_least_float32(sr, hr)
    return sr.diff(dim=-2).abs().mean() + sr.diff(dim=-1).abs().mean()


def gradient(sr: Image, hr: Image) -> Scalar:
    """Mean |Sobel edges of sr - those of hr|, over both directions, inside the border of one pixel.

    Edges are in grey levels per pixel: the operator (Sobel and Feldman 1968) divided by 8. ValueError below 3 pixels.

    >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    >>> float(gradient(ramp, torch.zeros(1, 1, 4, 4)))
    0.5
    """
    if min(sr.shape[-2:]) < 3:
        raise ValueError(f"sides must be 3 pixels or more for Sobel edges, got {tuple(sr.shape[-2:])}")
    difference = _difference(sr, hr)  # edges are linear: those of the difference are the difference of the edges
    down = _smoothed(_central(difference, -2), -1)
    across = _smoothed(_central(difference, -1), -2)
    return torch.stack((down, across)).abs().mean()


def fft(sr: Image, hr: Image) -> Scalar:
    """Mean |F sr - F hr|, over the real and imaginary parts of the half plane that `rfft2` gives.

    F is orthonormal (divided by sqrt(h·w)), so that a weight means the same at every patch, and white noise costs
    about what it costs in L1. Losses on an undivided F are sqrt(h·w) times as large: a paper's 0.1 at a patch of 96
    is 9.6 here.

    >>> float(fft(torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)))  # 4 in one of 4 · 3 · 2 places
    0.1666...
    """
    spectrum = torch.fft.rfft2(_difference(sr, hr), norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def _difference(sr: Tensor, hr: Tensor) -> Tensor:
    sr, hr = at_least_float32(sr, hr)
    return sr - hr


def _central(image: Tensor, dim: int) -> Tensor:
    """Half the step from the pixel before to the one after."""
    inner = image.shape[dim] - 2
    return (image.narrow(dim, 2, inner) - image.narrow(dim, 0, inner)) / 2


def _smoothed(image: Tensor, dim: int) -> Tensor:
    """Each pixel and its neighbours, weighted 1 : 2 : 1."""
    inner = image.shape[dim] - 2
    before, here, after = (image.narrow(dim, start, inner) for start in range(3))
    return (before + 2 * here + after) / 4
