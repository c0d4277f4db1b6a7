"""Consistency by closed forms, against scipy, and on operators whose pseudo-inverse is exact."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import wasserstein_distance
from torch import Tensor
from torch.nn.functional import avg_pool2d

from coresr_eval.consistency import (
    back_project,
    drift,
    hallucination,
    hallucination_error,
    hallucination_map,
    hallucination_share,
    histogram_distance,
    local_drift,
    lr_psnr,
)

Operators = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]


def binned(image: Tensor) -> Tensor:
    return avg_pool2d(image, 2)


def repeated(image: Tensor) -> Tensor:
    """The pseudo-inverse of `binned`: the smallest image of those means."""
    return image.repeat_interleave(2, -1).repeat_interleave(2, -2)


BINNING: Operators = (binned, repeated)


def bicubic(size: int, scale: int) -> Operators:
    resize = pytest.importorskip("coresr_data.resize")
    operator = resize.resizing(size, size, 1 / scale)
    return operator.forward, operator.pinv


def blurred(size: int, scale: int) -> Operators:
    pytest.importorskip("coresr_data")
    from coresr_data.degrade import Steps
    from coresr_data.degrade.operators import linear
    from coresr_data.degrade.steps import Bin, Blur

    steps: Steps = (Blur(sigma_y=5.0, sigma_x=5.0), Bin())
    operator = linear(steps, size, size, scale, tau=1e-3)
    return operator.forward, operator.pinv


OPERATORS: dict[str, Callable[[], Operators]] = {
    "binning ×2": lambda: BINNING,
    "bicubic ×2": lambda: bicubic(36, 2),
    "bicubic ×3": lambda: bicubic(36, 3),
    "bicubic ×4": lambda: bicubic(36, 4),
}
each_operator = pytest.mark.parametrize("operators", OPERATORS.values(), ids=OPERATORS)


def random(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64)


SANDSTONE, SHALE = "sandstone-versa/slices/0400.png", "shale-fibsem/slices/03.png"


def rock(real_data: Path, file: str = SANDSTONE) -> Tensor:
    levels = np.asarray(Image.open(real_data / file))[:576, :576]
    return torch.from_numpy(levels.astype(np.float64) / 255)[None, None]


# Against the LR


def test_an_sr_that_degrades_to_its_lr_is_infinitely_consistent() -> None:
    sr = (256 * random(2, 1, 20, 24)).round() / 256  # means of four of them are exact
    assert lr_psnr(sr, binned(sr), binned, data_range=1.0).tolist() == [math.inf] * 2


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_a_uniform_error_counts_in_full_at_lr_size_and_image_by_image(data_range: float) -> None:
    lr = data_range * random(2, 1, 10, 12)
    error = data_range * torch.tensor([0.1, 0.001], dtype=torch.float64)[:, None, None, None]
    values = lr_psnr(repeated(lr) + error, lr, binned, data_range=data_range)
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([20, 60], abs=1e-8)


def test_an_error_that_degrading_removes_does_not_count() -> None:
    lr = (256 * random(1, 1, 10, 12)).round() / 256
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(10, 12) / 8
    assert lr_psnr(repeated(lr) + board, lr, binned, data_range=1.0).item() == math.inf


def test_the_true_hr_itself_reaches_no_more_than_the_rounding_of_its_lr() -> None:
    hr = random(1, 1, 1024, 1024)
    value = lr_psnr(hr, (255 * binned(hr)).round() / 255, binned, data_range=1.0).item()
    wanted = 10 * math.log10(12 * 255**2)
    # the mean square of n uniform roundings has a relative standard error of √(0.8 / n)
    assert value == pytest.approx(wanted, abs=4 * 10 / math.log(10) * math.sqrt(0.8) / 512)
    assert wanted == pytest.approx(58.9, abs=0.05)


@pytest.mark.parametrize(("file", "wanted"), [(SHALE, 57.44), (SANDSTONE, 55.82)])
def test_real_rock_against_its_own_lr_of_whole_levels_reads_what_is_said(
    real_data: Path, file: str, wanted: float
) -> None:
    hr = rock(real_data, file)
    forward, _ = bicubic(576, 2)
    from coresr_data.degrade import bicubic as degraded

    levels = degraded((255 * hr[0, 0].numpy()).round().astype(np.uint8), 2)
    lr = torch.from_numpy(levels / 255)[None, None]
    assert lr_psnr(hr, lr, forward, data_range=1.0).item() == pytest.approx(wanted, abs=0.05)
    assert abs(drift(hr, lr).item()) < 0.05 / 255
    assert local_drift(hr, lr).item() < 0.1 / 255


def test_shaving_counts_lr_pixels() -> None:
    lr = random(1, 1, 12, 12)
    sr = repeated(lr)
    sr[..., :4, :] += 0.5  # two rows of LR
    assert lr_psnr(sr, lr, binned, data_range=1.0, shave=2).item() > 300
    assert lr_psnr(sr, lr, binned, data_range=1.0, shave=1).item() < 20


def test_drift_is_signed_and_each_images_own() -> None:
    lr = random(3, 1, 9, 11)
    moved = torch.tensor([0.25, -0.125, 0.0], dtype=torch.float64)
    values = drift(repeated(lr) + moved[:, None, None, None], lr)
    torch.testing.assert_close(values, moved, rtol=0, atol=1e-14)


def test_a_shift_of_the_whole_image_is_no_local_drift_but_a_step_is_its_height() -> None:
    lr = random(2, 1, 32, 64)
    sr = repeated(lr) + 0.3
    assert local_drift(sr, lr, block=8).tolist() == pytest.approx([0, 0], abs=1e-14)
    sr[1, :, :, :64] += 0.1
    sr[1, :, :, 64:] -= 0.1
    assert local_drift(sr, lr, block=8).tolist() == pytest.approx([0, 0.1], abs=1e-14)
    assert local_drift(sr, lr).tolist() == pytest.approx([0, 0.1], abs=1e-14)


def test_a_rest_narrower_than_a_block_is_left_out() -> None:
    lr = random(1, 1, 19, 35)
    sr = repeated(lr)
    sr[..., 32:, :] += 1.0
    sr[..., 64:] -= 1.0
    assert local_drift(sr, lr).item() == pytest.approx(0, abs=1e-14)
    assert local_drift(sr, lr, block=19).item() == pytest.approx(0, abs=1e-14)  # of a single block


@pytest.mark.parametrize("block", [4, 16])
def test_independent_noise_adds_its_share_of_a_block(block: int) -> None:
    lr = torch.zeros(50, 1, 128, 128, dtype=torch.float64)
    values = local_drift(repeated(lr), lr + 0.1 * torch.randn_like(lr), block=block)
    blocks = (128 // block) ** 2
    wanted = (0.1 / block) ** 2 * (1 - 1 / blocks)
    assert values.square().mean().item() == pytest.approx(wanted, rel=4 * math.sqrt(2 / (50 * blocks)))


# Histograms


@pytest.mark.parametrize("size", [(30, 20), (15, 10), (13, 17), (1, 1)])
def test_the_histogram_distance_is_scipys_for_any_two_sizes(size: tuple[int, int]) -> None:
    sr, hr = 255 * random(3, 1, 30, 20), 255 * random(3, 1, *size) ** 2
    hr[1] = hr[1].round()
    wanted = [wasserstein_distance(a.flatten(), b.flatten()) / 255 for a, b in zip(sr, hr, strict=True)]
    assert histogram_distance(sr, hr, data_range=255).tolist() == pytest.approx(wanted, rel=1e-12)
    assert histogram_distance(hr, sr, data_range=255).tolist() == pytest.approx(wanted, rel=1e-12)


def test_moving_pixels_about_or_repeating_each_leaves_the_histogram() -> None:
    image = random(1, 1, 12, 14)
    moved = image.flatten()[torch.randperm(12 * 14)].reshape(image.shape)
    assert histogram_distance(moved, image, data_range=1.0).item() == 0
    assert histogram_distance(repeated(image), image, data_range=1.0).item() == pytest.approx(0, abs=1e-15)


def test_a_shift_is_as_far_as_it_goes_and_rounding_at_most_a_quarter_of_a_level() -> None:
    image = random(1, 1, 200, 200)
    assert histogram_distance(image - 0.25, image, data_range=1.0).item() == pytest.approx(0.25, abs=1e-12)
    levels = 255 * image
    distance = histogram_distance(levels.round(), levels, data_range=1.0).item()
    assert distance == pytest.approx(0.25, abs=4 * math.sqrt(1 / 48) / 200)


# What the LR cannot support


@each_operator
def test_an_image_splits_into_what_lr_determines_and_what_it_cannot_show(operators: Callable[[], Operators]) -> None:
    forward, pinv = operators()
    image = random(2, 1, 36, 36)
    unseen, seen = hallucination(image, forward, pinv), pinv(forward(image))
    assert unseen.dtype == torch.float64
    assert unseen.square().mean() > 0.01
    torch.testing.assert_close(unseen + seen, image, rtol=0, atol=1e-13)
    torch.testing.assert_close(forward(unseen), torch.zeros_like(forward(image)), rtol=0, atol=1e-13)
    torch.testing.assert_close(hallucination(unseen, forward, pinv), unseen, rtol=0, atol=1e-13)
    assert (unseen * seen).sum(dim=(1, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-10)
    energies = (image.square().sum() - seen.square().sum()).item()
    assert unseen.square().sum().item() == pytest.approx(energies, rel=1e-12)


@each_operator
def test_the_smallest_image_that_explains_an_lr_invents_nothing(operators: Callable[[], Operators]) -> None:
    forward, pinv = operators()
    hr = random(2, 1, 36, 36)
    plain = pinv(forward(hr))
    torch.testing.assert_close(hallucination(plain, forward, pinv), torch.zeros_like(hr), rtol=0, atol=1e-13)
    assert hallucination_share(plain, forward, pinv).tolist() == [0, 0]
    assert hallucination_error(plain, hr, forward, pinv).tolist() == pytest.approx([1, 1], abs=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_invents_nothing_under_its_own_degradation(scale: int) -> None:
    forward, pinv = bicubic(36, scale)
    from coresr_data.resize import resizing

    upscale = resizing(36 // scale, 36 // scale, scale).forward
    sr, hr = upscale(random(1, 1, 36 // scale, 36 // scale)), random(1, 1, 36, 36)
    assert hallucination_share(sr, forward, pinv).item() == 0
    assert hallucination_error(sr, hr, forward, pinv).item() == pytest.approx(1, abs=1e-12)


def test_under_a_blur_detail_that_it_all_but_wipes_out_counts_as_invented() -> None:
    forward, pinv = blurred(36, 3)
    image = random(1, 1, 36, 36)
    unseen = hallucination(image, forward, pinv)
    torch.testing.assert_close(hallucination(unseen, forward, pinv), unseen, rtol=0, atol=1e-10)
    assert (unseen * (image - unseen)).sum().item() == pytest.approx(0, abs=1e-8)
    assert forward(unseen).abs().max() < 0.01
    more = hallucination_share(image, *blurred(36, 3)).item()
    assert more > hallucination_share(image, *bicubic(36, 3)).item()


def test_single_precision_in_the_operators_is_not_taken_for_detail() -> None:
    def forward(image: Tensor) -> Tensor:
        return binned(image.float() * (1 + 2e-7))

    flat = torch.full((1, 1, 36, 36), 0.3)
    assert hallucination(flat, forward, repeated).abs().max() > 0
    assert hallucination_share(flat, forward, repeated).item() == 0
    plain = repeated(random(1, 1, 18, 18))
    assert hallucination_share(plain, forward, repeated).item() == 0
    assert hallucination_error(flat, plain, forward, repeated).item() == 0


def board(size: int) -> Tensor:
    return torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64).repeat(size // 2, size // 2)[None, None]


def test_the_share_is_that_of_the_variance() -> None:
    step = torch.ones(1, 1, 16, 16, dtype=torch.float64)
    step[..., 8:] = -1
    image = 0.5 + 0.3 * step + 0.1 * board(16)
    assert hallucination_share(image, *BINNING).item() == pytest.approx(0.01 / 0.1, rel=1e-12)
    each = torch.cat([0.5 + 0.1 * board(16), torch.full_like(image, 0.5), 0.3 * step, 1e7 * step])
    assert hallucination_share(each, *BINNING).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-12)


def test_the_error_says_how_much_of_the_detail_is_right() -> None:
    lr = random(1, 1, 32, 32)
    hr = repeated(lr) + 0.2 * board(64)
    for amount, wanted in ((1.0, 0), (0.5, 0.25), (0.0, 1), (-1.0, 4), (3.0, 4)):
        sr = repeated(random(1, 1, 32, 32)) + amount * 0.2 * board(64)  # what LR determines plays no part
        assert hallucination_error(sr, hr, *BINNING).item() == pytest.approx(wanted, abs=1e-12)


def test_as_much_detail_in_unrelated_places_is_twice_as_wrong_as_none() -> None:
    sr, hr = torch.randn(20, 1, 64, 64), torch.randn(20, 1, 64, 64)
    degrees = 20 * 64 * 64 * 3 / 4
    error = hallucination_error(sr, hr, *BINNING).mean().item()
    assert error == pytest.approx(2, abs=4 * math.sqrt(8 / degrees))  # of 1 + F - 2 r √F with F and r of the samples


def test_detail_where_hr_has_none_is_infinitely_wrong_and_none_is_right() -> None:
    hr = repeated(random(1, 1, 8, 8))
    assert hallucination_error(hr + 0.1 * board(16), hr, *BINNING).item() == math.inf
    assert hallucination_error(hr + 0.1, hr, *BINNING).item() == 0


@pytest.mark.parametrize("window", [1, 3, 15])
def test_the_map_is_the_root_mean_square_around_each_pixel(window: int) -> None:
    image = random(2, 2, 20, 16)
    detail, mapped = hallucination(image, *BINNING), hallucination_map(image, *BINNING, window=window)
    assert mapped.shape == image.shape
    reach = window // 2
    for y, x in ((0, 0), (0, 9), (10, 8), (19, 15), (18, 1)):
        around = detail[..., max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        torch.testing.assert_close(mapped[..., y, x], around.square().mean(dim=(2, 3)).sqrt(), rtol=1e-12, atol=0)


def test_the_map_is_in_grey_levels_and_says_where() -> None:
    image = repeated(random(1, 1, 30, 30))
    image[..., 20:40, 20:40] += 7 * board(20)[0, 0]
    mapped = hallucination_map(image, *BINNING)[0, 0]
    assert mapped[30, 30].item() == pytest.approx(7, rel=1e-12)
    assert mapped[:13].abs().max() < 1e-6
    assert mapped[:, 47:].abs().max() < 1e-6


def test_on_rock_the_error_of_an_sr_is_what_it_invented_and_what_it_contradicts(real_data: Path) -> None:
    hr = rock(real_data)
    forward, pinv = bicubic(576, 2)
    lr = forward(hr)
    sr = hr.roll(1, -1)
    wrong, contradicted = hallucination(sr - hr, forward, pinv), pinv(forward(sr) - lr)
    total = (sr - hr).square().sum().item()
    assert (wrong.square().sum() + contradicted.square().sum()).item() == pytest.approx(total, rel=1e-10)
    error = hallucination_error(sr, hr, forward, pinv).item()
    assert error * hallucination(hr, forward, pinv).square().sum().item() == pytest.approx(
        wrong.square().sum().item(), rel=1e-10
    )


# Making it say what the LR said


@each_operator
def test_back_projected_an_image_degrades_to_its_lr(operators: Callable[[], Operators]) -> None:
    forward, pinv = operators()
    sr, lr = random(2, 1, 36, 36), forward(random(2, 1, 36, 36))
    assert (forward(sr) - lr).abs().max() > 0.1
    assert lr_psnr(back_project(sr, lr, forward, pinv), lr, forward, data_range=1.0).min() > 280


@each_operator
def test_back_projecting_is_the_orthogonal_projection(operators: Callable[[], Operators]) -> None:
    forward, pinv = operators()
    sr, hr = random(2, 1, 36, 36), random(2, 1, 36, 36)
    back = back_project(sr, forward(hr), forward, pinv)
    away, left, right = ((a - b).square().sum().item() for a, b in ((sr, hr), (sr, back), (back, hr)))
    assert away == pytest.approx(left + right, rel=1e-12)  # Pythagoras, with a right angle at the projection
    assert left > 0.05 * away


@each_operator
def test_back_projecting_keeps_what_an_image_invents_and_takes_the_rest_from_lr(
    operators: Callable[[], Operators],
) -> None:
    forward, pinv = operators()
    sr, lr = random(2, 1, 36, 36), forward(random(2, 1, 36, 36))
    back = back_project(sr, lr, forward, pinv)
    torch.testing.assert_close(back, hallucination(sr, forward, pinv) + pinv(lr), rtol=0, atol=1e-13)


@pytest.mark.parametrize("operators", [*OPERATORS.values(), lambda: blurred(36, 3)], ids=[*OPERATORS, "blur ×3"])
def test_back_projecting_twice_is_back_projecting_once(operators: Callable[[], Operators]) -> None:
    forward, pinv = operators()
    sr, lr = random(1, 1, 36, 36), forward(random(1, 1, 36, 36))
    once = back_project(sr, lr, forward, pinv)
    assert (once - sr).abs().max() > 0.1
    torch.testing.assert_close(back_project(once, lr, forward, pinv), once, rtol=0, atol=1e-10)


def test_back_projecting_enforces_the_rounding_of_lr(real_data: Path) -> None:
    hr = rock(real_data)
    forward, pinv = bicubic(576, 2)
    rounded = (255 * forward(hr)).round() / 255
    off = (back_project(hr, rounded, forward, pinv) - hr).square().mean().item()
    axis = np.linalg.pinv(pytest.importorskip("coresr_data.resize").axis_matrix(576, 288, 0.5).toarray())
    gain = (np.square(axis).sum() / 576) ** 2  # of the mean square of independent noise in LR
    assert 255 * math.sqrt(off) == pytest.approx(math.sqrt(gain / 12), rel=0.02)
    assert math.sqrt(gain / 12) == pytest.approx(0.38, abs=0.005)


# What all have in common

HR, LR = (2, 1, 36, 40), (2, 1, 18, 20)
CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "lr_psnr": lambda hr, lr: lr_psnr(hr, lr, binned, data_range=1.0),
    "drift": drift,
    "local_drift": local_drift,
    "histogram_distance": lambda hr, lr: histogram_distance(hr, lr, data_range=1.0),
    "back_project": lambda hr, lr: back_project(hr, lr, *BINNING),
    "hallucination": lambda hr, lr: hallucination(hr, *BINNING),
    "hallucination_map": lambda hr, lr: hallucination_map(hr, *BINNING),
    "hallucination_share": lambda hr, lr: hallucination_share(hr, *BINNING),
    "hallucination_error": lambda hr, lr: hallucination_error(hr, hr.flip(-1), *BINNING),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@each_call
def test_float32_is_computed_in_float64_without_touching_the_images(call: Callable[[Tensor, Tensor], Tensor]) -> None:
    hr, lr = 0.7 * torch.rand(HR), 0.7 * torch.rand(LR)  # differences that float32 cannot hold
    before = hr.clone(), lr.clone()
    value = call(hr.requires_grad_(), lr.requires_grad_())
    assert value.dtype == torch.float64
    assert not value.requires_grad
    torch.testing.assert_close(value, call(hr.double(), lr.double()), rtol=1e-12, atol=1e-12)
    assert torch.equal(hr, before[0])
    assert torch.equal(lr, before[1])


@each_call
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(call: Callable[[Tensor, Tensor], Tensor], bad: float) -> None:
    hr = random(*HR)
    hr[1, 0, 3, 4] = bad
    with pytest.raises(ValueError, match=r"must be finite, got 1 bad pixels"):
        call(hr, random(*LR))


@each_call
def test_an_image_without_its_batch_is_refused(call: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"must be \(b, c, h, w\) with something in it, got \("):
        call(random(36, 40), random(18, 20))


@pytest.mark.parametrize("measure", [drift, local_drift, lambda a, b: histogram_distance(a, b, data_range=1.0)])
def test_another_number_of_images_is_refused(measure: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match=r"must be .*, got \(2, 1, 36, 40\) and \(1, 1, 18, 20\)"):
        measure(random(*HR), random(1, 1, 18, 20))


def test_operators_that_lead_to_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the operator must answer \(2, 1, 9, 10\), got \(2, 1, 18, 20\)"):
        lr_psnr(random(*HR), random(2, 1, 9, 10), binned, data_range=1.0)
    with pytest.raises(ValueError, match=r"^the pseudo-inverse must answer \(2, 1, 36, 40\), got \(2, 1, 18, 20\)"):
        hallucination(random(*HR), binned, lambda image: image)
    with pytest.raises(ValueError, match=r"^the operator must answer \(2, 1, 9, 10\), got \(2, 1, 18, 20\)"):
        back_project(random(*HR), random(2, 1, 9, 10), *BINNING)
    with pytest.raises(ValueError, match=r"^the operator must answer \(1, 1, 18, 20\), got \(2, 1, 18, 20\)"):
        back_project(random(*HR), random(1, 1, 18, 20), *BINNING)
    with pytest.raises(ValueError, match=r"^the pseudo-inverse must answer \(2, 1, 36, 40\), got \(2, 1, 18, 20\)"):
        back_project(random(*HR), random(*LR), binned, lambda image: image)


def test_sizes_and_ranges_that_make_no_sense_are_refused() -> None:
    hr, lr = random(*HR), random(*LR)
    cases: list[tuple[str, Callable[[], Any]]] = [
        (r"^SR must be a whole multiple", lambda: local_drift(hr[..., :-1], lr)),
        (r"^SR must be a whole multiple", lambda: local_drift(hr[..., :-2, :], lr)),
        (r"^block must fit into LR's 18×20 pixels, got 19", lambda: local_drift(hr, lr, block=19)),
        (r"^block must fit into LR's 18×20 pixels, got 0", lambda: local_drift(hr, lr, block=0)),
        (r"^data_range must be positive, got 0", lambda: histogram_distance(hr, lr, data_range=0.0)),
        (r"^data_range must be positive, got nan", lambda: histogram_distance(hr, lr, data_range=math.nan)),
        (r"^SR and HR must be of one shape", lambda: hallucination_error(hr, lr, *BINNING)),
        (r"^HR must be finite, got 2880", lambda: hallucination_error(hr, hr + hr[:1] / 0, *BINNING)),
        (r"^window must be odd and fit into 36×40 pixels, got 4", lambda: hallucination_map(hr, *BINNING, window=4)),
        (r"^window must be odd and fit into 36×40 pixels, got 37", lambda: hallucination_map(hr, *BINNING, window=37)),
        (r"^window must be odd and fit into 36×40 pixels, got -1", lambda: hallucination_map(hr, *BINNING, window=-1)),
    ]
    for message, call in cases:
        with pytest.raises(ValueError, match=message):
            call()
