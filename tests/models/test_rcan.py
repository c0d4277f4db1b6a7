"""RCAN: published sizes, the authors' keys, and the formula written out once more."""

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.rcan import RCAN, ChannelAttention, MeanShift

TINY: dict[str, Any] = {"width": 6, "groups": 2, "blocks": 1, "reduction": 2}


def rcan_of(**arguments: Any) -> RCAN:
    with torch.device("meta"):
        return RCAN(**arguments)


def parameters(network: RCAN) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("scale", "count"), [(2, 15_442_337), (4, 15_590_049)])
def test_grey_it_has_as_many_parameters_as_the_table(scale: int, count: int) -> None:
    assert parameters(rcan_of(scale=scale)) == count


@pytest.mark.parametrize(("scale", "millions", "gmac"), [(2, 15.44, 3527), (4, 15.59, 917)])
def test_in_colour_it_has_the_parameters_and_the_cost_published(scale: int, millions: float, gmac: int) -> None:
    network = rcan_of(scale=scale, channels=3, global_residual="none")
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.005)
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 3, 720 // scale, 1280 // scale, device="meta"))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


def layers_of(*, scale: int) -> list[str]:
    """The keys of the authors' network of two groups of one block, without weight and bias."""
    group = ["body.0.body.0", "body.0.body.2", "body.0.body.3.conv_du.0", "body.0.body.3.conv_du.2", "body.1"]
    groups = [f"body.{g}.{layer}" for g in range(2) for layer in group]
    stages = {1: [], 2: ["tail.0.0"], 3: ["tail.0.0"], 4: ["tail.0.0", "tail.0.2"]}[scale]
    return ["head.0", *groups, "body.2", *stages, "tail.1"]


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_has_the_keys_of_the_authors(scale: int, residual: str) -> None:
    keys = [f"{layer}.{kind}" for layer in layers_of(scale=scale) for kind in ("weight", "bias")]
    assert list(rcan_of(scale=scale, global_residual=residual, **TINY).state_dict()) == keys


def test_normalised_it_holds_the_two_colour_shifts_that_published_files_hold() -> None:
    network = RCAN(channels=3, normalise=True, global_residual="none", **TINY)
    state = network.state_dict()
    assert list(state)[:4] == ["sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"]
    assert torch.equal(state["sub_mean.weight"][..., 0, 0], torch.eye(3))
    torch.testing.assert_close(state["sub_mean.bias"], torch.tensor([-114.444, -111.4605, -103.02]))
    assert torch.equal(state["add_mean.bias"], -state["sub_mean.bias"])
    assert not [name for name, _ in network.named_parameters() if "mean" in name]


def test_the_direct_tail_has_one_convolution() -> None:
    state = rcan_of(scale=4, tail="direct", **TINY).state_dict()
    assert [key for key in state if key.startswith("tail")] == ["tail.1.weight", "tail.1.bias"]
    assert state["tail.1.weight"].shape == (16, 6, 3, 3)


def test_on_a_flat_image_the_gate_is_what_its_two_layers_say() -> None:
    attention = ChannelAttention(width=4, reduction=2)
    weights = [torch.full((2, 4, 1, 1), 0.5), torch.tensor([0.0, -9.0]), torch.ones(4, 2, 1, 1), torch.zeros(4)]
    with torch.no_grad():
        for parameter, value in zip(attention.parameters(), weights, strict=True):
            parameter.copy_(value)
    # the means are 0.25: one hidden unit is 4 · 0.5 · 0.25 = 0.5, the other is cut off; sigmoid(0.5) is 0.6224593
    flat = torch.full((1, 4, 3, 5), 0.25)
    torch.testing.assert_close(attention(flat), 0.6224593 * flat)


