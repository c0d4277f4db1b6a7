"""`interpolate`: the two ends at alpha 0 and 1, what lies between, and both origins."""

from pathlib import Path

import pytest
import torch

from coresr_models import ModelSpec, build, load, save
from coresr_models.__main__ import main
from coresr_models.cli import run

SPEC = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    """Two networks of one spec."""
    for name in ("psnr", "gan"):
        save(tmp_path / f"{name}.safetensors", build(SPEC), SPEC, {"run": name})
    return tmp_path / "psnr.safetensors", tmp_path / "gan.safetensors"


@pytest.mark.parametrize(("flags", "alpha"), [((), 0.8), (("--alpha", "0"), 0.0), (("--alpha", "0.25"), 0.25)])
def test_weights_lie_between_the_two_and_both_origins_are_kept(
    ends: tuple[Path, Path], flags: tuple[str, ...], alpha: float, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ends[0].parent / "new" / "mixed.safetensors"
    main(["interpolate", *map(str, ends), str(out), *flags])
    assert str(out) in capsys.readouterr().out
    first, second, mixed = (load(path) for path in (*ends, out))
    for name, tensor in mixed.model.state_dict().items():
        wanted = (1 - alpha) * first.model.state_dict()[name] + alpha * second.model.state_dict()[name]
        torch.testing.assert_close(tensor, wanted)
    origin = mixed.provenance["interpolated"]
    assert (origin["alpha"], origin["first"]["run"], origin["second"]["run"]) == (alpha, "psnr", "gan")


def test_wrong_commands_end_with_their_codes(ends: tuple[Path, Path]) -> None:
    other = ModelSpec(name="edsr", arguments={"width": 5, "blocks": 1})
    save(ends[0].parent / "other.safetensors", build(other), other, {})
    psnr, gan, out = str(ends[0]), str(ends[1]), str(ends[0].parent / "out.safetensors")
    for arguments, code in (
        ([psnr, gan, out, "--alpha", "1.5"], 64),
        ([psnr, gan, str(ends[0].parent / "out.pth")], 64),
        ([psnr, gan, psnr], 73),
        ([psnr, str(ends[0].parent / "none.safetensors"), out], 66),
        ([psnr, str(ends[0].parent / "other.safetensors"), out], 65),
    ):
        with pytest.raises(SystemExit) as ended:
            run(lambda: main(["interpolate", *arguments]))  # noqa: B023 - called at once
        assert ended.value.code == code, arguments
    assert not Path(out).exists()
