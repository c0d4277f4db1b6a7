"""SRCNN: published sizes, how far it sees, and the formula written out once more."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.srcnn import SRCNN, _lr_reach


def srcnn_of(middle_kernel: int, *, scale: int = 2, channels: int = 1) -> SRCNN:
    with torch.device("meta"):
        return SRCNN(middle_kernel=middle_kernel, scale=scale, channels=channels)


@pytest.mark.parametrize(("middle_kernel", "count"), [(1, 8_032), (3, 24_416), (5, 57_184)])
def test_the_three_networks_have_as_many_weights_as_published(middle_kernel: int, count: int) -> None:
    layers = dict(srcnn_of(middle_kernel).named_parameters())
    assert sum(layer.numel() for name, layer in layers.items() if name.endswith("weight")) == count
    assert sum(layer.numel() for name, layer in layers.items() if name.endswith("bias")) == 64 + 32 + 1


@pytest.mark.parametrize(("middle_kernel", "radius"), [(1, 6), (3, 7), (5, 8)])
def test_it_sees_as_far_as_its_three_kernels_on_the_bicubic_image(middle_kernel: int, radius: int) -> None:
    assert SRCNN().scale == 2
    for scale in (1, 2, 3):
        assert srcnn_of(middle_kernel, scale=scale).receptive_field == _lr_reach(radius, scale)


def test_in_colour_the_first_and_the_last_layer_grow_threefold() -> None:
    count = sum(parameter.numel() for parameter in srcnn_of(1, channels=3).parameters())
    assert count == 3 * (81 * 64 + 32 * 25 + 1) + 64 + 64 * 32 + 32


BICUBIC = 25
"""Multiplications of the fixed convolution before it, per HR pixel."""


@pytest.mark.parametrize("scale", [2, 4])
def test_the_widest_costs_as_many_multiplications_as_published_at_any_scale(scale: int) -> None:
    network = srcnn_of(5, scale=scale)
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 1, 720 // scale, 1280 // scale, device="meta"))
    own = flops.get_total_flops() / 2 - BICUBIC * 1280 * 720
    assert own == 57_184 * 1280 * 720
    assert own / 1e9 == pytest.approx(52.7, abs=0.05)


def test_the_layers_are_named_as_in_the_paper() -> None:
    names = [f"conv{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias")]
    assert list(SRCNN().state_dict()) == names
    assert list(SRCNN(global_residual="none").state_dict()) == names


def by_formula(weights: dict[str, Tensor], image: Tensor, kernels: tuple[int, int, int]) -> Tensor:
    for i, kernel in enumerate(kernels, start=1):
        edge = kernel // 2
        image = functional.pad(image, (edge,) * 4, "replicate")
        image = functional.conv2d(image, weights[f"conv{i}.weight"], weights[f"conv{i}.bias"])
        image = image.clamp(min=0) if i < 3 else image
    return image


@pytest.mark.parametrize("middle_kernel", [1, 5])
def test_the_network_is_its_formula_on_the_bicubic_image(middle_kernel: int) -> None:
    network = SRCNN(scale=3, channels=2, width=6, middle_width=5, middle_kernel=middle_kernel, global_residual="none")
    lr, bicubic = torch.rand(1, 2, 4, 6, dtype=torch.float64), Bicubic(scale=3)
    wanted = by_formula(network.double().state_dict(), bicubic(lr), (9, middle_kernel, 5))
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-12)
    skipping = SRCNN(scale=3, channels=2, width=6, middle_width=5, middle_kernel=middle_kernel).double()
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + bicubic(lr), rtol=0, atol=1e-12)


def test_edges_are_replicated_so_that_a_flat_image_stays_flat() -> None:
    sr = SRCNN(width=6, middle_width=4, global_residual="none")(torch.full((1, 1, 5, 5), 0.6))
    torch.testing.assert_close(sr, sr[..., :1, :1].expand_as(sr), rtol=0, atol=1e-6)
    assert sr.any()


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("radius", [0, 1, 4, 6, 8, 11])
def test_the_reach_counts_the_pixels_that_bicubic_reads_for_the_outermost(scale: int, radius: int) -> None:
    centre, size = 20, 41
    # column i: which HR pixels LR pixel i is felt in
    felt = Bicubic(scale=scale)(torch.eye(size).double()[:, None, None])[:, 0, 0].abs() > 1e-12
    reach = 0
    for at in range(scale * centre, scale * (centre + 1)):
        read = felt[:, max(0, at - radius) : at + radius + 1].any(dim=1).nonzero()
        reach = max(reach, int((read - centre).abs().max()))
    assert _lr_reach(radius, scale) == reach


def test_weights_start_as_he_says_with_zero_biases_and_a_zero_head_under_the_skip() -> None:
    for name, tensor in SRCNN(middle_kernel=5).named_parameters():
        if name.endswith("bias") or name.startswith("conv3"):
            assert not tensor.any(), name
        else:
            assert tensor.std().item() * math.sqrt(tensor[0].numel() / 2) == pytest.approx(1, rel=0.05), name
    assert SRCNN(global_residual="none").conv3.weight.any()


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "middle_width"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        SRCNN(**{argument: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel", [0, 2, -1])
def test_a_kernel_without_a_centre_is_refused(kernel: int) -> None:
    with pytest.raises(ValueError, match=f"^middle_kernel must be odd and 1 or more, got {kernel}$"):
        SRCNN(middle_kernel=kernel)


def test_an_unknown_residual_is_refused() -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="global_residual(?s:.*)odd"):
        SRCNN(global_residual="odd")  # type: ignore[arg-type]
