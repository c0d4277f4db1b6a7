"""Losses that stand out from those just before them: worth a line in the record, not worth ending a run."""

import math
from collections import deque
from statistics import median
from typing import TypedDict

WINDOW = 100
"""Losses that are remembered: long enough that ten bad steps hardly move its median, short enough that the fall of
the loss over it is small beside its noise."""
NEEDED = 20
"""Losses before the first is judged: the spread of fewer is too uncertain, and in a warm-up all is unusual."""
THRESHOLD = 10.0
"""In standard deviations above the median. Patches differ in how much they hold, and losses of small batches have a
long tail: of 1500 in undisturbed runs the largest stood at 4 with batches of four patches, at 8 to 10 with one."""
TO_DEVIATION = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""
LEAST = 0.01
"""Standard deviation that is granted at least, as a share of the median: losses that hardly differ have none."""


class SpikesState(TypedDict):
    """What a run that goes on must know again, as plain JSON."""

    losses: list[float]


class Spikes:
    """Tells losses that lie far above those before them, by the median and its absolute deviation (Hampel 1974).

    Both hardly notice the spikes themselves, unlike mean and variance. A loss that stays high is a spike only until
    half of the window knows it: from then on it is what is usual.
    """

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=WINDOW)

    def is_spike(self, loss: float) -> bool:
        """Whether `loss` is one, to be asked once a step; one that is not finite is neither judged nor remembered.

        >>> spikes = Spikes()
        >>> [step for step in range(50) if spikes.is_spike(1.0 + step % 3 + 100 * (step == 40))]
        [40]
        """
        if not math.isfinite(loss):
            return False
        spike = len(self._losses) >= NEEDED and loss > self._limit()
        self._losses.append(loss)
        return spike

    def state(self) -> SpikesState:
        """The losses remembered, the oldest first."""
        return {"losses": list(self._losses)}

    def restore(self, state: SpikesState) -> None:
        """Go on as the one whose state this is."""
        self._losses = deque(state["losses"], maxlen=WINDOW)

    def _limit(self) -> float:
        middle = median(self._losses)
        deviation = TO_DEVIATION * median(abs(loss - middle) for loss in self._losses)
        return middle + THRESHOLD * max(deviation, LEAST * abs(middle))
