"""The command line: scores that agree with the metrics, images that agree with the network, one line for an error."""

import csv
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import Window, from_unit, imresize, open_store, prepare, to_unit
from coresr_data.cli import run
from coresr_data.formats.images import read_slice, write_slice
from coresr_data.intensity import default_window
from coresr_eval.__main__ import main
from coresr_eval.commands.scoring import CROP, _crop
from coresr_eval.fidelity import psnr, ssim
from coresr_eval.inference import tiled
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
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "scores.csv", "summary.json"]
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
    assert "<script" not in page


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


@pytest.mark.parametrize(("scale", "size"), [(2, (70, 91)), (3, (50, 44)), (4, (9, 40))])
def test_the_page_shows_one_place_of_all_images(scale: int, size: tuple[int, int]) -> None:
    lr = torch.arange(float(size[0] * size[1])).reshape(size)
    hr = torch.from_numpy(np.kron(lr.numpy(), np.ones((scale, scale), np.float32)))
    pair = Pair(core="a", slice=3, lr=lr, hr=hr)
    crop = _crop(Scored(pair=pair, images={"bicubic": hr + 0.25, "mine": hr + 0.5}, scores=()), "mine")
    side = min(CROP // scale, *size)
    assert crop.lr.shape == (side, side)
    assert crop.lr[side // 2, side // 2] == lr[(size[0] - side) // 2 + side // 2, (size[1] - side) // 2 + side // 2]
    np.testing.assert_array_equal(crop.hr, np.kron(crop.lr, np.ones((scale, scale))))
    np.testing.assert_array_equal(crop.bicubic, crop.hr + 0.25)
    np.testing.assert_array_equal(crop.sr, crop.hr + 0.5)


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


@pytest.mark.parametrize("kind", ["png uint8", "png uint16", "tif uint8", "tif uint16"])
@pytest.mark.parametrize("name", ["edsr", "unet"])
@pytest.mark.parametrize("tile", [5, 512])
def test_an_image_keeps_its_depth_and_is_the_networks_own(tmp_path: Path, kind: str, name: str, tile: int) -> None:
    network = saved(tmp_path / "m.safetensors", name)
    path, levels = image(tmp_path, kind)
    out = tmp_path / f"out.{path.suffix[1:]}"
    main(["upscale", str(tmp_path / "m.safetensors"), str(path), str(out), "--tile", str(tile)])
    sr = read_slice(out)
    assert sr.dtype == levels.dtype
    assert sr.shape == (26, 36)
    window = default_window(levels.dtype)
    padded = np.pad(levels, ((0, -13 % network.multiple_of), (0, -18 % network.multiple_of)), "reflect")
    with torch.inference_mode():
        whole = network(torch.from_numpy(to_unit(padded, window))[None, None])[0, 0, :26, :36].numpy()
    off = sr.astype(int) - from_unit(whole, window, levels.dtype).astype(int)
    assert np.abs(off).max() <= 1  # a level, where rounding meets the last bit of float32
    assert np.mean(off != 0) < 0.02


def test_pillow_sees_eight_and_sixteen_bit_grey(tmp_path: Path) -> None:
    for kind, mode in (("png uint8", "L"), ("png uint16", "I;16")):
        path, _ = image(tmp_path, kind)
        main(["upscale", "bicubic", str(path), str(tmp_path / "out.png"), "--scale", "3"])
        with Image.open(tmp_path / "out.png") as written:
            assert (written.mode, written.size) == (mode, (54, 39))


def test_bicubic_takes_its_scale_from_the_flag_and_equals_the_resizer(tmp_path: Path) -> None:
    path, levels = image(tmp_path, "png uint16")
    main(["upscale", "bicubic", str(path), str(tmp_path / "out.tif"), "--scale", "3"])
    wanted = from_unit(imresize(levels.astype(np.float64), 3) / 65535, Window(0, 65535), "uint16")
    assert np.abs(read_slice(tmp_path / "out.tif").astype(int) - wanted.astype(int)).max() <= 1


def test_float_levels_need_a_window_and_leave_through_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = saved(tmp_path / "m.safetensors")
    path, levels = image(tmp_path, "tif float32")
    command = ["upscale", tmp_path / "m.safetensors", path, tmp_path / "out.tif"]
    code, said = refused(capsys, *command)
    assert code == 65
    assert "--window LOW HIGH" in said
    assert not (tmp_path / "out.tif").exists()
    main([str(word) for word in [*command, "--window", "-1", "2"]])
    with torch.inference_mode():
        whole = network(torch.from_numpy((levels + 1) / 3)[None, None])[0, 0].numpy() * 3 - 1
    sr = read_slice(tmp_path / "out.tif")
    assert sr.dtype == np.float32
    np.testing.assert_allclose(sr, whole, rtol=0, atol=1e-5)


def test_a_single_pixel_can_be_enlarged(tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", "unet")
    write_slice(tmp_path / "in.png", np.full((1, 1), 90, np.uint8))
    main(["upscale", str(tmp_path / "m.safetensors"), str(tmp_path / "in.png"), str(tmp_path / "out.png")])
    assert read_slice(tmp_path / "out.png").shape == (2, 2)


@pytest.mark.parametrize(("name", "depth"), [("edsr", 0), ("unet", 1), ("unet", 2), ("unet", 3)])
@pytest.mark.parametrize("scale", [2, 3, 4])
@torch.inference_mode()
def test_tiles_of_the_real_networks_equal_the_whole(name: str, depth: int, scale: int) -> None:
    network, _ = lively(name, scale=scale, **({"depth": depth} if depth else {}))
    for height, width, tile in ((61, 50, 7), (33, 90, 16)):
        lr = torch.rand(1, 1, height, width)
        whole, tiles = (
            tiled(
                network,
                lr,
                scale=scale,
                multiple_of=network.multiple_of,
                receptive_field=network.receptive_field,
                tile=side,
            )
            for side in (4096, tile)
        )
        torch.testing.assert_close(tiles, whole, rtol=0, atol=2e-6)


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


@pytest.mark.parametrize(("scale", "ends"), [(None, 64), (0, 65), (-2, 65)])
def test_bicubic_without_a_sensible_scale_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scale: int | None, ends: int
) -> None:
    path, _ = image(tmp_path, "png uint8")
    flag = [] if scale is None else ["--scale", scale]
    code, said = refused(capsys, "upscale", "bicubic", path, tmp_path / "out.png", *flag)
    assert code == ends
    assert "scale must be" in said


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


def test_the_window_of_training_is_that_of_upscaling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network, spec = lively()
    grey = {"sha256": "0" * 64, "dtype": "uint16", "window": [100.0, 4195.0]}
    save(tmp_path / "m.safetensors", network, spec, {"data": grey})
    levels = (100 + 4000 * texture(3, 21, 18)).astype(np.uint16)
    write_slice(tmp_path / "in.tif", levels)
    main(["upscale", str(tmp_path / "m.safetensors"), str(tmp_path / "in.tif"), str(tmp_path / "new" / "out.tif")])
    assert "grey window 100 4195" in capsys.readouterr().out
    window = Window(100, 4195)
    with torch.inference_mode():
        expected = network(torch.from_numpy(to_unit(levels, window))[None, None])[0, 0].numpy()
    found = read_slice(tmp_path / "new" / "out.tif")
    np.testing.assert_array_equal(found, from_unit(expected, window, "uint16"))
    write_slice(tmp_path / "other.png", levels.astype(np.uint8))
    command = ["upscale", tmp_path / "m.safetensors", tmp_path / "other.png", tmp_path / "out.png"]
    code, said = refused(capsys, *command)
    assert code == 64
    assert "must hold uint16 levels" in said
    main([str(part) for part in (*command, "--window", 0, 255)])


def test_upscaling_never_writes_over_its_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = image(tmp_path, "png uint8")
    before = path.read_bytes()
    (tmp_path / "link.png").symlink_to(path)
    for out in (path, tmp_path / "link.png"):
        code, said = refused(capsys, "upscale", "bicubic", path, out, "--scale", 2)
        assert code == 73
        assert "OUT must not be IN" in said
    assert path.read_bytes() == before


def test_an_output_of_an_unknown_kind_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, "upscale", tmp_path / "missing", tmp_path / "missing", tmp_path / "out.jpg")
    assert code == 64
    assert "OUT must end in .png" in said


def test_clipped_pixels_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_slice(tmp_path / "in.png", np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (16, 4)))
    main(["upscale", "bicubic", str(tmp_path / "in.png"), str(tmp_path / "out.png"), "--scale", "2"])
    said = capsys.readouterr().out
    doubled = imresize(np.tile(np.repeat([0.0, 255.0], 8), (16, 4)), 2.0)
    share = 100 * float(((doubled < -0.5) | (doubled >= 255.5)).mean())
    assert share > 1
    assert f"{share:.3f} % of pixels clipped" in said


def test_without_its_extra_the_command_says_what_to_install() -> None:
    code = (
        "import sys, runpy; sys.modules['coresr_models'] = None; runpy.run_module('coresr_eval', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 69
    assert ended.stderr.endswith("install coresr-data and coresr-models beside coresr-eval\n")
    assert len(ended.stderr.splitlines()) == 1
