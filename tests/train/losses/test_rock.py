from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch.nn.functional import conv2d, leaky_relu

from coresr_train.losses.eye import between_features
from coresr_train.losses.features import perceptual
from coresr_train.losses.learning import save_rock
from coresr_train.losses.rock import RockFeatures, rock
from coresr_train.losses.weights import MissingWeightsError
from coresr_train.settings import Loss
from tests.train.losses.examples import pair

CPU = torch.device("cpu")


@pytest.fixture
def network() -> RockFeatures:
    """Of random weights, and of grey levels and gains that do something."""
    one = RockFeatures()
    for name, values in (("mean", [0.4]), ("std", [0.2]), ("gains", [0.5, 2.0, 0.1])):
        getattr(one, name).copy_(torch.tensor(values))
    return one


@pytest.fixture
def file(network: RockFeatures, tmp_path: Path) -> Path:
    save_rock(tmp_path / "rock.safetensors", network, {"core": "A"})
    return tmp_path / "rock.safetensors"


def test_what_is_saved_and_opened_again_sees_what_its_layers_say_one_by_one(network: RockFeatures, file: Path) -> None:
    sr, hr = pair(24)
    eye = rock(str(file), CPU)
    x, stages = (sr.detach().double() - 0.4) / 0.2, network.double().state_dict()
    for number, ours in enumerate(eye(sr.detach())):
        for layer, stride in ((0, 2), (2, 1)):
            weight, bias = (stages[f"stages.{number}.{layer}.{part}"] for part in ("weight", "bias"))
            x = leaky_relu(conv2d(x, weight, bias, stride=stride, padding=1), 0.2)
        torch.testing.assert_close(ours, x.float(), rtol=1e-5, atol=1e-6)
    assert eye.weights == pytest.approx((0.5, 2.0, 0.1), rel=1e-7)
    distance = perceptual(Loss(perceptual=1.0, features="rock", feature_weights=str(file)), CPU)(sr, hr)
    assert torch.equal(distance, between_features(eye, sr, hr))


def test_the_file_says_what_it_was_learnt_from(file: Path) -> None:
    with safetensors.safe_open(file, framework="pt") as opened:
        assert opened.metadata() == {"rock": '{"core": "A"}'}


def test_its_network_is_frozen_and_its_gradient_reaches_every_pixel(file: Path) -> None:
    eye, (sr, hr) = rock(str(file), CPU), pair(17)
    between_features(eye, sr, hr).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert (sr.grad[..., :16, :16] != 0).all()
    assert not any(one.requires_grad or one.grad is not None for one in eye.network.parameters())
    assert not eye.network.training


def test_images_of_more_than_one_channel_are_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="1 channel for features of rock, got 3"):
        rock(str(file), CPU)(torch.rand(1, 3, 32, 32))


def test_without_a_file_the_remedy_is_named() -> None:
    with pytest.raises(MissingWeightsError, match="must be learnt.*--loss.feature-weights") as caught:
        rock("", CPU)
    assert caught.value.exit_code == 69


def test_another_file_is_refused(network: RockFeatures, file: Path, vgg_files: dict[str, Path]) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        rock("nowhere", CPU)
    with pytest.raises(ValueError, match="must hold gains, got none; 15 of 15 lack"):
        rock(str(vgg_files["vgg19"]), CPU)
    for name in ("std", "gains"):
        wrong = network.state_dict() | {name: torch.zeros_like(getattr(network, name))}
        safetensors.torch.save_file(wrong, file)
        with pytest.raises(ValueError, match=f"{name} must be above 0"):
            rock(str(file), CPU)
