"""Gates: open at the start, and their formulas written out pixel by pixel."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.attention import CBAM, SE, ScSE

GATES = (SE, ScSE, CBAM)

each_gate = pytest.mark.parametrize("gate", GATES)


def trained(gate: type[SE | ScSE | CBAM], width: int) -> SE | ScSE | CBAM:
    """A gate in which nothing is zero, in float64."""
    one = gate(width=width).double()
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.normal_(std=0.5)
    return one


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def excitation(weights: dict[str, Tensor], pooled: list[float]) -> list[float]:
    """W₂ relu(W₁ pooled), one number at a time."""

    def layer(name: str, values: list[float]) -> list[float]:
        weight, bias = weights[f"channel.{name}.weight"], weights.get(f"channel.{name}.bias")
        return [
            sum(float(w) * value for w, value in zip(row, values, strict=True)) + (0.0 if bias is None else float(b))
            for row, b in zip(weight[:, :, 0, 0], weight[:, 0, 0, 0] if bias is None else bias, strict=True)
        ]

    return layer("expand", [max(value, 0.0) for value in layer("squeeze", pooled)])


def means(x: Tensor) -> list[float]:
    return [float(plane.sum()) / plane.numel() for plane in x]


def se(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    gates = [2 * sigmoid(value) for value in excitation(weights, means(x))]
    return torch.stack([gate * plane for gate, plane in zip(gates, x, strict=True)])


def scse(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    by_channel = [sigmoid(value) for value in excitation(weights, means(x))]
    out = torch.empty_like(x)
    for c, i, j in torch.cartesian_prod(*(torch.arange(size) for size in x.shape)).tolist():
        place = sigmoid(float((weights["spatial.weight"][0, :, 0, 0] * x[:, i, j]).sum()))
        out[c, i, j] = x[c, i, j] * by_channel[c] + x[c, i, j] * place
    return out


def cbam(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    both = zip(excitation(weights, means(x)), excitation(weights, [float(plane.max()) for plane in x]), strict=True)
    x = torch.stack([2 * sigmoid(a + b) * plane for (a, b), plane in zip(both, x, strict=True)])
    maps = torch.stack([x.mean(dim=0), x.amax(dim=0)])
    padded = functional.pad(maps, (3, 3, 3, 3))
    out = torch.empty_like(x)
    for i, j in torch.cartesian_prod(torch.arange(x.shape[1]), torch.arange(x.shape[2])).tolist():
        seen = float((weights["spatial.weight"][0] * padded[:, i : i + 7, j : j + 7]).sum())
        out[:, i, j] = 2 * sigmoid(seen) * x[:, i, j]
    return out


@pytest.mark.parametrize(("gate", "formula"), [(SE, se), (ScSE, scse), (CBAM, cbam)])
@pytest.mark.parametrize("width", [1, 5, 8])
def test_a_gate_is_its_formula(
    gate: type[SE | ScSE | CBAM], formula: Callable[[dict[str, Tensor], Tensor], Tensor], width: int
) -> None:
    one, x = trained(gate, width), torch.randn(2, width, 4, 6, dtype=torch.float64)
    wanted = torch.stack([formula(one.state_dict(), image) for image in x])
    torch.testing.assert_close(one(x), wanted, rtol=0, atol=1e-12)


@each_gate
def test_a_fresh_gate_hands_on_exactly_what_it_is_given(gate: type[SE | ScSE | CBAM]) -> None:
    x = torch.randn(2, 24, 5, 3)
    assert torch.equal(gate(width=24)(x), x)


@each_gate
def test_opened_again_it_hands_on_everything_whatever_it_learned(gate: type[SE | ScSE | CBAM]) -> None:
    one, x = trained(gate, 24), torch.randn(1, 24, 5, 3, dtype=torch.float64)
    assert not torch.equal(one(x), x)
    one.open()
    assert torch.equal(one(x), x)


@each_gate
@pytest.mark.parametrize("sign", [1, -1])
def test_hidden_features_come_in_pairs_of_which_one_is_alive(gate: type[SE | ScSE | CBAM], sign: int) -> None:
    squeeze = gate(width=48).channel.squeeze
    hidden = squeeze(sign * torch.rand(1, 48, 1, 1)).flatten()
    half = hidden.numel() // 2
    assert ((hidden[:half] > 0) != (hidden[half : 2 * half] > 0)).all()


@each_gate
def test_every_parameter_learns_once_the_gate_has_moved(gate: type[SE | ScSE | CBAM]) -> None:
    one = gate(width=8)
    optimizer = torch.optim.SGD(one.parameters(), 0.1)
    for _ in range(2):
        optimizer.zero_grad()
        x = torch.rand(2, 8, 5, 5)
        (one(x) * torch.randn_like(x)).sum().backward()
        optimizer.step()
    for name, parameter in one.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.any(), name


@pytest.mark.parametrize(
    ("gate", "width", "hidden", "biases"),
    [
        (SE, 64, 4, True),
        (SE, 256, 16, True),
        (SE, 3, 4, True),
        (ScSE, 64, 32, True),
        (ScSE, 1, 1, True),
        (CBAM, 64, 4, False),
        (CBAM, 256, 16, False),
        (CBAM, 8, 4, False),
    ],
)
def test_hidden_features_and_biases_are_those_of_the_papers(
    gate: type[SE | ScSE | CBAM], width: int, hidden: int, biases: bool
) -> None:
    one = gate(width=width)
    assert one.channel.squeeze.weight.shape == (hidden, width, 1, 1)
    assert one.channel.expand.weight.shape == (width, hidden, 1, 1)
    assert [name for name in one.state_dict() if name.endswith("bias")] == (
        ["channel.squeeze.bias", "channel.expand.bias"] if biases else []
    )


@each_gate
def test_the_far_end_of_an_image_is_felt_and_another_image_is_not(gate: type[SE | ScSE | CBAM]) -> None:
    one, x = trained(gate, 8), torch.rand(2, 8, 3, 40, dtype=torch.float64)
    poked = x.clone()
    poked[0, :, :, 0] += 5
    changed = (one(poked) != one(x))[..., -1].flatten(1).any(dim=1)
    assert changed.tolist() == [True, False]


@each_gate
def test_a_width_below_one_is_refused(gate: type[SE | ScSE | CBAM]) -> None:
    with pytest.raises(ValueError, match="^width must be 1 or more, got 0$"):
        gate(width=0)


def test_places_alone_are_weighed_where_channels_say_nothing() -> None:
    one = CBAM(width=4)
    nn.init.constant_(one.spatial.weight, 0.1)
    x = torch.zeros(1, 4, 9, 9)
    x[..., 4, 4] = 1
    gate = one(x)[0, :, 4, 4]
    torch.testing.assert_close(gate, torch.full((4,), 2 * sigmoid(0.2)))
