"""Data for a run: its store, opened and checked against the settings, and the batches of every step."""

import hashlib
import math
import multiprocessing
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader

from coresr_data import Paired, StepBatches, Store, Unpaired, open_store
from coresr_data.intensity import to_unit
from coresr_models import build
from coresr_train.assembly import refuse_misfits as refuse_misfit_critics
from coresr_train.losses import refuse_misfits as refuse_misfit_losses
from coresr_train.losses import refuse_missing as refuse_missing_weights
from coresr_train.machine import share_of_cores
from coresr_train.measuring import has_pairs
from coresr_train.optim import optimizer
from coresr_train.progress import Progress
from coresr_train.recipe import Batch
from coresr_train.settings import ConfigError, Run

Samples = Paired | Unpaired

WORKER_TIMEOUT = 120
"""Seconds after which a data worker that does not answer ends the run."""
CANARIES = 4


class WorkerError(OSError):
    """A data worker died or hangs."""

    exit_code = 71


def opened(path: Path, run: Run) -> Store:
    """The store, read at the network's scale; ConfigError where it has no such LR."""
    store, scale = open_store(path), int(run.model.arguments["scale"])
    if scale not in store.manifest.scales:
        held = " or ".join(map(str, store.manifest.scales))
        raise ConfigError(f"model.arguments.scale must be the store's {held}, got {scale}")
    return store.at(scale)


def refuse_misfits(run: Run, store: Store, processes: int) -> None:
    """Settings and data that cannot go together, before there is a folder or a step (ConfigError, ValueError)."""
    arguments, data = run.model.arguments, run.data
    if arguments["channels"] != 1:
        raise ConfigError(f"model.arguments.channels must be 1 for grey slices, got {arguments['channels']}")
    if data.batch % (processes * run.optim.accumulate):
        raise ConfigError(
            f"data.batch must divide by the {processes} processes times optim.accumulate, {run.optim.accumulate}, "
            f"got {data.batch}"
        )
    with torch.device("meta"):
        network = build(run.model)
        multiple = store.scale * network.multiple_of
        optimizer(network, run.optim)
    if data.patch % multiple:
        raise ConfigError(f"data.patch must be a multiple of {multiple} for this network, got {data.patch}")
    refuse_misfit_losses(run.loss, data.patch)
    refuse_missing_weights(run.loss)
    refuse_misfit_critics(run)
    patches(run, store)
    _refuse_missing(run, store)


def _refuse_missing(run: Run, store: Store) -> None:
    """Arrays that are not there, or not of the shape and dtype that the manifest says; a split without slices."""
    if run.recipe == "cyclegan" and not has_pairs(store):
        if run.validation.metric != "last":
            raise ConfigError(
                f"validation.metric must be last without pairs to validate on, got {run.validation.metric}"
            )
        for core, _ in store.rows("train", "lr"):
            store.lr(core)
        for core, _ in store.rows("train", "hr"):
            store.hr(core)
        return
    for core in {core.folder: core for split in ("train", "valid") for core, _ in store.rows(split)}.values():
        store.hr(core)
        store.lr(core)


def patches(run: Run, store: Store) -> Samples:
    """The training patches: pairs, or LR and HR each for itself."""
    data = run.data
    if run.recipe == "cyclegan":
        return Unpaired(
            store,
            split="train",
            patch=data.patch,
            seed=run.seed,
            augment=data.augment,
            noise_std=data.noise_std,
            rock=data.rock,
        )
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


def normalised(run: Run, store: Store) -> Run:
    """The run whose network sees training slices of mean 0 and standard deviation 1, if it is to."""
    if not run.data.normalise:
        return run
    moments = np.zeros(3)
    for core, row in store.rows("train", "hr"):
        grey = to_unit(store.hr(core)[row], store.manifest.window).astype(np.float64)
        moments += grey.size, grey.sum(), np.square(grey).sum()
    mean = moments[1] / moments[0]
    std = math.sqrt(moments[2] / moments[0] - mean**2)
    return replace(run, model=replace(run.model, mean=float(mean), std=std))


def canary(samples: Samples) -> str:
    """A digest of the first samples: another one means that the same numbers no longer cut the same patches."""
    digest = hashlib.sha256()
    for number in range(CANARIES):
        for name, image in sorted(samples[number].items()):
            digest.update(name.encode() + image.numpy().tobytes())
    return digest.hexdigest()


def _left_in_peace(_worker: int) -> None:
    """A worker goes with its parent; a signal to all processes must not take it away before the parent has saved."""
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)


def worker_error(error: Exception, step: int, batch: int) -> WorkerError:
    """What to say of a worker that died or hangs before a step, counted from 1."""
    return WorkerError(
        f"data workers must live and answer within {WORKER_TIMEOUT} s, got {error!r} at step {step} "
        f"(samples {(step - 1) * batch} to {step * batch - 1}); a worker may be out of memory: lower data.workers "
        "and go on with --resume"
    )


def batches(
    run: Run, samples: Samples, accelerator: Accelerator, progress: Progress, first_step: int = 0
) -> Iterator[Batch]:
    """The share of each global batch that is this process's, on its device, endlessly.

    WorkerError where a data worker dies or does not answer.
    """
    workers = min(run.data.workers, share_of_cores())
    loader = DataLoader(
        samples,
        batch_sampler=StepBatches(
            batch=run.data.batch,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
            first_step=first_step,
        ),
        num_workers=workers,
        pin_memory=accelerator.device.type == "cuda",
        timeout=WORKER_TIMEOUT if workers else 0,
        worker_init_fn=_left_in_peace,
    )
    others = set(multiprocessing.active_children())
    served, step = iter(loader), first_step
    mine = set(multiprocessing.active_children()) - others
    while True:
        asked = time.monotonic()
        try:
            batch = next(served)
        except (RuntimeError, ConnectionError, EOFError) as error:
            if not workers:
                raise
            served._shutdown_workers()  # type: ignore[attr-defined]  # noqa: SLF001  # else torch tells of each kill, anywhere
            for worker in mine:
                worker.kill()  # one that hangs would hold up the end, too
            raise worker_error(error, step + 1, run.data.batch) from error
        progress.waited(time.monotonic() - asked)
        yield {
            name: images.to(accelerator.device, memory_format=torch.channels_last, non_blocking=True)
            for name, images in batch.items()
        }
        step += 1
