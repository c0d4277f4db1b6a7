"""The linear steps are what they are called, on any grid."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.degrade.steps import Bin, Blur, Frame, Grid, Resize, Sinc
from coresr_data.resize import KERNELS, Kernel, imresize

laws = settings(deadline=None, max_examples=40)
scales = st.sampled_from([2, 3, 4])
sigmas = st.floats(0.1, 4)


def image(height: int = 24, width: int = 36, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((height, width))


def grid(scale: int, samples: int | None = None) -> Grid:
    return Grid(scale, samples or scale, Frame(0, 0, 24, 36))


def assert_close(actual: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=atol)


@st.composite
def steps(draw: st.DrawFn) -> Resize | Blur | Bin | Sinc:
    """Any linear step."""
    angle = draw(st.sampled_from([0.0, 30.0, 90.0, 135.0]))
    return draw(
        st.one_of(
            st.builds(Resize, kernel=st.sampled_from(["triangle", "cubic", "lanczos3"]), samples=st.integers(1, 4)),
            st.builds(Blur, sigma_y=sigmas, sigma_x=sigmas, angle=st.just(angle), pixel=st.sampled_from(["hr", "lr"])),
            st.just(Bin()),
            st.builds(Sinc, cutoff=st.floats(0.5, np.pi), reach_samples=st.integers(1, 8)),
        )
    )


@laws
@given(steps(), scales, st.floats(-2, 2))
def test_a_constant_stays_that_constant(step: Resize | Blur | Bin | Sinc, scale: int, level: float) -> None:
    assert_close(step.apply(np.full((24, 36), level), grid(scale)), level, atol=1e-12)


@laws
@given(steps(), scales, st.floats(-3, 3), st.floats(-3, 3))
def test_steps_are_linear(step: Resize | Blur | Bin | Sinc, scale: int, a: float, b: float) -> None:
    x, y = image(seed=1), image(seed=2)
    made = step.apply(a * x + b * y, grid(scale))
    assert_close(made, a * step.apply(x, grid(scale)) + b * step.apply(y, grid(scale)))


@laws
@given(steps(), scales)
def test_a_step_lands_on_the_grid_that_it_says(step: Resize | Blur | Bin | Sinc, scale: int) -> None:
    after = step.density(scale)
    assert step.apply(image(), grid(scale)).shape == (24 * after // scale, 36 * after // scale)


# Resize


@pytest.mark.parametrize("kernel", list(KERNELS))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_resizing_to_lr_is_imresize(kernel: Kernel, scale: int) -> None:
    made = Resize(kernel=kernel).apply(image(), grid(scale))
    assert_close(made, imresize(image(), 1 / scale, kernel=kernel))


def test_resizing_between_grids_goes_by_samples_per_lr_pixel() -> None:
    assert_close(Resize(samples=3).apply(image(), grid(2)), imresize(image(), 1.5))
    assert_close(Resize(samples=2).apply(image(), grid(4, 3)), imresize(image(), 2 / 3))
    assert_close(Resize(samples=3).apply(image(), grid(3)), image())


def test_a_box_between_grids_that_do_not_divide_is_refused() -> None:
    said = "^box must shrink by a whole number, got 3 to 2 samples per LR pixel; choose another kernel$"
    with pytest.raises(ValueError, match=said):
        Resize(kernel="box", samples=2).apply(image(), grid(3))
    assert_close(Resize(kernel="box", samples=2).apply(image(), grid(4)), imresize(image(), 0.5, kernel="box"))


# Blur


@laws
@given(sigmas, sigmas)
def test_an_upright_blur_is_scipys_gaussian_filter(y: float, x: float) -> None:
    made = Blur(sigma_y=y, sigma_x=x).apply(image(), grid(2))
    assert_close(made, ndimage.gaussian_filter(image(), (y, x), mode="reflect"))


def test_a_blur_that_leaves_an_axis_leaves_it_exactly() -> None:
    np.testing.assert_array_equal(Blur(sigma_y=0, sigma_x=0).apply(image(), grid(2)), image())
    made = Blur(sigma_y=0, sigma_x=2).apply(image(), grid(2))
    assert_close(made, ndimage.gaussian_filter1d(image(), 2, axis=1, mode="reflect"))


def test_a_quarter_turn_swaps_the_sigmas_and_a_half_turn_nothing() -> None:
    turned = [Blur(sigma_y=1, sigma_x=3, angle=angle).apply(image(), grid(2)) for angle in (0, 90, 180, -90)]
    swapped = Blur(sigma_y=3, sigma_x=1).apply(image(), grid(2))
    assert_close(turned[1], swapped)
    assert_close(turned[2], turned[0])
    assert_close(turned[3], swapped)
    assert np.abs(turned[0] - swapped).max() > 0.01


def test_a_round_blur_is_the_same_at_every_angle() -> None:
    assert Blur(sigma_y=2, sigma_x=2, angle=37).axes((24, 36), grid(2)) is not None  # and as cheap
    assert_close(
        Blur(sigma_y=2, sigma_x=2, angle=37).apply(image(), grid(2)), Blur(sigma_y=2, sigma_x=2).apply(image(), grid(2))
    )


def test_a_turned_blur_smears_along_its_angle() -> None:
    dot = np.zeros((41, 41))
    dot[20, 20] = 1
    seen = Blur(sigma_y=0.5, sigma_x=4, angle=45).apply(dot, Grid(2, 2, Frame(0, 0, 20, 20)))
    assert seen[25, 25] > 100 * seen[25, 15]  # right and down, not left and down
    y, x = np.mgrid[-20:21, -20:21]
    along = np.exp(-0.5 * (((x + y) / 4) ** 2 + ((y - x) / 0.5) ** 2) / 2)
    along[(np.abs(y) > 16) | (np.abs(x) > 16)] = 0
    assert_close(seen, along / along.sum())


def test_sigmas_are_hr_pixels_on_every_grid_or_lr_pixels_where_asked() -> None:
    blur = Blur(sigma_y=2, sigma_x=3)
    assert blur.sigmas(grid(4)) == (2, 3)
    assert blur.sigmas(grid(4, 2)) == (1, 1.5)
    own = Blur(sigma_y=1, sigma_x=0.5, pixel="lr")
    assert own.sigmas(grid(4)) == (4, 2)
    assert own.sigmas(grid(4, 1)) == (1, 0.5)


# Bin and sinc


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_bin_is_the_mean_of_each_block(scale: int) -> None:
    blocks = image().reshape(24 // scale, scale, 36 // scale, scale).mean(axis=(1, 3))
    assert_close(Bin().apply(image(), grid(scale)), blocks)


def test_a_sinc_rings_beside_an_edge() -> None:
    step = np.zeros((40, 40))
    step[:, 20:] = 1
    seen = Sinc(cutoff=np.pi / 3, reach_samples=10).apply(step, Grid(2, 1, Frame(0, 0, 40, 40)))[20]
    assert seen.max() > 1.05
    assert seen.min() < -0.05


# Grid


def test_places_are_counted_from_the_middle_of_the_whole_slice() -> None:
    y, x = Grid(2, 1, Frame(0, 0, 4, 6)).from_middle((4, 6))
    np.testing.assert_array_equal(y.ravel(), [-1.5, -0.5, 0.5, 1.5])
    np.testing.assert_array_equal(x.ravel(), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    y, x = Grid(2, 2, Frame(1, 2, 4, 6)).from_middle((2, 4))
    np.testing.assert_array_equal(y.ravel(), [-0.75, -0.25])
    np.testing.assert_array_equal(x.ravel(), [-0.75, -0.25, 0.25, 0.75])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Resize(kernel=cast("Kernel", "bicubic")),
            "^kernel must be one of box, triangle, cubic, .*, got bicubic$",
        ),
        (lambda: Resize(samples=0), "^samples per LR pixel must be 1 or more, got 0$"),
        (lambda: Blur(sigma_y=-1, sigma_x=1), "^sigmas must be 0 or more and the angle finite"),
        (lambda: Blur(sigma_y=1, sigma_x=float("nan")), "^sigmas must be 0 or more and the angle finite"),
        (lambda: Blur(sigma_y=1, sigma_x=1, angle=float("inf")), "^sigmas must be 0 or more and the angle finite"),
        (lambda: Blur(sigma_y=0, sigma_x=1, angle=30), "^sigmas must be positive for a turned Gaussian"),
        (lambda: Blur(sigma_y=1, sigma_x=1, pixel=cast("Any", "um")), "^pixel must be hr or lr, got um$"),
        (lambda: Sinc(cutoff=4, reach_samples=3), r"^cutoff must be in \(0, π\]"),
        (lambda: Sinc(cutoff=1, reach_samples=0), "reach_samples 1 or more"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(make: object, said: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=said):
        make()
