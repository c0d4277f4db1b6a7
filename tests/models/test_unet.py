"""U-Net: table of sizes and cost, legal group counts, and the formula written out once more."""

import math
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.unet import UNet, _groups

UNCAPPED = 1 << 20


def unet_of(**arguments: Any) -> UNet:
    with torch.device("meta"):
        return UNet(**arguments)


def parameters(network: UNet) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("width", "depth", "count"),
    [
        (16, 3, 535_505),
        (32, 4, 8_629_921),
        (48, 4, 19_414_513),
        (48, 5, 77_812_465),
        (64, 4, 34_512_193),
        (64, 5, 138_328_385),
    ],
)
def test_parameters_are_those_of_the_table(width: int, depth: int, count: int) -> None:
    assert parameters(unet_of(width=width, depth=depth, max_width=UNCAPPED)) == count


@pytest.mark.parametrize(
    ("width", "depth", "millions"),
    [(16, 4, 2.16), (16, 5, 8.65), (32, 3, 2.14), (32, 5, 34.59), (48, 3, 4.81), (64, 3, 8.56)],
)
def test_parameters_agree_with_the_rounded_table(width: int, depth: int, millions: float) -> None:
    assert parameters(unet_of(width=width, depth=depth, max_width=UNCAPPED)) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(("width", "millions"), [(16, 2.16), (32, 8.63), (48, 14.70), (64, 22.71)])
def test_widths_stop_at_512_unless_told(width: int, millions: float) -> None:
    assert parameters(unet_of(width=width)) / 1e6 == pytest.approx(millions, abs=0.006)


def test_group_normalisation_adds_two_per_channel_less_the_bias() -> None:
    plain, normed = (parameters(unet_of(max_width=UNCAPPED, norm=norm)) for norm in ("none", "group"))
    assert normed - plain == 5_888


def formula(width: int, depth: int) -> float:
    """Multiply-adds per HR pixel, without the fixed bicubic convolution."""
    return (67.5 + 58.5 * (depth - 1)) * width**2 + 10 * width


BICUBIC = 25
"""Its five by five taps, per HR pixel."""


@pytest.mark.parametrize(("width", "depth", "scale"), [(64, 4, 2), (16, 3, 4), (48, 5, 2), (8, 1, 3)])
def test_multiplications_per_pixel_are_those_of_the_formula(width: int, depth: int, scale: int) -> None:
    network = unet_of(width=width, depth=depth, scale=scale, max_width=UNCAPPED)
    size = 2 * network.multiple_of
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 1, size, size, device="meta"))
    assert flops.get_total_flops() / 2 / (scale * size) ** 2 == formula(width, depth) + BICUBIC


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.torch.jit.trace. is deprecated")
def test_fvcore_counts_the_same() -> None:
    counting = pytest.importorskip("fvcore.nn")
    network = UNet(width=8, depth=2).eval()
    count = counting.FlopCountAnalysis(network, torch.rand(1, 1, 8, 8))
    count.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
    assert count.by_operator()["conv"] / 16**2 == formula(8, 2) + BICUBIC


