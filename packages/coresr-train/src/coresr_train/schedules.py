"""The learning rate as a pure function of the optimizer step."""

import math
from bisect import bisect_right

from coresr_train.settings import Optim

RISE = 0.3
"""Share of a one-cycle run in which the rate rises; this and the next two are torch's and fastai's defaults."""
START = 1 / 25
"""Of the peak, where one_cycle begins."""
END = START / 1e4
"""Of the peak, where one_cycle ends."""


def rate(step: int, *, optim: Optim, total: float, warmup: int) -> float:
    """The learning rate of step `step`, from 0, in a run of `total` steps: at least 0, at most `optim.learning_rate`.

    All schedules but one_cycle rise linearly over `warmup` steps, the last of which has the peak. `total` may be
    infinite while nobody knows it, and another at every step, as under a budget; past it a rate stays what it ended
    at. cosine: half of one from the peak to `floor` (Loshchilov and Hutter 2017, arXiv 1608.03983, eq. 5);
    cosine_restarts: `restarts` of them; one_cycle: Smith and Topin 2019 (arXiv 1708.07120) with cosines for ramps, as
    torch's OneCycleLR; it leaves momenta alone. multistep counts its shares from the start of the run;
    constant_linear falls in a line from the middle of the run, to `floor` one step after its last (CycleGAN).

    >>> cosine = Optim(learning_rate=1e-3)
    >>> [round(rate(t, optim=cosine, total=20, warmup=5), 8) for t in (0, 4, 5, 12)]
    [0.0002, 0.001, 0.001, 0.00055226]
    """
    peak = optim.learning_rate
    if optim.schedule == "one_cycle":
        return peak * _one_cycle(step, total)
    if step < warmup:
        return min(peak * (step + 1) / warmup, peak)
    return peak * _share(step, optim, total, warmup)


def _share(step: int, optim: Optim, total: float, warmup: int) -> float:
    """Of the peak, after the warm-up."""
    match optim.schedule:
        case "constant":
            return 1.0
        case "multistep":
            return optim.gamma ** bisect_right(optim.milestones, _part(step, total))
        case "constant_linear":
            fallen = max(step + 1 - total / 2, 0.0)  # never minus infinity, where nobody knows the end
            return 1.0 - (1.0 - optim.floor) * _part(fallen, total / 2 + 1)
        case "cosine_restarts" if step < total:
            length = max(total - warmup, 1) / optim.restarts
            return _fall(1.0, optim.floor, _part((step - warmup) % length, length))
        case _:
            return _fall(1.0, optim.floor, _part(step - warmup, max(total - warmup, 1)))


def _one_cycle(step: int, total: float) -> float:
    top = RISE * total - 1
    if step <= top:
        return _fall(START, 1.0, _part(step, top))
    return _fall(1.0, END, _part(step - top, total - 1 - top))


def _fall(start: float, end: float, part: float) -> float:
    """From start (part 0) to end (part 1) along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def _part(done: float, whole: float) -> float:
    """The share that `done` is of `whole`, within [0, 1]; all of it where the whole is nothing."""
    return min(max(done / whole, 0.0), 1.0) if whole > 0 else 1.0
