"""Metrics against published values, against two other libraries, and by their laws."""

import math
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import pytorch_msssim
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import metrics
from torch import Tensor

from coresr_eval.fidelity import lpips, mae, ms_ssim, psnr, ssim
from coresr_eval.similarity import LEVELS, similarity, window_weights

SKIMAGE: Any = metrics  # which has no types
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
    (psnr, 64, {"epsilon": 1e-8}, 29.7316875276),
    (ssim, 64, {"window": 11}, 0.9651861215),
    (ssim, 64, {"window": 11, "sample": True}, 0.9651743587),
    (ssim, 64, {"window": 11, "border": "reflect"}, 0.9609467744),
    (ssim, 64, {"window": 7, "sigma": None, "sample": True}, 0.9705190419),
    (ssim, 64, {"window": 7}, 0.9624545829),
    (ssim, 64, {}, 0.9624545829),
    (ms_ssim, 192, {"window": 11}, 0.9918549231),
    (ms_ssim, 192, {"window": 7}, 0.9917768242),
    (ms_ssim, 192, {}, 0.9917768242),
    (ms_ssim, 192, {"window": 11, "levels": 3}, 0.9890942276),
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


def gaussian(window: int, sigma: float = 1.5, channels: int = 1) -> Tensor:
    """The window of pytorch-msssim, whose own is float32."""
    weights = torch.exp(-(torch.arange(window, dtype=torch.float64) - window // 2).square() / (2 * sigma**2))
    return (weights / weights.sum()).expand(channels, 1, 1, window)


@pytest.mark.parametrize(
    ("window", "levels", "value"), [(11, 5, 0.9918549341), (7, 5, 0.9917768103), (11, 3, 0.9890942421)]
)
def test_pytorch_msssims_own_values_differ_only_by_its_window_in_float32(
    window: int, levels: int, value: float
) -> None:
    a, b = golden_pair(192)
    exponents = LEVELS if levels == 5 else [one / sum(LEVELS[:levels]) for one in LEVELS[:levels]]
    theirs = pytorch_msssim.ms_ssim(a, b, data_range=1.0, win_size=window, weights=list(exponents))
    assert theirs.item() == pytest.approx(value, abs=0.6e-10)
    in_float64 = pytorch_msssim.ms_ssim(a, b, data_range=1.0, win=gaussian(window), weights=list(exponents))
    ours = ms_ssim(a, b, data_range=1.0, window=window, levels=levels)
    assert ours.item() == pytest.approx(in_float64.item(), abs=1e-13)
    assert ours.item() == pytest.approx(value, abs=2e-8)


@pytest.mark.parametrize("noise", [0.001, 0.1, 1.0])
@pytest.mark.parametrize("data_range", [1.0, 2.5])
def test_psnr_and_ssim_agree_with_scikit_image(noise: float, data_range: float) -> None:
    a, b = random_pair(3, 1, 40, 33, noise=noise)
    for one, other, value, structural in zip(
        a[:, 0].numpy(),
        b[:, 0].numpy(),
        psnr(a, b, data_range=data_range),
        ssim(a, b, data_range=data_range, window=11),
        strict=True,
    ):
        wanted = SKIMAGE.peak_signal_noise_ratio(other, one, data_range=data_range)
        assert value.item() == pytest.approx(wanted, abs=1e-10)
        wanted = SKIMAGE.structural_similarity(
            one, other, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert structural.item() == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("window", [5, 7, 11])
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_both_similarities_agree_with_pytorch_msssim(window: int, sigma: float) -> None:
    a, b = random_pair(1, 2, 161, 166)
    weights = gaussian(window, sigma, channels=2)
    for ours, theirs in ((ssim, pytorch_msssim.ssim), (ms_ssim, pytorch_msssim.ms_ssim)):
        wanted = theirs(a, b, data_range=1.0, size_average=False, win=weights)
        torch.testing.assert_close(ours(a, b, data_range=1.0, window=window, sigma=sigma), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_fewer_levels_agree_with_pytorch_msssim_with_exponents_over_their_sum(levels: int) -> None:
    a, b = random_pair(1, 1, 161, 170)
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363])[:levels]
    wanted = pytorch_msssim.ms_ssim(a, b, data_range=1.0, size_average=False, weights=exponents / exponents.sum())
    found = ms_ssim(a, b, data_range=1.0, window=11, levels=levels)
    torch.testing.assert_close(found, wanted.double(), rtol=0, atol=1e-6)


def test_the_epsilon_is_of_images_on_zero_to_one_whatever_their_range() -> None:
    a, b = golden_pair(64)
    found = psnr(255 * a, 255 * b, data_range=255.0, epsilon=1e-8)
    assert found.item() == pytest.approx(29.7316875276, abs=0.6e-10)
    assert psnr(a, a, data_range=1.0, epsilon=1e-8).item() == pytest.approx(80, abs=1e-12)


def test_one_level_of_ms_ssim_is_ssim() -> None:
    a, b = random_pair(2, 1, 20, 30)
    assert torch.equal(ms_ssim(a, b, data_range=1.0, levels=1), ssim(a, b, data_range=1.0))


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return import_module(name)
        except Exception as error:  # noqa: BLE001 - a torchvision of another torch raises what it likes
            pytest.skip(f"{name} does not load: {error}")


def test_torchmetrics_agrees_on_psnr_and_on_ssim_mirrored_and_cropped() -> None:
    theirs: Any = library("torchmetrics.functional.image")
    a, b = random_pair(2, 1, 60, 70)
    arguments: dict[str, Any] = {"data_range": 1.0, "reduction": "none"}
    wanted = theirs.peak_signal_noise_ratio(a, b, dim=(1, 2, 3), **arguments)
    torch.testing.assert_close(psnr(a, b, data_range=1.0), wanted, rtol=1e-7, atol=0)  # its log(10) is float32
    mirrored, whole = theirs.structural_similarity_index_measure(a, b, return_full_image=True, **arguments)
    found = ssim(a, b, data_range=1.0, window=11, border="reflect")
    torch.testing.assert_close(found, mirrored, rtol=0, atol=1e-12)
    cropped = whole[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))
    torch.testing.assert_close(ssim(a, b, data_range=1.0, window=11), cropped, rtol=0, atol=1e-12)


@pytest.mark.parametrize("window", [7, 11])
def test_piq_agrees_on_psnr_and_ssim(window: int) -> None:
    theirs = library("piq")
    a, b = (image.clamp(0, 1) for image in random_pair(2, 1, 60, 70))
    wanted = theirs.ssim(a, b, kernel_size=window, reduction="none", downsample=False)
    torch.testing.assert_close(ssim(a, b, data_range=1.0, window=window), wanted, rtol=0, atol=1e-6)
    wanted = theirs.psnr(a, b, reduction="none")
    torch.testing.assert_close(psnr(a, b, data_range=1.0, epsilon=1e-8), wanted, rtol=0, atol=1e-10)


@each_metric
def test_equal_images_are_exactly_perfect(metric: Metric) -> None:
    name = next(name for name, known in METRICS.items() if known is metric)
    for image in (torch.rand(2, 1, 70, 65), 1e4 + torch.rand(2, 1, 70, 65), torch.rand(2, 1, 70, 65) - 0.5):
        assert metric(image, image.clone(), data_range=1.0).tolist() == [TOP[name]] * 2


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.3, 1.0, 1000.0])
@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_flat_images_never_score_above_one(metric: Metric, level: float) -> None:
    for offset in (0.0, 1e-7, 1e-3):
        flat = torch.full((1, 1, 112, 112), level)
        value = metric(flat, flat + offset, data_range=1.0).item()
        assert 0 < value <= 1
        assert value == pytest.approx(1, abs=0.1)


