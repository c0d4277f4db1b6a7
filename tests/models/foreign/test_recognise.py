"""Foreign state dicts: the network and every argument are told by keys and shapes, and it answers the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coresr_models.build import Argument, complete
from coresr_models.checkpoint import fit
from coresr_models.foreign import RECOGNISERS, recognise
from coresr_models.foreign.edges import in_colour, with_range
from tests.models.foreign.styles import STYLES, SWIN, State, lively, original_edsr

each = pytest.mark.parametrize(
    ("called", "name", "arguments", "style"), STYLES, ids=[f"{one[0]}-{number}" for number, one in enumerate(STYLES)]
)

each_style = pytest.mark.parametrize(
    ("name", "arguments", "style"),
    [one[1:] for one in STYLES],
    ids=[f"{one[0]}-{number}" for number, one in enumerate(STYLES)],
)


@each
def test_the_network_its_arguments_and_its_weights_are_told(
    called: str, name: str, arguments: dict[str, Argument], style: Callable[[State], State]
) -> None:
    network = lively(name, **arguments)
    found = recognise(style(network.state_dict()))
    assert found.format == called
    assert complete(found.spec).arguments == {
        **complete(found.spec).arguments,
        **arguments,
        "global_residual": "none",
    }
    twin = fit(Path("foreign.pth"), found.spec, found.tensors)
    side = 2 * network.multiple_of
    lr = torch.rand(1, int(arguments.get("channels", 1)), side, 2 * side)
    assert torch.equal(twin(lr), network(lr))


@each_style
def test_one_recogniser_alone_takes_it(
    name: str, arguments: dict[str, Argument], style: Callable[[State], State]
) -> None:
    state = style(lively(name, **arguments).state_dict())
    assert sum(recogniser(state) is not None for recogniser in RECOGNISERS) == 1


def test_every_recogniser_has_an_example() -> None:
    used = set()
    for _, name, arguments, style in STYLES:
        state = style(lively(name, **arguments).state_dict())
        used |= {recogniser for recogniser in RECOGNISERS if recogniser(state) is not None}
    assert used == set(RECOGNISERS)


def test_the_widest_edsr_scales_its_residuals_and_says_so() -> None:
    found = recognise(lively("edsr", width=256, blocks=1).state_dict())
    assert found.spec.arguments["residual_scale"] == 0.1
    assert "residual_scale 0.1, as the paper sets for width 256" in found.assumed


def test_a_mean_colour_that_would_be_wrong_at_borders_is_refused() -> None:
    state = original_edsr(lively("edsr", width=4, blocks=1, channels=3).state_dict())
    state["sub_mean.weight"], state["sub_mean.bias"] = torch.eye(3)[:, :, None, None], torch.full((3,), -110.0)
    with pytest.raises(ValueError, match="sub_mean and add_mean must be zero for this network, got a mean colour"):
        recognise(state)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"conv_up1.weight": torch.zeros(1)}, "SwinIR must end in pixelshuffle or pixelshuffledirect"),
        ({"layers.0.conv.0.weight": torch.zeros(1)}, "SwinIR must have one convolution a stage"),
        ({"upsample.0.weight": torch.zeros(5, 8, 3, 3)}, "planes must be 1 times a square .* got 5"),
    ],
)
def test_variants_that_are_not_ours_are_refused_by_name(change: State, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        recognise({**lively("swinir", **SWIN).state_dict(), **change})


def test_unknown_keys_are_named() -> None:
    with pytest.raises(ValueError, match="weights must be of a known network, got keys like a.b, c; write"):
        recognise({"a.b": torch.zeros(1), "c": torch.zeros(1)})


@each_style
def test_a_file_that_lacks_a_tensor_is_refused_in_words(
    name: str, arguments: dict[str, Argument], style: Callable[[State], State]
) -> None:
    whole = style(lively(name, **arguments).state_dict())
    needed = [key for key in whole if not key.startswith("no_norm") and "_mean." not in key and "mask" not in key]
    for lost in (*needed[:: len(needed) // 8], needed[-1]):
        state = {key: tensor for key, tensor in whole.items() if key != lost}
        with pytest.raises(ValueError, match="must"):
            fit(Path("foreign.pth"), (found := recognise(state)).spec, found.tensors)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("edsr", {"width": 6, "blocks": 2}),
        ("nafnet", {"width": 6, "blocks": 1}),
        ("plksr", {"width": 8, "blocks": 1, "kernel": 3}),
        ("rcan", {"width": 8, "groups": 1, "blocks": 1, "reduction": 4}),
        ("realplksr", {"width": 8, "blocks": 1, "kernel": 3}),
        ("rrdbnet", {"width": 6, "blocks": 1, "growth": 3}),
        ("span", {"width": 6, "blocks": 1}),
        ("span", {"width": 6, "blocks": 1, "merged": True}),
        ("swinir", SWIN),
        ("swinir", {**SWIN, "tail": "staged"}),
    ],
    ids=str,
)
def test_a_range_of_255_is_folded_in(name: str, arguments: dict[str, Argument]) -> None:
    network = lively(name, **arguments).double()
    state = dict(network.state_dict())
    found = recognise(state)
    twin = lively(name, **arguments).double()
    twin.load_state_dict(with_range(found.spec, state, 255.0))
    lr = torch.rand(1, 1, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(twin(lr), network(255 * lr) / 255, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("rcan", {"width": 8, "groups": 1, "blocks": 1, "reduction": 4}), ("span", {"width": 6, "blocks": 1})],
)
def test_a_range_is_refused_for_a_network_that_has_it_inside(name: str, arguments: dict[str, Argument]) -> None:
    found = recognise(lively(name, channels=3, normalise=True, **arguments).state_dict())
    with pytest.raises(
        ValueError, match=f"^range must be 1 for a {name} that multiplies by 255 itself, got 255.0; leave"
    ):
        with_range(found.spec, found.tensors, 255.0)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["plksr", "realplksr"])
def test_grey_weights_answer_the_same_in_each_of_three_equal_channels(name: str, scale: int) -> None:
    arguments: dict[str, Argument] = {"scale": scale, "width": 8, "blocks": 2, "kernel": 5}
    network, colour = lively(name, **arguments), lively(name, channels=3, **arguments)
    found = recognise(network.state_dict())
    colour.load_state_dict(in_colour(found.spec, network.state_dict()))
    lr = torch.rand(2, 1, 5, 7)
    torch.testing.assert_close(colour(lr.repeat(1, 3, 1, 1)), network(lr).repeat(1, 3, 1, 1), rtol=0, atol=2e-6)
