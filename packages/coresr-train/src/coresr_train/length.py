"""When a run ends: after a number of steps, or when its seconds are spent."""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from coresr_train.settings import Run


class Length:
    """The end of a run, on which all processes agree.

    Under a budget the number of steps is estimated anew at every step from the time used so far, validation
    included, so that the learning rate ends at zero just when the seconds do.
    """

    def __init__(self, run: Run, steps_per_epoch: float, accelerator: Accelerator) -> None:
        self.seconds = run.budget_seconds
        self.steps = run.steps if run.epochs is None else math.ceil(run.epochs * steps_per_epoch)
        self.started = time.monotonic()
        self._accelerator = accelerator
        self._agreed = self._first = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, on this process's clock."""
        return time.monotonic() - self.started

    def total(self, step: int) -> float:
        """Steps in all, as far as known when `step` steps are done. Every process must ask at every step."""
        if self.seconds is None:
            return float(self.steps or 0)
        self._agreed = self._main_process_elapsed()
        if step == 1:
            self._first = self._agreed  # in which everything is set up: no measure of those that come
        if step <= 1:
            return math.inf
        return step + (self.seconds - self._agreed) * (step - 1) / max(self._agreed - self._first, 1e-9)

    def over(self, step: int) -> bool:
        """Whether the run ends after `step` steps."""
        return self._agreed >= self.seconds if self.seconds is not None else step >= (self.steps or 0)

    def state(self) -> dict[str, Any]:
        """The seconds used so far, and in the first step."""
        return {"seconds": self.elapsed, "first": self._first}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count on from the seconds of an earlier part of the run."""
        self.started, self._first = time.monotonic() - state["seconds"], state["first"]

    def _main_process_elapsed(self) -> float:
        if self._accelerator.num_processes == 1:
            return self.elapsed
        clock = torch.tensor(self.elapsed, dtype=torch.float64, device=self._accelerator.device)
        return float(broadcast(clock))
