"""SPAN: published sizes, the authors' keys, the formula once more, and merging that changes nothing."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.build import ModelSpec, build
from coresr_models.checkpoint import load, save
from coresr_models.edsr import EDSR
from coresr_models.span import SPAB, SPAN, Conv3XC, MergedConv, merge

T = TypeVar("T", bound=nn.Module)


def span_of(**arguments: Any) -> SPAN:
    with torch.device("meta"):
        return SPAN(**arguments)


def lively(network: T) -> T:
    """Large biases and nothing zero, as after training."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.double()


def image(channels: int = 1) -> Tensor:
    return torch.rand(2, channels, 5, 7, dtype=torch.float64)


def count(network: SPAN) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("channels", "width", "scale", "parameters"),
    [
        (3, 48, 2, 410_700),
        (3, 48, 4, 426_288),
        (3, 52, 2, 481_324),
        (3, 52, 4, 498_208),
        (3, 28, 4, 150_688),
        (1, 48, 2, 406_372),
        (1, 48, 4, 411_568),
    ],
)
def test_merged_it_has_as_many_parameters_as_published(channels: int, width: int, scale: int, parameters: int) -> None:
    assert count(span_of(channels=channels, width=width, scale=scale, merged=True)) == parameters


@pytest.mark.parametrize(("scale", "numbers"), [(2, 2_213_240), (4, 2_218_436)])
def test_in_training_the_file_holds_as_many_numbers_as_the_table_and_no_norm(scale: int, numbers: int) -> None:
    state = span_of(scale=scale).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == numbers + 1
    assert state["no_norm"].shape == (1,)


@pytest.mark.parametrize(("width", "millions"), [(48, 2.22), (52, 2.61)])
def test_in_colour_the_file_of_training_is_as_large_as_published(width: int, millions: float) -> None:
    state = span_of(width=width, channels=3).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) / 1e6 == pytest.approx(millions, abs=0.005)


def merging(width: int) -> int:
    """Multiplications of the authors' eval mode, which merges for every image anew, by padded convolutions."""
    return sum(81 * c * 2 * c * 2 * width + 9 * c * 2 * width * width for c in [3] + 19 * [width])


