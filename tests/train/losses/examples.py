"""Pairs of images, and weights under the names of the real ones."""

import torch
from torch import Tensor, nn

from coresr_train.losses.eye import Eye, opened

CONVOLUTIONS = {
    "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    "vgg19": (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
"""Their numbers in torchvision's `features`."""


def vgg_tensors(name: str) -> dict[str, Tensor]:
    """He's initialisation, small biases."""
    generator = torch.Generator().manual_seed(1)
    tensors, channels = {}, 3
    for number in CONVOLUTIONS[name]:
        width = 64 if number < 5 else 128 if number < 10 else 256 if number < 17 + 2 * (name == "vgg19") else 512
        spread = (2 / (9 * channels)) ** 0.5
        tensors[f"features.{number}.weight"] = spread * torch.randn(width, channels, 3, 3, generator=generator)
        tensors[f"features.{number}.bias"] = 0.05 * torch.randn(width, generator=generator)
        channels = width
    return tensors


def pair(side: int = 48) -> tuple[Tensor, Tensor]:
    """SR that wants a gradient, and the HR that it is near."""
    hr = torch.rand(2, 1, side, side)
    return (hr + 0.05 * torch.randn_like(hr)).requires_grad_(), hr


def golden_pair(side: int) -> tuple[Tensor, Tensor]:
    """The pair of which published implementations are known to say the same, in float64."""
    i, j = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    checks = ((i // 8 + j // 8) % 2).double() - 0.5
    turn = 2 * torch.pi
    hr = 0.5 + 0.25 * torch.sin(turn * i.double() / 16) * torch.cos(turn * j.double() / 11) + 0.2 * checks
    sr = (0.9 * hr + 0.05 + 0.04 * torch.sin(turn * (3 * i + 5 * j).double() / 17)).clamp(0, 1)
    return sr[None, None], hr[None, None]


class Tiny(nn.Module):
    """Two layers of features, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 3, 3) for _ in range(2)).double()

    def forward(self, image: Tensor) -> list[Tensor]:
        first = self.layers[0](image)
        return [first, self.layers[1](first.sigmoid())]


def tiny_eye() -> Eye:
    """In float64, of RGB."""
    eye = opened(Tiny(), torch.device("cpu"), (0.4, 0.5, 0.6), (0.3, 0.2, 0.1), (1.0, 1.0))
    return Eye(network=eye.network, mean=eye.mean.double(), std=eye.std.double(), weights=eye.weights)
