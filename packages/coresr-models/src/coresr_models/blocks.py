"""What two or more architectures share: the bicubic skip, the zero-initialised last layer."""

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

GlobalResidual = Literal["bicubic", "none"]


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
        centre = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
        taps = _keys((centre[:, None] - torch.arange(-2, 3)).abs())
        planes = rearrange(taps, "p i -> p 1 i 1") * rearrange(taps, "q j -> 1 q 1 j")
        weight = rearrange(planes, "p q i j -> (p q) 1 i j").float()
        self.register_buffer("weight", weight, persistent=False)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Up-sample every channel for itself."""
        with torch.autocast("cpu" if lr.is_meta else lr.device.type, enabled=False):  # autocast knows no meta tensors
            planes = _mirrored(rearrange(lr, "b c h w -> (b c) 1 h w"))
            phases = functional.conv2d(planes, self.weight.to(lr.dtype))
        return rearrange(phases, "(b c) (p q) h w -> b c (h p) (w q)", b=lr.shape[0], p=self.scale)


def _keys(x: Tensor) -> Tensor:
    """Keys' cubic kernel at distances x ≥ 0."""
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))


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


def check_one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    """ValueError unless `value` is one of `known`."""
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value}")


def check_at_least(lowest: int, **counts: int) -> None:
    """ValueError unless every one of `counts` is an integer of at least `lowest`."""
    for name, value in counts.items():
        if value < lowest:
            raise ValueError(f"{name} must be {lowest} or more, got {value}")
