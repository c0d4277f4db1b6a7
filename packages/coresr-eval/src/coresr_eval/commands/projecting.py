"""Which operator `--back-project` assumes: the one that made the LR of a model's training, if it is known here."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from coresr_data.resize import resizing
from coresr_eval.cli import UsageError
from coresr_eval.commands.loading import Model
from coresr_eval.consistency import Operator
from coresr_eval.inference import Operators

BICUBIC = ("bicubic", "default")
"""Degradations, as stores name them, that are MATLAB's bicubic: DeepRock-SR's `default` is, to one grey level."""
REACH = 16
"""LR pixels; see `Operators`."""
KEPT = 4
"""Sizes of tiles whose operators are held, some 20 MB each: a row of tiles has three, of an image that is cut."""


def assumed(model: Model) -> Operators:
    """MATLAB's bicubic at the model's scale; UsageError where the model says of another LR, or of none.

    Of the model `bicubic` it is a definition.
    """
    if model.scale == 1:
        raise UsageError("--back-project must have a model that enlarges, got one of scale 1; leave it away")
    said = {"bicubic"} if model.checkpoint is None else degradations(model.checkpoint.provenance)
    if others := said.difference(BICUBIC):
        got = ", ".join(sorted(one or "a file that says of none" for one in others))
        raise UsageError(
            f"--back-project must have a model that was trained on bicubic LR, got {got}; leave it away: "
            "of MATLAB's bicubic alone is it known here how to make SR give its LR back"
        )
    return bicubic(model.scale)


def degradations(provenance: Mapping[str, Any]) -> set[str]:
    """How LR was made for a model, or for each of those that it was mixed from; an empty text where nobody said."""
    if isinstance(mixed := provenance.get("interpolated"), Mapping):
        parents = [mixed.get(name) for name in ("first", "second")]
        return {one for parent in parents for one in degradations(parent if isinstance(parent, Mapping) else {})}
    protocol = provenance.get("protocol")
    return {str(protocol.get("degradation", "")) if isinstance(protocol, Mapping) else ""}


def bicubic(scale: int) -> Operators:
    """MATLAB's bicubic from images of any size that divides by the scale."""

    @lru_cache(maxsize=KEPT)
    def at(height: int, width: int) -> tuple[Operator, Operator]:
        operator = resizing(height, width, 1 / scale)
        return operator.forward, operator.pinv

    return Operators(at=at, reach=REACH)
