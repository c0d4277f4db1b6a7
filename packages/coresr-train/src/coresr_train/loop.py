"""The only loop: `fit` is a generator, and the only place that calls backward and step."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
    """Detached scalars of this process: each weighted loss term of the phases that took part."""
    watched: dict[str, Tensor]
    """What else is logged: each phase's gradient norm before clipping, and what it watches."""


def fit(
    recipe: Recipe,
    batches: Iterable[Batch],
    *,
    optimizers: Mapping[str, Optimizer],
    learning_rate: Callable[[int], float],
    clip: float,
    averages: Mapping[str, AveragedModel],
    accelerator: Accelerator,
    first_step: int = 0,
    parts: int = 1,
    seed: int = 0,
) -> Iterator[Step]:
    """Take one step per batch, phase by phase, and yield it; the caller logs, validates, saves and stops.

    `optimizers` are keyed by phase, `averages` by net. `learning_rate` maps the step (from 0) to its rate. A batch
    passes in `parts` one after the other and makes one step all the same. The random numbers of a step are torch's,
    keyed by seed, step and process. A phase that overflows float16 is repeated with a smaller scale.
    FloatingPointError, before the weights of that phase move, where a gradient is not finite.
    """
    bare = {name: accelerator.unwrap_model(net) for name, net in recipe.nets.items()}
    for step, batch in enumerate(batches, first_step):
        torch.manual_seed(key(seed, step, accelerator.process_index))
        rate = learning_rate(step)
        terms: dict[str, Tensor] = {}
        watched: dict[str, Tensor] = {}
        shares: list[tuple[Batch, Scratch]] = [(part, {}) for part in split(batch, parts)]
        for phase in recipe.phases:
            if not phase.takes_part(step):
                continue
            optimizer, skipped = optimizers[phase.name], True
            for group in optimizer.param_groups:
                group["lr"] = rate * phase.rate
            with only(recipe.nets, phase.trains):
                while skipped:
                    losses = _gradients(recipe.nets, bare, phase, shares, accelerator)
                    norm = _clipped(recipe.nets, phase, clip, accelerator, step)
                    optimizer.step()
                    optimizer.zero_grad()
                    skipped = accelerator.optimizer_step_was_skipped
            terms |= {f"{phase.name}/{name}": loss for name, loss in losses.items()}
            watched |= {f"{phase.name}/{name}": value for name, value in _watched(phase, shares).items()}
            watched[f"{phase.name}/gradient_norm"] = norm
        for name, average in averages.items():
            average.update_parameters(bare[name])
        yield Step(number=step + 1, learning_rate=rate, terms=terms, watched=watched)


def key(*parts: int) -> int:
    """A random seed of 63 bits for these numbers alone: neighbours are as far apart as any others."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def split(batch: Batch, parts: int) -> list[Batch]:
    """The batch in equal parts, in its order; ValueError where it does not divide."""
    (size,) = {len(images) for images in batch.values()}
    if size % parts:
        raise ValueError(f"batch of a process must divide into {parts} parts, got {size}; change optim.accumulate")
    share = size // parts
    return [{name: images[n * share :][:share] for name, images in batch.items()} for n in range(parts)]


@contextmanager
def only(nets: Nets, trains: tuple[str, ...]) -> Iterator[None]:
    """Freeze every net but those in `trains` within the block: no gradient, and the buffers come out as they were."""
    still = [net for name, net in nets.items() if name not in trains]
    frozen = [parameter for net in still for parameter in net.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    # a critic in training counts batches and iterates towards its spectral norm at every image that it sees
    buffers = [(buffer, buffer.clone()) for net in still if net.training for buffer in net.buffers()]
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
        for buffer, before in buffers:
            buffer.copy_(before)


def _gradients(
    nets: Nets, bare: Nets, phase: Phase, shares: list[tuple[Batch, Scratch]], accelerator: Accelerator
) -> dict[str, Tensor]:
    """Add up the gradients of a batch's parts; each term's mean over them."""
    # a frozen net that DistributedDataParallel wraps would wait for gradients that never come
    seen = {name: net if name in phase.trains else bare[name] for name, net in nets.items()}
    means: dict[str, Tensor] = {}
    for number, (part, scratch) in enumerate(shares, 1):
        with ExitStack() as stack:
            for name in phase.trains if number < len(shares) else ():
                stack.enter_context(accelerator.no_sync(nets[name]))
            with accelerator.autocast():
                losses = phase.loss(seen, part, scratch)
            for name, loss in losses.items():
                if not loss.requires_grad:
                    raise ValueError(
                        f"loss term {phase.name}/{name} must depend on the trained networks, got one apart"
                    )
                means[name] = means.get(name, 0) + loss.detach() / len(shares)
            accelerator.backward(torch.stack(list(losses.values())).sum() / len(shares))
    return means


def _watched(phase: Phase, shares: list[tuple[Batch, Scratch]]) -> dict[str, Tensor]:
    """What the phase watches, as the mean over a batch's parts."""
    if phase.watch is None:
        return {}
    seen = [phase.watch(scratch) for _, scratch in shares]
    return {name: torch.stack([one[name].detach() for one in seen]).mean() for name in seen[0]}


def _clipped(nets: Nets, phase: Phase, clip: float, accelerator: Accelerator, step: int) -> Tensor:
    parameters = [parameter for name in phase.trains for parameter in nets[name].parameters()]
    norm: Tensor = accelerator.clip_grad_norm_(parameters, clip)
    # gradients are averaged over processes already, so all of them decide alike; a float16 scaler skips overflows and
    # halves its scale, which falls below 1 only where no scale would help
    scaler = accelerator.scaler
    if not torch.isfinite(norm) if scaler is None else scaler.get_scale() < 1:
        raise FloatingPointError(
            f"the gradient must be finite, got {norm.item()} in phase {phase.name} at step {step + 1}; "
            "lower optim.learning_rate, or look at the data with: python -m coresr_data inspect STORE"
        )
    return norm.detach()