def test_the_gate_of_each_image_comes_from_its_mean_alone() -> None:
    attention, x = ChannelAttention(width=4, reduction=1), torch.rand(2, 4, 3, 5)
    shuffled = x.flatten(2)[..., torch.randperm(15)].view(x.shape)
    torch.testing.assert_close(attention(x) / x, (attention(shuffled) / shuffled)[..., :1, :1].expand_as(x))


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, tail: str, groups: int, blocks: int) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return functional.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    head = conv("head.0", lr)
    x = head
    for g in range(groups):
        entry = x
        for b in range(blocks):
            block = f"body.{g}.body.{b}.body"
            seen = conv(f"{block}.2", conv(f"{block}.0", x).clamp(min=0))
            hidden = conv(f"{block}.3.conv_du.0", seen.mean(dim=(2, 3), keepdim=True)).clamp(min=0)
            x = x + seen / (1 + torch.exp(-conv(f"{block}.3.conv_du.2", hidden)))
        x = entry + conv(f"body.{g}.body.{blocks}", x)
    x = head + conv(f"body.{groups}", x)
    if tail == "direct":
        return functional.pixel_shuffle(conv("tail.1", x), 4)
    for stage in (0, 2):
        x = functional.pixel_shuffle(conv(f"tail.0.{stage}", x), 2)
    return conv("tail.1", x)


@pytest.mark.parametrize("tail", ["staged", "direct"])
def test_the_network_is_its_formula_and_the_skip_is_added(tail: str) -> None:
    arguments: dict[str, Any] = {"scale": 4, "width": 6, "groups": 2, "blocks": 3, "reduction": 2, "tail": tail}
    network = RCAN(global_residual="none", **arguments).double()
    lr = torch.rand(2, 1, 5, 7, dtype=torch.float64)
    wanted = by_formula(network.state_dict(), lr, tail=tail, groups=2, blocks=3)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-12)
    skipping = RCAN(**arguments).double()
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=4)(lr), rtol=0, atol=1e-12)


def test_normalised_it_works_on_255_about_the_mean_colour_and_answers_on_1() -> None:
    arguments: dict[str, Any] = {"scale": 4, "channels": 3, **TINY}
    network = RCAN(normalise=True, global_residual="none", **arguments).double()
    lr = torch.rand(1, 3, 4, 5, dtype=torch.float64)
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).double()[:, None, None]
    detail = by_formula(network.state_dict(), 255 * (lr - mean), tail="staged", groups=2, blocks=1) / 255
    torch.testing.assert_close(network(lr), detail + mean, rtol=0, atol=1e-6)
    skipping = RCAN(normalise=True, **arguments).double()
    skipping.load_state_dict({key: value for key, value in network.state_dict().items() if "add_mean" not in key})
    torch.testing.assert_close(skipping(lr), detail + Bicubic(scale=4)(lr), rtol=0, atol=1e-6)


def test_the_colour_shift_keeps_its_grey_levels_under_autocast() -> None:
    shift, image = MeanShift(sign=-1), 255 * torch.rand(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(shift(image), shift(image.clone()))
        mixed = shift(image)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, shift(image))


def test_only_the_last_convolution_starts_at_zero_and_only_with_the_skip() -> None:
    zeros = {name for name, tensor in RCAN(**TINY).named_parameters() if not tensor.any()}
    assert zeros == {"tail.1.weight", "tail.1.bias"}
    assert all(tensor.any() for tensor in RCAN(global_residual="none", **TINY).parameters())


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "groups", "blocks", "reduction"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        RCAN(**{argument: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize("argument", ["tail", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        RCAN(**{argument: "odd"})  # type: ignore[arg-type]


def test_attention_that_would_keep_no_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="^reduction must be at most the width 8, got 16$"):
        RCAN(width=8)
    assert RCAN(width=4, reduction=4, groups=1, blocks=1)(torch.rand(1, 1, 3, 3)).shape == (1, 1, 6, 6)


def test_a_mean_colour_for_grey_images_is_refused() -> None:
    with pytest.raises(ValueError, match="^channels must be 3 with normalise=True, got 1; the mean is a colour$"):
        RCAN(normalise=True, **TINY)


def test_a_scale_without_stages_is_refused_staged_and_taken_direct() -> None:
    with pytest.raises(ValueError, match="^scale must be 1, 3 or a power of 2 .*got 6; take tail='direct'"):
        RCAN(scale=6, **TINY)
    assert RCAN(scale=6, tail="direct", **TINY)(torch.rand(1, 1, 2, 3)).shape == (1, 1, 12, 18)
