"""One file rebuilds its network; nothing hostile, damaged or foreign gets through, and a failed save costs nothing."""

import json
import os
import pickle
import resource
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from coresr_models.build import Argument, ModelSpec, Network, Normalised, build, complete
from coresr_models.checkpoint import KEY, SCHEMA, _check_weights, load, save, sha256
from coresr_models.header import UnsafeFileError
from tests.models.hostile import FORMS, payload

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
    model = {"name": SPEC.name, "arguments": complete(SPEC).arguments, "mean": 0.0, "std": 1.0}
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


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["model.pth", "model.safetensors", "model"])
def test_a_pickle_is_refused_under_any_name_and_never_run(tmp_path: Path, form: str, name: str) -> None:
    file, sentinel = tmp_path / name, tmp_path / "ran"
    file.write_bytes(payload(form, sentinel))
    with pytest.raises(UnsafeFileError, match=f"got .*{name}, .*: reading a pickle can run code; convert it"):
        load(file)
    assert not sentinel.exists()


@pytest.mark.parametrize("form", [form for form in FORMS if form not in {"tar", "TorchScript"}])
def test_the_payloads_of_these_tests_would_have_run(tmp_path: Path, form: str) -> None:
    (tmp_path / "model").write_bytes(payload(form, tmp_path / "ran"))
    if form in {"os.system", "text"}:
        pickle.loads((tmp_path / "model").read_bytes())  # noqa: S301 - it must run here
    else:
        torch.load(tmp_path / "model", weights_only=False)
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


def test_a_file_from_before_mean_and_std_is_of_0_and_1(tmp_path: Path) -> None:
    old = about(model={"name": SPEC.name, "arguments": complete(SPEC).arguments})
    loaded = load(write(tmp_path / "old.safetensors", weights(), old))
    assert loaded.spec == complete(SPEC)
    assert (loaded.spec.mean, loaded.spec.std) == (0, 1)


def test_mean_and_std_come_back(tmp_path: Path) -> None:
    spec = replace(SPEC, mean=0.375, std=0.1)
    network = build(spec).eval()
    save(tmp_path / "one.safetensors", network, spec, {})
    loaded = load(tmp_path / "one.safetensors")
    assert loaded.spec == complete(spec)
    assert isinstance(loaded.model, Normalised)
    assert (loaded.model.mean, loaded.model.std) == (0.375, 0.1)


def test_weights_of_a_normalised_network_are_no_others(tmp_path: Path) -> None:
    """So a reader that knows nothing of mean and std refuses the file instead of giving another image."""
    spec = replace(SPEC, mean=0.375, std=0.1)
    file = write(tmp_path / "odd.safetensors", build(spec).state_dict(), about())
    with pytest.raises(ValueError, match=r"odd\.safetensors must hold the weights of its own spec, got no conv_first"):
        load(file)
    model = {"name": SPEC.name, "arguments": complete(SPEC).arguments, "mean": 0.375, "std": 0.1}
    with pytest.raises(ValueError, match="must hold the weights of its own spec, got no network.conv_first"):
        load(write(tmp_path / "odd.safetensors", weights(), about(model=model)))


@pytest.mark.parametrize(
    "value", ["-1", "0", "2", "1e400", "NaN", "Infinity", '"0.5"', "null", "true", "[1]", "1" * 400]
)
def test_a_hostile_std_is_refused_by_file(tmp_path: Path, value: str) -> None:
    text = json.dumps(about()).replace('"std": 1.0', f'"std": {value}')
    assert text != json.dumps(about())
    safetensors.torch.save_file(weights(), tmp_path / "odd.safetensors", {KEY: text})
    with pytest.raises(ValueError, match=r"odd\.safetensors must (hold JSON|describe a network)"):
        load(tmp_path / "odd.safetensors")


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
        about(model={"name": "edsr", "arguments": {}, "mean": 2}),
        about(model={"name": "edsr", "arguments": {}, "mean": None}),
        about(model={"name": "edsr", "arguments": {}, "std": "1"}),
        about(model=["name", "arguments"]),
        about(model="name"),
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


