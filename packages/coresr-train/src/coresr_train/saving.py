"""When a run is saved, and what a checkpoint says of it beside the state."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from coresr_train import checkpoints, config
from coresr_train.folder import SETTINGS
from coresr_train.settings import Run
from coresr_train.state import Training, collect

SECONDS = 600.0
"""Between checkpoints where no number of steps is given."""
LOOK_EVERY = 10
"""Steps between two looks at the clock, on which the processes must agree."""


class Saving:
    """Writes checkpoints and lets old ones go; the main process does, and all hear whether it could."""

    def __init__(self, run: Run, training: Training, about: Mapping[str, Any], resumed_from: int) -> None:
        self._run, self._training, self._about = run, training, about
        self._resumed_from = resumed_from
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether to save after this step; every process must ask."""
        if self._run.save_every:
            return step % self._run.save_every == 0
        if step % LOOK_EVERY:
            return False
        told = [time.monotonic() - self._last > SECONDS]
        broadcast_object_list(told)
        return told[0]

    def __call__(self, step: int, *, best: int, unvalidated: bool) -> None:
        """Save what `step` steps led to; `best` is the step of the best validation, whose checkpoint stays.

        OSError on every process where the main one cannot write.
        """
        tensors, state = collect(self._training)
        told: list[OSError | None] = [None]
        if self._training.accelerator.is_main_process:
            out = Path(self._run.out)
            try:
                checkpoints.write(out, step, tensors, {"about": self._about, **state, "unvalidated": unvalidated})
                checkpoints.rotate(out, keep=self._run.keep, spared={best, self._resumed_from})
                if self._resumed_from:  # changes that were allowed: a resume compares with what a checkpoint says
                    config.write_toml(out / SETTINGS, self._about["run"])
            except OSError as error:
                told = [error]
        broadcast_object_list(told)
        if told[0] is not None:
            raise told[0]
        self._last = time.monotonic()
