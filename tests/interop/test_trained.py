"""A run of the exchange preset, from its folder to another program: the same image on both sides."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from coresr_models import load

pytest.importorskip("coresr_train", reason="a run needs all four packages; run nox -s interop")
try:
    import spandrel
except Exception as error:  # noqa: BLE001  # beside a torchvision of another torch it fails with whatever comes first
    pytest.skip(f"spandrel cannot be imported: {error}; run nox -s interop", allow_module_level=True)

STEPS = 4
"""Half of them for fidelity, half with the critic."""


def command(module: str, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `esrgan_exchange_x4` after a few steps on a phantom."""
    folder = tmp_path_factory.mktemp("exchange")
    command("coresr_data", "phantom", folder / "cores", "--cores", 1, "--slices", 12, "--size", 128)
    command("coresr_data", "prepare", folder / "cores", folder / "store", "--scale", 4, "--accept-similar")
    length = ("--steps", STEPS, "--data.batch", 2, "--data.patch", 64, "--loss.perceptual", 0)
    command("coresr_train", "esrgan_exchange_x4", "--data.store", folder / "store", "--out", folder / "run", *length)
    return folder / "run"


@pytest.mark.parametrize("weights", ["first/best", "best", "last"])
def test_the_weights_of_a_run_give_the_same_image_in_spandrel(weights: str, run: Path, tmp_path: Path) -> None:
    command("coresr_models", "export", run / f"{weights}.safetensors", tmp_path / "theirs.safetensors")
    ours, theirs = (
        load(run / f"{weights}.safetensors"),
        spandrel.ModelLoader().load_from_file(tmp_path / "theirs.safetensors"),
    )
    assert ours.spec.arguments["global_residual"] == "none"
    assert (theirs.scale, theirs.input_channels, theirs.output_channels) == (ours.model.scale, 1, 1)
    lr = torch.rand(1, 1, 24, 40)
    with torch.inference_mode():
        wanted, found = ours.model(lr), theirs.model.eval()(lr)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * max(1.0, float(wanted.abs().max())))


def test_a_mixture_of_both_stages_opens_too(run: Path, tmp_path: Path) -> None:
    mixed = tmp_path / "mixed.safetensors"
    command("coresr_models", "interpolate", run / "first" / "best.safetensors", run / "best.safetensors", mixed)
    command("coresr_models", "export", mixed, tmp_path / "theirs.safetensors")
    theirs = spandrel.ModelLoader().load_from_file(tmp_path / "theirs.safetensors")
    lr = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(theirs.model.eval()(lr), load(mixed).model(lr), rtol=0, atol=1e-5)
