"""Wires data, networks and evaluation to `fit`: one run from its settings to its folder.

RUN/run.toml            the resolved settings
RUN/metrics.jsonl       every logged step and every validation
RUN/best.safetensors    averaged weights of the best validation
RUN/last.safetensors    averaged weights of the last one
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, set_seed
from torch.utils.data import DataLoader

from coresr_data import Paired, StepBatches, Store, open_store, prepare
from coresr_data.phantom import write_phantom
from coresr_models import Network, build
from coresr_train import config
from coresr_train.ema import averaged
from coresr_train.length import Length
from coresr_train.loop import fit
from coresr_train.losses import msssim_window
from coresr_train.machine import share_of_cores, start
from coresr_train.optim import adamw, warmup_cosine
from coresr_train.presets import ConfigError, Run, check
from coresr_train.progress import Progress
from coresr_train.recipe import Batch
from coresr_train.recipes.supervised import supervised
from coresr_train.validation import Judge

WORKER_TIMEOUT = 120
"""Seconds after which a data worker that does not answer ends the run."""


def train(run: Run, preset: str = "run") -> Path:
    """Train, validate and save as `run` says; the run folder. Every process of a launch calls it alike.

    ConfigError for settings that cannot be run, FileExistsError for a folder that is taken, FloatingPointError where
    a gradient is not finite.
    """
    run = check(run)
    accelerator = start(run)
    run, store = _settled(run, preset, accelerator)
    patches = _patches(run, store)
    steps_per_epoch = patches.epoch / run.data.batch

    set_seed(run.seed)
    network = build(run.model).to(accelerator.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets this form
    average = averaged(network, run.optim.ema_decay)
    generator, optimizer = accelerator.prepare(network, adamw(network, run.optim))
    judge = Judge(run, preset, store, cast(Network, average.module), accelerator)
    length = Length(run, steps_per_epoch, accelerator)
    progress = Progress(run, Path(run.out) / "metrics.jsonl", length, accelerator)
    validate_every = max(1, round(run.validation.every_epochs * steps_per_epoch))

    for step in fit(
        supervised(generator, run.loss.weights()),
        _batches(run, patches, accelerator, progress),
        optimizers={"sr": optimizer},
        learning_rate=_learning_rate(run, steps_per_epoch, length),
        clip=run.optim.clip,
        averages={"generator": average},
        accelerator=accelerator,
    ):
        over = length.over(step.number)
        progress.step(step, last=over)
        if step.number % validate_every == 0 or over:
            progress.said(judge(step.number, length.elapsed))
        if over or judge.patience_lost:
            break
    if accelerator.is_main_process:
        print(f"{progress.close()}\n{judge.verdict}\nrun folder {run.out}")
    accelerator.end_training()
    return Path(run.out)


def _learning_rate(run: Run, steps_per_epoch: float, length: Length) -> Callable[[int], float]:
    peak, wanted = run.optim.learning_rate, round(run.optim.warmup_epochs * steps_per_epoch)

    def rate(step: int) -> float:
        total = length.total(step)
        # an epoch of a large set can be longer than the whole run
        return warmup_cosine(step, peak=peak, warmup=int(min(wanted, total / 10)), total=total)

    return rate


def _settled(run: Run, preset: str, accelerator: Accelerator) -> tuple[Run, Store]:
    """The run with its folder made and its data there, as `run.toml` then says, and the opened store."""
    given = _opened(Path(run.data.store), run) if run.data.store else None
    if given:
        _refuse_misfits(run, given, accelerator)
    out = _folder(run, preset, accelerator)
    store = given or _phantom_store(run, out, accelerator)
    if not given:
        _refuse_misfits(run, store, accelerator)
    run = replace(run, out=str(out), data=replace(run.data, store=str(store.path)))
    if accelerator.is_main_process:
        config.write_toml(out / "run.toml", run)
    return run, store


def _opened(path: Path, run: Run) -> Store:
    """The store, read at the network's scale; ConfigError where it has no such LR."""
    store, scale = open_store(path), int(run.model.arguments["scale"])
    if scale not in store.manifest.scales:
        held = " or ".join(map(str, store.manifest.scales))
        raise ConfigError(f"model.arguments.scale must be the store's {held}, got {scale}")
    return store.at(scale)


