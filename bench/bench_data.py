"""Patches and resizing."""

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.format import open_memmap
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, from_numpy

from coresr_data import Paired, imresize, open_store, prepare, resizing
from coresr_data.intensity import Window
from coresr_data.phantom import ROCKS, phantom
from coresr_data.store import HR, LR, Core, Manifest, Slice, Store, write_manifest

RNG = np.random.default_rng(0)
SLICES = 8


def empty_store(folder: Path, *, slices: int, side: int) -> Store:
    """Black slices that take no room on the disk: what is timed is how they are found, cut and converted."""
    table = tuple(Slice(number=n, split="train", source=f"core/{n}.png", sha256=f"{n:064x}") for n in range(slices))
    core = Core(name="core", folder="core", height=side, width=side, cropped=(0, 0), voxel_um=None, slices=table)
    (folder / "core").mkdir()
    open_memmap(folder / "core" / HR, "w+", "uint8", (slices, side, side))
    open_memmap(folder / "core" / LR.format(scale=2), "w+", "uint8", (slices, side // 2, side // 2))
    window = Window(0, 255)
    write_manifest(
        folder, Manifest(scales=(2,), dtype="uint8", window=window, degradation="bicubic", split={}, cores=(core,))
    )
    return open_store(folder)


@pytest.fixture(scope="module")
def cores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic sandstone of 500², as PNG in `hr` and `lr` and as a ×2 store of them all."""
    folder = tmp_path_factory.mktemp("cores")
    for name in ("hr", "lr"):
        (folder / name).mkdir()
    for n, levels in enumerate(phantom(ROCKS[0], slices=SLICES, size=500, seed=0)):
        Image.fromarray(levels).save(folder / "hr" / f"{n}.png")
        Image.fromarray(imresize(levels, 0.5, matlab_uint8=True)).save(folder / "lr" / f"{n}.png")
    prepare(folder / "hr", folder / "store", scale=2, split=(1.0, 0.0, 0.0), gap=0)
    return folder


def by_pillow(folder: Path) -> Callable[[int], dict[str, Tensor]]:
    """The same pair as people make it: both images opened and decoded, cut, turned over, and made tensors."""

    def pair(number: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(number)
        n, y, x, flip = (int(rng.integers(below)) for below in (SLICES, 155, 155, 2))
        images = {}
        for name, s in (("lr", 1), ("hr", 2)):
            with Image.open(folder / name / f"{n}.png") as file:
                levels = np.asarray(file)[s * y : s * (y + 96), s * x : s * (x + 96)]
            levels = levels[:, ::-1] if flip else levels
            images[name] = from_numpy(np.ascontiguousarray(levels).astype(np.float32) / 255)[None]
        return images

    return pair


def seconds(pair: Callable[[int], Any], numbers: range) -> float:
    start = time.perf_counter()
    for number in numbers:
        pair(number)
    return (time.perf_counter() - start) / len(numbers)


@pytest.mark.parametrize("noise_std", [0, 0.005])
def test_benchmark_one_pair_of_96_and_192_pixels(benchmark: BenchmarkFixture, cores: Path, noise_std: float) -> None:
    """From sample number to float tensors, flips and keyed draws included; beside it, how many times Pillow's loop."""
    patches, pillow = Paired(open_store(cores / "store"), patch=192, noise_std=noise_std), by_pillow(cores)
    rounds = [range(200 * n, 200 * (n + 1)) for n in range(9 if benchmark.enabled else 1)]
    ratios = [seconds(pillow, numbers[:20]) / seconds(patches.__getitem__, numbers) for numbers in rounds]
    benchmark.extra_info["times as fast as Pillow, medians of interleaved rounds"] = float(np.median(ratios))
    numbers = iter(range(10**9))
    benchmark(lambda: patches[next(numbers)])


def test_benchmark_the_same_pair_by_pillow(benchmark: BenchmarkFixture, cores: Path) -> None:
    """Two PNGs decoded for each pair."""
    numbers, pair = iter(range(10**9)), by_pillow(cores)
    benchmark(lambda: pair(next(numbers)))


@pytest.mark.parametrize(("slices", "side"), [(10, 500), (10, 4096), (10_000, 500)])
def test_benchmark_one_pair_whatever_the_store(
    benchmark: BenchmarkFixture, slices: int, side: int, tmp_path: Path
) -> None:
    """Neither the size of the images nor their number should matter, once their pages are in memory."""
    patches = Paired(empty_store(tmp_path, slices=slices, side=side), patch=192)
    warm = range(1000 if benchmark.enabled else 1)
    seconds(patches.__getitem__, warm)
    numbers = cycle(warm)
    benchmark(lambda: patches[next(numbers)])


def test_benchmark_opening_a_store_of_10_000_slices(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """All that happens before the first patch."""
    store = empty_store(tmp_path, slices=10_000, side=500)
    benchmark(lambda: Paired(open_store(store.path), patch=192))


def test_benchmark_halving_a_500_slice_as_matlab_does(benchmark: BenchmarkFixture) -> None:
    image = RNG.integers(0, 255, (500, 500)).astype(np.uint8)
    benchmark(imresize, image, 0.5, matlab_uint8=True)


@pytest.mark.parametrize("operation", ["forward", "adjoint", "pinv"])
def test_benchmark_the_linear_operator_on_500(benchmark: BenchmarkFixture, operation: str) -> None:
    operator = resizing(500, 500, 0.5)
    side = 500 if operation == "forward" else 250
    benchmark(getattr(operator, operation), from_numpy(RNG.random((1, 1, side, side), dtype=np.float32)))
