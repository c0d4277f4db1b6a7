"""The one way to measure: raw values, shaved, each image for itself, everything wrong refused by name."""

from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from coresr_eval.fidelity import psnr, ssim
from coresr_eval.protocol import Pair, Protocol, Score, mean, score, score_image

PROTOCOL = Protocol(scale=2, shave=2, grey="uint8, 0 → 0, 255 → 1", degradation="bicubic")


def nearest(lr: Tensor) -> Tensor:
    return functional.interpolate(lr, scale_factor=2, mode="nearest")


def pair(core: str = "a", number: int = 0, noise: float = 0.1, height: int = 10, width: int = 12) -> Pair:
    lr = torch.rand(height, width)
    hr = nearest(lr[None, None])[0, 0]
    return Pair(core=core, slice=number, lr=lr, hr=hr + noise * torch.randn_like(hr))


def test_every_model_is_scored_on_every_pair_in_order() -> None:
    pairs = [pair("a", 3), pair("b", 1, height=9, width=7)]
    found = list(score({"bicubic": nearest, "bright": lambda lr: nearest(lr) + 0.1}, iter(pairs), PROTOCOL))
    assert [scored.pair for scored in found] == pairs
    assert [[(one.model, one.core, one.slice) for one in scored.scores] for scored in found] == [
        [("bicubic", "a", 3), ("bright", "a", 3)],
        [("bicubic", "b", 1), ("bright", "b", 1)],
    ]
    for scored in found:
        assert list(scored.images) == ["bicubic", "bright"]
        assert torch.equal(scored.images["bicubic"], nearest(scored.pair.lr[None, None])[0, 0])
        for one in scored.scores:
            sr, hr = scored.images[one.model][None, None], scored.pair.hr[None, None]
            assert one.psnr == psnr(sr, hr, data_range=1.0, shave=2).item()
            assert one.ssim == ssim(sr, hr, data_range=1.0, shave=2, window=7, sigma=1.5).item()


def test_pairs_are_taken_one_at_a_time_as_they_are_asked_for() -> None:
    taken = []

    def pairs() -> Any:
        for number in range(3):
            taken.append(number)
            yield pair(number=number)

    scored = score({"one": nearest}, pairs(), PROTOCOL)
    assert taken == []
    next(scored)
    assert taken == [0]


@pytest.mark.parametrize("changed", [{"shave": 0}, {"data_range": 2.0}, {"ssim_window": 5}, {"ssim_sigma": 1.0}])
def test_every_number_of_the_protocol_counts(changed: dict[str, Any]) -> None:
    one = pair()
    sr = nearest(one.lr[None, None])[0, 0]
    other = replace(PROTOCOL, **changed)
    assert score_image("m", sr, one, PROTOCOL) != score_image("m", sr, one, other)


def test_values_are_neither_clipped_nor_quantised_before_scoring() -> None:
    one = Pair(core="a", slice=0, lr=torch.ones(8, 8), hr=torch.ones(16, 16))
    assert score_image("m", one.hr + 0.1, one, PROTOCOL).psnr == pytest.approx(20, abs=1e-4)
    assert score_image("m", one.hr - 1e-4, one, PROTOCOL).psnr == pytest.approx(80, abs=0.01)


def test_the_mean_is_over_each_images_own_psnr_and_not_pooled() -> None:
    flat = torch.full((16, 16), 0.5)
    pairs = [Pair(core="a", slice=i, lr=flat[:8, :8], hr=flat + error) for i, error in enumerate((0.1, 0.001))]
    found = [one for scored in score({"m": nearest}, pairs, PROTOCOL) for one in scored.scores]
    assert mean(one.psnr for one in found) == pytest.approx(40, abs=1e-3)
    pooled = psnr(torch.full((1, 1, 16, 32), 0.5), torch.cat([p.hr for p in pairs], 1)[None, None], data_range=1.0)
    assert pooled.item() == pytest.approx(23.01, abs=0.01)


def test_networks_run_without_gradient_and_without_autocast() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.PixelShuffle(2))
    one = pair()
    exact = next(score({"m": network}, [one], PROTOCOL))
    assert not exact.images["m"].requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        mixed = next(score({"m": network}, [one], PROTOCOL))
    assert torch.equal(mixed.images["m"], exact.images["m"])
    assert mixed.scores == exact.scores


@pytest.mark.parametrize("wrong", [lambda lr: lr, lambda lr: nearest(nearest(lr)), lambda lr: nearest(lr)[..., 1:]])
def test_an_image_of_another_size_is_refused_with_model_core_and_slice(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"image of mine on core 'shale' slice 17 must be \(20, 24\), got \("):
        list(score({"good": nearest, "mine": wrong}, [pair("shale", 17)], PROTOCOL))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_an_image_that_is_not_finite_is_refused_with_model_core_and_slice(value: float) -> None:
    def wrong(lr: Tensor) -> Tensor:
        sr = nearest(lr)
        sr[..., 0, :2] = value  # inside the shave, where no metric would notice
        return sr

    with pytest.raises(ValueError, match=r"image of mine on core 'shale' slice 17 must be finite, got 2 bad pixels"):
        list(score({"mine": wrong}, [pair("shale", 17)], PROTOCOL))


def test_the_protocol_says_everything_beside_its_numbers_and_cannot_be_changed() -> None:
    assert asdict(PROTOCOL) == {
        "scale": 2,
        "shave": 2,
        "degradation": "bicubic",
        "grey": "uint8, 0 → 0, 255 → 1",
        "data_range": 1.0,
        "ssim_window": 7,
        "ssim_sigma": 1.5,
        "precision": PROTOCOL.precision,
        "pooling": "mean over images of each image's own score",
    }
    with pytest.raises(FrozenInstanceError):
        PROTOCOL.shave = 0  # type: ignore[misc]
    with pytest.raises(TypeError):
        Protocol(scale=2, grey="uint8, 0 → 0, 255 → 1", degradation="bicubic")  # type: ignore[call-arg]


def test_the_mean_of_nothing_is_not_a_number() -> None:
    assert mean([]) != mean([])
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert mean([1e16, 1.0, -1e16]) == pytest.approx(1 / 3)


def test_scores_are_plain_numbers() -> None:
    found = score_image("m", nearest(torch.rand(1, 1, 10, 12))[0, 0], pair(), PROTOCOL)
    assert isinstance(found, Score)
    assert (type(found.psnr), type(found.ssim)) == (float, float)
