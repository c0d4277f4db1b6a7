"""The one way to measure: raw values, shaved, each image for itself, everything wrong refused by name."""

import json
from dataclasses import FrozenInstanceError, asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from coresr_eval.fidelity import mae, psnr, ssim
from coresr_eval.protocol import (
    LATER,
    Pair,
    Protocol,
    Score,
    differences,
    mean,
    refuse_different,
    scorable,
    score,
    score_image,
)

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


@pytest.mark.parametrize(
    "changed",
    [
        {"shave": 0},
        {"quantise": True, "data_range": 255.0},
        {"luma": True},
        {"psnr_epsilon": 1e-8},
        {"ssim_window": 5},
        {"ssim_sigma": 1.0},
        {"ssim_sigma": None},
        {"ssim_border": "reflect"},
        {"ssim_covariance": "sample"},
    ],
)
def test_every_number_of_the_protocol_counts(changed: dict[str, Any]) -> None:
    one = pair()
    sr = nearest(one.lr[None, None])[0, 0]
    other = replace(PROTOCOL, **changed)
    assert score_image("m", sr, one, PROTOCOL) != score_image("m", sr, one, other)


def test_images_are_multiplied_by_the_range_so_that_a_wider_one_is_worth_the_same() -> None:
    one = pair()
    sr = nearest(one.lr[None, None])[0, 0]
    found, wide = (
        score_image("m", sr, one, protocol) for protocol in (PROTOCOL, replace(PROTOCOL, data_range=65535.0))
    )
    assert wide.psnr == pytest.approx(found.psnr, abs=1e-9)
    assert (wide.ssim, wide.mae) == pytest.approx((found.ssim, found.mae), abs=1e-12)


def test_images_too_small_for_the_window_are_seen_through_the_small_one() -> None:
    one = pair(height=5, width=9)  # 10 pixels, less two on each side
    sr = nearest(one.lr[None, None])[0, 0]
    wanted = ssim(sr[None, None], one.hr[None, None], data_range=1.0, shave=2, window=5).item()
    assert score_image("m", sr, one, PROTOCOL).ssim == wanted
    assert score_image("m", sr, one, replace(PROTOCOL, ssim_small_window=3)).ssim != wanted
    with pytest.raises(ValueError, match="must be 11 pixels a side or more"):
        score_image("m", sr, one, replace(PROTOCOL, ssim_small_window=7))


def test_only_what_lies_inside_the_mask_is_compared() -> None:
    one = pair(height=16, width=16)
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:24, 8:24] = True
    sr = one.hr + 0.1 * torch.randn_like(one.hr)
    found = score_image("m", sr, replace(one, mask=mask), PROTOCOL)
    hurt = sr.where(mask, sr + 5)
    again = score_image("m", hurt, replace(one, mask=mask), PROTOCOL)
    assert (found.psnr, found.mae) == (again.psnr, again.mae)
    assert found.ssim == pytest.approx(again.ssim, abs=1e-14)
    assert found.mae == mae(sr[None, None], one.hr[None, None], data_range=1.0, shave=2, mask=mask).item()
    assert found.drift == again.drift


def test_what_lies_outside_the_mask_is_not_held_against_lr() -> None:
    one = pair(height=16, width=16)
    mask = torch.zeros(32, 32, dtype=torch.bool)
    mask[8:24, 8:24] = True
    lr = functional.avg_pool2d(one.hr[None, None], 2)[0, 0]
    one = replace(one, lr=lr, mask=mask, operator=lambda hr: functional.avg_pool2d(hr, 2))
    sr = one.hr.where(mask, one.hr + 0.05)
    found = score_image("m", sr, one, PROTOCOL).lr_psnr
    assert found is not None
    assert found > 120
    assert (score_image("m", one.hr.where(~mask, one.hr + 0.05), one, PROTOCOL).lr_psnr or 0) < 40


def test_an_image_is_scorable_where_a_window_lies_inside_its_mask() -> None:
    mask = torch.zeros(32, 32, dtype=torch.bool)
    assert scorable(None, PROTOCOL)
    assert not scorable(mask, PROTOCOL)
    mask[2:9, 2:9] = True  # just inside what is shaved
    assert scorable(mask, PROTOCOL)
    assert not scorable(mask, replace(PROTOCOL, shave=3))
    one = pair(height=16, width=16)
    with pytest.raises(ValueError, match="the mask of core 'a' slice 0 must hold a window"):
        score_image("m", one.hr, replace(one, mask=torch.zeros_like(mask)), PROTOCOL)


def test_the_drift_is_from_hr_whatever_lr_is() -> None:
    one = pair()
    for lr in (one.lr, one.lr + 0.2):
        found = score_image("m", one.hr + 0.01, replace(one, lr=lr), PROTOCOL)
        assert found.drift == pytest.approx(0.01, abs=1e-6)


