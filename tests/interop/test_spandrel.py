"""What we export opens in spandrel, and what its modules hold opens here: the same image to 1e-5 either way."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from coresr_models import ModelSpec, build, load, save

try:
    import spandrel
    from spandrel.architectures.ESRGAN import ESRGAN
    from spandrel.architectures.PLKSR import PLKSR, RealPLKSR
    from spandrel.architectures.RCAN import RCAN
    from spandrel.architectures.SPAN import SPAN
    from spandrel.architectures.SwinIR import SwinIR
except Exception as error:  # noqa: BLE001  # beside a torchvision of another torch it fails with whatever comes first
    pytest.skip(f"spandrel cannot be imported: {error}; run nox -s interop", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # of their SwinIR

Arguments = dict[str, int | float | str | bool]

OURS: dict[str, tuple[str, Arguments]] = {
    "rrdbnet x4": ("rrdbnet", {"scale": 4, "width": 16, "blocks": 2}),
    "rrdbnet x2": ("rrdbnet", {"scale": 2, "width": 16, "blocks": 1}),
    "rrdbnet x1": ("rrdbnet", {"scale": 1, "width": 16, "blocks": 1}),
    "rcan x2": ("rcan", {"scale": 2, "width": 16, "groups": 2, "blocks": 2, "reduction": 4}),
    "rcan x3": ("rcan", {"scale": 3, "width": 16, "groups": 1, "blocks": 3, "reduction": 8}),
    "swinir light x2": ("swinir", {"scale": 2, "width": 24, "stages": 2, "depth": 2, "heads": 4}),
    "swinir medium x4": ("swinir", {"scale": 4, "width": 36, "stages": 2, "depth": 2, "heads": 6, "tail": "staged"}),
    "span x2": ("span", {"scale": 2, "width": 16}),
    "span x4": ("span", {"scale": 4, "width": 28}),
    "realplksr x2, group norm": ("realplksr", {"scale": 2, "blocks": 3, "norm": "group"}),
    "realplksr x4, layer norm": ("realplksr", {"scale": 4, "blocks": 2, "norm": "layer"}),
    "plksr x3": ("plksr", {"scale": 3, "blocks": 2}),
}
RGB = {"plksr", "realplksr"}
"""spandrel knows them with three channels alone."""

THEIRS = {
    "rrdbnet x4": lambda: ESRGAN(in_nc=1, out_nc=1, num_filters=16, num_blocks=2, scale=4),
    "rrdbnet RGB x4": lambda: ESRGAN(in_nc=3, out_nc=3, num_filters=16, num_blocks=1, scale=4),
    "rcan x2": lambda: RCAN(scale=2, n_colors=1, n_resgroups=2, n_resblocks=2, n_feats=16, reduction=4, norm=False),
    "swinir light x2": lambda: SwinIR(
        in_chans=1, embed_dim=24, depths=[2, 2], num_heads=[4, 4], window_size=8, upscale=2, mlp_ratio=2.0,
        img_size=64, upsampler="pixelshuffledirect",
    ),
    "swinir medium x4": lambda: SwinIR(
        in_chans=3, embed_dim=36, depths=[2, 2], num_heads=[6, 6], window_size=8, upscale=4, mlp_ratio=2.0,
        img_size=48, upsampler="pixelshuffle",
    ),
    "span x4": lambda: SPAN(num_in_ch=3, num_out_ch=3, feature_channels=28, upscale=4, norm=False),
    "realplksr x2": lambda: RealPLKSR(upscaling_factor=2, dim=64, n_blocks=2),
    "plksr x4": lambda: PLKSR(upscaling_factor=4, dim=64, n_blocks=2, ccm_type="DCCM"),
}  # fmt: skip


def lively(network: nn.Module) -> nn.Module:
    """In which nothing is zero, as after training; the same one every time."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network.eval()


def images(channels: int, *, grey: bool = False) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(1, 1, 24, 40).repeat(1, 3, 1, 1) if grey else torch.rand(1, channels, 24, 40)


def command(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "coresr_models", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", OURS)
def test_what_we_export_gives_the_same_image_in_spandrel(name: str, tmp_path: Path) -> None:
    arch, arguments = OURS[name]
    spec = ModelSpec(name=arch, arguments={**arguments, "global_residual": "none"})
    network = build(spec)
    lively(network)
    save(tmp_path / "ours.safetensors", network, spec, {})
    command("export", tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors")
    found = spandrel.ModelLoader().load_from_file(tmp_path / "theirs.safetensors")
    assert found.scale == network.scale
    lr = images(1, grey=arch in RGB)
    with torch.inference_mode():
        ours, theirs = network(lr[:, :1]), found.model.eval()(lr)
    assert ours.std() > 1e-3
    torch.testing.assert_close(theirs, ours.expand_as(theirs), rtol=0, atol=1e-5 * max(1.0, float(ours.abs().max())))


@pytest.mark.parametrize("suffix", ["pth", "pth with ema"])
@pytest.mark.parametrize("name", THEIRS)
def test_what_spandrels_modules_hold_gives_the_same_image_here(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = THEIRS[name]()
    lively(network)
    state = network.state_dict()
    held = {"params": state} if suffix == "pth" else {"params": {}, "params_ema": state}
    torch.save(held, tmp_path / "theirs.pth")
    command("convert", tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    ours = load(tmp_path / "ours.safetensors")
    lr = images(int(ours.spec.arguments.get("channels", 1)))
    with torch.inference_mode():
        wanted, found = network(lr), ours.model(lr)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 * max(1.0, float(wanted.abs().max())))
