"""What `score` leaves behind, from slices that are scored already."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from coresr_eval.commands.publishing import ANALYSED, PICTURED, compared, crop_of, publish, spread
from coresr_eval.figures import MODELS
from coresr_eval.grounds import ground
from coresr_eval.protocol import Pair, Protocol, Score, Scored, score_image

PROTOCOL = Protocol(scale=2, shave=2, degradation="block means", grey="uint8, 0 → 0, 255 → 1")


def halve(image: Tensor) -> Tensor:
    return functional.avg_pool2d(image, 2)


def double(image: Tensor) -> Tensor:
    return functional.interpolate(image, scale_factor=2)


def slices(number: int, *, operator: bool = True) -> list[Scored]:
    """Noise on a ramp; `bicubic` repeats LR, `net` is half way from there to HR."""
    found = []
    for z in range(number):
        ramp = torch.linspace(0, 0.7, 40).expand(32, 40)
        hr = ramp + 0.3 * torch.rand(32, 40, generator=torch.Generator().manual_seed(z))
        lr = halve(hr[None, None])[0, 0]
        pair = Pair(core="plug", slice=z, lr=lr, hr=hr)
        pair = replace(pair, operator=halve, pinv=double) if operator else pair
        base = double(lr[None, None])[0, 0]
        images = {"bicubic": base, "net": (base + hr) / 2}
        scores = tuple(score_image(name, image, pair, PROTOCOL) for name, image in images.items())
        found.append(Scored(pair=pair, images=images, scores=scores))
    return found


def published(folder: Path, found: list[Scored], names: Sequence[str] = ("net",)) -> str:
    publish(
        found,
        folder,
        number=len(found),
        names=names,
        protocol=PROTOCOL,
        grounds={"plug": ground([found[0].pair.hr.numpy()])},
        title="net",
        notes=["A note."],
    )
    return (folder / "index.html").read_text()


def test_a_folder_holds_rows_numbers_tables_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = published(tmp_path / "new" / "out", slices(5))
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "scores.csv", "summary.json", "summary.md"]
    found = json.loads((out / "summary.json").read_text())
    assert found["fineness"]["bicubic"]["wrong_detail"] == pytest.approx(1)
    assert found["fineness"]["net"]["wrong_detail"] == pytest.approx(0.25)
    assert set(found["pores"]["plug"]["images"]) == {"lr", "hr", "bicubic", "net"}
    assert "dice" not in found["pores"]["plug"]["images"]["lr"]
    assert page.count("<svg") == 3
    assert "A note." in page
    assert "beyond LR" in page
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["bicubic", "net", "page"]


def test_without_the_operator_nothing_is_said_of_detail_beyond_lr(tmp_path: Path) -> None:
    page = published(tmp_path, slices(2, operator=False))
    assert "wrong_detail" not in json.loads((tmp_path / "summary.json").read_text())["fineness"]["net"]
    assert "beyond LR</b>" not in page


def test_the_crop_maps_the_detail_that_lr_cannot_hold() -> None:
    (one,) = slices(1)
    crop = crop_of(one, ["net"])
    expected = one.images["net"] - double(halve(one.images["net"][None, None]))[0, 0]
    np.testing.assert_allclose(crop.beyond["net"], expected[:, 4:36], atol=1e-6)


def test_the_interval_of_the_gain_stands_on_the_page(tmp_path: Path) -> None:
    found = compared([score for one in slices(8) for score in one.scores])
    assert found is not None
    (net,) = (row for row in found.rows if row.model == "net")
    page = published(tmp_path, slices(8))
    assert f"95 % interval +{net.gain_low:.2f} to +{net.gain_high:.2f}" in page


def several(number: int, count: int) -> list[Scored]:
    """`slices` by as many networks, each a little nearer to HR than the one before."""
    found = []
    for one in slices(number):
        base, hr = one.images["bicubic"], one.pair.hr
        images = {"bicubic": base} | {f"net{i}": base + (0.1 + 0.05 * i) * (hr - base) for i in range(count)}
        scores = tuple(score_image(name, image, one.pair, PROTOCOL) for name, image in images.items())
        found.append(replace(one, images=images, scores=scores))
    return found


def test_several_models_are_printed_and_tabled_with_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = published(tmp_path, several(6, 2), ["net0", "net1"])
    found = json.loads((tmp_path / "summary.json").read_text())
    rated = {row["model"]: row["letters"] for row in found["comparison"]["rows"]}
    assert sorted(rated.values()) == ["a", "b", "c"]
    said = capsys.readouterr().out.splitlines()
    assert [(line.split()[0], line.split()[-1]) for line in said[:-1]] == [
        (name, rated[name]) for name in ("bicubic", "net0", "net1")
    ]
    table = (tmp_path / "summary.md").read_text().splitlines()
    assert "the first" not in page
    assert [line.split(" | ")[-1] for line in table[2:5]] == [f"{rated[n]} |" for n in ("bicubic", "net0", "net1")]


def test_of_many_models_the_first_are_pictured_and_drawn_and_the_page_says_so(tmp_path: Path) -> None:
    names = [f"net{i}" for i in range(MODELS + 1)]
    page = published(tmp_path, several(1, len(names)), names)
    assert f"by bicubic and the first {PICTURED} of {len(names)} models." in page
    assert f"{names[PICTURED - 1]} image of core" in page
    assert f"{names[PICTURED]} image of core" not in page
    assert f"Charts draw bicubic and the first {MODELS} models; the tables hold all." in page
    assert len(json.loads((tmp_path / "summary.json").read_text())["rows"]) == len(names) + 1


def test_nothing_is_compared_where_there_is_nothing_to_compare() -> None:
    alone = [Score(model="bicubic", core="a", slice=z, psnr=30.0 + z, ssim=0.9) for z in range(3)]
    assert compared(alone) is None
    assert compared([score for one in slices(1) for score in one.scores]) is None  # nothing is known of another slice
    perfect = [Score(model="net", core="a", slice=z, psnr=math.inf, ssim=1.0) for z in range(3)]
    assert compared(alone + perfect) is None


@pytest.mark.parametrize(("most", "number"), [(4, 1), (4, 2), (4, 100), (ANALYSED, 33), (1, 5)])
def test_places_are_spread_from_end_to_end(most: int, number: int) -> None:
    found = sorted(spread(most, number))
    assert len(found) == min(most, number)
    assert found[0] == 0
    assert found[-1] == (number - 1 if most > 1 else 0)
    assert max(np.diff(found), default=0) - min(np.diff(found), default=0) <= 1


def test_only_some_slices_of_a_long_split_are_analysed(tmp_path: Path) -> None:
    page = published(tmp_path, slices(ANALYSED + 8))
    assert f"Spectra and pores are of {ANALYSED} slices spread evenly over the split. Where" in page
    assert json.loads((tmp_path / "summary.json").read_text())["rows"][0]["n"] == ANALYSED + 8
