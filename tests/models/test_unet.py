"""U-Net: norms, gates, tails, sizes and reach, and the formula written out once more."""

import math
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn
from torch.nn import functional

from coresr_models.attention import CBAM, SE, ScSE
from coresr_models.blocks import Bicubic
from coresr_models.unet import UNet
from tests.models.unet_formula import by_formula


def unet_of(**arguments: Any) -> UNet:
    with torch.device("meta"):
        return UNet(**arguments)


@pytest.mark.parametrize("width", [1, 5, 12, 48])
@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_odd_widths_run_with_every_normalisation(width: int, norm: str) -> None:
    network = UNet(width=width, depth=1, norm=norm)  # type: ignore[arg-type]
    assert network(torch.rand(1, 1, 2, 3)).isfinite().all()


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


@pytest.mark.parametrize("argument", ["norm", "block", "attention", "attention_at", "tail", "global_residual"])
def test_unknown_words_are_refused(argument: str) -> None:
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match=f"{argument}(?s:.*)odd"):
        UNet(**{argument: "odd"})  # type: ignore[arg-type]


def lively(**arguments: Any) -> UNet:
    """In evaluation, in float64, with nothing at zero and no statistics as they start."""
    network = UNet(**arguments).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in network.named_buffers():
            if "running" in name:
                buffer.add_(0.5 * torch.rand_like(buffer))
    return network


@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance"])
@pytest.mark.parametrize("block", ["plain", "residual"])
def test_the_network_is_its_formula(norm: str, block: str) -> None:
    form: dict[str, Any] = {"width": 8, "depth": 2, "channels": 2, "norm": norm, "block": block}
    network = lively(**form, global_residual="none")
    lr = torch.rand(1, 2, 6, 10, dtype=torch.float64)
    bicubic = Bicubic(scale=2)(lr)
    wanted = by_formula(network.state_dict(), bicubic, depth=2, norm=norm, block=block)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-10)
    skipping = UNet(**form).double().eval()
    skipping.load_state_dict(network.state_dict())
    torch.testing.assert_close(skipping(lr), wanted + bicubic, rtol=0, atol=1e-10)


@pytest.mark.parametrize("residual", ["none", "bicubic"])
def test_with_the_shuffle_tail_the_formula_sees_the_lr_image(residual: str) -> None:
    network = lively(width=8, depth=2, channels=2, scale=3, tail="shuffle", global_residual=residual)
    lr = torch.rand(1, 2, 8, 12, dtype=torch.float64)
    planes = by_formula(network.state_dict(), lr, depth=2, norm="none")
    wanted = functional.pixel_shuffle(planes, 3) + (Bicubic(scale=3)(lr) if residual == "bicubic" else 0)
    torch.testing.assert_close(network(lr), wanted, rtol=0, atol=1e-10)


DEFAULT_KEYS = [
    f"{part}.{i}.{layer}.{kind}"
    for part, count, layers in (("encoder", 3, (0, 2)), ("grow", 2, ("",)), ("decoder", 2, (0, 2)), ("head", 1, ("",)))
    for i in range(count)
    for layer in layers
    for kind in ("weight", "bias")
]


def test_the_keys_of_a_plain_network_are_those_of_earlier_checkpoints() -> None:
    wanted = [key.replace("..", ".").replace("head.0", "head") for key in DEFAULT_KEYS]
    assert list(unet_of(depth=2, width=4).state_dict()) == wanted
    assert list(unet_of(depth=2, width=4, tail="shuffle").state_dict()) == wanted


def test_fresh_weights_of_the_plain_network_are_those_of_earlier_versions() -> None:
    """Drawn in the order of construction, twice: by torch's convolutions, then by this initialisation."""
    torch.manual_seed(5)
    made = UNet(width=4, depth=1).state_dict()
    torch.manual_seed(5)
    shapes = {key: tensor.shape for key, tensor in made.items() if key.endswith("weight")}
    for out, inward, size, _ in shapes.values():
        nn.Conv2d(inward, out, size)
    for key, shape in shapes.items():
        drawn = nn.init.kaiming_normal_(torch.empty(shape), a=0.2)
        assert key == "head.weight" or torch.equal(made[key], drawn), key


GATED = [f"encoder.{i}" for i in range(4)] + [f"decoder.{i}" for i in range(3)]


@pytest.mark.parametrize(
    ("attention_at", "places"),
    [("skip", [name for name in GATED if name != "encoder.3"]), ("bottleneck", ["encoder.3"]), ("both", GATED)],
)
@pytest.mark.parametrize(("attention", "kind"), [("se", SE), ("scse", ScSE), ("cbam", CBAM)])
def test_gates_sit_at_skips_at_the_bottleneck_or_at_both(
    attention: str, kind: type[nn.Module], attention_at: str, places: list[str]
) -> None:
    network = unet_of(width=4, depth=3, attention=attention, attention_at=attention_at)
    gates = [name for name, module in network.named_modules() if isinstance(module, kind)]
    assert [name.rsplit(".", 1)[0] for name in gates] == places


