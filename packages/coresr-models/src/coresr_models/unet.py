"""U-Net, at HR size on the bicubic image or at LR size (after Ronneberger et al. 2015, arXiv 1505.04597).

level 0   block ─────────────────────────── cat ─ block ─ head ─ + bicubic
            └ max-pool                       │
level 1       block ────────── cat ─ block ─ ×2, conv
                └ max-pool      │
level 2           block ─────── ×2, conv
"""

import math
from typing import Literal, get_args

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.attention import CBAM, SE, ScSE
from coresr_models.blocks import Bicubic, GlobalResidual, check_at_least, check_multiple, check_one_of, zero_
from coresr_models.unet_blocks import SLOPE, Attention, Block, Norm, block_of

AttentionAt = Literal["skip", "bottleneck", "both"]
Tail = Literal["pre", "shuffle"]


class UNet(nn.Module):
    """U-Net whose up-sampling is nearest + convolution, so that no checkerboard can arise.

    `depth` counts down-samplings; `width` channels double per level up to `max_width`.

    `norm` follows every 3×3 convolution of the blocks. "group" (the most groups, up to 32, of four channels or more)
    and "instance" train faster, but their statistics span the image, so tiles then differ from the whole; "batch" is a
    fixed gain and offset per channel in evaluation, and in training ties the images of a batch to one another.

    `block`: "plain" is twice convolution, norm, LeakyReLU; "residual" adds the block's input (by a 1×1 convolution
    where the width changes) before the second LeakyReLU (He et al. 2016, arXiv 1512.03385).

    `attention` puts a gate at the end of blocks: after the second LeakyReLU of a plain one, after the second
    convolution and norm, before the sum, of a residual one. `attention_at`: "skip" means the blocks at both ends of
    each skip connection, that is every level of encoder and decoder but the deepest; "bottleneck" the deepest block;
    "both" every block. Without attention it means nothing. Gates pool over the image, as `attention` tells.

    `tail`: "pre" refines the bicubic image at HR size, with a 1×1 convolution as head; "shuffle" works at LR size, and
    its 3×3 head gives `channels · scale²` planes for a pixel shuffle, at about 1 / scale² of the cost.

    The input size must be a multiple of `multiple_of` LR pixels (ValueError). `receptive_field` is that of
    evaluation, None where statistics span the image. With `global_residual="bicubic"` the output is added to the
    bicubic image and the network starts equal to it.
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
        block: Block = "plain",
        attention: Attention = "none",
        attention_at: AttentionAt = "both",
        tail: Tail = "pre",
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, depth=depth, width=width, max_width=max_width)
        check_one_of("norm", norm, get_args(Norm))
        check_one_of("block", block, get_args(Block))
        check_one_of("attention", attention, get_args(Attention))
        check_one_of("attention_at", attention_at, get_args(AttentionAt))
        check_one_of("tail", tail, get_args(Tail))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        widths = [min(width * 2**level, max_width) for level in range(depth + 1)]
        gates = _gates(attention, attention_at, depth)
        self.scale = scale
        self.starts_at_hr = tail == "pre"
        self.multiple_of = 2**depth // math.gcd(2**depth, scale if self.starts_at_hr else 1)
        local = norm in ("none", "batch") and attention == "none"
        self.receptive_field = _reach(depth, scale, tail) if local else None
        self.skip = Bicubic(scale=scale)
        self.adds_skip = global_residual == "bicubic"
        self.encoder = nn.ModuleList(
            block_of(a, b, norm, block, gate) for a, b, gate in zip([channels, *widths], widths, gates, strict=False)
        )
        self.grow = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 3, padding=1) for i in range(depth))
        self.decoder = nn.ModuleList(block_of(2 * widths[i], widths[i], norm, block, gates[i]) for i in range(depth))
        if self.starts_at_hr:
            self.head = nn.Conv2d(widths[0], channels, 1)
        else:
            self.head = nn.Conv2d(widths[0], channels * scale**2, 3, padding=1)
        self.shuffle = nn.Identity() if self.starts_at_hr else nn.PixelShuffle(scale)
        self._start()

    def _start(self) -> None:
        self.apply(_initialise)
        for module in self.modules():
            if isinstance(module, SE | ScSE | CBAM):
                module.open()
        if self.adds_skip:
            zero_(self.head)
        elif not self.starts_at_hr:
            _replicate_(self.head, self.scale**2)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        check_multiple(lr, self.multiple_of, "this U-Net")
        bicubic = self.skip(lr)
        x, skips = bicubic if self.starts_at_hr else lr, []
        for level, block in enumerate(self.encoder):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()
        for grow, block in zip(reversed(self.grow), reversed(self.decoder), strict=True):
            x = grow(functional.interpolate(x, scale_factor=2, mode="nearest"))
            x = block(torch.cat([skips.pop(), x], dim=1))
        detail: Tensor = self.shuffle(self.head(x))
        return bicubic + detail if self.adds_skip else detail


def _gates(attention: Attention, attention_at: AttentionAt, depth: int) -> list[Attention]:
    """The gate of each level, the deepest last."""
    by_skips: Attention = "none" if attention_at == "bottleneck" else attention
    deepest: Attention = "none" if attention_at == "skip" else attention
    return [by_skips] * depth + [deepest]


def _reach(depth: int, scale: int, tail: Tail) -> int:
    """LR pixels to each side that can change an output pixel, followed back from each place between poolings."""
    reach = 0
    for place in range(math.lcm(2**depth, scale)):
        if tail == "shuffle":
            at, (low, high) = place, _seen(place - 1, place + 1, depth)
        else:
            at, (low, high) = place // scale, _seen(place, place, depth)
            low = min(_taps(low, scale)[0], _taps(low + 1, scale)[0])
            high = max(_taps(high, scale)[1], _taps(high - 1, scale)[1])
        reach = max(reach, at - low, high - at)
    return reach


def _taps(place: int, scale: int) -> tuple[int, int]:
    """The first and last LR pixel that the bicubic image is made of at a place."""
    before, past = divmod(2 * place + 1 - scale, 2 * scale)
    return (before - 1, before + 2) if past else (before, before)


def _seen(low: int, high: int, depth: int) -> tuple[int, int]:
    """The first and last input pixel of a level, with `depth` below it, that change its output between two pixels."""
    low, high = low - 2, high + 2  # the decoder's block, or the deepest
    if depth == 0:
        return low, high
    first, last = _seen((low - 1) // 2, (high + 1) // 2, depth - 1)
    return min(low, 2 * first) - 2, max(high, 2 * last + 1) + 2


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE, mode="fan_in", nonlinearity="leaky_relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _replicate_(head: nn.Conv2d, planes: int) -> None:
    """Start every plane of a pixel shuffle with the same weights, so that it starts without a pattern.

    Aitken et al. 2017, arXiv 1707.02937.
    """
    with torch.no_grad():
        head.weight.copy_(repeat(head.weight[::planes], "c i y x -> (c p) i y x", p=planes))
