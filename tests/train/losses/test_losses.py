import math
from dataclasses import replace

import pytest
import torch

from coresr_train import losses
from coresr_train.losses import LOSSES, chosen, refuse_misfits
from coresr_train.settings import ConfigError, Loss
from tests.train.losses.examples import pair

CPU = torch.device("cpu")
NAMES = list(Loss().weights())
DISTANCES = [name for name in NAMES if name != "tv"]
"""Terms that compare."""


def test_every_weight_of_the_settings_has_a_term_in_the_same_order() -> None:
    assert list(LOSSES) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"perceptual", "lpips"}])
def test_a_term_without_weights_is_the_function_of_its_name(name: str) -> None:
    (term,) = chosen(replace(Loss(), **{name: 0.5}), CPU).values()  # type: ignore[arg-type]  # by name
    assert term.of is getattr(losses, name)


def test_only_terms_of_positive_weight_are_made() -> None:
    loss = Loss(charbonnier=0.84, ssim=0.16, feature_weights="nowhere.safetensors")
    terms = chosen(loss, CPU)
    assert {name: term.weight for name, term in terms.items()} == {"charbonnier": 0.84, "ssim": 0.16}
    with pytest.raises(FileNotFoundError, match="nowhere.safetensors"):
        chosen(replace(loss, perceptual=1e-9), CPU)


@pytest.mark.parametrize("name", NAMES)
def test_every_term_is_float32_under_autocast_and_reaches_every_pixel(name: str, every_term: Loss) -> None:
    of = LOSSES[name](every_term, CPU)
    sr, hr = pair()
    plain = of(sr, hr)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(of(sr, hr), plain)
        assert torch.equal(of(sr.bfloat16(), hr.bfloat16()), of(sr.bfloat16().float(), hr.bfloat16().float()))
    assert plain.dtype == torch.float32
    assert plain.shape == ()
    plain.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    assert sr.grad is not None
    assert sr.grad.isfinite().all()
    # steps and edges to opposite sides cancel exactly
    assert (sr.grad != 0).float().mean() > (0.75 if name in {"tv", "gradient"} else 0.99)


@pytest.mark.parametrize("name", NAMES)
def test_every_term_falls_along_its_negative_gradient(name: str, every_term: Loss) -> None:
    of = LOSSES[name](every_term, CPU)
    sr, hr = pair()
    before = of(sr, hr)
    (slope,) = torch.autograd.grad(before, sr)
    assert of(sr.detach() - 1e-3 * slope / slope.abs().max(), hr) < before


@pytest.mark.parametrize("name", DISTANCES)
def test_every_distance_is_least_with_a_finite_gradient_where_the_images_are_equal(name: str, every_term: Loss) -> None:
    of = LOSSES[name](every_term, CPU)
    sr, hr = pair()
    same = hr.clone().requires_grad_()
    least = of(same, hr)
    (slope,) = torch.autograd.grad(least, same)
    assert slope.isfinite().all()
    assert math.isclose(float(least.detach()), 1e-3 if name == "charbonnier" else 0.0, abs_tol=1e-6)
    assert of(sr.detach(), hr) > least


@pytest.mark.parametrize("name", NAMES)
def test_every_term_refuses_to_broadcast(name: str, every_term: Loss) -> None:
    # the second where jaxtyping checks the annotations first, as `nox -s tests` has it do
    with pytest.raises((ValueError, TypeError), match="shape of hr|parameter 'hr'"):
        LOSSES[name](every_term, CPU)(torch.rand(1, 1, 48, 48), torch.rand(2, 1, 48, 48))


@pytest.mark.parametrize("name", DISTANCES)
def test_a_term_of_a_batch_is_the_mean_of_those_of_its_images(name: str, every_term: Loss) -> None:
    of = LOSSES[name](every_term, CPU)
    sr, hr = (image.detach() if name in {"perceptual", "lpips"} else image.detach().double() for image in pair())
    torch.testing.assert_close(of(sr.flip(0), hr.flip(0)), of(sr, hr), rtol=1e-5, atol=0)
    torch.testing.assert_close((of(sr[:1], hr[:1]) + of(sr[1:], hr[1:])) / 2, of(sr, hr), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("name", "least"), [("ssim", 3), ("ms_ssim", 33), ("tv", 2), ("gradient", 3), ("lpips", 16), ("perceptual", 16)]
)
def test_a_patch_too_small_for_a_term_is_refused_and_the_next_is_not(name: str, least: int, every_term: Loss) -> None:
    only = Loss()
    object.__setattr__(only, name, 1.0)
    with pytest.raises(ConfigError, match=f"data.patch must be larger than {least - 1} pixels for loss.{name}, got"):
        refuse_misfits(only, least - 1)
    refuse_misfits(only, least)
    sr, hr = pair(least)
    assert LOSSES[name](every_term, CPU)(sr, hr).isfinite()


def test_all_misfits_are_told_at_once_and_terms_of_weight_0_are_none() -> None:
    with pytest.raises(ConfigError, match="loss.ms_ssim.*loss.lpips"):
        refuse_misfits(Loss(l1=1.0, ms_ssim=1.0, lpips=1.0), 8)
    refuse_misfits(Loss(l1=1.0, mse=1.0, charbonnier=1.0, fft=1.0), 1)


def test_features_of_rock_want_patches_to_learn_from() -> None:
    rock = Loss(perceptual=1.0, features="rock")
    with pytest.raises(ConfigError, match=r"larger than 31 pixels for loss\.perceptual, got 24"):
        refuse_misfits(rock, 24)
    refuse_misfits(rock, 32)
    refuse_misfits(replace(rock, feature_weights="learnt.safetensors"), 16)
