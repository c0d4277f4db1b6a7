"""What the run computes on: processes, threads, precision."""

import os

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from coresr_train.presets import ConfigError, Precision, Run


def start(run: Run) -> Accelerator:
    """Join the launch: device, mixed precision, and all cores shared between the processes of this machine.

    ConfigError where the number of processes is not the expected one.
    """
    precision = resolved(run.precision)
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no" if precision == "fp32" else precision,
        # the buffers are constants; sending a lone channels-last one at every forward also fails in torch 2.13
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
    )
    expected = run.expect_processes
    if expected not in (None, accelerator.num_processes):
        raise ConfigError(
            f"processes must be {expected} as --expect-processes says, got {accelerator.num_processes}; on a CPU use: "
            f"ACCELERATE_USE_CPU=1 accelerate launch --multi_gpu --num_processes {expected} -m coresr_train"
        )
    if accelerator.device.type == "cpu":
        # a launcher sets one thread per process and leaves the other cores idle
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(max(1, cores() // here))
    return accelerator


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolved(precision: Precision) -> Precision:
    """The precision that "auto" means here."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # emulated bfloat16 is slower than float32: only instructions for it count
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"  # noqa: SLF001 - torch has no public question  # torch has no public question
