"""The resizer equals MATLAB's imresize, and its operators obey the laws of linear algebra."""

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from coresr_data.resize import KERNELS, Kernel, Separable, axis_matrix, imresize, resizing

SCALES = (0.5, 1 / 3, 0.25, 2.0, 3.0, 4.0)
each_kernel = pytest.mark.parametrize("kernel", get_args(Kernel))
each_scale = pytest.mark.parametrize("scale", SCALES)
laws = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 2**32 - 1)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def assert_close(actual: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=atol)


# What MATLAB says


def test_rows_of_halving_eight_samples_are_matlabs() -> None:
    matrix = axis_matrix(8, 4, 0.5).toarray()
    assert_close(matrix[0], [0.546875, 0.3984375, 0.1015625, -0.03515625, -0.01171875, 0, 0, 0])
    assert_close(matrix[1], [-0.046875, 0.11328125, 0.43359375, 0.43359375, 0.11328125, -0.03515625, -0.01171875, 0])


def test_taps_of_halving_are_matlabs_away_from_the_border() -> None:
    half = [-0.01171875, -0.03515625, 0.11328125, 0.43359375]
    matrix = axis_matrix(32, 16, 0.5).toarray()
    assert_close(matrix[8], [0] * 13 + half + half[::-1] + [0] * 11)


def test_taps_of_quartering_are_matlabs_away_from_the_border() -> None:
    half = [
        -0.001708984375,
        -0.010986328125,
        -0.018310546875,
        -0.011962890625,
        0.022705078125,
        0.097412109375,
        0.181884765625,
        0.240966796875,
    ]
    matrix = axis_matrix(64, 16, 0.25).toarray()
    assert_close(matrix[8], [0] * 26 + half + half[::-1] + [0] * 22)


def test_phases_of_doubling_are_matlabs() -> None:
    phase = [-0.0703125, 0.8671875, 0.2265625, -0.0234375]
    matrix = axis_matrix(4, 8, 2).toarray()
    assert_close(matrix[0], [1.09375, -0.09375, 0, 0])
    assert_close(matrix[3], phase)
    assert_close(matrix[4], phase[::-1])


def test_eight_by_eight_becomes_matlabs_four_by_four() -> None:
    expected = [
        [4.04296875, 6.08203125, 8.10546875, 10.14453125],
        [20.35546875, 22.39453125, 24.41796875, 26.45703125],
        [36.54296875, 38.58203125, 40.60546875, 42.64453125],
        [52.85546875, 54.89453125, 56.91796875, 58.95703125],
    ]
    assert_close(imresize(np.arange(64.0).reshape(8, 8), 0.5), expected)


def test_eight_by_eight_becomes_matlabs_two_by_two() -> None:
    expected = [[12.3837890625, 16.6318359375], [46.3681640625, 50.6162109375]]
    assert_close(imresize(np.arange(64.0).reshape(8, 8), 0.25), expected)


def test_a_size_that_does_not_divide_is_rounded_up_as_in_matlab() -> None:
    assert imresize(np.ones((9, 7)), 0.5).shape == (5, 4)
    assert imresize(np.ones((9, 7)), 1.5).shape == (14, 11)


def test_the_users_scale_sets_the_grid_and_not_the_ratio_of_the_sizes() -> None:
    matrix = axis_matrix(33, 17, 0.5).toarray()
    assert np.abs(matrix - matrix[::-1, ::-1]).max() == pytest.approx(0.32, abs=0.01)


# Laws of the weights


@each_kernel
@each_scale
def test_weights_of_every_output_sum_to_one(kernel: Kernel, scale: float) -> None:
    for antialias in (True, False):
        assert_close(axis_matrix(24, round(24 * scale), scale, kernel, antialias).sum(axis=1), 1)


@each_kernel
@each_scale
def test_a_constant_image_stays_as_it_is(kernel: Kernel, scale: float) -> None:
    assert_close(imresize(np.full((24, 12), 0.7), scale, kernel=kernel), 0.7)
    levels = imresize(np.full((24, 12), 77, np.uint8), scale, kernel=kernel, matlab_uint8=True)
    assert (levels == 77).all()


