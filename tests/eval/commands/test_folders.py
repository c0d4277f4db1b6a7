"""`score FOLDER --hr --lr`: images of another program, with nothing but this package installed."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from coresr_eval.__main__ import main
from coresr_eval.cli import UsageError
from coresr_eval.commands.folders import bicubic

ROCK = np.add.outer(np.arange(64), 2 * np.arange(96)) % 97


def levels(seed: int, dtype: str = "uint8") -> NDArray[np.generic]:
    noise = np.random.default_rng(seed).integers(0, 40, ROCK.shape)
    return ((ROCK + noise) * (np.iinfo(dtype).max // 140)).astype(dtype)


def folders(root: Path, *, dtype: str = "uint8", count: int = 3) -> list[str]:
    """SR, HR and LR of `count` slices; the arguments that score them. SR is HR with one column wrong."""
    for name, tail in (("sr", "_SR"), ("hr", ""), ("lr", "x2")):
        (root / name).mkdir()
        for number in range(count):
            hr = levels(number, dtype)
            made = {"sr": np.where(np.arange(96) == 40, hr // 2, hr), "hr": hr, "lr": hr[::2, ::2]}[name]
            Image.fromarray(made.astype(dtype)).save(root / name / f"slice{number:03d}{tail}.png")
    return ["score", str(root / "sr"), "--hr", str(root / "hr"), "--lr", str(root / "lr"), "--out", str(root / "out")]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_two_folders_make_a_table_with_bicubic_in_it(tmp_path: Path, dtype: str) -> None:
    main(folders(tmp_path, dtype=dtype))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert [row["model"] for row in summary["rows"]] == ["bicubic", "sr"]
    assert {(row["core"], row["slice"]) for row in rows} == {("slices", "0"), ("slices", "1"), ("slices", "2")}
    assert summary["protocol"]["grey"] == f"{dtype}, 0 → 0, {np.iinfo(dtype).max} → 1"
    assert (summary["protocol"]["scale"], summary["protocol"]["shave"]) == (2, 2)
    hr = levels(0, dtype)[2:-2, 2:-2].astype(float)
    error = (hr[:, 38] - hr[:, 38] // 2) / np.iinfo(dtype).max
    expected = -10 * np.log10((error**2).sum() / hr.size)
    own = [row for row in rows if row["model"] == "sr"]
    assert float(own[0]["psnr"]) == pytest.approx(expected, abs=2e-6)
    assert "<svg" in (tmp_path / "out" / "index.html").read_text()


def test_it_runs_where_only_this_package_is(tmp_path: Path) -> None:
    alone = (
        "import sys, runpy\n"
        "sys.modules['coresr_data'] = sys.modules['coresr_models'] = None\n"
        f"sys.argv = ['coresr_eval', *{folders(tmp_path)!r}]\n"
        "runpy.run_module('coresr_eval', run_name='__main__')"
    )
    ran = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "out" / "index.html").is_file()


@given(arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(2, 12)), elements=st.floats(0, 1, width=32)))
def test_bicubic_is_that_of_the_data_package(lr: NDArray[np.float32]) -> None:
    resize = pytest.importorskip("coresr_data.resize")
    for scale in (2, 3, 4):
        np.testing.assert_allclose(bicubic(lr, scale), resize.imresize(lr, scale), atol=1e-6)


def test_wide_integers_need_a_window(tmp_path: Path) -> None:
    for name in ("sr", "hr", "lr"):
        (tmp_path / name).mkdir()
        step = 2 if name == "lr" else 1
        np.save(tmp_path / name / "a.npy", levels(0).astype(np.int32)[::step, ::step])
    words = ["score", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--lr", str(tmp_path / "lr")]
    with pytest.raises(UsageError, match="where images are int32"):
        main([*words, "--out", str(tmp_path / "out")])


@pytest.mark.parametrize("name", ["HR", "lr", "bicubic"])
def test_names_that_stand_for_something_are_refused(tmp_path: Path, name: str) -> None:
    words = folders(tmp_path)
    folder = tmp_path / "results" / name
    folder.mkdir(parents=True)
    for file in (tmp_path / "sr").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match=f"must not be named {name}"):
        main(["score", str(folder), *words[2:]])
    assert not (tmp_path / "out").exists()


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    words = folders(tmp_path)
    (tmp_path / "sr" / "._slice000.png").write_text("what a Mac leaves")
    (tmp_path / "sr" / "preview.png").mkdir()
    main(words)
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["rows"][0]["n"] == 3


def test_flat_images_have_no_pores_and_say_so(tmp_path: Path) -> None:
    for name in ("sr", "hr", "lr"):
        (tmp_path / name).mkdir()
        side = 32 if name == "lr" else 64
        np.save(tmp_path / name / "a.npy", np.full((side, side), 90 + (name == "sr"), np.uint8))
    words = ["score", str(tmp_path / "sr"), "--hr", str(tmp_path / "hr"), "--lr", str(tmp_path / "lr")]
    main([*words, "--out", str(tmp_path / "out")])
    assert "one grey level only" in (tmp_path / "out" / "index.html").read_text()


def test_the_place_of_the_page_is_looked_at_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FileExistsError, match="--out must be a folder"):
        main(folders(tmp_path))


@pytest.mark.parametrize(
    "flag", [["--split", "test"], ["--scale", "2"], ["--self-ensemble"], ["--tile", "8"], ["--rock", "coal=slices"]]
)
def test_options_of_a_store_are_refused(tmp_path: Path, flag: list[str]) -> None:
    with pytest.raises(UsageError, match=f"^{flag[0]} must be left out where a folder of images is scored"):
        main([*folders(tmp_path), *flag])


def test_folders_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    arguments = folders(tmp_path)
    (tmp_path / "lr" / "slice001x2.png").rename(tmp_path / "lr" / "slice009x2.png")
    with pytest.raises(ValueError, match="must hold images of the same names, got 'slice001' in one of"):
        main(arguments)
    (tmp_path / "lr" / "slice009x2.png").rename(tmp_path / "lr" / "slice001x2.png")
    Image.fromarray(levels(1)[:, ::2]).save(tmp_path / "lr" / "slice001x2.png")
    with pytest.raises(ValueError, match="HR and LR of 'slice001' must be a whole scale of 2 or more apart"):
        main(arguments)
    Image.fromarray(levels(1)[::4, ::4]).save(tmp_path / "lr" / "slice001x2.png")
    with pytest.raises(ValueError, match="all images must be of scale 2"):
        main(arguments)
    assert not (tmp_path / "out").exists()


def test_sizes_and_types_of_sr_are_checked(tmp_path: Path) -> None:
    arguments = folders(tmp_path)
    Image.fromarray(levels(0, "uint16")).save(tmp_path / "sr" / "slice000_SR.png")
    with pytest.raises(ValueError, match=r"all images must be uint8 as those of .*, got uint16"):
        main(arguments)
    Image.fromarray(levels(0)[:-2]).save(tmp_path / "sr" / "slice000_SR.png")
    with pytest.raises(ValueError, match=r"must be \(64, 96\), got \(62, 96\)"):
        main(arguments)


def test_floats_need_a_window_and_use_it(tmp_path: Path) -> None:
    for name in ("sr", "hr", "lr"):
        (tmp_path / name).mkdir()
        hr = levels(0).astype(np.float32)
        made = {"sr": hr + 20, "hr": hr, "lr": hr[::2, ::2]}[name]
        np.save(tmp_path / name / "a.npy", made)
    places = ["score", *(str(tmp_path / "sr"),), "--hr", str(tmp_path / "hr"), "--lr", str(tmp_path / "lr")]
    with pytest.raises(UsageError, match="--window must say which levels are 0 and 1"):
        main([*places, "--out", str(tmp_path / "out")])
    main([*places, "--out", str(tmp_path / "out"), "--window", "0", "200"])
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert float(rows[1]["psnr"]) == pytest.approx(20.0, abs=1e-5)  # 20 of 200 levels off
    with pytest.raises(UsageError, match="LOW below HIGH"):
        main([*places, "--out", str(tmp_path / "out"), "--window", "5", "5"])


def test_slices_are_called_by_their_number_or_counted(tmp_path: Path) -> None:
    arguments = folders(tmp_path)
    for name, tail in (("sr", "_SR"), ("hr", ""), ("lr", "x2")):
        for number in range(3):
            file = tmp_path / name / f"slice{number:03d}{tail}.png"
            file.rename(file.with_name(f"slice{7 * number + 3:03d}{tail}.png"))
    main(arguments)
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert {row["slice"] for row in rows} == {"3", "10", "17"}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_pore_may_be_named_in_grey_levels(tmp_path: Path, dtype: str) -> None:
    level = 60 * (np.iinfo(dtype).max // 140)
    main([*folders(tmp_path, dtype=dtype), "--pore", str(level)])
    pores = json.loads((tmp_path / "out" / "summary.json").read_text())["pores"]["slices"]
    assert pores["threshold"] == pytest.approx(level / np.iinfo(dtype).max)
    expected = np.mean([(levels(number, dtype).astype(int) <= level).mean() for number in range(3)])
    assert pores["images"]["hr"]["porosity"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "sr", "--out", "out"], "--data STORE, or --hr and --lr"),
        (["score", "sr", "--out", "out", "--data", "store", "--hr", "hr"], "--data STORE, or --hr and --lr"),
        (["score", "sr", "--out", "out", "--hr", "hr"], "--lr must name"),
    ],
)
def test_half_a_command_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        main(arguments)


def test_several_folders_stand_in_one_table(tmp_path: Path) -> None:
    words = folders(tmp_path)
    worse = tmp_path / "worse"
    worse.mkdir()
    for file in (tmp_path / "sr").iterdir():
        Image.fromarray(np.asarray(Image.open(file)) // 2).save(worse / file.name)
    main([words[0], f"dim={worse}", *words[1:]])
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [row["model"] for row in found["rows"]] == ["bicubic", "dim", "sr"]
    main([*words[:-1], str(tmp_path / "alone")])
    alone = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert found["rows"][2] == alone["rows"][1]
    assert found["rows"][1]["psnr"] < found["rows"][2]["psnr"]
    (worse / "slice000_SR.png").rename(worse / "slice007_SR.png")
    with pytest.raises(ValueError, match="HR and dim must hold images of the same names"):
        main([words[0], f"dim={worse}", *words[1:]])


def test_the_word_bicubic_scores_the_baseline_alone(tmp_path: Path) -> None:
    words = folders(tmp_path)
    main(["score", "bicubic", *words[2:]])
    assert [row["model"] for row in json.loads((tmp_path / "out" / "summary.json").read_text())["rows"]] == ["bicubic"]


def test_a_folder_called_bicubic_is_not_left_out_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bicubic").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="the folder bicubic must be named as another"):
        main(["score", "bicubic", "--hr", "hr", "--lr", "lr", "--out", "out"])
