"""The command line: scores that agree with the metrics, images that agree with the network, one line for an error."""

import csv
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import Window, imresize, open_store, prepare, to_unit, whole_slices
from coresr_data.cli import run
from coresr_data.formats.images import write_slice
from coresr_eval.__main__ import main
from coresr_eval.commands.publishing import CROP, crop_of
from coresr_eval.fidelity import psnr, ssim
from coresr_eval.inference import self_ensemble
from coresr_eval.protocol import Pair, Scored
from coresr_models import ModelSpec, Network, build, save
from coresr_models.build import Argument

SIZE = (37, 44)
"""Of the slices: odd, so that a store crops a row."""


def texture(seed: int, height: int, width: int) -> NDArray[np.float64]:
    """Grey structure of several pixels' size, in [0, 1]."""
    coarse = np.random.default_rng(seed).random((height // 3 + 2, width // 3 + 2))
    enlarged: NDArray[np.float64] = np.clip(imresize(coarse, 3), 0, 1)[:height, :width]
    return enlarged


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cores, ten slices each; the last four are the test split."""
    folder = tmp_path_factory.mktemp("data")
    for c, core in enumerate(("chalk", "shale")):
        (folder / "cores" / core).mkdir(parents=True)
        for z in range(10):
            levels = (255 * texture(10 * c + z, *SIZE)).astype(np.uint8)
            write_slice(folder / "cores" / core / f"{z:03d}.png", levels)
    prepare(folder / "cores", folder / "store", scale=2, split={"train": (0, 3), "test": (6, 9)})
    return folder / "store"


def lively(name: str = "edsr", **changes: Argument) -> tuple[Network, ModelSpec]:
    """A small network in which nothing is zero, as after training."""
    small: dict[str, dict[str, Argument]] = {"edsr": {"width": 4, "blocks": 1}, "unet": {"width": 4, "depth": 2}}
    spec = ModelSpec(name=name, arguments={**small[name], **changes})
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.05)
    return network, spec


def saved(path: Path, name: str = "edsr", **changes: Argument) -> Network:
    network, spec = lively(name, **changes)
    save(path, network, spec, {})
    return network


def scored(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "scores.csv", "summary.json", "summary.md"]
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return json.loads((folder / "summary.json").read_text()), rows


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code and the one line of a command that must fail."""
    with pytest.raises(SystemExit) as end:
        run(lambda: main([str(argument) for argument in arguments]))
    said = capsys.readouterr().err
    assert said.startswith("coresr: error: ")
    assert said.count("\n") == 1
    assert isinstance(end.value.code, int)
    return end.value.code, said


def test_the_word_bicubic_is_scored_alone(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["score", "bicubic", "--data", str(store), "--out", str(tmp_path / "new" / "out")])
    summary, rows = scored(tmp_path / "new" / "out")
    assert [(row["model"], row["n"]) for row in summary["rows"]] == [("bicubic", 8)]
    assert len(rows) == 8
    assert "PSNR" in capsys.readouterr().out


def test_bicubic_scores_are_those_of_the_metrics_on_the_resizer(store: Path, tmp_path: Path) -> None:
    main(["score", "bicubic", "--data", str(store), "--out", str(tmp_path)])
    summary, rows = scored(tmp_path)
    opened, wanted = open_store(store), {}
    for core, row in opened.rows("test"):
        lr, hr = (to_unit(maps(core)[row], Window(0, 255)).astype(np.float64) for maps in (opened.lr, opened.hr))
        pair = (torch.from_numpy(imresize(lr, 2))[None, None], torch.from_numpy(hr)[None, None])
        wanted[core.name, str(core.slices[row].number)] = tuple(
            float(metric(*pair, data_range=1.0, shave=2)) for metric in (psnr, ssim)
        )
    assert list(wanted) == [(found["core"], found["slice"]) for found in rows]
    assert set(wanted) == {(core, str(z)) for core in ("chalk", "shale") for z in range(6, 10)}
    for found in rows:
        both = float(found["psnr"]), float(found["ssim"])
        assert both == pytest.approx(wanted[found["core"], found["slice"]], abs=1e-4)
    means = np.mean(list(wanted.values()), axis=0)
    assert (summary["rows"][0]["psnr"], summary["rows"][0]["ssim"]) == pytest.approx(tuple(means), abs=1e-4)


@pytest.mark.parametrize("name", ["edsr", "unet"])
def test_a_weight_file_is_scored_beside_bicubic(store: Path, tmp_path: Path, name: str) -> None:
    saved(tmp_path / "mine.safetensors", name)
    main(["score", str(tmp_path / "mine.safetensors"), "--data", str(store), "--out", str(tmp_path / "out")])
    summary, rows = scored(tmp_path / "out")
    assert [(row["model"], row["n"]) for row in summary["rows"]] == [("bicubic", 8), ("mine", 8)]
    base, mine = summary["rows"]
    assert mine["gain_db"] == pytest.approx(mine["psnr"] - base["psnr"], abs=1e-9)
    assert mine["psnr"] != base["psnr"]
    assert {row["model"] for row in rows} == {"bicubic", "mine"}
    assert summary["protocol"]["shave"] == summary["protocol"]["scale"] == 2
    assert summary["protocol"]["degradation"] == "bicubic"
    assert set(summary["per_core"]) == {"chalk", "shale"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert "mine" in page
    assert page.count("<script") == 1  # the sliders'


def test_an_untrained_network_scores_as_bicubic(store: Path, tmp_path: Path) -> None:
    spec = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
    save(tmp_path / "fresh.safetensors", build(spec), spec, {})
    main(["score", str(tmp_path / "fresh.safetensors"), "--data", str(store), "--out", str(tmp_path / "out")])
    base, fresh = scored(tmp_path / "out")[0]["rows"]
    assert (fresh["psnr"], fresh["ssim"], fresh["gain_db"]) == (base["psnr"], base["ssim"], 0)


def test_a_run_folder_is_scored_by_its_best_under_its_own_name(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run-7"
    folder.mkdir()
    saved(folder / "best.safetensors")
    (folder / "last.safetensors").write_bytes(b"never read")
    monkeypatch.chdir(folder)
    for i, called in enumerate((folder, Path())):
        main(["score", str(called), "--data", str(store), "--split", "train", "--out", str(tmp_path / f"out{i}")])
        summary, _ = scored(tmp_path / f"out{i}")
        assert [(row["model"], row["n"]) for row in summary["rows"]] == [("bicubic", 8), ("run-7", 8)]


def test_the_ensemble_and_the_convention_are_those_of_the_flags(store: Path, tmp_path: Path) -> None:
    network = saved(tmp_path / "mine.safetensors")
    words = ["score", str(tmp_path / "mine.safetensors"), "--data", str(store), "--self-ensemble", "--tile", "8"]
    main([*words, "--convention", "basicsr", "--out", str(tmp_path / "out")])
    summary, rows = scored(tmp_path / "out")
    said = summary["protocol"]
    assert (said["self_ensemble"], said["tile"], said["convention"], said["ssim_window"]) == (True, 8, "basicsr", 11)
    one = next(whole_slices(open_store(store), "test"))
    with torch.inference_mode():
        sr = self_ensemble(network)(one.lr[None, None])
    rounded = (255 * sr.double()).clamp(0, 255).round()
    expected = psnr(rounded, 255 * one.hr[None, None], data_range=255.0, shave=2)
    found = next(row for row in rows if row["model"] == "mine")
    assert float(found["psnr"]) == pytest.approx(float(expected), abs=1e-3)


def test_the_store_and_the_way_lr_was_made_are_known(store: Path, tmp_path: Path) -> None:
    main(["score", "bicubic", "--data", str(store), "--out", str(tmp_path)])
    summary, rows = scored(tmp_path)
    assert summary["store"] == open_store(store).sha256
    assert summary["fineness"]["bicubic"]["wrong_detail"] == pytest.approx(1, abs=1e-6)
    assert all(float(row["lr_psnr"]) > 20 for row in rows)
    assert set(summary["pores"]) == {"chalk", "shale"}


def test_what_lies_outside_a_mask_is_not_scored(tmp_path: Path) -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[4:32, 4:40] = 255
    write_slice(tmp_path / "mask.png", mask)
    (tmp_path / "core").mkdir()
    for z in range(4):
        levels = (255 * texture(z, *SIZE)).astype(np.uint8)
        write_slice(tmp_path / "core" / f"{z}.png", levels)
    prepare(tmp_path / "core", tmp_path / "store", scale=2, split="none", mask=tmp_path / "mask.png")
    main(["score", "bicubic", "--data", str(tmp_path / "store"), "--split", "train", "--out", str(tmp_path / "out")])
    _, rows = scored(tmp_path / "out")
    one = next(whole_slices(open_store(tmp_path / "store"), "train"))
    assert one.mask is not None
    assert not one.mask.all()
    sr = torch.from_numpy(imresize(one.lr.double().numpy(), 2))[None, None]
    inside, everywhere = (
        float(psnr(sr, one.hr[None, None], data_range=1.0, shave=2, mask=mask)) for mask in (one.mask, None)
    )
    assert float(rows[0]["psnr"]) == pytest.approx(inside, abs=1e-4)
    assert abs(inside - everywhere) > 1e-2


@pytest.mark.parametrize(("scale", "size"), [(2, (70, 91)), (3, (50, 44)), (4, (9, 40))])
def test_the_page_shows_one_place_of_all_images(scale: int, size: tuple[int, int]) -> None:
    lr = torch.arange(float(size[0] * size[1])).reshape(size)
    hr = torch.from_numpy(np.kron(lr.numpy(), np.ones((scale, scale), np.float32)))
    pair = Pair(core="a", slice=3, lr=lr, hr=hr)
    crop = crop_of(Scored(pair=pair, images={"bicubic": hr + 0.25, "mine": hr + 0.5}, scores=()), ["mine"])
    side = min(CROP // scale, *size)
    assert crop.lr.shape == (side, side)
    assert crop.lr[side // 2, side // 2] == lr[(size[0] - side) // 2 + side // 2, (size[1] - side) // 2 + side // 2]
    np.testing.assert_array_equal(crop.hr, np.kron(crop.lr, np.ones((scale, scale))))
    np.testing.assert_array_equal(crop.images["bicubic"], crop.hr + 0.25)
    np.testing.assert_array_equal(crop.images["mine"], crop.hr + 0.5)


def test_the_page_says_what_the_model_was_trained_on(store: Path, tmp_path: Path) -> None:
    network, spec = lively()
    for name, trained in (("here", open_store(store).sha256), ("elsewhere", "0" * 64)):
        save(tmp_path / f"{name}.safetensors", network, spec, {"data": {"sha256": trained}})
        for split in ("train", "test"):
            out = str(tmp_path / f"{name}-{split}")
            main(["score", str(tmp_path / f"{name}.safetensors"), "--data", str(store), "--split", split, "--out", out])
    said = {path.parent.name: path.read_text() for path in tmp_path.glob("*/index.html")}
    assert all(("trained on this store" in text) == name.startswith("here") for name, text in said.items())
    assert all(("scores say nothing" in text) == (name == "here-train") for name, text in said.items())
    assert len(said) == 4
    assert all("split into train 0–3; test 6–9." in text for text in said.values())
    assert all("on both sides of a border correlate by" in text for text in said.values())


def test_a_second_score_replaces_the_first_whole(store: Path, tmp_path: Path) -> None:
    for split in ("test", "train"):
        main(["score", "bicubic", "--data", str(store), "--split", split, "--out", str(tmp_path)])
    assert {row["slice"] for row in scored(tmp_path)[1]} == {"0", "1", "2", "3"}


def image(tmp_path: Path, kind: str, height: int = 13, width: int = 18) -> tuple[Path, NDArray[Any]]:
    """A slice in one of the formats people have."""
    suffix, dtype = kind.split(" ")
    unit = texture(5, height, width)
    levels = unit.astype(np.float32) * 3 - 1 if dtype == "float32" else (unit * np.iinfo(dtype).max).astype(dtype)
    path = tmp_path / f"in.{suffix}"
    write_slice(path, levels)
    return path, levels


def commands(store: Path, tmp_path: Path, model: object) -> list[list[object]]:
    """The two that take a model."""
    path, _ = image(tmp_path, "png uint8")
    return [
        ["score", model, "--data", store, "--out", tmp_path / "out"],
        ["upscale", model, path, tmp_path / "out.png"],
    ]


def test_a_missing_model_ends_with_66_and_its_path(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for model, named in (("none.safetensors", "none.safetensors"), ("empty", "empty/best.safetensors")):
        for command in commands(store, tmp_path, tmp_path / model):
            code, said = refused(capsys, *command)
            assert code == 66
            assert str(tmp_path / named) in said


def test_a_missing_image_or_store_ends_with_66_and_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["upscale", "bicubic", tmp_path / "none.png", tmp_path / "out.png", "--scale", "2"],
        ["score", "bicubic", "--data", tmp_path / "none", "--out", tmp_path / "out"],
    ):
        code, said = refused(capsys, *command)
        assert code == 66
        assert str(tmp_path / "none") in said


class Payload:
    """Writes a file where it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.sentinel, "run")


def test_a_pickle_ends_with_77_and_is_never_run(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    for command in commands(store, tmp_path, tmp_path / "evil.pth"):
        code, said = refused(capsys, *command)
        assert code == 77
        assert "evil.pth" in said
        assert "convert" in said
    assert not (tmp_path / "ran").exists()


def test_a_damaged_model_ends_with_65_and_its_path(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.safetensors")
    (tmp_path / "m.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:-9])
    for command in commands(store, tmp_path, tmp_path / "m.safetensors"):
        code, said = refused(capsys, *command)
        assert code == 65
        assert "m.safetensors" in said


def test_a_model_of_another_scale_ends_with_65_and_leaves_nothing(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.safetensors", scale=4)
    score, upscale = commands(store, tmp_path, tmp_path / "m.safetensors")
    for command in (score, [*upscale, "--scale", "2"]):
        code, said = refused(capsys, *command)
        assert code == 65
        assert "m.safetensors must be of scale 2, got 4" in said
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.png").exists()


def test_a_colour_model_ends_with_65(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "m.safetensors", channels=3)
    for command in commands(store, tmp_path, tmp_path / "m.safetensors"):
        code, said = refused(capsys, *command)
        assert code == 65
        assert "m.safetensors must be of one channel, got 3" in said


def test_a_model_called_bicubic_cannot_stand_in_for_the_baseline(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bicubic").mkdir()
    saved(tmp_path / "bicubic" / "best.safetensors")
    shutil.copy(tmp_path / "bicubic" / "best.safetensors", tmp_path / "bicubic.safetensors")
    for name in ("bicubic", "bicubic.safetensors"):
        code, said = refused(capsys, *commands(store, tmp_path, tmp_path / name)[0])
        assert code == 65
        assert "must not be named bicubic" in said


@pytest.mark.parametrize(("scale", "ends"), [(None, 64), (0, 64), (-2, 64)])
def test_bicubic_without_a_sensible_scale_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: int | None, ends: int
) -> None:
    path, _ = image(tmp_path, "png uint8")
    flag = [] if scale is None else ["--scale", scale]
    code, said = refused(capsys, "upscale", "bicubic", path, tmp_path / "out.png", *flag)
    assert code == ends
    assert re.search("scale:? must be", said)


def test_an_image_that_overflows_is_refused_and_not_written(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, spec = lively()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1e20)
    save(tmp_path / "m.safetensors", network, spec, {})
    for command in commands(store, tmp_path, tmp_path / "m.safetensors"):
        code, said = refused(capsys, *command)
        assert code == 65
        assert "must be finite" in said
    assert not (tmp_path / "out.png").exists()


def test_an_unknown_split_ends_with_65_and_names_the_known(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, "score", "bicubic", "--data", store, "--split", "valid", "--out", tmp_path / "out")
    assert code == 65
    assert "test, train" in said


@pytest.mark.parametrize(
    "command", [[], ["judge"], ["score", "bicubic"], ["upscale", "bicubic", "a", "b", "--til", "x"]]
)
def test_a_wrong_command_ends_with_64(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = refused(capsys, *command)
    assert code == 64
    assert "--help" in said


def test_the_module_itself_ends_with_one_line_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "coresr_eval", "upscale", "none.safetensors", "none.png", "out.png"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 66
    assert ended.stderr.startswith("coresr: error: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", [["score", "bicubic", "--data", "S", "--out", "O"], ["upscale", "--scale", "2", "bicubic", "IN", "OUT"]]
)
@pytest.mark.parametrize("absent", ["coresr_data", "coresr_models"])
def test_without_its_extra_the_command_says_what_to_install(command: list[str], absent: str) -> None:
    code = (
        f"import sys, runpy; sys.modules['{absent}'] = None; sys.argv[1:] = {command!r}; "
        "runpy.run_module('coresr_eval', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 69
    assert ended.stderr.endswith(
        "; in the checkout of coresr: pip install ./packages/coresr-data ./packages/coresr-models\n"
    )
    assert len(ended.stderr.splitlines()) == 1
