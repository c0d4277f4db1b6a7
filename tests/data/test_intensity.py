"""Grey levels come back from [0, 1] as they went in."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coresr_data.intensity import Window, checked, clipped_share, default_window, from_unit, to_unit


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_level_of_an_integer_dtype_survives_the_round_trip(dtype: str) -> None:
    limits = np.iinfo(dtype)
    levels = np.arange(limits.min, limits.max + 1).astype(dtype)
    window = default_window(dtype)
    unit = to_unit(levels, window)
    assert unit.dtype == np.float32
    assert (unit[0], unit[-1]) == (0, 1)
    assert (np.diff(unit) > 0).all()
    back = from_unit(unit, window, dtype)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, levels)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("uint8", (0, 255)), ("uint16", (0, 65535)), ("int16", (-32768, 32767))]
)
def test_the_default_window_is_the_range_of_the_dtype(dtype: str, expected: tuple[int, int]) -> None:
    assert default_window(dtype) == expected


@pytest.mark.parametrize("dtype", ["float32", "float64", "bool"])
def test_other_dtypes_have_no_default_window(dtype: str) -> None:
    with pytest.raises(ValueError, match=f"^window must be declared for {dtype} grey levels; give --window LOW HIGH$"):
        default_window(dtype)


@settings(deadline=None, max_examples=50)
@given(st.integers(-32768, 32766), st.integers(1, 65535))
def test_every_level_survives_any_window_of_whole_levels(low: int, span: int) -> None:
    window = Window(low, min(low + span, 32767))
    levels = np.arange(-32768, 32768, dtype=np.int16)
    inside = (levels >= window.low - span) & (levels <= window.high + span)
    np.testing.assert_array_equal(from_unit(to_unit(levels[inside], window), window, "int16"), levels[inside])


def test_a_declared_window_maps_its_ends_to_zero_and_one() -> None:
    levels = np.array([[100, 150, 300]], np.uint16)
    np.testing.assert_allclose(to_unit(levels, Window(100, 300)), [[0, 0.25, 1]])
    np.testing.assert_allclose(to_unit(np.array([-1000.0, 0, 3000]), Window(-1000, 3000)), [0, 0.25, 1])


def test_levels_outside_the_window_are_not_clipped_on_the_way_in() -> None:
    unit = to_unit(np.array([0, 50, 250], np.uint8), Window(50, 150))
    np.testing.assert_allclose(unit, [-0.5, 0, 2])
    np.testing.assert_array_equal(from_unit(unit, Window(50, 150), "uint8"), [0, 50, 250])


def test_levels_far_above_their_distance_are_told_apart() -> None:
    levels = np.arange(2**31 - 1001, 2**31 - 1, dtype=np.int32)
    window = Window(float(levels[0]), float(levels[-1]))
    np.testing.assert_array_equal(from_unit(to_unit(levels, window), window, "int32"), levels)


def test_float_levels_come_back_unrounded_and_unclipped() -> None:
    levels = np.array([-3.25, 0.1, 7.5], np.float32)
    back = from_unit(to_unit(levels, Window(-1, 2)), Window(-1, 2), "float32")
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, levels, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 0, 255), ("uint16", 0, 65535), ("int16", -32768, 32767)])
def test_values_beyond_the_dtype_are_clipped_at_export(dtype: str, low: int, high: int) -> None:
    window = default_window(dtype)
    levels = from_unit(np.array([-0.1, 1.1, -9, 9], np.float32), window, dtype)
    np.testing.assert_array_equal(levels, [low, high, low, high])


def test_halves_are_rounded_up() -> None:
    np.testing.assert_array_equal(from_unit(np.array([0.5, 1.5, 2.5, 2.49]), Window(0, 1), "uint8"), [1, 2, 3, 2])


def test_nothing_is_written_into_the_levels_given() -> None:
    levels = np.array([1, 2], np.float32)
    to_unit(levels, Window(1, 2))
    from_unit(levels, Window(1, 2), "float32")
    np.testing.assert_array_equal(levels, [1, 2])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_refused_for_integers_and_kept_for_floats(bad: float) -> None:
    values = np.array([0.5, bad, bad], np.float32)
    with pytest.raises(FloatingPointError, match=r"must be finite to become uint8 grey levels, got 2 that are not$"):
        from_unit(values, Window(0, 255), "uint8")
    np.testing.assert_array_equal(from_unit(values, Window(0, 1), "float32"), values)


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (0, math.nan), (math.nan, 1), (0, math.inf), (-math.inf, 0)])
def test_a_window_that_is_not_ascending_and_finite_is_refused(window: tuple[float, float]) -> None:
    for use in (
        lambda: to_unit(np.zeros(1), Window(*window)),
        lambda: from_unit(np.zeros(1), Window(*window), "uint8"),
        lambda: checked(Window(*window)),
    ):
        with pytest.raises(ValueError, match="^window must be LOW < HIGH, both finite, got "):
            use()


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "float32"])
def test_levels_that_float32_cannot_tell_apart_need_a_declared_window(dtype: str) -> None:
    with pytest.raises(ValueError, match="window must be declared"):
        default_window(dtype)


def test_the_clipped_share_is_what_the_export_changes() -> None:
    values = np.array([-0.1, 0.0, 0.5, 1.0, 1.1, 1.0019], dtype=np.float32)
    window = default_window("uint8")
    assert clipped_share(values, window, "uint8") == pytest.approx(2 / 6)
    assert clipped_share(values, window, "float32") == 0