def test_the_first_five_misfits_are_named_and_the_others_counted(tmp_path: Path) -> None:
    names = list(weights())
    for missing, said in ((6, f"no {names[-2]} and 1 more; copy"), (5, f"no {names[-1]}; copy")):
        kept = {name: tensor for name, tensor in weights().items() if name in names[:-missing]}
        with pytest.raises(ValueError, match=f"must hold the weights of its own spec, got no .*{said}"):
            load(write(tmp_path / "odd.safetensors", kept, about()))


HOSTILE = [
    ("edsr", {"blocks": 1 << 40}),
    ("edsr", {"width": 1 << 20}),
    ("edsr", {"width": 1 << 62}),
    ("edsr", {"channels": 1 << 62, "width": 1 << 62}),
    ("edsr", {"scale": 1 << 4000}),
    ("edsr", {"scale": (1 << 4000) - 1, "tail": "direct"}),
    ("edsr", {"scale": 1 << 14, "tail": "direct"}),
    ("edsr", {"scale": 1 << 12, "width": 1 << 12, "tail": "direct"}),
    ("edsr", {"blocks": 1 << 12}),
    ("unet", {"scale": 1 << 12}),
    ("unet", {"scale": 1 << 14}),
    ("unet", {"depth": 1 << 40}),
    ("unet", {"depth": 1000, "max_width": 1 << 4000}),
]


@pytest.mark.parametrize(("name", "arguments"), HOSTILE, ids=[str(number) for number in range(len(HOSTILE))])
def test_a_spec_larger_than_its_file_is_refused_before_it_takes_memory_or_time(
    tmp_path: Path, name: str, arguments: dict[str, object]
) -> None:
    file = write(tmp_path / "odd.safetensors", weights(), about(model={"name": name, "arguments": arguments}))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(ValueError, match=r"odd\.safetensors must (describe|hold) "):
        load(file)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def test_the_count_of_a_spec_s_tensors_ends_with_its_file(tmp_path: Path) -> None:
    file = write(
        tmp_path / "odd.safetensors",
        weights(),
        about(model={"name": "edsr", "arguments": {"width": 1, "blocks": 4000}}),
    )
    with pytest.raises(ValueError, match="network with more tensors than the file"):
        load(file)
    assert len(build(ModelSpec(name="edsr", arguments={"width": 1, "blocks": 600})).state_dict()) > 2000


def test_a_scale_that_its_weights_do_not_show_takes_no_memory_either(tmp_path: Path) -> None:
    small: dict[str, Argument] = {"width": 2, "depth": 1}
    tensors = build(ModelSpec(name="unet", arguments=small)).state_dict()
    spec = {"name": "unet", "arguments": {**small, "scale": 65}}
    with pytest.raises(ValueError, match="unet scale must be of at most 64 in a checkpoint, got 65"):
        load(write(tmp_path / "odd.safetensors", tensors, about(model=spec)))


def test_constants_that_somebody_changed_are_refused(tmp_path: Path) -> None:
    arguments: dict[str, Argument] = {"width": 8, "stages": 1, "depth": 1, "heads": 2, "window": 4}
    tensors = build(ModelSpec(name="swinir", arguments=arguments)).state_dict()
    index = "layers.0.residual_group.blocks.0.attn.relative_position_index"
    file = write(tmp_path / "odd.safetensors", tensors, about(model={"name": "swinir", "arguments": arguments}))
    load(file)
    file = write(
        tmp_path / "odd.safetensors",
        {**tensors, index: tensors[index].flip(0)},
        about(model={"name": "swinir", "arguments": arguments}),
    )
    with pytest.raises(ValueError, match=f"must hold the constants of its network, got others in {index}"):
        load(file)


