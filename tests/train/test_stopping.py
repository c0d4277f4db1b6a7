import math

from coresr_train.stopping import Patience


def stop_index(values: list[float], patience: int, min_delta: float) -> int | None:
    counter = Patience(patience, min_delta)
    for index, value in enumerate(values):
        counter.is_best(value)
        if counter.lost:
            return index
    return None


def test_it_stops_after_patience_validations_without_enough_improvement() -> None:
    assert stop_index([0.5, 0.6, 0.601, 0.6015, 0.7], patience=2, min_delta=0.002) == 3
    assert stop_index([0.5, 0.6, 0.601, 0.603, 0.7], patience=2, min_delta=0.002) is None
    assert stop_index([0.5, 0.4, 0.3], patience=3, min_delta=0.0) is None


def test_patience_of_zero_never_runs_out() -> None:
    assert stop_index([0.5] * 100, patience=0, min_delta=0.0) is None


def test_nan_counts_as_no_improvement_and_is_never_best() -> None:
    assert stop_index([math.nan, math.nan], patience=2, min_delta=0.0) == 1
    assert not Patience(0, 0.0).is_best(math.nan)


def test_best_is_strict_and_ignores_min_delta() -> None:
    counter = Patience(5, 0.1)
    assert [counter.is_best(value) for value in (0.5, 0.5, 0.51, 0.4, 0.52)] == [True, False, True, False, True]
    assert counter.best == 0.52