def test_what_the_operator_makes_of_an_image_is_held_against_lr() -> None:
    def operator(hr: Tensor) -> Tensor:
        assert hr.dtype == torch.float64
        return functional.avg_pool2d(hr, 2)

    one = replace(pair(), operator=operator)
    sr = nearest(one.lr[None, None])[0, 0]
    assert score_image("m", sr, one, PROTOCOL).lr_psnr == pytest.approx(float("inf"))
    found = score_image("m", sr + 0.01, one, replace(PROTOCOL, data_range=255.0, quantise=True))  # raw all the same
    assert found.lr_psnr == pytest.approx(40, abs=1e-4)
    assert score_image("m", sr, pair(), PROTOCOL).lr_psnr is None


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
        "self_ensemble": False,
        "back_project": False,
        "tile": None,
        "convention": "coresr",
        "data_range": 1.0,
        "quantise": False,
        "luma": False,
        "psnr_epsilon": 0.0,
        "ssim_window": 7,
        "ssim_small_window": 5,
        "ssim_sigma": 1.5,
        "ssim_border": "valid",
        "ssim_covariance": "population",
        "precision": PROTOCOL.precision,
        "pooling": "mean over images of each image's own score",
    }
    assert json.loads(json.dumps(asdict(PROTOCOL))) == asdict(PROTOCOL)
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
    assert {type(value) for value in (found.psnr, found.ssim, found.mae, found.drift)} == {float}


@pytest.mark.parametrize("field", [name for name in asdict(PROTOCOL) if name not in LATER])
def test_a_difference_in_any_field_is_named_with_both_values_and_refused(field: str) -> None:
    ours = asdict(PROTOCOL)
    theirs = json.loads(json.dumps({**ours, field: "other"}))
    assert differences(ours, theirs) == (f"{field} ({ours[field]!r} and 'other')",)
    assert differences(PROTOCOL, theirs) == differences(ours, theirs)
    del theirs[field]
    assert differences(theirs, ours) == (f"{field} (not said and {ours[field]!r})",)
    with pytest.raises(ValueError, match=f"one and two differ in {field}"):
        refuse_different({"one": ours, "two": theirs})


def test_a_table_of_before_a_field_did_what_everyone_did_then() -> None:
    old = asdict(PROTOCOL)
    del old["back_project"]
    assert differences(old, PROTOCOL) == ()
    assert differences(old, replace(PROTOCOL, back_project=True)) == ("back_project (False and True)",)


def test_equal_protocols_do_not_differ_after_a_round_trip_through_json() -> None:
    found = json.loads(json.dumps(asdict(PROTOCOL)))
    assert differences(PROTOCOL, found) == ()
    refuse_different({"a": asdict(PROTOCOL), "b": found, "c": dict(reversed(found.items()))})
    refuse_different({"a": found})
    refuse_different({})


def test_every_table_that_differs_from_the_first_is_named_with_its_fields() -> None:
    one = asdict(PROTOCOL)
    message = (
        "^tables must be of one protocol to stand side by side, got others: "
        r"a and b differ in shave \(2 and 4\), new \(not said and \[1\]\); a and d differ in tile \(None and 64\); "
        "score them again under one$"
    )
    with pytest.raises(ValueError, match=message):
        refuse_different({"a": one, "b": {**one, "shave": 4, "new": [1]}, "c": one, "d": {**one, "tile": 64}})


def test_a_protocol_that_is_no_table_of_fields_is_refused() -> None:
    wrong: Any = {"a": asdict(PROTOCOL), "b": ["shave", 2]}
    with pytest.raises(ValueError, match="protocol of b must be a mapping of its fields, got .'shave', 2."):
        refuse_different(wrong)


def test_images_that_are_projected_back_give_their_lr_back_and_bicubics_too() -> None:
    def shrink(image: Tensor) -> Tensor:
        return functional.avg_pool2d(image, 2)

    one = replace(pair(), operator=shrink, pinv=nearest)
    protocol = Protocol(scale=2, shave=2, degradation="mean", grey="", back_project=True)
    noisy = {name: lambda lr: nearest(lr) + 0.1 * torch.randn(1, 1, 20, 24) for name in ("bicubic", "net")}
    (scored,) = score(noisy, [one], protocol)
    apart = {name: (shrink(image[None, None])[0, 0] - one.lr).abs().max() for name, image in scored.images.items()}
    assert all(distance < 1e-6 for distance in apart.values())
    plain = next(iter(score(noisy, [one], replace(protocol, back_project=False))))
    assert (shrink(plain.images["net"][None, None])[0, 0] - one.lr).abs().max() > 1e-2


def test_without_an_operator_nothing_is_projected_back() -> None:
    protocol = Protocol(scale=2, shave=2, degradation="scan", grey="", back_project=True)
    with pytest.raises(ValueError, match="must have the operator of their LR and its inverse to be projected back"):
        list(score({"net": nearest}, [pair()], protocol))
