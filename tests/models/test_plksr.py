"""PLKSR and RealPLKSR: published sizes, the authors' keys, and the formulas written out once more."""

from typing import Any

import pytest
import torch
from einops import rearrange
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import Bicubic
from coresr_models.plksr import PLKSR, LargeKernel, RealPLKSR

TINY: dict[str, Any] = {"blocks": 12, "kernel": 13, "attention": False}
"""PLKSR-tiny."""

both = pytest.mark.parametrize("kind", [PLKSR, RealPLKSR])


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def meta(kind: type[PLKSR | RealPLKSR], **arguments: Any) -> PLKSR | RealPLKSR:
    with torch.device("meta"):
        return kind(**arguments)


@pytest.mark.parametrize(("scale", "count"), [(2, 7_359_556), (4, 7_366_480)])
def test_grey_it_has_as_many_parameters_as_the_table(scale: int, count: int) -> None:
    assert parameters(meta(PLKSR, scale=scale)) == count
    for norm in ("group", "layer"):  # a gain and a shift for each channel of each block
        assert parameters(meta(RealPLKSR, scale=scale, norm=norm)) == count + 28 * 2 * 64


@pytest.mark.parametrize(
    ("kind", "arguments", "scale", "millions", "gmac"),
    [
        (PLKSR, {}, 2, 7.37, 1695),
        (PLKSR, {}, 4, 7.39, 425),
        (PLKSR, TINY, 2, 2.35, 541),
        (PLKSR, TINY, 4, 2.37, 136),
        (RealPLKSR, {"norm": "layer"}, 2, 7.37, 1695),
        (RealPLKSR, {"norm": "layer"}, 4, 7.39, 425),
    ],
)
def test_in_colour_it_has_the_parameters_and_the_cost_published(
    kind: type[PLKSR | RealPLKSR], arguments: dict[str, Any], scale: int, millions: float, gmac: int
) -> None:
    network = meta(kind, scale=scale, channels=3, global_residual="none", **arguments)
    assert parameters(network) / 1e6 == pytest.approx(millions, abs=0.0055)
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 3, 720 // scale, 1280 // scale, device="meta"))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


def keys(block: list[str], *, last: int) -> list[str]:
    layers = ["feats.0", *(f"feats.{i}.{layer}" for i in (1, 2) for layer in block), f"feats.{last}"]
    return [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_of_plksr_has_the_keys_of_the_authors_with_their_spelling(residual: str) -> None:
    block = ["channe_mixer.0", "channe_mixer.2", "lk.conv", "attn.f.0", "refine"]
    state = meta(PLKSR, blocks=2, global_residual=residual).state_dict()
    assert list(state) == keys(block, last=3)
    assert list(meta(PLKSR, blocks=2, attention=False).state_dict()) == keys([*block[:3], "refine"], last=3)


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_the_state_dict_of_realplksr_has_the_keys_of_the_authors_and_a_place_for_a_dropout(residual: str) -> None:
    block = ["channel_mixer.0", "channel_mixer.2", "lk.conv", "attn.f.0", "refine"]
    group = meta(RealPLKSR, blocks=2, norm="group", global_residual=residual).state_dict()
    assert list(group) == keys([*block, "norm"], last=4)
    layer = meta(RealPLKSR, blocks=2, norm="layer", global_residual=residual).state_dict()
    assert list(layer) == keys(["layer_norm", *block], last=4)


def test_the_large_kernel_convolves_the_first_channels_and_hands_on_the_others() -> None:
    layer, x = LargeKernel(width=2, kernel=5), torch.rand(1, 5, 6, 7)
    before = x.clone()
    seen = layer(x)
    assert torch.equal(seen[:, 2:], x[:, 2:])
    torch.testing.assert_close(seen[:, :2], functional.conv2d(x[:, :2], layer.conv.weight, layer.conv.bias, padding=2))
    assert torch.equal(x, before)


@pytest.mark.parametrize(("width", "split", "part"), [(64, 0.25, 16), (10, 0.25, 2), (8, 1.0, 8)])
@both
def test_the_split_says_how_many_channels_that_are(
    kind: type[PLKSR | RealPLKSR], width: int, split: float, part: int
) -> None:
    arguments: dict[str, Any] = {"norm": "layer"} if kind is RealPLKSR else {}
    network = meta(kind, width=width, split=split, blocks=1, kernel=3, **arguments)
    assert network.state_dict()["feats.1.lk.conv.weight"].shape == (part, part, 3, 3)


@both
def test_without_the_skip_zero_planes_give_the_nearest_neighbours(kind: type[PLKSR | RealPLKSR]) -> None:
    network, lr = kind(scale=3, channels=2, width=8, blocks=1, kernel=3, global_residual="none"), torch.rand(2, 2, 4, 5)
    with torch.no_grad():
        for parameter in network.feats[-1].parameters():
            parameter.zero_()
    assert torch.equal(network(lr), lr.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3))


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, kind: str, blocks: int, scale: int) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return functional.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def affine(name: str, x: Tensor) -> Tensor:
        return weights[f"{name}.weight"][:, None, None] * x + weights[f"{name}.bias"][:, None, None]

    def normal(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
        spread = x.var(dim=dims, correction=0, keepdim=True)
        return (x - x.mean(dim=dims, keepdim=True)) / (spread + eps).sqrt()

    mixer = "channe_mixer" if kind == "plain" else "channel_mixer"
    x = conv("feats.0", lr)
    for i in range(1, blocks + 1):
        seen = affine(f"feats.{i}.layer_norm", normal(x, (1,), 1e-6)) if kind == "layer" else x
        seen = conv(f"feats.{i}.{mixer}.0", seen)
        gauss = 0.5 * seen * (1 + torch.erf(seen / 2**0.5))
        seen = gauss if kind == "plain" else seen * torch.tanh(torch.log1p(torch.exp(seen)))
        seen = conv(f"feats.{i}.{mixer}.2", seen)
        part = weights[f"feats.{i}.lk.conv.weight"].shape[0]
        seen = torch.cat([conv(f"feats.{i}.lk.conv", seen[:, :part]), seen[:, part:]], dim=1)
        seen = conv(f"feats.{i}.refine", seen / (1 + torch.exp(-conv(f"feats.{i}.attn.f.0", seen))))
        if kind == "group":
            groups = rearrange(seen, "b (g c) h w -> b g c h w", g=4)
            seen = affine(f"feats.{i}.norm", normal(groups, (2, 3, 4), 1e-5).flatten(1, 2))
        x = x + seen
    last = blocks + 1 + (kind != "plain")
    return functional.pixel_shuffle(conv(f"feats.{last}", x), scale)


@pytest.mark.parametrize("kind", ["plain", "group", "layer"])
def test_the_network_is_its_formula_and_the_skip_takes_the_place_of_the_neighbours(kind: str) -> None:
    def network_of(residual: str) -> nn.Module:
        arguments: dict[str, Any] = {"scale": 3, "channels": 2, "width": 8, "blocks": 2, "kernel": 5}
        if kind != "plain":
            return RealPLKSR(norm=kind, global_residual=residual, **arguments).double()  # type: ignore[arg-type]
        return PLKSR(global_residual=residual, **arguments).double()  # type: ignore[arg-type]

    network, lr = network_of("none"), torch.rand(2, 2, 5, 7, dtype=torch.float64)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    wanted = by_formula(network.state_dict(), lr, kind=kind, blocks=2, scale=3)
    nearest = lr.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    torch.testing.assert_close(network(lr), wanted + nearest, rtol=1e-9, atol=1e-9)
    skipping = network_of("bicubic")
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + Bicubic(scale=3)(lr), rtol=1e-9, atol=1e-9)


