"""HR → LR keeps dtype, says what it refuses, and is MATLAB's bicubic."""

import numpy as np
import pytest

from coresr_data.degrade import DEGRADATIONS, bicubic
from coresr_data.resize import imresize


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_integers_are_rounded_as_matlab_does(dtype: str, scale: int) -> None:
    hr = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (8 * scale, 6 * scale), dtype)
    lr = bicubic(hr, scale)
    assert lr.shape == (8, 6)
    assert lr.dtype == dtype
    np.testing.assert_array_equal(lr, imresize(hr, 1 / scale, matlab_uint8=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_stay_unrounded_in_their_own_dtype(dtype: str) -> None:
    hr = np.random.default_rng(0).random((8, 12)).astype(dtype)
    lr = bicubic(hr, 2)
    assert lr.dtype == dtype
    np.testing.assert_allclose(lr, imresize(hr, 0.5), rtol=1e-6)


def test_eight_bits_of_matlabs_own_example() -> None:
    # By hand: halving 0…7 gives 0.449, 2.488, 4.512, 6.551 (its 4×4 of floats is 8 of these down plus 1 of these
    # across). Down first: 3.59, 19.91, 36.09, 52.41 become 4, 20, 36, 52; then 4.449 … across are rounded.
    lr = bicubic(np.arange(64, dtype=np.uint8).reshape(8, 8), 2)
    np.testing.assert_array_equal(lr, np.add.outer([4, 20, 36, 52], [0, 2, 5, 7]))


@pytest.mark.parametrize(("shape", "scale"), [((9, 8), 2), ((8, 9), 2), ((8, 8), 3)])
def test_sizes_that_do_not_divide_are_refused(shape: tuple[int, int], scale: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of scale {scale}, got {shape[0]}×{shape[1]}; crop it first$"):
        bicubic(np.zeros(shape, np.uint8), scale)


def test_the_mapping_holds_bicubic() -> None:
    assert DEGRADATIONS["bicubic"] is bicubic
