"""What is trained on what: a recipe is nets and an ordered tuple of phases, as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Nets = Mapping[str, nn.Module]
Batch = Mapping[str, Tensor]
Scratch = dict[str, Tensor]
"""Lives for one step and hands tensors from one phase to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Which nets move, and on which loss."""

    name: str
    """Prefixes its logged terms: "sr/charbonnier"."""
    trains: tuple[str, ...]
    """The nets it moves; all others are frozen meanwhile."""
    loss: Callable[[Nets, Batch, Scratch], dict[str, Tensor]]
    """Weighted terms; the loop sums them and logs each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The nets by name, and the phases of every step in their order."""

    nets: Nets
    phases: tuple[Phase, ...]
