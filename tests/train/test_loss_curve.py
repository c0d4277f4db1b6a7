"""Twenty steps of each recipe against a committed curve: a change that means to change nothing must not change it.

Bit by bit where processor, torch and threads are those recorded with it, to 1e-4 elsewhere. To record a curve anew,
delete it, run the test, and say in the commit why it changed.
"""

import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from coresr_data import Paired, StepBatches, Store, Unpaired, open_store, prepare
from coresr_data.formats.images import write_slice
from coresr_models import EDSR, ModelSpec, build_critic
from coresr_models.blocks import Bicubic
from coresr_models.cyclegan import BicubicDown, Down, Up
from coresr_train.loop import fit
from coresr_train.losses import chosen
from coresr_train.losses.adversarial import OBJECTIVES
from coresr_train.optim import optimizer
from coresr_train.recipe import Recipe
from coresr_train.recipes.cyclegan import Weights, cyclegan
from coresr_train.recipes.gan import gan
from coresr_train.recipes.supervised import supervised
from coresr_train.schedules import rate
from coresr_train.settings import Loss, Optim

CURVES = Path(__file__).parent / "curves"


def fingerprint() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    flags = re.search(r"flags\s*: (.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    vector = sorted(flag for flag in (flags[1].split() if flags else []) if flag.startswith(("avx", "amx", "fma")))
    return {
        "machine": platform.machine(),
        "vector_instructions": " ".join(vector),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def integer_slices(folder: Path) -> Path:
    """Made of integers alone, so that no rounding of another machine can move a grey level."""
    z, y, x = np.ogrid[:6, :96, :96]
    levels = abs(((y - 40) ** 2 + (x - 50) ** 2 + 9 * x * z) // 4 % 510 - 255)
    (folder / "slices").mkdir()
    for number, image in enumerate(levels.astype(np.uint8)):
        write_slice(folder / "slices" / f"{number}.png", image)
    prepare(folder / "slices", folder / "store", scale=2, split=(1.0, 0.0, 0.0), gap=0)
    return folder / "store"


def supervised_run(store: Store) -> tuple[Recipe, Dataset[dict[str, Tensor]]]:
    network = EDSR(scale=2, width=8, blocks=2)
    terms = chosen(Loss(charbonnier=0.84, ms_ssim=0.16), torch.device("cpu"))
    return supervised(network, terms), Paired(store, patch=48, noise_std=0.005)


def gan_run(store: Store) -> tuple[Recipe, Dataset[dict[str, Tensor]]]:
    critic = build_critic(ModelSpec(name="unet_sn", arguments={"width": 4}))
    objective, terms = OBJECTIVES["relativistic"], chosen(Loss(l1=1.0), torch.device("cpu"))
    game = gan(EDSR(scale=2, width=8, blocks=2), critic, terms, objective=objective, weight=1e-3, every=2)
    return game, Paired(store, patch=48)


def cyclegan_run(store: Store) -> tuple[Recipe, Dataset[dict[str, Tensor]]]:
    critics = [build_critic(ModelSpec(name="patchgan", arguments={"width": 4, "layers": n})) for n in (2, 1)]
    game = cyclegan(
        Up(scale=2, width=8, blocks=1),
        Down(scale=2, width=8, blocks=1),
        *critics,
        objective=OBJECTIVES["lsgan"],
        shrink=BicubicDown(scale=2),
        enlarge=Bicubic(scale=2),
        weights=Weights(),
        pool=10,
    )
    return game, Unpaired(store, patch=48)


RUNS = {"supervised": supervised_run, "gan": gan_run, "cyclegan": cyclegan_run}


def losses_of(recipe: Recipe, samples: Dataset[dict[str, Tensor]]) -> dict[str, list[float]]:
    """The sum of each phase's terms, step by step."""
    optim = Optim(learning_rate=1e-3 if "up" in recipe.nets else 1e-2)
    moved = {phase.name: nn.ModuleList([recipe.nets[net] for net in phase.trains]) for phase in recipe.phases}
    steps = fit(
        recipe,
        DataLoader(samples, batch_sampler=StepBatches(batch=4)),
        optimizers={name: optimizer(nets, optim) for name, nets in moved.items()},
        learning_rate=lambda step: rate(step, optim=optim, total=20, warmup=5),
        clip=1.0,
        averages={},
        accelerator=Accelerator(cpu=True),
    )
    losses: dict[str, list[float]] = {name: [] for name in moved}
    for step in steps:
        for name, values in losses.items():
            terms = [value for term, value in step.terms.items() if term.startswith(f"{name}/")]
            if terms:
                values.append(float(torch.stack(terms).sum()))
        if step.number == 20:
            break
    return losses


@pytest.mark.parametrize("name", RUNS)
def test_each_recipe_follows_its_committed_curve(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    losses = losses_of(*RUNS[name](open_store(integer_slices(tmp_path))))
    first = next(iter(losses.values()))
    assert sum(first[-5:]) < sum(first[:5]), "it learns"
    path = CURVES / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"fingerprint": fingerprint(), "losses": losses}, indent=1) + "\n")
        pytest.fail(f"recorded {path}; look at it and commit it")
    recorded = json.loads(path.read_text())
    for phase, values in losses.items():
        assert values == pytest.approx(recorded["losses"][phase], rel=1e-4)
    if recorded["fingerprint"] == fingerprint():
        assert losses == recorded["losses"]
