"""SwinIR: published sizes and keys, windows and who sees whom in them, and attention written out once more."""

import math
from typing import Any, TypeVar

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.blocks import RGB_MEAN, Bicubic
from coresr_models.swinir import Block, SwinIR, WindowAttention, partition, pixels_apart, relative_positions, reverse
from tests.models.swinir_formula import attention_by_formula, by_formula

Module = TypeVar("Module", bound=nn.Module)

LIGHT: dict[str, Any] = {}
MEDIUM: dict[str, Any] = {"width": 180, "stages": 6, "tail": "staged"}
TINY: dict[str, Any] = {"width": 8, "stages": 2, "depth": 3, "heads": 2, "window": 4, "mlp_ratio": 1.5}


def swinir_of(**arguments: Any) -> SwinIR:
    with torch.device("meta"):
        return SwinIR(**arguments)


def lively(module: Module) -> Module:
    """In float64, with nothing at zero and biases that matter."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize(
    ("size", "channels", "scale", "count"),
    [
        (LIGHT, 3, 2, 910_152),
        (LIGHT, 3, 4, 929_628),
        (LIGHT, 1, 2, 904_744),
        (LIGHT, 1, 4, 911_236),
        (MEDIUM, 3, 2, 11_752_487),
        (MEDIUM, 3, 4, 11_900_199),
        (MEDIUM, 1, 2, 11_748_093),
        (MEDIUM, 1, 4, 11_895_805),
    ],
)
def test_parameters_are_as_many_as_published(size: dict[str, Any], channels: int, scale: int, count: int) -> None:
    network = swinir_of(channels=channels, scale=scale, **size)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(
    ("size", "scale", "gmac"), [(LIGHT, 2, 241), (LIGHT, 4, 63), (MEDIUM, 2, 2872), (MEDIUM, 4, 770)]
)
def test_multiplications_are_as_many_as_published(size: dict[str, Any], scale: int, gmac: int) -> None:
    """For 720p, whose 180 LR rows at ×4 are padded to 184."""
    network = swinir_of(channels=3, scale=scale, global_residual="none", **size)
    height = 8 * math.ceil(720 / scale / 8)
    with FlopCounterMode(display=False) as flops:
        network(torch.empty(1, 3, height, 1280 // scale, device="meta"))
    assert flops.get_total_flops() / 2e9 == pytest.approx(gmac, abs=0.5)


BLOCK = [
    *("norm1.weight", "norm1.bias"),
    *("attn.relative_position_bias_table", "attn.relative_position_index"),
    *(f"attn.{layer}.{kind}" for layer in ("qkv", "proj") for kind in ("weight", "bias")),
    *(f"{layer}.{kind}" for layer in ("norm2", "mlp.fc1", "mlp.fc2") for kind in ("weight", "bias")),
]


@pytest.mark.parametrize("residual", ["bicubic", "none"])
@pytest.mark.parametrize(
    ("tail", "layers"),
    [("direct", ["upsample.0"]), ("staged", ["conv_before_upsample.0", "upsample.0", "upsample.2", "conv_last"])],
)
def test_keys_are_the_official_ones_without_masks(tail: str, layers: list[str], residual: str) -> None:
    def both(*names: str) -> list[str]:
        return [f"{name}.{kind}" for name in names for kind in ("weight", "bias")]

    wanted = both("conv_first", "patch_embed.norm")
    for i in range(2):
        wanted += [f"layers.{i}.residual_group.blocks.{j}.{key}" for j in range(3) for key in BLOCK]
        wanted += both(f"layers.{i}.conv")
    wanted += both("norm", "conv_after_body", *layers)
    network = swinir_of(scale=4, stages=2, depth=3, tail=tail, global_residual=residual)
    assert list(network.state_dict()) == wanted


def test_windows_lie_row_by_row_and_come_together_again() -> None:
    image = torch.rand(2, 6, 9, 4)
    windows = partition(image, 3)
    assert windows.shape == (2, 2, 3, 9, 4)
    for y, x in ((0, 0), (1, 0), (1, 2)):
        assert torch.equal(windows[:, y, x], image[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3].flatten(1, 2))
    assert torch.equal(reverse(windows, 3), image)


def test_the_rows_of_the_bias_table_for_a_window_of_two() -> None:
    assert relative_positions(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


@pytest.mark.parametrize("window", [2, 3, 8])
def test_pairs_share_a_row_of_the_bias_table_exactly_if_they_lie_alike(window: int) -> None:
    places = [(i // window, i % window) for i in range(window**2)]
    apart: dict[tuple[int, ...], int] = {}
    for index, row in enumerate(relative_positions(window).tolist()):
        for other, number in enumerate(row):
            distance = tuple(a - b for a, b in zip(places[index], places[other], strict=True))
            assert apart.setdefault(distance, number) == number
    assert sorted(apart.values()) == list(range((2 * window - 1) ** 2))


@pytest.mark.parametrize(("window", "height", "width"), [(4, 8, 12), (4, 4, 4), (3, 6, 3), (2, 4, 4)])
def test_pixels_are_apart_exactly_if_rolling_brought_them_together(window: int, height: int, width: int) -> None:
    half = window // 2
    rows, columns = (torch.arange(size).roll(-half) for size in (height, width))
    places = partition(torch.stack(torch.meshgrid(rows, columns, indexing="ij"), dim=-1)[None].float(), window)[0]
    begins = (places < half)[..., None, :] != (places < half)[..., None, :, :]
    joined = begins.clone()
    joined[:-1, ..., 0] = False  # other windows than the last of an axis hold no two ends of it
    joined[:, :-1, ..., 1] = False
    assert torch.equal(pixels_apart(torch.empty(1, 1, height, width), window), joined.any(dim=-1))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_its_formula_in_every_window_of_every_image(masked: bool) -> None:
    attention = lively(WindowAttention(width=6, heads=2, window=3))
    x = torch.randn(2, 2, 2, 9, 6, dtype=torch.float64)
    apart = pixels_apart(torch.empty(1, 1, 6, 6), 3) if masked else None
    seen = attention(x, apart)
    for image, y, z in torch.cartesian_prod(*(torch.arange(2) for _ in range(3))).tolist():
        mask = None if apart is None else apart[y, z]
        wanted = attention_by_formula(attention.state_dict(), x[image, y, z], 3, mask)
        torch.testing.assert_close(seen[image, y, z], wanted, rtol=0, atol=1e-10)


def test_pixels_that_are_apart_do_not_see_one_another_at_all() -> None:
    attention = lively(WindowAttention(width=6, heads=2, window=4))
    apart = pixels_apart(torch.empty(1, 1, 8, 8), 4)
    x = torch.randn(1, 2, 2, 16, 6, dtype=torch.float64)
    for pixel in range(16):
        poked = x.clone()
        poked[..., pixel, :] += 3
        changed = (attention(poked, apart) != attention(x, apart)).any(dim=-1)[0]
        assert torch.equal(changed, ~apart[..., pixel])


@pytest.mark.parametrize("tail", ["direct", "staged"])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_network_is_its_formula_around_the_mean_colour(tail: str, channels: int) -> None:
    network = lively(SwinIR(**TINY, channels=channels, tail=tail, global_residual="none"))  # type: ignore[arg-type]
    lr = torch.rand(1, channels, 8, 4, dtype=torch.float64)
    mean = torch.tensor(RGB_MEAN)[:, None, None].double() if channels == 3 else torch.zeros(1, 1, 1)
    residual = by_formula(network.state_dict(), lr - mean, tail=tail)
    torch.testing.assert_close(network(lr), residual + mean, rtol=1e-9, atol=1e-9)
    skipping = SwinIR(**TINY, channels=channels, tail=tail).double()  # type: ignore[arg-type]
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), residual + Bicubic(scale=2)(lr), rtol=1e-9, atol=1e-9)


def test_moved_by_a_window_the_interior_moves_with_the_image() -> None:
    network = lively(SwinIR(**{**TINY, "stages": 1, "depth": 2}))
    reach, window = network.receptive_field, network.multiple_of
    size = window * math.ceil((2 * reach + 3 * window) / window)
    lr = torch.rand(1, 1, size, size, dtype=torch.float64)
    one, other = network(lr), network(lr.roll((window, window), dims=(2, 3)))
    inside, moved = slice(2 * reach, 2 * (size - reach - window)), slice(2 * (reach + window), 2 * (size - reach))
    assert inside.stop > inside.start
    torch.testing.assert_close(other[..., moved, moved], one[..., inside, inside], rtol=0, atol=1e-12)
    half = network(lr.roll((window // 2, window // 2), dims=(2, 3)))
    shifted = slice(2 * reach + window, 2 * (size - reach - window) + window)
    assert (half[..., shifted, shifted] - one[..., inside, inside]).abs().max() > 1e-3


@pytest.mark.parametrize(
    "changes",
    [
        *({"depth": depth} for depth in (1, 2, 3)),
        *({"window": window, "stages": 1} for window in (2, 3)),
        *({"tail": "staged", "scale": scale, "stages": 1, "depth": 1} for scale in (1, 2, 3, 4)),
    ],
)
def test_the_stated_reach_is_met_to_the_pixel(changes: dict[str, Any]) -> None:
    network = lively(SwinIR(**{**TINY, **changes}, channels=3))
    stated, window, scale = network.receptive_field, network.multiple_of, network.scale
    size = window * math.ceil((2 * stated + window) / window)
    lr = torch.rand(1, 3, size, size, dtype=torch.float64)
    reached = 0
    with torch.no_grad():
        before = network(lr)
        for place in range(size // 2, size // 2 + window):
            poked = lr.clone()
            poked[..., place, place] += 5
            felt = (network(poked) - before)[0].abs().amax(dim=0).nonzero() // scale
            reached = max(reached, int((felt - place).abs().max()))
    assert reached == stated


def test_the_reach_of_the_published_networks() -> None:
    assert swinir_of(**LIGHT).receptive_field == 103
    assert swinir_of(**MEDIUM).receptive_field == 153


def test_linear_layers_and_bias_tables_start_small_and_convolutions_as_torch_draws_them() -> None:
    network = SwinIR(width=64, heads=4, stages=1, depth=2, global_residual="none")
    for name, tensor in network.named_parameters():
        layer = network.get_submodule(name.rpartition(".")[0])
        if isinstance(layer, nn.Conv2d):
            assert tensor.abs().max() <= 1 / math.sqrt(layer.weight[0].numel())
            assert tensor.abs().max() >= 0.7 / math.sqrt(layer.weight[0].numel())
        elif tensor.ndim == 2:
            assert tensor.std().item() == pytest.approx(0.02, rel=0.1), name
        else:
            assert torch.equal(tensor, torch.full_like(tensor, isinstance(layer, nn.LayerNorm) and "weight" in name))


@pytest.mark.parametrize(("tail", "last"), [("direct", "upsample.0"), ("staged", "conv_last")])
def test_the_last_convolution_starts_at_zero_only_with_the_skip(tail: str, last: str) -> None:
    for residual in ("bicubic", "none"):
        network = SwinIR(**TINY, tail=tail, global_residual=residual)  # type: ignore[arg-type]
        convolutions = (name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
        zeros = [name for name in convolutions if not network.get_parameter(f"{name}.weight").any()]
        assert zeros == ([last] if residual == "bicubic" else [])
        assert network.get_parameter(f"{last}.bias").any() == (residual == "none")


def test_a_width_that_the_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^width must be a multiple of heads, 6, got 64; change one of them$"):
        SwinIR(width=64)


@pytest.mark.parametrize("scale", [5, 6, 12])
def test_a_scale_without_stages_is_refused_staged_and_taken_direct(scale: int) -> None:
    with pytest.raises(ValueError, match=f"^scale must be 1, 3 or a power of 2 .*got {scale}; take tail='direct'"):
        SwinIR(**TINY, scale=scale, tail="staged")
    assert SwinIR(**TINY, scale=scale)(torch.rand(1, 1, 4, 8)).shape == (1, 1, 4 * scale, 8 * scale)


def test_another_size_is_refused_with_the_size_and_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"multiple of 8 pixels for this SwinIR, got 12×16; pad it"):
        swinir_of()(torch.empty(1, 1, 12, 16, device="meta"))


@pytest.mark.parametrize("argument", ["scale", "channels", "width", "stages", "depth", "heads"])
def test_counts_below_one_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
        SwinIR(**{argument: 0})  # type: ignore[arg-type]


def test_a_window_of_one_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="^window must be 2 or more, got 1$"):
        SwinIR(window=1)


@pytest.mark.parametrize("argument", ["tail", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        SwinIR(**{argument: "odd"})  # type: ignore[arg-type]


def test_a_shifted_block_alone_rolls_back_what_it_rolled() -> None:
    block = lively(Block(width=4, heads=2, window=4, mlp_ratio=2.0, shift=2))
    with torch.no_grad():
        block.get_parameter("attn.proj.weight").zero_()
        block.get_parameter("attn.proj.bias").zero_()
        block.get_parameter("mlp.fc2.weight").zero_()
        block.get_parameter("mlp.fc2.bias").zero_()
    x = torch.randn(1, 8, 8, 4, dtype=torch.float64)
    assert torch.equal(block(x, pixels_apart(torch.empty(1, 1, 8, 8), 4)), x)
