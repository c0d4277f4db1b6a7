"""Features of rock for the perceptual loss, learnt from a run's own training slices before its first step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from coresr_models.checkpoint import sha256
from coresr_train.feed import Samples, patches
from coresr_train.losses.learning import learn, save_rock
from coresr_train.settings import Run

FILE = "rock.safetensors"
STEPS, BATCH, PATCH = 1000, 8, 96
"""What is enough: 15 s of a core."""


def with_eyes(run: Run, samples: Samples, origin: dict[str, Any], accelerator: Accelerator) -> Run:
    """The run with the file of its features, learnt where they are rock's and nobody gave any.

    Their digest goes into `origin`, which every checkpoint holds; FileNotFoundError or ValueError where the file of a
    run that is resumed is not there, or another than it began with.
    """
    if run.loss.features != "rock" or not run.loss.perceptual:
        return run
    path = Path(run.loss.feature_weights or Path(run.out) / FILE)
    if accelerator.is_main_process and not run.loss.feature_weights and "features" not in origin:
        plain = _plain(run, samples)
        network = learn(
            lambda number: plain[number]["hr"], steps=STEPS, batch=BATCH, seed=run.seed, device=accelerator.device
        )
        save_rock(path, network, {"store": run.data.store, "seed": run.seed, "steps": STEPS})
    accelerator.wait_for_everyone()
    if not path.is_file():
        raise FileNotFoundError(f"features of rock must lie in {path}, got no such file; put it back, or start anew")
    digest = sha256(path)
    if origin.setdefault("features", digest) != digest:
        raise ValueError(f"features of {path} must be those that the run began with, got others; put them back")
    return replace(run, loss=replace(run.loss, feature_weights=str(path)))


def _plain(run: Run, samples: Samples) -> Samples:
    """HR patches as they are in the slices, and no larger than are learnt from."""
    store, data = samples.store, run.data
    patch = min(data.patch, PATCH - PATCH % store.scale)
    return patches(replace(run, data=replace(data, patch=patch, jitter=0.0, cutblur=0.0, mixup=0.0)), store)
