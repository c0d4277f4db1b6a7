"""Two processes that talk to one another, as a launcher starts them, but within a test."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import start_processes


def in_two_processes(work: Callable[[int], dict[str, Tensor]], folder: Path) -> list[dict[str, Tensor]]:
    """What `work` returns in the process of rank 0, and in that of rank 1; it may be a closure, for they are forked."""

    def one(rank: int) -> None:
        torch.set_num_threads(1)
        os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "1"}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        os.environ |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # no port is opened
        distributed.init_process_group("gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2)
        torch.save(work(rank), folder / f"{rank}.pt")
        distributed.destroy_process_group()

    start_processes(one, nprocs=2, start_method="fork")  # type: ignore[no-untyped-call]  # torch has no type for it
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
