"""Multiply-adds: two counters agree on every network, and the published figures come out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from coresr_models.build import MODELS, Argument, ModelSpec, build
from coresr_models.commands.listing import SIZE, row
from coresr_models.macs import macs, macs_at, macs_on_meta
from tests.models.specimens import SMALL

PUBLISHED: list[tuple[str, dict[str, Argument], tuple[float, float]]] = [
    ("edsr", {}, (316, 114)),
    ("edsr", {"width": 256, "blocks": 32, "residual_scale": 0.1}, (9385, 2895)),
    ("plksr", {}, (1695, 425)),
    ("plksr", {"blocks": 12, "kernel": 13, "attention": False}, (541, 136)),
    ("rcan", {}, (3527, 917)),
    ("realplksr", {"norm": "layer"}, (1695, 425)),
    ("span", {}, (95, 25)),
    ("swinir", {}, (241, 63)),
    ("swinir", {"width": 180, "stages": 6, "tail": "staged"}, (2872, 770)),
]
"""RGB networks and their multiply-adds in 10⁹ at ×2 and ×4, HR 1280 × 720."""


@pytest.mark.parametrize(("name", "arguments", "gmacs"), PUBLISHED, ids=str)
def test_the_published_figures_come_out(name: str, arguments: dict[str, Argument], gmacs: tuple[float, float]) -> None:
    for scale, wanted in zip((2, 4), gmacs, strict=True):
        fixed: dict[str, Argument] = {"scale": scale, "channels": 3, "global_residual": "none"}
        counted = row(ModelSpec(name=name, arguments={**arguments, **fixed}), SIZE).macs
        assert counted / 1e9 == pytest.approx(wanted, abs=0.5)


def test_rrdbnet_at_four_is_as_published() -> None:
    spec = ModelSpec(name="rrdbnet", arguments={"scale": 4, "channels": 3, "global_residual": "none"})
    found = row(spec, SIZE)
    assert found.macs / 1e9 == pytest.approx(1033, abs=0.5)
    assert found.parameters == 16_697_987


@pytest.mark.parametrize("name", MODELS)
def test_fvcore_and_torch_count_the_same_of_every_network(name: str) -> None:
    pytest.importorskip("fvcore")
    spec = ModelSpec(name=name, arguments=SMALL[name])
    with torch.device("meta"):
        hollow = build(spec).eval()
    network = build(spec)
    size = {"channels": int(SMALL[name].get("channels", 1)), "height": 37, "width": 21}
    assert macs_at(network, **size) == macs_on_meta(hollow, **size) > 0
    assert network.training


class Products(nn.Module):
    """Attention between unequal sets, and products of other kinds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = torch.ones(2, 3, 5, 7), torch.ones(2, 3, 11, 7), torch.ones(2, 3, 11, 13)
        seen = functional.scaled_dot_product_attention(q, k, v).sum()
        summed = torch.einsum("a b, b c d -> a c d", torch.ones(2, 3), torch.ones(3, 4, 5)).sum()
        return x + seen + summed + (torch.ones(6, 4, 5) @ torch.ones(5, 3)).sum()


def test_attention_and_products_are_counted_as_they_are_written() -> None:
    pytest.importorskip("fvcore")
    attention = 2 * 3 * (5 * 11 * 7 + 5 * 11 * 13)
    assert macs(Products(), (1, 1, 1, 1)) == attention + 2 * 3 * 4 * 5 + 6 * 4 * 5 * 3


def test_sides_are_rounded_up_to_what_the_network_takes() -> None:
    with torch.device("meta"):
        network = build(ModelSpec(name="unet", arguments=SMALL["unet"])).eval()
    multiple = network.multiple_of
    assert multiple > 1
    rounded, exact = (
        macs_on_meta(network, channels=1, height=side, width=side) for side in (multiple + 1, 2 * multiple)
    )
    assert rounded == exact