@pytest.mark.parametrize(("width", "scale", "gmac"), [(48, 2, 95), (48, 4, 25), (52, 2, 112), (52, 4, 30)])
def test_merged_it_costs_what_the_table_says_less_the_merging(width: int, scale: int, gmac: int) -> None:
    network = span_of(width=width, scale=scale, channels=3, merged=True, global_residual="none")
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 3, 720 // scale, 1280 // scale, device="meta"))
    weights = sum(one.numel() for name, one in network.named_parameters() if name.endswith("weight"))
    assert flops.get_total_flops() / 2 == weights * (720 // scale) * (1280 // scale)
    assert (flops.get_total_flops() / 2 + merging(width)) / 1e9 == pytest.approx(gmac, abs=0.5)


MERGEABLE = ["conv_1", *(f"block_{k}.c{i}_r" for k in range(1, 7) for i in (1, 2, 3)), "conv_2"]


def keys(parts: list[str]) -> set[str]:
    layers = [f"{name}.{part}" for name in MERGEABLE for part in parts]
    return {f"{layer}.{kind}" for layer in [*layers, "conv_cat", "upsampler.0"] for kind in ("weight", "bias")}


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_has_the_keys_of_the_authors_and_the_merged_one_a_part_of_them(residual: str) -> None:
    trained = keys(["sk", "conv.0", "conv.1", "conv.2", "eval_conv"])
    assert set(span_of(global_residual=residual).state_dict()) == trained | {"no_norm"}
    assert set(span_of(merged=True, global_residual=residual).state_dict()) == keys(["eval_conv"]) | {"no_norm"}


def test_no_norm_is_in_the_file_exactly_if_nothing_is_normalised() -> None:
    assert torch.equal(SPAN(width=4).state_dict()["no_norm"], torch.zeros(1))
    with_norm = SPAN(width=4, channels=3, normalise=True).state_dict()
    assert set(SPAN(width=4, channels=3).state_dict()) == set(with_norm) | {"no_norm"}


def test_every_parameter_is_trained_and_eval_conv_is_none_of_them() -> None:
    assert not [name for name, _ in SPAN(width=4, blocks=1).named_parameters() if "eval_conv" in name]
    assert [name for name, _ in SPAN(width=4, blocks=1, merged=True).named_parameters() if "eval_conv" in name]


@pytest.mark.parametrize(("width_in", "width"), [(1, 3), (4, 4), (5, 2)])
def test_the_merged_convolution_equals_the_four_up_to_the_border(width_in: int, width: int) -> None:
    convolution = Conv3XC(width_in=width_in, width=width).double()
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.normal_()
    x = torch.randn(2, width_in, 4, 5, dtype=torch.float64)
    padded = functional.pad(x, (1, 1, 1, 1))
    for layer in convolution.conv:
        padded = functional.conv2d(padded, layer.get_parameter("weight"), layer.get_parameter("bias"))
    wanted = padded + convolution.sk(x)
    torch.testing.assert_close(convolution.train()(x), wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(convolution.eval()(x), wanted, rtol=0, atol=1e-10)


def test_training_evaluating_and_merged_answer_the_same() -> None:
    network, lr = lively(SPAN(width=6, blocks=3)), image()
    trained = network.train()(lr)
    torch.testing.assert_close(network.eval()(lr), trained, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merge(network)(lr), trained, rtol=1e-12, atol=1e-12)
    single = network.float().train()(lr.float())
    torch.testing.assert_close(network.eval()(lr.float()), single, rtol=1e-5, atol=1e-5)


def test_merging_keeps_the_network_its_mode_and_every_other_tensor() -> None:
    network = lively(SPAN(width=4, blocks=2, channels=3, normalise=True, scale=3)).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    twin = merge(network)
    assert twin.training
    assert not [module for module in twin.modules() if isinstance(module, Conv3XC)]
    assert len([module for module in twin.modules() if isinstance(module, MergedConv)]) == 3 * 2 + 2
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_merging_twice_is_merging_once() -> None:
    once = merge(lively(SPAN(width=4, blocks=1)))
    twice = merge(once)
    assert all(torch.equal(tensor, once.state_dict()[name]) for name, tensor in twice.state_dict().items())


def test_a_merged_network_is_saved_and_loaded_by_the_spec_that_says_merged(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"width": 4, "blocks": 2, "scale": 3}
    network, lr = build(ModelSpec(name="span", arguments=arguments)), torch.rand(1, 1, 4, 5)
    assert isinstance(network, SPAN)
    lively(network).float().eval()
    spec = ModelSpec(name="span", arguments={**arguments, "merged": True})
    save(tmp_path / "merged.safetensors", merge(network), spec, {})
    again = load(tmp_path / "merged.safetensors").model
    torch.testing.assert_close(again(lr), network(lr), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", [True, False])
def test_eval_conv_is_fresh_in_every_state_dict_after_training_went_on(mode: bool) -> None:
    network, lr = lively(SPAN(width=4, blocks=1)), image()
    stale = network.state_dict()["conv_1.eval_conv.weight"].clone()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network.train()(lr).sum().backward()
    optimizer.step()
    state = network.train(mode).state_dict()
    assert not torch.equal(state["conv_1.eval_conv.weight"], stale)
    merged = SPAN(width=4, blocks=1, merged=True).double()
    merged.load_state_dict({name: state[name] for name in merged.state_dict()})
    torch.testing.assert_close(merged(lr), network(lr), rtol=1e-10, atol=1e-10)


def test_eval_conv_is_fresh_in_a_saved_file_and_in_a_copy(tmp_path: Path) -> None:
    network = lively(SPAN(width=4, blocks=1)).float()
    save(tmp_path / "one.safetensors", network, ModelSpec(name="span", arguments={"width": 4, "blocks": 1}), {})
    state = load(tmp_path / "one.safetensors").model.state_dict()
    weight, bias = network.conv_1.merged() if isinstance(network.conv_1, Conv3XC) else (None, None)
    torch.testing.assert_close(state["conv_1.eval_conv.weight"], weight)
    torch.testing.assert_close(state["conv_1.eval_conv.bias"], bias)


def test_a_stale_eval_conv_in_a_file_changes_nothing_and_is_renewed() -> None:
    network, lr = lively(SPAN(width=4, blocks=1)).eval(), image()
    stale = {
        name: torch.zeros_like(tensor) if "eval_conv" in name else tensor.clone()
        for name, tensor in network.state_dict().items()
    }
    again = SPAN(width=4, blocks=1).double().eval()
    again.load_state_dict(stale)
    assert torch.equal(again(lr), network(lr))
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_under_autocast_the_weights_are_merged_in_full_precision() -> None:
    convolution = Conv3XC(width_in=4, width=4)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = convolution.merged()
    for one, other in zip(mixed, convolution.merged(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, blocks: int, scale: int) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return functional.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def four(name: str, x: Tensor) -> Tensor:
        inner = functional.pad(x, (1, 1, 1, 1))
        for i in range(3):
            inner = functional.conv2d(inner, weights[f"{name}.conv.{i}.weight"], weights[f"{name}.conv.{i}.bias"])
        return inner + conv(f"{name}.sk", x)

    def sigmoid(x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-x))

    shallow = four("conv_1", lr)
    x, outputs, activated = shallow, [], shallow
    for k in range(1, blocks + 1):
        o1 = four(f"block_{k}.c1_r", x)
        activated = o1 * sigmoid(o1)
        o2 = four(f"block_{k}.c2_r", activated)
        o3 = four(f"block_{k}.c3_r", o2 * sigmoid(o2))
        x = (o3 + x) * (sigmoid(o3) - 0.5)
        outputs.append(x)
    x = conv("conv_cat", torch.cat([shallow, four("conv_2", x), outputs[0], activated], dim=1))
    return functional.pixel_shuffle(conv("upsampler.0", x), scale)


@pytest.mark.parametrize("mode", [True, False])
def test_the_network_is_its_formula_and_the_skip_is_added(mode: bool) -> None:
    network = lively(SPAN(width=5, blocks=3, scale=3, global_residual="none")).train(mode)
    lr = image()
    wanted = by_formula(network.state_dict(), lr, blocks=3, scale=3)
    torch.testing.assert_close(network(lr), wanted, rtol=1e-10, atol=1e-10)
    skipping = SPAN(width=5, blocks=3, scale=3).double().train(mode)
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=3)(lr), rtol=1e-10, atol=1e-10)


def test_normalised_it_sees_255_about_the_mean_colour_and_its_answer_is_left_as_it_is() -> None:
    network = lively(SPAN(width=4, blocks=1, channels=3, normalise=True, global_residual="none"))
    lr, mean = image(3), torch.tensor([0.4488, 0.4371, 0.4040])[:, None, None]
    wanted = by_formula(network.state_dict(), 255 * (lr - mean), blocks=1, scale=2)
    torch.testing.assert_close(network(lr), wanted, rtol=1e-9, atol=1e-9)


def test_attention_keeps_its_digits_near_zero_in_bfloat16() -> None:
    block = SPAB(width=1, merged=True)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        block.c3_r.get_submodule("eval_conv").get_parameter("bias").fill_(2**-9)
    exact = (2**-9 + 1) * (1 / (1 + math.exp(-(2**-9))) - 0.5)
    x = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)
    answer = block.to(torch.bfloat16)(x)[0]
    assert answer.flatten()[0].item() == pytest.approx(exact, rel=0.01)


