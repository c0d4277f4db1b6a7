"""A network learns from aligned pairs, and from a critic that learns to tell its images from HR (ESRGAN)."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from coresr_train.losses import Term
from coresr_train.losses.adversarial import Objective, accuracy, spread
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch

GENERATOR, DISCRIMINATOR = "generator", "discriminator"


def gan(
    generator: nn.Module,
    discriminator: nn.Module,
    terms: Mapping[str, Term],
    *,
    objective: Objective,
    weight: float,
    rate: float = 1.0,
    after: int = 0,
    every: int = 1,
    head_start: int = 0,
) -> Recipe:
    """Two nets, two phases: "g" moves the generator on the terms and `weight` times its verdict, "d" the critic.

    First g, then d on the same images, which the critic sees anew and which have no way back to the generator (Wang et
    al. 2018, ESRGAN, arXiv 1809.00219). The critic begins after `after` steps and takes part in one of `every`; before
    it begins nobody asks it. The generator begins after `head_start` steps. `rate` is the critic's learning rate as a
    multiple of the run's. ValueError for no term: a critic does not say which rock it was.
    """
    if not terms:
        raise ValueError("terms must be one or more, got none; give one weight of loss above 0")
    moves = partial(Phase, name="g", trains=(GENERATOR,))
    pleased = partial(_pleased, terms=terms, objective=objective, weight=weight)
    told = partial(_told, objective=objective)
    seen = partial(_seen, objective=objective)
    alone = (moves(loss=partial(_faithful, terms=terms), after=head_start, until=after),) if after > head_start else ()
    return Recipe(
        nets={GENERATOR: generator, DISCRIMINATOR: discriminator},
        phases=(
            *alone,
            moves(loss=pleased, after=max(head_start, after)),
            Phase(name="d", trains=(DISCRIMINATOR,), loss=told, watch=seen, rate=rate, after=after, every=every),
        ),
    )


def _faithful(nets: Nets, batch: Batch, scratch: Scratch, *, terms: Mapping[str, Term]) -> dict[str, Tensor]:
    """The terms by themselves."""
    scratch["sr"] = nets[GENERATOR](batch["lr"])
    return {name: term.weight * term.of(scratch["sr"], batch["hr"]) for name, term in terms.items()}


def _pleased(
    nets: Nets, batch: Batch, scratch: Scratch, *, terms: Mapping[str, Term], objective: Objective, weight: float
) -> dict[str, Tensor]:
    """The terms, and what the critic thinks of the images."""
    losses = _faithful(nets, batch, scratch, terms=terms)
    critic, real = nets[DISCRIMINATOR], None
    if objective.needs_real:
        with torch.no_grad():
            real = critic(batch["hr"])
    return losses | {"adversarial": weight * objective.generator(real, critic(scratch["sr"]))}


def _told(nets: Nets, batch: Batch, scratch: Scratch, *, objective: Objective) -> dict[str, Tensor]:
    """How badly the critic tells HR from SR."""
    if "sr" not in scratch:  # its head start
        with torch.no_grad():
            scratch["sr"] = nets[GENERATOR](batch["lr"])
    critic = nets[DISCRIMINATOR]
    real, fake = critic(batch["hr"]), critic(scratch["sr"].detach())
    scratch["real"], scratch["fake"] = real.detach(), fake.detach()
    return {"adversarial": objective.discriminator(real, fake)}


def _seen(scratch: Scratch, *, objective: Objective) -> dict[str, Tensor]:
    """How the critic does: right of how many, and how different its answers are."""
    real, fake = scratch["real"], scratch["fake"]
    return {"accuracy": accuracy(real, fake, objective=objective), "spread": spread(real, fake)}
