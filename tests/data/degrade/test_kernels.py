"""Kernels have the weights of their definitions, sum to 1, and meet the border as a mirror."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.degrade.kernels import (
    binning,
    blurring,
    both_axes,
    convolved,
    folded,
    gaussian,
    gaussian_2d,
    mirrored,
    radius,
    sinc_2d,
)

laws = settings(deadline=None, max_examples=30)
sigmas = st.floats(0.05, 6)


def image(height: int = 23, width: int = 31, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((height, width))


def assert_close(actual: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=atol)


# Laws


@laws
@given(sigmas, sigmas, st.floats(-400, 400), st.floats(0.1, np.pi), st.integers(1, 12))
def test_kernels_sum_to_one(y: float, x: float, angle: float, cutoff: float, reach: int) -> None:
    for weights in (gaussian(y), gaussian_2d(y, x, angle), sinc_2d(cutoff, reach)):
        assert float(weights.sum()) == pytest.approx(1, abs=1e-13)


@laws
@given(sigmas, sigmas, st.floats(-400, 400))
def test_kernels_are_the_same_read_backwards(y: float, x: float, angle: float) -> None:
    assert_close(gaussian(y), gaussian(y)[::-1], atol=0)
    turned = gaussian_2d(y, x, angle)
    assert_close(turned, turned[::-1, ::-1], atol=1e-15)


@laws
@given(st.integers(1, 40), sigmas)
def test_rows_of_a_blur_sum_to_one_and_so_do_its_columns(n: int, sigma: float) -> None:
    # the columns, too: what an edge throws over the border it gets back from the mirror, and the sum of grey stays
    matrix = blurring(n, sigma).toarray()
    assert_close(matrix.sum(axis=1), 1)
    assert_close(matrix.sum(axis=0), 1)
    assert matrix.min() >= 0


# Against other implementations and against numbers by hand


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.2, 0.3, 0.7, 1.0, 2.5, 9.0])
@pytest.mark.parametrize("n", [1, 3, 8, 50])
def test_a_blurred_axis_is_scipys(sigma: float, n: int) -> None:
    signal = image(1, n)[0]
    expected = ndimage.gaussian_filter1d(signal, sigma, mode="reflect") if sigma else signal
    assert_close(blurring(n, sigma) @ signal, expected)


def test_a_sigma_of_nothing_is_the_identity_to_the_last_bit() -> None:
    signal = image(1, 9)[0]
    np.testing.assert_array_equal(blurring(9, 0.0) @ signal, signal)


def test_a_gaussian_has_its_standard_deviation() -> None:
    for sigma in (1.0, 2.5, 5.0):
        taps = gaussian(sigma)
        places = np.arange(len(taps)) - radius(sigma)
        assert float(np.sqrt((taps * places**2).sum())) == pytest.approx(sigma, rel=1e-3)


def test_a_turned_gaussian_has_the_covariance_of_its_axes() -> None:
    # x to the right and y down: at 30° the long axis runs right and down
    weights = gaussian_2d(1.5, 3.0, 30.0)
    y, x = np.mgrid[-12:13, -12:13]
    cos, sin = np.cos(np.pi / 6), 0.5
    assert float((weights * x * x).sum()) == pytest.approx(9 * cos**2 + 2.25 * sin**2, rel=5e-3)
    assert float((weights * y * y).sum()) == pytest.approx(9 * sin**2 + 2.25 * cos**2, rel=5e-3)
    assert float((weights * x * y).sum()) == pytest.approx((9 - 2.25) * sin * cos, rel=5e-3)


def test_a_gaussian_that_is_not_turned_is_the_product_of_two() -> None:
    outer = np.outer(np.pad(gaussian(1.0), 4), gaussian(2.0))
    inside = np.abs(np.arange(-8, 9)) <= 4
    flat = gaussian_2d(1.0, 2.0, 0.0)
    assert_close(flat[inside] / flat[8, 8], outer[inside] / outer[8, 8])


def test_the_sinc_keeps_low_frequencies_and_stops_high_ones() -> None:
    weights = sinc_2d(np.pi / 2, 40)
    response = np.abs(np.fft.fft2(weights, (256, 256)))
    frequency = 2 * np.pi * np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    assert response[frequency < 0.4 * np.pi].min() > 0.93
    assert response[frequency > 0.6 * np.pi].max() < 0.07


def test_the_middle_of_the_sinc_is_the_limit_of_its_neighbourhood() -> None:
    close = gaussian_2d(1, 1, 0) * 0 + 1  # any kernel of its size, as the unit
    weights = sinc_2d(1e-4, 4)  # so low a cutoff that r = 0 and r = 1 hardly differ
    assert_close(weights, close / close.size, atol=1e-9)


@pytest.mark.parametrize(("n", "factor"), [(12, 2), (12, 3), (12, 4), (12, 12), (5, 1)])
def test_bins_are_the_means_of_blocks(n: int, factor: int) -> None:
    signal = image(1, n)[0]
    assert_close(binning(n, factor) @ signal, signal.reshape(-1, factor).mean(axis=1))


def test_bins_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="^size must be a multiple of the bin, got 10 in bins of 3; crop it first$"):
        binning(10, 3)


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_folded_places_are_those_of_numpys_symmetric_pad(n: int) -> None:
    expected = np.pad(np.arange(n), 25, mode="symmetric")
    np.testing.assert_array_equal(folded(np.arange(-25, n + 25), n), expected)


@pytest.mark.parametrize("shape", [(23, 31), (3, 20), (1, 1)])
def test_a_turned_blur_is_scipys_convolution_under_a_mirror(shape: tuple[int, int]) -> None:
    kernel = gaussian_2d(0.7, 2.0, 35.0)
    assert_close(convolved(image(*shape), kernel), ndimage.convolve(image(*shape), kernel, mode="reflect"))


def test_taps_are_put_on_each_sample_in_order() -> None:
    matrix = mirrored(np.array([1.0, 2.0, 4.0]), 4).toarray()
    np.testing.assert_array_equal(matrix, [[3, 4, 0, 0], [1, 2, 4, 0], [0, 1, 2, 4], [0, 0, 1, 6]])


def test_rows_act_on_y_and_columns_on_x() -> None:
    picture = image(4, 6)
    made = both_axes(binning(4, 4), picture, binning(6, 2))
    assert_close(made, picture.reshape(4, 3, 2).mean(axis=(0, 2))[None])
