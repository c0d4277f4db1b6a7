"""What a discriminator and the generator against it are taught, from the logits of the discriminator.

Logits are one an image or a map of them, of any shape; all means are over everything. What is given is float32, or
float64 where the logits are, whatever autocast does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from torch.nn.functional import softplus

from coresr_train.losses.pixels import Scalar

Logits = Float[Tensor, "..."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The two losses of a game; both take the logits of real images, then those of fake ones.

    >>> logits = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
    >>> [f"{float(OBJECTIVES[name].discriminator(*logits)):.4f}" for name in ("relativistic", "vanilla")]
    ['0.4100', '1.2233']
    """

    discriminator: Callable[[Logits, Logits], Scalar]
    generator: Callable[[Logits | None, Logits], Scalar]
    """Real logits may be None unless `needs_real`, and never get a gradient."""
    needs_real: bool = False
    undecided: float = 0.0
    """The logit of an image that is as likely real as fake; where real is needed, what counts is the step from it to
    the mean of the other kind."""


def relativistic_discriminator(real: Logits, fake: Logits) -> Scalar:
    """½ [mean log(1 + e^-(real - mean fake)) + mean log(1 + e^(fake - mean real))] (Jolicoeur-Martineau 2018).

    As ESRGAN is trained in BasicSR: halved, where the paper sums, and without gradient through the two means, so that
    its gradient is that of the two halves one after the other. Means are over the images of all processes.
    """
    real, fake = _precise(real), _precise(fake)
    above, below = real - _whole_mean(fake.detach()), fake - _whole_mean(real.detach())
    return (softplus(-above).mean() + softplus(below).mean()) / 2


def relativistic_generator(real: Logits | None, fake: Logits) -> Scalar:
    """½ [mean log(1 + e^(real - mean fake)) + mean log(1 + e^-(fake - mean real))]: the critic's, kinds swapped.

    Fake has a gradient in both terms, real in none. Means are over the images of all processes: each must call this,
    with equally many logits. ValueError without real.
    """
    if real is None:
        raise ValueError("logits of real images must be given to the relativistic generator's loss, got none")
    real, fake = _precise(real).detach(), _precise(fake)
    return (softplus(real - _whole_mean(fake)).mean() + softplus(_whole_mean(real) - fake).mean()) / 2


def vanilla_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Mean log(1 + e^-real) + mean log(1 + e^fake), the cross-entropies of real as 1, fake as 0 (Goodfellow 2014)."""
    return softplus(-_precise(real)).mean() + softplus(_precise(fake)).mean()


def vanilla_generator(_real: Logits | None, fake: Logits) -> Scalar:
    """Mean log(1 + e^-fake): the form that does not saturate while the critic wins."""
    return softplus(-_precise(fake)).mean()


def hinge_discriminator(real: Logits, fake: Logits) -> Scalar:
    """Mean max(0, 1 - real) + mean max(0, 1 + fake) (Lim and Ye 2017): what is told clearly teaches nothing more."""
    return (1 - _precise(real)).relu().mean() + (1 + _precise(fake)).relu().mean()


def hinge_generator(_real: Logits | None, fake: Logits) -> Scalar:
    """Mean -fake; may be below 0."""
    return -_precise(fake).mean()


def lsgan_discriminator(real: Logits, fake: Logits) -> Scalar:
    """½ [mean (real - 1)² + mean fake²] (Mao et al. 2017), as CycleGAN's critics are trained."""
    return ((_precise(real) - 1).square().mean() + _precise(fake).square().mean()) / 2


def lsgan_generator(_real: Logits | None, fake: Logits) -> Scalar:
    """Mean (fake - 1)²; not halved, as in CycleGAN."""
    return (_precise(fake) - 1).square().mean()


OBJECTIVES: Mapping[str, Objective] = MappingProxyType(
    {
        "relativistic": Objective(
            discriminator=relativistic_discriminator, generator=relativistic_generator, needs_real=True
        ),
        "vanilla": Objective(discriminator=vanilla_discriminator, generator=vanilla_generator),
        "hinge": Objective(discriminator=hinge_discriminator, generator=hinge_generator),
        "lsgan": Objective(discriminator=lsgan_discriminator, generator=lsgan_generator, undecided=0.5),
    }
)
"""By their names in the settings."""


def accuracy(real: Logits, fake: Logits, *, objective: Objective) -> Scalar:
    """The mean, over both kinds, of the share that the critic tells rightly; what is undecided counts half.

    Of this process's images, so that one process alone may ask. In a healthy game it lies between; it is 1 for a
    critic that wins everything, of which the generator learns little more, and exactly 0.5 for one that answers the
    same to all (`spread` tells such a one from one that is merely fooled half the time).

    >>> float(accuracy(torch.tensor([2.0, -1.0]), torch.tensor([-1.0, -3.0]), objective=OBJECTIVES["hinge"]))
    0.75
    """
    if objective.needs_real:
        real, fake = _from_one(real, fake)
        above, below = real - fake.mean(), real.mean() - fake
    else:
        above, below = _precise(real) - objective.undecided, objective.undecided - _precise(fake)
    return (2 + above.detach().sign().mean() + below.detach().sign().mean()) / 4


def spread(real: Logits, fake: Logits) -> Scalar:
    """The standard deviation of all its logits, in logits, over this process's images of both kinds.

    A critic that answers the same to all has 0 and teaches nothing. Growing steadily while `accuracy` stays at 1, it
    says that the two kinds drift apart: under the vanilla and relativistic objectives a gap of 10 leaves the critic a
    gradient of 4.5e-5 a logit.

    >>> float(spread(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])))
    1.0
    """
    return torch.cat(_from_one(real, fake)).std(correction=0)


def _from_one(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Both, flat, less one of them: means of equal logits are then exact, and a dead critic neither wins nor loses."""
    real, fake = _precise(real.detach()).flatten(), _precise(fake.detach()).flatten()
    return real - real[0], fake - real[0]


def _precise(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _whole_mean(logits: Tensor) -> Tensor:
    """Over the images of all processes, of which each holds equally many."""
    mean = logits.mean()
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        averaged: Tensor = _Averaged.apply(mean)  # type: ignore[no-untyped-call]  # torch has no type for it
        return averaged
    return mean


class _Averaged(torch.autograd.Function):
    """The mean of a value over all processes. Its slope is the mean of theirs, for every one's loss depends on it.

    Where gradients are averaged over processes afterwards, they are then exactly those of one process with all images.
    """

    @staticmethod
    def forward(_ctx: Any, value: Tensor) -> Tensor:
        return _over_processes(value)

    @staticmethod
    def backward(_ctx: Any, *slopes: Tensor) -> Tensor:
        return _over_processes(slopes[0])


def _over_processes(value: Tensor) -> Tensor:
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
