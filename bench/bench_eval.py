"""Metrics on a 500² slice; scikit-image beside ours, with the same window and borders."""

import numpy as np
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from skimage.metrics import structural_similarity

from coresr_eval import psnr, ssim

HR = torch.rand(1, 1, 500, 500, dtype=torch.float64)
SR = (HR + 0.02 * torch.randn_like(HR)).clamp(0, 1)


def test_benchmark_psnr(benchmark: BenchmarkFixture) -> None:
    benchmark(psnr, SR, HR, data_range=1.0)


def test_benchmark_ssim_window_11(benchmark: BenchmarkFixture) -> None:
    benchmark(ssim, SR, HR, data_range=1.0, window=11)


def test_benchmark_ssim_window_11_of_scikit_image(benchmark: BenchmarkFixture) -> None:
    sr, hr = np.asarray(SR[0, 0]), np.asarray(HR[0, 0])
    settings = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ours = float(ssim(SR, HR, data_range=1.0, window=11))
    theirs = benchmark(structural_similarity, sr, hr, **settings)
    assert abs(ours - theirs) < 1e-6
