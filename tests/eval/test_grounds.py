"""coresr_eval.grounds: thresholds fixed on HR."""

import numpy as np
import pytest

from coresr_eval.grounds import THRESHOLDS, ground
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
