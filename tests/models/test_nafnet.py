"""NAFNet for super-resolution: table of sizes, NAFSSR's keys, and the formula written out once more."""

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.nafnet import NAFBlock, NAFNet, gate


def nafnet_of(**arguments: Any) -> NAFNet:
    with torch.device("meta"):
        return NAFNet(**arguments)


def parameters(network: NAFNet) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def lively(network: NAFNet) -> NAFNet:
    """Away from the identity, as after training."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network.double()


@pytest.mark.parametrize(
    ("width", "blocks", "scale", "count"),
    [
        (16, 4, 2, 10_020),
        (48, 16, 2, 285_604),
        (48, 16, 4, 290_800),
        (64, 32, 2, 988_036),
        (64, 32, 4, 994_960),
    ],
)
def test_grey_it_has_as_many_parameters_as_the_table(width: int, blocks: int, scale: int, count: int) -> None:
    assert parameters(nafnet_of(width=width, blocks=blocks, scale=scale)) == count


@pytest.mark.parametrize(("channels", "scale"), [(1, 3), (3, 2), (3, 4)])
def test_parameters_are_those_of_the_formula_for_any_channels(channels: int, scale: int) -> None:
    planes = channels * scale**2
    body = 16 * (7 * 48**2 + 33 * 48)
    count = 9 * channels * 48 + 48 + body + 9 * 48 * planes + planes
    assert parameters(nafnet_of(channels=channels, scale=scale)) == count


@pytest.mark.parametrize(
    ("width", "blocks", "scale", "gmac"), [(48, 16, 2, 55), (48, 16, 4, 14), (64, 32, 2, 190), (64, 32, 4, 48)]
)
def test_grey_it_costs_as_many_multiplications_as_the_table(width: int, blocks: int, scale: int, gmac: int) -> None:
    network = nafnet_of(width=width, blocks=blocks, scale=scale, global_residual="none")
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 1, 720 // scale, 1280 // scale, device="meta"))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_has_the_keys_of_nafssr(residual: str) -> None:
    layers = ["conv1", "conv2", "conv3", "sca.1", "conv4", "conv5", "norm1", "norm2"]
    block = ["beta", "gamma", *(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))]
    body = [f"body.{i}.module.blk.{name}" for i in range(2) for name in block]
    wanted = ["intro.weight", "intro.bias", *body, "up.0.weight", "up.0.bias"]
    assert list(nafnet_of(blocks=2, global_residual=residual).state_dict()) == wanted


def test_a_fresh_block_is_the_identity_and_learns_by_its_two_factors() -> None:
    block, x = NAFBlock(width=4), torch.rand(1, 4, 5, 6)
    assert torch.equal(block(x), x)
    (block(x) * torch.randn_like(x)).sum().backward()
    assert {name for name, one in block.named_parameters() if one.grad is not None and one.grad.any()} == (
        {"beta", "gamma"}
    )


def test_fresh_and_without_the_skip_it_adds_one_convolution_of_another_to_bilinear() -> None:
    network, lr = NAFNet(width=4, blocks=3, scale=3, global_residual="none"), torch.rand(1, 1, 4, 5)
    bilinear = functional.interpolate(lr, scale_factor=3, mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(lr), network.up(network.intro(lr)) + bilinear, rtol=0, atol=1e-6)


def test_the_gate_multiplies_the_first_half_of_the_channels_with_the_second() -> None:
    x = torch.tensor([2.0, 3.0, 5.0, 7.0])[None, :, None, None]
    assert gate(x).flatten().tolist() == [10, 21]


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, blocks: int, scale: int) -> Tensor:
    def conv(name: str, x: Tensor, groups: int = 1) -> Tensor:
        weight = weights[f"{name}.weight"]
        return functional.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2, groups=groups)

    def norm(name: str, x: Tensor) -> Tensor:
        spread = x.var(dim=1, correction=0, keepdim=True)
        normal = (x - x.mean(dim=1, keepdim=True)) / (spread + 1e-6).sqrt()
        return weights[f"{name}.weight"][:, None, None] * normal + weights[f"{name}.bias"][:, None, None]

    def half(x: Tensor) -> Tensor:
        middle = x.shape[1] // 2
        return x[:, :middle] * x[:, middle:]

    x = conv("intro", lr)
    for i in range(blocks):
        block = f"body.{i}.module.blk"
        seen = conv(f"{block}.conv1", norm(f"{block}.norm1", x))
        seen = half(conv(f"{block}.conv2", seen, groups=seen.shape[1]))
        seen = seen * conv(f"{block}.sca.1", seen.mean(dim=(2, 3), keepdim=True))
        x = x + weights[f"{block}.beta"] * conv(f"{block}.conv3", seen)
        seen = half(conv(f"{block}.conv4", norm(f"{block}.norm2", x)))
        x = x + weights[f"{block}.gamma"] * conv(f"{block}.conv5", seen)
    return functional.pixel_shuffle(conv("up.0", x), scale)


@pytest.mark.parametrize("scale", [2, 3])
def test_the_network_is_its_formula_and_the_skip_is_added(scale: int) -> None:
    network = lively(NAFNet(width=4, blocks=2, scale=scale, channels=2, global_residual="none"))
    lr = torch.rand(2, 2, 5, 7, dtype=torch.float64)
    wanted = by_formula(network.state_dict(), lr, blocks=2, scale=scale)
    bilinear = functional.interpolate(lr, size=(5 * scale, 7 * scale), mode="bilinear")
    torch.testing.assert_close(network(lr), wanted + bilinear, rtol=0, atol=1e-10)
    skipping = NAFNet(width=4, blocks=2, scale=scale, channels=2).double()
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=scale)(lr), rtol=0, atol=1e-10)


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "blocks"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        NAFNet(**{argument: 0})  # type: ignore[arg-type]


def test_an_unknown_residual_is_refused() -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="global_residual(?s:.*)odd"):
        NAFNet(global_residual="odd")  # type: ignore[arg-type]
