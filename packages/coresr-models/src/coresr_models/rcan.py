"""RCAN: residual groups with channel attention (Zhang et al. 2018, arXiv 1807.02758).

head ─┬─ group ─ … ─ group ─ conv ─ + ─ tail          group: ─┬─ block ─ … ─ block ─ conv ─ + ─
      └─────────────────────────────┘                         └──────────────────────────────┘
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import (
    RGB_MEAN,
    Bicubic,
    GlobalResidual,
    check_at_least,
    check_one_of,
    staged_upsampling,
    zero_,
)

RGB_RANGE = 255


class ChannelAttention(nn.Module):
    """Scale each channel by a gate in (0, 1), drawn from the means of all channels over the image (section 3.3)."""

    def __init__(self, *, width: int, reduction: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Gate."""
        gate: Tensor = self.conv_du(self.pool(x))
        return x * gate


class Residual(nn.Module):
    """x + body(x): a block of two convolutions and attention, and a group of such blocks."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the body sees."""
        seen: Tensor = self.body(x)
        return x + seen


class MeanShift(nn.Module):
    """A 1×1 convolution that is not trained and adds a colour; buffers, for RCAN's files hold them as weights."""

    weight: Tensor
    bias: Tensor

    def __init__(self, *, sign: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None].clone())
        self.register_buffer("bias", sign * RGB_RANGE * torch.tensor(RGB_MEAN))

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        """Shift; never under autocast, for bfloat16 would cost a grey level."""
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            return functional.conv2d(x.to(self.weight.dtype), self.weight, self.bias)


class RCAN(nn.Module):
    """RCAN on images in [0, 1]; the defaults are the paper's 15.4 M parameters.

    `groups` residual groups of `blocks` blocks each, `width` feature channels, of which a channel attention keeps
    `width // reduction` inside. `tail` as of EDSR. `normalise` subtracts the mean colour of DIV2K on a range of 255
    inside the network, as published RGB weights want (3 channels only). With `global_residual="bicubic"` the network
    adds to a bicubic image and starts equal to it; "none" is the paper. State-dict keys are the authors'. Attention
    pools over the image, so a tile answers a little otherwise than the whole.
    """

    multiple_of = 1
    receptive_field = None

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        groups: int = 10,
        blocks: int = 20,
        reduction: int = 16,
        tail: Literal["staged", "direct"] = "staged",
        normalise: bool = False,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(
            1, scale=scale, channels=channels, width=width, groups=groups, blocks=blocks, reduction=reduction
        )
        check_one_of("tail", tail, ("staged", "direct"))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        if width < reduction:
            raise ValueError(f"reduction must be at most the width {width}, got {reduction}")
        if normalise and channels != 3:
            raise ValueError(f"channels must be 3 with normalise=True, got {channels}; the mean is a colour")
        self.scale = scale
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        self.sub_mean = MeanShift(sign=-1) if normalise else None
        self.add_mean = MeanShift(sign=1) if normalise and self.skip is None else None
        self.head = nn.Sequential(_convolution(channels, width))
        self.body = nn.Sequential(
            *(_group(width=width, blocks=blocks, reduction=reduction) for _ in range(groups)),
            _convolution(width, width),
        )
        stages, shuffle = (scale, 1) if tail == "staged" else (1, scale)
        last = _convolution(width, channels * shuffle**2)
        self.tail = nn.Sequential(staged_upsampling(scale=stages, width=width), last, nn.PixelShuffle(shuffle))
        if self.skip is not None:
            zero_(last)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        features = self.head(lr if self.sub_mean is None else self.sub_mean(RGB_RANGE * lr))
        detail: Tensor = self.tail(features + self.body(features))
        if self.add_mean is not None:
            detail = self.add_mean(detail)
        if self.sub_mean is not None:
            detail = detail / RGB_RANGE
        return detail if self.skip is None else self.skip(lr) + detail


def _group(*, width: int, blocks: int, reduction: int) -> Residual:
    def block() -> Residual:
        return Residual(
            _convolution(width, width),
            nn.ReLU(inplace=True),
            _convolution(width, width),
            ChannelAttention(width=width, reduction=reduction),
        )

    return Residual(*(block() for _ in range(blocks)), _convolution(width, width))


def _convolution(width_in: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(width_in, width, 3, padding=1)
