"""What two or more architectures share: the bicubic skip, the zeroed last layer, a normalisation, a tail, checks."""

from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

GlobalResidual = Literal["bicubic", "none"]

RGB_MEAN = (0.4488, 0.4371, 0.4040)
"""The mean colour of DIV2K on [0, 1], which published colour networks subtract."""


class Bicubic(nn.Module):
    """Bicubic up-sampling by an integer scale as one fixed convolution, any size, exportable.

    Equal to MATLAB's `imresize` of a float image (Keys' kernel with a = -0.5, mirrored borders) to 1e-6. Computed in
    the precision of its input, never under autocast: bfloat16 would cost a grey level.
    """

    weight: Tensor

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        check_at_least(1, scale=scale)
        self.scale = scale
        # output phase p lies at (p + 0.5) / scale - 0.5 input samples, within half a sample: five taps reach them all
        centre = (np.arange(scale) + 0.5) / scale - 0.5
        taps = keys_cubic(np.abs(centre[:, None] - np.arange(-2, 3)))
        planes = rearrange(taps, "p i -> p 1 i 1") * rearrange(taps, "q j -> 1 q 1 j")
        weight = rearrange(planes, "p q i j -> (p q) 1 i j")
        self.register_buffer("weight", torch.tensor(weight, dtype=torch.float32), persistent=False)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Up-sample every channel for itself."""
        with torch.autocast("cpu" if lr.is_meta else lr.device.type, enabled=False):  # autocast knows no meta tensors
            planes = _mirrored(rearrange(lr, "b c h w -> (b c) 1 h w"))
            phases = functional.conv2d(planes, self.weight.to(lr.dtype))
        return rearrange(phases, "(b c) (p q) h w -> b c (h p) (w q)", b=lr.shape[0], p=self.scale)


def keys_cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel at distances x ≥ 0; by NumPy, for on the meta device torch would import a compiler for it."""
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _mirrored(x: Tensor) -> Tensor:
    """Two samples more on each side, mirrored with the edge sample repeated, which torch's padding modes lack."""
    if x.shape[-1] == 1 or x.shape[-2] == 1:  # a single sample mirrors to itself
        x = functional.pad(x, (2, 2, 0, 0), "replicate") if x.shape[-1] == 1 else _mirrored_axis(x, -1)
        return functional.pad(x, (0, 0, 2, 2), "replicate") if x.shape[-2] == 1 else _mirrored_axis(x, -2)
    return _mirrored_axis(_mirrored_axis(x, -1), -2)


def _mirrored_axis(x: Tensor, axis: int) -> Tensor:
    n = x.shape[axis]
    return torch.cat([x.narrow(axis, 0, 2).flip(axis), x, x.narrow(axis, n - 2, 2).flip(axis)], axis)


def zero_(convolution: nn.Conv2d) -> nn.Conv2d:
    """Zero a convolution in place, so that a network with a bicubic skip starts equal to bicubic."""
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class ChannelLayerNorm(nn.Module):
    """Normalise each pixel over its channels, then scale and shift each channel; no pixel sees another."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Zero mean and unit variance at each pixel."""
        last = rearrange(x, "b c h w -> b h w c")
        normal = functional.layer_norm(last, self.weight.shape, self.weight, self.bias, eps=1e-6)
        return rearrange(normal, "b h w c -> b c h w")


def staged_upsampling(*, scale: int, width: int) -> nn.Sequential:
    """Double step by step, or treble at once: a 3×3 convolution and a pixel shuffle each; empty for scale 1.

    ValueError for a scale that is none of 1, 3 and the powers of 2.
    """
    if scale != 3 and scale & (scale - 1):
        raise ValueError(f"scale must be 1, 3 or a power of 2 with the staged tail, got {scale}; take tail='direct'")
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    return nn.Sequential(
        *(
            layer
            for factor in factors
            for layer in (nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor))
        )
    )


def check_one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    """ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value}")


def check_at_least(lowest: int, **counts: int) -> None:
    """ValueError unless every one of `counts` is an integer of at least `lowest`."""
    for name, value in counts.items():
        if value < lowest:
            raise ValueError(f"{name} must be {lowest} or more, got {value}")


def check_multiple(lr: Tensor, multiple: int, kind: str) -> None:
    """ValueError unless both sides of `lr` (b, c, h, w) are multiples of `multiple`; `kind` says for which network."""
    if lr.shape[-2] % multiple or lr.shape[-1] % multiple:
        raise ValueError(
            f"LR size must be a multiple of {multiple} pixels for {kind}, got {lr.shape[-2]}×{lr.shape[-1]}; "
            "pad it, as coresr_eval.inference.tiled does"
        )


def check_odd(**kernels: int) -> None:
    """ValueError unless every one of `kernels` is an odd size of at least 1, which has a centre."""
    for name, value in kernels.items():
        if value < 1 or value % 2 == 0:
            raise ValueError(f"{name} must be odd and 1 or more, got {value}")
