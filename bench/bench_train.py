"""One training step of `quick_x2`: in float32 with channels first, and as the preset runs."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from coresr_models import build
from coresr_train.losses import charbonnier
from coresr_train.machine import cores, resolved
from coresr_train.optim import optimizer
from coresr_train.presets import quick_x2

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize("fast", [False, True], ids=["fp32", "as-preset"])
def test_benchmark_a_training_step_of_quick_x2(benchmark: BenchmarkFixture, fast: bool) -> None:
    torch.set_num_threads(cores())
    run = quick_x2()
    network = build(run.model)
    if fast:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub forgets this form
    dtype = DTYPES.get(resolved(run.precision, on_cpu=True)) if fast else None
    stepper = optimizer(network, run.optim)
    hr = torch.rand(run.data.batch, 1, run.data.patch, run.data.patch)
    lr = torch.nn.functional.avg_pool2d(hr, 2)

    def step() -> None:
        with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
            loss = charbonnier(network(lr), hr)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        stepper.step()
        stepper.zero_grad()

    benchmark.pedantic(step, rounds=20, warmup_rounds=3)  # type: ignore[no-untyped-call]  # torch has no type for it
