import math

import numpy as np
import pytest
from scipy import stats

from coresr_eval.statistics.variance import (
    Estimate,
    Source,
    between_cores,
    between_seeds,
    between_units,
    parts_of,
    within_cores,
)

CORES = np.repeat(np.arange(4), 6)


def normal(*shape: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(0.3, 1, shape)


def test_cores_of_one_size_give_the_t_test_of_their_means() -> None:
    values = normal(24)
    found = Estimate(value=values.mean(), sources=(between_units(values, CORES),))
    expected = stats.ttest_1samp(values.reshape(4, 6).mean(axis=1), 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval(0.9) == pytest.approx(tuple(expected.confidence_interval(0.9)), rel=1e-12)


def test_seeds_of_two_models_with_as_many_runs_give_the_test_of_welch() -> None:
    one, other = normal(3, 24), 4 * normal(3, 24, seed=1) + 1
    found = Estimate(value=one.mean() - other.mean(), sources=between_seeds(one, other))
    expected = stats.ttest_ind(one.mean(axis=1), other.mean(axis=1), equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval(0.95) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-12)


def test_seeds_of_models_with_other_numbers_of_runs_stay_sources_apart() -> None:
    one, other = normal(2, 24), normal(5, 24, seed=1)
    assert [source.degrees for source in between_seeds(one, other)] == [1, 4]
    assert between_seeds(one, other) == (*between_seeds(one), *between_seeds(other))


def test_a_single_run_says_nothing_of_seeds() -> None:
    assert between_seeds(normal(1, 24), normal(1, 24, seed=1)) == ()
    assert between_seeds(normal(1, 24), normal(3, 24)) == between_seeds(normal(3, 24))


def test_cores_of_several_sizes_give_the_jackknife_over_cores() -> None:
    units = np.repeat(np.arange(4), [2, 4, 6, 20])
    values = normal(32)
    without = np.array([values[units != core].mean() for core in range(4)])
    variance = between_units(values, units).variance
    assert variance == pytest.approx(3 / 4 * np.sum((without - values.mean()) ** 2), rel=1e-12)


def test_degrees_of_cores_of_several_sizes_are_those_of_their_variance() -> None:
    units = np.repeat(np.arange(4), [2, 4, 6, 20])
    means = normal(4000, 4) - 0.3
    found = np.array([between_units(of[units], units).variance for of in means])
    assert between_units(means[0][units], units).degrees == pytest.approx(2 * found.mean() ** 2 / found.var(), rel=0.1)
    assert between_units(normal(24), CORES).degrees == pytest.approx(3, rel=1e-12)


def test_the_interval_of_confidence_one_less_p_ends_at_zero() -> None:
    sources = (Source(variance=0.04, degrees=3), Source(variance=0.01, degrees=2.6), Source(variance=0, degrees=1))
    for value in (0.1, -1.5, 40.0):
        found = Estimate(value=value, sources=sources)
        low, high = found.interval(1 - found.p)
        assert min(abs(low), abs(high)) == pytest.approx(0, abs=1e-6)


def test_each_source_is_widened_by_its_own_quantile() -> None:
    sources = (Source(variance=0.04, degrees=3), Source(variance=0.01, degrees=2))
    half = math.sqrt(3.182446305**2 * 0.04 + 4.302652730**2 * 0.01)  # from a printed table of Student's t
    assert Estimate(value=1.0, sources=sources).interval(0.95) == pytest.approx((1 - half, 1 + half), rel=1e-9)


def test_one_unit_leaves_everything_open() -> None:
    found = Estimate(value=3.0, sources=(between_units(normal(5), np.zeros(5, dtype=int)),))
    assert found.p == 1
    assert found.interval(0.95) == (-math.inf, math.inf)


def test_without_variance_a_difference_is_certain_and_none_is_none() -> None:
    nothing = Source(variance=0, degrees=3)
    assert Estimate(value=0.1, sources=(nothing,)).p == 0
    assert Estimate(value=0.0, sources=(nothing,)).p == 1
    assert Estimate(value=0.1, sources=(nothing,)).interval(0.95) == (0.1, 0.1)


def test_one_core_is_cut_into_parts_in_depth() -> None:
    slices = [30, 10, 20, 0, *range(100, 112)]
    assert parts_of(slices).tolist() == [1, 0, 1, 0, *np.repeat(np.arange(2, 8), 2)]
    assert parts_of([7, 3]).tolist() == [1, 0]


def test_slices_give_the_variance_of_a_mean_stratified_by_core() -> None:
    images = [("b", number) for number in range(16)] + [("a", number) for number in (5, 1, 9, 3)]
    values = normal(20)
    found = within_cores(values, images)
    parts = values[:16].reshape(8, 2).mean(axis=1)
    of_b, of_a = 0.8**2 * np.var(parts, ddof=1) / 8, 0.2**2 * np.var(values[16:], ddof=1) / 4
    assert found.variance == pytest.approx(of_a + of_b)
    assert found.degrees == pytest.approx((of_a + of_b) ** 2 / (of_b**2 / 7 + of_a**2 / 3))
    assert within_cores(values + np.repeat([0.0, 50.0], [16, 4]), images).variance == pytest.approx(found.variance)


def test_slices_of_two_cores_give_the_test_of_welch() -> None:
    values = normal(12)
    found = within_cores(values * np.repeat([1, -1], 6), [(core, number) for core in "ab" for number in range(6)])
    expected = stats.ttest_ind(values[:6], values[6:], equal_var=False)
    value = (values[:6].mean() - values[6:].mean()) / 2
    assert Estimate(value=value, sources=(found,)).p == pytest.approx(expected.pvalue)


def test_slices_in_another_order_are_the_same_slices() -> None:
    images, order = [(core, number) for core in "ab" for number in range(20)], np.random.default_rng(1).permutation(40)
    values = normal(40)
    shuffled = within_cores(values[order], [images[i] for i in order])
    assert shuffled.variance == pytest.approx(within_cores(values, images).variance)


def test_where_a_core_has_one_slice_the_cores_are_the_units() -> None:
    images, values = [("a", 1), ("a", 2), ("b", 1), ("c", 4)], normal(4)
    assert within_cores(values, images) == between_cores(values, images)
    assert between_cores(values, images) == between_units(values, np.array([0, 0, 1, 2]))
    assert math.isinf(between_cores(values, [("a", number) for number in range(4)]).variance)
