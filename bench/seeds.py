"""Which differences are real? Seeds of a recipe against other seeds of it, and against a network of a tenth its width.

`python -m bench.seeds OUT` makes a phantom of four cores whose test split holds 24 slices at least, trains quick_x2
with six seeds and width 3 instead of 32 with three, scores all on the test split and compares them: three seeds against
the three others must come out as no different, the narrow network as different. Twenty minutes on one core; what OUT
already holds is kept, but for the scores.

`python -m bench.seeds --nulls 500` simulates equal models instead, that many comparisons a null, and must call some
pair different in no more than 5 % of them, but for the chance of so many draws. Three minutes.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from coresr_data import open_store
from coresr_eval.statistics import compare

SLICES, CORES, FEWEST = 48, 4, 24
"""A core's slices before the split; and how many the test split must hold over all cores."""
RECIPES = {"quick_x2 seeds 1–3": (32, (1, 2, 3)), "quick_x2 seeds 4–6": (32, (4, 5, 6)), "width 3": (3, (1, 2, 3))}
"""A name in the table: the width and the seeds."""


NULLS: dict[str, tuple[tuple[float, ...], float, float]] = {
    "noise alone": ((0.0,) * 4, 0.0, 0.1),
    "seeds": ((0.1,) * 4, 0.0, 0.02),
    "seeds by core": ((0.0,) * 4, 0.1, 0.02),
    "both": ((0.1,) * 4, 0.1, 0.05),
    "seeds, unequal": ((0.03, 0.1, 0.1, 0.03), 0.0, 0.02),
    "both, unequal": ((0.06, 0.1, 0.1, 0.06), 0.05, 0.05),
}
"""Standard deviations in dB: of the seeds of each of four models, of what a seed does on a core, of an image."""
LEVEL, CERTAIN = 0.05, 3.0
"""Of false alarms; and how many standard deviations of a count of draws are chance."""


def main() -> None:
    """Do the study, or the simulation."""
    parser = argparse.ArgumentParser(prog="python -m bench.seeds", description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, metavar="OUT")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--nulls", type=int, metavar="DRAWS")
    options = parser.parse_args()
    if (options.out is None) == (options.nulls is None):
        parser.error("one of OUT and --nulls must be given")
    if options.nulls:
        simulate(options.nulls)
    else:
        study(options.out, options.steps)


def study(out: Path, steps: int) -> None:
    """Make, train, score, compare."""
    store = _store(out)
    scored = []
    for name, (width, seeds) in RECIPES.items():
        for seed in seeds:
            run = out / f"width-{width}-seed-{seed}"
            _train(run, store, width=width, seed=seed, steps=steps)
            _python("coresr_eval", "score", str(run), "--data", str(store), "--out", str(run / "score"))
            scored.append(f"{name}={run / 'score'}")
    _python("coresr_eval", "compare", *scored, "--out", str(out / "compared"))
    _judge(json.loads((out / "compared" / "compare.json").read_text()))


def simulate(draws: int) -> None:
    """Equal models of three runs on four cores of six slices, compared again and again."""
    most = LEVEL + CERTAIN * (LEVEL * (1 - LEVEL) / draws) ** 0.5
    rng, failed = np.random.default_rng(0), []
    for name, (seeds, by_core, noise) in NULLS.items():
        share = sum(_false_alarm(rng, seeds, by_core, noise) for _ in range(draws)) / draws
        print(f"{name:<22} some pair called different in {100 * share:.1f} % of {draws}", flush=True)
        failed += [name] if share > most else []
    if failed:
        sys.exit(f"more than {100 * LEVEL:g} %: {failed}")


def _false_alarm(rng: np.random.Generator, seeds: tuple[float, ...], by_core: float, noise: float) -> bool:
    images = [(name, number) for name in "abcd" for number in range(6)]
    cores = np.repeat(np.arange(4), 6)
    difficulty = 36 + rng.normal(0, 2, 4)[cores] + rng.normal(0, 0.5, 24)
    models = {"bicubic": difficulty[None] - 3 + rng.normal(0, 0.1, (1, 24))}
    for number, seed in enumerate(seeds):
        of_seeds = rng.normal(0, seed, (3, 1)) + rng.normal(0, by_core, (3, 4))[:, cores]
        models[f"model {number}"] = difficulty + of_seeds + rng.normal(0, noise, (3, 24))
    pairs = compare(models, images).pairs
    return any(pair.verdict == "different" for pair in pairs if "bicubic" not in (pair.one, pair.other))


def _store(out: Path) -> Path:
    store = out / "store"
    if not store.is_dir():
        cores = out / "cores"
        shutil.rmtree(cores, ignore_errors=True)
        _python("coresr_data", "phantom", str(cores), "--cores", str(CORES), "--slices", str(SLICES))
        _python("coresr_data", "prepare", str(cores), str(store), "--scale", "2")
    if (n := len(open_store(store).at(2).rows("test"))) < FEWEST:
        raise ValueError(f"the test split must hold {FEWEST} slices, got {n}")
    return store


def _train(run: Path, store: Path, *, width: int, seed: int, steps: int) -> None:
    if run.is_dir():
        return
    begun = run.with_name(run.name + "-begun")  # a run that was broken off is no run
    shutil.rmtree(begun, ignore_errors=True)
    settings = {"data.store": store, "out": begun, "seed": seed, "steps": steps, "model.arguments.width": width}
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    _python("coresr_train", "quick_x2", *flags)
    begun.rename(run)


def _judge(compared: dict[str, list[dict[str, str]]]) -> None:
    """End with 1 where a verdict is not the one that it must be."""
    one, other, narrow = RECIPES
    verdicts = {frozenset((pair["one"], pair["other"])): pair["verdict"] for pair in compared["pairs"]}
    wrong = [names for names in ((one, narrow), (other, narrow)) if verdicts[frozenset(names)] != "different"]
    wrong += [(one, other)] if verdicts[frozenset((one, other))] == "different" else []
    if wrong:
        sys.exit(f"wrong verdicts: {wrong}")


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env={**os.environ})


if __name__ == "__main__":
    main()
