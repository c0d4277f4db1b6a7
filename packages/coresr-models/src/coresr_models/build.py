"""Names to networks, in one visible mapping."""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

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
Network = EDSR | NAFNet | PLKSR | RCAN | RRDBNet | RealPLKSR | SPAN | SRCNN | SwinIR | UNet | Up
"""Every network here maps LR (b, c, h, w) to (b, c, scale·h, scale·w) and states, as plain attributes, `scale`,
`multiple_of` (its LR size must be a multiple of it) and `receptive_field` (LR pixels to each side that can change an
output pixel; None where statistics span the image)."""

MODELS: Mapping[str, type[Network]] = {
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A network as data: a name of `MODELS` and its constructor arguments."""

    name: str
    arguments: dict[str, Argument] = field(default_factory=dict)


def complete(spec: ModelSpec, known: Mapping[str, type[nn.Module]] = MODELS) -> ModelSpec:
    """The same spec with every argument written out; `known` are the classes that it may name.

    ValueError for an unknown network or argument (naming the nearest), or a value of another type.
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
    return ModelSpec(name=spec.name, arguments={**defaults, **spec.arguments})


def build(spec: ModelSpec) -> Network:
    """A freshly initialised network.

    >>> build(ModelSpec(name="edsr", arguments={"width": 8, "blocks": 2})).scale
    2
    """
    full = complete(spec)
    return MODELS[full.name](**full.arguments)  # type: ignore[arg-type]  # complete() checked each against its default


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
