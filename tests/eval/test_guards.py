"""The bounds, from either side, and on real rock."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coresr_eval import guards
from coresr_eval.consistency import drift, lr_psnr
from coresr_eval.guards import flags

LEVEL = 1 / 255


@pytest.mark.parametrize(
    ("drift", "bicubic", "flagged"),
    [
        (0.99, 0.0, False),
        (-0.99, 0.0, False),
        (1.01, 0.0, True),
        (-1.01, 0.0, True),
        (3.9, 3.0, False),
        (4.1, 3.0, True),
        (1.9, 3.0, True),
        (-19.0, 20.0, True),
    ],
)
def test_a_level_off_hr_that_is_not_the_scans_is_flagged_either_way(
    drift: float, bicubic: float, flagged: bool
) -> None:
    said = flags(drift=drift * LEVEL, bicubic_drift=bicubic * LEVEL, lr_psnr=None, bicubic_lr_psnr=None)
    assert len(said) == flagged
    assert all(one.startswith("mean grey drifts from HR's by ") for one in said)


def test_a_model_that_takes_back_the_drift_of_its_scan_is_not_flagged() -> None:
    assert flags(drift=0.0, bicubic_drift=5 * LEVEL, lr_psnr=None, bicubic_lr_psnr=None) == []


def test_the_sentence_says_both_drifts_in_levels() -> None:
    (said,) = flags(drift=-4 * LEVEL, bicubic_drift=0.5 * LEVEL, lr_psnr=60.0, bicubic_lr_psnr=41.0)
    assert said == (
        "mean grey drifts from HR's by −4.00 of 255 levels, bicubic's by +0.50: "
        "a threshold fixed on HR cuts other pores"
    )


@pytest.mark.parametrize(
    ("bicubic", "bound"),
    [(41.0, 38.0), (38.5, 38.0), (35.2, 35.2), (45.0, 45 - guards.TWICE), (60.0, guards.LEVEL_PSNR)],
)
def test_an_image_that_contradicts_its_lr_is_flagged_where_it_is_known_how_that_was_made(
    bicubic: float, bound: float
) -> None:
    assert flags(drift=0.0, bicubic_drift=0.0, lr_psnr=None, bicubic_lr_psnr=bicubic) == []
    assert flags(drift=0.0, bicubic_drift=0.0, lr_psnr=bound + 0.01, bicubic_lr_psnr=bicubic) == []
    assert flags(drift=0.0, bicubic_drift=0.0, lr_psnr=math.inf, bicubic_lr_psnr=bicubic) == []
    (said,) = flags(drift=0.0, bicubic_drift=0.0, lr_psnr=bound - 0.01, bicubic_lr_psnr=bicubic)
    assert said.startswith("degraded as LR was it matches LR with ")
    assert f"bicubic with {bicubic:.1f}: " in said


def test_numbers_that_are_none_are_flagged() -> None:
    both = flags(drift=math.nan, bicubic_drift=0.0, lr_psnr=math.nan, bicubic_lr_psnr=41.0)
    assert [sentence.split()[0] for sentence in both] == ["mean", "degraded"]
    assert len(flags(drift=0.01, bicubic_drift=math.nan, lr_psnr=math.nan, bicubic_lr_psnr=41.0)) == 2


def test_without_hr_the_drift_is_from_lr() -> None:
    (said,) = flags(drift=0.01, bicubic_drift=0.0, lr_psnr=None, bicubic_lr_psnr=None, reference="LR")
    assert said.startswith("mean grey drifts from LR's by ")


@pytest.mark.parametrize(
    "file", ["sandstone-versa/slices/0400.png", "shale-fibsem/slices/03.png", "duvernay-sem/duvernay_001.png"]
)
def test_on_rock_bicubic_and_hr_pass_and_invented_texture_and_a_shift_do_not(real_data: Path, file: str) -> None:
    resize, degrade = pytest.importorskip("coresr_data.resize"), pytest.importorskip("coresr_data.degrade")
    levels = np.asarray(Image.open(real_data / file))[:256, :256]
    operator = resize.resizing(256, 256, 0.5)
    hr, lr = (torch.from_numpy(image / 255)[None, None] for image in (levels, degrade.bicubic(levels, 2)))
    bicubic = resize.resizing(128, 128, 2).forward(lr)
    grains = torch.nn.functional.interpolate(torch.randn(1, 1, 64, 64).double(), scale_factor=4, mode="bicubic")
    images = {
        "HR": hr,
        "bicubic": bicubic,
        "the smallest of LR": operator.pinv(lr),
        "with texture of 4 levels": hr + 4 * LEVEL * grains / grains.std(),
        "a pixel off": hr.roll(1, -1),
        "brighter": hr + 1.1 * LEVEL,
    }
    base = float(drift(bicubic, hr))
    consistent = float(lr_psnr(bicubic, lr, operator.forward, data_range=1.0))
    found = {
        name: flags(
            drift=float(drift(image, hr)),
            bicubic_drift=base,
            lr_psnr=float(lr_psnr(image, lr, operator.forward, data_range=1.0)),
            bicubic_lr_psnr=consistent,
        )
        for name, image in images.items()
    }
    firsts = {name: [sentence.split()[0] for sentence in said] for name, said in found.items()}
    assert firsts == {
        "HR": [],
        "bicubic": [],
        "the smallest of LR": [],
        "with texture of 4 levels": ["degraded"],
        "a pixel off": ["degraded"],
        "brighter": ["mean"],
    }
