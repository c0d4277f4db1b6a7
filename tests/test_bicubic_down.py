"""Across packages: the bicubic way down inside CycleGAN is the bicubic that makes the data."""

import numpy as np
import pytest
import torch

from coresr_data.resize import imresize, resizing
from coresr_models.cyclegan import BicubicDown, BlockMean, Down, Replicate

SIZES = [(1, 1), (1, 2), (1, 9), (9, 1), (2, 3), (5, 7), (33, 17)]


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", SIZES)
def test_shrinking_in_the_networks_equals_the_resizer_of_the_data(scale: int, size: tuple[int, int]) -> None:
    hr = np.random.default_rng(0).random((scale * size[0], scale * size[1]), np.float32)
    wanted = imresize(hr, 1 / scale)
    made = BicubicDown(scale=scale)(torch.from_numpy(hr)[None, None])[0, 0].numpy()
    assert made.shape == size
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_fresh_way_down_equals_the_linear_operator_of_the_data(scale: int) -> None:
    hr = torch.rand(2, 1, 6 * scale, 5 * scale)
    operator = resizing(6 * scale, 5 * scale, 1 / scale)
    torch.testing.assert_close(Down(scale=scale, width=4)(hr), operator.forward(hr), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_mean_and_its_inverse_equal_the_box_of_the_data(scale: int) -> None:
    hr, lr = torch.rand(2, 1, 6 * scale, 5 * scale), torch.rand(2, 1, 6, 5)
    operator = resizing(6 * scale, 5 * scale, 1 / scale, kernel="box")
    torch.testing.assert_close(BlockMean(scale=scale)(hr), operator.forward(hr), rtol=0, atol=1e-6)
    torch.testing.assert_close(Replicate(scale=scale)(lr), operator.pinv(lr), rtol=0, atol=1e-6)
