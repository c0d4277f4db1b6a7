"""coresr_eval.commands.tables: what `score` wrote, read again, and what may not stand side by side."""

import json
import re
from pathlib import Path

import pytest

from coresr_eval.cli import UsageError
from coresr_eval.commands.tables import read
from coresr_eval.protocol import Score
from coresr_eval.report import summary, write_json, write_scores
from coresr_eval.statistics import BASELINE
from tests.eval.commands.test_comparing import IMAGES, run, scored

HEAD = "model,core,slice,psnr,ssim\n"


def together(folder: Path, *names: str) -> Path:
    """What `score` leaves of several models on four images."""
    gains = {BASELINE: 0.0} | {name: 1.0 + at for at, name in enumerate(names)}
    scores = [
        Score(model=name, core="a", slice=z, psnr=30 + z + gain + (z % 2) * 0.01 * gain, ssim=0.9)
        for name, gain in gains.items()
        for z in range(4)
    ]
    folder.mkdir(parents=True)
    write_scores(folder / "scores.csv", scores)
    write_json(folder / "summary.json", summary({"scale": 2}, scores))
    return folder


def test_a_folder_of_several_models_is_as_many_tables(tmp_path: Path) -> None:
    folder = together(tmp_path / "all", "one", "two", "=three")
    tables = read(str(folder))
    assert [(table.name, table.named) for table in tables] == [("one", False), ("two", False), ("=three", False)]
    assert [table.model["a", 2]["psnr"] for table in tables] == [33, 34, 35]
    assert all(table.bicubic["a", 2]["psnr"] == 32 for table in tables)
    run(folder, "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [row["model"] for row in found["rows"]] == ["=three", "two", "one", BASELINE]
    assert found["tables"]["two"] == [str(folder / "two")]


def test_one_of_several_models_is_named_below_the_folder(tmp_path: Path) -> None:
    folder = together(tmp_path / "all", "one", "two", "three")
    (table,) = read(f"{folder}/two")
    assert (table.name, table.named, table.model["a", 0]["psnr"]) == ("two", False, 32)
    run(f"wide={folder}/one", f"wide={folder}/two", f"narrow={folder}/three", "--out", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {row["model"]: row["runs"] for row in found["rows"]} == {"wide": 2, "narrow": 1, BASELINE: 1}
    assert found["tables"]["wide"] == [str(folder / "one"), str(folder / "two")]
    (single,) = read(f"{together(tmp_path / 'single', 'net')}/net")
    assert single.name == "net"


def test_what_does_not_say_which_model_it_means_is_refused(tmp_path: Path) -> None:
    folder = together(tmp_path / "all", "one", "two")
    remedy = re.escape(f"must be of one model, got one, two; write wide={folder}/one")
    with pytest.raises(UsageError, match=remedy):
        read(f"wide={folder}")
    with pytest.raises(FileNotFoundError, match="must hold the scores of 'three', got one, two"):
        read(f"{folder}/three")
    with pytest.raises(UsageError, match="each DIR must be given once"):
        run(folder, f"again={folder}/one", "--out", tmp_path / "out")


def test_a_folder_whose_name_holds_an_equals_sign_is_a_folder(tmp_path: Path) -> None:
    run(scored(tmp_path / "width=3"), scored(tmp_path / "b", "other", seed=2), "--out", tmp_path / "out")
    run(f"named={tmp_path / 'width=3'}", tmp_path / "b", "--out", tmp_path / "again")
    rows = json.loads((tmp_path / "again" / "compare.json").read_text())["rows"]
    assert {row["model"] for row in rows} == {"named", "other", BASELINE}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shave": 4}, r"b.* differ in shave \(2 and 4\)"),
        ({"images": IMAGES[1:]}, r"same images, got 1 that one lacks, such as core '=coal' slice 0"),
        ({"store": "ffff"}, r"one store, got aaaa and ffff"),
        ({"shift": 0.02}, r"bicubic must have the same PSNR in all tables, got [0-9.]+ and [0-9.]+ dB on core"),
    ],
)
def test_tables_of_other_data_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    first = scored(tmp_path / "a", store="aaaa")
    other = scored(tmp_path / "b", "other", **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        run(first, other, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bicubic_of_another_machine_is_the_same_bicubic(tmp_path: Path) -> None:
    tables = scored(tmp_path / "a"), scored(tmp_path / "b", "other", shift=0.0005, store="aaaa")
    run(*tables, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "compare.json").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("{a}", "{a}"), "each DIR must be given once"),
        (("x={a}", "y={a}"), "each DIR must be given once"),
        (("{a}", "{b}"), r"names of their own, got 'net' 2 times; write NAME=DIR"),
        (("net={a}", "{b}"), r"names of their own, got 'net' 2 times"),
        (("bicubic={a}",), "NAME must be a name other than bicubic"),
        (("={a}",), "NAME must be a name other than bicubic"),
    ],
)
def test_names_that_do_not_say_which_is_which_are_refused(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    a, b = scored(tmp_path / "a"), scored(tmp_path / "b", seed=2)
    with pytest.raises(UsageError, match=message):
        run(*(name.format(a=a, b=b) for name in names), "--out", tmp_path / "out")


def test_a_folder_without_scores_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere must hold scores\.csv, got none"):
        run(tmp_path / "nowhere", "--out", tmp_path / "out")
    (scored(tmp_path / "a") / "summary.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"must hold summary\.json"):
        run(tmp_path / "a", "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("summary.json", "{", "summary.json must be JSON"),
        ("summary.json", "[" * 100_000, "summary.json must be JSON"),
        ("summary.json", "[]", "must hold a protocol"),
        ("summary.json", '{"protocol": 3}', "must hold a protocol"),
        ("scores.csv", "", "must be of bicubic and a model beside it, got none"),
        ("scores.csv", HEAD + "bicubic,a,1,30,0.5\n", "must be of bicubic and a model beside it, got bicubic"),
        ("scores.csv", HEAD + "net,a,1,30,0.5\n", "must be of bicubic and a model beside it, got net"),
        ("scores.csv", HEAD + "bicubic,a,1,30,0.5\nx,a,1,30,0.5\ny,a,2,30,0.5\n", "same images for bicubic and y"),
        ("scores.csv", HEAD + "bicubic,a,1,30,0.5\nx,a,2,30,0.5\n", "same images for bicubic and x"),
        ("scores.csv", HEAD + 2 * "bicubic,a,1,30,0.5\n", "each image once, got core 'a' slice 1 2 times"),
        ("scores.csv", HEAD + "bicubic,a,one,30,0.5\n", "must be a table that score wrote"),
        ("scores.csv", HEAD + "bicubic,a,1,much,0.5\n", "must be a table that score wrote"),
        ("scores.csv", HEAD + "bicubic\n", "must be a table that score wrote"),
        ("scores.csv", "name,core,slice\nbicubic,a,1\n", "must be a table that score wrote"),
        ("scores.csv", HEAD + 'bicubic,"a\n', "must be a table that score wrote"),
        ("scores.csv", HEAD + "bicubic,\udcff,1,30,0.5\n", "must be a table that score wrote"),
    ],
)
def test_files_that_score_did_not_write_are_refused(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = scored(tmp_path / "a")
    (folder / file).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message):
        run(folder, "--out", tmp_path / "out")
