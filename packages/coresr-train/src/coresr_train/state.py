"""What a run must remember to go on as if nothing had happened: collected after a step, restored before the next.

Where data, learning rate and random numbers are functions of the step alone, this is: the step, the weights and their
averages, the optimizers' moments, what the recipe remembers, a float16 scaler, and what validation, progress and
length have counted.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from coresr_train.checkpoints import Saved
from coresr_train.recipe import Memory

SETTLED = ("betas", "eps", "momentum", "weight_decay")
"""Of an optimizer's groups: what the settings say, so that a change that is allowed takes effect."""


class Counting(Protocol):
    """Something that counts along with the run; its state is JSON."""

    def state(self) -> dict[str, Any]:
        """What it has counted."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """All that moves in a run."""

    nets: Mapping[str, nn.Module]
    """As built, not as prepared."""
    averages: Mapping[str, AveragedModel]
    optimizers: Mapping[str, Optimizer]
    memories: Mapping[str, Memory]
    counting: Mapping[str, Counting]
    accelerator: Accelerator


def collect(training: Training) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors by file and name, and the rest as JSON. Every process must call it.

    FloatingPointError where a weight is not finite: such a checkpoint would be worth nothing.
    """
    nets = {f"{name}.{key}": tensor for name, net in training.nets.items() for key, tensor in net.state_dict().items()}
    averages = {
        f"{name}.{key}": tensor
        for name, average in training.averages.items()
        for key, tensor in average.module.state_dict().items()
    }
    bad = [name for some in (nets, averages) for name, tensor in some.items() if not tensor.isfinite().all()]
    if bad:
        raise FloatingPointError(f"weights must be finite to be saved, got others in {', '.join(bad[:5])}")
    moments: dict[str, Tensor] = {}
    optimizers = {name: _take_apart(name, optimizer, moments) for name, optimizer in training.optimizers.items()}
    memories = {
        f"{name}.{key}": tensor
        for name, memory in training.memories.items()
        for key, tensor in memory.tensors().items()
    }
    scaler = training.accelerator.scaler
    state = {
        "averaged": {name: int(average.n_averaged) for name, average in training.averages.items()},
        "optimizers": optimizers,
        "scaler": scaler.state_dict() if scaler is not None else None,
        **{name: one.state() for name, one in training.counting.items()},
    }
    tensors = {"nets": nets, "averages": averages, "optimizers": moments}
    return tensors | ({"memories": memories} if training.memories else {}), state


def restore(training: Training, saved: Saved) -> None:
    """Put everything back in its place. ValueError where the checkpoint is of other nets."""
    try:
        for name, net in training.nets.items():
            net.load_state_dict(_of(saved.tensors["nets"], name))
        for name, average in training.averages.items():
            average.module.load_state_dict(_of(saved.tensors["averages"], name))
            average.n_averaged.fill_(saved.state["averaged"][name])
        for name, optimizer in training.optimizers.items():
            _put_together(optimizer, saved.state["optimizers"][name], _of(saved.tensors["optimizers"], name))
        for name, memory in training.memories.items():
            memory.restore(_of(saved.tensors["memories"], name))
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"checkpoint {saved.folder} must be of the same networks, got {error}") from error
    if training.accelerator.scaler is not None and saved.state["scaler"]:
        training.accelerator.scaler.load_state_dict(saved.state["scaler"])
    for name, one in training.counting.items():
        one.restore(saved.state[name])


def _take_apart(name: str, optimizer: Optimizer, moments: dict[str, Tensor]) -> dict[str, Any]:
    """An optimizer's state as JSON, its tensors put into `moments`."""
    state = optimizer.state_dict()
    plain: dict[str, dict[str, Any]] = {}
    for number, entries in state["state"].items():
        plain[str(number)] = {}
        for key, value in entries.items():
            if isinstance(value, Tensor):
                moments[f"{name}.{number}.{key}"] = value
            else:
                plain[str(number)][key] = value
    return {"kind": _kind(optimizer), "state": plain, "groups": json.loads(json.dumps(state["param_groups"]))}


def _put_together(optimizer: Optimizer, plain: Mapping[str, Any], moments: Mapping[str, Tensor]) -> None:
    if plain["kind"] != _kind(optimizer):  # a change that was allowed: its moments mean something else
        return
    state: dict[int, dict[str, Any]] = {int(number): dict(entries) for number, entries in plain["state"].items()}
    for name, tensor in moments.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": list(_groups(optimizer, plain["groups"]))})
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # laid out as an optimizer that was never saved has it: another order of additions has other bits
                entries[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _kind(optimizer: Optimizer) -> str:
    return type(getattr(optimizer, "optimizer", optimizer)).__name__  # within accelerate's wrapper


def _groups(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The saved groups, with the settings of now, and the lists of JSON as the tuples that they were."""
    for mine, saved in zip(optimizer.param_groups, groups, strict=True):
        whole = {
            key: tuple(value) if isinstance(mine.get(key), tuple) and isinstance(value, list) else value
            for key, value in saved.items()
        }
        yield whole | {key: mine[key] for key in SETTLED if key in mine}


def _of(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
