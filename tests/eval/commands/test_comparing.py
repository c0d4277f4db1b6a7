import csv
import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from coresr_eval.cli import Parser, UsageError
from coresr_eval.commands import comparing
from coresr_eval.protocol import Protocol, Score
from coresr_eval.report import summary, write_json, write_scores
from coresr_eval.statistics import BASELINE

PROTOCOL = Protocol(scale=2, shave=2, degradation="bicubic", grey="uint8, 0 → 0, 255 → 1")
IMAGES = [(core, number) for core in ("=coal", "b", "c", "d") for number in range(6)]
BICUBIC = dict(zip(IMAGES, np.random.default_rng(0).normal(33, 1, 24), strict=True))


def scored(
    folder: Path,
    model: str = "net",
    *,
    gain: float = 3.0,
    seed: int = 1,
    shave: int = 2,
    images: list[tuple[str, int]] = IMAGES,
    store: str | None = None,
    shift: float = 0.0,
) -> Path:
    """What `score` leaves: a network that gains so much over bicubic, give or take 0.05 dB an image."""
    noise = np.random.default_rng(seed).normal(0, 0.05, len(images))
    scores = []
    for (core, number), extra in zip(images, noise, strict=True):
        base = BICUBIC[core, number] + shift
        for name, psnr in ((BASELINE, base), (model, base + gain + extra)):
            mae = 10 ** (-psnr / 20)
            scores.append(Score(model=name, core=core, slice=number, psnr=psnr, ssim=1 - mae, mae=mae))
    folder.mkdir(parents=True)
    write_scores(folder / "scores.csv", scores)
    protocol = asdict(PROTOCOL) | {"shave": shave}
    write_json(folder / "summary.json", summary(protocol, scores) | ({"store": store} if store else {}))
    return folder


def run(*arguments: object) -> None:
    parser = Parser()
    comparing.add(parser.add_subparsers())
    options = parser.parse_args(["compare", *map(str, arguments)])
    options.command(options)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def seeds(at: Path) -> list[str]:
    """Three seeds of a recipe, three of an equal one, three of a worse one, as arguments."""
    models = [("wide", 3.0, 1), ("wide again", 3.0, 11), ("narrow", 2.0, 21)]
    return [
        f"{name}={scored(at / f'{name} {seed}', gain=gain, seed=seed)}"
        for name, gain, first in models
        for seed in range(first, first + 3)
    ]


def test_seeds_of_one_recipe_are_one_row_and_only_the_worse_recipe_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*seeds(tmp_path), "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    rows = {row["model"]: row for row in found["rows"]}
    assert {name: row["runs"] for name, row in rows.items()} == {"wide": 3, "wide again": 3, "narrow": 3, BASELINE: 1}
    assert rows["narrow"]["gain"] == pytest.approx(2, abs=0.03)
    assert rows["narrow"]["gain_low"] < 2.02
    assert [rows[name]["letters"] for name in ("wide", "wide again", "narrow", BASELINE)] == ["a", "a", "b", "c"]
    verdicts = {frozenset((pair["one"], pair["other"])): pair["verdict"] for pair in found["pairs"]}
    assert verdicts.pop(frozenset(("wide", "wide again"))) in ("equivalent", "not distinguishable")
    assert set(verdicts.values()) == {"different"}
    assert found["protocol"] == asdict(PROTOCOL)
    assert len(found["tables"]["narrow"]) == 3
    printed = capsys.readouterr().out
    assert "psnr dB of 24 images of 4 cores, 95 % intervals" in printed
    assert "wide again" in printed
    assert "different (these recipes)" in printed
    assert all(note in printed for note in found["notes"])


def test_tables_hold_what_was_compared_and_disarm_names(tmp_path: Path) -> None:
    run(scored(tmp_path / "a"), scored(tmp_path / "b", "@other"), "--out", tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "comparison.csv")
    assert {row["model"] for row in rows} == {"net", "'@other", BASELINE}
    exact = {row["model"]: row for row in json.loads((tmp_path / "out" / "compare.json").read_text())["rows"]}
    net = next(row for row in rows if row["model"] == "net")
    assert list(net) == ["model", "runs", "n", "mean", "low", "high", "gain", "gain_low", "gain_high", "letters"]
    assert float(net["gain_high"]) == pytest.approx(exact["net"]["gain_high"], rel=1e-7)
    assert (net["runs"], net["n"]) == ("1", "24")
    pairs = rows_of(tmp_path / "out" / "pairs.csv")
    assert len(pairs) == 3
    assert {pair["verdict"] for pair in pairs} <= {"different", "equivalent", "not distinguishable"}
    assert (
        "these two files only"
        in {frozenset((p["one"], p["other"])): p for p in pairs}[frozenset(("net", "'@other"))]["about"]
    )


