"""U-Net: parameters and multiplications are those of the published table."""

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.unet import UNet

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


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_normalisation_adds_two_per_channel_less_the_bias(norm: str) -> None:
    assert parameters(unet_of(max_width=UNCAPPED, norm=norm)) - 34_512_193 == 5_888


@pytest.mark.parametrize(
    ("arguments", "percent"),
    [
        ({"block": "residual"}, 4),
        ({"attention": "se"}, 0.6),
        ({"attention": "scse"}, 5),
        ({"attention": "cbam"}, 0.6),
    ],
)
def test_blocks_and_gates_cost_as_many_parameters_as_said(arguments: dict[str, str], percent: float) -> None:
    added = parameters(unet_of(max_width=UNCAPPED, **arguments)) / 34_512_193 - 1
    assert 100 * added == pytest.approx(percent, abs=0.5 if percent > 1 else 0.05)


def formula(width: int, depth: int) -> float:
    """Multiply-adds per HR pixel, without the fixed bicubic convolution."""
    return (67.5 + 58.5 * (depth - 1)) * width**2 + 10 * width


BICUBIC = 25
"""Its five by five taps, per HR pixel."""


@pytest.mark.parametrize(
    ("width", "depth", "gmac"), [(64, 4, 918), (48, 4, 516), (48, 5, 641), (64, 5, 1139), (32, 4, 230), (16, 3, 44)]
)
def test_the_formula_gives_the_published_cost_of_a_720p_image(width: int, depth: int, gmac: int) -> None:
    assert formula(width, depth) * 1280 * 720 / 1e9 == pytest.approx(gmac, abs=0.5)


@pytest.mark.parametrize(("width", "depth", "scale"), [(64, 4, 4), (16, 3, 2), (8, 1, 3)])
def test_the_shuffle_tail_pays_the_formula_per_lr_pixel_but_for_its_head(width: int, depth: int, scale: int) -> None:
    network = unet_of(width=width, depth=depth, scale=scale, max_width=UNCAPPED, tail="shuffle")
    size = 2 * network.multiple_of
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 1, size, size, device="meta"))
    body, head = formula(width, depth) - width, 9 * scale**2 * width
    assert flops.get_total_flops() / 2 / size**2 == body + head + BICUBIC * scale**2
    if (width, depth, scale) == (64, 4, 4):
        assert body * 320 * 180 / 1e9 == pytest.approx(57, abs=0.5)


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
