"""What a network costs: parameters, MACs, latency, throughput, peak memory, at one stated size.

`python -m bench.cost NAME` measures one candidate in a process of its own, so that peak memory is its alone, and
prints a line of JSON.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import torch
from torch import nn

from coresr_models import ModelSpec, build, complete
from coresr_models.blocks import Bicubic
from coresr_models.macs import macs
from coresr_train.machine import cores

SIDE = 250
"""Of the LR image: 500² out, the slices of DeepRock-SR."""
REPEATS = 5

CANDIDATES: dict[str, ModelSpec | None] = {
    "bicubic": None,
    "edsr 16×2 direct": ModelSpec(name="edsr", arguments={"width": 16, "blocks": 2, "tail": "direct"}),
    "quick_x2 (edsr 32×4 direct)": ModelSpec(name="edsr", arguments={"width": 32, "blocks": 4, "tail": "direct"}),
    "edsr 64×16 staged": ModelSpec(name="edsr"),
    "unet depth 3 width 16": ModelSpec(name="unet", arguments={"depth": 3, "width": 16}),
    "reference_x2 (unet depth 5 width 64)": ModelSpec(name="unet", arguments={"depth": 5, "width": 64}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One candidate at SIDE² LR pixels, batch 1, float32, evaluated on all cores."""

    name: str
    parameters: int
    gmacs: float
    """Multiply-adds in 10⁹, counted by fvcore, a multiply-add once."""
    seconds: float
    """Median of REPEATS forward passes after a warm-up."""
    megapixels_per_second: float
    """HR pixels made."""
    peak_mib: float
    """Peak resident memory above that before the first forward pass."""


def network(name: str) -> nn.Module:
    """A candidate in eval mode."""
    spec = CANDIDATES[name]
    return (Bicubic(scale=2) if spec is None else build(complete(spec))).eval()


def measure(name: str) -> Cost:
    """Measure in this process."""
    torch.set_num_threads(cores())
    model = network(name)
    multiple = getattr(model, "multiple_of", 1)
    side = -(-SIDE // multiple) * multiple
    image = torch.rand(1, 1, side, side)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    with torch.inference_mode():
        for _ in range(REPEATS + 1):
            started = time.perf_counter()
            model(image)
            seconds.append(time.perf_counter() - started)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    median = statistics.median(seconds[1:])
    return Cost(
        name=name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gmacs=macs(model, (1, 1, side, side)) / 1e9,
        seconds=median,
        megapixels_per_second=4 * side**2 / median / 1e6,
        peak_mib=peak,
    )


def measure_all() -> list[Cost]:
    """Every candidate, each in a process of its own."""
    found = []
    for name in CANDIDATES:
        done = subprocess.run([sys.executable, "-m", "bench.cost", name], capture_output=True, text=True, check=True)
        found.append(Cost(**json.loads(done.stdout.splitlines()[-1])))
    return found


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1]))))
