"""A compiled run is the same run; minutes, so a session of its own: nox -s compiled."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from coresr_models import load
from coresr_train import checkpoints
from coresr_train.run import train
from coresr_train.settings import Run


@pytest.mark.compiled
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
def test_a_compiled_run_learns_the_same_and_can_go_on_without(tiny_run: Run, tmp_path: Path) -> None:
    plain = load(train(replace(tiny_run, out=str(tmp_path / "plain"))) / "last.safetensors").model.state_dict()
    halfway = replace(tiny_run, compile=True)
    compiled = load(train(halfway) / "last.safetensors").model.state_dict()
    assert plain.keys() == compiled.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=1e-4, atol=1e-5)
    saved = checkpoints.newest(Path(halfway.out))
    assert saved is not None
    assert not any("_orig_mod" in name for name in saved.tensors["nets"])
