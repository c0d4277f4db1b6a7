from itertools import combinations

import numpy as np
import pytest

from coresr_eval.statistics import holm, letters

NAMES = "pqrstuvw"


def test_holm_gives_what_r_gives() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx((0.04, 0.06, 0.06, 0.06))
    assert holm([0.04, 0.001, 0.2, 0.3, 0.0125]) == pytest.approx((0.12, 0.005, 0.4, 0.4, 0.05))
    assert holm([0.6, 0.7]) == (1.0, 1.0)
    assert holm([]) == ()


def shared(marks: tuple[str, ...], one: int, other: int) -> bool:
    return bool(set(marks[one]) & set(marks[other]))


def test_two_names_share_a_letter_exactly_where_they_are_not_different() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        number, share = rng.integers(1, 9), rng.random()
        pairs = list(combinations(range(number), 2))
        different = [pair for pair in pairs if rng.random() < share]
        marks = letters(NAMES[:number], {frozenset((NAMES[i], NAMES[j])) for i, j in different})
        assert all(marks)
        assert [pair for pair in pairs if not shared(marks, *pair)] == different


def test_a_row_of_overlapping_groups_takes_as_few_letters_as_there_are_groups() -> None:
    different = {frozenset((NAMES[i], NAMES[j])) for i, j in combinations(range(5), 2) if j - i > 1}
    assert letters(NAMES[:5], different) == ("a", "ab", "bc", "cd", "d")
    assert letters(NAMES[:3], set()) == ("a", "a", "a")
    assert letters(NAMES[:3], {frozenset(pair) for pair in combinations(NAMES[:3], 2)}) == ("a", "b", "c")
    assert letters("p", set()) == ("a",)


def test_the_first_name_has_the_first_letter() -> None:
    assert letters("pqr", {frozenset("pq"), frozenset("pr")}) == ("a", "b", "b")


def test_letters_never_run_out() -> None:
    names = [f"model {i}" for i in range(60)]
    assert len(set(letters(names, {frozenset(pair) for pair in combinations(names, 2)}))) == 60
