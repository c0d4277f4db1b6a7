"""SRCNN: three convolutions on the bicubic image (Dong et al. 2016, arXiv 1501.00092)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic, GlobalResidual, check_at_least, check_odd, check_one_of, zero_

PATCHES, RECONSTRUCTION = 9, 5
"""Kernel sizes of the first and last layer."""


class SRCNN(nn.Module):
    """SRCNN on images in [0, 1]; the defaults are the paper's 9-1-5, `middle_kernel=5` its best, 9-5-5.

    `width` and `middle_width` are the feature channels after the first and the second convolution. Edges are
    replicated, as in the authors' released test code. Weights start as He et al. (arXiv 1502.01852) draw them: the
    paper's standard deviation of 0.001 lets almost no gradient through. With `global_residual="bicubic"` the output is
    added to the bicubic image and the network starts equal to it; "none" is the paper.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        scale: int = 2,
        channels: int = 1,
        width: int = 64,
        middle_width: int = 32,
        middle_kernel: int = 1,
        global_residual: GlobalResidual = "bicubic",
    ) -> None:
        super().__init__()
        check_at_least(1, scale=scale, channels=channels, width=width, middle_width=middle_width)
        check_odd(middle_kernel=middle_kernel)
        check_one_of("global_residual", global_residual, ("bicubic", "none"))
        self.scale = scale
        self.receptive_field = _lr_reach(PATCHES // 2 + middle_kernel // 2 + RECONSTRUCTION // 2, scale)
        self.skip = Bicubic(scale=scale)
        self.adds_skip = global_residual == "bicubic"
        self.conv1 = _convolution(channels, width, PATCHES, padding=0)
        self.conv2 = _convolution(width, middle_width, middle_kernel, padding=middle_kernel // 2)
        self.conv3 = _convolution(middle_width, channels, RECONSTRUCTION, padding=RECONSTRUCTION // 2)
        if self.adds_skip:
            zero_(self.conv3)

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor cropped."""
        bicubic = self.skip(lr)
        patches = functional.relu(self.conv1(_with_edges(bicubic, PATCHES // 2)))
        detail: Tensor = self.conv3(functional.relu(self.conv2(patches)))
        return bicubic + detail if self.adds_skip else detail


def _with_edges(x: Tensor, margin: int) -> Tensor:
    """`margin` samples more on each side, equal to the edge; torch's own padding stops its compiler after a shuffle."""
    x = torch.cat([x[..., :1].expand(-1, -1, -1, margin), x, x[..., -1:].expand(-1, -1, -1, margin)], dim=3)
    return torch.cat([x[:, :, :1].expand(-1, -1, margin, -1), x, x[:, :, -1:].expand(-1, -1, margin, -1)], dim=2)


def _convolution(width_in: int, width: int, kernel: int, *, padding: int) -> nn.Conv2d:
    convolution = nn.Conv2d(width_in, width, kernel, padding=padding, padding_mode="replicate")
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    nn.init.zeros_(convolution.get_parameter("bias"))
    return convolution


def _lr_reach(radius: int, scale: int) -> int:
    """LR pixels to one side that the bicubic image within `radius` HR pixels of an HR pixel is made of."""

    def taps(phase: int) -> int:  # bicubic reads one LR pixel to its nearer side and two to the other
        from_centre = 2 * phase + 1 - scale
        return 0 if from_centre == 0 else 2 if from_centre < 0 else 1

    return max(taps((phase - radius) % scale) - (phase - radius) // scale for phase in range(scale))
