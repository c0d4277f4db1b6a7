import math
from collections.abc import Callable
from typing import Any

import pytest

from coresr_eval.protocol import Score
from coresr_eval.report import guard, summary

Make = Callable[..., Score]
NAMES = ("model", "n", "psnr", "ssim", "gain_db")


def told(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row.get(name) for name in NAMES) for row in rows]


def test_summary_holds_means_and_the_gain_of_each_image_over_bicubic_of_the_same_image(score: Make) -> None:
    scores = [
        score("net", 33.0, core="b", number=4, ssim=0.9),
        score("bicubic", 20.0, core="a", number=4, ssim=0.4),
        score("bicubic", 30.0, core="b", number=4, ssim=0.8),
        score("bicubic", 25.0, core="b", number=5, ssim=0.75),
        score("net", 21.0, core="a", number=4, ssim=0.5),
    ]
    found = summary({"shave": 2}, scores)
    assert list(found) == ["protocol", "rows", "per_core"]
    assert found["protocol"] == {"shave": 2}
    # not 27 - 25: bicubic's third image is none of the net's; (33 - 30 + 21 - 20) / 2
    expected = [("bicubic", 3, 25.0, pytest.approx(0.65), None), ("net", 2, 27.0, pytest.approx(0.7), 2.0)]
    assert told(found["rows"]) == expected
    assert told(found["per_core"]["a"]) == [("bicubic", 1, 20.0, 0.4, None), ("net", 1, 21.0, 0.5, 1.0)]
    assert told(found["per_core"]["b"]) == [
        ("bicubic", 2, 27.5, pytest.approx(0.775), None),
        ("net", 1, 33.0, 0.9, 3.0),
    ]
    assert list(found["per_core"]) == ["b", "a"]


def test_summary_holds_the_means_of_error_consistency_and_drift_and_the_worst_of_both(score: Make) -> None:
    first = score("bicubic", 30.0, mae=0.01, lr_psnr=50.0, drift=0.002)
    found = summary({}, [first, score("bicubic", 30.0, number=1, mae=0.03, lr_psnr=40.0, drift=-0.004)])["rows"][0]
    assert found == {
        "model": "bicubic",
        "n": 2,
        "psnr": 30.0,
        "ssim": 0.5,
        "mae": pytest.approx(0.02),
        "lr_psnr": 45.0,
        "drift": pytest.approx(-0.001),
        "worst_drift": -0.004,
        "worst_lr_psnr": 40.0,
    }
    bare = Score(model="bicubic", core="a", slice=1, psnr=30.0, ssim=0.5)
    found = summary({}, [first, bare])["rows"][0]
    assert [found[name] for name in ("mae", "lr_psnr", "drift", "worst_drift", "worst_lr_psnr")] == [None] * 5


def test_the_rows_come_per_rock_where_the_rocks_are_known(score: Make) -> None:
    scores = [score("bicubic", psnr, core=core) for core, psnr in (("a", 20.0), ("b", 30.0), ("c", 40.0))]
    rocks = {"c": "shale", "absent": "chalk", "a": "coal", "b": "shale"}
    found = summary({}, scores, rocks=rocks)["per_rock"]
    assert [(rock, told(rows)) for rock, rows in found.items()] == [
        ("shale", [("bicubic", 2, 35.0, 0.5, None)]),
        ("coal", [("bicubic", 1, 20.0, 0.5, None)]),
    ]
    with pytest.raises(ValueError, match="must name the rock of every core, got none of c"):
        summary({}, scores, rocks={"a": "coal", "b": "shale"})


@pytest.mark.parametrize(
    ("pairs", "gain"),
    [
        ([(math.inf, math.inf), (31.0, 30.0)], 0.5),
        ([(math.inf, 30.0)], math.inf),
        ([(math.inf, 30.0), (30.0, math.inf)], None),
    ],
)
def test_perfect_images_have_a_gain_that_is_never_nan(
    score: Make, pairs: list[tuple[float, float]], gain: float | None
) -> None:
    ours = [score("net", pair[0], number=number) for number, pair in enumerate(pairs)]
    base = [score("bicubic", pair[1], number=number) for number, pair in enumerate(pairs)]
    assert summary({}, [*ours, *base])["rows"][1]["gain_db"] == gain


