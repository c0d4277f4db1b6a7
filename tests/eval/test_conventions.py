"""Papers' numbers against formulas and programs of others, on images whose scores are published or computed here."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import metrics

from coresr_eval.conventions import CONVENTIONS, under
from coresr_eval.protocol import Pair, Protocol, Score, score_image

SKIMAGE: Any = metrics  # which has no types
RAW = Protocol(scale=2, shave=0, degradation="bicubic", grey="uint8, 0 → 0, 255 → 1")
Y_GAIN = 20 * math.log10(255 / 219)
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def golden_pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    i, j = np.mgrid[:64, :64]
    a = 0.5 + 0.25 * np.sin(2 * np.pi * i / 16) * np.cos(2 * np.pi * j / 11) + 0.2 * ((i // 8 + j // 8) % 2 - 0.5)
    return a, np.clip(0.9 * a + 0.05 + 0.04 * np.sin(2 * np.pi * (3 * i + 5 * j) / 17), 0, 1)


def scored(sr: NDArray[np.floating], hr: NDArray[np.floating], protocol: Protocol) -> Score:
    lr = torch.zeros(hr.shape[0] // 2, hr.shape[1] // 2)
    return score_image("m", torch.from_numpy(sr), Pair(core="a", slice=0, lr=lr, hr=torch.from_numpy(hr)), protocol)


@pytest.mark.parametrize(
    ("convention", "psnr", "ssim"),
    [
        ("coresr", 29.7317283553, 0.9624545829),
        ("basicsr_pt", 29.7316875276, 0.9651861215),
        ("scikit_image", 29.7317283553, 0.9705190419),
        ("torchmetrics", 29.7317283553, 0.9609467744),
    ],
)
def test_the_golden_pair_scores_what_each_program_says_of_it(convention: str, psnr: float, ssim: float) -> None:
    a, b = golden_pair()
    found = scored(a, b, under(RAW, convention))
    assert (found.psnr, found.ssim) == pytest.approx((psnr, ssim), abs=0.6e-10)
    single = scored(a.astype(np.float32), b.astype(np.float32), under(RAW, convention))
    assert (single.psnr, single.ssim) == pytest.approx((psnr, ssim), abs=1e-6)


def bytes_of(image: NDArray[np.floating]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.rint(np.clip(255 * image.astype(np.float64), 0, 255))
    return found


@pytest.mark.parametrize("convention", ["basicsr", "matlab", "y_channel"])
def test_eight_bits_are_clipped_and_rounded_and_then_seen_through_wangs_window(convention: str) -> None:
    hr, sr = golden_pair()
    sr = 2 * sr - 0.5  # beyond both ends
    assert sr.max() > 1
    assert sr.min() < 0
    ours, theirs = bytes_of(sr), bytes_of(hr)
    if convention == "y_channel":
        ours, theirs = (np.rint(16 + 219 * levels / 255) for levels in (ours, theirs))
    found = scored(sr, hr, under(RAW, convention))
    assert found.psnr == pytest.approx(SKIMAGE.peak_signal_noise_ratio(theirs, ours, data_range=255), abs=1e-10)
    assert found.ssim == pytest.approx(SKIMAGE.structural_similarity(theirs, ours, data_range=255, **WANG), abs=1e-12)
    assert found.mae == pytest.approx(np.abs(ours - theirs).mean() / 255, abs=1e-12)


def test_scikit_images_convention_is_its_default() -> None:
    hr, sr = golden_pair()
    found = scored(sr, hr, under(RAW, "scikit_image"))
    assert found.ssim == pytest.approx(SKIMAGE.structural_similarity(hr, sr, data_range=1.0), abs=1e-12)


def test_y_of_a_grey_image_flatters_psnr_by_1_322_db() -> None:
    hr, sr = golden_pair()
    assert pytest.approx(1.322, abs=5e-4) == Y_GAIN
    raw = scored(sr, hr, RAW).psnr
    assert scored(sr, hr, replace(RAW, luma=True)).psnr == pytest.approx(raw + Y_GAIN, abs=1e-9)
    eight_bits, paper = (scored(sr, hr, under(RAW, name)).psnr for name in ("basicsr", "y_channel"))
    assert paper - eight_bits == pytest.approx(Y_GAIN, abs=0.05)  # Y is rounded once more


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_convention_is_its_name_and_the_fields_it_sets_and_nothing_else(convention: str) -> None:
    kept = {"scale", "shave", "degradation", "grey", "self_ensemble", "back_project", "tile"}
    kept |= {"precision", "pooling", "convention"}
    assert set(CONVENTIONS[convention]) == {field.name for field in fields(Protocol)} - kept
    start = replace(RAW, shave=4, tile=64, self_ensemble=True)
    found = under(start, convention)
    assert found.convention == convention
    assert all(getattr(found, name) == getattr(start, name) for name in kept - {"convention"})
    assert under(found, "coresr") == start  # whatever was set before


def test_the_house_convention_is_the_default() -> None:
    assert under(RAW, "coresr") == RAW


@pytest.mark.parametrize("convention", sorted(CONVENTIONS.keys() - {"coresr"}))
def test_no_smaller_window_stands_in_for_one_that_papers_do_not_shrink(convention: str) -> None:
    protocol = under(RAW, convention)
    image = np.random.default_rng(0).random((protocol.ssim_window - 1, 20))
    with pytest.raises(ValueError, match=f"must be {len(image) + 1} pixels a side or more"):
        scored(image, image, protocol)


@pytest.mark.parametrize(
    "grey",
    [
        "uint16, 0 → 0, 65535 → 1",
        "uint8, 20 → 0, 230 → 1",
        "uint8, 0 → 0, 255 → 1, of levels rounded before",
        "float32, 0 → 0, 1 → 1",
    ],
)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_grey_levels_that_are_not_of_8_bits_are_never_rounded_to_8_bits(convention: str, grey: str) -> None:
    protocol = replace(RAW, grey=grey)
    if not CONVENTIONS[convention]["quantise"]:
        assert under(protocol, convention).grey == grey
        return
    with pytest.raises(ValueError, match=rf"^grey levels must be uint8, .* under {convention}, .* got {grey}; score"):
        under(protocol, convention)


def test_a_name_that_is_no_convention_is_refused_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="convention must be one of coresr, y_channel, .*, got 'matlap'"):
        under(RAW, "matlap")
