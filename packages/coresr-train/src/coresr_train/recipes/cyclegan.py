"""LR and HR that are no pairs: two generators between them, each judged by a critic (CycleGAN, arXiv 1703.10593).

`up` makes HR of LR, `down` makes LR of HR; `d_hr` and `d_lr` tell real images from made ones. The paper's identity
loss takes images of one size; here fixed operators stand between the two, `shrink` and `enlarge`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from coresr_train.loop import key
from coresr_train.losses.adversarial import Objective, accuracy, spread
from coresr_train.losses.pixels import l1
from coresr_train.pool import ImagePool
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch
from coresr_train.recipes.gan import refuse_both, that_ever_come

Operator = Callable[[Tensor], Tensor]

MAKERS: Mapping[str, tuple[str, str]] = {"hr": ("up", "lr"), "lr": ("down", "hr")}
"""Of each kind of image: the network that makes it, and of what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Of the generators' terms, alike in both directions. The defaults are CycleGAN's."""

    adversarial: float = 1.0
    """Above 0."""
    cycle: float = 10.0
    """Of |down(up(lr)) - lr| and |up(down(hr)) - hr|; above 0."""
    identity: float = 5.0
    """Of |up(shrink(hr)) - hr| and |down(enlarge(lr)) - lr|; 0 leaves them out."""
    consistency: float = 0.0
    """Of |shrink(up(lr)) - lr|; 0 leaves it out."""

    def __post_init__(self) -> None:
        for name in ("adversarial", "cycle"):
            if not getattr(self, name) > 0:
                raise ValueError(f"weight of {name} must be above 0, got {getattr(self, name)}")
        for name in ("identity", "consistency"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"weight of {name} must be 0 or more, got {getattr(self, name)}")


def cyclegan(
    up: nn.Module,
    down: nn.Module,
    d_hr: nn.Module,
    d_lr: nn.Module,
    *,
    objective: Objective,
    shrink: Operator,
    enlarge: Operator,
    weights: Weights,
    pool: int = 50,
    seed: int = 0,
    rate: float = 1.0,
    after: int = 0,
    every: int = 1,
    head_start: int = 0,
) -> Recipe:
    """Four nets, two phases: "g" moves both generators, "d" both critics.

    A batch is `{"lr": (b, c, h, w), "hr": (b, c, s·h, s·w)}`, unrelated; `shrink` and `enlarge` map either to the size
    of the other, and are never computed in half precision. Distances are means of absolute differences. The critics
    are shown pools of `pool` made images, which are the recipe's memories. `rate`, `after`, `every` and `head_start`
    are those of `gan`.

    >>> from coresr_train.losses.adversarial import OBJECTIVES
    >>> nets = [nn.Conv2d(1, 1, 1) for _ in range(4)]
    >>> terms = {"objective": OBJECTIVES["lsgan"], "weights": Weights()}
    >>> recipe = cyclegan(*nets, **terms, shrink=torch.clone, enlarge=torch.clone)
    >>> [phase.name for phase in recipe.phases], list(recipe.memories)
    (['g', 'd'], ['pool_hr', 'pool_lr'])
    """
    refuse_both(after, head_start)
    pools = {side: ImagePool(pool, seed=key(seed, number)) for number, side in enumerate(MAKERS)}
    game = _Game(objective=objective, shrink=shrink, enlarge=enlarge, weights=weights, pools=pools)
    moves = partial(Phase, name="g", trains=("up", "down"))
    critics = Phase(name="d", trains=("d_hr", "d_lr"), loss=game.telling, watch=game.seen, rate=rate)
    phases = (
        moves(loss=game.faithful, until=after),
        moves(loss=game.pleasing, after=after + head_start),
        replace(critics, until=head_start),
        replace(critics, after=after + head_start, every=every),
    )
    return Recipe(
        nets={"up": up, "down": down, "d_hr": d_hr, "d_lr": d_lr},
        phases=that_ever_come(phases),
        memories={f"pool_{side}": one for side, one in pools.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Game:
    """What the phases have in common. In scratch: made_hr, shown_hr, real_hr and fake_hr, and as many of LR."""

    objective: Objective
    shrink: Operator
    enlarge: Operator
    weights: Weights
    pools: Mapping[str, ImagePool]

    def faithful(self, nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        """The generators' terms but for the critics'; leaves what they made in scratch, with its gradient."""
        lr, hr, weights = batch["lr"], batch["hr"], self.weights
        same = weights.identity > 0
        # each network answers in as few calls as can be: what it is asked is known, but for the way back to LR
        to_lr = _all(nets["down"], hr, *([_exactly(self.enlarge, lr)] if same else []))
        to_hr = _all(nets["up"], lr, to_lr[0], *([_exactly(self.shrink, hr)] if same else []))
        scratch["made_hr"], scratch["made_lr"] = to_hr[0], to_lr[0]
        terms = {
            "cycle_hr": weights.cycle * l1(to_hr[1], hr),
            "cycle_lr": weights.cycle * l1(nets["down"](to_hr[0]), lr),
        }
        if same:
            terms["identity_hr"] = weights.identity * l1(to_hr[2], hr)
            terms["identity_lr"] = weights.identity * l1(to_lr[1], lr)
        if weights.consistency > 0:
            terms["consistency"] = weights.consistency * l1(_exactly(self.shrink, to_hr[0]), lr)
        return terms

    def pleasing(self, nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        """All of the generators' terms."""
        terms = self.faithful(nets, batch, scratch)
        for side in MAKERS:
            critic, real = nets[f"d_{side}"], None
            if self.objective.needs_real:
                with torch.no_grad():
                    real = critic(batch[side])
            verdict = self.objective.generator(real, critic(scratch[f"made_{side}"]))
            terms[f"adversarial_{side}"] = self.weights.adversarial * verdict
        return terms

    def telling(self, nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        """How badly the critics tell real images from made ones, those of the pools."""
        terms = {}
        for side, (maker, source) in MAKERS.items():
            if f"made_{side}" not in scratch:  # their head start
                with torch.no_grad():
                    scratch[f"made_{side}"] = nets[maker](batch[source])
            if f"shown_{side}" not in scratch:  # a step that is repeated is about the same images
                scratch[f"shown_{side}"] = self.pools[side](scratch[f"made_{side}"])
            critic = nets[f"d_{side}"]
            real, fake = critic(batch[side]), critic(scratch[f"shown_{side}"])
            scratch[f"real_{side}"], scratch[f"fake_{side}"] = real.detach(), fake.detach()
            terms[f"adversarial_{side}"] = self.objective.discriminator(real, fake)
        return terms

    def seen(self, scratch: Scratch) -> dict[str, Tensor]:
        """How the critics do: right of how many, and how different their answers are."""
        found = {}
        for side in MAKERS:
            real, fake = scratch[f"real_{side}"], scratch[f"fake_{side}"]
            found[f"accuracy_{side}"] = accuracy(real, fake, objective=self.objective)
            found[f"spread_{side}"] = spread(real, fake)
        return found


def _all(network: nn.Module, *images: Tensor) -> tuple[Tensor, ...]:
    """The network's answers to several batches of one size, in one call."""
    answers: Tensor = network(torch.cat(images))
    return answers.chunk(len(images))


def _exactly(operator: Operator, images: Tensor) -> Tensor:
    """An operator's answer in float32 at least, whatever autocast does: half precision would change grey levels."""
    with torch.autocast(images.device.type, enabled=False):
        return operator(images.to(torch.promote_types(images.dtype, torch.float32)))
