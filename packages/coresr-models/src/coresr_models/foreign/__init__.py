"""Which network a foreign state dict is of, told by its keys, with every argument told by its shapes.

Each recogniser answers None for what is not its own, and lists the keys that it reads.
"""

from collections.abc import Callable

from coresr_models.foreign.edsr import basicsr_rcan, edsr, original_edsr, rcan
from coresr_models.foreign.esrgan import middle_rrdbnet, old_rrdbnet, rrdbnet
from coresr_models.foreign.others import nafnet, plksr, span, swinir
from coresr_models.foreign.shapes import Recognised, State

__all__ = ["RECOGNISERS", "Recognised", "State", "recognise"]

RECOGNISERS: tuple[Callable[[State], Recognised | None], ...] = (
    basicsr_rcan,
    edsr,
    middle_rrdbnet,
    nafnet,
    old_rrdbnet,
    plksr,
    rcan,
    rrdbnet,
    span,
    swinir,
    original_edsr,
)


def recognise(state: State) -> Recognised:
    """The network that a state dict is of; ValueError where none is known, or where ours cannot be it."""
    for recogniser in RECOGNISERS:
        try:
            found = recogniser(state)
        except (KeyError, IndexError, ZeroDivisionError) as error:  # its own by the keys looked at, but not whole
            raise ValueError(f"weights must be of a whole network, got none for {error}; export them again") from error
        if found is not None:
            return found
    some = ", ".join(list(state)[:5])
    raise ValueError(f"weights must be of a known network, got keys like {some}; write a recogniser for them")
