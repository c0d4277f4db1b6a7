"""A network learns from aligned pairs, and from a critic that learns to tell its images from HR (ESRGAN)."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
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
    al. 2018, ESRGAN, arXiv 1809.00219). The critic begins after `after` steps, before which nobody asks it, and takes
    part in one of `every`; or it takes `head_start` steps before the generator's first. `rate` is the critic's learning
    rate as a multiple of the run's. ValueError for no term, for a critic does not say which rock it was, and for both
    `after` and `head_start`.
    """
    if not terms:
        raise ValueError("terms must be one or more, got none; give one weight of loss above 0")
    refuse_both(after, head_start)
    moves = partial(Phase, name="g", trains=(GENERATOR,))
    pleased = partial(_pleased, terms=terms, objective=objective, weight=weight)
    critic = Phase(
        name="d",
        trains=(DISCRIMINATOR,),
        loss=partial(_told, objective=objective),
        watch=partial(_seen, objective=objective),
        rate=rate,
    )
    phases = (
        moves(loss=partial(_faithful, terms=terms), until=after),
        moves(loss=pleased, after=after + head_start),
        replace(critic, until=head_start),
        replace(critic, after=after + head_start, every=every),
    )
    return Recipe(nets={GENERATOR: generator, DISCRIMINATOR: discriminator}, phases=that_ever_come(phases))


def that_ever_come(phases: Iterable[Phase]) -> tuple[Phase, ...]:
    """Without those that are over before the first step."""
    return tuple(phase for phase in phases if phase.until != 0)


def refuse_both(after: int, head_start: int) -> None:
    """ValueError for steps before the critic's first and before the generator's."""
    if after and head_start:
        raise ValueError(f"after or head_start must be 0, got {after} and {head_start}: one of the two nets is first")


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
