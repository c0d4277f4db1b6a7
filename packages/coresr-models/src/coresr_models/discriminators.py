"""Critics that tell real images from made ones: raw logits, no sigmoid.

They map (b, c, h, w) to logits, and state as plain attributes `smallest`, the least side in pixels, and
`multiple_of`, of which both sides must be multiples.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import check_at_least, check_one_of
from coresr_models.build import ModelSpec, complete

SLOPE = 0.2
EPSILON = 1e-12


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its largest singular value (Miyato et al. 2018, arXiv 1802.05957).

    The weight is taken as a matrix (out, in · size · size). Each call in training makes one step of power iteration.
    Names in the state dict are those of `torch.nn.utils.spectral_norm`, which published critics have; unlike with it,
    a copy can be made at any time.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, width_in: int, width: int, size: int, *, stride: int = 1, padding: int = 1, bias: bool) -> None:
        super().__init__()
        plain = nn.Conv2d(width_in, width, size, bias=bias)
        self.stride, self.padding = stride, padding
        self.bias: Tensor | None = plain.bias
        self.weight_orig = plain.weight
        self.register_buffer("weight_u", functional.normalize(torch.randn(width), dim=0, eps=EPSILON))
        self.register_buffer("weight_v", torch.zeros(width_in * size**2))
        for _ in range(15):  # so that evaluation means something from the start
            self._iterate()

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """Convolve with the normalised weight."""
        # a norm in bfloat16 would be off by a hundredth; autocast knows no meta tensors
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            weight = self.weight_orig / self._norm()
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)

    def _norm(self) -> Tensor:
        if self.training:
            self._iterate()
        # copies, for the next call changes the buffers before the gradient of this one is computed
        return self.weight_u.clone() @ (self.weight_orig.flatten(1) @ self.weight_v.clone())

    @torch.no_grad()
    def _iterate(self) -> None:
        matrix = self.weight_orig.flatten(1)
        self.weight_v.copy_(functional.normalize(matrix.T @ self.weight_u, dim=0, eps=EPSILON))
        self.weight_u.copy_(functional.normalize(matrix @ self.weight_v, dim=0, eps=EPSILON))


class UNetDiscriminatorSN(nn.Module):
    """U-Net with spectral normalisation, one logit per pixel (Real-ESRGAN: Wang et al. 2021, arXiv 2107.10833).

    Sides must be multiples of 8 (ValueError). State-dict keys are those of Real-ESRGAN's netD.
    """

    smallest = 8
    multiple_of = 8

    def __init__(self, *, channels: int = 1, width: int = 64) -> None:
        super().__init__()
        check_at_least(1, channels=channels, width=width)
        self.conv0 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv1 = SpectralConv2d(width, 2 * width, 4, stride=2, bias=False)
        self.conv2 = SpectralConv2d(2 * width, 4 * width, 4, stride=2, bias=False)
        self.conv3 = SpectralConv2d(4 * width, 8 * width, 4, stride=2, bias=False)
        self.conv4 = SpectralConv2d(8 * width, 4 * width, 3, bias=False)
        self.conv5 = SpectralConv2d(4 * width, 2 * width, 3, bias=False)
        self.conv6 = SpectralConv2d(2 * width, width, 3, bias=False)
        self.conv7 = SpectralConv2d(width, width, 3, bias=False)
        self.conv8 = SpectralConv2d(width, width, 3, bias=False)
        self.conv9 = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        """Judge every pixel."""
        height, width = image.shape[-2:]
        if height % 8 or width % 8:
            raise ValueError(
                f"image size must be a multiple of 8 pixels for the U-Net critic, got {height}×{width}; "
                "choose a patch that is"
            )
        x0 = _lively(self.conv0(image))
        x1 = _lively(self.conv1(x0))
        x2 = _lively(self.conv2(x1))
        x = _lively(self.conv3(x2))
        x = _lively(self.conv4(_doubled(x))) + x2
        x = _lively(self.conv5(_doubled(x))) + x1
        x = _lively(self.conv6(_doubled(x))) + x0
        logits: Tensor = self.conv9(_lively(self.conv8(_lively(self.conv7(x)))))
        return logits


class VGGStyleDiscriminator(nn.Module):
    """One logit per image of size × size pixels, a power of two from 8 (ValueError; ESRGAN, arXiv 1809.00219).

    Pairs of a 3×3 and a 4×4 convolution of stride 2, with batch normalisation, down to 4 × 4; `width` channels double
    up to eightfold. The default is the paper's critic for patches of 128; keys are those of BasicSR.
    """

    def __init__(self, *, channels: int = 1, width: int = 64, size: int = 128) -> None:
        super().__init__()
        check_at_least(1, channels=channels, width=width)
        if size < 8 or size & (size - 1):
            raise ValueError(f"size must be a power of 2 from 8, got {size}; or take the critic unet_sn or patchgan")
        self.smallest = self.multiple_of = self.size = size
        self.levels = size.bit_length() - 3
        widths = [channels, *(width * min(2**level, 8) for level in range(self.levels))]
        for level, (inward, outward) in enumerate(pairwise(widths)):
            self.add_module(f"conv{level}_0", nn.Conv2d(inward, outward, 3, padding=1, bias=level == 0))
            if level:
                self.add_module(f"bn{level}_0", nn.BatchNorm2d(outward))
            self.add_module(f"conv{level}_1", nn.Conv2d(outward, outward, 4, stride=2, padding=1, bias=False))
            self.add_module(f"bn{level}_1", nn.BatchNorm2d(outward))
        self.linear1 = nn.Linear(widths[-1] * 4 * 4, 100)
        self.linear2 = nn.Linear(100, 1)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1"]:
        """Judge every image."""
        if image.shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"image size must be {self.size}×{self.size} pixels for this VGG-style critic, "
                f"got {image.shape[-2]}×{image.shape[-1]}; build it with the size of the patch"
            )
        x = image
        for level in range(self.levels):
            for half in (0, 1):
                x = self.get_submodule(f"conv{level}_{half}")(x)
                if (level, half) != (0, 0):
                    x = self.get_submodule(f"bn{level}_{half}")(x)
                x = _lively(x)
        logits: Tensor = self.linear2(_lively(self.linear1(x.flatten(1))))
        return logits


class PatchGAN(nn.Module):
    """A map of logits, each for one square of the image (Isola et al. 2017, arXiv 1611.07004).

    `layers` convolutions of stride 2 let a logit see a square of 16, 34, 70 (the paper's) or 142 pixels for 1, 2, 3
    or 4; images must be at least 3 · 2^layers pixels on each side (ValueError). `norm`: "instance" is CycleGAN's,
    without parameters of its own (the biases before it, which it takes out again, are part of the published format);
    "spectral" normalises the weights of the same layers instead. Keys are those of pytorch-CycleGAN-and-pix2pix.
    """

    multiple_of = 1

    def __init__(
        self,
        *,
        channels: int = 1,
        width: int = 64,
        layers: int = 3,
        norm: Literal["none", "instance", "batch", "spectral"] = "instance",
    ) -> None:
        super().__init__()
        check_at_least(1, channels=channels, width=width, layers=layers)
        check_one_of("norm", norm, ("none", "instance", "batch", "spectral"))
        self.smallest = 3 * 2**layers
        widths = [width * min(2**layer, 8) for layer in range(layers + 1)]
        model: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(SLOPE)]
        for layer in range(1, layers + 1):
            model += _normalised(widths[layer - 1], widths[layer], stride=2 if layer < layers else 1, norm=norm)
            model.append(nn.LeakyReLU(SLOPE))
        model.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.model = nn.Sequential(*model)

    def forward(self, image: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 y x"]:
        """Judge every square."""
        if min(image.shape[-2:]) < self.smallest:
            raise ValueError(
                f"image size must be {self.smallest} pixels or more for this PatchGAN, "
                f"got {image.shape[-2]}×{image.shape[-1]}; take fewer layers or a larger patch"
            )
        logits: Tensor = self.model(image)
        return logits


Critic = PatchGAN | UNetDiscriminatorSN | VGGStyleDiscriminator

CRITICS: Mapping[str, type[Critic]] = {
    "patchgan": PatchGAN,
    "unet_sn": UNetDiscriminatorSN,
    "vgg": VGGStyleDiscriminator,
}


def build_critic(spec: ModelSpec) -> Critic:
    """A freshly initialised critic; `spec` names one of `CRITICS` and its arguments, checked as `build` does.

    ValueError for a mean or std: critics see images on [0, 1].

    >>> build_critic(ModelSpec(name="patchgan", arguments={"layers": 2})).smallest
    12
    """
    full = complete(spec, CRITICS)
    if (full.mean, full.std) != (0, 1):
        raise ValueError(f"critic must be without mean and std, got {full.mean} and {full.std}; they are the network's")
    return CRITICS[full.name](**full.arguments)  # type: ignore[arg-type]  # complete() checked each against its default


def _normalised(width_in: int, width: int, *, stride: int, norm: str) -> list[nn.Module]:
    """A 4×4 convolution and what normalises it; two modules in every case, so that the keys stay."""
    if norm == "spectral":
        return [SpectralConv2d(width_in, width, 4, stride=stride, bias=True), nn.Identity()]
    convolution = nn.Conv2d(width_in, width, 4, stride=stride, padding=1, bias=norm != "batch")
    if norm == "batch":
        return [convolution, nn.BatchNorm2d(width)]
    return [convolution, nn.InstanceNorm2d(width) if norm == "instance" else nn.Identity()]


def _lively(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
