import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from coresr_eval.statistics import BASELINE, Comparison, Difference, compare, holm
from coresr_eval.statistics.variance import Floats

IMAGES = [(core, number) for core in "abcd" for number in range(6)]
CORES = np.repeat(np.arange(4), 6)
RNG = np.random.default_rng


def recipes(
    rng: np.random.Generator, number: int, *, runs: int = 3, seed: float = 0.0, both: float = 0.0, core: float = 0.0
) -> list[Floats]:
    """Scores of equally good recipes: how much runs differ by seed, by seed and core; recipes by core, in dB."""
    difficulty = 36 + rng.normal(0, 2, 4)[CORES] + rng.normal(0, 0.5, 24)
    return [
        difficulty
        + rng.normal(0, core, 4)[CORES]
        + rng.normal(0, seed, (runs, 1))
        + rng.normal(0, both, (runs, 4))[:, CORES]
        + rng.normal(0, 0.05, (runs, 24))
        for _ in range(number)
    ]


def compared(models: Sequence[Floats], *, margin: float = 0.05) -> Comparison:
    bicubic = models[0][:1] - 3 + RNG(7).normal(0, 0.1, (1, 24))
    return compare({BASELINE: bicubic} | dict(zip("xyz", models, strict=False)), IMAGES, margin=margin)


def between(comparison: Comparison, one: str, other: str) -> Difference:
    return next(pair for pair in comparison.pairs if {pair.one, pair.other} == {one, other})


def false_alarms(draws: int, *, runs: int = 3, seed: float = 0.0, both: float = 0.0) -> float:
    """In how many comparisons of equal recipes some pair of them is called different."""
    rng, wrong = RNG(5), 0
    for _ in range(draws):
        pairs = compared(recipes(rng, 3, runs=runs, seed=seed, both=both)).pairs
        wrong += any(pair.verdict == "different" for pair in pairs if BASELINE not in (pair.one, pair.other))
    return wrong / draws


def test_equal_recipes_are_called_different_no_more_often_than_stated() -> None:
    assert false_alarms(500, seed=0.1, both=0.05) <= 0.05


@pytest.mark.parametrize(("seed", "both"), [(0.2, 0.0), (0.0, 0.2), (0.0, 0.0)])
def test_they_are_not_where_seeds_differ_everywhere_or_by_core_or_not_at_all(seed: float, both: float) -> None:
    assert false_alarms(150, seed=seed, both=both) <= 0.05


def test_the_interval_over_other_cores_holds_the_difference_of_all_cores() -> None:
    rng, held = RNG(2), 0
    for _ in range(300):
        pair = between(compared(recipes(rng, 2, seed=0.05, core=0.2)), "x", "y")
        held += pair.core_low <= 0 <= pair.core_high
    assert held >= 285


def test_single_files_are_told_apart_where_only_their_seeds_differ() -> None:
    assert false_alarms(40, runs=1, seed=0.5) > 0.5


def test_a_better_recipe_is_found() -> None:
    rng, found = RNG(1), 0
    for _ in range(40):
        models = recipes(rng, 3, seed=0.05, both=0.05)
        pairs = compared([models[0] + 0.6, *models[1:]]).pairs
        found += all(pair.verdict == "different" and pair.one == "x" for pair in pairs if "x" in (pair.one, pair.other))
    assert found >= 36


def test_p_values_are_corrected_by_holm_over_all_pairs() -> None:
    pairs = compared(recipes(RNG(0), 3, seed=0.1)).pairs
    assert len(pairs) == 6
    assert tuple(pair.p_holm for pair in pairs) == holm([pair.p for pair in pairs])
    assert all((pair.low > 0 or pair.high < 0) == (pair.p < 0.05) for pair in pairs)


def test_of_one_core_and_single_runs_p_is_that_of_the_t_test_of_its_parts() -> None:
    models = {BASELINE: RNG(0).random((1, 24)), "x": RNG(1).random((1, 24))}
    found = compare(models, [("a", number) for number in range(24)])
    parts = (models["x"] - models[BASELINE])[0].reshape(8, 3).mean(axis=1)
    assert found.pairs[0].p == pytest.approx(stats.ttest_1samp(parts, 0).pvalue)
    assert (found.pairs[0].core_low, found.pairs[0].core_high) == (-math.inf, math.inf)
    assert "about this core only" in found.notes[0]
    assert found.cores == ("a",)