def test_gates_start_open_so_that_the_network_starts_as_it_would_without() -> None:
    lr = torch.rand(1, 1, 8, 8)
    for attention in ("se", "scse", "cbam"):
        gated = UNet(width=8, depth=2, attention=attention, global_residual="none")
        plain = UNet(width=8, depth=2, global_residual="none")
        plain.load_state_dict({key: value for key, value in gated.state_dict().items() if key in plain.state_dict()})
        torch.testing.assert_close(gated(lr), plain(lr))


def test_batch_normalisation_in_evaluation_is_pointwise_and_in_training_ties_the_batch() -> None:
    network = lively(width=8, depth=2, norm="batch")
    lr = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(network(lr)[:1], network(lr[:1]), rtol=0, atol=1e-12)
    network.train()
    assert (network(lr)[:1] - network(lr[:1])).abs().max() > 1e-3


def test_statistics_of_the_batch_are_kept_and_saved() -> None:
    network = UNet(width=8, depth=2, norm="batch")
    before = {key: value.clone() for key, value in network.state_dict().items() if "running_mean" in key}
    assert len(before) == 10
    network(torch.rand(2, 1, 8, 8))
    assert all((network.state_dict()[key] != value).any() for key, value in before.items())


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize(
    ("tail", "depth", "scale"),
    [
        *(("pre", depth, scale) for depth, scale in ((1, 2), (1, 3), (2, 1), (2, 2), (2, 4), (2, 8), (3, 2))),
        *(("shuffle", depth, scale) for depth, scale in ((1, 3), (2, 2))),
    ],
)
def test_the_stated_reach_is_met_to_the_pixel(tail: str, depth: int, scale: int, norm: str) -> None:
    form: dict[str, Any] = {"width": 2, "depth": depth, "scale": scale, "tail": tail, "norm": norm}
    network = UNet(**form).double().eval()
    stated, period = network.receptive_field, 2**depth
    assert stated is not None
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.uniform_(0.5, 1)
    size = network.multiple_of * math.ceil((2 * stated + period) / network.multiple_of)
    reached = 0
    for place in range(stated, stated + period):
        for value in (1.0, -1.0):
            lr = torch.zeros(1, 1, size, size, dtype=torch.float64)
            lr[..., place, place] = value
            felt = network(lr)[0, 0].nonzero() // scale - place
            reached = max(reached, int(felt.abs().max()))
    assert reached == stated


@pytest.mark.parametrize(
    "arguments",
    [{"norm": "group"}, {"norm": "instance"}, {"attention": "se"}, {"attention": "scse"}, {"attention": "cbam"}],
)
@pytest.mark.parametrize("attention_at", ["skip", "bottleneck", "both"])
def test_no_reach_is_stated_where_statistics_span_the_image(arguments: dict[str, str], attention_at: str) -> None:
    assert unet_of(width=4, attention_at=attention_at, **arguments).receptive_field is None


@pytest.mark.parametrize("tail", ["pre", "shuffle"])
def test_far_from_the_border_a_larger_image_around_changes_nothing(tail: str) -> None:
    network = lively(width=4, depth=2, tail=tail)
    reach, size = network.receptive_field, 48
    assert reach is not None
    lr = torch.rand(1, 1, size, size, dtype=torch.float64)
    wider = functional.pad(lr, (0, network.multiple_of, 0, network.multiple_of))
    inside = 2 * (size - reach)
    assert inside > 0
    torch.testing.assert_close(
        network(wider)[..., :inside, :inside], network(lr)[..., :inside, :inside], rtol=0, atol=1e-12
    )


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


def test_without_the_skip_the_shuffle_starts_without_a_pattern() -> None:
    sr = UNet(width=4, depth=1, channels=2, scale=3, tail="shuffle", global_residual="none")(torch.rand(1, 2, 6, 8))
    assert torch.equal(sr, sr[..., ::3, ::3].repeat_interleave(3, dim=2).repeat_interleave(3, dim=3))
    assert not torch.equal(sr[:, 0], sr[:, 1])


def test_the_head_of_the_shuffle_tail_starts_at_zero_with_the_skip() -> None:
    network = UNet(width=4, depth=1, scale=3, tail="shuffle")
    assert network.head.weight.shape == (9, 4, 3, 3)
    assert not network.head.weight.any()


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_the_shuffle_tail_needs_what_pooling_needs_whatever_the_scale(depth: int) -> None:
    assert {unet_of(width=2, depth=depth, scale=scale, tail="shuffle").multiple_of for scale in (1, 2, 3, 8)} == (
        {2**depth}
    )
