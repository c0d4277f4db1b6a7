"""A network learns to turn LR into HR from aligned pairs."""

from collections.abc import Mapping

from torch import Tensor, nn

from coresr_train.losses import Term
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch


def supervised(generator: nn.Module, terms: Mapping[str, Term]) -> Recipe:
    """One net, one phase "sr": the sum of the terms, each times its weight. ValueError for none.

    What a term compares with, such as a network that knows photographs, is no net of the recipe: it stays as it is.
    """
    if not terms:
        raise ValueError("terms must be one or more, got none; give one weight of loss above 0")

    def loss(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        scratch["sr"] = nets["generator"](batch["lr"])
        return {name: term.weight * term.of(scratch["sr"], batch["hr"]) for name, term in terms.items()}

    return Recipe(nets={"generator": generator}, phases=(Phase(name="sr", trains=("generator",), loss=loss),))
