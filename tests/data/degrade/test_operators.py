"""The steps of a degradation, as one operator, obey the laws of linear algebra and are what `apply` does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from coresr_data.degrade import DEGRADATIONS, apply
from coresr_data.degrade.kernels import gaussian_2d
from coresr_data.degrade.operators import Chain, Convolution, linear
from coresr_data.degrade.recipes import Linear, Steps
from coresr_data.degrade.scanner import Noise
from coresr_data.degrade.steps import Bin, Blur, Resize, Sinc
from coresr_data.patches import keyed
from coresr_data.resize import Separable, resizing

laws = settings(deadline=None, max_examples=30)
names = st.sampled_from(sorted(DEGRADATIONS))
draws = st.integers(0, 10**6)
TURNED: Steps = (Blur(sigma_y=0.5, sigma_x=1.0, angle=30), Bin())
ROUND: Steps = (Blur(sigma_y=3.0, sigma_x=3.5), Bin())


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def kept(name: str, number: int) -> Steps:
    """The linear steps that a recipe draws."""
    return tuple(step for step in DEGRADATIONS[name](keyed("test", name, number)) if isinstance(step, Linear))


def dense(operator: Separable | Chain, height: int, width: int) -> NDArray[np.float64]:
    """The matrix of an operator on flattened images of this size, one column per pixel."""
    basis = torch.eye(height * width, dtype=torch.float64).reshape(-1, height, width)
    return np.asarray(operator.forward(basis).flatten(1).T)


def assert_close(actual: object, expected: object, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=atol)


@laws
@given(names, draws, st.sampled_from([2, 3, 4]))
def test_the_operator_is_what_apply_does(name: str, number: int, scale: int) -> None:
    steps = kept(name, number)
    image = noise(24, 36, seed=number)
    assert_close(linear(steps, 24, 36, scale).forward(image), apply(image.numpy(), steps, scale=scale))


@laws
@given(names, draws, st.sampled_from([2, 3, 4]))
def test_the_adjoint_passes_the_dot_test(name: str, number: int, scale: int) -> None:
    operator = linear(kept(name, number), 24, 36, scale)
    x, y = noise(24, 36, seed=number), noise(24 // scale, 36 // scale, seed=number + 1)
    left, right = (operator.forward(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-12)


def test_the_adjoint_of_a_wide_kernel_on_a_small_image_passes_the_dot_test() -> None:
    kernel = torch.from_numpy(gaussian_2d(1.0, 3.0, 20.0)) + 0.01 * noise(25, 25)  # not even the same backwards
    operator = Convolution(kernel=kernel, height=5, width=7)
    x, y = noise(5, 7), noise(5, 7, seed=1)
    assert float((operator.forward(x) * y).sum()) == pytest.approx(float((x * operator.adjoint(y)).sum()), rel=1e-12)


# Inverses


def test_bicubic_is_as_exact_as_ever() -> None:
    operator = linear((Resize(),), 24, 36, 2)
    assert isinstance(operator, Separable)
    assert operator.tau == 0
    y = noise(12, 18)
    assert_close(operator.pinv(y), resizing(24, 36, 0.5).pinv(y))
    assert_close(operator.forward(operator.pinv(y)), y)


def test_a_bin_inverts_to_what_it_repeats() -> None:
    y = noise(4, 6)
    assert_close(linear((Bin(),), 12, 18, 3).pinv(y), y.repeat_interleave(3, 0).repeat_interleave(3, 1))


def test_a_blur_and_a_bin_are_one_separable_operator_whose_inverse_is_truncated() -> None:
    operator = linear(ROUND, 24, 18, 3)
    assert isinstance(operator, Separable)
    assert operator.tau == 1e-3
    u, s, vt = np.linalg.svd(dense(operator, 24, 18), full_matrices=False)
    large = s >= 1e-3 * s.max()
    assert large.sum() < len(s)
    expected = vt[large].T @ np.diag(1 / s[large]) @ u[:, large].T
    y = noise(8, 6)
    assert_close(operator.pinv(y).flatten(), expected @ y.numpy().ravel(), atol=1e-8)


def test_without_damping_the_inverse_by_iteration_is_numpys() -> None:
    operator = linear(TURNED, 16, 12, 2, tau=0.0)
    assert isinstance(operator, Chain)
    y = noise(8, 6)
    expected = np.linalg.pinv(dense(operator, 16, 12)) @ y.numpy().ravel()
    assert_close(operator.pinv(y).flatten(), expected, atol=1e-8)
    assert_close(operator.forward(operator.pinv(y)), y, atol=1e-8)


def test_with_damping_the_inverse_by_iteration_is_tikhonovs() -> None:
    operator = linear((Blur(sigma_y=2, sigma_x=5, angle=30), Bin()), 18, 24, 3, tau=1e-2)
    a = dense(operator, 18, 24)
    damping = (1e-2 * np.linalg.norm(a, 2)) ** 2
    y = noise(6, 8)
    expected = a.T @ np.linalg.solve(a @ a.T + damping * np.eye(48), y.numpy().ravel())
    assert_close(operator.pinv(y).flatten(), expected, atol=1e-6)
    s = np.linalg.svd(a, compute_uv=False)
    assert s.min() < 1e-2 * s.max()  # there was something to damp


def test_images_in_a_batch_are_inverted_each_by_itself() -> None:
    operator = linear(TURNED, 16, 12, 2)
    images = torch.stack([noise(8, 6), torch.zeros(8, 6, dtype=torch.float64), 1e3 * noise(8, 6, seed=1)])
    together = operator.pinv(images)
    assert_close(together[0], operator.pinv(images[0]), atol=1e-8)
    assert_close(together[1], 0, atol=0)
    assert_close(together[2], operator.pinv(images[2]), atol=1e-5)


def test_an_inverse_that_iteration_does_not_reach_is_refused() -> None:
    operator = linear((Blur(sigma_y=3, sigma_x=6, angle=30), Bin()), 32, 32, 2, tau=0.0)
    with pytest.raises(FloatingPointError, match="^inverse must reach a residual of 1e-10, got .* raise tau$"):
        operator.pinv(noise(16, 16))


def test_every_part_of_a_chain_has_its_turn() -> None:
    ringing = Sinc(cutoff=2.0, reach_samples=4)
    steps: Steps = (Blur(sigma_y=1, sigma_x=1), Resize(samples=2), *TURNED[:1], Resize(), ringing)
    operator = linear(steps, 24, 36, 4)
    assert isinstance(operator, Chain)
    assert [type(part) for part in operator.parts] == [Separable, Convolution, Separable, Convolution]
    assert_close(operator.forward(noise(24, 36)), apply(noise(24, 36).numpy(), steps, scale=4))


def test_leading_axes_are_carried_along_and_float32_answers_in_float32() -> None:
    operator = linear(TURNED, 16, 12, 2)
    x, y = noise(2, 3, 16, 12), noise(2, 3, 8, 6)
    assert_close(operator.forward(x)[1, 2], operator.forward(x[1, 2]))
    assert_close(operator.adjoint(y)[1, 2], operator.adjoint(y[1, 2]))
    for answer in (operator.forward(x.float()), operator.adjoint(y.float()), operator.pinv(y.float())):
        assert answer.dtype == torch.float32
    assert_close(operator.forward(x.float()), operator.forward(x), atol=2e-6)


def test_the_operator_has_the_gradients_of_a_linear_map() -> None:
    operator = linear(TURNED, 8, 6, 2)
    x = noise(8, 6).requires_grad_()
    y = noise(4, 3)
    (gradient,) = torch.autograd.grad((operator.forward(x) * y).sum(), x)
    assert_close(gradient, operator.adjoint(y))


def test_a_blur_alone_is_an_operator_at_hr_size() -> None:
    assert linear(TURNED[:1], 16, 12, 2).forward(noise(16, 12)).shape == (16, 12)


def test_steps_and_sizes_that_make_no_operator_are_refused() -> None:
    with pytest.raises(ValueError, match="^steps must be linear to be an operator, got Noise.*leave out noise"):
        linear((Bin(), Noise(gaussian=0.1)), 16, 12, 2)
    with pytest.raises(ValueError, match="^steps must be linear to be an operator, got none"):
        linear((), 16, 12, 2)
    with pytest.raises(ValueError, match="^HR size must be a multiple of scale 3, got 16×12; crop it first$"):
        linear(TURNED, 16, 12, 3)
    operator = linear(TURNED, 16, 12, 2)
    with pytest.raises(ValueError, match=r"^image must be \(\.\.\., 16, 12\) for this operator, got \(12, 16\)$"):
        operator.forward(noise(12, 16))
    with pytest.raises(ValueError, match=r"^image must be \(\.\.\., 8, 6\) for this operator, got \(6, 8\)$"):
        operator.adjoint(noise(6, 8))
