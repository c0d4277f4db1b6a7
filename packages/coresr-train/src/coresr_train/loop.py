"""The only loop: `fit` is a generator, and the only place that calls backward and step."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one optimizer step did."""

    number: int
    """Steps done, 1 after the first."""
    learning_rate: float
    terms: dict[str, Tensor]
    """Detached scalars of this process: each weighted loss term, and each phase's gradient norm before clipping."""


def fit(
    recipe: Recipe,
    batches: Iterable[Batch],
    *,
    optimizers: Mapping[str, Optimizer],
    learning_rate: Callable[[int], float],
    clip: float,
    averages: Mapping[str, AveragedModel],
    accelerator: Accelerator,
) -> Iterator[Step]:
    """Take one step per batch, phase by phase, and yield it; the caller logs, validates, saves and stops.

    `optimizers` are keyed by phase, `averages` by net. `learning_rate` maps the step (from 0) to its rate.
    FloatingPointError, before the weights move, where a gradient is not finite.
    """
    for step, batch in enumerate(batches):
        rate = learning_rate(step)
        scratch: Scratch = {}
        terms: dict[str, Tensor] = {}
        for phase in recipe.phases:
            optimizer = optimizers[phase.name]
            for group in optimizer.param_groups:
                group["lr"] = rate
            with only(recipe.nets, phase.trains):
                with accelerator.autocast():
                    losses = phase.loss(recipe.nets, batch, scratch)
                accelerator.backward(torch.stack(list(losses.values())).sum())
                norm = _clipped(recipe.nets, phase, clip, accelerator, step)
                optimizer.step()
                optimizer.zero_grad()
            terms |= {f"{phase.name}/{name}": loss.detach() for name, loss in losses.items()}
            terms[f"{phase.name}/gradient_norm"] = norm
        for name, average in averages.items() if not accelerator.optimizer_step_was_skipped else ():
            average.update_parameters(accelerator.unwrap_model(recipe.nets[name]))
        yield Step(number=step + 1, learning_rate=rate, terms=terms)


@contextmanager
def only(nets: Nets, trains: tuple[str, ...]) -> Iterator[None]:
    """Freeze every net but those in `trains` within the block."""
    frozen = [p for name, net in nets.items() if name not in trains for p in net.parameters() if p.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _clipped(nets: Nets, phase: Phase, clip: float, accelerator: Accelerator, step: int) -> Tensor:
    parameters = [parameter for name in phase.trains for parameter in nets[name].parameters()]
    norm: Tensor = accelerator.clip_grad_norm_(parameters, clip)
    # gradients are averaged over processes already, so all of them decide alike; a float16 scaler skips overflows and
    # halves its scale, which falls below 1 only where no scale would help
    scaler = accelerator.scaler
    if not torch.isfinite(norm) if scaler is None else scaler.get_scale() < 1:
        raise FloatingPointError(
            f"the gradient must be finite, got {norm.item()} in phase {phase.name} at step {step}; "
            "lower optim.learning_rate, or look at the data with: python -m coresr_data inspect STORE"
        )
    return norm.detach()
