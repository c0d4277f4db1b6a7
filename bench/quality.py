"""How good each network is after one and the same budget, on the synthetic cores of the demo.

Networks that a CPU cannot train in the budget are left out and stand in the cost table alone.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.cost import CANDIDATES

DEMO = Path(__file__).parents[1] / "demo"
TRAINED = ("edsr 16×2 direct", "edsr 64×16 staged", "unet depth 3 width 16")
"""Beside the demo's own quick_x2."""
BUDGET_SECONDS = 60
"""That of quick_x2 in the demo, so that all have had the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Means over the test split under the protocol of coresr_eval."""

    name: str
    n: int
    psnr: float
    ssim: float
    gain_db: float


def score_all(results: Path) -> tuple[list[Quality], dict[str, object]]:
    """Bicubic, the demo's model and every one of TRAINED; their scores and the protocol."""
    rows = json.loads((DEMO / "score" / "summary.json").read_text())
    bicubic, quick = rows["rows"]
    found = [_quality("bicubic", bicubic), _quality("quick_x2 (edsr 32×4 direct)", quick)]
    for name in TRAINED:
        folder = results / name.replace(" ", "-").replace("×", "x")
        shutil.rmtree(folder, ignore_errors=True)
        _train(name, folder / "run")
        _python("coresr_eval", "score", str(folder / "run"), "--data", str(DEMO / "store"), "--out", str(folder))
        found.append(_quality(name, json.loads((folder / "summary.json").read_text())["rows"][1]))
    return found, rows["protocol"]


def _train(name: str, out: Path) -> None:
    """The settings of quick_x2 with another network: an equal footing, not the best of each."""
    out.parent.mkdir(parents=True, exist_ok=True)
    config = out.parent / "run.toml"
    spec = CANDIDATES[name]
    if spec is None:
        raise ValueError(f"candidate must be a network, got {name}")
    values = "\n".join(f"{key} = {json.dumps(value)}" for key, value in spec.arguments.items())
    rate = 3e-3 if spec.name == "edsr" and spec.arguments.get("tail") == "direct" else 5e-4
    config.write_text(
        f"budget_seconds = {BUDGET_SECONDS}\n[model]\nname = '{spec.name}'\n[model.arguments]\n{values}\n"
        f"[loss]\ncharbonnier = 1.0\n[optim]\nlearning_rate = {rate}\nweight_decay = 0.0\n"
        "[validation]\nevery_epochs = 20\n"
    )
    _python("coresr_train", "--config", str(config), "--data.store", str(DEMO / "store"), "--out", str(out))


def _python(module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env={**os.environ})


def _quality(name: str, row: dict[str, float]) -> Quality:
    return Quality(name=name, n=int(row["n"]), psnr=row["psnr"], ssim=row["ssim"], gain_db=row.get("gain_db", 0.0))
