"""RRDBNet: published sizes, BasicSR's keys, and the formula written out once more."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.rrdbnet import RRDBNet


@pytest.mark.parametrize(
    ("channels", "scale", "count"),
    [(1, 2, 16_697_409), (1, 4, 16_695_681), (3, 2, 16_703_171), (3, 4, 16_697_987)],
)
def test_it_has_as_many_parameters_as_published(channels: int, scale: int, count: int) -> None:
    with torch.device("meta"):
        network = RRDBNet(channels=channels, scale=scale)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_it_costs_as_many_multiplications_as_published() -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as flops:
        RRDBNet(channels=3, scale=4, global_residual="none")(torch.empty(1, 3, 180, 320))
    assert flops.get_total_flops() / 2e9 == pytest.approx(1033, abs=0.5)


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_has_the_keys_of_basicsr(residual: str) -> None:
    with torch.device("meta"):
        network = RRDBNet(scale=4, blocks=2, width=4, growth=2, global_residual=residual)  # type: ignore[arg-type]
    dense = [f"rdb{j}.conv{k}" for j in (1, 2, 3) for k in (1, 2, 3, 4, 5)]
    layers = ["conv_first", *(f"body.{i}.{one}" for i in (0, 1) for one in dense)]
    layers += ["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]
    assert list(network.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


@pytest.mark.parametrize(
    ("scale", "seen", "stages"), [(1, 32, 2), (2, 8, 2), (3, 2, 1), (4, 2, 2), (8, 2, 3), (16, 2, 4)]
)
def test_each_scale_has_its_stages_and_sees_unshuffled_pixels(scale: int, seen: int, stages: int) -> None:
    network = RRDBNet(scale=scale, channels=2, width=4, blocks=1, growth=2)
    assert network.conv_first.weight.shape == (4, seen, 3, 3)
    ups = [name for name in network.state_dict() if name.startswith("conv_up") and name.endswith("weight")]
    assert ups == [f"conv_up{number + 1}.weight" for number in range(stages)]
    assert network(torch.rand(1, 2, 4, 8)).shape == (1, 2, 4 * scale, 8 * scale)


@pytest.mark.parametrize("scale", [5, 6, 12])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ValueError, match=f"^scale of RRDBNet must be 3 or a power of 2, got {scale}; take edsr"):
        RRDBNet(scale=scale, width=4, blocks=1)


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "blocks", "growth"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        RRDBNet(**{argument: 0})  # type: ignore[arg-type]


def test_an_unknown_residual_is_refused() -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="global_residual(?s:.*)odd"):
        RRDBNet(global_residual="odd")  # type: ignore[arg-type]


@pytest.mark.parametrize(("scale", "multiple"), [(1, 4), (2, 2)])
def test_a_size_that_cannot_be_unshuffled_is_refused(scale: int, multiple: int) -> None:
    network = RRDBNet(scale=scale, width=4, blocks=1)
    with pytest.raises(ValueError, match=f"^LR size must be a multiple of {multiple} .* RRDBNet, got 4×7; pad it"):
        network(torch.rand(1, 1, 4, 7))


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, blocks: int, stages: tuple[int, ...]) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def lively(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    x = first = conv("conv_first", lr)
    for i in range(blocks):
        whole = x
        for j in (1, 2, 3):
            name = f"body.{i}.rdb{j}.conv"
            x1 = lively(conv(f"{name}1", x))
            x2 = lively(conv(f"{name}2", torch.cat([x, x1], 1)))
            x3 = lively(conv(f"{name}3", torch.cat([x, x1, x2], 1)))
            x4 = lively(conv(f"{name}4", torch.cat([x, x1, x2, x3], 1)))
            x = x + 0.2 * conv(f"{name}5", torch.cat([x, x1, x2, x3, x4], 1))
        x = whole + 0.2 * x
    x = first + conv("conv_body", x)
    for number, stage in enumerate(stages):
        x = x.repeat_interleave(stage, 2).repeat_interleave(stage, 3)
        x = lively(conv(f"conv_up{number + 1}", x))
    return conv("conv_last", lively(conv("conv_hr", x)))


@pytest.mark.parametrize(
    ("scale", "fold", "stages"), [(1, 4, (2, 2)), (2, 2, (2, 2)), (3, 1, (3,)), (4, 1, (2, 2)), (8, 1, (2, 2, 2))]
)
def test_the_network_is_its_formula_and_the_skip_is_added_unscaled(
    scale: int, fold: int, stages: tuple[int, ...]
) -> None:
    sizes = {"scale": scale, "channels": 2, "width": 4, "blocks": 2, "growth": 3}
    network = RRDBNet(**sizes, global_residual="none").double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.2)
    lr = torch.rand(2, 2, 4, 8, dtype=torch.float64)
    wanted = by_formula(network.state_dict(), functional.pixel_unshuffle(lr, fold), blocks=2, stages=stages)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-11)
    skipping = RRDBNet(**sizes).double()  # type: ignore[arg-type]
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=scale)(lr), rtol=0, atol=1e-11)


def test_dense_blocks_start_a_tenth_as_wide_as_he_and_without_bias() -> None:
    network = RRDBNet(scale=4, width=32, blocks=2)
    for name, tensor in network.body.named_parameters():
        if tensor.ndim == 1:
            assert not tensor.any(), name
        else:
            assert tensor.std().item() == pytest.approx(0.1 * math.sqrt(2 / tensor[0].numel()), rel=0.05), name


def test_outside_the_blocks_only_the_last_convolution_starts_at_zero_and_only_with_the_skip() -> None:
    outside = [name for name in dict(RRDBNet(blocks=1, width=4).named_parameters()) if not name.startswith("body")]
    with_skip, without = (
        dict(RRDBNet(blocks=1, width=4, global_residual=residual).named_parameters())
        for residual in ("bicubic", "none")
    )
    assert {name for name in outside if not with_skip[name].any()} == {"conv_last.weight", "conv_last.bias"}
    assert all(without[name].any() for name in outside)
