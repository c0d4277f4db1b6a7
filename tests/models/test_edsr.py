"""EDSR: published sizes, BasicSR's keys, and the formula written out once more."""

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.edsr import EDSR


def parameters(network: EDSR) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("channels", "scale", "count"),
    [(1, 2, 1_367_553), (1, 4, 1_515_265), (3, 2, 1_369_859), (3, 4, 1_517_571)],
)
def test_the_baseline_has_as_many_parameters_as_published(channels: int, scale: int, count: int) -> None:
    with torch.device("meta"):
        assert parameters(EDSR(channels=channels, scale=scale)) == count


@pytest.mark.parametrize(("scale", "millions", "gmac"), [(2, 40.73, 9385), (4, 43.09, 2895)])
def test_the_wide_model_has_the_parameters_and_the_cost_published(scale: int, millions: float, gmac: int) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as flops:
        wide = EDSR(channels=3, scale=scale, width=256, blocks=32, residual_scale=0.1, global_residual="none")
        wide(torch.empty(1, 3, 720 // scale, 1280 // scale))
    assert parameters(wide) / 1e6 == pytest.approx(millions, abs=0.005)
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


@pytest.mark.parametrize(("scale", "gmac"), [(2, 316), (4, 114)])
def test_the_baseline_costs_as_many_multiplications_as_published(scale: int, gmac: int) -> None:
    with torch.device("meta"), FlopCounterMode(display=False) as flops:
        EDSR(channels=3, scale=scale, global_residual="none")(torch.empty(1, 3, 720 // scale, 1280 // scale))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


def test_the_state_dict_has_the_keys_of_basicsr() -> None:
    with torch.device("meta"):
        network = EDSR(scale=4, blocks=2, width=8)
    layers = [
        "conv_first",
        "body.0.conv1",
        "body.0.conv2",
        "body.1.conv1",
        "body.1.conv2",
        "conv_after_body",
        "upsample.0",
        "upsample.2",
        "conv_last",
    ]
    assert list(network.state_dict()) == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


def test_the_bicubic_skip_and_the_tail_keep_those_keys() -> None:
    with torch.device("meta"):
        kept = [
            list(EDSR(blocks=1, width=4, global_residual=residual).state_dict()) for residual in ("bicubic", "none")
        ]
        direct = EDSR(blocks=1, width=4, tail="direct").state_dict()
    assert kept[0] == kept[1]
    assert set(direct) == {key for key in kept[0] if not key.startswith("upsample")}
    assert direct["conv_last.weight"].shape == (4, 4, 3, 3)


@pytest.mark.parametrize(
    ("scale", "widths"), [(1, []), (2, [32]), (3, [72]), (4, [32, 32]), (8, [32, 32, 32]), (16, [32] * 4)]
)
def test_the_staged_tail_doubles_step_by_step_and_trebles_at_once(scale: int, widths: list[int]) -> None:
    network = EDSR(scale=scale, width=8, blocks=1)
    shapes = [tensor.shape for name, tensor in network.state_dict().items() if name.startswith("upsample")]
    assert [shape[0] for shape in shapes[::2]] == widths
    assert network(torch.rand(1, 1, 3, 5)).shape == (1, 1, 3 * scale, 5 * scale)


@pytest.mark.parametrize("scale", [5, 6, 12])
def test_a_scale_without_stages_is_refused_staged_and_taken_direct(scale: int) -> None:
    with pytest.raises(ValueError, match=f"^scale must be 1, 3 or a power of 2 .*got {scale}; take tail='direct'"):
        EDSR(scale=scale, width=4, blocks=1)
    network = EDSR(scale=scale, width=4, blocks=1, tail="direct")
    assert network(torch.rand(1, 1, 2, 3)).shape == (1, 1, 2 * scale, 3 * scale)


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "blocks"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        EDSR(**{argument: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["tail", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        EDSR(**{argument: "odd"})  # type: ignore[arg-type]


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, blocks: int, residual_scale: float, tail: str) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    first = conv("conv_first", lr)
    x = first
    for i in range(blocks):
        x = x + residual_scale * conv(f"body.{i}.conv2", conv(f"body.{i}.conv1", x).clamp(min=0))
    x = first + conv("conv_after_body", x)
    if tail == "direct":
        return functional.pixel_shuffle(conv("conv_last", x), 4)
    for stage in (0, 2):
        x = functional.pixel_shuffle(conv(f"upsample.{stage}", x), 2)
    return conv("conv_last", x)


@pytest.mark.parametrize("tail", ["staged", "direct"])
def test_the_network_is_its_formula_and_the_skip_is_added_unscaled(tail: str) -> None:
    network = EDSR(scale=4, width=6, blocks=3, residual_scale=0.3, tail=tail, global_residual="none").double()  # type: ignore[arg-type]
    lr = torch.rand(2, 1, 5, 7, dtype=torch.float64)
    wanted = by_formula(network.state_dict(), lr, blocks=3, residual_scale=0.3, tail=tail)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-12)
    skipping = EDSR(scale=4, width=6, blocks=3, residual_scale=0.3, tail=tail).double()  # type: ignore[arg-type]
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=4)(lr), rtol=0, atol=1e-12)


def test_only_the_last_convolution_starts_at_zero_and_only_with_the_skip() -> None:
    zeros = {name for name, tensor in EDSR(width=8, blocks=1).named_parameters() if not tensor.any()}
    assert zeros == {"conv_last.weight", "conv_last.bias"}
    assert all(tensor.any() for tensor in EDSR(width=8, blocks=1, global_residual="none").parameters())
