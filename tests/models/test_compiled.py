"""`torch.compile` gives the image of the network itself, at any size. Apart from the other tests: `nox -s compiled`."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coresr_models.build import MODELS, Argument, ModelSpec
from coresr_models.discriminators import CRITICS, build_critic
from tests.models.specimens import SMALL, image, lively, normalised

COMPILERS = ("c++", "g++", "clang++", "cl")
ROUNDING = 1e-6
"""Of the largest absolute output; measured up to 4e-7."""

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated"),  # torch itself, at import
    pytest.mark.skipif(not any(map(shutil.which, COMPILERS)), reason="torch compiles for the CPU by a C++ compiler"),
]


def cases() -> Iterator[Any]:
    for name in MODELS:
        yield pytest.param(ModelSpec(name=name, arguments=SMALL[name]), id=name)
    yield pytest.param(normalised("edsr"), id="edsr-normalised")
    yield pytest.param(ModelSpec(name="srcnn", arguments={**SMALL["srcnn"], "middle_kernel": 5}), id="srcnn-9-5-5")


@pytest.fixture(autouse=True)
def afresh() -> None:
    """Without what other tests have compiled."""
    torch.compiler.reset()


def off(network: nn.Module, compiled: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """How far apart both answer, of the largest output."""
    with torch.no_grad():
        wanted, found = network(images), compiled(images)
    assert wanted.shape == found.shape
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("spec", list(cases()))
def test_compiled_a_network_gives_the_same_image_at_any_size(spec: ModelSpec) -> None:
    network = lively(spec)
    compiled = torch.compile(network)
    assert off(network, compiled, image(spec, height=5, width=7, batch=2)) <= ROUNDING
    assert off(network, compiled, image(spec, height=9, width=4, batch=2)) <= ROUNDING  # from here on for any size
    with torch.compiler.set_stance("fail_on_recompile"):
        for height, width in ((3, 8), (6, 6), (11, 5)):
            assert off(network, compiled, image(spec, height=height, width=width, batch=2)) <= ROUNDING


@pytest.mark.parametrize("name", CRITICS)
def test_compiled_a_critic_gives_the_same_logits(name: str) -> None:
    sized: dict[str, Argument] = {"size": 32} if name == "vgg" else {}
    critic = build_critic(ModelSpec(name=name, arguments={"width": 4, **sized})).eval()
    assert off(critic, torch.compile(critic), torch.rand(2, 1, 32, 32)) <= ROUNDING
