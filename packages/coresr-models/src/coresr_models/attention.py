"""Gates that weigh channels, places, or both: SE, scSE and CBAM.

Each maps (b, c, h, w) to the same shape and starts open: its last layer is zero, and a sigmoid, then one half, is
doubled (scSE adds two of them), so that a fresh gate hands on exactly what it was given. All three pool over the
whole image, so that tiles then differ from the whole.
"""

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from coresr_models.blocks import check_at_least, zero_

REDUCTION = 16


class SE(nn.Module):
    """x · 2σ(W₂ relu(W₁ mean x)), a weight per channel (Hu et al. 2018, arXiv 1709.01507, section 3).

    W₁ and W₂ have biases; between them are `width` / 16 features, at least 4.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        check_at_least(1, width=width)
        self.channel = _Excitation(width=width, hidden=max(width // REDUCTION, 4), bias=True)

    def open(self) -> None:
        """Start anew from whatever the first layer holds, handing on everything."""
        self.channel.open()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh the channels."""
        return x * _doubled(self.channel(_mean(x)))


class ScSE(nn.Module):
    """x · σ(W₂ relu(W₁ mean x)) + x · σ(w · x): by channel and by place (Roy et al. 2018, arXiv 1803.02579, 2.3).

    Between W₁ and W₂ are `width` / 2 features as in the paper; w is one weight per channel, without bias.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        check_at_least(1, width=width)
        self.channel = _Excitation(width=width, hidden=max(width // 2, 1), bias=True)
        self.spatial = nn.Conv2d(width, 1, 1, bias=False)
        self.open()

    def open(self) -> None:
        """Start anew from whatever the first layer holds, handing on everything."""
        self.channel.open()
        zero_(self.spatial)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh the channels and the places, each for itself, and add."""
        return x * torch.sigmoid(self.channel(_mean(x))) + x * torch.sigmoid(self.spatial(x))


class CBAM(nn.Module):
    """Channels by 2σ(MLP mean x + MLP max x), then places by 2σ(conv [mean, max] over channels), 7×7, no biases.

    Woo et al. 2018, arXiv 1807.06521, section 3; the MLP has `width` / 16 hidden features, at least 4.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        check_at_least(1, width=width)
        self.channel = _Excitation(width=width, hidden=max(width // REDUCTION, 4), bias=False)
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.open()

    def open(self) -> None:
        """Start anew from whatever the first layer holds, handing on everything."""
        self.channel.open()
        zero_(self.spatial)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Weigh the channels, then the places."""
        x = x * _doubled(self.channel(_mean(x)) + self.channel(reduce(x, "b c h w -> b c 1 1", "max")))
        places = [reduce(x, "b c h w -> b 1 h w", pooled) for pooled in ("mean", "max")]
        return x * _doubled(self.spatial(torch.cat(places, dim=1)))


class _Excitation(nn.Module):
    """W₂ relu(W₁ x) on one value per channel."""

    def __init__(self, *, width: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, hidden, 1, bias=bias)
        self.expand = nn.Conv2d(hidden, width, 1, bias=bias)
        self.open()

    def open(self) -> None:
        """Answer zero, with hidden features in pairs of opposite sign: of each pair one passes the ReLU."""
        half = self.squeeze.out_channels // 2
        with torch.no_grad():
            self.squeeze.weight[half : 2 * half] = -self.squeeze.weight[:half]
            if self.squeeze.bias is not None:
                self.squeeze.bias.zero_()
        zero_(self.expand)

    def forward(self, x: Float[Tensor, "b c 1 1"]) -> Float[Tensor, "b c 1 1"]:
        expanded: Tensor = self.expand(torch.relu(self.squeeze(x)))
        return expanded


def _mean(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 1 1"]:
    return reduce(x, "b c h w -> b c 1 1", "mean")


def _doubled(x: Tensor) -> Tensor:
    return 2 * torch.sigmoid(x)
