"""What it looks like when memory is short, on every device."""

import torch

FLOOR = 32
"""Side of a tile in LR pixels below which its halo alone is what does not fit."""
SAID = ("not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "alloc_failed")
"""By the allocators of the CPU, of CUDA's libraries and of others, for which torch has no exception of their own."""


def ran_out(error: BaseException) -> bool:
    """Whether `error` means that memory was short, and less of it may do."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in SAID)


def halved(side: int, multiple_of: int) -> int | None:
    """Half of a tile's side, on the grid of the network; None where that is too small to help."""
    half = -(-(side // 2) // multiple_of) * multiple_of
    return half if FLOOR <= half < side else None


def let_go() -> None:
    """Give back what a failed attempt left in the caches of an accelerator."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
