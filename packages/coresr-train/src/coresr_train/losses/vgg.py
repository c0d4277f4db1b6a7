"""VGG (Simonyan and Zisserman 2014) up to the last features that a loss compares."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 512)


class VGG(nn.Module):
    """The convolutions of VGG, numbered and named as in torchvision's `features`, and no layer after the last tap.

    `depths` are the 3×3 convolutions of each of its five stages; `taps` the numbers of the layers whose outputs are
    returned. Every ReLU makes a new tensor, so that what is tapped before one stays as it was.

    >>> import torch
    >>> [tuple(one.shape) for one in VGG(depths=(2, 2, 4, 4, 4), taps=(8, 34))(torch.zeros(1, 3, 32, 32))]
    [(1, 128, 16, 16), (1, 512, 2, 2)]
    """

    def __init__(self, *, depths: Sequence[int], taps: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for depth, width in zip(depths, WIDTHS, strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.taps = tuple(taps)
        self.features = nn.Sequential(*layers[: max(taps) + 1])

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Features at `taps` of RGB that is normalised already; sides below 16 pixels end before the last stage."""
        found: list[Tensor] = []
        x = image
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return found
