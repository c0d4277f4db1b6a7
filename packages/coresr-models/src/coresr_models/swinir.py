"""SwinIR: attention within windows that shift by half from block to block (Liang et al. 2021, arXiv 2108.10257).

b batch, c width, h w pixels (y x of them windows, of m × n pixels each), d features per head.
"""

from collections import OrderedDict
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import (
    RGB_MEAN,
    Bicubic,
    GlobalResidual,
    check_at_least,
    check_multiple,
    check_one_of,
    staged_upsampling,
    zero_,
)

TAIL_WIDTH = 64
"""Channels of the staged tail, whatever the width of the body."""


class SwinIR(nn.Module):
    """SwinIR on images in [0, 1]; the defaults are the paper's lightweight network of 0.9 M parameters.

    The medium one is `width=180, stages=6, tail="staged"`. `stages` residual groups of `depth` transformer blocks
    each, with `heads` dividing `width`, windows of `window` × `window` pixels and `mlp_ratio` · `width` features
    inside the MLPs. `tail`: "direct" is the paper's pixelshuffledirect, `channels · scale²` planes shuffled into place
    at once; "staged" its pixelshuffle, which doubles or trebles 64 channels step by step (scales 1, 3, powers of 2).

    Images of three channels have DIV2K's mean colour subtracted, as in the paper. The input size must be a multiple of
    `window` LR pixels (ValueError). With `global_residual="bicubic"` the network adds to a bicubic image and starts
    equal to it; "none" is the paper. State-dict keys are the official ones but for `attn_mask`, which follows from the
    image size and is not kept. Training drops no paths, unlike the official code.
    """

    mean: Tensor

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 60,
        stages: int = 4,
        depth: int = 6,
        heads: int = 6,
        window: int = 8,
        mlp_ratio: float = 2.0,
        tail: Literal["direct", "staged"] = "direct",
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, stages=stages, depth=depth, heads=heads)
        check_at_least(2, window=window)
        check_one_of("tail", tail, ("direct", "staged"))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        self.multiple_of = window
        self.receptive_field = _reach(stages, depth, window, tail=1 if tail == "direct" else 2 + (scale > 1))
        colour = RGB_MEAN if channels == len(RGB_MEAN) else (0.0,)
        self.register_buffer("mean", rearrange(torch.tensor(colour), "c -> 1 c 1 1"), persistent=False)
        self.conv_first = nn.Conv2d(channels, width, 3, padding=1)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList(
            Stage(width=width, depth=depth, heads=heads, window=window, mlp_ratio=mlp_ratio) for _ in range(stages)
        )
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        last = self._add_direct_tail(width, channels) if tail == "direct" else self._add_staged_tail(width, channels)
        self.apply(_initialise)
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        if self.skip is not None:
            zero_(last)

    def _add_direct_tail(self, width: int, channels: int) -> nn.Conv2d:
        """Return its last convolution."""
        last = nn.Conv2d(width, channels * self.scale**2, 3, padding=1)
        self.conv_before_upsample: nn.Module = nn.Identity()
        self.upsample = nn.Sequential(last, nn.PixelShuffle(self.scale))
        self.conv_last: nn.Module = nn.Identity()
        return last

    def _add_staged_tail(self, width: int, channels: int) -> nn.Conv2d:
        """Return its last convolution."""
        last = nn.Conv2d(TAIL_WIDTH, channels, 3, padding=1)
        first = nn.Conv2d(width, TAIL_WIDTH, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(first, nn.LeakyReLU(0.01, inplace=True))
        self.upsample = staged_upsampling(scale=self.scale, width=TAIL_WIDTH)
        self.conv_last = last
        return last

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        check_multiple(lr, self.multiple_of, "this SwinIR")
        shallow = self.conv_first(lr - self.mean)
        x = self.patch_embed["norm"](rearrange(shallow, "b c h w -> b h w c"))
        apart = pixels_apart(lr, self.multiple_of)
        for stage in self.layers:
            x = stage(x, apart)
        deep = self.conv_after_body(rearrange(self.norm(x), "b h w c -> b c h w"))
        detail: Tensor = self.conv_last(self.upsample(self.conv_before_upsample(shallow + deep)))
        return detail + self.mean.to(detail.dtype) if self.skip is None else self.skip(lr) + detail


class Stage(nn.Module):
    """x + conv(blocks x), a residual Swin transformer block of the paper: every other block's windows are shifted."""

    def __init__(self, *, width: int, depth: int, heads: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        shifts = [window // 2 if number % 2 else 0 for number in range(depth)]
        blocks = nn.ModuleList(
            Block(width=width, heads=heads, window=window, mlp_ratio=mlp_ratio, shift=shift) for shift in shifts
        )
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b h w c"], apart: Bool[Tensor, "y x n n"]) -> Float[Tensor, "b h w c"]:
        """Add what the blocks see."""
        seen = x
        for block in self.residual_group["blocks"].children():
            seen = block(seen, apart)
        added: Tensor = self.conv(rearrange(seen, "b h w c -> b c h w"))
        return x + rearrange(added, "b c h w -> b h w c")


class Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x); windows lie `shift` pixels further down and right."""

    def __init__(self, *, width: int, heads: int, window: int, mlp_ratio: float, shift: int) -> None:
        super().__init__()
        inside = int(width * mlp_ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width=width, heads=heads, window=window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(fc1=nn.Linear(width, inside), act=nn.GELU(), fc2=nn.Linear(inside, width)))
        self.window = window
        self.shift = shift

    def forward(self, x: Float[Tensor, "b h w c"], apart: Bool[Tensor, "y x n n"]) -> Float[Tensor, "b h w c"]:
        """Let pixels of a window see one another, then each itself; `apart` matters to shifted windows only."""
        rolled = torch.roll(self.norm1(x), (-self.shift, -self.shift), dims=(1, 2))
        seen = self.attn(partition(rolled, self.window), apart if self.shift else None)
        x = x + torch.roll(reverse(seen, self.window), (self.shift, self.shift), dims=(1, 2))
        inside: Tensor = self.mlp(self.norm2(x))
        return x + inside


class WindowAttention(nn.Module):
    """softmax(q kᵀ / √d + bias) v within each window; the bias depends on how pixels lie to one another."""

    relative_position_index: Tensor

    def __init__(self, *, width: int, heads: int, window: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, {heads}, got {width}; change one of them")
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions(window))  # kept: official files have it
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "b y x n c"], apart: Bool[Tensor, "y x n n"] | None
    ) -> Float[Tensor, "b y x n c"]:
        """Attend, but not from a pixel to one that is `apart` from it."""
        b, y = x.shape[:2]
        bias = rearrange(self.relative_position_bias_table[self.relative_position_index], "n m heads -> heads n m")
        qkv = rearrange(self.qkv(x), "b y x n (three heads d) -> three b y x heads n d", three=3, heads=self.heads)
        if apart is None:
            q, k, v = rearrange(qkv, "three b y x heads n d -> three (b y x) heads n d")
            seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])
            seen = rearrange(seen, "(b y x) heads n d -> b y x n (heads d)", b=b, y=y)
        else:  # windows differ in their mask, images do not
            q, k, v = rearrange(qkv, "three b y x heads n d -> three b (y x heads) n d")
            masked = bias.where(rearrange(~apart, "y x n m -> y x 1 n m"), -torch.inf)
            masked = rearrange(masked, "y x heads n m -> 1 (y x heads) n m")
            seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=masked)
            seen = rearrange(seen, "b (y x heads) n d -> b y x n (heads d)", y=y, heads=self.heads)
        out: Tensor = self.proj(seen)
        return out


def partition(image: Float[Tensor, "b h w c"], window: int) -> Float[Tensor, "b y x n c"]:
    """Cut into windows."""
    return rearrange(image, "b (y m) (x n) c -> b y x (m n) c", m=window, n=window)


def reverse(windows: Float[Tensor, "b y x n c"], window: int) -> Float[Tensor, "b h w c"]:
    """Put windows together again."""
    return rearrange(windows, "b y x (m n) c -> b (y m) (x n) c", m=window)


def pixels_apart(image: Float[Tensor, "b c h w"], window: int) -> Bool[Tensor, "y x n n"]:
    """Which pixels of a window, once the image was rolled by half a window, came from opposite ends of it."""
    rows, columns = (_bands(torch.arange(size, device=image.device), window) for size in image.shape[-2:])
    bands = partition(rearrange(3 * rows[:, None] + columns, "h w -> 1 h w 1"), window)
    return rearrange(bands, "1 y x n 1 -> y x n 1") != rearrange(bands, "1 y x n 1 -> y x 1 n")


def _bands(places: Int[Tensor, " size"], window: int) -> Float[Tensor, " size"]:
    """2 for those that were rolled round to the end, 1 for those that they meet in the last window, else 0."""
    size = places.shape[0]
    return (places >= size - window).float() + (places >= size - window // 2).float()


def relative_positions(window: int) -> Int[Tensor, "n n"]:
    """For each two pixels of a window the row of the bias table that belongs to their distance down and right."""
    places = torch.arange(window**2)
    down, right = (axis[:, None] - axis + window - 1 for axis in (places // window, places % window))
    return down * (2 * window - 1) + right


def _reach(stages: int, depth: int, window: int, *, tail: int) -> int:
    """LR pixels to each side that can change an output pixel, followed back for each place in a window.

    `tail`: those that its convolutions reach.
    """
    reach = 0
    for place in range(window):
        low, high = place - tail - 1, place + tail + 1  # with conv_after_body
        for _ in range(stages):
            low, high = low - 1, high + 1
            for number in reversed(range(depth)):
                start = window // 2 if number % 2 else 0
                low -= (low - start) % window
                high += window - 1 - (high - start) % window
        reach = max(reach, place - low + 1, high - place + 1)  # with conv_first
    return reach


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
