"""When a validation is the best so far, and when there have been too many without progress."""

import math
from collections.abc import Mapping
from typing import Any


class Patience:
    """Counts validations without an improvement of more than `min_delta`; NaN never improves.

    `patience` of 0 never runs out.
    """

    def __init__(self, patience: int, min_delta: float) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.best = -math.inf
        """The highest value seen, however small the step to it."""
        self._reference = -math.inf
        self._without = 0

    def is_best(self, value: float) -> bool:
        """Take the value of one more validation; whether it is strictly the highest so far."""
        if value > self._reference + self.min_delta:
            self._reference, self._without = value, 0
        else:
            self._without += 1
        if not value > self.best:
            return False
        self.best = value
        return True

    @property
    def lost(self) -> bool:
        """Whether it has run out."""
        return 0 < self.patience <= self._without

    def state(self) -> dict[str, Any]:
        """As JSON, which has no infinity: None before the first."""
        best, reference = (None if math.isinf(one) else one for one in (self.best, self._reference))
        return {"best": best, "reference": reference, "without": self._without}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count on from there."""
        best, reference = (-math.inf if one is None else float(one) for one in (state["best"], state["reference"]))
        self.best, self._reference, self._without = best, reference, int(state["without"])
