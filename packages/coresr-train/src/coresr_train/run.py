"""Wires data, networks and evaluation to `fit`: one run from its settings to its folder (see `folder`)."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from coresr_data import Store, prepare
from coresr_data.phantom import write_phantom
from coresr_models import Network, build
from coresr_train import config, feed
from coresr_train.assembly import MAIN, assembled
from coresr_train.checkpoints import Saved
from coresr_train.ema import averaged
from coresr_train.eyes import with_eyes
from coresr_train.failing import told_apart
from coresr_train.feed import Samples
from coresr_train.folder import SETTINGS, claimed
from coresr_train.following import follow
from coresr_train.length import Length
from coresr_train.loop import fit
from coresr_train.machine import described, start
from coresr_train.progress import Progress
from coresr_train.resuming import resumed
from coresr_train.saving import Saving
from coresr_train.schedules import rate
from coresr_train.settings import Run, check
from coresr_train.signals import PREEMPTED, Interrupts
from coresr_train.stages import FIRST, first_run, has_first, second_run, started
from coresr_train.state import Training, restore
from coresr_train.tracking import Trackers, refuse_missing
from coresr_train.validation import Judge


def train(run: Run, preset: str = "run") -> Path:
    """Train, validate and save as `run` says; the run folder. Every process of a launch calls it alike.

    ConfigError for settings that cannot be run, FileExistsError for a folder that is taken, FloatingPointError where
    a gradient is not finite, SystemExit(143) where a signal asked to stop and everything is saved.
    """
    run = check(run)
    refuse_missing(run)
    accelerator = start(run)
    try:
        out, stopped = _train(run, preset, accelerator)
    finally:
        accelerator.end_training()
    if stopped:
        if accelerator.is_main_process:
            print(f"asked to stop: saved; go on with: {config.PROGRAM} --out {out} --resume")
        raise SystemExit(PREEMPTED)
    return out


def _train(run: Run, preset: str, accelerator: Accelerator) -> tuple[Path, bool]:
    """One run, and before it that of its first stage; its folder, and whether a signal asked to stop before its end."""
    given = feed.opened(Path(run.data.store), run) if run.data.store else None
    for one in (run, first_run(run, Path())) if has_first(run) else (run,):
        if given:
            feed.refuse_misfits(one, feed.opened(given.path, one), accelerator.num_processes)
    with claimed(run, preset, accelerator) as out:
        store = given or _phantom_store(run, out, accelerator)
        if not given:
            feed.refuse_misfits(run, store, accelerator.num_processes)
        run = replace(run, out=str(out), data=replace(run.data, store=str(store.path)))
        samples = feed.patches(run, store)
        machine = described(accelerator)
        facts = {
            "data.sha256": store.sha256,
            "data.canary": feed.canary(samples),
            "precision.used": str(machine["precision"]),
        }
        saved, lineage = resumed(run, facts, machine, accelerator)
        about: dict[str, Any] = {
            "preset": preset,
            "run": config.as_table(run),
            "facts": facts,
            "machine": machine,
            "lineage": lineage,
        }
        if accelerator.is_main_process and saved is None:
            config.write_toml(out / SETTINGS, about["run"])
        run = feed.normalised(run, store)
        if has_first(run):
            if saved is None:
                if _train(first_run(run, out), f"{preset}_{FIRST}", accelerator)[1]:
                    return out, True
                accelerator.free_memory()  # it holds every net and optimizer that it ever prepared
            run = second_run(run, out)
        return out, _go_on(run, store, samples, about=about, saved=saved, accelerator=accelerator)


def _go_on(
    run: Run,
    store: Store,
    samples: Samples,
    *,
    about: dict[str, Any],
    saved: Saved | None,
    accelerator: Accelerator,
) -> bool:
    """From nothing, or from a checkpoint, to the end; whether a signal asked to stop before it."""
    set_seed(run.seed)
    network, about["origin"] = (build(run.model), saved.state["about"]["origin"]) if saved else started(run)
    network.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    trackers = Trackers(run, about, accelerator)
    try:
        stopped = _followed(
            run, store, samples, network, about=about, saved=saved, trackers=trackers, accelerator=accelerator
        )
        best = Path(run.out) / "best.safetensors"
        if best.exists():
            trackers.artefact(best)
        trackers.close()
    finally:
        trackers.close(failed=True)
    return stopped


def _followed(
    run: Run,
    store: Store,
    samples: Samples,
    network: Network,
    *,
    about: dict[str, Any],
    saved: Saved | None,
    trackers: Trackers,
    accelerator: Accelerator,
) -> bool:
    """All steps, and whether a signal asked to stop before the last."""
    steps_per_epoch, first_step = samples.epoch / run.data.batch, saved.step if saved else 0
    main, interrupts = MAIN[run.recipe], Interrupts(accelerator)
    average = averaged(network, run.optim.ema_decay)
    judge = Judge(run, store, cast("Network", average.module), interrupts=interrupts, trackers=trackers, about=about)
    length = Length(run, steps_per_epoch, accelerator)  # from here on its seconds count
    run = with_eyes(run, samples, about["origin"], accelerator)
    progress = Progress(run, length, trackers, accelerator)
    made = assembled(run, network, accelerator)
    training = Training(
        nets=made.bare,
        averages={main: average},
        optimizers=made.optimizers,
        memories=made.recipe.memories,
        counting={"judge": judge, "length": length, "progress": progress},
        accelerator=accelerator,
    )
    if saved:
        restore(training, saved)
        saved.tensors.clear()  # they are in their places now
    steps = fit(
        made.recipe,
        feed.batches(run, samples, accelerator, progress, first_step),
        optimizers=training.optimizers,
        learning_rate=_learning_rate(run, steps_per_epoch, length),
        clip=run.optim.clip,
        averages=training.averages,
        accelerator=accelerator,
        first_step=first_step,
        parts=run.optim.accumulate,
        seed=run.seed,
    )
    with interrupts.heard(), told_apart(progress, run.data.batch):
        stopped = follow(
            steps,
            first_step=first_step,
            unvalidated=bool(saved and saved.state["unvalidated"]),
            validate_every=max(1, round(run.validation.every_epochs * steps_per_epoch)),
            judge=judge,
            length=length,
            progress=progress,
            saving=Saving(run, training, about, first_step),
            interrupts=interrupts,
        )
    if accelerator.is_main_process:
        print(f"{progress.close()}\n{judge.verdict}\nrun folder {run.out}")
    return stopped


def _learning_rate(run: Run, steps_per_epoch: float, length: Length) -> Callable[[int], float]:
    wanted = round(run.optim.warmup_epochs * steps_per_epoch)

    def at(step: int) -> float:
        total = length.total(step)
        # an epoch of a large set can be longer than the whole run
        return rate(step, optim=run.optim, total=total, warmup=int(min(wanted, total / 10)))

    return at


def _phantom_store(run: Run, out: Path, accelerator: Accelerator) -> Store:
    """Four synthetic cores in the run folder, for a run without data of its own."""
    if accelerator.is_main_process and not (out / "store").exists():
        print(f"no --data.store given: training on synthetic cores, made in {out / 'phantom'}")
        if not (out / "phantom").exists():
            write_phantom(out / "phantom", seed=run.seed)
        scales = {int(run.model.arguments["scale"]), *([run.first_scale] if run.first_scale else [])}
        prepare(out / "phantom", out / "store", scale=sorted(scales))
    accelerator.wait_for_everyone()
    return feed.opened(out / "store", run)
