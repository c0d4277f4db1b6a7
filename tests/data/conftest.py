"""Small synthetic cores on disk, and a store prepared from one of them. Tests only read what they share."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from coresr_data.degrade import bicubic
from coresr_data.intensity import Window, default_window
from coresr_data.packing import prepare
from coresr_data.store import (
    HR,
    LR,
    MASK,
    Core,
    Manifest,
    Slice,
    Store,
    create_array,
    digest_of,
    open_store,
    write_manifest,
    written_aside,
)

MakeCore = Callable[..., Path]
MakeStore = Callable[..., Store]
Mask = NDArray[np.bool_]


def write_core(folder: Path, *, numbers: range = range(24), size: tuple[int, int] = (48, 64), seed: int = 0) -> Path:
    """8-bit noise on a ramp, `slice_0000.png` …: no two slices, no two places and no two directions alike."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    ramp = np.add.outer(np.arange(size[0]), 2 * np.arange(size[1]))
    for number in numbers:
        levels = (ramp + rng.integers(0, 128, size)).clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"slice_{number:04d}.png")
    return folder


def new_store(
    folder: Path,
    *,
    sizes: Sequence[tuple[int, int]] = ((48, 64),),
    slices: int = 6,
    splits: Sequence[str] = ("train",),
    scales: tuple[int, ...] = (2,),
    images: Sequence[tuple[str, ...]] = (("hr", "lr"),),
    mask: Mask | None = None,
    dtype: str = "uint8",
    seed: int = 0,
) -> Store:
    """A store without a source: a core a size, noise on a ramp, LR bicubic; rows, and cores, take turns at the lists.

    `mask` is `(n, h, w)` or `(1, h, w)`. Float levels lie in [0, 1].
    """
    rng = np.random.default_rng(seed)
    window = Window(0, 1) if dtype.startswith("float") else default_window(dtype)
    with written_aside(folder) as aside:
        cores = []
        for number, (height, width) in enumerate(sizes):
            ramp = np.add.outer(np.arange(height), 2 * np.arange(width)) / (height + 2 * width)
            levels = (ramp + rng.random((slices, height, width))) / 2 * window.high
            held = images[number % len(images)]
            core = Core(
                name="plug",
                folder=f"core{number}",
                height=height,
                width=width,
                cropped=(0, 0),
                voxel_um=(2.5, 2.5, 2.5),
                slices=tuple(
                    Slice(
                        number=z,
                        split=splits[z % len(splits)],
                        source=f"plug/{z}.png",
                        sha256=f"{number} {z}",
                        rock=1.0 if mask is None else float(mask[z % len(mask)].mean()),
                    )
                    for z in range(slices)
                ),
                images=tuple(held),
                masked=mask is not None,
            )
            arrays = aside / core.folder
            arrays.mkdir()
            hr = levels.astype(dtype)
            made = {LR.format(scale=s): np.stack([bicubic(one, s) for one in hr]) for s in scales if "lr" in held}
            made |= {HR: hr} if "hr" in held else {}
            made |= {MASK: mask} if mask is not None else {}
            for name, array in made.items():
                create_array(arrays / name, array.shape, str(array.dtype))[:] = array
            cores.append(replace(core, sha256={name: digest_of(arrays / name) for name in made}))
        degradation = "bicubic" if all(set(held) == {"hr", "lr"} for held in images) else "real"
        manifest = Manifest(
            scales=scales, dtype=dtype, window=window, degradation=degradation, split={}, cores=tuple(cores)
        )
        write_manifest(aside, manifest)
    return open_store(folder)


@pytest.fixture(scope="session")
def write_store() -> MakeStore:
    """`make_store`, with a path of one's own: for fixtures that several tests share."""
    return new_store


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Write a store of one's own: `make_store("name", sizes=[(h, w)], scales=(2, 4), mask=…)`."""
    return lambda name, **options: new_store(tmp_path / name, **options)


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
    return prepare(slices, tmp_path_factory.mktemp("stores") / "store", scale=2, gap=2, voxel_um=2.5)


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
