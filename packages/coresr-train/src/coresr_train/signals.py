"""Being asked to stop: SIGTERM of a scheduler and SIGINT of a person set a flag that the loop looks at."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from accelerate import Accelerator

PREEMPTED = 143


class Interrupts:
    """Whether one of the processes was asked to stop. The handler itself does nothing but remember."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.asked = False
        """Of this process alone."""

    def agreed(self) -> bool:
        """Whether any process was asked; every one must ask, and all hear the same."""
        if self.accelerator.num_processes == 1:
            return self.asked
        flag = torch.tensor(float(self.asked), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within, signals to stop are remembered; outside the main thread there is no listening to them."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self._hear) for one in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
