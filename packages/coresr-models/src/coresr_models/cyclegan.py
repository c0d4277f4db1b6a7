"""CycleGAN's two generators (Zhu et al. 2017, arXiv 1703.10593) between images of different resolutions.

Up     LR → HR   x ↦ enlarged x + residual blocks (x)
Down   HR → LR   y ↦ shrunk y + residual blocks (y)

Enlarging and shrinking are fixed operators, and both networks start equal to them. Neither normalises features, for
instance normalisation loses the grey level on which every threshold rests, and neither ends in tanh: the fixed
operator carries the range.
"""

from typing import Literal

import numpy as np
import torch
from einops import rearrange, reduce, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic, check_at_least, check_one_of, keys_cubic, zero_
from coresr_models.edsr import EDSR, ResidualBlock


class Up(nn.Module):
    """LR to HR: an EDSR of `width`, `blocks` and `tail` that adds to an enlarged image and starts equal to it.

    `skip`: "bicubic", or "replicate", which repeats each pixel scale × scale times, so that a `Down` with the skip
    "mean" undoes it exactly. The default of 9 blocks of width 64 is CycleGAN's.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 9,
        tail: Literal["staged", "direct"] = "staged",
        skip: Literal["bicubic", "replicate"] = "bicubic",
    ) -> None:
        super().__init__()
        check_one_of("skip", skip, ("bicubic", "replicate"))
        self.scale = scale
        self.detail = EDSR(
            scale=scale, channels=channels, width=width, blocks=blocks, tail=tail, global_residual="none"
        )
        zero_(self.detail.conv_last)
        self.receptive_field = self.detail.receptive_field
        self.skip = Bicubic(scale=scale) if skip == "bicubic" else Replicate(scale=scale)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        enlarged: Tensor = self.skip(lr)
        detail: Tensor = self.detail(lr)
        return enlarged + detail


class Down(nn.Module):
    """HR to LR: residual blocks at LR on unshuffled pixels that add to a shrunk image, and start equal to it.

    `skip`: "bicubic" with antialiasing, as LR is made, or "mean" of scale × scale pixels. The HR size must be a
    multiple of `multiple_of` pixels, which is the scale (ValueError).
    """

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 6,
        skip: Literal["bicubic", "mean"] = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_one_of("skip", skip, ("bicubic", "mean"))
        self.scale = self.multiple_of = scale
        self.conv_first = nn.Conv2d(channels * scale**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width=width, residual_scale=1.0) for _ in range(blocks)))
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = zero_(nn.Conv2d(width, channels, 3, padding=1))
        self.skip = BicubicDown(scale=scale) if skip == "bicubic" else BlockMean(scale=scale)

    def forward(self, hr: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y//{self.scale} x//{self.scale}"]:
        """Make LR; neither clamped nor padded."""
        _check_divides(hr, self.scale)
        x = self.conv_first(rearrange(hr, "b c (h p) (w q) -> b (c p q) h w", p=self.scale, q=self.scale))
        detail: Tensor = self.conv_last(x + self.conv_after_body(self.body(x)))
        shrunk: Tensor = self.skip(hr)
        return shrunk + detail


class Replicate(nn.Module):
    """Each pixel scale × scale times: the pseudo-inverse of `BlockMean`."""

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Enlarge."""
        return repeat(lr, "b c h w -> b c (h p) (w q)", p=self.scale, q=self.scale)


class BlockMean(nn.Module):
    """The mean of scale × scale pixels."""

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, hr: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y//{self.scale} x//{self.scale}"]:
        """Shrink."""
        _check_divides(hr, self.scale)
        return reduce(hr, "b c (h p) (w q) -> b c h w", "mean", p=self.scale, q=self.scale)


class BicubicDown(nn.Module):
    """Bicubic shrinking by an integer scale as one fixed convolution per axis.

    Equal to MATLAB's `imresize` of a float image by 1/scale with antialiasing (Keys' kernel with a = -0.5, `scale`
    times as wide, mirrored borders) to 1e-6. Computed in the precision of its input, never under autocast.
    """

    weight: Tensor

    def __init__(self, *, scale: int) -> None:
        super().__init__()
        check_at_least(1, scale=scale)
        self.scale = scale
        # pixels beyond either side of a block that the kernel, two blocks to each side of its centre, reaches
        self.margin = 3 * scale // 2
        offsets = np.arange(-self.margin, scale + self.margin) - (scale - 1) / 2
        taps = keys_cubic(np.abs(offsets / scale))
        self.register_buffer("weight", torch.tensor(taps / taps.sum(), dtype=torch.float32), persistent=False)

    def forward(self, hr: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c y//{self.scale} x//{self.scale}"]:
        """Shrink every channel for itself."""
        _check_divides(hr, self.scale)
        with torch.autocast("cpu" if hr.is_meta else hr.device.type, enabled=False):  # autocast knows no meta tensors
            planes = rearrange(hr, "b c h w -> (b c) 1 h w")
            planes = _mirrored(_mirrored(planes, -2, self.margin), -1, self.margin)
            weight = self.weight.to(hr.dtype)
            rows = functional.conv2d(planes, rearrange(weight, "k -> 1 1 k 1"), stride=(self.scale, 1))
            lr = functional.conv2d(rows, rearrange(weight, "k -> 1 1 1 k"), stride=(1, self.scale))
        return rearrange(lr, "(b c) 1 h w -> b c h w", b=hr.shape[0])


def _mirrored(x: Tensor, axis: int, margin: int) -> Tensor:
    """`margin` samples more at both ends, mirrored with the edge sample repeated, and again where there are too few."""
    while margin:
        size = x.shape[axis]
        step = min(margin, size)
        x = torch.cat([x.narrow(axis, 0, step).flip(axis), x, x.narrow(axis, size - step, step).flip(axis)], axis)
        margin -= step
    return x


def _check_divides(hr: Tensor, scale: int) -> None:
    if hr.shape[-2] % scale or hr.shape[-1] % scale:
        raise ValueError(
            f"HR size must be a multiple of {scale} pixels to shrink by {scale}, "
            f"got {hr.shape[-2]}×{hr.shape[-1]}; crop it"
        )
