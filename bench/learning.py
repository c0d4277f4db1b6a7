"""Does every network learn? A small one of each, from nothing, in a step budget, against bicubic on slices held back.

`python -m bench.learning STORE` trains on the train split of a ×2 store and scores its test split; it ends with 1 where
one of them falls short. One seed each, one thread: what it says is that a network can learn, not which is best.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from coresr_data import Paired, StepBatches, Store, open_store, whole_slices
from coresr_eval import Pair, Protocol, score, tiled
from coresr_models import ModelSpec, Network, build
from coresr_models.blocks import Bicubic
from coresr_train.loop import fit
from coresr_train.losses import Term, l1
from coresr_train.optim import optimizer
from coresr_train.recipes.supervised import supervised
from coresr_train.schedules import rate
from coresr_train.settings import Optim

BATCH, LR_PATCH = 8, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """A network, how long it learns, and what it must gain."""

    spec: ModelSpec
    steps: int
    learning_rate: float
    gain_db: float
    """Over bicubic, at least."""


def _pupil(name: str, steps: int, rate: float, gain: float, **arguments: float | str | bool) -> Pupil:
    return Pupil(spec=ModelSpec(name=name, arguments=arguments), steps=steps, learning_rate=rate, gain_db=gain)


PUPILS = (
    _pupil("srcnn", 200, 1e-3, 0.0),
    _pupil("edsr", 150, 1e-3, 0.5, width=16, blocks=4),
    _pupil("unet", 150, 1e-3, 0.5, width=8, depth=2),
    _pupil("rcan", 150, 1e-3, 0.5, width=16, groups=2, blocks=2, reduction=4),
    _pupil("nafnet", 150, 2e-3, 0.5, width=16, blocks=4),
    _pupil("span", 200, 1e-3, 0.3, width=16),
    _pupil("plksr", 250, 1e-3, 0.0, width=16, blocks=3, kernel=9),
    _pupil("realplksr", 250, 1e-3, 0.0, width=16, blocks=3, kernel=9),
    _pupil("swinir", 200, 2e-3, 0.3, width=24, stages=2, depth=2, heads=4),
    _pupil("rrdbnet", 200, 1e-3, 0.3, width=16, blocks=1, growth=8),
    _pupil("cyclegan", 150, 1e-3, 0.5, width=16, blocks=4),
)


def main() -> int:
    """Train and score every pupil, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.learning", description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--only", nargs="*", help="names of networks (default: all)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = open_store(options.store).at(2)
    bicubic = psnr(Bicubic(scale=2), store)
    print(f"bicubic {bicubic:.3f} dB; batches of {BATCH} LR patches of {LR_PATCH}², one thread, L1, seed 0")
    print(f"{'network':12}{'parameters':>12}{'steps':>7}{'seconds':>9}{'gain dB':>9}{'wanted':>8}")
    short = False
    for pupil in PUPILS:
        if options.only and pupil.spec.name not in options.only:
            continue
        started = time.perf_counter()
        network = taught(pupil, store)
        seconds = time.perf_counter() - started
        gain = psnr(upscaler(network), store) - bicubic
        size = sum(parameter.numel() for parameter in network.parameters())
        short |= gain <= pupil.gain_db
        verdict = "" if gain > pupil.gain_db else "  SHORT"
        print(
            f"{pupil.spec.name:12}{size:12,}{pupil.steps:7}{seconds:9.1f}{gain:+9.3f}{pupil.gain_db:8.1f}{verdict}",
            flush=True,
        )
    return int(short)


def taught(pupil: Pupil, store: Store) -> Network:
    """A network after its steps."""
    torch.manual_seed(0)
    network = build(pupil.spec)
    optim = Optim(learning_rate=pupil.learning_rate, weight_decay=0.0)
    patches = Paired(store, patch=store.scale * LR_PATCH)
    steps = fit(
        supervised(network, {"l1": Term(weight=1.0, of=l1)}),
        DataLoader(patches, batch_sampler=StepBatches(batch=BATCH)),
        optimizers={"sr": optimizer(network, optim)},
        learning_rate=lambda step: rate(step, optim=optim, total=pupil.steps, warmup=10),
        clip=1.0,
        averages={},
        accelerator=Accelerator(cpu=True),
    )
    for step in steps:
        if step.number == pupil.steps:
            break
    return network.eval()


def upscaler(network: Network) -> Callable[[Tensor], Tensor]:
    """The network on images of any size."""
    return partial(
        tiled,
        network,
        scale=network.scale,
        multiple_of=network.multiple_of,
        receptive_field=network.receptive_field,
        tile=128,
    )


def psnr(upscale: Callable[[Tensor], Tensor], store: Store) -> float:
    """Mean over the test split under the protocol of coresr_eval."""
    manifest = store.manifest
    protocol = Protocol(scale=store.scale, shave=store.scale, degradation=manifest.degradation, grey=manifest.grey)
    pairs = (Pair(core=one.core, slice=one.number, lr=one.lr, hr=one.hr) for one in whole_slices(store, "test"))
    with torch.inference_mode():
        return statistics.mean(one.scores[0].psnr for one in score({"": upscale}, pairs, protocol))


if __name__ == "__main__":
    sys.exit(main())
