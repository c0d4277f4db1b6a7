"""Trainers that forget something: each a context in which the real one does. The crash suite must see every one."""

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from coresr_train import checkpoints, feed, state, tracking
from coresr_train.checkpoints import Saved
from coresr_train.progress import Progress
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch
from coresr_train.state import Training
from tests.train.crashing import Broken


@contextmanager
def averages_forgotten() -> Iterator[None]:
    real = state.restore

    def restore(training: Training, saved: Saved) -> None:
        kept = {
            name: {key: value.clone() for key, value in one.module.state_dict().items()}
            for name, one in training.averages.items()
        }
        real(training, saved)
        for name, one in training.averages.items():
            one.module.load_state_dict(kept[name])

    with mock.patch("coresr_train.run.restore", restore):
        yield


def moments_forgotten() -> Any:
    return mock.patch.object(state, "_put_together", return_value=None)


def first_samples_again() -> Any:
    real = feed.batches
    return mock.patch.object(feed, "batches", lambda *arguments: real(*arguments[:4]))


def record_not_cut() -> Any:
    return mock.patch.object(tracking, "truncate", return_value=None)


def window_forgotten() -> Any:
    return mock.patch.object(Progress, "restore", return_value=None)


def noisy(generator: nn.Module, _terms: object) -> Recipe:
    """A recipe that draws random numbers, as diffusion does."""

    def loss(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        scratch["sr"] = nets["generator"](batch["lr"] + 0.01 * torch.randn_like(batch["lr"]))
        return {"l1": (scratch["sr"] - batch["hr"]).abs().mean()}

    return Recipe(nets={"generator": generator}, phases=(Phase(name="sr", trains=("generator",), loss=loss),))


def with_noise() -> Any:
    return mock.patch("coresr_train.assembly.supervised", noisy)


@contextmanager
def noise_of_the_process() -> Iterator[None]:
    def anything(*_parts: int) -> int:
        return random.SystemRandom().getrandbits(60)

    with with_noise(), mock.patch("coresr_train.loop.key", anything):
        yield


class Shaken(Dataset[dict[str, Tensor]]):
    """Patches with noise of whoever drew last."""

    def __init__(self, samples: Any) -> None:
        self.samples, self.epoch, self.noise = samples, samples.epoch, random.SystemRandom()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        images: dict[str, Tensor] = self.samples[number]
        return {**images, "lr": images["lr"] + 1e-3 * self.noise.random()}


@contextmanager
def patches_of_the_process() -> Iterator[None]:
    real = feed.patches
    with (
        mock.patch.object(feed, "patches", lambda *arguments: Shaken(real(*arguments))),
        mock.patch.object(feed, "canary", return_value="none"),
    ):
        yield


def _write_in_place(
    out: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], about: Mapping[str, Any]
) -> Path:
    folder = out / "checkpoints" / str(step)
    folder.mkdir(parents=True, exist_ok=True)
    for name, some in tensors.items():
        whole = {key: tensor.contiguous() for key, tensor in some.items()}
        (folder / f"{name}.safetensors").write_bytes(safetensors.torch.save(whole))
    (folder / "state.json").write_text(json.dumps({"step": step, **about}))
    return folder


def _read_unchecked(folder: Path) -> Saved:
    found = json.loads((folder / "state.json").read_text())
    tensors = {path.stem: safetensors.torch.load_file(path) for path in folder.glob("*.safetensors")}
    return Saved(folder=folder, step=found["step"], tensors=tensors, state=found)


@contextmanager
def written_in_place() -> Iterator[None]:
    with (
        mock.patch.object(checkpoints, "write", _write_in_place),
        mock.patch.object(checkpoints, "read", _read_unchecked),
    ):
        yield


@contextmanager
def removed_before_written() -> Iterator[None]:
    real = checkpoints.write

    def write(out: Path, step: int, *rest: Any) -> Path:
        for one in checkpoints.steps(out):
            shutil.rmtree(out / "checkpoints" / str(one))
        return real(out, step, *rest)

    with mock.patch.object(checkpoints, "write", write):
        yield


FORGETFUL: Mapping[str, Callable[[], Any]] = {
    "averages_forgotten": averages_forgotten,
    "moments_forgotten": moments_forgotten,
    "first_samples_again": first_samples_again,
    "record_not_cut": record_not_cut,
    "window_forgotten": window_forgotten,
    "noise_of_the_process": noise_of_the_process,
    "patches_of_the_process": patches_of_the_process,
    "written_in_place": written_in_place,
    "removed_before_written": removed_before_written,
}
TRAINERS: Mapping[str, tuple[Broken, Broken]] = {
    "sound": (nullcontext, nullcontext),
    "sound_with_noise": (with_noise, with_noise),
    **{name: (broken, with_noise if "noise" in name else nullcontext) for name, broken in FORGETFUL.items()},
}
"""The trainer, and the one whose run it must repeat."""
