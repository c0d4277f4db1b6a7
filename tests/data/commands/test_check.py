"""`check` lists all problems, says what it looked at, and ends with 65 for errors alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from coresr_data.checking.examining import How, Passed
from coresr_data.cli import Parser, run
from coresr_data.commands import check as command
from coresr_data.formats.images import write_slice
from coresr_data.formats.raw import raw_header
from coresr_data.packing import prepare
from coresr_data.store import Store

Ended = tuple[object, list[str], str]


@pytest.fixture
def plug(tmp_path: Path) -> Path:
    """A folder of 24 slices of 48×64 with nothing wrong."""
    (tmp_path / "plug").mkdir()
    for number in range(24):
        levels = np.random.default_rng(number).integers(1, 250, (48, 64), dtype=np.uint8)
        write_slice(tmp_path / "plug" / f"slice_{number:04d}.png", levels)
    return tmp_path / "plug"


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run it: exit code, lines of stdout, stderr."""
    monkeypatch.delenv("CORESR_TRACEBACK", raising=False)

    def ended(*arguments: object) -> Ended:
        parser = Parser(prog="test")
        command.add(parser.add_subparsers(required=True))

        def main() -> None:
            options = parser.parse_args(["check", *map(str, arguments)])
            options.command(options)

        code: object = 0
        try:
            run(main)
        except SystemExit as stop:
            code = stop.code
        output = capsys.readouterr()
        return code, output.out.splitlines(), output.err

    return ended


def test_a_good_folder_ends_with_0_and_one_line(check: Callable[..., Ended], plug: Path) -> None:
    assert check(plug) == (0, [f"{plug}: 24 slices in 24 files, 0 errors, 0 warnings"], "")


def test_every_error_is_printed_and_the_end_is_65(check: Callable[..., Ended], plug: Path) -> None:
    for number in range(12):
        (plug / f"slice_{number:04d}.png").write_bytes(b"")
    (plug / "notes.txt").touch()
    code, lines, err = check(plug)
    assert code == 65
    assert [line.split()[0] for line in lines[:-1]] == ["error"] * 12
    assert all(f"slice_{number:04d}.png" in lines[number] for number in range(12))
    assert lines[-1] == f"{plug}: 12 slices in 24 files, 1 other files passed over, 12 errors, 0 warnings"
    assert err == f"coresr: error: {plug} must be free of errors, got 12; mend what is listed above\n"


def test_warnings_alone_end_with_0_and_many_of_a_kind_are_counted(check: Callable[..., Ended], plug: Path) -> None:
    for number in range(30, 45):
        write_slice(plug / f"{number}.png", np.full((48, 64), number, np.uint8))
    code, lines, err = check(plug)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in lines[:-1]] == ["warning"] * 11
    assert lines[-2] == "warning  5 more of the kind: constant"
    assert lines[-1].endswith("0 errors, 15 warnings")


def test_errors_are_printed_before_warnings(check: Callable[..., Ended], store: Store, plug: Path) -> None:
    write_slice(plug / "99.png", np.full((48, 64), 9, np.uint8))
    lines = check(store.path, "--source", plug)[1]
    assert [line.split()[0] for line in lines[:-1]] == ["error"] * 20 + ["warning"]


def test_a_store_is_checked_and_its_bytes_when_asked(check: Callable[..., Ended], plug: Path, tmp_path: Path) -> None:
    copy = prepare(plug, tmp_path / "store", scale=2, gap=2).path
    assert check(copy, "--deep") == (0, [f"{copy}: 20 slices, 0 errors, 0 warnings"], "")
    data = bytearray((copy / "plug" / "hr.npy").read_bytes())
    data[-9] ^= 64
    (copy / "plug" / "hr.npy").write_bytes(data)
    assert check(copy)[0] == 0
    code, lines, _ = check(copy, "--deep")
    assert code == 65
    assert "hr.npy must have the sha256" in lines[0]
    code, lines, _ = check(copy, "--source", plug)
    assert (code, lines) == (0, [f"{copy}: 20 slices, 24 slices in 24 files, 0 errors, 0 warnings"])


