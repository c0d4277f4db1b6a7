"""What the shapes and keys of a foreign state dict say, and how they are renamed."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from coresr_models.build import Argument, ModelSpec

State = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """Tensors under our keys, the spec that they fit, and what no shape could tell."""

    format: str
    spec: ModelSpec
    tensors: dict[str, Tensor]
    assumed: tuple[str, ...] = field(default=())


def recognised(
    called: str, name: str, state: dict[str, Tensor], *, assumed: tuple[str, ...] = (), **arguments: Argument
) -> Recognised:
    """The answer of a recogniser, for the network `name` of MODELS; foreign networks have no bicubic skip."""
    spec = ModelSpec(name=name, arguments={**arguments, "global_residual": "none"})
    return Recognised(format=called, spec=spec, tensors=state, assumed=assumed)


def refuse_mean(state: State) -> None:
    """ValueError where a mean is subtracted that cannot be kept: folded into a bias it would be wrong at borders."""
    if any(name.startswith(("sub_mean.bias", "add_mean.bias")) and tensor.any() for name, tensor in state.items()):
        raise ValueError("sub_mean and add_mean must be zero for this network, got a mean colour; train it without")


def renamed(state: State, *rules: tuple[str, str]) -> dict[str, Tensor]:
    """Each name by the first rule that fits its beginning."""
    found = {}
    for name, tensor in state.items():
        rule = next(((pattern, new) for pattern, new in rules if re.match(pattern, name)), None)
        found[name if rule is None else re.sub("^" + rule[0], rule[1], name)] = tensor
    return found


def count(state: State, pattern: str) -> int:
    """One more than the highest number in names of this pattern."""
    return 1 + max((int(match[1]) for name in state if (match := re.fullmatch(pattern, name))), default=-1)


def staged_scale(state: State, prefix: str, width: int) -> int:
    """The product of the steps by which a tail enlarges `width` channels."""
    steps = (state[name] for name in state if re.fullmatch(re.escape(prefix) + r"\.\d+\.weight", name))
    return math.prod(shuffled_scale(step.shape[0], width) for step in steps)


def shuffled_scale(planes: int, channels: int) -> int:
    """The scale by which a pixel shuffle of `planes` gives `channels`."""
    scale = math.isqrt(planes // channels)
    if planes != channels * scale**2:
        raise ValueError(f"planes must be {channels} times a square to be shuffled into an image, got {planes}")
    return scale
