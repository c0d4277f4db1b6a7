from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from coresr_train.losses.eye import Eye, between_features
from coresr_train.losses.learning import FAINT, NOISE, SURVEY, degraded, learn, save_rock
from coresr_train.losses.learning import _blurred as blurred
from coresr_train.losses.learning import _shrunk as shrunk
from coresr_train.losses.pixels import l1
from coresr_train.losses.rock import RockFeatures, rock

CPU = torch.device("cpu")


def made(number: int, side: int = 32) -> Tensor:
    """A patch of made-up rock."""
    noise = torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(number))
    return blurred(noise, torch.tensor([1.5]))[0].mul(8).sub(4).sigmoid()


def learnt(patch: Callable[[int], Tensor] = made, *, seed: int = 0, steps: int = 4) -> dict[str, Tensor]:
    return learn(patch, steps=steps, batch=2, seed=seed, device=CPU).state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_patches_and_seed_give_the_same_bits_whatever_happens_around() -> None:
    first, state = learnt(), torch.get_rng_state()
    torch.rand(7)
    other = torch.get_rng_state()
    assert not torch.equal(state, other)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert equal(learnt(), first)
    assert torch.equal(torch.get_rng_state(), other)
    assert not equal(learnt(seed=1), first)


def test_what_lies_beyond_a_multiple_of_16_pixels_is_cut_off() -> None:
    assert equal(learnt(lambda number: made(number, 47)), learnt(lambda number: made(number, 47)[:, :32, :32]))


def test_each_patch_is_asked_for_by_its_number() -> None:
    asked: list[int] = []

    def patch(number: int) -> Tensor:
        asked.append(number)
        return made(number)

    learnt(patch, steps=3)
    assert asked == [*range(SURVEY), *range(6)]


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 48), (1, 31, 31), (32, 32)])
def test_patches_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(1, p, p\) with p 32 or more"):
        learnt(lambda number: torch.rand(shape))


def test_patches_of_one_grey_level_are_refused() -> None:
    with pytest.raises(ValueError, match=r"more than one grey level, got 0.5 alone"):
        learnt(lambda number: torch.full((1, 32, 32), 0.5))


def test_the_distance_is_l1_for_what_shrinking_by_2_takes_from_what_it_learnt_from(tmp_path: Path) -> None:
    save_rock(tmp_path / "rock", learn(made, steps=4, batch=2, seed=0, device=CPU), {})
    eye, hr = rock(str(tmp_path / "rock"), CPU), torch.stack([made(number) for number in range(SURVEY)])
    parts = [(one - other).abs().mean() for one, other in zip(eye(shrunk(hr, 2)), eye(hr), strict=True)]
    thirds = torch.stack(parts) * torch.tensor(eye.weights) * 3
    torch.testing.assert_close(thirds, l1(shrunk(hr, 2), hr).expand(3), rtol=1e-5, atol=0)
    torch.testing.assert_close((eye.mean.flatten(), eye.std.flatten()), (hr.mean()[None], hr.std()[None]))


def test_what_is_told_of_a_place_is_what_was_taken_out_and_put_in() -> None:
    hr = torch.stack([made(number, 64) for number in range(48)]) * 4
    shown, told = degraded(hr, torch.Generator().manual_seed(0))
    told_out, told_in = (FAINT * ((2 * part).exp() - 1).clamp(min=0).sqrt() for part in told.unbind(1))
    untouched = (told == 0).all(1)
    assert 0.3 < untouched.float().mean() < 0.5
    powers = (shown - hr).reshape(48, 8, 8, 8, 8).square().mean((2, 4))
    assert (powers[untouched] == 0).all()
    silent = (told_in == 0) & ~untouched
    torch.testing.assert_close(told_out[silent], powers[silent].sqrt(), rtol=1e-3, atol=1e-5)
    noisy = told_in > 0.1
    assert 0.02 < noisy.float().mean() < 0.3
    torch.testing.assert_close(
        (told_out.square() + told_in.square())[noisy].mean(), powers[noisy].mean(), rtol=0.05, atol=0
    )
    assert told_in.max() <= NOISE


def test_blurring_is_a_gaussian_of_each_images_own() -> None:
    images, sigmas = torch.rand(3, 1, 32, 40), torch.tensor([0.4, 1.0, 2.2])
    for ours, image, sigma in zip(blurred(images, sigmas), images, sigmas.tolist(), strict=True):
        theirs = gaussian_filter(image[0].double().numpy(), sigma, radius=9, mode="mirror")
        torch.testing.assert_close(ours[0], torch.from_numpy(theirs).float(), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def slices(real_data: Path) -> Tensor:
    """The training slices of a sandstone, and then those two that are for validation and test."""
    files = sorted((real_data / "sandstone-versa" / "slices").glob("*.png"))
    return torch.stack([torch.from_numpy(np.asarray(Image.open(file), np.float32) / 255)[None] for file in files])


@pytest.fixture(scope="module")
def features(slices: Tensor) -> RockFeatures:
    """Learnt from the training slices in a few seconds."""

    def patch(number: int) -> Tensor:
        generator = torch.Generator().manual_seed(number)
        z, y, x = (int(torch.randint(high, (1,), generator=generator)) for high in (len(slices) - 2, 512, 512))
        return slices[z, :, y : y + 64, x : x + 64]

    return learn(patch, steps=250, batch=8, seed=0, device=CPU)


@pytest.fixture
def eye(features: RockFeatures, tmp_path: Path) -> Eye:
    save_rock(tmp_path / "rock", features, {})
    return rock(str(tmp_path / "rock"), CPU)


def scrambled(image: Tensor) -> Tensor:
    """Of the same spectrum, with phases of noise."""
    noise = torch.fft.rfft2(torch.randn(image.shape, generator=torch.Generator().manual_seed(3)))
    drawn: Tensor = torch.fft.irfft2(torch.fft.rfft2(image).abs() * noise / noise.abs(), s=image.shape[-2:])
    return drawn


def test_the_distance_grows_with_blur_on_slices_that_it_never_saw(slices: Tensor, eye: Eye) -> None:
    hr = slices[-2:, :, 100:400, 100:400]
    distances = [
        float(between_features(eye, blurred(hr, torch.full((2,), sigma)), hr)) for sigma in (0.5, 1.0, 2.0, 3.0)
    ]
    assert distances == sorted(distances)
    assert distances[0] > 0
    assert between_features(eye, hr, hr) == 0
    typical = shrunk(hr[..., :296, :296], 2)
    assert 0.5 < between_features(eye, typical, hr[..., :296, :296]) / l1(typical, hr[..., :296, :296]) < 2


def test_missing_texture_is_worse_to_it_and_a_wrong_one_better_than_to_l1(slices: Tensor, eye: Eye) -> None:
    hr = slices[-2:, :, 100:396, 100:396]
    smooth = shrunk(hr, 4)
    textured = smooth + scrambled(hr - smooth)

    def ratio(of: Callable[[Tensor, Tensor], Tensor]) -> float:
        return float(of(smooth, hr) / of(textured, hr))

    ours = ratio(lambda sr, hr: between_features(eye, sr, hr))
    assert ratio(l1) < 0.7
    assert ours > 1.2 * ratio(l1)
    # another place of the rock is still another place
    assert between_features(eye, hr.flip(-1), hr) > between_features(eye, textured, hr)