@each_kernel
@each_scale
def test_an_axis_read_backwards_is_the_same_axis(kernel: Kernel, scale: float) -> None:
    matrix = axis_matrix(24, round(24 * scale), scale, kernel).toarray()
    assert_close(matrix, matrix[::-1, ::-1])


def test_the_five_kernels_are_five() -> None:
    assert set(KERNELS) == set(get_args(Kernel))
    rows = [axis_matrix(24, 12, 0.5, kernel).toarray()[6] for kernel in KERNELS]
    for i, row in enumerate(rows):
        assert all(np.abs(row - other).max() > 1e-3 for other in rows[:i])


def test_kernels_have_the_weights_of_their_definitions() -> None:
    assert_close(axis_matrix(16, 8, 0.5, "box").toarray()[4, 8:10], [1 / 2, 1 / 2])
    assert_close(axis_matrix(16, 8, 0.5, "triangle").toarray()[4, 7:11], [1 / 8, 3 / 8, 3 / 8, 1 / 8])
    for lobes, kernel in ((2, "lanczos2"), (3, "lanczos3")):
        x = (np.arange(64) - 32.5) / 2
        raw = np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0)
        assert_close(axis_matrix(64, 32, 0.5, kernel).toarray()[16], raw / raw.sum())


@pytest.mark.parametrize("scale", [0.5, 0.25, 2, 4])
def test_a_ramp_is_reproduced_away_from_the_border(scale: float) -> None:
    n = 32
    ramp = axis_matrix(n, int(n * scale), scale) @ np.arange(n, dtype=float)
    border = max(2, int(2 * scale))
    expected = (np.arange(int(n * scale)) + 0.5) / scale - 0.5
    assert_close(ramp[border:-border], expected[border:-border])


def test_without_antialiasing_a_shrunk_image_takes_four_samples() -> None:
    assert np.count_nonzero(axis_matrix(32, 16, 0.5, antialias=False).toarray()[8]) == 4
    assert np.count_nonzero(axis_matrix(32, 16, 0.5).toarray()[8]) == 8


def test_an_axis_shorter_than_the_kernel_is_mirrored_again_and_again() -> None:
    taps = axis_matrix(64, 16, 0.25).toarray()[8, 26:42]  # of output 0: samples -6 to 9
    mirrored = [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2, 2]  # of three samples, mirrored at both ends
    assert_close(axis_matrix(3, 1, 0.25).toarray()[0], np.bincount(mirrored, weights=taps))


# torch as the second opinion


@pytest.mark.parametrize("scale", [0.5, 0.25, 2, 4])
def test_torch_agrees_inside_and_differs_at_the_border(scale: float) -> None:
    image = noise(1, 1, 32, 48)
    ours = resizing(32, 48, scale).forward(image)
    torchs = interpolate(image, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)
    difference = (ours - torchs).abs()[0, 0]
    border = max(2, int(2 * scale))
    assert difference[border:-border, border:-border].max() < 1e-12
    for edge in (difference[:border], difference[-border:], difference[:, :border], difference[:, -border:]):
        assert edge.max() > 1e-3


# MATLAB's integers: rounded and clipped after each pass


