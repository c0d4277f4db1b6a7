"""Runs that a bench makes: a preset within a budget, kept once it is whole, and what became of it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from coresr_models import load


def real_data() -> Path:
    """The folder of real rock images; FileNotFoundError where it is not."""
    folder = Path(os.environ.get("CORESR_REAL_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        raise FileNotFoundError(f"real rock images must lie in {folder}, got no such folder; set CORESR_REAL_DATA")
    return folder


def prepared(store: Path, source: Path, *flags: str) -> Path:
    """The store, made unless it is there."""
    if not store.is_dir():
        python("coresr_data", "prepare", str(source), str(store), *flags)
    return store


def trained(run: Path, preset: str, store: Path, *flags: str, budget: float) -> Path:
    """The run folder of a preset, trained for `budget` seconds in all unless it is there."""
    if run.is_dir():
        return run
    begun = run.with_name(run.name + "-begun")  # a run that was broken off is no run
    shutil.rmtree(begun, ignore_errors=True)
    length = ("--budget-seconds", f"{budget:g}")
    python("coresr_train", preset, "--data.store", str(store), "--out", str(begun), *length, *flags)
    begun.rename(run)
    return run


def python(module: str, *arguments: str) -> None:
    """Run a command line to its end; what it says goes beside the table."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=sys.stderr)


def told(run: Path) -> str:
    """Preset, steps and seconds of each stage of a run, threads and precision, and what the run itself flags."""
    about = load(run / "best.safetensors").provenance
    stages = [stage for stage in (run / "first", run) if (stage / "metrics.jsonl").is_file()]
    machine, flags = about["machine"], about["valid"]["flags"]
    return (
        f"`{about['preset']}`: {' and then '.join(map(_length, stages))}, {machine['threads']} threads, "
        f"{machine['precision']}{''.join(f'; flagged: {flag}' for flag in flags)}"
    )


def _length(stage: Path) -> str:
    rows = [json.loads(line) for line in (stage / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [row for row in rows if row["kind"] == "train"]
    best = json.loads((stage / "best.json").read_bytes())
    return f"{steps[-1]['step']} steps in {rows[-1]['seconds']:.0f} s (best at {best['step']:.0f})"
