"""The mean over the eight orientations of a square, which a network without direction would not change.

Lim et al. 2017, Enhanced Deep Residual Networks, section 3.4, "geometric self-ensemble".
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Upscale = Callable[[Tensor], Tensor]


def self_ensemble(upscale: Upscale) -> Upscale:
    """The mean of g⁻¹(upscale(g(lr))) over g = flipʷᵗ ∘ rot90ᵏ, k = 0…3, t = 0, 1: eight times the work.

    The result turns and flips with the image, whatever `upscale` does. Images need not be square: each orientation is
    run by itself. The sum is taken in float32, float64 for float64, always in the same order, so that an `upscale`
    which turns with the image already comes back bit for bit. A network that needs sizes padded must be given padded
    ones, as `tiled(self_ensemble(network), …)` does: padding inside would lie at another edge in every orientation.

    >>> self_ensemble(lambda lr: 2 * lr)(torch.ones(1, 1, 2, 3)).shape
    torch.Size([1, 1, 2, 3])
    """

    def ensemble(lr: Tensor) -> Tensor:
        total = _sum(_turned(upscale, lr), 8)
        return (total / 8).to(lr.dtype)

    return ensemble


def _turned(upscale: Upscale, lr: Tensor) -> Iterator[Tensor]:
    """The eight answers, turned back."""
    wide = torch.promote_types(lr.dtype, torch.float32)
    for turns in range(4):
        turned = torch.rot90(lr, turns, (-2, -1))
        for flipped in (False, True):
            sr = upscale(turned.flip(-1) if flipped else turned)
            sr = sr.flip(-1) if flipped else sr
            yield torch.rot90(sr, -turns, (-2, -1)).to(wide)


def _sum(terms: Iterator[Tensor], count: int) -> Tensor:
    """In pairs, for the sum of eight equal numbers is then exact."""
    if count == 1:
        return next(terms)
    first = _sum(terms, count // 2)
    return first + _sum(terms, count // 2)
