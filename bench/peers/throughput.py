"""Milliseconds for one aligned 96/192 pair on one core, beside BasicSR and a Pillow loop: `nox -s peers`.

All load the same grey 500² slices and their bicubic halves, warm in the page cache, each in one process with one
thread. A round times every contender in turn on the same core, and a ratio is that of one round, so that what else
the machine does meets both sides.
"""

import argparse
import json
import os
import platform
import re
import statistics
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.peers.contenders import CONTENDERS, PATCH, SCALE, Files, write_files
from bench.peers.workers import Round, Worker, one_core, started
from coresr_data import __version__, prepare
from coresr_data.formats.images import write_slice
from coresr_data.phantom import ROCKS, phantom

SIDE = 500
SAMPLES, OUR_SAMPLES = 16, 1000  # in a round, for nearly equal times
WANTED = {"Pillow loop": 40, "BasicSR PNG": 100, "BasicSR LMDB": 80}
LIBRARIES = ("basicsr", "lmdb", "numpy", "opencv-python", "pillow", "torch", "torchvision")


def main() -> None:
    """Make the files, check that all load the same pixels, measure, print, and write JSON where asked."""
    options = _options()
    load_before = os.getloadavg()  # before the workers' own start
    one_core()
    with tempfile.TemporaryDirectory() as temporary:
        files = make_files(Path(temporary), options.slices, options.images)
        about = surroundings(files)
        with started(CONTENDERS, files) as workers:
            about |= {"rounds": options.rounds, "symmetries": {w.contender.name: w.symmetries for w in workers}}
            rounds = measure(workers, options.rounds)
            about |= {"load_before": load_before, "load_after": os.getloadavg()}
    rows = summary(rounds)
    show(about, rows)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        every = {name: [asdict(one) for one in those] for name, those in rounds.items()}
        text = json.dumps({"about": about, "rows": rows, "every_round": every}, indent=1)
        options.json.write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.throughput", description=__doc__)
    parser.add_argument("--slices", type=int, default=48, help="how many phantom slices, each grown apart (default 48)")
    parser.add_argument("--images", type=Path, help="a folder of 8-bit grey slices of one core, instead of phantoms")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="where to write every figure")
    return parser.parse_args()


def make_files(folder: Path, slices: int, images: Path | None = None) -> Files:
    """Phantom slices, each of a rock of its own, or the images given, as a store, PNG pairs and LMDBs."""
    if images is None:
        images = folder / "phantoms"
        images.mkdir()
        for number in range(slices):
            levels = phantom(ROCKS[number % len(ROCKS)], slices=1, size=SIDE, seed=number)[0]
            write_slice(images / f"{number:04d}.png", levels)
    prepare(images, folder / "store", scale=SCALE, split=(1.0, 0.0, 0.0))
    return write_files(folder)


def measure(workers: list[Worker], rounds: int) -> dict[str, list[Round]]:
    """Time all of them in each round, every time beginning with another; a round that nobody counts goes before."""
    found: dict[str, list[Round]] = {worker.contender.name: [] for worker in workers}
    for number in range(-1, rounds):
        first = number % len(workers)
        for worker in workers[first:] + workers[:first]:
            count = OUR_SAMPLES if worker.contender.ours else SAMPLES
            timed = worker.time((number + 1) * count, count)
            if number >= 0:
                found[worker.contender.name].append(timed)
    return found


def summary(rounds: dict[str, list[Round]]) -> list[dict[str, Any]]:
    """Medians of each contender and of its ratios to ours in the same round, without noise and with."""
    plain, noisy = (rounds[contender.name] for contender in CONTENDERS if contender.ours)
    return [
        {
            "name": name,
            "wall_ms": statistics.median(one.wall_ms for one in those),
            "cpu_ms": statistics.median(one.cpu_ms for one in those),
            "times_ours": _ratio([one.wall_ms for one in those], [one.wall_ms for one in plain]),
            "times_ours_cpu": _ratio([one.cpu_ms for one in those], [one.cpu_ms for one in plain]),
            "times_ours_with_noise_cpu": _ratio([one.cpu_ms for one in those], [one.cpu_ms for one in noisy]),
            "wanted": WANTED.get(name.removesuffix(", young process")),
        }
        for name, those in rounds.items()
    ]


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(their / our for their, our in zip(theirs, ours, strict=True))


def surroundings(files: Files) -> dict[str, Any]:
    """What a reader must know to judge the figures."""
    core = files.store().manifest.cores[0]
    cpuinfo = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.is_file() else None
    return {
        "machine": f"{model[1] if model else platform.processor()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": {"python": platform.python_version(), "coresr-data": __version__}
        | {name: version(name) for name in LIBRARIES},
        "data": f"{len(core.slices)} grey slices of {core.height}×{core.width}, pairs of {PATCH // SCALE} and {PATCH}",
        "mib": files.mib(),
    }


def show(about: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Print the table, wins and losses, and what it was measured on."""
    print(f"{about['data']}; one core, one thread; medians of {about['rounds']} interleaved rounds")
    print(f"{'':30}{'ms wall':>9}{'ms CPU':>9}{'× ours':>9}{'× (CPU)':>9}{'× ours with noise (CPU)':>25}  wanted")
    for row in rows:
        wanted = row["wanted"]
        verdict = "" if wanted is None else f"{wanted}×, {'met' if row['times_ours'] >= wanted else 'MISSED'}"
        ratios = f"{row['times_ours']:9.1f}{row['times_ours_cpu']:9.1f}{row['times_ours_with_noise_cpu']:25.1f}"
        print(f"{row['name']:30}{row['wall_ms']:9.3f}{row['cpu_ms']:9.3f}{ratios}  {verdict}".rstrip())
    print("on disk, MiB: " + ", ".join(f"{name} {size:.1f}" for name, size in about["mib"].items()))
    print(", ".join(f"{name} {number}" for name, number in about["versions"].items()))
    load = [" ".join(f"{one:.1f}" for one in about[when]) for when in ("load_before", "load_after")]
    print(f"{about['machine']}; load before {load[0]}, after {load[1]}")


if __name__ == "__main__":
    main()