def test_an_image_against_its_negative_is_near_minus_one_on_one_scale_and_nothing_on_several() -> None:
    image = torch.rand(1, 1, 112, 112)
    assert -1 < ssim(image, 1 - image, data_range=1.0).item() < -0.9
    assert ms_ssim(image, 1 - image, data_range=1.0).item() == 0


images = st.tuples(st.integers(0, 2**31), st.floats(1e-4, 2), st.integers(33, 60), st.integers(33, 60))


def drawn(of: tuple[int, float, int, int]) -> tuple[Tensor, Tensor]:
    seed, noise, height, width = of
    torch.manual_seed(seed)
    return random_pair(1, 1, height, width, noise=noise)


@each_metric
@settings(deadline=None, max_examples=10)
@given(of=images)
def test_the_order_of_the_two_images_does_not_matter(metric: Metric, of: tuple[int, float, int, int]) -> None:
    a, b = drawn(of)
    assert torch.equal(metric(a, b, data_range=1.0), metric(b, a, data_range=1.0))


@each_metric
@settings(deadline=None, max_examples=10)
@given(of=images, factor=st.sampled_from([255.0, 65535.0, 0.01]))
def test_images_on_another_scale_with_its_range_score_the_same(
    metric: Metric, of: tuple[int, float, int, int], factor: float
) -> None:
    a, b = drawn(of)
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
@settings(deadline=None, max_examples=10)
@given(of=images, shave=st.integers(1, 16))
def test_shaving_is_cropping_every_side(metric: Metric, of: tuple[int, float, int, int], shave: int) -> None:
    a, b = (torch.nn.functional.pad(image, [16] * 4, value=0.5) for image in drawn(of))
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
    for empty in ((0, 1, 100, 100), (1, 0, 100, 100), (1, 1, 0, 100)):
        with pytest.raises(ValueError, match="images must hold a pixel, got"):
            metric(torch.rand(empty), torch.rand(empty), data_range=1.0)


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


