from pathlib import Path

import pytest
import torch
from torch import Tensor

from coresr_train.losses import learned
from coresr_train.losses.learned import between_directions, lpips
from coresr_train.losses.weights import MissingWeightsError
from coresr_train.settings import Loss
from tests.train.losses.examples import pair, tiny_eye
from tests.train.losses.test_features import vgg_by_hand

CPU = torch.device("cpu")
TAPS = dict.fromkeys(("1_2", "2_2", "3_3", "4_3", "5_3"), True)


def by_hand(sr: Tensor, hr: Tensor, channels: list[Tensor]) -> Tensor:
    """Zhang et al. 2018, equation 1, image by image and place by place in float64."""
    total = torch.zeros((), dtype=torch.float64)
    for x, y, weights in zip(vgg_by_hand("vgg16", sr, TAPS), vgg_by_hand("vgg16", hr, TAPS), channels, strict=True):
        u, v = (one / (one.norm(dim=1, keepdim=True) + 1e-10) for one in (x, y))
        total = total + (weights.double().reshape(1, -1, 1, 1) * (u - v) ** 2).sum(1).mean()
    return total


def test_lpips_and_its_gradient_are_the_formula(vgg_files: dict[str, Path], packages: Path) -> None:
    sr, hr = pair(32)
    file = torch.load(packages / learned.LINEAR.module / learned.LINEAR.file, weights_only=True)
    channels = [file[f"lin{stage}.model.1.weight"].flatten() for stage in range(5)]
    ours = lpips(Loss(lpips=1.0, lpips_weights=str(vgg_files["vgg16"])), CPU)(sr, hr)
    theirs = by_hand(sr, hr, channels)
    torch.testing.assert_close(ours, theirs.float(), rtol=1e-5, atol=0)
    slopes = [torch.autograd.grad(one, sr)[0].flatten() for one in (ours, theirs)]
    assert torch.nn.functional.cosine_similarity(slopes[0], slopes[1], dim=0) > 0.9999


def test_a_place_where_no_channel_answers_has_a_finite_gradient() -> None:
    eye = tiny_eye()
    for layer in eye.network.layers:  # type: ignore[union-attr]
        layer.bias.zero_()
    sr = eye.mean.mean().expand(1, 1, 6, 6).clone()
    object.__setattr__(
        eye, "mean", eye.mean.mean().expand(1, 3, 1, 1)
    )  # SR is exactly what the network takes for nothing
    channels = [torch.rand(3, dtype=torch.float64) for _ in range(2)]
    loss = between_directions(eye, channels, sr.requires_grad_(), torch.rand_like(sr))
    (slope,) = torch.autograd.grad(loss, sr)
    assert (eye(sr)[0] == 0).all()
    assert slope.isfinite().all()
    assert slope.abs().max() < 1e3


def test_gradients_are_those_of_finite_differences() -> None:
    sr, hr = torch.rand(2, 2, 1, 6, 7, dtype=torch.float64)
    eye, channels = tiny_eye(), [torch.rand(3, dtype=torch.float64) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda image: between_directions(eye, channels, image, hr), sr.requires_grad_())


def test_lpips_is_refused_where_its_package_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coresr_train.losses.weights.find_spec", lambda _name: None)
    with pytest.raises(MissingWeightsError, match="pip install --no-deps lpips") as caught:
        lpips(Loss(lpips=1.0), CPU)
    assert caught.value.exit_code == 69


def test_lpips_is_refused_the_weights_of_another_network(vgg_files: dict[str, Path], packages: Path) -> None:
    assert packages.is_dir()
    with pytest.raises(ValueError, match="must hold features.17.bias, got none"):
        lpips(Loss(lpips=1.0, lpips_weights=str(vgg_files["vgg19"])), CPU)
