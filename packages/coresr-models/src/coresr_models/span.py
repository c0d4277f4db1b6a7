"""SPAN: parameter-free attention, and convolutions that merge (Wan et al. 2023, arXiv 2311.12770).

                     ┌──────────────────── f ────────────────────┐
conv_1 ─ f ─ block_1 ┼─ … ─ block_n ─ conv_2 ───────────────── cat ─ 1×1 ─ 3×3, pixel shuffle
                     ├──────────────── output of block_1 ────────┤
                     └─ first activation inside block_n ─────────┘
"""

import copy
from typing import TypeVar

import torch
from einops import einsum, reduce
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import RGB_MEAN, Bicubic, GlobalResidual, check_at_least, check_one_of, zero_

T = TypeVar("T", bound=nn.Module)
GAIN = 2
RGB_RANGE = 255


class Conv3XC(nn.Module):
    """Trained as 1×1, 3×3 and 1×1 convolutions in a row beside a 1×1; in eval mode the one 3×3 that they equal.

    Zeros are padded before the first 1×1, so that its bias reaches the border and the merging is exact. `eval_conv`
    holds the merged convolution for other readers of the state dict: buffers, renewed whenever one is taken. Nothing
    here reads them, so none can be stale.
    """

    def __init__(self, *, width_in: int, width: int) -> None:
        super().__init__()
        self.sk = nn.Conv2d(width_in, width, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(width_in, GAIN * width_in, 1, padding=1),
            nn.Conv2d(GAIN * width_in, GAIN * width, 3),
            nn.Conv2d(GAIN * width, width, 1),
        )
        self.eval_conv = nn.Module()
        self.eval_conv.register_buffer("weight", torch.zeros(width, width_in, 3, 3))
        self.eval_conv.register_buffer("bias", torch.zeros(width))
        self.register_state_dict_pre_hook(Conv3XC._renew)  # type: ignore[no-untyped-call]  # torch does not say

    def forward(self, x: Float[Tensor, "b width_in h w"]) -> Float[Tensor, "b width h w"]:
        """The same numbers in both modes, up to rounding."""
        if self.training:
            seen: Tensor = self.conv(x) + self.sk(x)
            return seen
        weight, bias = self.merged()
        return functional.conv2d(x, weight, bias, padding=1)

    def merged(self) -> tuple[Float[Tensor, "width width_in 3 3"], Float[Tensor, " width"]]:
        """Weight and bias of the one 3×3 convolution; never under autocast."""
        first, middle, last = (layer.get_parameter("weight") for layer in self.conv)
        first_bias, middle_bias, last_bias = (layer.get_parameter("bias") for layer in self.conv)
        with torch.autocast("cpu" if first.is_meta else first.device.type, enabled=False):
            widened = einsum(last[..., 0, 0], middle, "o n, n m y x -> o m y x")
            weight = einsum(widened, first[..., 0, 0], "o m y x, m i -> o i y x")
            inner = reduce(middle, "n m y x -> n m", "sum") @ first_bias + middle_bias
            bias = last[..., 0, 0] @ inner + last_bias
        beside, beside_bias = self.sk.get_parameter("weight"), self.sk.get_parameter("bias")
        return weight + functional.pad(beside, (1, 1, 1, 1)), bias + beside_bias

    def _renew(self, *_: object) -> None:
        with torch.no_grad():
            for name, value in zip(("weight", "bias"), self.merged(), strict=True):
                self.eval_conv.get_buffer(name).copy_(value)


