"""NAFNet for super-resolution: gates in place of activations (Chen et al. 2022, arXiv 2204.04676).

The shape is NAFSSR's for a single image (Chu et al. 2022, arXiv 2204.08714).
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic, ChannelLayerNorm, GlobalResidual, check_at_least, check_one_of, zero_


class NAFBlock(nn.Module):
    """y = x + β · conv(SCA(gate(depth-wise(conv(LN x))))); y + γ · conv(gate(conv(LN y))); the identity when fresh."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.conv3 = nn.Conv2d(width, width, 1)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.norm1 = ChannelLayerNorm(width=width)
        self.norm2 = ChannelLayerNorm(width=width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Mix space, then channels."""
        gated = gate(self.conv2(self.conv1(self.norm1(x))))
        y = x + self.beta * self.conv3(gated * self.sca(gated))
        z: Tensor = y + self.gamma * self.conv5(gate(self.conv4(self.norm2(y))))
        return z


def gate(x: Float[Tensor, "b channels h w"]) -> Float[Tensor, "b channels//2 h w"]:
    """The product of the two halves of the channels, NAFNet's only non-linearity beside normalisation."""
    one, other = x.chunk(2, dim=1)
    return one * other


class NAFNet(nn.Module):
    """NAFNet blocks at LR, then pixel shuffle, on images in [0, 1]; the defaults are the size of NAFSSR-T.

    `width` feature channels, `blocks` blocks; NAFSSR-S, -B and -L are 64 × 32, 96 × 64 and 128 × 128. With
    `global_residual="bicubic"` the network adds to a bicubic image and starts equal to it; "none" is the paper, which
    adds to a bilinear one. State-dict keys are NAFSSR's. Its attention pools over the image: trained on small patches
    it answers otherwise on a large one, so infer in tiles near the size of training.
    """

    multiple_of = 1
    receptive_field = None

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 48,
        blocks: int = 16,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        self.intro = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(_wrapped(NAFBlock(width=width)) for _ in range(blocks)))
        last = nn.Conv2d(width, channels * scale**2, 3, padding=1)
        self.up = nn.Sequential(last, nn.PixelShuffle(scale))
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        if self.skip is not None:
            zero_(last)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        detail: Tensor = self.up(self.body(self.intro(lr)))
        if self.skip is None:
            return detail + functional.interpolate(lr, scale_factor=float(self.scale), mode="bilinear")
        bicubic: Tensor = self.skip(lr)
        return bicubic + detail


def _wrapped(block: NAFBlock) -> nn.Sequential:
    """The names that NAFSSR's drop-path and stereo wrappers, idle for one image, give a block."""
    return nn.Sequential(OrderedDict(module=nn.Sequential(OrderedDict(blk=block))))
