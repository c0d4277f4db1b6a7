"""What the run computes on: processes, threads, precision."""

import os
import platform
import warnings
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

from coresr_train.settings import ConfigError, Precision, Run


def start(run: Run) -> Accelerator:
    """Join the launch: device, mixed precision, and all cores shared between the processes of this machine.

    ConfigError where the number of processes is not the expected one, or the launcher asks for what a run does not do.
    """
    on_cpu = not torch.cuda.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes"}
    precision = resolved(run.precision, on_cpu=on_cpu)
    # torch renames the argument, which accelerate does not know yet
    warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
    accelerator = Accelerator(
        cpu=on_cpu,
        mixed_precision="no" if precision == "fp32" else precision,
        kwargs_handlers=[
            # buffers are constants, or each process's own; sending a lone channels-last one also fails in torch 2.13
            DistributedDataParallelKwargs(broadcast_buffers=False),
            # the main process validates alone while the others wait; NCCL's own patience is ten minutes
            InitProcessGroupKwargs(timeout=timedelta(hours=1)),
        ],
    )
    if accelerator.gradient_accumulation_steps != 1:
        raise ConfigError(
            f"gradient accumulation must be 1, got {accelerator.gradient_accumulation_steps} from accelerate's own "
            "configuration, which would divide the loss; set it to 1 with: accelerate config"
        )
    expected = run.expect_processes
    if expected not in (None, accelerator.num_processes):
        raise ConfigError(
            f"processes must be {expected} as --expect-processes says, got {accelerator.num_processes}; on a CPU use: "
            f"ACCELERATE_USE_CPU=1 accelerate launch --multi_gpu --num_processes {expected} -m coresr_train"
        )
    if on_cpu:
        # a launcher sets one thread per process and leaves the other cores idle
        torch.set_num_threads(share_of_cores())
    torch.backends.cudnn.allow_tf32 = False  # TF32 keeps 10 bits: float32 would not be float32
    return accelerator


def described(accelerator: Accelerator) -> dict[str, str | int]:
    """What decides the last bits of a run."""
    return {
        "device": torch.cuda.get_device_name() if accelerator.device.type == "cuda" else accelerator.device.type,
        "processor": platform.machine(),
        "precision": accelerator.mixed_precision.replace("no", "fp32"),
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def share_of_cores() -> int:
    """Cores for each process that was launched on this machine."""
    return max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolved(precision: Precision, *, on_cpu: bool) -> Precision:
    """The precision that "auto" means here; ConfigError for fp16 on a CPU."""
    if precision == "fp16" and on_cpu:
        raise ConfigError("precision must be auto, fp32 or bf16 on a CPU, got fp16")
    if precision != "auto":
        return precision
    if not on_cpu:
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # emulated bfloat16 is slower than float32: only instructions for it count
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "fp32"  # noqa: SLF001 - torch has no public question