class MergedConv(nn.Module):
    """What a Conv3XC equals, as one trainable convolution under the same key."""

    def __init__(self, *, width_in: int, width: int) -> None:
        super().__init__()
        self.eval_conv = nn.Conv2d(width_in, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b width_in h w"]) -> Float[Tensor, "b width h w"]:
        """Convolve."""
        seen: Tensor = self.eval_conv(x)
        return seen


class SPAB(nn.Module):
    """(x + o) · (sigmoid(o) - ½), where o are three convolutions with SiLU between them."""

    def __init__(self, *, width: int, merged: bool) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (_convolution(width, width, merged=merged) for _ in range(3))

    def forward(
        self, x: Float[Tensor, "b width h w"]
    ) -> tuple[Float[Tensor, "b width h w"], Float[Tensor, "b width h w"]]:
        """The attended features, and the first activation."""
        first = functional.silu(self.c1_r(x))
        seen = self.c3_r(functional.silu(self.c2_r(first)))
        # sigmoid(o) - 1/2 without the cancellation that costs bfloat16 most of its digits
        attention = torch.tanh(seen / 2) / 2
        return (seen + x) * attention, first


class SPAN(nn.Module):
    """SPAN on images in [0, 1]; the defaults are the paper's SPAN-S, of 48 channels; 52 are its SPAN.

    `blocks` attention blocks (6 in all published files). `merged=True` is the form for inference alone: one 3×3
    convolution for each four, a fifth of the weights, the same output; see `merge`. `normalise` subtracts the mean
    colour of DIV2K and multiplies by 255, as published RGB weights want (3 channels only); without it the state dict
    says so by a buffer `no_norm`. With `global_residual="bicubic"` the network adds to a bicubic image and starts
    equal to it; "none" is the paper. State-dict keys are the authors', those of the merged form a part of them.
    """

    mean: Tensor
    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 48,
        blocks: int = 6,
        merged: bool = False,
        normalise: bool = False,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        if normalise and channels != 3:
            raise ValueError(f"channels must be 3 with normalise=True, got {channels}; the mean is a colour")
        self.scale = scale
        self.receptive_field = 3 * blocks + 3
        self.normalise = normalise
        if normalise:
            self.register_buffer("mean", torch.tensor(RGB_MEAN)[:, None, None], persistent=False)
        else:
            self.register_buffer("no_norm", torch.zeros(1))
        self.conv_1 = _convolution(channels, width, merged=merged)
        self.blocks = tuple(f"block_{k}" for k in range(1, blocks + 1))
        for name in self.blocks:
            self.add_module(name, SPAB(width=width, merged=merged))
        self.conv_cat = nn.Conv2d(4 * width, width, 1)
        self.conv_2 = _convolution(width, width, merged=merged)
        last = nn.Conv2d(width, channels * scale**2, 3, padding=1)
        self.upsampler = nn.Sequential(last, nn.PixelShuffle(scale))
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        if self.skip is not None:
            zero_(last)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        shallow = self.conv_1(RGB_RANGE * (lr - self.mean) if self.normalise else lr)
        outputs, x = [], shallow
        for name in self.blocks:
            x, activation = self.get_submodule(name)(x)
            outputs.append(x)
        joined = torch.cat([shallow, self.conv_2(x), outputs[0], activation], dim=1)
        detail: Tensor = self.upsampler(self.conv_cat(joined))
        return detail if self.skip is None else self.skip(lr) + detail


def merge(network: T) -> T:
    """The merged form of a SPAN in the training form, normalised or not: apart from it, the same output.

    Its spec is that of `network` with `merged=True`. ValueError for another network.
    """
    if not any(isinstance(module, SPAN) for module in network.modules()):
        raise ValueError(f"network must be a SPAN to be merged, got {type(network).__name__}")
    twin = copy.deepcopy(network)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv3XC):
                width, width_in = child.sk.weight.shape[:2]
                one = MergedConv(width_in=width_in, width=width).to(child.sk.weight)
                one.eval_conv.load_state_dict(dict(zip(("weight", "bias"), child.merged(), strict=True)))
                setattr(parent, name, one.train(child.training))
    return twin


def _convolution(width_in: int, width: int, *, merged: bool) -> Conv3XC | MergedConv:
    return MergedConv(width_in=width_in, width=width) if merged else Conv3XC(width_in=width_in, width=width)
