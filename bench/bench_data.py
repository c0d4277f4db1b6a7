"""Patches and resizing."""

from pathlib import Path

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from torch import from_numpy

from coresr_data import Paired, imresize, open_store, resizing
from coresr_data.intensity import Window
from coresr_data.store import Core, Manifest, Slice, create_arrays, write_manifest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("side", [500, 4096])
def test_benchmark_one_pair_of_96_and_192_pixels(benchmark: BenchmarkFixture, side: int, tmp_path: Path) -> None:
    """From sample number to float tensors, flips and keyed noise included; the image's size should not matter."""
    slices = tuple(Slice(number=n, split="train", source=str(n), sha256=str(n)) for n in range(4))
    core = Core(name="core", height=side // 2, width=side // 2, cropped=(0, 0), slices=slices)
    hr, lr = create_arrays(tmp_path, "core", n=4, height=side // 2, width=side // 2, scale=2, dtype="uint8")
    hr[:], lr[:] = RNG.integers(0, 255, hr.shape), RNG.integers(0, 255, lr.shape)
    window = Window(0, 255)
    write_manifest(
        tmp_path,
        Manifest(scale=2, dtype="uint8", window=window, voxel_um=None, degradation="bicubic", split={}, cores=(core,)),
    )
    patches = Paired(open_store(tmp_path), patch=192, noise_std=0.005)
    numbers = iter(range(10**9))
    benchmark(lambda: patches[next(numbers)])


def test_benchmark_halving_a_500_slice_as_matlab_does(benchmark: BenchmarkFixture) -> None:
    image = RNG.integers(0, 255, (500, 500)).astype(np.uint8)
    benchmark(imresize, image, 0.5, matlab_uint8=True)


@pytest.mark.parametrize("operation", ["forward", "adjoint", "pinv"])
def test_benchmark_the_linear_operator_on_500(benchmark: BenchmarkFixture, operation: str) -> None:
    operator = resizing(500, 500, 0.5)
    side = 500 if operation == "forward" else 250
    benchmark(getattr(operator, operation), from_numpy(RNG.random((1, 1, side, side), dtype=np.float32)))
