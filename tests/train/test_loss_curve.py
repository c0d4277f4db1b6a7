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
from torch.utils.data import DataLoader

from coresr_data import Paired, StepBatches, open_store, prepare
from coresr_data.formats.images import write_slice
from coresr_models import EDSR
from coresr_train.ema import averaged
from coresr_train.loop import fit
from coresr_train.losses import chosen
from coresr_train.optim import optimizer
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


def supervised_losses(folder: Path) -> list[float]:
    torch.set_num_threads(1)
    patches = Paired(open_store(integer_slices(folder)), patch=48, noise_std=0.005)
    network = EDSR(scale=2, width=8, blocks=2)
    optim = Optim(learning_rate=1e-2)
    steps = fit(
        supervised(network, chosen(Loss(charbonnier=0.84, ms_ssim=0.16), torch.device("cpu"))),
        DataLoader(patches, batch_sampler=StepBatches(batch=4)),
        optimizers={"sr": optimizer(network, optim)},
        learning_rate=lambda step: rate(step, optim=optim, total=20, warmup=5),
        clip=1.0,
        averages={"generator": averaged(network, 0.999)},
        accelerator=Accelerator(cpu=True),
    )
    losses = []
    for step in steps:
        losses.append(float(step.terms["sr/charbonnier"] + step.terms["sr/ms_ssim"]))
        if step.number == 20:
            break
    return losses


def test_the_supervised_recipe_follows_its_committed_curve(tmp_path: Path) -> None:
    losses = supervised_losses(tmp_path)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5]), "it learns"
    path = CURVES / "supervised.json"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"fingerprint": fingerprint(), "losses": losses}, indent=1) + "\n")
        pytest.fail(f"recorded {path}; look at it and commit it")
    recorded = json.loads(path.read_text())
    assert losses == pytest.approx(recorded["losses"], rel=1e-4)
    if recorded["fingerprint"] == fingerprint():
        assert losses == recorded["losses"]
