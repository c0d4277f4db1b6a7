"""coresr_eval.grounds: thresholds fixed on HR."""

import numpy as np
import pytest

from coresr_eval.grounds import THRESHOLDS, Ground, ground, ground_or_why
from tests.eval.test_analysis import rock


def test_a_threshold_that_is_given_takes_the_place_of_otsus() -> None:
    at = ground([rock(0)], threshold=0.4)
    assert at.threshold == at.thresholds[THRESHOLDS // 2] == 0.4
    assert ground([rock(0)]).threshold != 0.4
    with pytest.raises(ValueError, match="threshold must lie between"):
        ground([rock(0)], threshold=2.0)


def test_a_flat_core_has_no_ground() -> None:
    with pytest.raises(ValueError, match="two grey levels"):
        ground([np.full((8, 8), 0.5, np.float32)])


def test_a_core_has_a_ground_or_a_sentence_that_says_why_not() -> None:
    at = ground_or_why("plug", [rock(0), rock(1)], (2.0, 3.0), threshold=0.4)
    assert isinstance(at, Ground)
    assert (at.threshold, at.voxel_um) == (0.4, (2.0, 3.0))
    flat = np.full((8, 8), 0.5, np.float32)
    assert ground_or_why("plug", [flat]) == "Nothing is said of the pores of plug, which has one grey level only."
    high = float(rock(0).max())
    for threshold in (-0.5, high):
        said = ground_or_why("plug", [rock(0)], threshold=threshold)
        assert said == "Nothing is said of the pores of plug, which has no level on one side of --pore."
