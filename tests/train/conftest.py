"""A small store of smooth synthetic slices, and runs on it that take a second."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from scipy import ndimage

from coresr_data import prepare
from coresr_data.formats.images import write_slice
from coresr_models import ModelSpec, complete
from coresr_train.settings import Data, Loss, Optim, Run, Validation


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven slices of 96², split 7/1/1 with a gap of one."""
    folder = tmp_path_factory.mktemp("train")
    volume = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(11, 96, 96)), (1, 1.2, 1.2))
    levels = np.clip(128 + 60 * volume / volume.std(), 0, 255).astype(np.uint8)
    (folder / "slices").mkdir()
    for number, image in enumerate(levels):
        write_slice(folder / "slices" / f"{number:04}.png", image)
    prepare(folder / "slices", folder / "store", scale=2, split=(0.78, 0.11, 0.11), gap=1, accept_similar=True)
    return folder / "store"


@pytest.fixture
def tiny_run(store: Path, tmp_path: Path) -> Run:
    """Four steps of a tiny network in float32."""
    spec = complete(ModelSpec(name="edsr", arguments={"width": 8, "blocks": 1, "tail": "direct"}))
    return Run(
        model=spec,
        data=Data(store=str(store), patch=32, batch=4),
        loss=Loss(l1=1.0),
        optim=Optim(learning_rate=1e-3, warmup_epochs=0.1),
        validation=Validation(),
        out=str(tmp_path / "run"),
        steps=4,
        precision="fp32",
    )


@pytest.fixture(autouse=True)
def _fresh_accelerator() -> Iterator[None]:
    """Accelerate keeps one state per program, and a run sets the number of threads; put both back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    AcceleratorState._reset_state(reset_partial_state=True)
