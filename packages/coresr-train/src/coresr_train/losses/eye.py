"""How a network that is never trained here looks at SR and HR, and the distance between what it sees in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coresr_train.losses.pixels import Image, Scalar, at_least_float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """A frozen network, and the mean and standard deviation `(1, c, 1, 1)` of the images that it was trained on."""

    network: nn.Module
    mean: Tensor
    std: Tensor
    weights: tuple[float, ...]
    """Of the taps, in `between_features`."""

    def __call__(self, image: Image) -> list[Tensor]:
        """Its features of images in [0, 1], grey or of its c channels; ValueError for others.

        Mean and deviation are not folded into its first layer, which pads with zeros.
        """
        channels = self.std.shape[1]
        if image.shape[1] not in (1, channels):
            known = "1 or 3 channels for features of photographs" if channels == 3 else "1 channel for features of rock"
            raise ValueError(f"images must have {known}, got {image.shape[1]}")
        features: list[Tensor] = self.network((image.expand(-1, channels, -1, -1) - self.mean) / self.std)
        return features


def opened(
    network: nn.Module, device: torch.device, mean: Sequence[float], std: Sequence[float], weights: Sequence[float]
) -> Eye:
    """The eye of a network whose weights are loaded: frozen, on the device. Mean and std are one number a channel."""
    network.requires_grad_(False).eval().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets this form
    centre, deviation = (torch.tensor(values, device=device).reshape(1, -1, 1, 1) for values in (mean, std))
    return Eye(network=network, mean=centre, std=deviation, weights=tuple(weights))


def between_features(eye: Eye, sr: Image, hr: Image) -> Scalar:
    """The sum over the taps of their weight times mean |features of sr - features of hr|. HR gets no gradient."""
    terms = [
        weight * (ours - theirs).abs().mean()
        for weight, (ours, theirs) in zip(eye.weights, seen(eye, sr, hr), strict=True)
    ]
    return torch.stack(terms).sum()


def seen(eye: Eye, sr: Image, hr: Image) -> Iterator[tuple[Tensor, Tensor]]:
    """Features of both at each tap, those of HR without gradient."""
    sr, hr = at_least_float32(sr, hr)
    with torch.autocast(sr.device.type, enabled=False):
        with torch.no_grad():
            theirs = eye(hr)
        return zip(eye(sr), theirs, strict=True)


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of its tensors, by name."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