def test_one_flipped_bit_in_a_raw_source_is_found_by_deep(check: Callable[..., Ended], tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(1, 250, (12, 16, 16), dtype=np.uint8)
    header = "ObjectType = Image\nNDims = 3\nDimSize = 16 16 12\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "a.mhd").write_text(header)
    (tmp_path / "scan" / "a.raw").write_bytes(levels.tobytes())
    store = prepare(tmp_path / "scan" / "a.mhd", tmp_path / "store", scale=2, gap=0)
    assert check(store.path, "--deep", "--source", tmp_path / "scan")[0] == 0
    levels[0, 3, 3] ^= 1
    (tmp_path / "scan" / "a.raw").write_bytes(levels.tobytes())
    code, lines, _ = check(store.path, "--deep", "--source", tmp_path / "scan")
    assert code == 65
    assert lines[0].startswith("error    a/a.mhd[0]: source must hold the levels") or "[0]" in lines[0]
    assert lines[-1].endswith("1 errors, 0 warnings")


def test_the_registration_of_a_store_is_printed(check: Callable[..., Ended], sandstone: Store) -> None:
    code, lines, _ = check(sandstone.path, "--registration")
    assert code == 0
    assert lines[0].startswith("pairs    ")
    assert "0 of 9 off, 0 unclear" in lines[0]


@pytest.fixture
def shifted(real_data: Path, tmp_path: Path) -> Path:
    """Paired folders of real sandstone whose LR lies two LR pixels too low."""
    from coresr_data.formats.images import read_slice
    from coresr_data.resize import imresize

    for name in ("hr", "lr"):
        (tmp_path / "pairs" / name).mkdir(parents=True)
    for path in sorted((real_data / "sandstone-versa" / "slices").iterdir())[:4]:
        image = read_slice(path)
        write_slice(tmp_path / "pairs" / "hr" / path.name, image[8:264, :256])
        lr = imresize(image[4:260, :256], 1 / 2, matlab_uint8=True)
        write_slice(tmp_path / "pairs" / "lr" / path.name, lr)
    return tmp_path / "pairs"


def test_the_registration_of_folders_is_an_error_where_it_is_wrong(check: Callable[..., Ended], shifted: Path) -> None:
    code, lines, _ = check(shifted, "--registration", "--scale", 2)
    assert code == 65
    assert "got 4 of 4 pairs further off, by +2.00 rows and " in lines[0]
    assert lines[-2].startswith("pairs    pairs ×2: shift +2.00 rows")


def test_registration_waits_for_files_that_can_be_read(check: Callable[..., Ended], shifted: Path) -> None:
    min((shifted / "lr").iterdir()).write_bytes(b"")
    code, lines, _ = check(shifted, "--registration", "--scale", 2)
    assert code == 65
    assert [line.split()[0] for line in lines].count("error") == 1
    assert not any(line.startswith("pairs") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--deep"], 64, "must be asked of a store"),
        (["--source", "x"], 64, "must be asked of a store"),
        (["--registration"], 64, "say --scale"),
        (["--time-limit", "0"], 64, "seconds above 0, got 0"),
        (["--time-limit", "nan"], 64, "seconds above 0, got nan"),
        (["--time-limit", "x"], 64, "seconds above 0, got x"),
        (["--raw", "3x4"], 64, "raw header must begin"),
        (["--variable", "im"], 0, ""),
    ],
)
def test_a_wrong_command_is_usage(
    check: Callable[..., Ended], slices: Path, arguments: list[str], code: int, words: str
) -> None:
    ended = check(slices, *arguments)
    assert ended[0] == code
    assert words in ended[2]
    assert ended[2].count("\n") <= 1


def test_a_missing_path_is_missing_input(check: Callable[..., Ended], tmp_path: Path) -> None:
    code, lines, err = check(tmp_path / "nowhere")
    assert (code, lines) == (66, [])
    assert "not there" in err


