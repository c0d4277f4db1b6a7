"""Faults of the machine, which torch tells in many ways, each with its own exit code and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.distributed import DistError

from coresr_train.feed import worker_error
from coresr_train.progress import Progress


class FullError(OSError):
    """The accelerator has too little memory."""

    exit_code = 69


class PeerError(OSError):
    """Another process of the run is gone."""

    exit_code = 76


@contextmanager
def told_apart(progress: Progress, batch: int) -> Iterator[None]:
    """Errors of torch within the block, as those that a command line can end with.

    A data worker that dies while the main process computes is told by a signal handler of torch, wherever that is.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FullError(
            f"memory of the accelerator must hold a batch, got {str(error).splitlines()[0]}; "
            "lower data.batch, or raise optim.accumulate, and go on with --resume"
        ) from error
    except RuntimeError as error:
        said = str(error)
        if said.startswith("DataLoader worker"):
            raise worker_error(error, progress.done + 1, batch) from error
        if isinstance(error, DistError) or "Connection closed by peer" in said or "gloo" in said:
            raise PeerError(
                f"every process of the run must live, got {said.splitlines()[0]}; look at what the others said, "
                "and go on with --resume"
            ) from error
        raise
