"""`python -m coresr_data`: what it prints, how it ends, and that options reach what they name."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coresr_data.__main__ import main
from coresr_data.cli import run
from coresr_data.formats.images import open_slices, write_slice
from coresr_data.store import Store, open_store

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
    ended = as_a_program("prepare", source, tmp_path / "store", "--scale", 2, "--split", "none")
    refused(ended, 65, "slice_0005.png", source, "48×64", "got 8×8", "crop")
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
    refused(command("prepare", tmp_path, tmp_path / "store", "--scale", 2), 66, tmp_path, "PNG, TIFF", "name another")


def test_a_broken_slice_is_bad_data(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(12))
    (source / "slice_0000.png").write_text("<html>")
    refused(command("prepare", source, tmp_path / "store", "--scale", 2), 65, source / "slice_0000.png", "replace it")


def test_a_taken_store_cannot_be_created(command: Callable[..., Ended], store: Store, slices: Path) -> None:
    refused(command("prepare", slices, store.path, "--scale", 2), 73, store.path, "name another")


def test_an_unreachable_place_cannot_be_created(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = tmp_path / "file" / "store"
    refused(command("prepare", slices, store, "--scale", 2), 73, f"written, got {store}: ", "name another place")


def test_a_place_that_makes_no_folders_cannot_be_created(command: Callable[..., Ended], slices: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("the system has no such place")
    refused(command("prepare", slices, "/proc/store", "--scale", 2), 73, "written, got /proc/store: ")


def test_a_folder_that_is_no_store_is_missing_input(command: Callable[..., Ended], tmp_path: Path) -> None:
    refused(command("inspect", tmp_path), 66, tmp_path, "dataset.json", "prepare")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "COMMAND"),
        (["upscale"], "invalid choice: 'upscale'"),
        (["prepare", "a", "b"], "--scale"),
        (
            ["prepare", "a", "b", "--scale", "x"],
            "--scale: must be a whole number of 2 or more, or several like 2,4, got x",
        ),
        (["prepare", "a", "b", "--scale", "2,1"], "--scale: must be a whole number of 2 or more, or several like 2,4"),
        (
            ["prepare", "a", "b", "--scale", "2", "--window", "5", "1"],
            "--window: window must be LOW < HIGH, both finite",
        ),
        (["prepare", "a", "b", "--scale", "2", "--window", "0", "inf"], "--window: window must be LOW < HIGH"),
        (
            ["prepare", "a", "b", "--scale", "2", "--voxel-um", "0"],
            "--voxel-um: must be a number of micrometres above 0",
        ),
        (["prepare", "a", "b", "--scale", "2", "--voxel-um", "nan"], "--voxel-um: must be a number of micrometres"),
        (["degrade", "a", "b", "--scale", "1"], "--scale: must be a whole number of 2 or more, got 1"),
        (["degrade", "a", "b", "--scale", "2", "--window", "5", "5"], "--window: window must be LOW < HIGH"),
        (["fit-scanner", "a", "b", "--scale", "0", "--out", "c.json"], "--scale: must be a whole number of 2 or more"),
        (["check", "a", "--registration", "--scale", "0"], "--scale: must be a whole number of 2 or more, got 0"),
        (["phantom", "a", "--cores", "0"], "--cores: must be a whole number of 1 or more, got 0"),
        (["phantom", "a", "--slices", "0"], "--slices: must be a whole number of 1 or more, got 0"),
        (["phantom", "a", "--size", "15"], "--size: must be a whole number of 16 or more, got 15"),
        (["phantom", "a", "--spacing", "-4"], "--spacing: must be a whole number of 1 or more, got -4"),
        (["prepare", "a", "b", "--scale", "2", "--gap", "wide"], "a number of slices like 4, or a length like 50um"),
        (["prepare", "a", "b", "--scale", "2", "--raw", "8x8"], "--raw: raw header must begin with slices"),
        (["prepare", "a", "b", "--scale", "2", "--axis", "w"], "--axis"),
        (["prepare", "a", "b", "--scale", "2", "--layout", "heap"], "--layout"),
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


def test_prepare_says_what_it_found_and_how_it_split_and_then_what_inspect_says(
    command: Callable[..., Ended], slices: Path, tmp_path: Path
) -> None:
    code, prepared, err = command("prepare", slices, tmp_path / "store", "--scale", 2, "--voxel-um", 2.5, "--gap", 2)
    _, inspected, _ = command("inspect", tmp_path / "store")
    assert (code, err) == (0, "")
    found, split, rest = prepared.split("\n", 2)
    assert rest == inspected
    assert found == "found      slices: 1 core, 24 slices"
    assert re.fullmatch(
        r"split      plug: 20 of 24 slices kept, given gap 2 slice numbers; slices at the borders correlate "
        r"-?0\.\d\d, -?0\.\d\d",
        split,
    )
    lines = [line for line in inspected.splitlines() if line.startswith("  ")]
    assert [line.split()[:2] for line in lines] == [["train", "14"], ["valid", "3"], ["test", "3"]]


def test_prepare_without_flags_says_which_gap_it_measured(
    command: Callable[..., Ended], slices: Path, tmp_path: Path
) -> None:
    _, out, _ = command("prepare", slices, tmp_path / "store", "--scale", 2)
    assert "split      plug: 24 of 24 slices kept, measured gap 0 slice numbers; slices at the borders" in out


def test_what_is_not_there_is_not_printed(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(9), size=(9, 11))
    _, out, _ = command("prepare", source, tmp_path / "store", "--scale", 2, "--train", "0:3", "--gap", 0)
    assert "split      plug: 4 of 9 slices kept, given gap 0 slice numbers\n" in out
    for never in ("pairs ", "skipped ", "correlate", "show the same rock"):
        assert never not in out
    assert out.count("slices, numbers") == 1


def test_options_reach_the_store(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("src", numbers=range(30))
    make_core("src/below", numbers=range(3))
    options = ["--train", "0:9", "--valid", "12:14", "--test", "20:29", "--gap", 2, "--window", 10, 200.5]
    code, _, err = command("prepare", source, tmp_path / "store", "--scale", 4, "--layout", "slices", *options)
    assert (code, err) == (0, "")
    m = open_store(tmp_path / "store").manifest
    assert (m.scales, m.window, m.cores[0].voxel_um) == ((4,), (10, 200.5), None)
    assert m.split["parts"] == {"train": [0, 9], "valid": [12, 14], "test": [20, 29]}
    assert m.split["cores"][0]["gap"] == 2
    assert [core.name for core in m.cores] == ["src"]


def test_shares_and_gap_reach_the_store(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    command("prepare", slices, tmp_path / "store", "--scale", 2, "--split", "0.5/0.25/0.25", "--gap", 4)
    m = open_store(tmp_path / "store").manifest
    assert (m.split["parts"], m.split["cores"][0]["gap"]) == ([0.5, 0.25, 0.25], 4)
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
    refused(command("phantom", tmp_path / "other", "--size", 3), 64, "--size: must be a whole number of 16 or more")


def test_the_documented_commands_of_the_real_sandstone_work(
    command: Callable[..., Ended], real_data: Path, tmp_path: Path
) -> None:
    source = real_data / "sandstone-versa" / "slices"
    options = ["--train", "0:250", "--valid", "300:300", "--test", "400:400", "--voxel-um", 2.23]
    code, out, err = command("prepare", source, tmp_path / "store", "--scale", 2, *options)
    assert (code, err) == (0, "")
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert [line.split()[:2] for line in lines] == [["train", "7"], ["valid", "1"], ["test", "1"]]


@pytest.mark.parametrize("name", [b"\xc3\xbcnder % 'n \n name", b"core \xff"])
def test_names_of_any_letters_and_bytes_are_printed(
    command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path, name: bytes
) -> None:
    source = make_core(os.fsdecode(name), numbers=range(9), size=(8, 8))
    code, out, _ = command("prepare", source, tmp_path / "ein store", "--scale", 2)
    assert code == 0
    assert "ein store" in out
    assert open_store(tmp_path / "ein store").manifest.cores[0].name == name.decode("utf-8", "backslashreplace")
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
    [
        ("--split 0.7/0.3", "like 0.7/0.15/0.15, or none, got 0.7/0.3"),
        ("--train 0-9", "like 0:250, or names of cores, got 0-9"),
        ("--train 0:9:2", "like 0:250, or names of cores, got 0:9:2"),
        ("--train ,", "like 0:250, or names of cores, got ,"),
        ("--train 0:3 --test plug", "all be slice numbers, or all names of cores, got both"),
    ],
)
def test_a_malformed_split_ends_with_64_and_an_example(
    command: Callable[..., Ended], slices: Path, tmp_path: Path, flag: str, said: str
) -> None:
    refused(command("prepare", slices, tmp_path / "store", "--scale", 2, *flag.split()), 64, said)


# What prepare is asked for, and what it says


def test_every_flag_reaches_what_it_names(command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path) -> None:
    for seed, core in enumerate(("coal", "sand-1", "sand-2")):
        make_core(f"src/{core}", numbers=range(6), size=(50, 66), seed=seed)
    write_slice(tmp_path / "src" / "coal" / "slice_0003.png", np.full((50, 66), 7, np.uint8))
    np.save(tmp_path / "mask.npy", np.ones((50, 66), bool))
    flags = "--scale 4,2 --layout slices --degradation blur --seed 5 --train sand-* --test coal --voxel-um 2"
    code, out, err = command(
        *(
            "prepare",
            tmp_path / "src",
            tmp_path / "store",
            *flags.split(),
            "--skip-bad",
            "--mask",
            tmp_path / "mask.npy",
        )
    )
    assert (code, err) == (0, "")
    m = open_store(tmp_path / "store").manifest
    assert (m.scales, m.degradation, m.degradation_parameters) == ((2, 4), "blur", {"seed": 5})
    assert m.split["parts"] == {"train": ["sand-*"], "test": ["coal"]}
    assert [(core.name, core.masked, core.slices[0].split) for core in m.cores] == [
        ("coal", True, "test"),
        ("sand-1", True, "train"),
        ("sand-2", True, "train"),
    ]
    assert "found      slices: 3 cores, 17 slices\n" in out
    assert "skipped    coal/slice_0003.png: slice slice_0003.png must hold rock, got grey level 7 alone" in out


def test_a_gap_in_micrometres_reaches_the_store(command: Callable[..., Ended], slices: Path, tmp_path: Path) -> None:
    for k, gap in enumerate(("10um", "10 µm", "10.0μm")):
        code, _, _ = command("prepare", slices, tmp_path / f"{k}", "--scale", 2, "--gap", gap, "--voxel-um", 2.5)
        assert code == 0
        assert open_store(tmp_path / f"{k}").manifest.split["cores"][0]["gap"] == 4


def test_volumes_are_cut_and_chosen_as_asked(command: Callable[..., Ended], tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 255, (20, 40, 50)).astype(np.uint8)
    (tmp_path / "plug.raw").write_bytes(levels.tobytes())
    np.savez(tmp_path / "plug.npz", grey=levels, other=levels)
    for source, flags in (("plug.raw", ["--raw", "20x40x50:uint8"]), ("plug.npz", ["--variable", "grey"])):
        store = tmp_path / f"{source} store"
        code, _, err = command(
            "prepare", tmp_path / source, store, "--scale", 2, "--axis", "x", "--split", "none", *flags
        )
        assert (code, err) == (0, "")
        opened = open_store(store)
        np.testing.assert_array_equal(opened.hr(opened.manifest.cores[0])[7], levels[:, :, 7])


def test_what_is_accepted_is_said(command: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "plug").mkdir()
    rock = np.random.default_rng(0).integers(0, 200, (64, 64))
    for z in range(9):
        noise = np.random.default_rng(z).integers(0, 8, (64, 64))
        write_slice(tmp_path / "plug" / f"{z}.png", (rock + noise).astype(np.uint8))
    arguments = ("prepare", tmp_path / "plug", tmp_path / "store", "--scale", 2)
    refused(command(*arguments), 65, "must not show the same rock", "plug", "--split none", "--train", "--axis")
    code, out, _ = command(*arguments, "--accept-similar")
    assert code == 0
    assert out.count("show the same rock (correlation 1.00), which was accepted") == 2
    assert "3 of 9 slices kept, measured gap 3 slice numbers; slices at the borders correlate 1.00, 1.00\n" in out


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_scan_pair_is_said_to_lie_on_its_hr_and_how_its_slices_pair(
    command: Callable[..., Ended], tmp_path: Path, depth: int
) -> None:
    scale = max(depth, 2)
    hr = np.random.default_rng(0).integers(0, 255, (12 * depth, 24 * scale, 24 * scale)).astype(np.uint8)
    lr = hr.reshape(12, depth, 24, scale, 24, scale).mean(axis=(1, 3, 5)).astype(np.uint8)
    np.save(tmp_path / "hr.npy", hr)
    np.save(tmp_path / "lr.npy", lr)
    store = tmp_path.parent / f"{tmp_path.name} store"
    code, out, _ = command("prepare", tmp_path, store, "--scale", scale)
    assert code == 0
    assert out.startswith("found      pair: 1 core, 12 slices\n")
    middle = {1: "", 2: "HR slice 2·i + 1, which is half an HR voxel below its middle\n", 3: "HR slice 3·i + 1\n"}[
        depth
    ]
    assert middle in out
    assert ("LR slice i" in out) == (depth > 1)
    assert re.search(
        rf"pairs      .* ×{scale}: aligned, LR lies [+-]0.0\d pixels down and [+-]0.0\d right of HR \(8 p", out
    )


def test_links_shifts_and_sizes_are_accepted_on_request(
    command: Callable[..., Ended], make_core: MakeCore, tmp_path: Path
) -> None:
    source = make_core("plug", numbers=range(6))
    write_slice(source / "slice_0004.png", np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8))
    (tmp_path / "elsewhere.png").write_bytes((source / "slice_0001.png").read_bytes())
    (source / "slice_0001.png").unlink()
    (source / "slice_0001.png").symlink_to(tmp_path / "elsewhere.png")
    arguments = ("prepare", source, tmp_path / "store", "--scale", 2, "--split", "none")
    refused(command(*arguments), 65, "--allow-external-links")
    refused(command(*arguments, "--allow-external-links"), 65, "slice_0004.png")
    assert command(*arguments, "--allow-external-links", "--several-sizes")[0] == 0
    assert [core.name for core in open_store(tmp_path / "store").manifest.cores] == ["plug", "plug"]
