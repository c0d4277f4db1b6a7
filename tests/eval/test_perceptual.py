"""LPIPS by the package lpips, of which a stand-in is enough: what is built, and what is said where it is not there."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coresr_eval import perceptual
from coresr_eval.fidelity import lpips
from coresr_eval.perceptual import MissingExtraError, alex


class Stand(nn.Module):
    """As lpips.LPIPS: one number per image, `(b, 1, 1, 1)`, from a convolution."""

    built = 0

    def __init__(self, *, net: str, verbose: bool) -> None:
        super().__init__()
        assert (net, verbose) == ("alex", False)
        Stand.built += 1
        self.layer = nn.Conv2d(3, 4, 11, stride=4)
        self.dropout = nn.Dropout()

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        features = (self.dropout(self.layer(image)) for image in (one, other))
        return torch.sub(*features).square().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    alex.cache_clear()
    yield
    alex.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, network: Any) -> None:
    module: Any = ModuleType("lpips")
    module.LPIPS = network
    monkeypatch.setitem(sys.modules, "lpips", module)


def test_the_packages_network_is_built_once_and_does_not_learn_or_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Stand)
    Stand.built = 0
    a, b = torch.rand(2, 1, 40, 40), torch.rand(2, 1, 40, 40)
    first = lpips(a, b, data_range=1.0)
    assert first.shape == (2,)
    assert torch.equal(first, lpips(a, b, data_range=1.0))  # no dropout
    assert Stand.built == 1
    network: Any = alex(torch.device("cpu"))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_where_the_package_is_absent_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(MissingExtraError, match=r"must have the package lpips, got .*; pip install lpips") as caught:
        lpips(torch.rand(1, 1, 40, 40), torch.rand(1, 1, 40, 40), data_range=1.0)
    assert caught.value.exit_code == 69
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("error", [OSError("no network"), RuntimeError("operator torchvision::nms does not exist")])
def test_where_weights_or_torchvision_do_not_load_the_error_says_why(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(**_: object) -> None:
        raise error

    install(monkeypatch, fails)
    with pytest.raises(MissingExtraError, match=f"must have lpips and its weights, got {error}; pip install"):
        alex(torch.device("cpu"))


def test_the_smallest_side_is_the_one_that_alexnets_layers_need() -> None:
    layers = nn.Sequential(  # the trunk up to its last tap, by shapes alone
        nn.Conv2d(3, 1, 11, stride=4, padding=2), nn.MaxPool2d(3, 2), nn.Conv2d(1, 1, 5, padding=2), nn.MaxPool2d(3, 2)
    )
    side = perceptual.ALEX_SIDE
    assert layers(torch.rand(1, 3, side, side)).shape[-2:] == (1, 1)
    with pytest.raises(RuntimeError, match="Output size is too small"):
        layers(torch.rand(1, 3, side - 1, side - 1))
