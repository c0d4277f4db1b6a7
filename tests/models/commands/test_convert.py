"""`convert`: a foreign file in, a checkpoint of ours out that answers the same and says where it is from."""

from pathlib import Path

import pytest
import safetensors.torch
import torch

from coresr_models.__main__ import main
from coresr_models.checkpoint import load, sha256
from coresr_models.cli import run
from tests.models.foreign.styles import lively, old_rrdbnet
from tests.models.hostile import FORMS, payload

RRDB = {"width": 6, "blocks": 1, "growth": 3, "scale": 4}


def ends(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(lambda: main(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_an_old_esrgan_becomes_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = lively("rrdbnet", **RRDB)
    torch.save(old_rrdbnet(network.state_dict()), tmp_path / "old.pth")
    main(["convert", str(tmp_path / "old.pth"), str(tmp_path / "new.safetensors"), "--licence", "Apache-2.0"])
    said = capsys.readouterr().out
    assert "RRDBNet of the first ESRGAN" in said
    assert "network    rrdbnet scale=4 channels=1 width=6 blocks=1 growth=3 global_residual=none" in said
    made = load(tmp_path / "new.safetensors")
    lr = torch.rand(1, 1, 4, 5)
    assert torch.equal(made.model(lr), network(lr))
    assert made.provenance["licence"] == "Apache-2.0"
    assert made.provenance["origin"] == {
        "file": "old.pth",
        "sha256": sha256(tmp_path / "old.pth"),
        "format": "RRDBNet of the first ESRGAN",
        "range": 1.0,
        "assumed": ["each step of the tail doubles the size"],
    }


def test_what_no_shape_tells_is_told_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = lively("edsr", width=6, blocks=2, residual_scale=0.3)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "edsr.safetensors")
    out = tmp_path / "new" / "ours.safetensors"
    main(["convert", str(tmp_path / "edsr.safetensors"), str(out), "--set", "residual_scale=0.3", "--range", "255"])
    said = capsys.readouterr().out
    assert "assumed    residual_scale" not in said
    assert "licence    unknown" in said
    lr = torch.rand(1, 1, 4, 5)
    torch.testing.assert_close(load(out).model(lr), network(255 * lr) / 255)


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_with_a_payload_ends_with_77_and_never_runs(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.pth").write_bytes(payload(form, tmp_path / "ran"))
    assert ends("convert", str(tmp_path / "m.pth"), str(tmp_path / "out.safetensors")) == 77
    said = capsys.readouterr().err
    assert said.startswith("coresr: error: weights ")
    assert "must hold tensors alone, got " in said
    assert "weights_only" not in said  # torch advises to read it without restrictions
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"m.pth"}


@pytest.mark.parametrize("command", ["export", "interpolate first", "interpolate second"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("form", FORMS)
def test_no_other_command_reads_a_pickle(
    form: str, suffix: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile, good, out = tmp_path / f"m{suffix}", tmp_path / "good.safetensors", str(tmp_path / "out.safetensors")
    hostile.write_bytes(payload(form, tmp_path / "ran"))
    if command == "interpolate second":
        from coresr_models import ModelSpec, build, save

        spec = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
        save(good, build(spec), spec, {})
    name, *which = command.split()
    files = (
        [str(hostile)]
        if name == "export"
        else [str(hostile), str(good)]
        if which == ["first"]
        else [str(good), str(hostile)]
    )
    assert ends(name, *files, out) == 77
    assert "reading a pickle can run code; convert it with" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    assert not Path(out).exists()


def test_nothing_is_overwritten_and_wrong_commands_end_with_their_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors.torch.save_file(lively("edsr", width=4, blocks=1).state_dict(), tmp_path / "in.safetensors")
    (tmp_path / "there.safetensors").write_text("mine")
    source, there, out = (str(tmp_path / f"{name}.safetensors") for name in ("in", "there", "out"))
    assert ends("convert", source, there) == 73
    assert ends("convert", source, str(tmp_path / "out.pth")) == 64
    assert ends("convert", source, out, "--range", "0") == 64
    assert ends("convert", source, out, "--set", "depth=3") == 64
    assert ends("convert", str(tmp_path / "none.pth"), out) == 66
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors")
    assert ends("convert", str(tmp_path / "odd.safetensors"), out) == 65
    assert "odd.safetensors: weights must be of a known network, got keys like a;" in capsys.readouterr().err
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    assert not Path(out).exists()
