"""Which samples each optimizer step sees, whatever the number of processes."""

from collections.abc import Iterator
from itertools import count

from torch.utils.data import Sampler


class StepBatches(Sampler[list[int]]):
    """The sample numbers of each optimizer step, endlessly: step t holds samples t·batch to (t + 1)·batch - 1.

    `batch` is the global batch, which must divide by `processes`; process `rank`, counted from 0, takes its own
    contiguous share of it, so that the number of processes changes nothing. ValueError for numbers that do not fit.
    """

    def __init__(self, *, batch: int, rank: int = 0, processes: int = 1, first_step: int = 0) -> None:
        if not 0 <= rank < processes:
            raise ValueError(f"rank must be from 0 to below the number of processes, {processes}, got {rank}")
        if first_step < 0:
            raise ValueError(f"first_step must be 0 or more, got {first_step}")
        if batch < 1 or batch % processes:
            raise ValueError(f"batch must be a positive multiple of the {processes} processes, got {batch}")
        self.batch, self.share, self.rank, self.first_step = batch, batch // processes, rank, first_step

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.first_step):
            first = step * self.batch + self.rank * self.share
            yield list(range(first, first + self.share))