def test_rows_hold_means_gains_and_their_intervals_best_first() -> None:
    models = recipes(RNG(0), 2, seed=0.1)
    comparison = compared([models[0] + 1, models[1]])
    bicubic = (models[0] + 1)[:1] - 3 + RNG(7).normal(0, 0.1, (1, 24))
    best, second, last = comparison.rows
    assert [row.model for row in comparison.rows] == ["x", "y", BASELINE]
    assert [row.runs for row in comparison.rows] == [3, 3, 1]
    assert {row.n for row in comparison.rows} == {comparison.n} == {24}
    assert best.mean == pytest.approx((models[0] + 1).mean())
    assert second.gain == pytest.approx((models[1] - bicubic).mean())
    assert last.gain == last.gain_low == last.gain_high == 0
    pair = between(comparison, "y", BASELINE)
    assert (second.gain_low, second.gain_high) == (pair.low, pair.high)
    assert second.gain_high - second.gain_low < second.high - second.low  # what makes a core difficult is paired away
    of_seeds = stats.t.ppf(0.975, 2) * stats.sem(models[1].mean(axis=1))
    assert second.high - second.mean == pytest.approx(math.hypot(of_seeds, over_slices(models[1].mean(axis=0))))
    assert last.mean - last.low == pytest.approx(over_slices(bicubic[0]))


def over_slices(scores: Floats) -> float:
    """Half the interval of a mean stratified by core (Cochran 1977, eq. 5.16)."""
    variances = (stats.sem(scores.reshape(4, 6), axis=1) / 4) ** 2
    degrees = variances.sum() ** 2 / np.sum(variances**2 / 5)
    return float(stats.t.ppf(0.975, degrees) * math.sqrt(variances.sum()))


def test_where_less_is_better_the_least_comes_first() -> None:
    models = {BASELINE: RNG(0).random((1, 24)) + 2, "x": RNG(1).random((1, 24))}
    assert [row.model for row in compare(models, IMAGES, higher_is_better=False).rows] == ["x", BASELINE]
    assert [row.model for row in compare(models, IMAGES).rows] == [BASELINE, "x"]
    equal = {BASELINE: np.zeros((1, 24)), "x": np.zeros((1, 24))}
    assert [compare(equal, IMAGES, higher_is_better=more).higher_is_better for more in (True, False)] == [True, False]


def test_intervals_of_means_end_where_the_metric_does_and_differences_do_not() -> None:
    models = {BASELINE: RNG(0).random((1, 24)) ** 4, "x": 1 - RNG(1).random((1, 24)) ** 4, "y": RNG(2).random((1, 24))}
    free, cut = compare(models, IMAGES), compare(models, IMAGES, bounds=(0.3, 0.7))
    ends = [(row.low, row.high) for row in free.rows]
    assert min(low for low, _ in ends) < 0.3
    assert max(high for _, high in ends) > 0.7
    assert cut.pairs == free.pairs
    assert cut.rows == tuple(replace(row, low=max(row.low, 0.3), high=min(row.high, 0.7)) for row in free.rows)


def test_letters_are_shared_exactly_by_those_that_are_not_different() -> None:
    models = recipes(RNG(2), 3, seed=0.05)
    comparison = compared([models[0] + 1, *models[1:]])
    marks = {row.model: set(row.letters) for row in comparison.rows}
    assert [row.letters for row in comparison.rows] == ["a", "b", "b", "c"]
    for pair in comparison.pairs:
        assert bool(marks[pair.one] & marks[pair.other]) == (pair.verdict != "different")


def test_differences_within_the_margin_are_equivalent_even_where_they_are_significant() -> None:
    models = recipes(RNG(0), 1, runs=1)
    models.append(models[0] + 0.01 + RNG(1).normal(0, 0.002, (1, 24)))
    pair = between(compared(models), "x", "y")
    assert pair.p_holm < 0.05
    assert pair.verdict == "equivalent"
    assert between(compared(models, margin=0.009), "x", "y").verdict == "different"
    assert between(compared(models, margin=0.0), "x", "y").verdict == "different"


def test_what_is_neither_different_nor_equivalent_is_not_distinguishable() -> None:
    pair = between(compared(recipes(RNG(3), 2, seed=0.1)), "x", "y")
    assert pair.verdict == "not distinguishable"
    assert pair.low < 0 < pair.high


def test_the_very_same_scores_are_equivalent() -> None:
    one = recipes(RNG(0), 1, runs=1)[0]
    pair = between(compared([one, one.copy()]), "x", "y")
    assert (pair.difference, pair.p, pair.verdict) == (0, 1, "equivalent")