@pytest.mark.parametrize(("side", "window"), [(7, 7), (20, 7), (6, 5), (5, 5)])
def test_the_window_is_of_seven_pixels_or_of_five_where_seven_do_not_fit(side: int, window: int) -> None:
    a, b = random_pair(2, 1, side + 4, side + 9)
    wanted = ssim(a, b, data_range=1.0, shave=2, window=window)
    assert torch.equal(ssim(a, b, data_range=1.0, shave=2), wanted)
    if side > 8:
        assert not torch.equal(ssim(a, b, data_range=1.0, shave=2, window=5), wanted)


def test_below_five_pixels_there_is_no_ssim_unless_a_window_is_asked_for() -> None:
    a, b = random_pair(1, 1, 8, 20)
    with pytest.raises(ValueError, match="shaved image must be 5 pixels or more for SSIM, got 4"):
        ssim(a, b, data_range=1.0, shave=2)
    assert ssim(a, b, data_range=1.0, shave=2, window=3).isfinite()


def test_a_single_pixel_has_no_variance_as_a_sample() -> None:
    with pytest.raises(ValueError, match="window must be 3 pixels or more for the variance of a sample, got 1"):
        ssim(*random_pair(1, 1, 16, 16), data_range=1.0, window=1, sample=True)


def test_a_border_of_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="^border must be valid or reflect, got 'symmetric'"):
        ssim(*random_pair(1, 1, 16, 16), data_range=1.0, border="symmetric")  # type: ignore[arg-type]


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


@pytest.mark.parametrize(("side", "window"), [(97, 7), (96, 5), (65, 5), (64, 3), (33, 3)])
def test_ms_ssim_takes_the_largest_window_up_to_seven_that_fits_on_five_levels(side: int, window: int) -> None:
    a, b = random_pair(1, 1, side + 7, side)
    assert torch.equal(ms_ssim(a, b, data_range=1.0), ms_ssim(a, b, data_range=1.0, window=window))
    assert not torch.equal(ms_ssim(a, b, data_range=1.0), ms_ssim(a, b, data_range=1.0, levels=4))


def test_below_33_pixels_there_is_no_ms_ssim_of_five_levels() -> None:
    with pytest.raises(ValueError, match="larger than 32 pixels for MS-SSIM with window 3, got 40×32"):
        ms_ssim(*random_pair(1, 1, 40, 32), data_range=1.0)


@pytest.mark.parametrize(("window", "sides"), [(11, (11, 21, 41, 81)), (7, (7, 13, 25, 49)), (5, (5, 9, 17, 33))])
def test_fewer_levels_need_fewer_pixels(window: int, sides: tuple[int, ...]) -> None:
    for levels, side in enumerate(sides, start=1):
        assert ms_ssim(*random_pair(1, 1, side, side), data_range=1.0, window=window, levels=levels).isfinite()
        with pytest.raises(ValueError, match="larger than"):
            ms_ssim(*random_pair(1, 1, side - 1, side), data_range=1.0, window=window, levels=levels)


@pytest.mark.parametrize("levels", [0, 6])
def test_levels_without_exponents_are_refused(levels: int) -> None:
    with pytest.raises(ValueError, match=f"levels must be from 1 to 5, got {levels}"):
        ms_ssim(*random_pair(1, 1, 200, 200), data_range=1.0, levels=levels)


