"""Across packages: the bicubic skip inside the networks is the bicubic that makes and undoes the data."""

import numpy as np
import pytest
import torch

from coresr_data.resize import imresize, resizing
from coresr_models.blocks import Bicubic

SIZES = [(1, 1), (1, 2), (1, 9), (9, 1), (2, 2), (2, 3), (3, 2), (5, 7), (33, 17), (64, 48)]


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_the_skip_of_the_networks_equals_the_resizer_of_the_data(scale: int, size: tuple[int, int]) -> None:
    lr = np.random.default_rng(0).random(size, np.float32)
    skip = Bicubic(scale=scale)(torch.from_numpy(lr)[None, None])[0, 0].numpy()
    assert skip.shape == (scale * size[0], scale * size[1])
    np.testing.assert_allclose(skip, imresize(lr, scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_skip_equals_the_linear_operator_of_the_data(scale: int) -> None:
    lr = torch.rand(2, 1, 6, 5)
    operator = resizing(6, 5, scale)
    torch.testing.assert_close(Bicubic(scale=scale)(lr), operator.forward(lr), rtol=0, atol=1e-6)
