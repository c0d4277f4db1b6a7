"""What does the loop cost, and what does it gain? `fit` beside a bare PyTorch loop, and beside plain float32.

`python -m bench.loop` runs both contenders in turn, step by step, on the same batches, from the same weights, on all
cores; each ratio is the median over the steps. `--steps N`, and `--preset` for another network.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import repeat

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from coresr_models import build
from coresr_train.ema import averaged
from coresr_train.loop import fit
from coresr_train.losses import chosen
from coresr_train.machine import cores, start
from coresr_train.optim import optimizer
from coresr_train.presets import PRESETS
from coresr_train.recipe import Batch
from coresr_train.recipes.supervised import supervised
from coresr_train.settings import Run, check

WARM_UP = 3
CPU = torch.device("cpu")


def main() -> None:
    """Time the steps and print medians, the ratio, and the losses of both."""
    parser = argparse.ArgumentParser(prog="python -m bench.loop", description=__doc__)
    parser.add_argument("--preset", default="quick_x2")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--against", choices=("bare", "float32"), default="bare")
    options = parser.parse_args()
    run = check(PRESETS[options.preset]())
    accelerator = start(run)
    torch.set_num_threads(cores())
    plain = options.against == "float32"
    contenders = {
        "fit": steps_of_fit(run, accelerator),
        options.against: bare_steps(run, accelerator, fast=not plain),
    }
    seconds, losses = side_by_side(contenders, options.steps)
    print(f"{options.preset}, batch {run.data.batch} of {run.data.patch}², {cores()} threads, {options.steps} steps")
    for name, times in seconds.items():
        print(f"{name:8} {1000 * statistics.median(times):10.1f} ms a step (median)")
    ratio = statistics.median(a / b for a, b in zip(seconds["fit"], seconds[options.against], strict=True))
    print(f"fit takes {ratio:.3f} of the time of {options.against}")
    for number in range(0, options.steps, max(1, options.steps // 10)):
        print(f"step {number:4}: " + "  ".join(f"{name} {some[number]:.5f}" for name, some in losses.items()))


def side_by_side(
    contenders: dict[str, Iterator[Tensor]], steps: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds and loss of each step, the contenders taking turns in going first."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(steps + WARM_UP):
        for name in sorted(contenders, reverse=bool(number % 2)):
            started = time.perf_counter()
            loss = next(contenders[name])
            if number >= WARM_UP:
                seconds[name].append(time.perf_counter() - started)
                losses[name].append(float(loss))
    return seconds, losses


def batch_of(run: Run) -> Batch:
    """Stripes, so that there is something to learn."""
    patch, scale = run.data.patch, int(run.model.arguments["scale"])
    turns = torch.linspace(3, 9, run.data.batch)[:, None, None, None]
    hr = 0.5 + 0.4 * torch.sin(turns * torch.linspace(0, 6, patch)[:, None] * torch.linspace(1, 2, patch))
    return {"hr": hr, "lr": nn.functional.avg_pool2d(hr, scale)}


def steps_of_fit(run: Run, accelerator: Accelerator) -> Iterator[Tensor]:
    """The loop as `train` runs it."""
    torch.manual_seed(run.seed)
    network = build(run.model).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    generator, stepper = accelerator.prepare(network, optimizer(network, run.optim))
    batch = {name: one.contiguous(memory_format=torch.channels_last) for name, one in batch_of(run).items()}
    for step in fit(
        supervised(generator, chosen(run.loss, CPU)),
        repeat(batch),
        optimizers={"sr": stepper},
        learning_rate=lambda _: run.optim.learning_rate,
        clip=run.optim.clip,
        averages={"generator": averaged(network, run.optim.ema_decay)},
        accelerator=accelerator,
    ):
        yield sum_of(step.terms)


def sum_of(terms: dict[str, Tensor]) -> Tensor:
    """The loss."""
    return torch.stack([value for name, value in terms.items() if not name.endswith("/gradient_norm")]).sum()


def bare_steps(run: Run, accelerator: Accelerator, *, fast: bool) -> Iterator[Tensor]:
    """What one would write by hand; `fast` with the same precision and memory order, else plain float32."""
    torch.manual_seed(run.seed)
    network, batch = build(run.model), batch_of(run)
    if fast:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
        batch = {name: one.contiguous(memory_format=torch.channels_last) for name, one in batch.items()}
    stepper, average = optimizer(network, run.optim), averaged(network, run.optim.ema_decay)
    terms = chosen(run.loss, CPU)
    half = accelerator.mixed_precision == "bf16" and fast
    while True:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            sr = network(batch["lr"])
            loss = torch.stack([one.weight * one.of(sr, batch["hr"]) for one in terms.values()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), run.optim.clip)
        stepper.step()
        stepper.zero_grad()
        average.update_parameters(network)
        yield loss.detach()


if __name__ == "__main__":
    main()