def test_names_given_twice_in_the_metadata_are_refused(tmp_path: Path) -> None:
    text = json.dumps(about())
    twice = text.replace('"schema"', '"provenance": {}, "schema"', 1)
    assert json.loads(twice) == json.loads(text)
    safetensors.torch.save_file(weights(), tmp_path / "odd.safetensors", {KEY: twice})
    with pytest.raises(ValueError, match=r"odd\.safetensors must hold JSON as its metadata, got the name 'provenance'"):
        load(tmp_path / "odd.safetensors")


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    file = write(tmp_path / "odd.safetensors", changed("conv_first.bias", torch.ones(4, dtype=torch.int64)), about())
    with pytest.raises(ValueError, match=r"conv_first\.bias of torch\.int64 where the network has torch\.float32"):
        load(file)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read_by_value(tmp_path: Path, dtype: torch.dtype) -> None:
    other = {name: tensor.to(dtype) for name, tensor in weights().items()}
    again = load(write(tmp_path / "other.safetensors", other, about())).model.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in again.values())
    assert all(torch.equal(again[name], tensor.float()) for name, tensor in other.items())


def test_licence_and_scale_lineage_are_kept(tmp_path: Path) -> None:
    save(tmp_path / "x2.safetensors", build(SPEC), SPEC, {})
    lineage = [{"scale": 2, "sha256": sha256(tmp_path / "x2.safetensors")}]
    provenance = {"licence": "CC-BY-4.0", "scale_lineage": lineage}
    save(tmp_path / "x4.safetensors", build(SPEC), SPEC, provenance)
    assert load(tmp_path / "x4.safetensors").provenance == provenance


@pytest.mark.parametrize(
    "provenance",
    [{"licence": 3}, {"scale_lineage": {}}, {"scale_lineage": [2]}, {"scale_lineage": [{"scale": 2}]}],
    ids=str,
)
def test_a_licence_or_lineage_of_another_form_is_not_written(provenance: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="licence must be text|scale_lineage must be a list of scale and sha256"):
        save(tmp_path / "one.safetensors", build(SPEC), SPEC, provenance)
    assert not list(tmp_path.iterdir())


def test_the_folder_is_flushed_after_the_file_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []

    def note(descriptor: int) -> None:
        flushed.append((os.path.isdir(f"/proc/self/fd/{descriptor}"), (path.parent / "two.safetensors").exists()))  # noqa: PTH112

    monkeypatch.setattr(os, "fsync", note)
    save(path.with_name("two.safetensors"), build(SPEC), SPEC, {})
    assert flushed == [(False, False), (True, True)]


def test_a_network_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    spec = ModelSpec(name="unet", arguments={"width": 2, "depth": 1, "max_width": 4097})
    with pytest.raises(ValueError, match="unet max_width must be of at most 4096 in a checkpoint, got 4097"):
        save(tmp_path / "one.safetensors", build(spec), spec, {})
    assert not list(tmp_path.iterdir())


def test_a_network_of_another_spec_is_not_saved(tmp_path: Path) -> None:
    odd: list[tuple[Network, str]] = [
        (
            build(ModelSpec(name="edsr", arguments={"width": 5, "blocks": 1})),
            r"conv_first.weight of shape \(5, 1, 3, 3\)",
        ),
        (build(replace(SPEC, mean=0.4)), "no conv_first.weight"),
        (build(ModelSpec(name="edsr", arguments={"width": 4, "blocks": 2})), "body.1.conv1.weight, which the network"),
    ]
    for model, why in odd:
        with pytest.raises(ValueError, match=f"^model must be the network of its spec, edsr, got {why}.*; save what "):
            save(tmp_path / "one.safetensors", model, SPEC, {})
    with pytest.raises(ValueError, match="got no conv_first.weight.*; save what .* without the wrapper of a compiler"):
        _check_weights(SPEC, nn.Sequential(build(SPEC)).state_dict())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, value: float) -> None:
    network = build(SPEC)
    network.state_dict()["conv_first.bias"][2] = value
    with pytest.raises(
        ValueError, match="^weights must be finite to be saved, got NaN or infinity in conv_first.bias$"
    ):
        save(tmp_path / "one.safetensors", network, SPEC, {})
    assert not list(tmp_path.iterdir())


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
