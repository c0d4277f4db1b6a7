"""`python -m coresr_data`: what it prints, how it ends, and that options reach what they name."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data.__main__ import main
from coresr_data.cli import run
from coresr_data.store import Store, open_store
from coresr_data.volume import open_slices, write_slice

MakeCore = Callable[..., Path]
Ended = tuple[object, str, str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run a command in this process: exit code (0 where it returned), stdout, stderr."""
    monkeypatch.delenv("CORESR_TRACEBACK", raising=False)

    def ended(*arguments: object) -> Ended:
        code: object = 0
        try:
            run(lambda: main([str(argument) for argument in arguments]))
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return ended


def as_a_program(*arguments: object) -> Ended:
    environment = {name: value for name, value in os.environ.items() if name != "CORESR_TRACEBACK"}
    program = [sys.executable, "-m", "coresr_data", *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


def refused(ended: Ended, code: int, *words: object) -> None:
    assert ended[:2] == (code, "")
    assert ended[2].startswith("coresr: error: ")
    assert ended[2].count("\n") == 1
    for word in words:
        assert str(word) in ended[2]


# As a program


def test_a_slice_of_another_size_ends_the_program_with_65_and_one_line(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source / "slice_0005.png")
    ended = as_a_program("prepare", source, tmp_path / "store", "--scale", 2)
    refused(ended, 65, source / "slice_0005.png", "48×64", "got 8×8", "crop")
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_a_missing_folder_ends_the_program_with_66_and_one_line(tmp_path: Path) -> None:
    ended = as_a_program("prepare", tmp_path / "nowhere", tmp_path / "store", "--scale", 2)
    refused(ended, 66, tmp_path / "nowhere", "not there")


def test_what_a_decoder_logs_adds_no_second_line(tmp_path: Path) -> None:
    (tmp_path / "0.tif").write_bytes(b"II*\0\x08\0\0\0")
    refused(as_a_program("prepare", tmp_path, tmp_path / "store", "--scale", 2), 65, tmp_path / "0.tif", "0 pages")


# In this process


def test_a_folder_with_no_image_is_missing_input(command: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    refused(command("prepare", tmp_path, tmp_path / "store", "--scale", 2), 66, tmp_path, "PNG or TIFF", "name another")


def test_a_broken_slice_is_bad_data(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    (source / "slice_0000.png").write_text("<html>")
    refused(command("prepare", source, tmp_path / "store", "--scale", 2), 65, source / "slice_0000.png", "replace it")


def test_a_taken_store_cannot_be_created(command: Callable[..., Ended], store: Store, slices: Path) -> None:
    refused(command("prepare", slices, store.path, "--scale", 2), 73, store.path, "name another")


def test_an_unreachable_place_cannot_be_created(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(command("prepare", slices, tmp_path / "file" / "store", "--scale", 2), 73, tmp_path / "file")


def test_a_folder_that_is_no_store_is_missing_input(command: Callable[..., Ended], tmp_path: Path) -> None:
    refused(command("inspect", tmp_path), 66, tmp_path, "dataset.json", "prepare")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "COMMAND"),
        (["upscale"], "invalid choice: 'upscale'"),
        (["prepare", "a", "b"], "--scale"),
        (["prepare", "a", "b", "--scale", "x"], "--scale: invalid int value: 'x'"),
        (["prepare", "a", "b", "--scale", "2", "--split", "0.5/0.5"], "--split"),
        (["prepare", "a", "b", "--scale", "2", "--train", "0-5"], "--train"),
        (["prepare", "a", "b", "--scale", "2", "--degradation", "nearest"], "--degradation"),
        (["prepare", "a", "b", "--scale", "2", "--window", "5"], "--window"),
        (["inspect"], "STORE"),
    ],
)
def test_a_wrong_command_is_usage(command: Callable[..., Ended], arguments: list[str], reason: str) -> None:
    refused(command(*arguments), 64, reason, "--help")


def test_help_is_no_error(command: Callable[..., Ended]) -> None:
    code, out, err = command("prepare", "--help")
    assert (code, err) == (0, "")
    assert "--voxel-um" in out


def test_prepare_and_inspect_print_the_same_splits(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    prepared = command("prepare", slices, tmp_path / "store", "--scale", 2, "--voxel-um", 2.5)
    inspected = command("inspect", tmp_path / "store")
    assert prepared == inspected
    code, out, err = inspected
    assert (code, err) == (0, "")
    store = open_store(tmp_path / "store")
    (core,) = store.manifest.cores
    train = store.hr(core)[:14]
    lines = out.splitlines()
    assert lines[0] == f"store      {tmp_path / 'store'} (×2, bicubic LR, identity {store.sha256[:12]})"
    assert lines[1] == "grey       uint8, 0 → 0, 255 → 1"
    assert lines[2] == "voxel      HR 2.5 µm, LR 5 µm"
    assert lines[3] == "core       plug: HR 48×64, LR 24×32"
    assert lines[4].split() == (
        f"train 14 slices, numbers 0–13, HR levels {train.min()}–{train.max()}, mean {train.mean():.1f}".split()
    )
    assert [line.split()[:2] for line in lines[5:]] == [["valid", "3"], ["test", "3"]]


def test_what_is_not_there_is_not_printed(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(9), size=(9, 11))
    _, out, _ = command("prepare", source, tmp_path / "store", "--scale", 2, "--train", "0:3", "--gap", 0)
    assert "voxel      HR not said\n" in out
    assert "core       plug: HR 8×10, LR 4×5, cropped by 1 rows and 1 columns\n" in out
    assert out.count("slices, numbers") == 1


def test_options_reach_the_store(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("src", numbers=range(30))
    make_core("src/below", numbers=range(3))
    options = ["--train", "0:9", "--valid", "12:14", "--test", "20:29", "--gap", 2, "--window", 10, 200.5]
    code, _, err = command("prepare", source, tmp_path / "store", "--scale", 4, "--layout", "slices", *options)
    assert (code, err) == (0, "")
    m = open_store(tmp_path / "store").manifest
    assert (m.scale, m.window, m.voxel_um) == (4, (10, 200.5), None)
    assert m.split == {"parts": {"train": [0, 9], "valid": [12, 14], "test": [20, 29]}, "gap": 2}
    assert [core.name for core in m.cores] == ["src"]


def test_shares_and_gap_reach_the_store(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    command("prepare", slices, tmp_path / "store", "--scale", 2, "--split", "0.5/0.25/0.25", "--gap", 4)
    m = open_store(tmp_path / "store").manifest
    assert m.split == {"parts": [0.5, 0.25, 0.25], "gap": 4}
    splits = [one.split for one in m.cores[0].slices]
    assert [splits.count(name) for name in ("train", "valid", "test")] == [8, 4, 4]


def test_shares_together_with_ranges_are_refused(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    options = ["--scale", 2, "--split", "0.5/0.25/0.25", "--train", "0:5"]
    refused(command("prepare", slices, tmp_path / "store", *options), 64, "got both; drop one")


def test_phantom_writes_cores_that_prepare_takes(command: Callable[..., Ended], tmp_path: Path) -> None:
    out = tmp_path / "phantom"
    code, said, err = command("phantom", out, "--cores", 2, "--slices", 9, "--size", 16, "--seed", 3)
    assert (code, err) == (0, "")
    assert said == f"{out}: 2 cores (sandstone, carbonate), 9 slices of 16² each\n"
    assert open_slices(out / "carbonate").size == (16, 16)
    code, said, _ = command("prepare", out, tmp_path / "store", "--scale", 2)
    assert code == 0
    assert [line.split()[1] for line in said.splitlines() if line.startswith("core ")] == ["carbonate:", "sandstone:"]
    refused(command("phantom", out), 73, out)
    refused(command("phantom", tmp_path / "other", "--size", 3), 65, "size must be at least 16, got 3")


def test_the_documented_commands_of_the_real_sandstone_work(
    command: Callable[..., Ended], real_data: Path, tmp_path: Path
) -> None:
    source = real_data / "sandstone-versa" / "slices"
    options = ["--train", "0:250", "--valid", "300:300", "--test", "400:400", "--voxel-um", 2.23]
    code, out, err = command("prepare", source, tmp_path / "store", "--scale", 2, *options)
    assert (code, err) == (0, "")
    assert [line.split()[:2] for line in out.splitlines()[4:]] == [["train", "7"], ["valid", "1"], ["test", "1"]]


@pytest.mark.parametrize("name", [b"\xc3\xbcnder % 'n \n name", b"core \xff"])
def test_names_of_any_letters_and_bytes_are_printed(
    command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path, name: bytes
) -> None:
    source = make_core(os.fsdecode(name), numbers=range(9), size=(8, 8))
    code, out, _ = command("prepare", source, tmp_path / "ein store", "--scale", 2)
    assert code == 0
    assert "ein store" in out
    assert open_store(tmp_path / "ein store").manifest.cores[0].name == os.fsdecode(name)
    (source / "slice_0000.png").write_bytes(b"")
    refused(command("prepare", source, tmp_path / "again", "--scale", 2), 65, "slice_0000.png")


def test_levels_that_fill_little_of_the_window_are_named_with_the_remedy(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    (tmp_path / "plug").mkdir()
    for number in range(8):
        levels = np.random.default_rng(number).integers(0, 4096, (16, 16)).astype(np.uint16)
        write_slice(tmp_path / "plug" / f"{number}.png", levels)
    _, said, _ = command("prepare", tmp_path / "plug", tmp_path / "wide", "--scale", 2, "--gap", 0)
    assert "caution    the levels" in said
    assert "--window" in said
    _, said, _ = command(
        *("prepare", tmp_path / "plug", tmp_path / "fit", "--scale", 2, "--gap", 0), *("--window", 0, 4095)
    )
    assert "caution" not in said


@pytest.mark.parametrize(
    ("flag", "said"),
    [("--split 0.7/0.3", "like 0.7/0.15/0.15, got 0.7/0.3"), ("--train 0-9", "like 0:250, got 0-9")],
)
def test_a_malformed_split_ends_with_64_and_an_example(
    command: Callable[..., Ended], slices: Path, tmp_path: Path, flag: str, said: str
) -> None:
    refused(command("prepare", slices, tmp_path / "store", "--scale", 2, *flag.split()), 64, said)
