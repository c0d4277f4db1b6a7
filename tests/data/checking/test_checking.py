"""One pass over a folder finds all that is wrong with it, and nothing that is not."""

import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from coresr_data.checking import Checked, check_sources
from coresr_data.checking.examining import Facts, How, Passed, Refused, examine, facts
from coresr_data.formats.images import write_slice
from coresr_data.formats.raw import raw_header

Levels = NDArray[Any]


def rock(seed: int = 0, shape: tuple[int, ...] = (20, 24), dtype: str = "uint8") -> Levels:
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def good(folder: Path, count: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        write_slice(folder / f"{number:04d}.png", rock(number))
    return folder


def told(checked: Checked, root: Path) -> list[tuple[str, str, str]]:
    return [(p.severity, p.kind, os.path.relpath(p.path, root)) for p in checked.problems]


def test_a_good_folder_has_no_problems(tmp_path: Path) -> None:
    checked = check_sources(good(tmp_path / "core", 7))
    assert checked.problems == ()
    assert (checked.files, len(checked.slices), checked.passed) == (7, 7, 0)


def circular(path: Path) -> None:
    tifffile.imwrite(path, rock(), photometric="minisblack")
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (tags,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * tags, first)
    path.write_bytes(data)


def cut(path: Path) -> None:
    write_slice(path, rock())
    path.write_bytes(path.read_bytes()[:-30])


def holding_nan(path: Path) -> None:
    levels = rock().astype(np.float32)
    levels[3, 5] = np.nan
    write_slice(path, levels)


BAD: dict[str, Callable[[Path], object]] = {  # name → how it is made; the rows of the fault matrix
    "d1_zero.png": lambda path: path.write_bytes(b""),
    "d1_html.png": lambda path: path.write_text("<html>not found</html>"),
    "d1_cut.png": cut,
    "d1_cut.tif": cut,
    "d2_header.tif": lambda path: path.write_bytes(b"II*\0\x08\0\0\0"),
    "d5_palette.png": lambda path: Image.fromarray(rock()).convert("P").save(path),
    "d5_bit.png": lambda path: Image.fromarray(rock() > 100).save(path),
    "d5_alpha.png": lambda path: Image.fromarray(np.stack([rock(), rock(1)], axis=2), "LA").save(path),
    "d5_colour.png": lambda path: Image.fromarray(rock(shape=(20, 24, 3))).save(path),
    "d6_frames.png": lambda path: Image.fromarray(rock()).save(
        path, save_all=True, append_images=[Image.fromarray(rock(1))]
    ),
    "d7_turned.png": lambda path: Image.fromarray(rock()).save(path, exif=turned()),
    "d8_nan.tif": holding_nan,
    "d9_bomb.png": lambda path: Image.fromarray(np.zeros((17000, 17000), np.uint8)).save(path),
    "d10_circle.tif": circular,
    "d11_postscript.png": lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "d15_nowhere.png": lambda path: path.symlink_to("gone.png"),
    "d15_outside.png": lambda path: path.symlink_to("/etc/hostname"),
    os.fsdecode(b"d16 \xff\n'\".png"): lambda path: path.write_bytes(b""),
}


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


def test_every_bad_file_of_the_fault_matrix_is_listed_in_one_pass(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    for name, make in BAD.items():
        make(folder / name)
    before = time.monotonic()
    checked = check_sources(folder)
    assert time.monotonic() - before < 20
    errors = [problem for problem in checked.problems if problem.severity == "error"]
    assert len(errors) == len(BAD)
    for name in BAD:
        printed = os.fsencode(name).decode("utf-8", "backslashreplace").replace("\n", r"\n")
        (problem,) = [one for one in errors if one.path == f"{folder}/{printed}"]
        assert problem.path in problem.line
        assert len(problem.line.splitlines()) == 1
        problem.line.encode()
    assert len(checked.slices) == 4
    reasons = {Path(problem.path).name: problem.reason for problem in errors}
    for name, word in [
        ("d1_html.png", "another kind of file"),
        ("d6_frames.png", "frames"),
        ("d7_turned.png", "orientation"),
        ("d8_nan.tif", "y 3, x 5"),
        ("d9_bomb.png", "at most"),
        ("d15_nowhere.png", "gone.png"),
        ("d15_outside.png", "must stay inside"),
    ]:
        assert word in reasons[name]


# Warnings


def black(path: Path) -> None:
    write_slice(path, np.zeros((20, 24), np.uint8))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("end", ["min", "max"])
def test_more_than_a_hundredth_at_an_end_of_the_dtype_is_saturated(tmp_path: Path, dtype: str, end: str) -> None:
    levels = rock(dtype=dtype, shape=(20, 25))
    levels.flat[:5] = getattr(np.iinfo(dtype), end)  # exactly a hundredth
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="minisblack")
    assert check_sources(tmp_path / "a.tif").problems == ()
    levels.flat[:6] = getattr(np.iinfo(dtype), end)
    tifffile.imwrite(tmp_path / "a.tif", levels, photometric="minisblack")
    (problem,) = check_sources(tmp_path / "a.tif").problems
    assert (problem.severity, problem.kind) == ("warning", "saturated")
    assert "1.2 % of the pixels are" in problem.line
    assert ("lowest" if end == "min" else "highest") in problem.line


def test_floats_are_never_saturated_and_their_levels_are_told() -> None:
    found = facts("a", np.array([[0.0, 0.5], [1.0, 1.0]], np.float32))
    assert (found.low, found.high, found.at_low, found.at_high) == (0, 1, 0, 0)


def test_black_and_constant_slices_are_warnings_and_not_saturated(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    for name, level in (("0010.png", 0), ("0011.png", 7), ("0012.png", 255)):
        write_slice(folder / name, np.full((20, 24), level, np.uint8))
    assert told(check_sources(folder), folder) == [
        ("warning", "black", "0010.png"),
        ("warning", "constant", "0011.png"),
        ("warning", "constant", "0012.png"),
    ]


def test_equal_slices_are_told_with_both_names_wherever_they_lie(tmp_path: Path) -> None:
    a, b = good(tmp_path / "a"), tmp_path / "b"
    b.mkdir()
    shutil.copy(a / "0002.png", b / "9.png")
    tifffile.imwrite(b / "stack.tif", np.stack([rock(7), rock(3)]), photometric="minisblack")
    problems = check_sources(tmp_path).problems
    assert sorted(problem.path for problem in problems) == [f"{b}/9.png", f"{b}/stack.tif[1]"]
    assert {problem.kind for problem in problems} == {"equal"}
    assert any(f"got the levels of {a}/0002.png" in problem.reason for problem in problems)
    assert any(f"got the levels of {a}/0003.png" in problem.reason for problem in problems)


def test_equal_bytes_of_another_size_or_dtype_are_not_equal(tmp_path: Path) -> None:
    levels = rock()
    for name, other in (("a", levels), ("b", levels.reshape(24, 20)), ("c", levels.view(np.uint16))):
        (tmp_path / name).mkdir()
        write_slice(tmp_path / name / "0.tif", other)
    assert check_sources(tmp_path).problems == ()


# Slices beside each other


def test_sizes_and_dtypes_that_most_do_not_have_are_told(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    write_slice(folder / "0000.png", rock(9, (20, 25)))
    write_slice(folder / "0001.png", rock(1, dtype="uint16"))
    checked = check_sources(folder)
    assert told(checked, folder) == [("error", "dtype", "0001.png"), ("warning", "size", "0000.png")]
    assert "must be uint8 like most beside it, got uint16" in checked.problems[0].line
    assert "20×25, most beside it are 20×24" in checked.problems[1].line


def test_folders_are_held_against_themselves_alone(tmp_path: Path) -> None:
    good(tmp_path / "hr")
    (tmp_path / "lr").mkdir()
    for number in range(3):
        write_slice(tmp_path / "lr" / f"{number:04d}.tif", rock(40 + number, (10, 12), "uint16"))
    assert check_sources(tmp_path).problems == ()


def test_names_alike_are_told(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    write_slice(folder / "0001.tif", rock(11))
    checked = check_sources(folder)
    assert told(checked, folder) == [("error", "names", "0001.png")]
    assert "0001.tif" in checked.problems[0].line


def test_names_that_end_in_the_same_number_are_fine_where_another_one_counts(tmp_path: Path) -> None:
    for number in range(3):
        write_slice(tmp_path / f"s{number}_8bit.png", rock(number))
    assert check_sources(tmp_path).problems == ()


def test_a_stack_among_single_images_is_told(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    tifffile.imwrite(folder / "0009.tif", np.stack([rock(20), rock(21)]), photometric="minisblack")
    assert told(check_sources(folder), folder) == [("warning", "stack", "0009.tif")]


def test_what_only_the_whole_folder_shows_is_told(tmp_path: Path) -> None:
    folder = good(tmp_path / "core")
    (folder / "0003.png").rename(folder / "last.png")
    (problem,) = check_sources(folder).problems
    assert (problem.severity, problem.kind) == ("error", "series")
    assert "names must all hold as many numbers" in problem.line


def test_slices_of_another_voxel_are_told(tmp_path: Path) -> None:
    folder = good(tmp_path / "core", 0)
    for number, voxel in enumerate([2.0, 2.0, 3.0]):
        write_slice(folder / f"{number}.png", rock(number), voxel_um=(voxel, voxel))
    assert told(check_sources(folder), folder) == [("error", "voxel", "2.png")]


def test_several_volumes_of_different_kinds_need_have_nothing_in_common(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", rock(1, (3, 20, 24)), photometric="minisblack")
    np.save(tmp_path / "b.npy", rock(2, (5, 7, 9), "uint16"))
    np.savez(tmp_path / "c.npz", im=rock(3, (2, 6, 6)))
    checked = check_sources(tmp_path)
    assert checked.problems == ()
    assert (checked.files, len(checked.slices)) == (3, 10)


# Volumes


def test_every_bad_slice_of_a_volume_is_told(tmp_path: Path) -> None:
    levels = rock(1, (6, 20, 24)).astype(np.float32)
    levels[1, 2, 3] = np.inf
    levels[4, 0, 0] = np.nan
    np.save(tmp_path / "core.npy", levels)
    checked = check_sources(tmp_path / "core.npy")
    assert [problem.severity for problem in checked.problems] == ["error", "error"]
    assert "core.npy[1]" in checked.problems[0].reason
    assert "core.npy[4]" in checked.problems[1].reason
    assert len(checked.slices) == 4


def test_what_is_no_image_is_passed_over_and_counted(tmp_path: Path) -> None:
    folder = good(tmp_path / "core", 2)
    (folder / "notes.txt").write_text("seen by eye")
    (folder / "scan").mkdir()
    (folder / "scan" / "core.raw").write_bytes(b"12345")
    checked = check_sources(folder)
    assert checked.problems == ()
    assert (checked.files, checked.passed) == (2, 2)


def test_how_to_read_reaches_the_reader(tmp_path: Path) -> None:
    (tmp_path / "core.raw").write_bytes(rock(1, (3, 4, 5)).tobytes())
    checked = check_sources(tmp_path / "core.raw", how=How(raw=raw_header("3x4x5:uint8")))
    assert len(checked.slices) == 3
    np.savez(tmp_path / "two.npz", a=rock(1, (2, 4, 5)), b=rock(2, (3, 4, 5)))
    assert len(check_sources(tmp_path / "two.npz", how=How(variable="b")).slices) == 3
    along_x = list(examine(tmp_path / "two.npz", How(variable="b", axis="x")))
    assert [one.shape for one in along_x if isinstance(one, Facts)] == [(3, 4)] * 5


def test_a_file_says_one_thing_or_one_a_slice(tmp_path: Path) -> None:
    folder = good(tmp_path / "core", 1)
    (folder / "a.txt").touch()
    (folder / "b.png").touch()
    assert [type(one) for one in examine(folder / "0000.png", How())] == [Facts]
    assert list(examine(folder / "a.txt", How())) == [Passed()]
    (refused,) = examine(folder / "b.png", How())
    assert isinstance(refused, Refused)
    assert "b.png" in refused.reason


def test_a_missing_path_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="must be a store, a folder or a volume, got .*nowhere"):
        check_sources(tmp_path / "nowhere")


# What hangs or dies


def test_a_file_that_hangs_its_reader_costs_its_limit_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = good(tmp_path / "core", 6)

    def slow(path: Path, how: How) -> list[Facts]:
        if path.name == "0002.png":
            time.sleep(60)
        if path.name == "0004.png":
            os._exit(11)
        return [one for one in examine(path, how) if isinstance(one, Facts)]

    monkeypatch.setattr("coresr_data.checking.examining.examine", slow)
    before = time.monotonic()
    checked = check_sources(folder, time_limit=0.5)
    assert time.monotonic() - before < 10
    assert told(checked, folder) == [("error", "unreadable", "0002.png"), ("error", "unreadable", "0004.png")]
    assert "must be read in 0.5 s a slice, got no answer" in checked.problems[0].line
    assert "got a process that ended with 11" in checked.problems[1].line
    assert len(checked.slices) == 4


# Real


def test_the_real_images_are_free_of_errors(real_data: Path) -> None:
    pytest.importorskip("pydicom")
    slices = {"bentheimer-pair": 120, "core-ct": 4, "duvernay-sem": 90, "shale-fibsem": 14}
    for name, count in slices.items():
        checked = check_sources(real_data / name)
        assert [problem.line for problem in checked.problems if problem.severity == "error"] == []
        assert len(checked.slices) == count
