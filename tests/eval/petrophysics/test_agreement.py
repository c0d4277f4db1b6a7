import numpy as np
import pytest

from coresr_eval.petrophysics import dice


def test_dice_is_one_at_equality_and_zero_without_overlap() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (30, 30))
    assert dice(labels, labels) == dict.fromkeys(range(4), 1.0)
    assert dice([[0, 1]], [[1, 0]]) == {0: 0.0, 1: 0.0}


def test_dice_of_each_phase_is_twice_the_overlap_over_both_sizes() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (20, 20)), rng.integers(0, 4, (20, 20))
    found = dice(a, b)
    assert list(found) == [0, 1, 2, 3]
    for phase, value in found.items():
        assert value == pytest.approx(
            2 * np.sum((a == phase) & (b == phase)) / (np.sum(a == phase) + np.sum(b == phase))
        )
    assert dice(b, a) == found


def test_dice_of_masks_is_that_of_their_labels() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((20, 30)) < 0.3, rng.random((20, 30)) < 0.5
    assert dice(a, b) == {bool(phase): value for phase, value in dice(a.astype(int), b.astype(int)).items()}


def test_dice_of_a_phase_that_no_mask_has_is_not_a_number() -> None:
    found = dice([True, True], [True, True])
    assert found[True] == 1
    assert np.isnan(found[False])


def test_grey_levels_and_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers or booleans of one shape"):
        dice(np.zeros((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="whole numbers or booleans of one shape"):
        dice([1, 2], [[1, 2]])
    with pytest.raises(ValueError, match="whole numbers or booleans of one shape"):
        dice(np.zeros(0, int), np.zeros(0, int))
