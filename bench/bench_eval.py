"""Metrics on a 500² slice; other libraries beside ours in interleaved rounds, of the same window, dtype and borders."""

import statistics
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from pytorch_msssim import ms_ssim as ms_ssim_of_pytorch_msssim
from pytorch_msssim import ssim as ssim_of_pytorch_msssim
from skimage import metrics
from torch import Tensor

from coresr_eval import ms_ssim, psnr, ssim
from coresr_eval.protocol import Pair, Protocol, score_image

SKIMAGE: Any = metrics  # which has no types
HR = torch.rand(1, 1, 500, 500, dtype=torch.float64)
SR = (HR + 0.02 * torch.randn_like(HR)).clamp(0, 1)
Ssim = Callable[[Tensor, Tensor], Any]
SIGMA = {7: 1.0, 11: 1.5}
"""scikit-image's Gaussian reaches as far as 3.5 σ: these are the σ whose windows are of so many pixels."""
ROUNDS = 61
SCORING = 40
"""Milliseconds that a slice may take to score beside the network, on one core."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def others(window: int) -> dict[str, Ssim]:
    """SSIM as other libraries take it, without what they do not need; piq where it loads (it needs torchvision)."""
    sigma = SIGMA[window]
    settings: dict[str, Any] = {"gaussian_weights": True, "sigma": sigma, "use_sample_covariance": False}

    def skimage(sr: Tensor, hr: Tensor) -> Any:
        return SKIMAGE.structural_similarity(np.asarray(sr[0, 0]), np.asarray(hr[0, 0]), data_range=1.0, **settings)

    def msssim(sr: Tensor, hr: Tensor) -> Any:
        return ssim_of_pytorch_msssim(sr, hr, data_range=1.0, win_size=window, win_sigma=sigma)

    found: dict[str, Ssim] = {"scikit-image": skimage, "pytorch-msssim": msssim}
    try:
        piq = import_module("piq")
    except Exception:  # noqa: BLE001 - a torchvision of another torch raises what it likes
        return found

    def of_piq(sr: Tensor, hr: Tensor) -> Any:
        return piq.ssim(sr, hr, kernel_size=window, kernel_sigma=sigma, downsample=False)

    return {**found, "piq": of_piq}


def medians(todo: dict[str, Ssim], rounds: int, sr: Tensor, hr: Tensor) -> dict[str, float]:
    """Milliseconds of each, turn by turn in every round, so that what else the machine does meets them alike."""
    taken: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(rounds):
        for name, of in todo.items():
            start = time.perf_counter()
            of(sr, hr)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times) for name, times in taken.items()}


def test_benchmark_psnr(benchmark: BenchmarkFixture) -> None:
    benchmark(psnr, SR, HR, data_range=1.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("window", [7, 11])
def test_benchmark_ssim_at_least_as_fast_as_every_other(
    benchmark: BenchmarkFixture, window: int, dtype: torch.dtype
) -> None:
    """One thread; float32 images are compared in float32 by the others, in float64 by ours."""
    sr, hr = SR.to(dtype), HR.to(dtype)

    def ours(sr: Tensor, hr: Tensor) -> Tensor:
        return ssim(sr, hr, data_range=1.0, window=window, sigma=SIGMA[window])

    todo = {"ours": ours, **others(window)}
    values = {name: float(of(sr, hr)) for name, of in todo.items()}
    assert all(abs(value - values["ours"]) < 1e-5 for value in values.values())
    benchmark(ours, sr, hr)
    took = medians(todo, ROUNDS if benchmark.enabled else 1, sr, hr)
    for name, milliseconds in took.items():
        benchmark.extra_info[f"{name}, ms, median of interleaved rounds"] = milliseconds
    assert not benchmark.enabled or took["ours"] <= min(took.values())


def test_benchmark_ms_ssim_window_11(benchmark: BenchmarkFixture) -> None:
    def ours(sr: Tensor, hr: Tensor) -> Tensor:
        return ms_ssim(sr, hr, data_range=1.0, window=11)

    def theirs(sr: Tensor, hr: Tensor) -> Any:
        return ms_ssim_of_pytorch_msssim(sr, hr, data_range=1.0, win_size=11)

    benchmark(ours, SR, HR)
    took = medians({"ours": ours, "pytorch-msssim": theirs}, 21 if benchmark.enabled else 1, SR, HR)
    for name, milliseconds in took.items():
        benchmark.extra_info[f"{name}, ms, median of interleaved rounds"] = milliseconds


def test_benchmark_everything_that_is_scored_of_a_slice(benchmark: BenchmarkFixture) -> None:
    """PSNR, SSIM, MAE, drift, and consistency by box averages; an operator of more taps takes its own time."""
    sr, hr = SR[0, 0].float(), HR[0, 0].float()
    lr = torch.nn.functional.avg_pool2d(hr[None, None], 2)[0, 0]
    pair = Pair(core="a", slice=0, lr=lr, hr=hr, operator=lambda image: torch.nn.functional.avg_pool2d(image, 2))
    protocol = Protocol(scale=2, shave=2, degradation="box", grey="uint8, 0 → 0, 255 → 1")
    benchmark(score_image, "m", sr, pair, protocol)
    took = medians(
        {"score": lambda *_: score_image("m", sr, pair, protocol)}, ROUNDS if benchmark.enabled else 1, SR, HR
    )
    assert not benchmark.enabled or took["score"] <= SCORING
