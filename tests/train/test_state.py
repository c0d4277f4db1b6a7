import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from coresr_train import checkpoints
from coresr_train.ema import averaged
from coresr_train.optim import optimizer
from coresr_train.settings import Optim
from coresr_train.state import Training, collect, restore


class Counter:
    def __init__(self) -> None:
        self.seen = 0

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.seen = int(state["seen"])


def training(seed: int, **settings: float | str) -> Training:
    """A convolutional net in channels-last order, with statistics of its batches."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 1, 3))
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    return Training(
        nets={"generator": net},
        averages={"generator": averaged(net, 0.9)},
        optimizers={"sr": optimizer(net, Optim(**{"optimizer": "adamw", "learning_rate": 1e-2, **settings}))},  # type: ignore[arg-type]  # by name
        memories={},
        counting={"counter": Counter()},
        accelerator=Accelerator(cpu=True),
    )


def stepped(one: Training, seed: int, steps: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        loss = one.nets["generator"](torch.rand(3, 2, 12, 12, generator=draws)).square().mean()
        loss.backward()
        one.optimizers["sr"].step()
        one.optimizers["sr"].zero_grad()
        one.averages["generator"].update_parameters(one.nets["generator"])
        one.counting["counter"].seen += 1  # type: ignore[attr-defined]  # it is ours


def everything(one: Training) -> dict[str, Tensor]:
    tensors, state = collect(one)
    flat = {f"{file}/{name}": tensor for file, some in tensors.items() for name, tensor in some.items()}
    return flat | {"rest": torch.frombuffer(bytearray(json.dumps(state, sort_keys=True).encode()), dtype=torch.uint8)}


def through_a_file(one: Training, other: Training, out: Path) -> None:
    checkpoints.write(out, 3, *collect(one))
    saved = checkpoints.newest(out)
    assert saved is not None
    restore(other, saved)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lion", "muon", "schedule_free"])
def test_what_is_restored_goes_on_bit_by_bit(name: str, tmp_path: Path) -> None:
    if name in {"lion", "muon", "schedule_free"}:
        pytest.importorskip("pytorch_optimizer")
    schedule = "constant" if name == "schedule_free" else "cosine"
    first = training(0, optimizer=name, schedule=schedule)
    stepped(first, 1, 3)
    second = training(5, optimizer=name, schedule=schedule)
    through_a_file(first, second, tmp_path)
    for one in (first, second):
        stepped(one, 2, 4)
    found, expected = everything(second), everything(first)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_moments_are_laid_out_as_their_weights(tmp_path: Path) -> None:
    first, second = training(0), training(1)
    stepped(first, 1, 1)
    through_a_file(first, second, tmp_path)
    for parameter, moments in second.optimizers["sr"].state.items():
        if parameter.dim() == 4:
            assert moments["exp_avg"].stride() == parameter.stride()


def test_a_setting_that_is_allowed_to_change_takes_effect(tmp_path: Path) -> None:
    first, second = training(0), training(0, weight_decay=0.5, epsilon=1e-3, momentum=0.5)
    stepped(first, 1, 1)
    through_a_file(first, second, tmp_path)
    decays, others = second.optimizers["sr"].param_groups
    assert (decays["weight_decay"], decays["eps"], decays["betas"]) == (0.5, 1e-3, (0.5, 0.999))
    assert others["weight_decay"] == 0.0


def test_weights_that_are_not_finite_are_not_saved() -> None:
    one = training(0)
    with torch.no_grad():
        next(one.nets["generator"].parameters())[0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"finite to be saved, got others in generator\.0\.weight"):
        collect(one)


def test_a_checkpoint_of_other_nets_is_refused(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, 3, *collect(training(0)))
    saved = checkpoints.newest(tmp_path)
    assert saved is not None
    other = training(0)
    net = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="must be of the same networks"):
        restore(
            Training(
                nets={"generator": net},
                averages={"generator": averaged(net, 0.9)},
                optimizers={},
                memories={},
                counting={},
                accelerator=other.accelerator,
            ),
            saved,
        )


def test_a_float16_scale_goes_on(tmp_path: Path) -> None:
    first, second = training(0), training(1)
    first.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**7)
    checkpoints.write(tmp_path, 3, *collect(first))
    saved = checkpoints.newest(tmp_path)
    assert saved is not None
    second.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**9)
    second.accelerator.scaler._lazy_init_scale_growth_tracker(torch.device("cpu"))
    restore(second, saved)
    assert second.accelerator.scaler.get_scale() == 2.0**7
