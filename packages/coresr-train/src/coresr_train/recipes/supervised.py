"""A network learns to turn LR into HR from aligned pairs."""

from collections.abc import Mapping

from torch import Tensor, nn

from coresr_train.losses import LOSSES
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch


def supervised(generator: nn.Module, weights: Mapping[str, float]) -> Recipe:
    """One net, one phase: the sum of the losses in `weights`, by their names in `LOSSES`; weights of 0 cost nothing.

    ValueError for an unknown name, a negative weight, or none above 0.
    """
    for name, weight in weights.items():
        if name not in LOSSES or weight < 0:
            raise ValueError(f"loss must be a weight of 0 or more for one of {', '.join(LOSSES)}, got {name}: {weight}")
    used = {name: weight for name, weight in weights.items() if weight > 0}
    if not used:
        raise ValueError(f"one loss of {', '.join(LOSSES)} must have a positive weight, got none")

    def loss(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        scratch["sr"] = nets["generator"](batch["lr"])
        return {name: weight * LOSSES[name](scratch["sr"], batch["hr"]) for name, weight in used.items()}

    return Recipe(nets={"generator": generator}, phases=(Phase(name="sr", trains=("generator",), loss=loss),))