def test_summary_refuses_scores_that_cannot_be_compared(score: Make) -> None:
    bicubic = score("bicubic", 30.0)
    for scores, message in (
        ([], "must be of one image at least, got none"),
        ([bicubic, score("net", 31.0, number=9)], "core a slice 9 must include bicubic, got net"),
        ([bicubic, score("bicubic", 31.0)], "must be one per model and image, got 2 for 1"),
    ):
        with pytest.raises(ValueError, match=message):
            summary({}, scores)


def guards(score: Make, **net: float | None) -> list[str]:
    base = {"lr_psnr": net.pop("base", 46.0)}
    rows = summary({}, [score("bicubic", 30.0, drift=0.0, **base), score("net", 31.0, **net)])["rows"]
    return guard(rows)


def test_a_drift_of_more_than_a_grey_level_is_flagged_in_either_direction(score: Make) -> None:
    assert not guards(score, drift=0.99 / 255)
    (sentence,) = guards(score, drift=1.6 / 255)
    assert sentence.startswith("net shifts the mean grey level, by +1.6 of 255 on its worst image: ")
    assert guards(score, drift=-1.01 / 255)[0].startswith("net shifts the mean grey level, by −1.0 of 255")


def test_drifts_that_cancel_over_images_are_flagged_all_the_same(score: Make) -> None:
    scores = [score("bicubic", 30.0, number=i, drift=drift) for i, drift in enumerate((0.01, -0.02))]
    (sentence,) = guard(summary({}, scores)["rows"])
    assert "by −5.1 of 255" in sentence


def test_where_the_scan_is_brighter_everyone_who_keeps_it_is_named(score: Make) -> None:
    scores = [score("bicubic", 30.0, drift=0.08), score("same", 30.0, drift=0.08), score("other", 30.0, drift=-0.07)]
    assert [sentence.split()[0] for sentence in guard(summary({}, scores)["rows"])] == ["bicubic", "same", "other"]


def test_a_model_that_contradicts_lr_more_than_bicubic_does_is_flagged(score: Make) -> None:
    assert not guards(score, lr_psnr=43.5)  # less than 3 dB below bicubic
    (sentence,) = guards(score, lr_psnr=42.5)
    assert "matches LR with 42.5 dB, bicubic with 46.0 dB" in sentence
    assert not guards(score, base=60.0, lr_psnr=48.5)  # less than a grey level RMS off: 20 log10(255) is 48.13
    assert guards(score, base=60.0, lr_psnr=47.9)
    assert guards(score, base=math.inf, lr_psnr=47.9)
    assert not guards(score, base=30.0, lr_psnr=30.0)


def test_one_image_that_contradicts_lr_does_not_hide_among_others(score: Make) -> None:
    plain = [score("bicubic", 30.0, number=i, lr_psnr=41.0, drift=0.0) for i in range(4)]
    for found in ((64.0, 64.0, 64.0, 22.0), (math.inf, 64.0, 64.0, 20.0)):
        net = [score("net", 31.0, number=i, lr_psnr=one, drift=0.0) for i, one in enumerate(found)]
        (sentence,) = guard(summary({}, [*plain, *net])["rows"])
        assert f"on its worst image: degraded again as LR was made, it matches LR with {found[3]:.1f} dB" in sentence
    fine = [score("net", 31.0, number=i, lr_psnr=50.0, drift=0.0) for i in range(4)]
    assert not guard(summary({}, [*plain, *fine])["rows"])


def test_what_was_not_taken_is_not_flagged(score: Make) -> None:
    assert not guards(score, lr_psnr=None, drift=math.nan)
    assert not guards(score, base=None, lr_psnr=20.0)