def _refuse_misfits(run: Run, store: Store, accelerator: Accelerator) -> None:
    """Settings and data that cannot go together, before there is a folder or a step (ConfigError, ValueError)."""
    arguments, patch, scale = run.model.arguments, run.data.patch, store.scale
    if arguments["channels"] != 1:
        raise ConfigError(f"model.arguments.channels must be 1 for grey slices, got {arguments['channels']}")
    if run.data.batch % accelerator.num_processes:
        raise ConfigError(f"data.batch must divide by the {accelerator.num_processes} processes, got {run.data.batch}")
    with torch.device("meta"):
        multiple = scale * build(run.model).multiple_of
    if patch % multiple:
        raise ConfigError(f"data.patch must be a multiple of {multiple} for this network, got {patch}")
    if run.loss.ms_ssim:
        msssim_window(patch)
    _patches(run, store)
    for core in {core.folder: core for split in ("train", "valid") for core, _ in store.rows(split)}.values():
        store.hr(core)  # their arrays are there, of the shape and dtype that the manifest says
        store.lr(core)


def _folder(run: Run, preset: str, accelerator: Accelerator) -> Path:
    """The run folder, made by the main process and told to all."""
    told: list[Any] = ["", False]
    if accelerator.is_main_process:
        out = Path(run.out) if run.out else _first_free(preset)
        taken = out.exists() and (not out.is_dir() or any(out.iterdir()))
        if not taken:
            out.mkdir(parents=True, exist_ok=True)
        told = [str(out), taken]
    broadcast_object_list(told)
    name, taken = told
    if taken:
        raise FileExistsError(f"run folder must be new or empty, got {name}; choose another --out, or remove it")
    return Path(name)


def _first_free(preset: str) -> Path:
    return next(path for n in count(1) if not (path := Path("runs") / f"{preset}-{n}").exists())


def _phantom_store(run: Run, out: Path, accelerator: Accelerator) -> Store:
    """Four synthetic cores in the run folder, for a run without data of its own."""
    if accelerator.is_main_process:
        print(f"no --data.store given: training on synthetic cores, made in {out / 'phantom'}")
        write_phantom(out / "phantom", seed=run.seed)
        prepare(out / "phantom", out / "store", scale=int(run.model.arguments["scale"]))
    accelerator.wait_for_everyone()
    return _opened(out / "store", run)


def _patches(run: Run, store: Store) -> Paired:
    data = run.data
    return Paired(
        store,
        split="train",
        patch=data.patch,
        seed=run.seed,
        augment=data.augment,
        noise_std=data.noise_std,
        jitter=data.jitter,
        cutblur=data.cutblur,
        mixup=data.mixup,
        rock=data.rock,
    )


def _batches(run: Run, patches: Paired, accelerator: Accelerator, progress: Progress) -> Iterator[Batch]:
    """The share of each global batch that is this process's, on its device, endlessly."""
    numbers = StepBatches(batch=run.data.batch, rank=accelerator.process_index, processes=accelerator.num_processes)
    workers = min(run.data.workers, share_of_cores())
    loader = DataLoader(
        patches,
        batch_sampler=numbers,
        num_workers=workers,
        pin_memory=accelerator.device.type == "cuda",
        timeout=WORKER_TIMEOUT if workers else 0,
    )
    batches = iter(loader)
    while True:
        asked = time.monotonic()
        batch = next(batches)
        progress.waited(time.monotonic() - asked)
        yield {
            name: images.to(accelerator.device, memory_format=torch.channels_last, non_blocking=True)
            for name, images in batch.items()
        }
