"""Under which setting is a network fastest? float32 and bfloat16, channels first and last, compiled, side by side.

`python -m bench.settings` times one ×2 slice of 500² of every architecture on all cores: each round runs every setting
in turn, and a ratio is that of one round. `--json FILE` writes every figure.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.cost import SIDE
from coresr_models import ModelSpec, build
from coresr_train.machine import cores

NETWORKS: dict[str, ModelSpec] = {
    "edsr 32×4 direct": ModelSpec(name="edsr", arguments={"width": 32, "blocks": 4, "tail": "direct"}),
    "nafnet 48×16": ModelSpec(name="nafnet"),
    "plksr 64×12 kernel 13": ModelSpec(name="plksr", arguments={"blocks": 12, "kernel": 13, "attention": False}),
    "rcan 64×2×4": ModelSpec(name="rcan", arguments={"groups": 2, "blocks": 4}),
    "realplksr 64×4": ModelSpec(name="realplksr", arguments={"blocks": 4}),
    "rrdbnet 64×4": ModelSpec(name="rrdbnet", arguments={"blocks": 4}),
    "span 48": ModelSpec(name="span"),
    "srcnn": ModelSpec(name="srcnn"),
    "swinir light": ModelSpec(name="swinir"),
    "unet depth 3 width 16": ModelSpec(name="unet", arguments={"depth": 3, "width": 16}),
}
SETTINGS = ("float32", "float32 last", "bfloat16", "bfloat16 last", "compiled float32 last", "compiled bfloat16 last")
"""`last` for channels last; the first is what the others are compared with."""
ROUNDS = 5


def main() -> None:
    """Measure what was asked for, and print milliseconds and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.settings", description=__doc__)
    parser.add_argument("--only", nargs="*", help="networks (default: all)")
    parser.add_argument("--eager", action="store_true", help="leave the compiled ones out, which take a minute each")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(cores())
    settings = [one for one in SETTINGS if not (options.eager and one.startswith("compiled"))]
    print(f"ms for {SIDE}² → {2 * SIDE}², {cores()} threads, and how many times as fast as {SETTINGS[0]}")
    print(f"{'':24}" + "".join(f"{one:>24}" for one in settings))
    found = {}
    for name in options.only or NETWORKS:
        rounds = measure(NETWORKS[name], settings, options.rounds)
        found[name] = rounds
        cells = []
        for setting in settings:
            times = [first / other for first, other in zip(rounds[SETTINGS[0]], rounds[setting], strict=True)]
            cells.append(f"{1000 * statistics.median(rounds[setting]):15.1f}{statistics.median(times):7.2f}×")
        print(f"{name:24}" + " ".join(cells), flush=True)
    if options.json:
        options.json.write_text(json.dumps({"side": SIDE, "threads": cores(), "seconds": found}, indent=1) + "\n")


def measure(spec: ModelSpec, settings: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of each setting in each round; a round that nobody counts goes before."""
    side = -(-SIDE // build(spec).multiple_of) * build(spec).multiple_of
    lr = torch.rand(1, 1, side, side)
    runs = {setting: under(setting, build(spec).eval(), lr) for setting in settings}
    found: dict[str, list[float]] = {setting: [] for setting in settings}
    with torch.inference_mode():
        for number in range(-1, rounds):
            for setting, run in runs.items():
                started = time.perf_counter()
                run()
                if number >= 0:
                    found[setting].append(time.perf_counter() - started)
    return found


def under(setting: str, network: nn.Module, lr: Tensor) -> Callable[[], Tensor]:
    """One forward pass under a setting."""
    if setting.endswith("last"):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
        lr = lr.contiguous(memory_format=torch.channels_last)
    upscale: Callable[[Tensor], Tensor] = torch.compile(network) if setting.startswith("compiled") else network
    return partial(_forward, upscale, lr, bfloat16="bfloat16" in setting)


def _forward(upscale: Callable[[Tensor], Tensor], lr: Tensor, *, bfloat16: bool) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        return upscale(lr)


if __name__ == "__main__":
    main()
