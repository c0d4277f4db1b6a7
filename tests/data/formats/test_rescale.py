"""Rescaled levels against Python's own integers, which have no width."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coresr_data.formats.pieces import RefusedError
from coresr_data.formats.rescale import rescale

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4"]


@given(st.sampled_from(TYPES), st.integers(-3000, 3000), st.integers(-100_000, 100_000), st.data())
def test_whole_slopes_and_intercepts_are_exact(name: str, slope: int, intercept: int, data: st.DataObject) -> None:
    stored = np.dtype(name)
    limits = np.iinfo(name)
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1, max_size=9))
    values += [int(limits.min), int(limits.max)]
    scaled = rescale(stored, slope or 1, intercept)
    levels = scaled(np.array(values, stored))
    assert levels.dtype == scaled.dtype
    assert [int(level) for level in levels] == [value * (slope or 1) + intercept for value in values]


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "bits", "becomes"),
    [
        ("u2", 1, 0, None, "u2"),
        ("u4", 1, 0, None, "u4"),
        ("f4", 1, 0, None, "f4"),
        ("u2", 1, -1024, None, "i4"),
        ("u2", 1, -1024, 12, "i2"),
        ("u2", 1, 1, 15, "u2"),
        ("u1", 1, -1, None, "i2"),
        ("u1", 256, 0, None, "u2"),
        ("i1", 1, 0, None, "i1"),
        ("i2", 2, 0, None, "i4"),
        ("i4", 2, 0, None, "i8"),
        ("u8", 2, 0, None, "f8"),
        ("u2", 0.5, 0, None, "f4"),
        ("i4", 0.5, 0, None, "f8"),
        ("f4", 2, 1, None, "f4"),
        ("f8", 2, 1, None, "f8"),
    ],
)
def test_the_dtype_follows_from_the_header_alone(
    stored: str, slope: float, intercept: float, bits: int | None, becomes: str
) -> None:
    assert rescale(np.dtype(stored), slope, intercept, bits=bits).dtype == np.dtype(becomes)


def test_levels_as_stored_are_not_touched() -> None:
    stored = np.array([1, 2], np.uint16)
    assert rescale(stored.dtype, 1.0, 0.0)(stored) is stored


def test_broken_slopes_are_computed_in_float64_and_rounded_once() -> None:
    stored = np.arange(65536, dtype=np.uint16)
    levels = rescale(stored.dtype, 0.1, -1000.0)(stored)
    np.testing.assert_array_equal(levels, (stored.astype(np.float64) * 0.1 - 1000).astype(np.float32))
    assert len(np.unique(levels)) == 65536


def test_a_level_beyond_its_bits_is_refused() -> None:
    scaled = rescale(np.dtype("u2"), 1, -1024, bits=12)
    with pytest.raises(RefusedError, match="hold levels from -32768 to 32767, .* got -1024 to 64511"):
        scaled(np.array([0, 65535], np.uint16))
    assert scaled(np.zeros((0,), np.uint16)).dtype == np.int16
    with pytest.raises(RefusedError, match="got -65535 to 0"):
        rescale(np.dtype("u2"), -1, 0, bits=12)(np.array([0, 65535], np.uint16))


@pytest.mark.parametrize(("slope", "intercept"), [(0, 1), (np.nan, 0), (np.inf, 0), (1, np.nan), (1, -np.inf)])
def test_a_slope_that_says_nothing_is_refused(slope: float, intercept: float) -> None:
    with pytest.raises(RefusedError, match="finite slope other than 0 and a finite intercept"):
        rescale(np.dtype("u2"), slope, intercept)
