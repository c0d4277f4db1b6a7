"""What a run says while it goes: `metrics.jsonl`, a progress bar, and a line per validation."""

import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor
from tqdm import tqdm

from coresr_train import tracking
from coresr_train.folder import EVENTS, METRICS
from coresr_train.health import Health
from coresr_train.length import Length
from coresr_train.loop import Step
from coresr_train.settings import Run
from coresr_train.spikes import Spikes
from coresr_train.tracking import Trackers

LOG_EVERY = 10


class Progress:
    """Counts steps, time and losses; every tenth step is logged as the mean over the steps since the last."""

    def __init__(self, run: Run, length: Length, trackers: Trackers, accelerator: Accelerator) -> None:
        self._batch, self._length, self._accelerator = run.data.batch, length, accelerator
        self._trackers = trackers
        self._metrics, self._events = Path(run.out) / METRICS, Path(run.out) / EVENTS
        self._spikes: dict[str, Spikes] = {}
        self._health = Health()
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._losses: set[str] = set()
        self._summed = 0
        self.done = 0
        """Steps."""
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
        for name, value in (step.terms | step.watched).items():  # a phase need not take part in every step
            self._sums[name] = self._sums.get(name, 0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._losses |= step.terms.keys()
        self._summed, self.done = self._summed + 1, step.number
        if self._accelerator.is_main_process:
            self._look_for_a_spike(step)
        if step.number % LOG_EVERY == 0 or last:
            self._log(step)

    def said(self, line: str) -> None:
        """Print a line beside the bar; the time since the last step was not a step's."""
        if self._accelerator.is_main_process:
            tqdm.write(line)
        self._last = time.monotonic()

    def not_finite(self) -> None:
        """Record which samples the step after the last one had, whose gradient or weights are not finite."""
        if self._accelerator.is_main_process:
            step = self.done + 1
            tracking.append(self._events, "not_finite", {"step": step, **self._samples(step)})

    def close(self) -> str:
        """End the bar; the median step time, as a sentence."""
        self._bar.close()
        if not self._step_seconds:
            return "no steps left"
        seconds = statistics.median(self._step_seconds)
        return (
            f"{len(self._step_seconds)} steps, {seconds:.3f} s a step (median), {self._batch / seconds:.0f} patches/s"
        )

    def state(self) -> dict[str, Any]:
        """The sums since the last logged step, of every process; each must ask."""
        mine = {name: float(value) for name, value in self._sums.items()}
        return {
            "done": self.done,
            "summed": self._summed,
            "counts": self._counts,
            "losses": sorted(self._losses),
            "sums": gather_object([mine]),
            "spikes": {phase: spikes.state() for phase, spikes in self._spikes.items()},
            "health": self._health.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sum on from there; where there were other processes, from their mean."""
        sums, processes = state["sums"], self._accelerator.num_processes
        here = sums[self._accelerator.process_index] if len(sums) == processes else _mean(sums)
        self._sums = {name: torch.tensor(value, device=self._accelerator.device) for name, value in here.items()}
        self._counts, self._losses = dict(state["counts"]), set(state["losses"])
        self._summed, self.done = int(state["summed"]), int(state["done"])
        for phase, seen in state["spikes"].items():
            self._spikes.setdefault(phase, Spikes()).restore(seen)
        self._health.restore(state["health"])

    def _look_for_a_spike(self, step: Step) -> None:
        """Record a loss of this process far above those of its phase before; nothing is skipped for it."""
        for phase in dict.fromkeys(name.partition("/")[0] for name in step.terms):
            loss = float(sum(value for name, value in step.terms.items() if name.startswith(f"{phase}/")))
            if self._spikes.setdefault(phase, Spikes()).is_spike(loss):
                where = {"step": step.number, "phase": phase, **self._samples(step.number)}
                tracking.append(self._events, "spike", {**where, "loss": loss})

    def _samples(self, step: int) -> dict[str, float | int | str | None]:
        """Those of a step, from 1; a sample is a function of its number and the seed."""
        return {"first_sample": (step - 1) * self._batch, "last_sample": step * self._batch - 1}

    def _log(self, step: Step) -> None:
        means = {
            name: float(self._accelerator.reduce(total / self._counts[name], "mean"))
            for name, total in self._sums.items()
        }
        losses = {name: value for name, value in means.items() if name in self._losses}
        spent = sum(self._step_seconds[-self._summed :])  # validations are not part of it
        rate, wait = min(self._summed, len(self._step_seconds)) * self._batch / spent, self._waited / spent
        self._sums, self._counts, self._losses, self._summed, self._waited = {}, {}, set(), 0, 0.0
        if not self._accelerator.is_main_process:
            return
        row = {"step": step.number, "learning_rate": step.learning_rate, **means, **_shares(losses)}
        extra = {"patches_per_second": rate, "wait_share": wait, "seconds": self._length.elapsed}
        tracking.append(self._metrics, "train", row | extra)
        self._trackers.scalars(step.number, {name: value for name, value in (row | extra).items() if name != "step"})
        for one in self._health.look(means):
            tracking.append(self._events, "collapse", {"step": step.number, "critic": one.critic, "what": one.what})
            tqdm.write(f"step {step.number}, {one.critic}: {one.what}")
        loss = sum(losses.values())
        seconds = self._length.seconds
        self._bar.n = min(self._length.elapsed, seconds) if seconds else step.number
        self._bar.set_postfix_str(
            f"step {step.number}, loss {loss:.4f}, learning rate {step.learning_rate:.1e}, "
            f"{rate:.0f} patches/s, {100 * wait:.1f} % waiting for data"
        )


def _shares(losses: Mapping[str, float]) -> dict[str, float]:
    """How much of its phase's loss each term is, where there are several."""
    shares: dict[str, float] = {}
    for phase in {name.partition("/")[0] for name in losses}:
        terms = {name: abs(value) for name, value in losses.items() if name.startswith(f"{phase}/")}
        total = sum(terms.values())
        if len(terms) > 1 and total > 0:
            shares |= {f"{name}/share": value / total for name, value in terms.items()}
    return shares


def _mean(sums: list[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in sums) / len(sums) for name in sums[0]}
