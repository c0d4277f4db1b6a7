"""`export`: what others read gives the same image, and what they would misread is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from coresr_models.__main__ import main
from coresr_models.build import MODELS, Argument, ModelSpec, build
from coresr_models.checkpoint import fit, save
from coresr_models.cli import run
from coresr_models.foreign import recognise
from tests.models.foreign.styles import SWIN, lively
from tests.models.specimens import SMALL

PAPERS: list[tuple[str, dict[str, Argument]]] = [
    ("rcan", {"width": 8, "groups": 1, "blocks": 2, "reduction": 4}),
    ("rrdbnet", {"width": 6, "blocks": 1, "growth": 32}),
    ("span", {"width": 6}),
    ("swinir", {**SWIN, "window": 8, "scale": 3}),
    ("plksr", {"width": 8, "blocks": 1, "kernel": 5}),
    ("realplksr", {"width": 8, "blocks": 1, "kernel": 5, "scale": 3}),
]


def made(path: Path, name: str, **arguments: Argument) -> torch.nn.Module:
    spec = ModelSpec(name=name, arguments={"global_residual": "none", **arguments})
    network = lively(name, **spec.arguments)
    save(path, network, spec, {"licence": "CC0-1.0"})
    return network


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("name", "arguments"), PAPERS, ids=[name for name, _ in PAPERS])
def test_what_is_exported_is_recognised_and_answers_the_same(
    name: str, arguments: dict[str, Argument], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = made(tmp_path / "m.safetensors", name, **arguments)
    out = tmp_path / "for" / f"others{suffix}"
    main(["export", str(tmp_path / "m.safetensors"), str(out)])
    assert "note       licence CC0-1.0" in capsys.readouterr().out
    state = safetensors.torch.load_file(out) if suffix == ".safetensors" else torch.load(out)["params"]
    found = recognise(state)
    lr = torch.rand(1, 1, 8, 16)
    colours = 3 if "plksr" in name else 1
    assert found.spec.arguments["channels"] == colours
    twin = fit(out, found.spec, found.tensors)
    wanted = network(lr).repeat(1, colours, 1, 1)
    torch.testing.assert_close(twin(lr.repeat(1, colours, 1, 1)), wanted, rtol=0, atol=2e-6)


def test_edsr_goes_to_basicsr_with_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "m.safetensors", "edsr", width=4, blocks=1, residual_scale=0.3)
    main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.pth")])
    assert "BasicSR's options: img_range 1, rgb_mean 0, res_scale 0.3" in capsys.readouterr().out
    assert "conv_after_body.weight" in torch.load(tmp_path / "m.pth")["params"]


@pytest.mark.parametrize(
    ("suffix", "name", "arguments", "why"),
    [
        (".safetensors", "edsr", {"width": 4}, "network must be one of plksr, rcan, .* for spandrel, got edsr; export"),
        (".pth", "unet", {"width": 4, "depth": 1}, "for BasicSR, got unet; export it to .onnx"),
        (".pth", "cyclegan", {"width": 4}, "for BasicSR, got cyclegan"),
        (".pth", "edsr", {"width": 4, "global_residual": "bicubic"}, "must have global_residual=none for BasicSR"),
        (".safetensors", "span", {"width": 4, "global_residual": "bicubic"}, "got bicubic, which it would leave out"),
        (".pth", "edsr", {"width": 4, "tail": "direct"}, "edsr tail must be staged for BasicSR, got direct"),
        (".safetensors", "rrdbnet", {"width": 4, "growth": 8}, "rrdbnet growth must be 32 for spandrel, got 8"),
        (".safetensors", "rrdbnet", {"width": 4, "growth": 32, "scale": 3}, "rrdbnet scale must be 1 or 2 or 4"),
        (".safetensors", "span", {"width": 4, "merged": True}, "span merged must be False for spandrel, got True"),
        (".safetensors", "plksr", {"width": 4, "channels": 2}, "plksr channels must be 1 or 3 for spandrel, got 2"),
    ],
)
def test_what_the_reader_would_misread_is_refused_by_name(
    suffix: str, name: str, arguments: dict[str, Argument], why: str, tmp_path: Path
) -> None:
    fixed: dict[str, Argument] = {} if name == "cyclegan" else {"global_residual": "none"}
    small: dict[str, Argument] = {} if name == "unet" else {"blocks": 6 if name == "span" else 1}
    spec = ModelSpec(name=name, arguments={**fixed, **small, **arguments})
    save(tmp_path / "m.safetensors", build(spec), spec, {})
    with pytest.raises(ValueError, match=why):
        main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / f"out{suffix}")])
    assert not (tmp_path / f"out{suffix}").exists()


@pytest.mark.parametrize(("window", "side"), [(8, 64), (5, 60), (16, 64), (66, 66)])
def test_a_swinir_gets_masks_of_shifted_blocks_for_64_pixels_in_whole_windows(window: int, side: int) -> None:
    from coresr_models.foreign.writing import BASICSR, foreign_state

    arguments: dict[str, Argument] = {"width": 4, "stages": 2, "depth": 3, "heads": 2, "window": window}
    spec = ModelSpec(name="swinir", arguments={**arguments, "global_residual": "none"})
    with torch.device("meta"):
        network = build(spec)
    network = network.to_empty(device="cpu")
    masks = {key: mask for key, mask in foreign_state(network, spec, BASICSR).items() if "mask" in key}
    assert set(masks) == {f"layers.{stage}.residual_group.blocks.1.attn_mask" for stage in (0, 1)}
    for mask in masks.values():
        assert mask.shape == ((side // window) ** 2, window**2, window**2)
        assert set(mask.flatten().tolist()) == {-100.0, 0.0}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(("mean", "std"), [(0.4, 1.0), (0.0, 0.5)])
def test_a_mean_or_deviation_that_no_other_program_knows_is_refused(
    mean: float, std: float, suffix: str, tmp_path: Path
) -> None:
    arguments: dict[str, Argument] = {"width": 6, "blocks": 6, "global_residual": "none"}
    spec = ModelSpec(name="span", arguments=arguments, mean=mean, std=std)
    save(tmp_path / "m.safetensors", build(spec), spec, {})
    why = f"^span must have mean 0 and std 1 for .*, got {mean} and {std}, which it would leave out; export it to .onnx"
    with pytest.raises(ValueError, match=why):
        main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / f"out{suffix}")])
    assert not (tmp_path / f"out{suffix}").exists()


def test_wrong_commands_end_with_their_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "m.safetensors", "edsr", width=4, blocks=1)
    for arguments, code in (
        (["m.safetensors", "out.bin"], 64),
        (["m.safetensors", "m.safetensors"], 73),
        (["none.safetensors", "out.pth"], 66),
        (["m.safetensors", "out.safetensors"], 65),
    ):
        with pytest.raises(SystemExit) as ended:
            run(lambda: main(["export", *(str(tmp_path / name) for name in arguments)]))  # noqa: B023 - called at once
        assert ended.value.code == code, arguments
        assert capsys.readouterr().err.count("\n") == 1


def graph(path: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "mean", "std"), [("edsr", 0.0, 1.0), ("edsr", 0.4, 0.2), ("swinir", 0.0, 1.0), ("unet", 0.0, 1.0)]
)
def test_onnx_answers_as_the_network_on_any_size(
    name: str, mean: float, std: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    spec = ModelSpec(name=name, arguments=SMALL[name], mean=mean, std=std)
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save(tmp_path / "m.safetensors", network, spec, {})
    main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")])
    assert "answers as the network to " in (said := capsys.readouterr().out)
    multiple = network.multiple_of
    assert (f"multiples of {multiple}" in said) == (multiple > 1)
    session = graph(tmp_path / "m.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["coresr"])
    assert (about["model"]["name"], about["multiple_of"]) == (name, multiple)
    assert (about["model"]["mean"], about["model"]["std"]) == (mean, std)
    for batch, height, width in ((1, 4, 9), (2, 3, 3)):
        lr = torch.rand(batch, 1, multiple * height, multiple * width)
        (found,) = session.run(None, {"lr": lr.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(found), network(lr), rtol=0, atol=1e-5)


def test_a_graph_that_answers_otherwise_is_not_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("onnxruntime")
    spec = ModelSpec(name="edsr", arguments=SMALL["edsr"])
    save(tmp_path / "m.safetensors", lively("edsr", **SMALL["edsr"]), spec, {})
    answer = runtime.InferenceSession.run
    monkeypatch.setattr(runtime.InferenceSession, "run", lambda *given: [1.001 * answer(*given)[0]])
    with pytest.raises(ValueError, match="the ONNX graph must answer as the network to 0.0001, got 1.0e-03"):
        main(["export", str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")])
    assert not (tmp_path / "m.onnx").exists()


def test_every_network_has_a_verdict_for_every_reader() -> None:
    from coresr_models.foreign.writing import BASICSR, SPANDREL

    assert set(SPANDREL.networks) <= set(BASICSR.networks) <= set(MODELS)