def test_only_the_last_convolution_starts_at_zero_and_only_with_the_skip() -> None:
    zeros = {name for name, tensor in SPAN(width=4, blocks=1).named_parameters() if not tensor.any()}
    assert zeros == {"upsampler.0.weight", "upsampler.0.bias"}
    assert all(tensor.any() for tensor in SPAN(width=4, blocks=1, global_residual="none").parameters())


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "blocks"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        SPAN(**{argument: 0})  # type: ignore[arg-type]


def test_an_unknown_residual_is_refused() -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="global_residual(?s:.*)odd"):
        SPAN(global_residual="odd")  # type: ignore[arg-type]


def test_a_mean_colour_for_grey_images_is_refused() -> None:
    with pytest.raises(ValueError, match="^channels must be 3 with normalise=True, got 1; the mean is a colour$"):
        SPAN(normalise=True, width=4)


def test_a_normalised_network_merges_inside() -> None:
    spec = ModelSpec(name="span", arguments={"width": 6, "blocks": 2}, mean=0.4, std=0.2)
    network = lively(build(spec).eval())
    merged = merge(network)
    again = build(replace(spec, arguments={**spec.arguments, "merged": True})).eval().double()
    again.load_state_dict(merged.state_dict())
    lr = torch.rand(1, 1, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(merged(lr), network(lr), rtol=0, atol=1e-12)
    assert torch.equal(again(lr), merged(lr))


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="^network must be a SPAN to be merged, got EDSR$"):
        merge(EDSR(width=4, blocks=1))