def test_a_store_cut_along_another_axis_is_held_against_its_raw_source(
    check: Callable[..., Ended], tmp_path: Path
) -> None:
    levels = np.random.default_rng(0).integers(1, 250, (12, 16, 20), dtype=np.uint8)
    levels.tofile(tmp_path / "a.raw")
    header = "12x16x20:uint8"
    store = prepare(tmp_path / "a.raw", tmp_path / "store", scale=2, axis="x", split="none", raw=raw_header(header))
    assert check(store.path, "--source", tmp_path / "a.raw", "--raw", header)[0] == 0
    levels[3, 4, 5] ^= 1
    levels.tofile(tmp_path / "a.raw")
    code, lines, _ = check(store.path, "--source", tmp_path / "a.raw", "--raw", header)
    assert code == 65
    assert [line.split()[1] for line in lines[:-1]] == ["a/a.raw[x=5]:"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty", "empty: it must hold slices, got none; name another place"),
        ("texts", "texts: it must hold slices, got none; name another place"),
        ("texts/notes.txt", "notes.txt must be one of .npz, "),
        ("scan.raw", "scan.raw must come with a header, got none; say its shape, dtype and byte order: --raw "),
        ("more/scan.raw", "scan.raw must come with a header, got none; open "),
    ],
)
def test_to_have_looked_at_nothing_is_an_error(
    check: Callable[..., Ended], tmp_path: Path, name: str, words: str
) -> None:
    for folder in ("empty", "texts", "more"):
        (tmp_path / folder).mkdir()
    for file in ("texts/notes.txt", "scan.raw", "more/scan.raw", "more/scan.mhd"):
        (tmp_path / file).touch()
    code, lines, _ = check(tmp_path / name)
    assert code == 65
    assert len(lines) == 2
    assert lines[0].startswith("error ")
    assert words in lines[0]
    assert lines[1].endswith(" 1 errors, 0 warnings")


def test_a_file_that_is_refused_is_not_said_to_hold_nothing_too(check: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    code, lines, _ = check(tmp_path)
    assert code == 65
    assert [line.split()[:2] for line in lines[:-1]] == [["error", "slice"]]


def opened_by_a_reader(pipe: Path) -> int:
    """The end to write to, once somebody reads from the other."""
    for _ in range(600):
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(pipe)


def test_an_interrupted_check_says_one_line_and_leaves_no_process(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow.png")
    program = (
        "import signal; from coresr_data.__main__ import main; from coresr_data.cli import run; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); run(main)"  # ignored where tests run in background
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, "check", str(tmp_path / "slow.png")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, as a terminal makes one
    ) as checking:
        writing = opened_by_a_reader(tmp_path / "slow.png")
        os.killpg(checking.pid, signal.SIGINT)
        _, said = checking.communicate(timeout=60)
        os.close(writing)
    assert (checking.returncode, said) == (130, "coresr: error: interrupted\n")


def test_options_reach_the_readers(check: Callable[..., Ended], tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(1, 250, (3, 16, 16), dtype=np.uint8)
    (tmp_path / "a.bin").write_bytes(levels.tobytes())
    assert "3 slices in 1 files" in check(tmp_path / "a.bin", "--raw", "3x16x16:uint8")[1][-1]
    np.savez(tmp_path / "a.npz", one=levels, two=levels[:2])
    assert check(tmp_path / "a.npz")[0] == 65
    assert "2 slices in 1 files" in check(tmp_path / "a.npz", "--variable", "two")[1][-1]
    (tmp_path / "in").mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / f"out{number}.tif", levels[number], photometric="minisblack")
        (tmp_path / "in" / f"{number}.tif").symlink_to(f"../out{number}.tif")
    assert check(tmp_path / "in")[0] == 65
    assert check(tmp_path / "in", "--allow-external-links")[0] == 0


def test_the_time_limit_reaches_the_processes(
    check: Callable[..., Ended], plug: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []

    def pretend(paths: list[Path], how: How, *, time_limit: float) -> list[tuple[Path, Passed]]:
        assert how == How()
        given.append(time_limit)
        return [(path, Passed()) for path in paths]

    monkeypatch.setattr("coresr_data.checking.examined", pretend)
    assert "24 other files passed over" in check(plug, "--time-limit", 2.5)[1][-1]
    assert given == [2.5]
