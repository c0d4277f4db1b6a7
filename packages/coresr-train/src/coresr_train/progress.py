"""What a run says while it goes: `metrics.jsonl`, a progress bar, and a line per validation."""

import statistics
import sys
import time
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from coresr_train import tracking
from coresr_train.length import Length
from coresr_train.loop import Step
from coresr_train.presets import Run

LOG_EVERY = 10


class Progress:
    """Counts steps, time and losses; every tenth step is logged as the mean over the steps since the last."""

    def __init__(self, run: Run, metrics: Path, length: Length, accelerator: Accelerator) -> None:
        self._batch, self._metrics, self._length, self._accelerator = run.data.batch, metrics, length, accelerator
        self._terms: list[dict[str, Tensor]] = []
        self._step_seconds: list[float] = []
        self._waited = 0.0
        self._last = time.monotonic()
        self._bar = tqdm(
            total=length.seconds or length.steps or 0,
            bar_format="{percentage:3.0f}% |{bar}| {remaining} left{postfix}",
            disable=not (accelerator.is_main_process and sys.stderr.isatty()),
        )

    def waited(self, seconds: float) -> None:
        """Count time spent waiting for data."""
        self._waited += seconds

    def step(self, step: Step, *, last: bool) -> None:
        """Count one step; every process must, for the logged losses are means over all of them."""
        now = time.monotonic()
        self._step_seconds.append(now - self._last)
        self._last = now
        self._terms.append(step.terms)
        if step.number % LOG_EVERY == 0 or last:
            self._log(step)

    def said(self, line: str) -> None:
        """Print a line beside the bar; the time since the last step was not a step's."""
        if self._accelerator.is_main_process:
            tqdm.write(line)
        self._last = time.monotonic()

    def close(self) -> str:
        """End the bar; the median step time, as a sentence."""
        self._bar.close()
        seconds = statistics.median(self._step_seconds)
        return (
            f"{len(self._step_seconds)} steps, {seconds:.3f} s a step (median), {self._batch / seconds:.0f} patches/s"
        )

    def _log(self, step: Step) -> None:
        means = {
            name: float(self._accelerator.reduce(sum(terms[name] for terms in self._terms) / len(self._terms), "mean"))
            for name in self._terms[0]
        }
        spent = sum(self._step_seconds[-len(self._terms) :])  # validations are not part of it
        rate, wait = len(self._terms) * self._batch / spent, self._waited / spent
        self._terms, self._waited = [], 0.0
        if not self._accelerator.is_main_process:
            return
        row = {"step": step.number, "learning_rate": step.learning_rate, **means}
        extra = {"patches_per_second": rate, "wait_share": wait, "seconds": self._length.elapsed}
        tracking.append(self._metrics, "train", row | extra)
        loss = sum(value for name, value in means.items() if not name.endswith("gradient_norm"))
        seconds = self._length.seconds
        self._bar.n = min(self._length.elapsed, seconds) if seconds else step.number
        self._bar.set_postfix_str(
            f"step {step.number}, loss {loss:.4f}, learning rate {step.learning_rate:.1e}, "
            f"{rate:.0f} patches/s, {100 * wait:.1f} % waiting for data"
        )
