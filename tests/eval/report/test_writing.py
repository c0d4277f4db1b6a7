import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from coresr_eval.protocol import Score
from coresr_eval.report import summary, write_json, write_markdown, write_scores, write_whole
from tests.eval.report.making import comparison

Make = Callable[..., Score]


def test_scores_survive_the_round_trip_through_csv(tmp_path: Path, score: Make) -> None:
    scores = [score("bicubic", 30.123456, core='a, "b"', number=3, ssim=0.12345678), score("net", math.inf)]
    write_scores(tmp_path / "scores.csv", scores)
    text = (tmp_path / "scores.csv").read_text()
    assert text.startswith("model,core,slice,psnr,ssim,mae,lr_psnr,drift\nbicubic,")
    read = [
        Score(
            model=row["model"],
            core=row["core"],
            slice=int(row["slice"]),
            psnr=float(row["psnr"]),
            ssim=float(row["ssim"]),
            mae=float(row["mae"]),
            lr_psnr=float(row["lr_psnr"]),
            drift=float(row["drift"]),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]
    assert read == scores


def test_what_was_not_taken_is_an_empty_cell(tmp_path: Path) -> None:
    write_scores(tmp_path / "x", [Score(model="net", core="a", slice=1, psnr=math.inf, ssim=1.0)])
    assert (tmp_path / "x").read_text().splitlines()[1] == "net,a,1,inf,1.00000000,,,"


def test_no_cell_of_the_csv_begins_a_formula_or_holds_a_control(
    tmp_path: Path, score: Make, hostile: tuple[str, ...]
) -> None:
    for name in (*hostile, "+1", "-1", "@x", "'=1", "\t=1", "\uff1d1", " =1"):
        write_scores(tmp_path / "scores.csv", [score(name, -3.5, core=name, drift=-0.5)])
        row = list(csv.reader(io.StringIO((tmp_path / "scores.csv").read_bytes().decode(), newline="")))[1]
        assert row[2:] == ["0", "-3.500000", "0.50000000", "0.02000000", "45.000000", "-0.50000000"]
        for cell in row[:2]:
            assert cell.isprintable()
            assert cell.lstrip()[0] not in "=+-@\uff1d"
            if name.isprintable():
                assert name in {cell, cell.removeprefix("'")}
        if not name.isprintable():
            assert "\\x" in row[0] or "\\t" in row[0]


def test_two_names_never_become_one_in_the_csv(tmp_path: Path, score: Make) -> None:
    write_scores(tmp_path / "scores.csv", [score("=1", 1.0), score("'=1", 1.0), score("''=1", 1.0)])
    assert len({line.split(",")[0] for line in (tmp_path / "scores.csv").read_text().splitlines()}) == 4


def test_json_keeps_its_order_and_writes_infinity_as_a_text_that_float_reads(tmp_path: Path) -> None:
    value = {"z": [1.5, math.inf], "a": {"x": -math.inf, "y": None, "n": 3, "t": "µ\ud800\x1b"}}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert text.endswith("}\n")
    assert "\x1b" not in text
    read = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == {"z": [1.5, "inf"], "a": {"x": "-inf", "y": None, "n": 3, "t": "µ\ud800\x1b"}}
    assert list(read) == ["z", "a"]
    assert float(read["a"]["x"]) == -math.inf


def test_json_refuses_nan_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"psnr": math.nan})
    assert not list(tmp_path.iterdir())


def test_markdown_is_a_table_that_says_what_guards_it_and_its_protocol(tmp_path: Path, score: Make) -> None:
    scores = [score("bicubic", 30.0), score("net_2", 31.5, mae=0.01, drift=0.0099)]
    write_markdown(tmp_path / "x.md", summary({"ssim_window": 7, "grey": "uint8"}, scores))
    lines = (tmp_path / "x.md").read_text().splitlines()
    assert lines[:4] == [
        "| model | images | PSNR (dB) | SSIM | gain over bicubic (dB) | MAE (levels of 255) |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| bicubic | 1 | 30.00 | 0.5000 | – | 5.10 |",
        "| net\\_2 | 1 | 31.50 | 0.5000 | +1.50 | 2.55 |",
    ]
    assert lines[5].startswith("Caution: net\\_2 shifts the mean grey level, by +2.5 of 255 on")
    assert lines[-1].startswith("Protocol: ssim window 7; grey uint8. Tables may be compared only if")


def test_markdown_holds_intervals_and_letters_where_models_were_compared(tmp_path: Path, score: Make) -> None:
    compared = comparison("net")
    rated = {row.model: row for row in compared.rows}
    write_markdown(tmp_path / "x.md", summary({}, [score("bicubic", 30.0), score("net", 31.5)]), compared)
    lines = (tmp_path / "x.md").read_text().splitlines()
    assert lines[0].endswith("| MAE (levels of 255) | 95 % interval of the gain | letters |")
    assert lines[1].count("---") == 8
    assert lines[2].endswith(f"| – | {rated['bicubic'].letters} |")
    net = rated["net"]
    assert lines[3].endswith(f"| {net.gain_low:+.2f} to {net.gain_high:+.2f} | {net.letters} |")
    assert any("Models that share a letter were not shown" in line for line in lines)


def test_no_name_becomes_markup_in_markdown(tmp_path: Path, score: Make, hostile: tuple[str, ...]) -> None:
    names = (*hostile, "a | b", "[x](javascript:1)", "www.example.org", "`x`", "*x*", "\\")
    scores = [score(model, 30.0) for model in ("bicubic", *names)]
    write_markdown(tmp_path / "x.md", summary({name: name for name in names}, scores))
    text = (tmp_path / "x.md").read_bytes().decode()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 3 + len(names)
    for row in rows[3:]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) == 7
    bare = re.sub(r"\\.", "", text)
    assert not set("<>[]`*_{}$&@") & set(bare)
    assert "www." not in bare
    assert "://" not in bare
    assert text.replace("\n", "").isprintable()


def test_a_whole_file_replaces_the_old_one_and_obeys_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    target.chmod(0o600)
    mask = os.umask(0o027)
    try:
        write_whole(target, b"new")
    finally:
        os.umask(mask)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "x"
    target.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    monkeypatch.undo()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_file_and_folder_are_flushed_around_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(fd: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else f"file of {os.fstat(fd).st_size}")
        fsync(fd)

    def renamed(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    write_whole(tmp_path / "x", b"12345")
    assert calls == ["file of 5", "rename", "folder"]
