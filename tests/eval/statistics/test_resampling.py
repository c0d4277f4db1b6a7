import math

import numpy as np
import pytest
from scipy import stats

from coresr_eval.statistics import bootstrap, sign_flip
from coresr_eval.statistics.variance import Floats


def normal(*shape: int, seed: int = 0, mean: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(mean, 1, shape)


def scipys(differences: Floats) -> float:
    found = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    return float(found.pvalue)


@pytest.mark.parametrize("seed", range(4))
def test_few_units_are_flipped_in_every_way_as_scipy_does(seed: int) -> None:
    differences = normal(9, seed=seed, mean=0.4)
    assert sign_flip(differences, np.arange(9)) == pytest.approx(scipys(differences), rel=1e-12)


def test_many_units_are_flipped_at_random_near_the_exact_p_and_repeatably() -> None:
    differences = normal(12, mean=0.5)
    exact, draws = sign_flip(differences, np.arange(12)), 4000
    drawn = sign_flip(differences, np.arange(12), draws=draws, seed=3)
    assert drawn == sign_flip(differences, np.arange(12), draws=draws, seed=3)
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / draws))


def test_no_drawn_p_is_below_one_in_all_draws_and_the_one_that_was_seen() -> None:
    assert sign_flip(np.full(60, 0.5) + normal(60) / 100, np.arange(60), draws=999) == 1 / 1000


def test_four_cores_cannot_give_less_than_an_eighth_however_many_slices_they_have() -> None:
    cores = np.repeat(np.arange(4), 6)
    assert sign_flip(1 + normal(24) / 100, cores) == 0.125
    assert sign_flip(1 + normal(24) / 100, np.arange(24)) < 0.001


def test_equal_models_differ_with_a_probability_of_one() -> None:
    assert sign_flip(np.zeros(5), np.arange(5)) == 1
    assert sign_flip(np.zeros(50), np.arange(50)) == 1


def test_sums_that_are_equal_but_for_rounding_count_as_equal() -> None:
    differences = np.array([0.1, 0.2, 0.3, -0.1, -0.2, 0.7, 0.6])  # 0.1 + 0.2 is not 0.3 in binary
    whole = np.round(10 * differences)
    assert sign_flip(differences, np.arange(7)) == sign_flip(whole, np.arange(7)) == pytest.approx(scipys(whole))


def test_the_test_keeps_its_level_where_signs_are_by_chance() -> None:
    found = [sign_flip(normal(24, seed=seed), np.repeat(np.arange(8), 3)) for seed in range(1000)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(12 / 256, abs=3 * math.sqrt(0.05 * 0.95 / 1000))


@pytest.mark.parametrize(("units", "least"), [(6, 0.93), (25, 0.93)])
def test_ninety_five_of_a_hundred_intervals_hold_the_mean_of_normal_units(units: int, least: float) -> None:
    ends = np.array([bootstrap(normal(units, seed=seed), np.arange(units), draws=2000) for seed in range(500)])
    assert least <= np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)) <= 0.975


def test_of_many_images_the_interval_is_that_of_student() -> None:
    values = normal(300)
    expected = stats.t.interval(0.95, 299, values.mean(), stats.sem(values))
    assert bootstrap(values, np.arange(300)) == pytest.approx(expected, abs=0.03 * (expected[1] - expected[0]))


def test_of_twelve_units_the_interval_is_as_wide_as_that_of_student_on_average() -> None:
    ratios = []
    for seed in range(60):
        values = normal(12, seed=seed)
        low, high = bootstrap(values, np.arange(12))
        ratios.append((high - low) / (2 * stats.t.ppf(0.975, 11) * stats.sem(values)))
    assert np.mean(ratios) == pytest.approx(1, abs=0.015)


def test_cores_of_several_sizes_are_drawn_as_they_are() -> None:
    cores = np.repeat(np.arange(8), [1, 2, 3, 10, 20, 2, 4, 8])
    values = normal(8)[cores] + normal(50, seed=1) / 5
    slices = [values[cores == core] for core in range(8)]
    drawn = np.random.default_rng(9).integers(8, size=(5000, 8))
    means = [np.concatenate([slices[core] for core in some]).mean() for some in drawn]
    tails = stats.norm.cdf(stats.t.ppf([0.025, 0.975], 7))
    expected = values.mean() + math.sqrt(8 / 7) * (np.quantile(means, tails) - values.mean())
    assert bootstrap(values, cores) == pytest.approx(expected, abs=0.06)


def test_images_of_one_core_move_together() -> None:
    cores = np.repeat(np.arange(8), 6)
    values = normal(8)[cores] + normal(48, seed=1) / 10
    by_core, by_image = bootstrap(values, cores), bootstrap(values, np.arange(48))
    assert (by_core[1] - by_core[0]) > 2 * (by_image[1] - by_image[0])
    repeated = bootstrap(np.repeat(normal(8), 6), cores)
    assert repeated == pytest.approx(bootstrap(normal(8), np.arange(8)), rel=1e-12)


def test_within_cores_it_does_not_matter_how_they_differ() -> None:
    cores, values = np.repeat(np.arange(4), 6), normal(24)
    low, high = bootstrap(values, np.arange(24), within=cores)
    assert bootstrap(values + 100 * cores, np.arange(24), within=cores) == pytest.approx((low + 150, high + 150))
    assert high - low > 0.1


def test_within_cores_the_interval_is_that_of_a_stratified_mean() -> None:
    cores = np.repeat(np.arange(3), [10, 40, 50])
    values = normal(100) * np.array([0.1, 1, 3])[cores]
    shares, variances = np.array([0.1, 0.4, 0.5]), [stats.sem(values[cores == core]) ** 2 for core in range(3)]
    half = stats.t.ppf(0.975, 97) * math.sqrt(shares**2 @ variances)
    expected = (values.mean() - half, values.mean() + half)
    assert bootstrap(values, np.arange(100), within=cores) == pytest.approx(expected, abs=0.06 * half)


def test_another_seed_draws_others_and_the_same_draws_the_same() -> None:
    values, units = normal(10), np.arange(10)
    assert bootstrap(values, units, seed=1) == bootstrap(values, units, seed=1) != bootstrap(values, units, seed=2)


def test_a_single_unit_leaves_the_interval_open() -> None:
    assert bootstrap(normal(3), np.zeros(3, dtype=int)) == (-math.inf, math.inf)
    assert bootstrap(normal(3), np.array([0, 1, 2]), within=np.array([0, 0, 1])) == (-math.inf, math.inf)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one each, got \(3,\) and \(4,\)"):
        sign_flip(normal(3), np.arange(4))
    with pytest.raises(ValueError, match=r"one each, got \(3,\), \(4,\)"):
        bootstrap(normal(3), np.arange(4))
    with pytest.raises(ValueError, match=r"one each"):
        bootstrap(normal(3), np.arange(3), within=np.arange(2))
