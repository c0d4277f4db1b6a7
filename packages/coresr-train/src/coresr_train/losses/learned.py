"""LPIPS v0.1 with VGG16 (Zhang et al. 2018): features weighted by what people judged to be alike."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from coresr_train.losses.eye import Eye, opened, seen, shapes
from coresr_train.losses.features import IMAGENET
from coresr_train.losses.pixels import Distance, Image, Scalar
from coresr_train.losses.vgg import VGG, WIDTHS
from coresr_train.losses.weights import Packaged, from_file, from_hub, from_package
from coresr_train.settings import Loss

LINEAR = Packaged(
    module="lpips",
    file="weights/v0.1/vgg.pth",
    sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    install="pip install --no-deps lpips",  # what it depends on includes torchvision
)
TINY = 1e-10
"""Of the authors' program, added to lengths."""


def lpips(loss: Loss, device: torch.device) -> Distance:
    """`between_directions` of VGG16's relu1_2, 2_2, 3_3, 4_3 and 5_3, with the channels' weights of the package lpips.

    VGG16 comes from the safetensors file that the settings name, with torchvision's names, else from timm/vgg16.tv_in1k
    on the Hub. Raises as `from_file`, `from_hub` and `from_package` do.
    """
    wanted = {f"lin{stage}.model.1.weight": (1, width, 1, 1) for stage, width in enumerate(WIDTHS)}
    channels = [weights.flatten().to(device) for weights in from_package(LINEAR, wanted).values()]
    with torch.device("meta"):  # nothing is drawn that the file replaces
        network = VGG(depths=(2, 2, 3, 3, 3), taps=(3, 8, 15, 22, 29))
    path = Path(loss.lpips_weights) if loss.lpips_weights else from_hub("timm/vgg16.tv_in1k", "loss.lpips_weights")
    network.load_state_dict(from_file(path, shapes(network)), assign=True)
    # the authors' shift and scale of [-1, 1] are ImageNet's mean and deviation of [0, 1]
    eye = opened(network, device, *IMAGENET, (1.0,) * len(channels))

    def distance(sr: Image, hr: Image) -> Scalar:
        return between_directions(eye, channels, sr, hr)

    return distance


def between_directions(eye: Eye, channels: Sequence[Float[Tensor, " _"]], sr: Image, hr: Image) -> Scalar:
    """The squared difference of features of length 1, weighted by channel, averaged over places, summed over taps.

    Equation 1 of Zhang et al. 2018, averaged over images. HR gets no gradient.
    """
    terms = [
        ((_direction(ours) - _direction(theirs)).square().mean((0, 2, 3)) * weights).sum()
        for (ours, theirs), weights in zip(seen(eye, sr, hr), channels, strict=True)
    ]
    return torch.stack(terms).sum()


def _direction(features: Tensor) -> Tensor:
    power = features.square().sum(1, keepdim=True)
    # where no channel answers there is no direction, and the root's infinite slope would make the gradient NaN
    length = torch.where(power > 0, power, 1).sqrt()
    return features / (length + TINY)
