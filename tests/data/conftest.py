"""Small synthetic cores on disk, and a store prepared from one of them. Tests only read what they share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data.layouts import prepare
from coresr_data.store import Store

MakeCore = Callable[..., Path]


def write_core(folder: Path, *, numbers: range = range(24), size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """8-bit noise on a ramp, `slice_0000.png` …: no two slices, no two places and no two directions alike."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(size[0]), 2 * np.arange(size[1]))
    for number in numbers:
        levels = (ramp + rng.integers(0, 128, size)).clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"slice_{number:04d}.png")
    return folder


@pytest.fixture
def make_core(tmp_path: Path) -> MakeCore:
    """Write a core of one's own: `make_core("name", numbers=range(9), size=(h, w), seed=0)`."""
    return lambda name, **options: write_core(tmp_path / name, **options)


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 slices of 48×64, 8 bit, numbered from 0."""
    return write_core(tmp_path_factory.mktemp("slices") / "plug")


@pytest.fixture(scope="session")
def store(slices: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A ×2 store of `slices`, split 0.7/0.15/0.15 with a gap of 2."""
    return prepare(slices, tmp_path_factory.mktemp("stores") / "store", scale=2, voxel_um=2.5)


@pytest.fixture(scope="session")
def sandstone(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A ×2 store of the real sandstone plug: seven slices to train on, one to validate, one to test."""
    return prepare(
        real_data / "sandstone-versa" / "slices",
        tmp_path_factory.mktemp("stores") / "sandstone",
        scale=2,
        split={"train": (0, 250), "valid": (300, 300), "test": (400, 400)},
        voxel_um=2.23,
    )
