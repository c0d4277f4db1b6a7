from dataclasses import replace

import pytest
import torch

from coresr_train.losses.eye import between_features
from tests.train.losses.examples import pair, tiny_eye


def test_the_network_is_frozen_and_gradient_passes_through_it_to_sr_alone() -> None:
    eye = tiny_eye()
    sr, hr = pair(16)
    between_features(eye, sr, hr.requires_grad_()).backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert hr.grad is None
    assert not eye.network.training
    assert not any(one.requires_grad or one.grad is not None for one in eye.network.parameters())


def test_gradients_are_those_of_finite_differences() -> None:
    sr, hr = torch.rand(2, 2, 1, 6, 7, dtype=torch.float64)
    eye = tiny_eye()
    assert torch.autograd.gradcheck(lambda image: between_features(eye, image, hr), sr.requires_grad_())


def test_the_distance_is_0_between_equal_images_and_the_weights_of_the_taps_sum() -> None:
    sr, hr = (image.detach().double() for image in pair(16))
    eye = tiny_eye()
    assert between_features(eye, hr, hr) == 0
    first, second = (float(between_features(replace(eye, weights=one), sr, hr)) for one in ((1.0, 0.0), (0.0, 1.0)))
    by_hand = [float((one - other).abs().mean()) for one, other in zip(eye(sr), eye(hr), strict=True)]
    assert [first, second] == pytest.approx(by_hand, rel=1e-12)
    assert float(between_features(replace(eye, weights=(2.0, 0.3)), sr, hr)) == pytest.approx(2 * first + 0.3 * second)
    assert min(first, second) > 0


def test_a_tap_without_a_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        between_features(replace(tiny_eye(), weights=(1.0,)), *pair(16))
