"""Blocks of the U-Net: legal group counts, their formula, and where the gate sits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.attention import CBAM
from coresr_models.unet_blocks import InstanceNorm, block_of, groups_of
from tests.models.unet_formula import block_by_formula, leaky


@pytest.mark.parametrize("width", range(1, 131))
def test_groups_are_legal_for_any_width_and_hold_four_channels_or_are_one(width: int) -> None:
    groups = groups_of(width)
    nn.GroupNorm(groups, width)
    assert groups == 1 or width // groups >= 4
    larger = [g for g in (2, 4, 8, 16, 32) if g > groups and width % g == 0 and width // g >= 4]
    assert not larger


def test_groups_of_the_usual_widths() -> None:
    assert {width: groups_of(width) for width in (4, 8, 16, 24, 48, 64, 96, 128, 512)} == (
        {4: 1, 8: 2, 16: 4, 24: 4, 48: 8, 64: 16, 96: 16, 128: 32, 512: 32}
    )


def lively(width_in: int, width: int, *form: Any) -> tuple[nn.Module, dict[str, Tensor]]:
    """A block in float64 with nothing at zero, and its tensors as those of "block"."""
    block = block_of(width_in, width, *form).double().eval()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return block, {f"block.{key}": tensor for key, tensor in block.state_dict().items()}


norms = pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
blocks = pytest.mark.parametrize("block", ["plain", "residual"])


@norms
@blocks
@pytest.mark.parametrize("width_in", [3, 8])
def test_a_block_is_its_formula(norm: str, block: str, width_in: int) -> None:
    one, weights = lively(width_in, 8, norm, block, "none")
    x = torch.randn(2, width_in, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(one(x), block_by_formula(weights, "block", x, norm=norm, block=block))


def test_only_a_residual_block_that_changes_its_width_has_a_skip_of_its_own() -> None:
    keys = {width: [*block_of(width, 4, "none", "residual", "none").state_dict()] for width in (3, 4)}
    assert set(keys[3]) - set(keys[4]) == {"skip.weight", "skip.bias"}


@norms
@blocks
def test_convolutions_have_biases_exactly_where_no_norm_follows(norm: Any, block: Any) -> None:
    one = block_of(3, 4, norm, block, "none")
    biases = [
        module.bias is not None
        for module in one.modules()
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3)
    ]
    assert biases == [norm == "none"] * 2


@norms
@blocks
def test_the_gate_comes_after_the_second_activation_or_before_the_sum(norm: str, block: str) -> None:
    one, weights = lively(3, 8, norm, block, "cbam")
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    gate = next(module for module in one.modules() if isinstance(module, CBAM))
    ungated = block_by_formula(weights, "block", x, norm=norm, block=block)
    if block == "plain":
        wanted = gate(ungated)
    else:
        past = functional.conv2d(x, weights["block.skip.weight"], weights["block.skip.bias"])
        body_scale = 0.2 if norm == "none" else 1.0
        body = (torch.where(ungated > 0, ungated, 5 * ungated) - past) / body_scale
        wanted = leaky(body_scale * gate(body) + past)
    assert (wanted - ungated).abs().max() > 1e-3
    torch.testing.assert_close(one(x), wanted)


def test_instance_normalisation_is_torchs_and_of_one_pixel_leaves_the_bias() -> None:
    ours, torchs = InstanceNorm(6, affine=True).double(), nn.InstanceNorm2d(6, affine=True).double()
    with torch.no_grad():
        for one, other in zip(ours.parameters(), torchs.parameters(), strict=True):
            other.copy_(one.normal_())
    x = torch.randn(2, 6, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(x), torchs(x))
    torch.testing.assert_close(ours(x[..., :1, :1]), ours.bias.expand(2, 6)[..., None, None])