def test_the_page_shows_every_model(tmp_path: Path) -> None:
    run(*seeds(tmp_path), "--out", tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert all(name in page for name in ("wide again", "narrow", BASELINE))


def test_other_metrics_are_compared_on_request(tmp_path: Path) -> None:
    tables = [scored(tmp_path / "a", "good", gain=4), scored(tmp_path / "b", "fair", gain=1, seed=2)]
    for metric, best in (("ssim", "good"), ("mae", "good")):
        run(*tables, "--out", tmp_path / metric, "--metric", metric)
        found = json.loads((tmp_path / metric / "compare.json").read_text())
        assert (found["metric"], found["unit"], found["margin"]) == (metric, "", 0)
        assert [row["model"] for row in found["rows"]] == [best, "fair", BASELINE]


def few(folder: Path, maes: dict[str, list[float]], cores: list[str]) -> Path:
    """What `score` leaves of images whose MAE is near 0 and whose SSIM is near 1."""
    scores = [
        Score(model=model, core=core, slice=number, psnr=30 + number - 100 * mae, ssim=1 - mae / 10, mae=mae)
        for model, of in maes.items()
        for number, (mae, core) in enumerate(zip(of, cores, strict=True))
    ]
    folder.mkdir(parents=True)
    write_scores(folder / "scores.csv", scores)
    write_json(folder / "summary.json", summary(asdict(PROTOCOL), scores))
    return folder


def test_no_mean_reaches_beyond_what_the_metric_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = few(tmp_path / "a", {BASELINE: [0.03, 0.05], "net": [0.02, 0.0001]}, ["a", "a"])
    found = {}
    for metric in ("mae", "ssim", "psnr"):
        run(table, "--out", tmp_path / metric, "--metric", metric)
        found[metric] = json.loads((tmp_path / metric / "compare.json").read_text())
    assert [row["low"] for row in found["mae"]["rows"]] == [0, 0]
    assert [row["high"] for row in found["ssim"]["rows"]] == [1, 1]
    assert all(row["high"] > row["mean"] for row in found["mae"]["rows"])
    assert all(row["low"] < row["mean"] for row in found["ssim"]["rows"])
    row = found["psnr"]["rows"][0]
    assert row["high"] - row["mean"] == pytest.approx(row["mean"] - row["low"])
    pair = found["mae"]["pairs"][0]
    assert pair["low"] < pair["difference"] < 0 < pair["high"]
    assert pair["high"] - pair["difference"] == pytest.approx(pair["difference"] - pair["low"])
    assert "mae of 2 images of 1 core, 95 % intervals" in capsys.readouterr().out


def test_equal_errors_are_still_better_where_less(tmp_path: Path) -> None:
    table = few(tmp_path / "a", {BASELINE: [0.03, 0.05], "net": [0.03, 0.05]}, ["a", "b"])
    run(table, "--out", tmp_path / "out", "--metric", "mae")
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["higher_is_better"] is False
    assert "less is better" in (tmp_path / "out" / "index.html").read_text()


def test_one_image_and_one_core_are_counted_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(few(tmp_path / "a", {BASELINE: [0.03], "net": [0.02]}, ["a"]), "--out", tmp_path / "out", "--metric", "ssim")
    printed = capsys.readouterr().out
    assert printed.startswith("ssim of 1 image of 1 core, 95 % intervals")
    assert " 1 run   0.99800 [−1.00000, 1.00000] " in printed  # one image says nothing: all that SSIM can be


def test_the_margin_is_that_of_the_user(tmp_path: Path) -> None:
    tables = [scored(tmp_path / "a", "one"), scored(tmp_path / "b", "two", seed=2)]
    for margin, verdict in (("1", "equivalent"), ("0", "not distinguishable")):
        run(*tables, "--out", tmp_path / margin, "--margin", margin)
        found = json.loads((tmp_path / margin / "compare.json").read_text())
        pair = next(pair for pair in found["pairs"] if BASELINE not in (pair["one"], pair["other"]))
        assert (found["margin"], pair["verdict"]) == (float(margin), verdict)
    with pytest.raises(UsageError, match="--margin must be 0 or more, got -1"):
        run(*tables, "--out", tmp_path / "out", "--margin", "-1")


def test_a_copy_is_no_other_seed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="different seeds, got the same scores twice"):
        run(f"x={scored(tmp_path / 'a')}", f"x={scored(tmp_path / 'b')}", "--out", tmp_path / "out")


def test_a_metric_that_was_not_taken_or_has_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lr_psnr of 'bicubic' must be finite on all images, got none of some"):
        run(scored(tmp_path / "a"), "--out", tmp_path / "out", "--metric", "lr_psnr")
    with pytest.raises(
        ValueError, match=r"psnr of 'net' must be finite on all images, got inf, which is of a perfect image; c"
    ):
        run(scored(tmp_path / "b", gain=math.inf), "--out", tmp_path / "out")
