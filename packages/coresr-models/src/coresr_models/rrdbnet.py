"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv 1809.00219; unshuffled input: 2021, arXiv 2107.10833).

scale 4 and 8, 3    conv ─ blocks ─ conv ─ + ─ nearest ×2 (×3) and conv, as often as needed ─ conv ─ conv
scale 2 and 1       the same network of scale 4 on LR pixels unshuffled 2×2 or 4×4 into channels
"""

import math

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic, GlobalResidual, check_at_least, check_multiple, check_one_of, zero_

SLOPE = 0.2
RESIDUAL = 0.2


class ResidualDenseBlock(nn.Module):
    """x + 0.2 · conv5(x, x1 … x4), where each xk is the activated convolution of all before it (`growth` channels)."""

    def __init__(self, *, width: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(width + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(width + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(width + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(width + 4 * growth, width, 3, padding=1)
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            _initialise(convolution)

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the five convolutions see."""
        seen = x
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat([seen, _lively(convolution(seen))], dim=1)
        last: Tensor = self.conv5(seen)
        return x + RESIDUAL * last


class RRDB(nn.Module):
    """x + 0.2 · three residual dense blocks, one after the other (section 3.1 of the paper)."""

    def __init__(self, *, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(width=width, growth=growth)
        self.rdb2 = ResidualDenseBlock(width=width, growth=growth)
        self.rdb3 = ResidualDenseBlock(width=width, growth=growth)

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the three blocks see."""
        seen: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + RESIDUAL * seen


class RRDBNet(nn.Module):
    """RRDBNet on images in [0, 1]; at scale 4 the defaults are the paper's 16.7 M parameters.

    `width` feature channels, `blocks` RRDBs, `growth` channels added by each inner convolution. At scale 2 and 1 the
    input is unshuffled by 2 and 4, so its size must be a multiple of `multiple_of` LR pixels (ValueError); scale 3
    enlarges once, threefold; other scales are powers of 2. With `global_residual="bicubic"` the network adds to a
    bicubic image and starts equal to it; "none" is the paper. State-dict keys are those of BasicSR's RRDBNet, with
    `conv_up3` and on above scale 4.
    """

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 23,
        growth: int = 32,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks, growth=growth)
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        self.multiple_of = {1: 4, 2: 2}.get(scale, 1)
        self.stages = _stages(scale * self.multiple_of)
        # 15 convolutions an RRDB, conv_first and conv_body, all on unshuffled pixels; then those of the tail
        self.receptive_field = self.multiple_of * (15 * blocks + 2 + _tail_reach(self.stages))
        self.conv_first = nn.Conv2d(channels * self.multiple_of**2, width, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(width=width, growth=growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(1, len(self.stages) + 1):
            self.add_module(f"conv_up{number}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, channels, 3, padding=1)
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        if self.skip is not None:
            zero_(self.conv_last)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        unshuffled, n = lr, self.multiple_of
        if n > 1:
            check_multiple(lr, n, "this RRDBNet")
            unshuffled = rearrange(lr, "b c (h p) (w q) -> b (c p q) h w", p=n, q=n)
        x = self.conv_first(unshuffled)
        x = x + self.conv_body(self.body(x))
        for number, stage in enumerate(self.stages, start=1):
            x = functional.interpolate(x, scale_factor=stage, mode="nearest")
            x = _lively(self.get_submodule(f"conv_up{number}")(x))
        detail: Tensor = self.conv_last(_lively(self.conv_hr(x)))
        return detail if self.skip is None else self.skip(lr) + detail


def _stages(scale: int) -> tuple[int, ...]:
    """The factors by which the tail enlarges, one after the other."""
    if scale == 3:
        return (3,)
    if scale & (scale - 1):
        raise ValueError(f"scale of RRDBNet must be 3 or a power of 2, got {scale}; take edsr with tail='direct'")
    return (2,) * (scale.bit_length() - 1)


def _tail_reach(stages: tuple[int, ...]) -> int:
    """Pixels to each side, before the tail, that its convolutions see: two at HR, one after each enlargement."""
    reach = 2
    for stage in reversed(stages):
        reach = math.ceil((reach + 1) / stage)
    return reach


def _lively(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def _initialise(convolution: nn.Conv2d) -> None:
    """He's normal weights times 0.1 (section 3.1: a smaller start eases deep training), zero bias."""
    nn.init.kaiming_normal_(convolution.weight)
    with torch.no_grad():
        convolution.weight.mul_(0.1)
        nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]  # it has one
