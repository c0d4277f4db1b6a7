"""A bounded queue and one thread between a run and a tracker: whatever the tracker does, the run goes on."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from tqdm import tqdm

MOST_JOBS = 1000
MOST_BYTES = 256 << 20
"""Of pictures that wait; the oldest jobs give way."""
ATTEMPTS = 3
"""At one job: a record that a tracker cannot take must not stop those behind it."""
PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds between attempts, doubled each time."""
GRACE = 1.0
"""Seconds that the end of a run is held up by a tracker that does not answer."""


class Job(NamedTuple):
    """What to do, and the bytes it holds."""

    do: Callable[[], None]
    size: int


class Courier:
    """Does one tracker's jobs in order, in a daemon thread, after `start`; what fails costs one warning an outage.

    An outage begins with a job that raises and ends with one that does not.
    """

    def __init__(self, name: str, start: Callable[[], None]) -> None:
        self._name, self._start = name, start
        self._jobs: deque[Job] = deque()
        self._bytes = 0
        self._change = threading.Condition()
        self._closing = threading.Event()
        self._tried = threading.Event()
        self._failing = ""
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def post(self, do: Callable[[], None], size: int = 0) -> None:
        """Queue a job that holds `size` bytes; the oldest are dropped where there are too many."""
        with self._change:
            self._jobs.append(Job(do, size))
            self._bytes += size
            while len(self._jobs) > MOST_JOBS or (self._bytes > MOST_BYTES and len(self._jobs) > 1):
                self._bytes -= self._jobs.popleft().size
            self._change.notify()

    def unreachable(self, seconds: float) -> str:
        """Why the tracker could not be started, after at most `seconds`; empty where it was."""
        return self._failing if self._tried.wait(seconds) else f"no answer within {seconds:.0f} s"

    def end(self) -> None:
        """Finish what is queued, and then end."""
        with self._change:
            self._closing.set()
            self._change.notify()

    def wait(self, until: float) -> None:
        """Wait for the end until that time of `time.monotonic`, or shortly where the tracker does not answer."""
        while self._thread.is_alive() and time.monotonic() < until:
            if self._failing:
                until = min(until, time.monotonic() + GRACE)
            self._thread.join(0.05)
        left = len(self._jobs) + self._thread.is_alive()
        if left and not self._failing:
            self._warn(f"{left} records did not reach it in time")

    def _work(self) -> None:
        if self._done(self._start, attempts=None):
            while job := self._next():
                self._done(job.do, ATTEMPTS)

    def _next(self) -> Job | None:
        with self._change:
            self._change.wait_for(lambda: self._jobs or self._closing.is_set())
            if not self._jobs:
                return None
            job = self._jobs.popleft()
            self._bytes -= job.size
            return job

    def _done(self, do: Callable[[], None], attempts: int | None) -> bool:
        """Try until it succeeds, the attempts are used up, or the run ends."""
        tried, pause = 0, PAUSE
        while not self._succeeds(do):
            tried += 1
            if tried == attempts or self._closing.is_set():
                return False
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return True

    def _succeeds(self, do: Callable[[], None]) -> bool:
        try:
            do()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever a tracker raises, training goes on
            why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            if not self._failing:
                self._warn(why)
            self._failing = why
        else:
            self._failing = ""
        self._tried.set()
        return not self._failing

    def _warn(self, why: str) -> None:
        line = f"coresr: warning: tracker {self._name} cannot be reached, {why}; metrics.jsonl has every record"
        tqdm.write(line, file=sys.stderr)
