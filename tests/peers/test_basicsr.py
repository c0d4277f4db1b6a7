"""BasicSR's port of MATLAB's imresize says the same as ours, to the rounding of its float32."""

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.formats.images import read_slice
from coresr_data.resize import imresize

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is from 2022
        # which torchvision has since renamed
        sys.modules["torchvision.transforms.functional_tensor"] = import_module(
            "torchvision.transforms._functional_tensor"
        )
        matlab = import_module("basicsr.utils.matlab_functions")
except Exception as error:  # noqa: BLE001 - whatever an old library meets
    pytest.skip(f"BasicSR cannot be imported: {error}", allow_module_level=True)

FLOAT32 = 5e-6
"""Of [0, 1]: its positions and weights are float32, too."""


def assert_alike(image: NDArray[np.floating], scale: float, *, antialias: bool = True) -> None:
    theirs = matlab.imresize(image.astype(np.float32), scale, antialiasing=antialias)
    ours = imresize(image, scale, antialias=antialias)
    assert theirs.shape == ours.shape
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2, 3, 4])
def test_resizing_equals_basicsr(scale: float) -> None:
    assert_alike(np.random.default_rng(0).random((48, 60)), scale)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3])  # at 1/4, where nothing is mirrored, it fails
def test_shrinking_without_antialiasing_equals_basicsr(scale: float) -> None:
    assert_alike(np.random.default_rng(0).random((48, 60)), scale, antialias=False)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 2.5])
def test_resizing_equals_basicsr_where_the_size_does_not_divide(scale: float) -> None:
    assert_alike(np.random.default_rng(1).random((37, 53)), scale)


def test_the_lr_of_a_real_slice_equals_basicsr(real_data: Path) -> None:
    slices: Any = sorted((real_data / "sandstone-versa" / "slices").glob("*.png"))
    assert_alike(read_slice(slices[0])[:300, :300] / 255, 1 / 2)
