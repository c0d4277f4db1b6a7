"""What every test may use. Imports nothing that only some packages need: each package is tested alone, too."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real rock images, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("CORESR_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real rock images in {folder}; set CORESR_REAL_DATA")
    return folder


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
