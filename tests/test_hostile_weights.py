"""A pickle with a payload, offered to every command that takes a weight file, never runs: exit 77, one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data import prepare
from coresr_eval.__main__ import main as evaluate
from coresr_models.__main__ import main as models
from coresr_models.cli import run
from tests.models.hostile import FORMS, payload

COMMANDS: dict[str, tuple[Callable[[list[str]], None], list[str]]] = {
    "score": (evaluate, ["score", "MODEL", "--data", "STORE", "--out", "OUT"]),
    "score of a run folder": (evaluate, ["score", "FOLDER", "--data", "STORE", "--out", "OUT"]),
    "upscale": (evaluate, ["upscale", "MODEL", "SLICE", "OUT.png"]),
    "upscale of a run folder": (evaluate, ["upscale", "FOLDER", "SLICE", "OUT.png"]),
    "export": (models, ["export", "MODEL", "OUT.onnx"]),
    "interpolate": (models, ["interpolate", "MODEL", "MODEL", "OUT.safetensors"]),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core of eight slices, two of them the test split."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "cores" / "chalk").mkdir(parents=True)
    for z in range(8):
        levels = np.random.default_rng(z).integers(0, 255, (24, 24), np.uint8)
        Image.fromarray(levels).save(folder / "cores" / "chalk" / f"{z:03d}.png")
    prepare(folder / "cores", folder / "store", scale=2, split={"train": (0, 2), "test": (6, 7)})
    return folder / "store"


@pytest.mark.parametrize("name", ["m.pth", "m.safetensors"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_runs_a_pickle(  # noqa: PLR0917 - all by name, from pytest
    command: str, form: str, name: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    for path in (tmp_path / name, tmp_path / "run" / "best.safetensors"):
        path.write_bytes(payload(form, tmp_path / "ran"))
    main, words = COMMANDS[command]
    places = {
        "MODEL": tmp_path / name,
        "FOLDER": tmp_path / "run",
        "STORE": store,
        "SLICE": store.parent / "cores" / "chalk" / "000.png",
        **{word: tmp_path / word for word in words if word.startswith("OUT")},
    }
    with pytest.raises(SystemExit) as ended:
        run(lambda: main([str(places.get(word, word)) for word in words]))
    assert ended.value.code == 77
    said = capsys.readouterr().err
    assert said.startswith("coresr: error: checkpoint must be a .safetensors file, got ")
    assert "python -m coresr_models convert" in said
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {name, "run"}


@pytest.mark.parametrize("module", ["coresr_models", "coresr_eval"])
def test_the_programs_themselves_end_so(module: str, tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(payload("zip", tmp_path / "ran"))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "in.png")
    words = ["export", "m.pth", "out.onnx"] if module == "coresr_models" else ["upscale", "m.pth", "in.png", "out.png"]
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 77
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()
