"""The shift between two images of one size: exact where it can be known, and sure only where it is no chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, ndimage

from coresr_data.align import CONFIDENT
from coresr_data.align.phase import NoOverlapError, Pair, shift_between


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.floats(-1, 1), st.floats(-1, 1)))
def test_law_a_shift_in_the_fourier_domain_is_found(shift: tuple[float, float]) -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(96, 80)), 1.5, mode="wrap")
    moved = fft.ifftn(ndimage.fourier_shift(fft.fftn(image), shift)).real
    found, confidence = shift_between(moved[None], image[None])
    np.testing.assert_allclose(found, shift, atol=0.03)
    assert confidence > CONFIDENT


def test_shifts_swap_sign_with_the_images() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(70, 70)), 1)
    a, b = image[None, :64, :64], image[None, 2:66, 5:69]
    # the window lies over other parts of the rock in each, which `measure` makes good by a second look
    np.testing.assert_allclose(shift_between(a, b)[0], (2, 5), atol=0.1)
    np.testing.assert_allclose(shift_between(b, a)[0], (-2, -5), atol=0.1)


def test_brightness_and_contrast_change_nothing() -> None:
    image = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(70, 70)), 1)
    a, b = image[None, :64, :64], image[None, 2:66, 5:69]
    plain, other = shift_between(a, b), shift_between(5 * a + 100, 0.1 * b - 7)
    assert other[0] == plain[0]
    assert other[1] == pytest.approx(plain[1], rel=1e-6)


@pytest.mark.parametrize("softness", [0, 2])
def test_noise_is_below_the_limit_of_confidence_in_999_of_1000_pairs(softness: float) -> None:
    rng = np.random.default_rng(1)
    high = 0
    for _ in range(1000):
        a, b = ndimage.gaussian_filter(rng.normal(size=(2, 32, 32)), (0, softness, softness))
        high += shift_between(a[None], b[None])[1] >= CONFIDENT
    assert high <= 1


def test_slices_of_a_stack_add_up() -> None:
    rng = np.random.default_rng(0)
    images = ndimage.gaussian_filter(rng.normal(size=(8, 40, 40)), (0, 1, 1))
    noisy = images[:, 1:33, 2:34] + rng.normal(0, 0.5, (8, 32, 32))
    one, many = (shift_between(noisy[:n], images[:n, :32, :32]) for n in (1, 8))
    assert many[1] > 2 * one[1]
    np.testing.assert_allclose(many[0], (-1, -2), atol=0.1)


def test_a_pair_gives_the_part_that_both_show() -> None:
    lr, hr = np.arange(400.0).reshape(20, 20), np.arange(1600.0).reshape(40, 40)
    pair = Pair(lr, hr, 2)
    everything = (slice(0, 20), slice(0, 20))
    assert pair.overlap(everything, (3, -2)) == (
        (slice(2, 20), slice(0, 19)),
        (slice(1, 37), slice(2, 40)),
    )
    low, high = pair.block(everything, (3, -2))
    assert low.shape == high.shape == (1, 18, 19)
    np.testing.assert_array_equal(low[0], lr[2:20, 0:19])
    with pytest.raises(NoOverlapError, match="must show one place, got a shift of 13 in 20"):
        pair.overlap(everything, (26, 0))
