"""One file rebuilds its network; nothing hostile, damaged or foreign gets through, and a failed save costs nothing."""

import io
import json
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from coresr_models.build import ModelSpec, build, complete
from coresr_models.checkpoint import KEY, PICKLED, SCHEMA, UnsafeFileError, load, save

SPEC = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
PROVENANCE: dict[str, Any] = {"run": {"steps": 3}, "scores": [31.5, None], "of": "Grünsandstein"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file."""
    good = tmp_path / "good.safetensors"
    save(good, build(SPEC), SPEC, PROVENANCE)
    return good


def weights() -> dict[str, Tensor]:
    return build(SPEC).state_dict()


def about(**changes: object) -> dict[str, object]:
    model = {"name": SPEC.name, "arguments": complete(SPEC).arguments}
    return {"schema": SCHEMA, "model": model, "provenance": {}, **changes}


def write(path: Path, tensors: dict[str, Tensor], metadata: object) -> Path:
    safetensors.torch.save_file(tensors, path, {KEY: json.dumps(metadata)})
    return path


def test_weights_spec_and_provenance_come_back(tmp_path: Path) -> None:
    network = build(SPEC).train()
    save(tmp_path / "one.safetensors", network, SPEC, PROVENANCE)
    loaded = load(tmp_path / "one.safetensors")
    assert loaded.spec == complete(SPEC)
    assert loaded.provenance == PROVENANCE
    assert not loaded.model.training
    assert network.training
    for (name, tensor), (again, other) in zip(
        network.state_dict().items(), loaded.model.state_dict().items(), strict=True
    ):
        assert name == again
        assert torch.equal(tensor, other)


def test_every_default_is_written_so_that_a_later_default_changes_nothing(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()[KEY]) == about(provenance=PROVENANCE)


def test_weights_laid_out_in_channels_last_are_saved_by_value(tmp_path: Path) -> None:
    network = build(SPEC)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save(tmp_path / "one.safetensors", network, SPEC, {})
    again = load(tmp_path / "one.safetensors").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in network.state_dict().items())


def test_a_missing_file_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"got .*none\.safetensors, which is not there"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError):
        load(tmp_path)


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.sentinel, "run")


def pickled(payload: Payload, form: str) -> bytes:
    if form == "pickle":
        return pickle.dumps(payload)
    file = io.BytesIO()
    torch.save({"state_dict": payload}, file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("suffix", [*PICKLED, ".PTH"])
def test_a_pickle_is_refused_by_its_suffix_and_never_run(tmp_path: Path, form: str, suffix: str) -> None:
    file, sentinel = tmp_path / f"model{suffix}", tmp_path / "ran"
    file.write_bytes(pickled(Payload(sentinel), form))
    with pytest.raises(
        UnsafeFileError, match=rf"got .*model\{suffix}: reading a pickle can run code; convert"
    ) as caught:
        load(file)
    assert caught.value.exit_code == 77
    assert not sentinel.exists()


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy"])
@pytest.mark.parametrize("name", ["model.safetensors", "model", "model.tar"])
def test_a_pickle_under_another_name_is_never_run(tmp_path: Path, form: str, name: str) -> None:
    file, sentinel = tmp_path / name, tmp_path / "ran"
    file.write_bytes(pickled(Payload(sentinel), form))
    with pytest.raises(ValueError, match=f"{name} must be a whole safetensors file"):
        load(file)
    assert not sentinel.exists()


def test_the_payload_of_these_tests_would_have_run(tmp_path: Path) -> None:
    pickle.loads(pickled(Payload(tmp_path / "ran"), "pickle"))  # noqa: S301
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused_by_name(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"good\.safetensors must be a whole safetensors file, got .*; copy it again"):
        load(path)


def test_a_file_with_more_behind_it_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ValueError, match=r"good\.safetensors must be a whole safetensors file"):
        load(path)


@pytest.mark.parametrize("at", range(16))
def test_a_garbled_header_is_refused_by_name(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x80
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"good\.safetensors must"):
        load(path)


def test_a_header_said_to_be_enormous_is_refused(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 62) + path.read_bytes()[8:])
    with pytest.raises(ValueError, match=r"good\.safetensors must be a whole safetensors file"):
        load(path)


def test_metadata_that_is_no_json_or_nested_without_end_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[" * 100_000):
        file = tmp_path / "odd.safetensors"
        safetensors.torch.save_file(weights(), file, {KEY: text})
        with pytest.raises(ValueError, match=r"odd\.safetensors must"):
            load(file)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_foreign_file_is_refused_for_its_missing_metadata(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    safetensors.torch.save_file(weights(), tmp_path / "foreign.safetensors", metadata)
    with pytest.raises(ValueError, match=r"foreign\.safetensors must hold a coresr model .* got no coresr metadata"):
        load(tmp_path / "foreign.safetensors")


def test_another_schema_is_refused_with_its_number(tmp_path: Path) -> None:
    file = write(tmp_path / "new.safetensors", weights(), about(schema=SCHEMA + 1))
    with pytest.raises(ValueError, match=rf"new\.safetensors .* of schema {SCHEMA}, got schema {SCHEMA + 1}"):
        load(file)


@pytest.mark.parametrize(
    "metadata",
    [
        {"schema": SCHEMA},
        {"schema": SCHEMA, "model": about()["model"]},
        about(model=None),
        about(model={"name": "edsr"}),
        about(model={"name": ["edsr"], "arguments": {}}),
        about(model={"name": "edsr", "arguments": [1]}),
        about(model={"name": "edsr", "arguments": "width"}),
        about(model={"name": "later", "arguments": {}}),
        about(model={"name": "edsr", "arguments": {"later": 1}}),
        about(model={"name": "edsr", "arguments": {"width": "4"}}),
        about(model={"name": "edsr", "arguments": {"width": 0}}),
        about(provenance=3),
        about(provenance=None),
    ],
    ids=str,
)
def test_metadata_that_describe_no_network_are_refused_by_name(tmp_path: Path, metadata: object) -> None:
    with pytest.raises(ValueError, match=r"odd\.safetensors must describe a network that can be built, got .+"):
        load(write(tmp_path / "odd.safetensors", weights(), metadata))


def changed(name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    tensors = {**weights(), name: torch.zeros(1) if tensor is None else tensor}
    return {key: value for key, value in tensors.items() if tensor is not None or key != name}


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("conv_last.bias", None),
        ("conv_last.bias", torch.zeros(2)),
        ("conv_first.weight", torch.zeros(4, 1, 1, 1)),
        ("more", torch.zeros(1)),
    ],
)
def test_missing_misshapen_and_surplus_weights_are_refused_by_name(
    tmp_path: Path, name: str, tensor: Tensor | None
) -> None:
    file = write(tmp_path / "odd.safetensors", changed(name, tensor), about())
    with pytest.raises(ValueError, match=rf"(?s)odd\.safetensors must hold the weights of its own spec, got .*{name}"):
        load(file)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_file_and_layer(tmp_path: Path, value: float) -> None:
    bias = torch.zeros(4)
    bias[3] = value
    file = write(tmp_path / "odd.safetensors", changed("conv_first.bias", bias), about())
    with pytest.raises(ValueError, match=r"odd\.safetensors must hold finite weights, got .* in conv_first\.bias$"):
        load(file)


def test_weights_that_overflow_float32_are_refused(tmp_path: Path) -> None:
    file = write(
        tmp_path / "odd.safetensors",
        changed("conv_first.bias", torch.full((4,), 1e300, dtype=torch.float64)),
        about(),
    )
    with pytest.raises(ValueError, match="must hold finite weights"):
        load(file)


def test_a_save_that_fails_keeps_the_old_file_and_leaves_no_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save(path, build(SPEC), SPEC, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_save_replaces_the_old_file_whole_and_leaves_no_other(path: Path) -> None:
    old = path.open("rb")
    save(path, build(SPEC), SPEC, {"run": 2})
    with old:
        first = old.read()  # a reader of the old file still has all of it
    assert len(first) > 8
    assert safetensors.torch.load(first).keys() == weights().keys()
    assert load(path).provenance == {"run": 2}
    assert list(path.parent.iterdir()) == [path]


def test_what_json_cannot_hold_is_refused_before_anything_is_written(path: Path) -> None:
    before = path.read_bytes()
    for provenance, error in (({"psnr": float("nan")}, ValueError), ({"path": path}, TypeError)):
        with pytest.raises(error):
            save(path, build(SPEC), SPEC, provenance)
    with pytest.raises(ValueError, match="did you mean width"):
        save(path, build(SPEC), ModelSpec(name="edsr", arguments={"widht": 4}), {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_file_mode_honours_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "one.safetensors", build(SPEC), SPEC, {})
    finally:
        os.umask(before)
    assert (tmp_path / "one.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