@each_metric
@settings(deadline=None, max_examples=10)
@given(of=images)
def test_a_mask_that_holds_everything_is_no_mask(metric: Metric, of: tuple[int, float, int, int]) -> None:
    a, b = drawn(of)
    everything = torch.ones(a.shape[-2:], dtype=torch.bool)
    wanted = metric(a, b, data_range=1.0)
    for mask in (everything, everything[None, None]):
        torch.testing.assert_close(metric(a, b, data_range=1.0, mask=mask), wanted, rtol=1e-14, atol=0)


@each_metric
def test_a_rectangular_mask_is_cropping(metric: Metric) -> None:
    a, b = random_pair(1, 2, 192, 208)
    mask = torch.zeros(192, 208, dtype=torch.bool)
    mask[32:176, 16:192] = True  # whole pixels on every level
    wanted = metric(a[..., 32:176, 16:192], b[..., 32:176, 16:192], data_range=1.0)
    torch.testing.assert_close(metric(a, b, data_range=1.0, mask=mask), wanted, rtol=1e-12, atol=0)


def test_a_pixel_of_the_next_level_is_inside_the_mask_if_all_four_are() -> None:
    a, b = random_pair(1, 1, 60, 60)
    mask = torch.zeros(60, 60, dtype=torch.bool)
    mask[11:50, 10:50] = True
    fine, coarse = (..., slice(11, 50), slice(10, 50)), (..., slice(12, 50), slice(10, 50))
    halves = [torch.nn.functional.avg_pool2d(one[coarse], 2) for one in (a, b)]
    _, structure = similarity(a[0][fine], b[0][fine], None, weights=window_weights(7, 1.5), data_range=1.0)
    power = LEVELS[1] / (LEVELS[0] + LEVELS[1])
    wanted = structure ** (1 - power) * ssim(*halves, data_range=1.0, window=7) ** power
    found = ms_ssim(a, b, data_range=1.0, mask=mask, window=7, levels=2)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def disc(height: int, width: int, radius: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < radius**2


@each_metric
@pytest.mark.parametrize("beyond", [math.nan, math.inf, 7.0])
def test_nothing_outside_the_mask_counts(metric: Metric, beyond: float) -> None:
    a, b = random_pair(2, 1, 260, 270)
    mask = disc(260, 270, 128)
    wanted = metric(a, b, data_range=1.0, mask=mask)
    torch.testing.assert_close(metric(a.where(mask, beyond), b, data_range=1.0, mask=mask), wanted, rtol=1e-12, atol=0)
    assert wanted.isfinite().all()
    assert not torch.isclose(wanted, metric(a, b, data_range=1.0)).any()


def test_masked_values_are_means_over_pixels_and_over_windows_wholly_inside() -> None:
    a, b = random_pair(1, 1, 60, 70)
    mask = disc(60, 70, 25)
    x, y, inside = a[0, 0].numpy(), b[0, 0].numpy(), mask.numpy()
    assert psnr(a, b, data_range=1.0, mask=mask).item() == pytest.approx(-10 * np.log10(((x - y)[inside] ** 2).mean()))
    assert mae(a, b, data_range=1.0, mask=mask).item() == pytest.approx(np.abs(x - y)[inside].mean())
    _, whole = SKIMAGE.structural_similarity(
        x, y, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    windows = ndimage.minimum_filter(inside, 11, mode="constant", cval=0)
    found = ssim(a, b, data_range=1.0, mask=mask, window=11).item()
    assert found == pytest.approx(whole[windows].mean(), abs=1e-12)


def test_a_mask_away_from_the_edge_sees_no_border() -> None:
    a, b = random_pair(1, 1, 40, 50)
    mask = disc(40, 50, 15)
    mirrored = ssim(a, b, data_range=1.0, mask=mask, border="reflect")
    torch.testing.assert_close(mirrored, ssim(a, b, data_range=1.0, mask=mask), rtol=1e-12, atol=0)


@each_metric
def test_each_image_has_its_own_mask_shaved_with_it(metric: Metric) -> None:
    a, b = random_pair(2, 1, 270, 280)
    masks = torch.stack([disc(270, 280, 128), disc(270, 280, 120)])[:, None]
    both = metric(a, b, data_range=1.0, mask=masks, shave=6)
    inside = (..., slice(6, -6), slice(6, -6))
    for number, mask in enumerate(masks):
        one = (image[number][None][inside] for image in (a, b))
        wanted = metric(*one, data_range=1.0, mask=mask[0][inside])
        torch.testing.assert_close(both[number : number + 1], wanted, rtol=1e-14, atol=0)


@each_metric
@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(100, 100),
        torch.ones(100, 99, dtype=torch.bool),
        torch.ones(3, 1, 100, 100, dtype=torch.bool),
        torch.ones(1, 100, 100, dtype=torch.bool),
    ],
)
def test_a_mask_of_another_kind_or_size_is_refused(metric: Metric, mask: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"^mask must be bool and \(100, 100\) or \(2, 1, 100, 100\) as the images, got"
    ):
        metric(*random_pair(2, 1, 100, 100), data_range=1.0, mask=mask)


