"""Random weights under the names of the real ones, in files and packages laid out like the real ones."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from coresr_train.losses import features, learned
from coresr_train.losses.efficientnet import EfficientNetLite0, packaged
from coresr_train.settings import Loss
from tests.train.losses.examples import CONVOLUTIONS, vgg_tensors


@pytest.fixture(scope="session")
def vgg_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A safetensors file for VGG16 and one for VGG19, which hold a head, too, as the Hub's do."""
    folder = tmp_path_factory.mktemp("vgg")
    for name in CONVOLUTIONS:
        # NaN: whoever reads the head is found out
        tensors = vgg_tensors(name) | {"head.fc.weight": torch.full((10, 10), torch.nan)}
        safetensors.torch.save_file(tensors, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in CONVOLUTIONS}


@pytest.fixture(scope="session")
def lite0_tensors() -> dict[str, Tensor]:
    """Of EfficientNet-Lite0, with batch norms that do something."""
    generator = torch.Generator().manual_seed(2)
    tensors = {}
    for name, shape in packaged(EfficientNetLite0()).items():
        noise = torch.randn(shape, generator=generator)
        if len(shape) == 4:
            tensors[name] = noise * (2 / noise[0].numel()) ** 0.5
        else:
            tensors[name] = 0.1 * noise + (1.0 if name.endswith(("bn.weight", ".weight", "var")) else 0.0)
    tensors["_bn0.bias"] += 5  # some answers of the stem are cut off at 6
    return tensors


@pytest.fixture
def packages(tmp_path: Path, lite0_tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both packages, with random weights, as if installed and looked at; the folder that holds them."""
    linear = {f"lin{k}.model.1.weight": torch.rand(1, width, 1, 1) for k, width in enumerate((64, 128, 256, 512, 512))}
    for module, name, one, tensors in (
        (features, "LITE0", features.LITE0, lite0_tensors),
        (learned, "LINEAR", learned.LINEAR, linear),
    ):
        path = tmp_path / "site" / one.module / one.file
        path.parent.mkdir(parents=True)
        (tmp_path / "site" / one.module / "__init__.py").write_text("raise RuntimeError('imported')")
        torch.save(tensors, path)
        monkeypatch.setattr(module, name, replace(one, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def every_term(vgg_files: dict[str, Path], packages: Path) -> Loss:
    """A loss of all terms, whose weight files are there."""
    assert packages.is_dir()
    loss = Loss(feature_weights=str(vgg_files["vgg19"]), lpips_weights=str(vgg_files["vgg16"]))
    for name in loss.weights():
        object.__setattr__(loss, name, 1.0)
    return loss
