"""Metrics against published values, against two other libraries, and by their laws."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import pytorch_msssim
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coresr_eval.fidelity import mae, ms_ssim, psnr, ssim

Metric = Callable[..., Tensor]
METRICS: dict[str, Metric] = {"psnr": psnr, "mae": mae, "ssim": ssim, "ms_ssim": ms_ssim}
each_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
TOP = {"psnr": math.inf, "mae": 0.0, "ssim": 1.0, "ms_ssim": 1.0}


def golden_pair(size: int) -> tuple[Tensor, Tensor]:
    i, j = np.mgrid[:size, :size]
    a = 0.5 + 0.25 * np.sin(2 * np.pi * i / 16) * np.cos(2 * np.pi * j / 11) + 0.2 * ((i // 8 + j // 8) % 2 - 0.5)
    b = np.clip(0.9 * a + 0.05 + 0.04 * np.sin(2 * np.pi * (3 * i + 5 * j) / 17), 0, 1)
    return torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None]


def random_pair(*shape: int, noise: float = 0.1) -> tuple[Tensor, Tensor]:
    image = torch.rand(shape, dtype=torch.float64)
    return image, image + noise * torch.randn(shape, dtype=torch.float64)


GOLDEN: list[tuple[Metric, int, dict[str, Any], float]] = [
    (psnr, 64, {}, 29.7317283553),
    (ssim, 64, {"window": 11}, 0.9651861215),
    (ssim, 64, {"window": 7}, 0.9624545829),
    (ssim, 64, {}, 0.9624545829),
    (ms_ssim, 192, {"window": 11}, 0.9918549231),
    (ms_ssim, 192, {"window": 7}, 0.9917768242),
    (ms_ssim, 192, {}, 0.9917768242),
]


@pytest.mark.parametrize(("metric", "size", "arguments", "value"), GOLDEN)
def test_the_golden_pair_scores_what_independent_programs_found(
    metric: Metric, size: int, arguments: dict[str, Any], value: float
) -> None:
    a, b = golden_pair(size)
    assert metric(a, b, data_range=1.0, **arguments).item() == pytest.approx(value, abs=0.6e-10)
    single = metric(a.float(), b.float(), data_range=1.0, **arguments)
    assert single.dtype == torch.float64
    assert single.item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("window", "value"), [(11, 0.9918549341), (7, 0.9917768103)])
def test_pytorch_msssims_own_values_differ_only_by_its_window_in_float32(window: int, value: float) -> None:
    a, b = golden_pair(192)
    assert pytorch_msssim.ms_ssim(a, b, data_range=1.0, win_size=window).item() == pytest.approx(value, abs=0.6e-10)
    assert ms_ssim(a, b, data_range=1.0, window=window).item() == pytest.approx(value, abs=2e-8)


@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("data_range", [1.0, 2.5])
def test_psnr_and_ssim_agree_with_scikit_image(noise: float, data_range: float) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = random_pair(3, 1, 40, 33, noise=noise)
    for one, other, value, similarity in zip(
        a[:, 0].numpy(),
        b[:, 0].numpy(),
        psnr(a, b, data_range=data_range),
        ssim(a, b, data_range=data_range, window=11),
        strict=True,
    ):
        wanted = metrics.peak_signal_noise_ratio(other, one, data_range=data_range)
        assert value.item() == pytest.approx(wanted, abs=1e-10)
        wanted = metrics.structural_similarity(
            one, other, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert similarity.item() == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("window", [5, 7, 11])
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_both_similarities_agree_with_pytorch_msssim(window: int, sigma: float) -> None:
    a, b = random_pair(2, 2, 170, 181)
    arguments: dict[str, Any] = {"data_range": 1.0, "size_average": False, "win_size": window, "win_sigma": sigma}
    for ours, theirs in ((ssim, pytorch_msssim.ssim), (ms_ssim, pytorch_msssim.ms_ssim)):
        wanted = theirs(a, b, **arguments)  # its window is float32
        torch.testing.assert_close(ours(a, b, data_range=1.0, window=window, sigma=sigma), wanted, rtol=0, atol=1e-6)


@each_metric
def test_equal_images_are_perfect(metric: Metric) -> None:
    image = torch.rand(2, 1, 128, 128)
    name = next(name for name, known in METRICS.items() if known is metric)
    assert metric(image, image.clone(), data_range=1.0).tolist() == pytest.approx([TOP[name]] * 2, abs=1e-15)


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.3, 1.0, 1000.0])
@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_flat_images_never_score_above_one(metric: Metric, level: float) -> None:
    for offset in (0.0, 1e-7, 1e-3):
        flat = torch.full((1, 1, 112, 112), level)
        value = metric(flat, flat + offset, data_range=1.0).item()
        assert 0 < value <= 1
        assert value == pytest.approx(1, abs=0.1)


@each_metric
def test_the_order_of_the_two_images_does_not_matter(metric: Metric) -> None:
    a, b = random_pair(2, 1, 100, 101)
    torch.testing.assert_close(metric(a, b, data_range=1.0), metric(b, a, data_range=1.0), rtol=0, atol=1e-12)


@each_metric
@pytest.mark.parametrize("factor", [255.0, 65535.0, 0.01])
def test_images_on_another_scale_with_its_range_score_the_same(metric: Metric, factor: float) -> None:
    a, b = random_pair(1, 1, 100, 100)
    scaled = metric(factor * a, factor * b, data_range=factor)
    torch.testing.assert_close(scaled, metric(a, b, data_range=1.0), rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=50)
@given(error=st.floats(1e-6, 10), data_range=st.sampled_from([1.0, 255.0]))
def test_a_uniform_error_e_is_worth_minus_20_log_e(error: float, data_range: float) -> None:
    image = torch.rand(1, 1, 5, 4, dtype=torch.float64)
    wanted = -20 * math.log10(error / data_range)
    assert psnr(image + error, image, data_range=data_range).item() == pytest.approx(wanted, abs=1e-6)
    assert mae(image - error, image, data_range=data_range).item() == pytest.approx(error / data_range, rel=1e-6)


@each_metric
@pytest.mark.parametrize("shave", [1, 4])
def test_shaving_is_cropping_every_side(metric: Metric, shave: int) -> None:
    a, b = random_pair(1, 1, 120, 111)
    inside = (..., slice(shave, -shave), slice(shave, -shave))
    assert torch.equal(metric(a, b, data_range=1.0, shave=shave), metric(a[inside], b[inside], data_range=1.0))
    assert not torch.equal(metric(a, b, data_range=1.0, shave=shave), metric(a, b, data_range=1.0))


@each_metric
def test_each_image_is_scored_for_itself(metric: Metric) -> None:
    a, b = random_pair(3, 1, 100, 100)
    b[1] = a[1] + 3 * (b[1] - a[1])
    scores = metric(a, b, data_range=1.0)
    assert scores.shape == (3,)
    each = torch.cat([metric(a[i : i + 1], b[i : i + 1], data_range=1.0) for i in range(3)])
    torch.testing.assert_close(scores, each, rtol=1e-12, atol=1e-12)


def test_the_mean_of_each_images_psnr_is_not_the_psnr_of_the_mean_error() -> None:
    image = torch.full((2, 1, 8, 8), 0.5, dtype=torch.float64)
    other = image + torch.tensor([0.1, 0.001], dtype=torch.float64)[:, None, None, None]
    assert psnr(other, image, data_range=1.0).mean().item() == pytest.approx(40)
    assert 10 * math.log10(1 / (other - image).square().mean()) == pytest.approx(23.0098707)


@each_metric
def test_float32_images_are_not_rounded_further_nor_under_autocast(metric: Metric) -> None:
    a, b = (image.float() for image in random_pair(1, 1, 100, 100))
    wanted = metric(a.double(), b.double(), data_range=1.0)
    assert torch.equal(metric(a, b, data_range=1.0), wanted)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(metric(a, b, data_range=1.0), wanted)


@each_metric
def test_integers_do_not_wrap_around(metric: Metric) -> None:
    a, b = ((255 * image.clamp(0, 1)).to(torch.uint8) for image in random_pair(1, 1, 100, 100))
    assert torch.equal(metric(a, b, data_range=255), metric(a.double(), b.double(), data_range=255))


@each_metric
def test_scores_carry_no_gradient_and_leave_their_images_alone(metric: Metric) -> None:
    a, b = random_pair(1, 1, 100, 100)
    before = a.clone()
    assert not metric(a.requires_grad_(), b, data_range=1.0).requires_grad
    assert torch.equal(a, before)


@each_metric
def test_images_that_differ_in_shape_or_have_no_batch_are_refused(metric: Metric) -> None:
    for a, b in (((1, 1, 99, 100), (1, 1, 100, 100)), ((1, 1, 100, 100), (100, 100)), ((100, 100), (100, 100))):
        with pytest.raises(ValueError, match=r"must be two \(b, c, h, w\) tensors of one shape, got \("):
            metric(torch.rand(a), torch.rand(b), data_range=1.0)
    with pytest.raises(ValueError, match="of one shape"):
        metric(torch.rand(2, 1, 100, 100), torch.rand(1, 1, 100, 100), data_range=1.0)


@each_metric
@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan, math.inf])
def test_a_range_that_is_no_positive_number_is_refused(metric: Metric, data_range: float) -> None:
    with pytest.raises(ValueError, match=r"^data_range must be positive, got"):
        metric(*random_pair(1, 1, 100, 100), data_range=data_range)


@each_metric
def test_the_range_has_no_default(metric: Metric) -> None:
    with pytest.raises(TypeError, match="data_range"):
        metric(*random_pair(1, 1, 100, 100))


@each_metric
@pytest.mark.parametrize("shave", [-1, 50, 60])
def test_a_shave_that_leaves_nothing_is_refused(metric: Metric, shave: int) -> None:
    with pytest.raises(ValueError, match=rf"shave must leave something of 100×120 pixels, got {shave}"):
        metric(*random_pair(1, 1, 100, 120), data_range=1.0, shave=shave)


@pytest.mark.parametrize("window", [-1, 0, 6, 13])
def test_a_window_that_is_even_or_does_not_fit_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=rf"^window must be odd and at most .* side 12, got {window}$"):
        ssim(*random_pair(1, 1, 16, 20), data_range=1.0, shave=2, window=window)
    assert ssim(*random_pair(1, 1, 15, 20), data_range=1.0, shave=2, window=11).isfinite()


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_a_window_without_width_is_refused(metric: Metric, sigma: float) -> None:
    with pytest.raises(ValueError, match=r"^sigma must be positive, got"):
        metric(*random_pair(1, 1, 100, 100), data_range=1.0, sigma=sigma)


@pytest.mark.parametrize(("window", "side"), [(11, 161), (7, 97), (5, 65)])
def test_five_levels_need_more_than_sixteen_windows_less_one(window: int, side: int) -> None:
    assert ms_ssim(*random_pair(1, 1, side, side + 3), data_range=1.0, window=window).isfinite()
    with pytest.raises(ValueError, match=rf"larger than {side - 1} pixels .* got {side + 3}×{side - 1}"):
        ms_ssim(*random_pair(1, 1, side + 3, side - 1), data_range=1.0, window=window)