@pytest.mark.parametrize("width", range(1, 131))
def test_groups_are_legal_for_any_width_and_hold_four_channels_or_are_one(width: int) -> None:
    groups = _groups(width)
    nn.GroupNorm(groups, width)
    assert groups == 1 or width // groups >= 4
    larger = [g for g in (2, 4, 8, 16, 32) if g > groups and width % g == 0 and width // g >= 4]
    assert not larger


def test_groups_of_the_usual_widths() -> None:
    assert {width: _groups(width) for width in (4, 8, 16, 24, 48, 64, 96, 128, 512)} == (
        {4: 1, 8: 2, 16: 4, 24: 4, 48: 8, 64: 16, 96: 16, 128: 32, 512: 32}
    )


@pytest.mark.parametrize("width", [5, 12, 48])
def test_odd_widths_run_with_group_normalisation(width: int) -> None:
    assert UNet(width=width, depth=1, norm="group")(torch.rand(1, 1, 2, 3)).isfinite().all()


@pytest.mark.parametrize(
    ("depth", "scale", "multiple"),
    [(4, 2, 8), (4, 4, 4), (4, 3, 16), (5, 2, 16), (2, 8, 1), (3, 6, 4), (1, 1, 2)],
)
def test_lr_sizes_must_be_multiples_of_what_pooling_needs_beyond_the_scale(
    depth: int, scale: int, multiple: int
) -> None:
    network = unet_of(width=4, depth=depth, scale=scale)
    assert network.multiple_of == multiple
    assert scale * multiple % 2**depth == 0
    assert multiple == 1 or scale * (multiple // 2) % 2**depth


@pytest.mark.parametrize("size", [(12, 16), (16, 12), (7, 7)])
def test_another_size_is_refused_with_the_size_and_the_remedy(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"multiple of 8 pixels .*got {size[0]}×{size[1]}; pad it"):
        UNet(width=2)(torch.rand(1, 1, *size))


@pytest.mark.parametrize("argument", ["scale", "channels", "depth", "width", "max_width"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        UNet(**{argument: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["norm", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        UNet(**{argument: "odd"})  # type: ignore[arg-type]


def by_formula(weights: dict[str, Tensor], hr: Tensor, *, depth: int, norm: str) -> Tensor:
    def block(name: str, x: Tensor) -> Tensor:
        for conv, scaling in ((0, 1), (3, 4)) if norm == "group" else ((0, -1), (2, -1)):
            bias = weights.get(f"{name}.{conv}.bias")
            x = functional.conv2d(x, weights[f"{name}.{conv}.weight"], bias, padding=1)
            if norm == "group":
                gain, shift = weights[f"{name}.{scaling}.weight"], weights[f"{name}.{scaling}.bias"]
                x = functional.group_norm(x, _groups(x.shape[1]), gain, shift)
            x = torch.where(x > 0, x, 0.2 * x)
        return x

    levels = [block("encoder.0", hr)]
    for i in range(1, depth + 1):
        tops = levels[-1].unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
        levels.append(block(f"encoder.{i}", tops))
    x = levels.pop()
    for i in reversed(range(depth)):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = functional.conv2d(x, weights[f"grow.{i}.weight"], weights[f"grow.{i}.bias"], padding=1)
        x = block(f"decoder.{i}", torch.cat([levels[i], x], dim=1))
    return functional.conv2d(x, weights["head.weight"], weights["head.bias"])


@pytest.mark.parametrize("norm", ["none", "group"])
def test_the_network_is_its_formula(norm: str) -> None:
    network = UNet(width=8, depth=2, channels=2, norm=norm, global_residual="none").double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    lr = torch.rand(1, 2, 6, 10, dtype=torch.float64)
    bicubic = Bicubic(scale=2)(lr)
    wanted = by_formula(network.state_dict(), bicubic, depth=2, norm=norm)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-10)
    skipping = UNet(width=8, depth=2, channels=2, norm=norm).double()  # type: ignore[arg-type]
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + bicubic, rtol=0, atol=1e-10)


def test_weights_start_as_kaiming_says_with_zero_biases_and_a_zero_head() -> None:
    drawn = []
    for name, tensor in UNet(width=32, depth=2).named_parameters():
        if name.endswith("bias") or name.startswith("head"):
            assert not tensor.any(), name
        else:
            drawn.append(tensor.flatten() * math.sqrt(tensor[0].numel()))
            assert drawn[-1].std().item() == pytest.approx(math.sqrt(2), rel=0.15), name
    assert torch.cat(drawn).std().item() == pytest.approx(math.sqrt(2 / (1 + 0.2**2)), rel=0.005)


def test_the_head_is_random_without_the_skip() -> None:
    assert UNet(width=4, depth=1, global_residual="none").head.weight.any()
