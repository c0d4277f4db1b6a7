"""How the LR of a stored slice was made, as the linear operator that scoring and consistency ask for."""

import json
from collections.abc import Sequence
from typing import Any

from coresr_data.degrade import from_json
from coresr_data.degrade.operators import Chain, linear
from coresr_data.degrade.recipes import Linear, Steps
from coresr_data.degrade.steps import Resize
from coresr_data.resize import Separable
from coresr_data.store import DRAWN, Core, Store

KEPT = 4
"""Operators that are held: slices that share one follow one another, and each holds megabytes."""


class Operators:
    """Of a store's slices; neighbours of one size that went through the same steps share one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._drawn: dict[str, Sequence[Any] | None] = {}
        self._made: dict[tuple[Steps, int, int], Separable | Chain] = {}

    def __call__(self, core: Core, row: int) -> Separable | Chain | None:
        """From HR `(..., height, width)` to LR, in float; None where LR was scanned or nobody recorded its steps.

        Rounding to grey levels, noise, rings and drift are no part of it: they bound how well any SR gives LR back.
        """
        steps = tuple(step for step in self._steps(core, row) if isinstance(step, Linear))
        if not steps:
            return None
        key = steps, core.height, core.width
        if key not in self._made:
            if len(self._made) == KEPT:
                self._made.pop(next(iter(self._made)))
            self._made[key] = linear(steps, core.height, core.width, self._store.scale)
        return self._made[key]

    def _steps(self, core: Core, row: int) -> Steps:
        manifest, scale = self._store.manifest, str(self._store.scale)
        if (fixed := manifest.degradation_parameters.get("steps", {}).get(scale)) is not None:
            return from_json(fixed)
        if (drawn := self._of(core)) is not None:
            return from_json(drawn[row])
        if manifest.degradation == "default":  # the published LR is MATLAB's bicubic to one grey level
            return (Resize(),)
        return ()

    def _of(self, core: Core) -> Sequence[Any] | None:
        if core.folder not in self._drawn:
            file = self._store.path / core.folder / DRAWN.format(scale=self._store.scale)
            self._drawn[core.folder] = json.loads(file.read_bytes()) if file.is_file() else None
        return self._drawn[core.folder]
