"""Names to networks, in one visible mapping."""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jaxtyping import Float
from torch import Tensor, nn

from coresr_models.cyclegan import Up
from coresr_models.edsr import EDSR
from coresr_models.nafnet import NAFNet
from coresr_models.plksr import PLKSR, RealPLKSR
from coresr_models.rcan import RCAN
from coresr_models.rrdbnet import RRDBNet
from coresr_models.span import SPAN
from coresr_models.srcnn import SRCNN
from coresr_models.swinir import SwinIR
from coresr_models.unet import UNet

Argument = int | float | str | bool
Plain = EDSR | NAFNet | PLKSR | RCAN | RRDBNet | RealPLKSR | SPAN | SRCNN | SwinIR | UNet | Up
"""A network of this package by itself."""

MODELS: Mapping[str, type[Plain]] = {
    "cyclegan": Up,
    "edsr": EDSR,
    "nafnet": NAFNet,
    "plksr": PLKSR,
    "rcan": RCAN,
    "realplksr": RealPLKSR,
    "rrdbnet": RRDBNet,
    "span": SPAN,
    "srcnn": SRCNN,
    "swinir": SwinIR,
    "unet": UNet,
}


SMALLEST_STD = 1e-4
"""With it white is 10,000 to a network; float16 ends at 65,504."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A network as data: a name of `MODELS` and its constructor arguments."""

    name: str
    arguments: dict[str, Argument] = field(default_factory=dict)
    mean: float = 0.0
    """What is subtracted from LR before the network sees it, and added to its output: from 0 to 1; 0 is nothing."""
    std: float = 1.0
    """What LR is then divided by, and the output multiplied: from `SMALLEST_STD` to 1; 1 is nothing."""


class Normalised(nn.Module):
    """std · network((lr - mean) / std) + mean, so that images are on [0, 1] on both sides of it.

    Equal to bicubic where the network is. What a network pads with zeros is padded with the mean here.
    """

    def __init__(self, network: Plain, *, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = mean, std
        self.scale, self.multiple_of = network.scale, network.multiple_of
        self.receptive_field = network.receptive_field

    def forward(self, lr: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c {self.scale}*h {self.scale}*w"]:
        """Super-resolve; neither clamped nor padded."""
        sr: Tensor = self.network((lr - self.mean) / self.std)
        return sr * self.std + self.mean


Network = Plain | Normalised
"""Every network here maps LR (b, c, h, w) to (b, c, scale·h, scale·w) and states, as plain attributes, `scale`,
`multiple_of` (its LR size must be a multiple of it) and `receptive_field` (LR pixels to each side that can change an
output pixel; None where statistics span the image)."""


def complete(spec: ModelSpec, known: Mapping[str, type[nn.Module]] = MODELS) -> ModelSpec:
    """The same spec with every argument written out; `known` are the classes that it may name.

    ValueError for an unknown network or argument (naming the nearest), a value of another type, or a mean or std
    outside their range.
    """
    if spec.name not in known:
        raise ValueError(f"model must be one of {', '.join(known)}, got {spec.name}{_nearest(spec.name, known)}")
    defaults = {p.name: p.default for p in inspect.signature(known[spec.name]).parameters.values()}
    for name, value in spec.arguments.items():
        if name not in defaults:
            signature = ", ".join(f"{key}={default!r}" for key, default in defaults.items())
            raise ValueError(
                f"argument of {spec.name} must be one of ({signature}), got {name}{_nearest(name, defaults)}"
            )
        wanted = type(defaults[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise ValueError(f"{spec.name} {name} must be of type {wanted.__name__}, got {value!r}")
    _check_within("mean", spec.mean, 0.0, 1.0)
    _check_within("std", spec.std, SMALLEST_STD, 1.0)
    return replace(spec, arguments={**defaults, **spec.arguments})


def build(spec: ModelSpec) -> Network:
    """A freshly initialised network, `Normalised` if the spec has a mean or std.

    >>> build(ModelSpec(name="edsr", arguments={"width": 8, "blocks": 2})).scale
    2
    """
    full = complete(spec)
    network = MODELS[full.name](**full.arguments)  # type: ignore[arg-type]  # complete() checked each
    return network if (full.mean, full.std) == (0, 1) else Normalised(network, mean=full.mean, std=full.std)


def _check_within(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} of a model must be a number from {low:g} to {high:g}, got {value!r:.50}")


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
