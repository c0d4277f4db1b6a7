"""What a U-Net is made of: two convolutions with their normalisation, perhaps a residual path, perhaps a gate."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.attention import CBAM, SE, ScSE

SLOPE = 0.2
BODY_SCALE = 0.2
"""What a residual block without normalisation adds is scaled by this, lest activations grow with depth."""

Norm = Literal["none", "batch", "group", "instance"]
Block = Literal["plain", "residual"]
Attention = Literal["none", "se", "scse", "cbam"]

GATES: Mapping[str, type[SE | ScSE | CBAM]] = {"se": SE, "scse": ScSE, "cbam": CBAM}


class ResidualBlock(nn.Module):
    """LeakyReLU(body_scale · body x + skip x), where `skip` is a 1×1 convolution if the width changes."""

    def __init__(self, body: nn.Sequential, *, width_in: int, width: int, body_scale: float) -> None:
        super().__init__()
        self.body = body
        self.skip = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)
        self.body_scale = body_scale

    def forward(self, x: Float[Tensor, "b width_in h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the body sees."""
        return functional.leaky_relu(self.body_scale * self.body(x) + self.skip(x), SLOPE)


class InstanceNorm(nn.InstanceNorm2d):
    """Affine normalisation of each channel of each image.

    Torch's own refuses one pixel, to which the deepest level of a small image may shrink; by the formula that is the
    bias.
    """

    def forward(self, input: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:  # noqa: A002 - torch's name
        """Normalise."""
        return torch.group_norm(input, self.num_features, self.weight, self.bias, self.eps)


def block_of(width_in: int, width: int, norm: Norm, block: Block, attention: Attention) -> nn.Module:
    """Two convolutions with what follows each, and the gate."""
    layers = [*_convolution(width_in, width, norm), _activation(), *_convolution(width, width, norm)]
    gate = [] if attention == "none" else [GATES[attention](width=width)]
    if block == "plain":
        return nn.Sequential(*layers, _activation(), *gate)
    body_scale = BODY_SCALE if norm == "none" else 1.0
    return ResidualBlock(nn.Sequential(*layers, *gate), width_in=width_in, width=width, body_scale=body_scale)


def _convolution(width_in: int, width: int, norm: Norm) -> list[nn.Module]:
    """3×3, and its normalisation, whose offset makes a bias idle."""
    convolution = nn.Conv2d(width_in, width, 3, padding=1, bias=norm == "none")
    if norm == "batch":
        return [convolution, nn.BatchNorm2d(width)]
    if norm == "group":
        return [convolution, nn.GroupNorm(groups_of(width), width)]
    if norm == "instance":
        return [convolution, InstanceNorm(width, affine=True)]
    return [convolution]


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(SLOPE, inplace=True)


def groups_of(width: int) -> int:
    """The most groups, up to 32, that divide the width and keep four channels each."""
    return next((g for g in (32, 16, 8, 4, 2) if width % g == 0 and width // g >= 4), 1)
