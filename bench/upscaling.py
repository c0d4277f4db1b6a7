"""What `upscale` costs on a slice that is larger than a process should hold: memory, time beside its tiles, resuming.

`python -m bench.upscaling --side 8192 --out out.zarr` makes a slice of 16 bits, tile by tile, runs the command in a
process of its own, then again, killed half-way and started anew, and prints a line of JSON of each. Memory is anonymous
(RssAnon), beyond what the imports took: a mapped file can be given back at any time. Time is beside the sum of the
network's forward passes, in the same process.
"""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray

from coresr_models import ModelSpec, build, complete, save
from coresr_models.edsr import EDSR

CELL = 512
"""Side of the tiles of the slice that is read."""
QUICK_X2 = {"width": 32, "blocks": 4}
LIGHT = {"width": 8, "blocks": 1}
"""For the memory of large slices, which the network has no part in beyond a tile."""
EVERY = 0.02
"""Seconds between two looks at the memory of the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One run of the command."""

    seconds: float
    """From the imports to the end."""
    forwards: int
    forward_seconds: float
    imports_mib: float
    """Anonymous memory once everything was imported."""
    peak_mib: float
    """More anonymous memory than that."""


def texture(y: int, x: int, height: int, width: int) -> NDArray[np.uint16]:
    """Grains without noise, a function of the place: any tile of a slice of any size."""
    rows, columns = np.mgrid[y : y + height, x : x + width].astype(np.float32)
    waves = np.sin(rows / 7 + np.sin(columns / 23)) + np.sin(columns / 5 + 2 * np.sin(rows / 31))
    levels: NDArray[np.uint16] = (32768 + 15000 * waves).astype(np.uint16)
    return levels


def make_network(path: Path, size: dict[str, int]) -> None:
    """Fresh weights of which none are zero, as after training: the image is not just bicubic's."""
    torch.manual_seed(0)
    spec = complete(ModelSpec(name="edsr", arguments={"scale": 2, "tail": "direct", **size}))
    network = build(spec)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.01)
    save(path, network, spec, {})


def make_slice(path: Path, side: int) -> None:
    """A tiled, uncompressed TIFF of 16 bits."""
    places = [(y, x) for y in range(0, side, CELL) for x in range(0, side, CELL)]
    tiles: Iterator[NDArray[np.uint16]] = (texture(y, x, CELL, CELL) for y, x in places)
    tifffile.imwrite(
        path, tiles, shape=(side, side), dtype="uint16", tile=(CELL, CELL), photometric="minisblack", bigtiff=True
    )


def started(words: list[str]) -> "subprocess.Popen[str]":
    """The command in a process of its own, which says how long its forward passes took."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.upscaling", "timed", *words], stdout=subprocess.PIPE, text=True
    )


def timed(words: list[str]) -> None:
    """Run the command in this process, with a clock at the network."""
    from coresr_eval.__main__ import main

    torch.set_num_threads(1)
    passes: list[float] = []
    forward = EDSR.forward

    def clocked(network: EDSR, lr: torch.Tensor) -> torch.Tensor:
        begun = time.perf_counter()
        sr: torch.Tensor = forward(network, lr)
        passes.append(time.perf_counter() - begun)
        return sr

    EDSR.forward = clocked  # type: ignore[method-assign,assignment]
    imports, begun = anonymous("self"), time.perf_counter()
    print(imports, flush=True)
    main(words)
    print(json.dumps([time.perf_counter() - begun, len(passes), sum(passes)]))


def anonymous(process: int | str) -> float:
    """MiB of anonymous memory that a process holds now; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0.0)


def watched(words: list[str]) -> Cost:
    """Run the command to its end, looking at its memory."""
    child, peak = started(words), 0.0
    assert child.stdout is not None
    imports = float(child.stdout.readline())
    while child.poll() is None:
        peak = max(peak, anonymous(child.pid))
        time.sleep(EVERY)
    said = child.stdout.read().splitlines()
    if child.returncode:
        raise SystemExit(f"upscale must end well, got {child.returncode}: {said}")
    seconds, forwards, forward_seconds = json.loads(said[-1])
    return Cost(
        seconds=seconds,
        forwards=forwards,
        forward_seconds=forward_seconds,
        imports_mib=imports,
        peak_mib=peak - imports,
    )


def killed(words: list[str], out: Path, lines: int) -> None:
    """Run the command until its journal has so many lines, then kill it."""
    child, journal = started(words), out.with_name(f".{out.name}.part") / "done"
    while child.poll() is None:
        if journal.is_file() and len(journal.read_bytes().splitlines()) >= lines:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return
        time.sleep(0.1)
    raise SystemExit("upscale must still run when it is killed, got one that had ended; take a larger slice")


def digest(path: Path) -> str:
    """Of every byte of a file, or of all files of a folder and their names."""
    total = hashlib.sha256()
    for one in [path] if path.is_file() else sorted(path.rglob("*")):
        if one.is_file():
            total.update(str(one.relative_to(path)).encode())
            with one.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def measure(folder: Path, side: int, name: str, *, light: bool, resume: bool) -> Iterator[dict[str, object]]:
    """Make the slice, run, and with `resume` run again with a death in between."""
    weights, source = folder / "model.safetensors", folder / "in.tif"
    make_network(weights, LIGHT if light else QUICK_X2)
    make_slice(source, side)
    words = ["upscale", str(weights), str(source)]
    cost = watched([*words, str(folder / name)])
    over = cost.seconds / cost.forward_seconds - 1
    yield {"side": side, "out": name, "light": light, **asdict(cost), "over_forwards": over}
    if resume:
        again = folder / "again" / name  # an OME-Zarr says its own name
        killed([*words, str(again)], again, cost.forwards // 2)
        rest = watched([*words, str(again)])
        yield {"resumed": asdict(rest), "identical": digest(again) == digest(folder / name)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--out", default="out.zarr", help="name of the output, whose suffix says its format")
    parser.add_argument("--folder", type=Path, help="for a temporary folder, with room for three times the output")
    parser.add_argument("--no-resume", action="store_true", help="only one run")
    parser.add_argument("--light", action="store_true", help="a small network, where memory alone is asked for")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as folder:
        for found in measure(
            Path(folder), options.side, options.out, light=options.light, resume=not options.no_resume
        ):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["timed"]:
        timed(sys.argv[2:])
    else:
        main()