@each_metric
def test_a_mask_that_holds_nothing_is_refused(metric: Metric) -> None:
    mask = torch.zeros(2, 1, 100, 100, dtype=torch.bool)
    mask[0] = True
    mask[1, :, 0] = True  # shaved away
    with pytest.raises(ValueError, match="mask must hold a pixel of every shaved image, got none"):
        metric(*random_pair(2, 1, 100, 100), data_range=1.0, mask=mask, shave=1)


def test_a_mask_too_small_for_a_window_has_psnr_but_no_ssim() -> None:
    a, b = random_pair(1, 1, 100, 100)
    mask = torch.zeros(100, 100, dtype=torch.bool)
    mask[40:50, 40:46] = True
    assert psnr(a, b, data_range=1.0, mask=mask).isfinite()
    with pytest.raises(ValueError, match="mask must hold a whole window of 7×7 pixels, got none on 100×100"):
        ssim(a, b, data_range=1.0, mask=mask)
    with pytest.raises(ValueError, match="mask must hold a whole window of 3×3 pixels, got none on 25×25"):
        ms_ssim(a, b, data_range=1.0, mask=mask, window=3, levels=4)


def squares(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).square().mean(dim=(1, 2, 3), keepdim=True)


def test_lpips_is_a_distance_of_three_channels_in_minus_one_to_one() -> None:
    seen: list[Tensor] = []

    def distance(one: Tensor, other: Tensor) -> Tensor:
        seen.extend((one, other))
        return squares(one, other)

    a, b = (255 * torch.rand(2, 1, 12, 14, dtype=torch.float64) for _ in range(2))
    found = lpips(a.requires_grad_(), b, data_range=255, shave=2, distance=distance)
    assert found.shape == (2,)
    assert found.dtype == torch.float64
    assert not found.requires_grad
    for image, one in zip(seen, (a, b), strict=True):
        assert image.shape == (2, 3, 8, 10)
        assert image.dtype == torch.float32
        torch.testing.assert_close(image[:, 2:].double(), one.detach()[..., 2:-2, 2:-2] / 127.5 - 1, rtol=0, atol=1e-6)
    wanted = 4 * ((a - b)[..., 2:-2, 2:-2] / 255).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-6, atol=0)


def test_lpips_of_equal_images_is_zero_and_of_colours_as_they_are() -> None:
    a = torch.rand(1, 3, 8, 8)
    assert lpips(a, a.clone(), data_range=1.0, distance=squares).item() == 0
    assert lpips(a, a.flip(1), data_range=1.0, distance=squares).item() > 0.01


def test_lpips_is_not_computed_under_autocast() -> None:
    weights = torch.rand(4, 3, 3, 3)

    def distance(one: Tensor, other: Tensor) -> Tensor:
        return squares(*(torch.nn.functional.conv2d(image, weights) for image in (one, other)))

    a, b = random_pair(1, 1, 20, 20)
    wanted = lpips(a, b, data_range=1.0, distance=distance)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(lpips(a, b, data_range=1.0, distance=distance), wanted)


def test_lpips_refuses_two_channels_small_images_and_distances_that_pool_the_batch() -> None:
    with pytest.raises(ValueError, match="images must be of 1 or 3 channels for LPIPS, got 2"):
        lpips(*random_pair(1, 2, 64, 64), data_range=1.0, distance=squares)
    with pytest.raises(ValueError, match="shaved image must be 31 pixels or more for LPIPS, got 60×30"):
        lpips(*random_pair(1, 1, 64, 34), data_range=1.0, shave=2)
    with pytest.raises(ValueError, match=r"distance must answer one number per image, got \(\) for 2"):
        lpips(*random_pair(2, 1, 64, 64), data_range=1.0, distance=lambda one, other: (one - other).abs().mean())
