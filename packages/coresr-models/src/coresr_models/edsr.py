"""EDSR: residual blocks at LR resolution, then pixel shuffle (Lim et al. 2017, arXiv 1707.02921)."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from coresr_models.blocks import Bicubic, GlobalResidual, check_at_least, check_one_of, staged_upsampling, zero_


class ResidualBlock(nn.Module):
    """x + residual_scale · conv(relu(conv x)), without normalisation (section 3.1 of the paper)."""

    def __init__(self, *, width: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.residual_scale = residual_scale

    def forward(self, x: Float[Tensor, "b width h w"]) -> Float[Tensor, "b width h w"]:
        """Add what the two convolutions see."""
        seen: Tensor = self.conv2(self.relu(self.conv1(x)))
        return x + self.residual_scale * seen


class EDSR(nn.Module):
    """EDSR on images in [0, 1]; the defaults are the paper's baseline of 1.4 M parameters.

    `width` feature channels, `blocks` residual blocks, `residual_scale` 0.1 in the paper's widest model. `tail`:
    "staged" doubles or trebles the size step by step with a last convolution at HR, as in the paper (scales 1, 2, 3
    and powers of 2); "direct" shuffles `channels · scale²` planes into place at once, a fraction of the cost.
    With `global_residual="bicubic"` the network adds to a bicubic image and starts equal to it; "none" is the paper.
    State-dict keys are those of BasicSR's EDSR.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        blocks: int = 16,
        residual_scale: float = 1.0,
        tail: Literal["staged", "direct"] = "staged",
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, blocks=blocks)
        check_one_of("tail", tail, ("staged", "direct"))
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        # one pixel for each 3×3 convolution at LR; those of the staged tail together stay within two
        self.receptive_field = 2 * blocks + 3 + (tail == "staged" and scale > 1)
        self.conv_first = nn.Conv2d(channels, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width=width, residual_scale=residual_scale) for _ in range(blocks)))
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        self.upsample = staged_upsampling(scale=scale if tail == "staged" else 1, width=width)
        last = channels if tail == "staged" else channels * scale**2
        self.conv_last = nn.Conv2d(width, last, 3, padding=1)
        self.shuffle = nn.Identity() if tail == "staged" else nn.PixelShuffle(scale)
        self.skip = Bicubic(scale=scale) if global_residual == "bicubic" else None
        if self.skip is not None:
            zero_(self.conv_last)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        features = self.conv_first(lr)
        features = features + self.conv_after_body(self.body(features))
        detail: Tensor = self.shuffle(self.conv_last(self.upsample(features)))
        return detail if self.skip is None else self.skip(lr) + detail