def slow_imresize(image: NDArray[np.integer], scale: float, *, between: bool) -> NDArray[np.int64]:
    """Bicubic by loops, as MATLAB documents it: rows, then columns; rounded in between, or only at the end."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    def rounded(value: float) -> float:
        return float(min(max(math.floor(value + 0.5), limits.min), limits.max))

    def resized(signal: list[float]) -> list[float]:
        n, q, out = len(signal), min(scale, 1.0), []
        for i in range(math.ceil(n * scale)):
            centre = (i + 0.5) / scale - 0.5
            total = weight = 0.0
            for j in range(math.floor(centre - 2 / q) - 1, math.ceil(centre + 2 / q) + 2):
                mirrored = j
                while not 0 <= mirrored < n:
                    mirrored = -1 - mirrored if mirrored < 0 else 2 * n - 1 - mirrored
                w = cubic(q * (centre - j))
                total, weight = total + w * signal[mirrored], weight + w
            out.append(total / weight)
        return out

    limits = np.iinfo(image.dtype)
    columns = [resized([float(v) for v in column]) for column in image.T]
    if between:
        columns = [[rounded(v) for v in column] for column in columns]
    rows = [resized(list(row)) for row in zip(*columns, strict=True)]
    return np.array([[rounded(v) for v in row] for row in rows], np.int64)


def levels(height: int, width: int, dtype: str = "uint8", seed: int = 0) -> NDArray[np.integer]:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width), dtype, endpoint=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("scale", [0.5, 0.25, 1 / 3, 2])
def test_integers_are_rounded_between_the_passes_like_a_slow_loop(scale: float, dtype: str) -> None:
    image = levels(24, 36, dtype)
    ours = imresize(image, scale, matlab_uint8=True)
    assert ours.dtype == image.dtype
    np.testing.assert_array_equal(ours, slow_imresize(image, scale, between=True))


def test_rounding_between_the_passes_differs_from_rounding_once_on_some_pixels() -> None:
    image = levels(64, 64)
    ours = imresize(image, 0.5, matlab_uint8=True).astype(int)
    once = np.clip(np.floor(imresize(image.astype(float), 0.5) + 0.5), 0, 255)
    np.testing.assert_array_equal(once, slow_imresize(image, 0.5, between=False))
    assert 0.05 < np.mean(ours != once) < 0.25
    assert np.abs(ours - once).max() <= 2


def test_rows_are_resized_first() -> None:
    image = levels(32, 32)
    transposed = imresize(image.T, 0.5, matlab_uint8=True).T
    assert (imresize(image, 0.5, matlab_uint8=True) != transposed).any()


def test_halves_are_rounded_up() -> None:
    row = np.array([[0, 1]], np.uint8)
    np.testing.assert_array_equal(imresize(row, 0.5, kernel="box", matlab_uint8=True), [[1]])


def test_overshoot_is_clipped_to_the_dtype_and_left_alone_in_floats() -> None:
    step = np.zeros((16, 16), np.uint8)
    step[:, 8:] = 255
    assert imresize(step.astype(float), 2).max() > 256
    assert imresize(step.astype(float), 2).min() < -1
    resized = imresize(step, 2, matlab_uint8=True)
    assert (resized.min(), resized.max()) == (0, 255)
    np.testing.assert_array_equal(resized, slow_imresize(step, 2, between=True))


def test_overshoot_is_clipped_after_the_first_pass_too() -> None:
    cross = np.zeros((16, 16), np.uint8)
    cross[8:], cross[:, 8:] = 255, 255
    cross[8:, 8:] = 0
    ours = imresize(cross, 2, matlab_uint8=True)
    np.testing.assert_array_equal(ours, slow_imresize(cross, 2, between=True))
    assert np.abs(ours.astype(int) - slow_imresize(cross, 2, between=False)).max() > 5


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "bool"])
def test_integers_without_the_flag_are_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"^image must be a float image, or matlab_uint8=True .*, got {dtype}$"):
        imresize(np.zeros((4, 4), dtype), 0.5)


@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_the_flag_without_integers_is_refused(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"^image must be an integer image, got {dtype}$"):
        imresize(np.zeros((4, 4), dtype), 0.5, matlab_uint8=True)


def test_images_of_other_ranks_impossible_sizes_and_unknown_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^image must be \(h, w\), got shape \(1, 4, 4\)$"):
        imresize(np.zeros((1, 4, 4)), 0.5)
    with pytest.raises(ValueError, match=r"must be positive, got 4 → 0 at scale 0\.1$"):
        axis_matrix(4, 0, 0.1)
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be positive"):
            axis_matrix(4, 4, scale)
    with pytest.raises(ValueError, match="^kernel must be one of box, triangle, cubic, .*, got bicubic$"):
        axis_matrix(4, 2, 0.5, "bicubic")


# The operator: A, Aᵀ, A⁺


def dense(apply: Callable[[Tensor], Tensor], height: int, width: int) -> NDArray[np.float64]:
    """The matrix of a linear map on flattened images of this size, one column per pixel."""
    basis = torch.eye(height * width, dtype=torch.float64).reshape(-1, height, width)
    return np.asarray(apply(basis).flatten(1).T)


@pytest.mark.parametrize("scale", [0.5, 0.25, 2.0])
def test_the_operator_is_imresize(scale: float) -> None:
    image = noise(24, 16)
    assert_close(resizing(24, 16, scale).forward(image), imresize(image.numpy(), scale))


def test_the_operator_is_the_kronecker_product_of_its_axes() -> None:
    operator = resizing(12, 8, 0.5)
    assert_close(dense(operator.forward, 12, 8), np.kron(operator.rows, operator.columns))


def test_the_pseudo_inverse_is_scipys() -> None:
    operator = resizing(12, 8, 0.5)
    whole = np.kron(operator.rows, operator.columns)
    assert_close(dense(operator.pinv, 6, 4), scipy.linalg.pinv(whole))


@each_kernel
@pytest.mark.parametrize("scale", [0.5, 1 / 3, 0.25, 2.0])
def test_the_four_moore_penrose_identities_hold(kernel: Kernel, scale: float) -> None:
    operator = resizing(12, 12, scale, kernel=kernel)
    size = round(12 * scale)
    a, p = dense(operator.forward, 12, 12), dense(operator.pinv, size, size)
    assert_close(a @ p @ a, a)
    assert_close(p @ a @ p, p)
    assert_close((a @ p).T, a @ p)
    assert_close((p @ a).T, p @ a)


@laws
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([0.5, 0.25, 1 / 3, 2.0]),
    st.sampled_from(list(KERNELS)),
    seeds,
)
def test_the_adjoint_passes_the_dot_test(h: int, w: int, scale: float, kernel: Kernel, seed: int) -> None:
    per = max(1, round(1 / scale))
    operator = resizing(h * per, w * per, scale, kernel=kernel)
    x = noise(h * per, w * per, seed=seed)
    y = noise(*(round(n * scale) for n in x.shape), seed=seed + 1)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12, abs=1e-12)


@laws
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 3, 4]), seeds)
def test_degrading_a_pseudo_inverse_gives_the_image_back(h: int, w: int, scale: int, seed: int) -> None:
    operator = resizing(scale * h, scale * w, 1 / scale)
    y = noise(h, w, seed=seed)
    assert_close(operator.forward(operator.pinv(y)), y)
    x = noise(scale * h, scale * w, seed=seed)
    assert_close(operator.forward(x - operator.pinv(operator.forward(x))), 0)


@laws
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([2, 3, 4]), seeds)
def test_resizing_commutes_with_the_eight_symmetries(h: int, w: int, scale: int, seed: int) -> None:
    x = noise(scale * h, scale * w, seed=seed)

    def resized(image: Tensor) -> Tensor:
        return resizing(image.shape[0], image.shape[1], 1 / scale).forward(image)

    for turns in range(4):
        turned = torch.rot90(x, turns)
        assert_close(resized(turned), torch.rot90(resized(x), turns))
        assert_close(resized(turned.flip(1)), torch.rot90(resized(x), turns).flip(1))


def blurred_bins(height: int = 24, width: int = 18, tau: float = 1e-3) -> Separable:
    """A Gaussian of 4 pixels, then bins of 3: singular values over some decades."""

    def axis(n: int) -> Tensor:
        places = np.arange(n)
        weights = [np.exp(-0.5 * ((places[:, None] - m) / 4) ** 2) for m in (places, -1 - places, 2 * n - 1 - places)]
        blur = np.sum(weights, axis=0)
        return torch.from_numpy((blur / blur.sum(axis=1, keepdims=True)).reshape(n // 3, 3, n).mean(axis=1))

    return Separable(rows=axis(height), columns=axis(width), tau=tau)


def test_a_truncated_inverse_is_that_of_the_largest_singular_values() -> None:
    operator = blurred_bins()
    whole = np.kron(operator.rows, operator.columns)
    u, s, vt = scipy.linalg.svd(whole, full_matrices=False)
    kept = s >= 1e-3 * s.max()
    assert 5 < kept.sum() < len(s) - 5
    assert np.abs(np.log(s / (1e-3 * s.max()))).min() > 1e-3  # none so near the limit that rounding decides
    expected = vt[kept].T @ np.diag(1 / s[kept]) @ u[:, kept].T
    assert_close(dense(operator.pinv, 8, 6), expected, atol=1e-9)


def test_a_truncated_inverse_obeys_moore_penrose_on_what_is_kept() -> None:
    operator = blurred_bins()
    a, p = dense(operator.forward, 24, 18), dense(operator.pinv, 8, 6)
    assert_close(p @ a @ p, p, atol=1e-9)
    assert_close((a @ p).T, a @ p, atol=1e-9)
    assert_close((p @ a).T, p @ a, atol=1e-9)
    largest = np.linalg.norm(a, 2)
    assert np.linalg.norm(a @ p @ a - a, 2) < 1e-3 * largest
    assert np.linalg.norm(p, 2) <= 1e3 / largest * (1 + 1e-9)


def test_a_smaller_tau_keeps_more() -> None:
    y = blurred_bins().forward(noise(24, 18))
    off = [
        float((blurred_bins(tau=tau).forward(blurred_bins(tau=tau).pinv(y)) - y).norm()) for tau in (0.1, 1e-2, 1e-4)
    ]
    assert off[0] > 2 * off[1] > 4 * off[2]


def test_without_tau_the_inverse_is_the_exact_one_of_before() -> None:
    operator = resizing(12, 8, 0.5)
    assert operator.tau == 0
    truncated = Separable(rows=operator.rows, columns=operator.columns, tau=1e-6)
    assert_close(truncated.pinv(noise(6, 4)), operator.pinv(noise(6, 4)))


def test_a_truncated_inverse_has_gradients_and_answers_in_float32() -> None:
    operator = blurred_bins(12, 9)
    assert torch.autograd.gradcheck(operator.pinv, (noise(2, 4, 3).requires_grad_(),))
    single = operator.pinv(noise(4, 3).float())
    assert single.dtype == torch.float32
    assert_close(single, operator.pinv(noise(4, 3)), atol=1e-3)
    with pytest.raises(ValueError, match=r"^image must be \(\.\.\., 4, 3\) .* got \(3, 4\)$"):
        operator.pinv(noise(3, 4))


def test_the_operator_has_the_gradients_of_a_linear_map() -> None:
    operator = resizing(8, 4, 0.5)
    for apply, shape in ((operator.forward, (8, 4)), (operator.adjoint, (4, 2)), (operator.pinv, (4, 2))):
        image = noise(2, *shape).requires_grad_()
        assert torch.autograd.gradcheck(apply, (image,))
    x = noise(8, 4).requires_grad_()
    y = noise(4, 2)
    (gradient,) = torch.autograd.grad((operator.forward(x) * y).sum(), x)
    assert_close(gradient, operator.adjoint(y))


def test_float32_images_answer_in_float32_to_a_millionth() -> None:
    operator = resizing(48, 32, 0.5)
    x, y = noise(3, 1, 48, 32), noise(3, 1, 24, 16)
    for apply, image in ((operator.forward, x), (operator.adjoint, y), (operator.pinv, y)):
        single = apply(image.float())
        assert single.dtype == torch.float32
        assert_close(single, apply(image), atol=2e-6)


def test_leading_axes_are_carried_along() -> None:
    operator, image = resizing(8, 4, 0.5), noise(2, 3, 8, 4)
    assert_close(operator.forward(image)[1, 2], operator.forward(image[1, 2]))
    assert operator.pinv(operator.forward(image)).shape == image.shape


def test_images_of_another_size_are_refused_by_every_operation() -> None:
    operator = resizing(8, 4, 0.5)
    with pytest.raises(ValueError, match=r"^image must be \(\.\.\., 8, 4\) for this operator, got \(1, 4, 8\)$"):
        operator.forward(noise(1, 4, 8))
    for apply in (operator.adjoint, operator.pinv):
        with pytest.raises(ValueError, match=r"^image must be \(\.\.\., 4, 2\) .* got \(8, 4\)$"):
            apply(noise(8, 4))


@pytest.mark.parametrize(("height", "width"), [(9, 8), (8, 9)])
def test_sizes_that_do_not_fit_the_scale_are_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"must be whole at scale 0.5, got {height}×{width}; crop the image first"):
        resizing(height, width, 0.5)
