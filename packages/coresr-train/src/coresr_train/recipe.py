"""What is trained on what: a recipe is nets and an ordered tuple of phases, as plain data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor, nn

Nets = Mapping[str, nn.Module]
Batch = Mapping[str, Tensor]
Scratch = dict[str, Tensor]
"""Lives for one step and hands tensors from one phase to the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Which nets move, and on which loss. Phases of one name share an optimizer and move the same nets."""

    name: str
    """Prefixes its logged terms: "sr/charbonnier"."""
    trains: tuple[str, ...]
    """The nets it moves; all others are frozen meanwhile, buffers included."""
    loss: Callable[[Nets, Batch, Scratch], dict[str, Tensor]]
    """Weighted terms; the loop sums them and logs each. May be called twice for one batch, where float16 overflows:
    what it draws at random belongs into scratch."""
    watch: Callable[[Scratch], dict[str, Tensor]] | None = None
    """Scalars of what the loss left in scratch that are logged, and not learnt from."""
    rate: float = 1.0
    """Its learning rate, as a multiple of the run's."""
    after: int = 0
    """Steps of the run before its first."""
    until: int | None = None
    """Steps of the run when it is over."""
    every: int = 1
    """It takes part in one of so many steps."""

    def takes_part(self, step: int) -> bool:
        """Whether it moves its nets in this step, from 0.

        >>> late = Phase(name="d", trains=("discriminator",), loss=lambda nets, batch, scratch: {}, after=3, every=2)
        >>> [step for step in range(9) if late.takes_part(step)]
        [3, 5, 7]
        """
        over = self.until is not None and step >= self.until
        return step >= self.after and not over and (step - self.after) % self.every == 0


class Memory(Protocol):
    """What a recipe remembers between steps beside weights; checkpoints hold it."""

    def tensors(self) -> dict[str, Tensor]:
        """All of it."""

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The nets by name, the phases of every step in their order, and what is remembered between steps."""

    nets: Nets
    phases: tuple[Phase, ...]
    memories: Mapping[str, Memory] = field(default_factory=dict)
