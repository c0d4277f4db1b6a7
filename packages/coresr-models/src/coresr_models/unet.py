"""U-Net that refines the bicubic image at HR size (after Ronneberger et al. 2015, arXiv 1505.04597).

level 0   block ─────────────────────────── cat ─ block ─ 1×1 ─ + bicubic
            └ max-pool                       │
level 1       block ────────── cat ─ block ─ ×2, conv
                └ max-pool      │
level 2           block ─────── ×2, conv
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic, GlobalResidual, check_at_least, check_one_of, zero_

SLOPE = 0.2
Norm = Literal["none", "group"]


class UNet(nn.Module):
    """U-Net fed with the bicubic image; up-sampling is nearest + convolution, so that no checkerboard can arise.

    `depth` counts down-samplings; `width` channels double per level up to `max_width`. `norm="group"` trains faster,
    but its statistics span the image, so tiles then differ from the whole. The input size must be a multiple of
    `multiple_of` LR pixels (ValueError). With `global_residual="bicubic"` the output is added to the bicubic image
    and the network starts equal to it.
    """

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        depth: int = 4,
        width: int = 64,
        max_width: int = 512,
        norm: Norm = "none",
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, depth=depth, width=width, max_width=max_width)
        check_one_of("norm", norm, ("none", "group"))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        widths = [min(width * 2**level, max_width) for level in range(depth + 1)]
        self.scale = scale
        self.multiple_of = 2**depth // math.gcd(2**depth, scale)
        self.receptive_field = None if norm == "group" else math.ceil(_radius(depth) / scale) + 2
        self.skip = Bicubic(scale=scale)
        self.adds_skip = global_residual == "bicubic"
        self.encoder = nn.ModuleList(_block(a, b, norm) for a, b in zip([channels, *widths], widths, strict=False))
        self.grow = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 3, padding=1) for i in range(depth))
        self.decoder = nn.ModuleList(_block(2 * widths[i], widths[i], norm) for i in range(depth))
        self.head = nn.Conv2d(widths[0], channels, 1)
        self.apply(_initialise)
        if self.adds_skip:
            zero_(self.head)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        if lr.shape[-2] % self.multiple_of or lr.shape[-1] % self.multiple_of:
            raise ValueError(
                f"LR size must be a multiple of {self.multiple_of} pixels for this U-Net, "
                f"got {lr.shape[-2]}×{lr.shape[-1]}; pad it, as coresr_eval.inference.tiled does"
            )
        bicubic = self.skip(lr)
        x, skips = bicubic, []
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()
        for grow, block in zip(reversed(self.grow), reversed(self.decoder), strict=True):
            x = grow(functional.interpolate(x, scale_factor=2, mode="nearest"))
            x = block(torch.cat([skips.pop(), x], dim=1))
        detail: Tensor = self.head(x)
        return bicubic + detail if self.adds_skip else detail


def _block(width_in: int, width: int, norm: Norm) -> nn.Sequential:
    """Twice: 3×3 convolution, normalisation, LeakyReLU."""
    layers: list[nn.Module] = []
    for inward in (width_in, width):
        layers.append(nn.Conv2d(inward, width, 3, padding=1, bias=norm == "none"))
        if norm == "group":
            layers.append(nn.GroupNorm(_groups(width), width))
        layers.append(nn.LeakyReLU(SLOPE, inplace=True))
    return nn.Sequential(*layers)


def _groups(width: int) -> int:
    """The most groups, up to 32, that divide the width and keep four channels each."""
    return next((g for g in (32, 16, 8, 4, 2) if width % g == 0 and width // g >= 4), 1)


def _radius(depth: int) -> int:
    """HR pixels to each side that can change an output pixel: two per convolution pair, doubled by every pooling."""
    inward = 2  # decoder block at this level
    if depth == 0:
        return inward
    deeper = math.ceil((inward + 1) / 2)  # through `grow` and the nearest up-sampling
    return 2 * (deeper + _radius(depth - 1) + 1) + 2


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_in", nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
