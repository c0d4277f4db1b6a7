"""The command line as a person launches it, through accelerate."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from scipy import ndimage

from coresr_data import prepare
from coresr_data.formats.images import write_slice
from coresr_models import load

# without averaging, so that the weights compared are those of the last step
QUICK = ["--optim.learning-rate", "2e-4", "--optim.ema-decay", "0", "--precision", "fp32", "--steps", "20"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("launch")
    (folder / "slices").mkdir()
    volume = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(14, 192, 192)), (1, 1.2, 1.2))
    for number, image in enumerate(np.clip(128 + 60 * volume / volume.std(), 0, 255).astype(np.uint8)):
        write_slice(folder / "slices" / f"{number:04}.png", image)
    prepare(folder / "slices", folder / "store", scale=2, gap=1, accept_similar=True)
    return folder / "store"


def launch(*arguments: str, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "accelerate.commands.launch", "-q", *arguments]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("ACCELERATE_", "OMP_"))}
    return subprocess.run(
        command,
        cwd=cwd,
        env={**clean, **(environment or {}), "HF_HOME": str(cwd)},  # nobody's own accelerate configuration
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture(scope="module")
def worlds(store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of one run by one process and by two."""
    folder = tmp_path_factory.mktemp("worlds")
    train = ["-m", "coresr_train", "quick_x2", "--data.store", str(store), *QUICK]
    one = launch("--num_processes", "1", *train, "--out", "one", cwd=folder)
    assert one.returncode == 0, one.stderr
    two = launch(
        *("--multi_gpu", "--num_processes", "2", "--main_process_port", "0"),
        *(*train, "--out", "two", "--expect-processes", "2"),
        cwd=folder,
        environment={"ACCELERATE_USE_CPU": "1"},
    )
    assert two.returncode == 0, two.stderr
    return folder / "one", folder / "two"


def test_a_world_of_two_is_two_and_learns_what_one_process_learns(worlds: tuple[Path, Path]) -> None:
    assert load(worlds[1] / "last.safetensors").provenance["machine"]["processes"] == 2
    first, second = (load_file(folder / "last.safetensors") for folder in worlds)
    apart = {name: float((tensor - second[name]).abs().max()) for name, tensor in first.items()}
    assert max(apart.values()) <= 1e-6, apart
    assert max(apart.values()) > 0, (
        "two processes add in another order: equal bits mean that one of them did all the work"
    )


def test_the_learning_rate_at_a_step_is_the_same_in_a_world_of_two(worlds: tuple[Path, Path]) -> None:
    one, two = ((folder / "metrics.jsonl").read_text().splitlines() for folder in worlds)
    rates = [
        {row["step"]: row["learning_rate"] for row in map(json.loads, lines) if row["kind"] == "train"}
        for lines in (one, two)
    ]
    assert rates[0] == rates[1]
    # two steps of warm-up, then half a cosine over the 18 left; the rate of step 20 is that of the 19 before it
    assert rates[0][10] == pytest.approx(2e-4 * (1 + math.cos(math.pi * 7 / 18)) / 2)
    assert rates[0][20] == pytest.approx(2e-4 * (1 + math.cos(math.pi * 17 / 18)) / 2)


def test_the_cpu_flag_that_silently_gives_one_process_is_refused(store: Path, tmp_path: Path) -> None:
    train = ["-m", "coresr_train", "quick_x2", "--data.store", str(store), "--expect-processes", "2"]
    ended = launch("--cpu", "--num_processes", "2", *train, cwd=tmp_path)
    assert ended.returncode != 0
    assert "processes must be 2 as --expect-processes says, got 1" in ended.stderr
    assert not (tmp_path / "runs").exists()


def test_a_bare_launch_trains_on_a_phantom_in_its_run_folder(tmp_path: Path) -> None:
    ended = launch("-m", "coresr_train", "--budget-seconds", "3", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    run = tmp_path / "runs" / "quick_x2-1"
    assert {"phantom", "store", "best.safetensors", "run.toml"} <= {path.name for path in run.iterdir()}
    assert "over bicubic" in ended.stdout
