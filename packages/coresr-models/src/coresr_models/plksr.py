"""PLKSR and RealPLKSR: large kernels on a part of the channels (Lee et al. 2024, arXiv 2404.11848)."""

from typing import Literal

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import (
    Bicubic,
    ChannelLayerNorm,
    GlobalResidual,
    check_at_least,
    check_odd,
    check_one_of,
    zero_,
)

GROUPS = 4
"""Of RealPLKSR's group normalisation; a file does not tell them, and its readers take four for granted."""


class LargeKernel(nn.Module):
    """A dense large convolution of the first `width` channels; the others pass."""

    def __init__(self, *, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = _drawn(nn.Conv2d(width, width, kernel, padding=kernel // 2))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Split and joined again: written into a slice, autograd and compilers would go wrong."""
        width = self.conv.in_channels
        return torch.cat([self.conv(x[:, :width]), x[:, width:]], dim=1)


class ElementAttention(nn.Module):
    """x · sigmoid(conv x), a gate for each pixel and channel."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(_drawn(nn.Conv2d(width, width, 3, padding=1)), nn.Sigmoid())

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Gate."""
        seen: Tensor = self.f(x)
        return x * seen


class PLKBlock(nn.Module):
    """x + 1×1(attention(large kernel(mixer x))), where the mixer is two 3×3 convolutions around a GELU."""

    def __init__(self, *, width: int, kernel: int, split: float, attention: bool) -> None:
        super().__init__()
        self.channe_mixer = _mixer(width, nn.GELU())  # the authors' spelling is part of the format
        self.lk = LargeKernel(width=_part(width, split), kernel=kernel)
        self.attn = ElementAttention(width=width) if attention else nn.Identity()
        self.refine = _drawn(nn.Conv2d(width, width, 1))

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the layers see."""
        seen: Tensor = self.refine(self.attn(self.lk(self.channe_mixer(x))))
        return x + seen


class RealPLKBlock(nn.Module):
    """PLKBlock with Mish, and group normalisation last or layer normalisation first."""

    def __init__(self, *, width: int, kernel: int, split: float, attention: bool, norm: str) -> None:
        super().__init__()
        self.layer_norm = ChannelLayerNorm(width=width) if norm == "layer" else nn.Identity()
        self.channel_mixer = _mixer(width, nn.Mish())
        self.lk = LargeKernel(width=_part(width, split), kernel=kernel)
        self.attn = ElementAttention(width=width) if attention else nn.Identity()
        self.refine = _drawn(nn.Conv2d(width, width, 1))
        self.norm = nn.GroupNorm(GROUPS, width) if norm == "group" else nn.Identity()

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the layers see."""
        seen = self.attn(self.lk(self.channel_mixer(self.layer_norm(x))))
        normal: Tensor = self.norm(self.refine(seen))
        return x + normal


class PLKSR(nn.Module):
    """PLKSR on images in [0, 1]; the defaults are the paper's, PLKSR-tiny is 12 blocks, kernel 13, no attention.

    `width` feature channels, of which the share `split` is convolved with a `kernel` of odd size in each of `blocks`
    blocks. With `global_residual="bicubic"` the network adds to a bicubic image and starts equal to it; "none" is the
    paper, which adds to the nearest neighbours. State-dict keys are the authors'.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 28,
        kernel: int = 17,
        split: float = 0.25,
        attention: bool = True,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_odd(kernel=kernel)
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        self.receptive_field = _reach(blocks=blocks, kernel=kernel, attention=attention)
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        self.feats = nn.Sequential(
            _first(channels, width),
            *(PLKBlock(width=width, kernel=kernel, split=split, attention=attention) for _ in range(blocks)),
            _last(width, channels * scale**2, zero=self.skip is not None),
        )

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        return _image(self.feats(lr), lr, scale=self.scale, skip=self.skip)


class RealPLKSR(nn.Module):
    """RealPLKSR on images in [0, 1]: PLKSR with Mish and normalisation, for degradations as they come.

    `norm`: "layer" is neosr's and traiNNer-redux's, which normalises each pixel for itself; "group" is the authors',
    whose statistics span the image, so that a tile answers otherwise than the whole, and which learned next to nothing
    in 250 steps (`bench.learning`). The other arguments as of PLKSR.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 28,
        kernel: int = 17,
        split: float = 0.25,
        attention: bool = True,
        norm: Literal["group", "layer"] = "layer",
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_odd(kernel=kernel)
        check_one_of("norm", norm, ("group", "layer"))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        if norm == "group" and width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS} with norm='group', got {width}; take norm='layer'")
        self.scale = scale
        reach = _reach(blocks=blocks, kernel=kernel, attention=attention)
        self.receptive_field = None if norm == "group" else reach
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        self.feats = nn.Sequential(
            _first(channels, width),
            *(
                RealPLKBlock(width=width, kernel=kernel, split=split, attention=attention, norm=norm)
                for _ in range(blocks)
            ),
            nn.Identity(),  # the place of a dropout, which the authors leave at 0
            _last(width, channels * scale**2, zero=self.skip is not None),
        )

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        return _image(self.feats(lr), lr, scale=self.scale, skip=self.skip)


def _image(planes: Tensor, lr: Tensor, *, scale: int, skip: Bicubic | None) -> Tensor:
    """Shuffle the planes into place and add the skip; without one, the nearest neighbours."""
    if skip is not None:
        bicubic: Tensor = skip(lr)
        return bicubic + functional.pixel_shuffle(planes, scale)
    return functional.pixel_shuffle(planes + repeat(lr, "b c h w -> b (c s) h w", s=scale**2), scale)


def _mixer(width: int, activation: nn.Module) -> nn.Sequential:
    widen, narrow = nn.Conv2d(width, 2 * width, 3, padding=1), nn.Conv2d(2 * width, width, 3, padding=1)
    return nn.Sequential(widen, activation, _drawn(narrow))


def _first(channels: int, width: int) -> nn.Conv2d:
    return _drawn(nn.Conv2d(channels, width, 3, padding=1))


def _last(width: int, planes: int, *, zero: bool) -> nn.Conv2d:
    layer = _drawn(nn.Conv2d(width, planes, 3, padding=1))
    return zero_(layer) if zero else layer


def _drawn(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.trunc_normal_(convolution.weight, std=0.02)
    return convolution


def _part(width: int, split: float) -> int:
    part = int(width * split)
    if not 1 <= part <= width:
        raise ValueError(f"split must leave 1 to {width} of {width} channels to the large kernel, got {split}")
    return part


def _reach(*, blocks: int, kernel: int, attention: bool) -> int:
    """LR pixels: two for the mixer, half the kernel, one for the attention; one each for the first and the last."""
    return blocks * (2 + kernel // 2 + attention) + 2