@both
def test_weights_are_drawn_narrow_where_the_authors_draw_them_so(kind: type[PLKSR | RealPLKSR]) -> None:
    drawn = {"feats.0", "lk.conv", "attn.f.0", "refine", "mixer.2", "feats.3" if kind is PLKSR else "feats.4"}
    for name, tensor in kind(blocks=2, global_residual="none", channels=3).named_parameters():
        if tensor.ndim < 4:
            continue
        narrow = any(name.endswith(f"{one}.weight") for one in drawn)
        # PyTorch draws uniformly up to one over the root of the inputs
        deviation = 0.02 if narrow else (3 * tensor[0].numel()) ** -0.5
        assert tensor.std().item() == pytest.approx(deviation, rel=0.1), name


@both
def test_only_the_last_convolution_starts_at_zero_and_only_with_the_skip(kind: type[PLKSR | RealPLKSR]) -> None:
    zeros = [name for name, tensor in kind(width=8, blocks=1).named_parameters() if not tensor.any()]
    last = "feats.2" if kind is PLKSR else "feats.3"
    shift = [] if kind is PLKSR else ["feats.1.layer_norm.bias"]
    assert zeros == [*shift, f"{last}.weight", f"{last}.bias"]
    bare = kind(width=8, blocks=1, global_residual="none").named_parameters()
    assert [name for name, tensor in bare if not tensor.any()] == shift


@both
@pytest.mark.parametrize("argument", ["scale", "channels", "width", "blocks"])
def test_counts_below_one_are_refused(kind: type[PLKSR | RealPLKSR], argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        kind(**{argument: 0})  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("kernel", [0, 16])
def test_a_kernel_without_a_centre_is_refused(kind: type[PLKSR | RealPLKSR], kernel: int) -> None:
    with pytest.raises(ValueError, match=f"^kernel must be odd and 1 or more, got {kernel}$"):
        kind(kernel=kernel)


@both
@pytest.mark.parametrize("split", [0.1, 0.0, -0.5, 1.5])
def test_a_split_without_channels_or_with_too_many_is_refused(kind: type[PLKSR | RealPLKSR], split: float) -> None:
    with pytest.raises(ValueError, match=f"^split must leave 1 to 8 of 8 channels to the large kernel, got {split}$"):
        kind(width=8, split=split)


def test_a_width_that_four_groups_do_not_divide_is_refused_and_taken_with_layer_normalisation() -> None:
    with pytest.raises(ValueError, match="^width must be a multiple of 4 with norm='group', got 6; take norm='layer'$"):
        RealPLKSR(width=6, norm="group")
    assert RealPLKSR(width=6, blocks=1, norm="layer").receptive_field == 13
    assert RealPLKSR(width=8, blocks=1, norm="group").receptive_field is None


@pytest.mark.parametrize("argument", ["norm", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        RealPLKSR(**{argument: "odd"})  # type: ignore[arg-type]