def test_the_interval_over_cores_is_that_of_student_over_cores_and_seeds() -> None:
    models = recipes(RNG(0), 2, core=0.5, seed=0.1)
    pair = between(compared(models), "x", "y")
    apart = models[0] - models[1] if pair.one == "x" else models[1] - models[0]
    of_cores = stats.t.ppf(0.975, 3) * stats.sem(apart.mean(axis=0).reshape(4, 6).mean(axis=1))
    welch = stats.ttest_ind(models[0].mean(axis=1), models[1].mean(axis=1), equal_var=False).confidence_interval(0.95)
    half = math.hypot(of_cores, (welch.high - welch.low) / 2)
    assert (pair.core_low, pair.core_high) == pytest.approx((apart.mean() - half, apart.mean() + half))
    assert pair.core_high - pair.core_low > 1.5 * (pair.high - pair.low)


def test_a_recipe_that_is_better_on_every_core_is_different_however_unequally() -> None:
    models = recipes(RNG(4), 2, seed=0.02)
    gains = np.array([1.2, 0.4, 0.5, 0.7])[CORES]
    pair = between(compared([models[0] + gains, models[1]]), "x", "y")
    assert pair.verdict == "different"
    assert pair.low > 0
    assert pair.core_low < pair.low - 0.3


def test_verdicts_say_whether_they_are_about_recipes_or_files() -> None:
    models = recipes(RNG(0), 3)
    comparison = compared([models[0][:1], models[1][:1], models[2]])
    assert between(comparison, "x", "y").about.startswith("these two files only, not the recipe")
    assert between(comparison, "x", "z").about.startswith("this one file of x only, not the recipe")
    assert between(comparison, "x", BASELINE).about.startswith("this one file of x only")
    assert between(comparison, "z", BASELINE).about == "this recipe"
    assert between(compared(models), "x", "y").about == "these recipes"
    assert any(note.startswith("x, y: one run.") for note in comparison.notes)
    assert not any("run" in note.split(":")[-1] for note in compared(models).notes)
    assert any(note.startswith("y: two runs say little") for note in compared([models[0], models[1][:2]]).notes)


def test_notes_say_which_cores_the_intervals_are_about() -> None:
    models = {BASELINE: RNG(0).random((1, 24)), "x": RNG(1).random((1, 24))}
    assert "about these 4 cores" in compare(models, IMAGES).notes[0]
    lonely = compare(models, [*IMAGES[:23], ("e", 0)])
    assert "intervals are over 5 cores" in lonely.notes[0]
    assert (lonely.pairs[0].low, lonely.pairs[0].high) == (lonely.pairs[0].core_low, lonely.pairs[0].core_high)


def test_a_single_image_shows_nothing() -> None:
    comparison = compare({BASELINE: np.array([[30.0]]), "x": np.array([[40.0]])}, [("a", 3)])
    assert (comparison.rows[0].low, comparison.rows[0].high) == (-math.inf, math.inf)
    assert (comparison.rows[0].gain_low, comparison.rows[0].gain_high) == (-math.inf, math.inf)
    assert (comparison.rows[1].gain_low, comparison.rows[1].gain_high) == (0, 0)
    assert (comparison.pairs[0].p, comparison.pairs[0].verdict) == (1, "not distinguishable")
    assert comparison.rows[0].letters == comparison.rows[1].letters == "a"
    assert comparison.notes[0].startswith("There is one image")


@pytest.mark.parametrize(
    ("models", "images", "message"),
    [
        ({"x": (1, 24), "y": (1, 24)}, IMAGES, "bicubic and one at least beside it, got ['x', 'y']"),
        ({BASELINE: (1, 24)}, IMAGES, "bicubic and one at least beside it"),
        ({BASELINE: (1, 24), "x": (1, 23)}, IMAGES, "scores of 'x' must be (runs, 24), got (1, 23)"),
        ({BASELINE: (1, 24), "x": (0, 24)}, IMAGES, "scores of 'x' must be (runs, 24), got (0, 24)"),
        ({BASELINE: (2, 24), "x": (1, 24)}, IMAGES, "bicubic must be one run"),
        ({BASELINE: (1, 2), "x": (1, 2)}, [("a", 1), ("a", 1)], "each once, got 2, 1 different"),
        ({BASELINE: (1, 0), "x": (1, 0)}, [], "one at least"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    models: dict[str, tuple[int, int]], images: list[tuple[str, int]], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is looked at
        compare({name: RNG(len(name)).random(shape) for name, shape in models.items()}, images)
    assert message in str(refused.value)


def test_runs_that_are_copies_and_scores_that_are_not_finite_are_refused() -> None:
    one = recipes(RNG(0), 1, runs=1)[0]
    with pytest.raises(ValueError, match="runs of 'x' must be of different seeds"):
        compared([np.concatenate([one, one])])
    with pytest.raises(ValueError, match="scores of 'x' must be finite, got inf"):
        compare({BASELINE: one, "x": np.where(np.arange(24) == 3, math.inf, one)}, IMAGES)
