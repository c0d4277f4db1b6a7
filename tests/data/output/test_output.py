"""Volumes that are written part by part read back as they were, appear whole, and go on where they stopped."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coresr_data import output
from coresr_data.formats.images import read_slice
from coresr_data.output import BusyError, writing
from coresr_data.output.sinks import Flat, Job, Tile

Levels = NDArray[Any]
ZARR = pytest.param("core.zarr", marks=pytest.mark.skipif(not find_spec("zarr"), reason="zarr is not installed"))
NAMES = ("core.tif", "core.npy", "core.mhd", ZARR, "core")
VOXEL = (4.0, 2.23, 2.5)


@pytest.fixture
def levels() -> Levels:
    return np.random.default_rng(0).integers(0, 65536, (5, 13, 11)).astype(np.uint16)


def write(path: Path, levels: Levels, **options: Any) -> int:
    """Write all that is to do; how many tiles that was."""
    with writing(path, shape=levels.shape, dtype=levels.dtype, **{"digest": "d", **options}) as writer:
        todo = writer.todo
        for tile in todo:
            writer.write(tile, levels[tile.z, tile.y, tile.x])
    return len(todo)


def read(path: Path) -> Levels:
    """What another library finds."""
    if path.suffix == ".tif":
        return np.asarray(tifffile.imread(path))
    if path.suffix == ".npy":
        return np.asarray(np.load(path))
    if path.suffix == ".zarr":
        return np.asarray(pytest.importorskip("zarr").open_array(path / "0", mode="r")[:])
    if path.suffix == ".mhd":
        said = dict(line.split(" = ") for line in path.read_text().splitlines())
        kind = {"MET_USHORT": "<u2", "MET_FLOAT": "<f4", "MET_UCHAR": "u1"}[said["ElementType"]]
        shape = [int(one) for one in said["DimSize"].split()][::-1]
        return np.fromfile(path.with_name(said["ElementDataFile"]), kind).reshape(shape)
    return np.stack([read_slice(one) for one in sorted(path.iterdir())])


def everything(folder: Path) -> Iterator[str]:
    yield from (str(one.relative_to(folder)) for one in sorted(folder.rglob("*")))


# What comes out


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_back_with_another_library(tmp_path: Path, levels: Levels, name: str) -> None:
    path = tmp_path / "new" / name
    assert write(path, levels, voxel_um=VOXEL) == 5
    found = read(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, levels)
    assert {one.name for one in path.parent.iterdir()} == {name} | ({"core.raw"} if name == "core.mhd" else set())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_every_dtype_keeps_its_levels(tmp_path: Path, name: str, dtype: str) -> None:
    levels = (np.random.default_rng(0).normal(0, 40, (2, 4, 3)) + (100 if dtype[0] == "u" else 0)).astype(dtype)
    write(tmp_path / name, levels)
    if name != "core.mhd":
        found = read(tmp_path / name)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, levels)
    else:
        np.testing.assert_array_equal(np.fromfile(tmp_path / "core.raw", levels.dtype), levels.ravel())


@pytest.mark.parametrize("tile", [(4, 4), (5, 11), (1, 1), (50, 50)])
@pytest.mark.parametrize("name", ["core.tif", "core.npy", "core.mhd", ZARR])
def test_tiles_cover_a_volume_once_whatever_their_size(
    tmp_path: Path, levels: Levels, name: str, tile: tuple[int, int]
) -> None:
    levels = levels[:2]
    assert write(tmp_path / name, levels, tile=tile) == 2 * -(-13 // tile[0]) * -(-11 // tile[1])
    np.testing.assert_array_equal(read(tmp_path / name), levels)


def test_tiles_may_come_in_any_order(tmp_path: Path, levels: Levels) -> None:
    with writing(tmp_path / "core.tif", shape=(5, 13, 11), dtype="uint16", digest="d", tile=(5, 5)) as writer:
        for tile in writer.todo[::-1]:
            writer.write(tile, levels[tile.z, tile.y, tile.x])
            assert tile not in writer.todo
    np.testing.assert_array_equal(read(tmp_path / "core.tif"), levels)


def test_a_folder_keeps_the_names_it_is_given(tmp_path: Path, levels: Levels) -> None:
    names = [f"slice_{number}.png" for number in (7, 8, 9, 12, 13)]
    write(tmp_path / "core", levels, names=names)
    for name, one in zip(names, levels, strict=True):
        np.testing.assert_array_equal(read_slice(tmp_path / "core" / name), one)


def test_the_voxel_size_is_in_the_files(tmp_path: Path, levels: Levels) -> None:
    zarr = pytest.importorskip("zarr")
    for name in ("core.tif", "core.npy", "core.mhd", "core.zarr", "core"):
        write(tmp_path / name, levels, voxel_um=VOXEL)
    with tifffile.TiffFile(tmp_path / "core.tif") as tiff:
        assert tiff.is_bigtiff
        pixels = tifffile.xml2dict(tiff.ome_metadata or "")["OME"]["Image"]["Pixels"]
        assert tuple(pixels[f"PhysicalSize{axis}"] for axis in "ZYX") == VOXEL
        assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}
        across, under = tiff.pages.first.tags["XResolution"].value
        assert 1e4 * under / across == pytest.approx(2.5)
        across, under = tiff.pages.first.tags["YResolution"].value
        assert 1e4 * under / across == pytest.approx(2.23)
    assert "ElementSpacing = 0.0025 0.00223 0.004\n" in (tmp_path / "core.mhd").read_text()
    (scale,) = zarr.open_group(tmp_path / "core.zarr", mode="r").attrs["ome"]["multiscales"]
    assert scale["datasets"][0]["coordinateTransformations"] == [{"type": "scale", "scale": list(VOXEL)}]
    assert {axis["unit"] for axis in scale["axes"]} == {"micrometer"}


@pytest.mark.parametrize("name", NAMES)
def test_our_own_reader_finds_the_levels_and_the_voxel(tmp_path: Path, levels: Levels, name: str) -> None:
    formats = pytest.importorskip("coresr_data.formats")
    cube = name == "core"  # images of slices cannot say how far apart they lie
    voxel = (2.5, 2.5, 2.5) if cube else VOXEL
    write(tmp_path / name, levels, voxel_um=voxel)
    volume = formats.open_volume(tmp_path / name)
    np.testing.assert_array_equal(np.stack([volume[i] for i in range(5)]), levels)
    assert volume.voxel_um == (None if name == "core.npy" else pytest.approx(voxel))


def test_slices_whose_voxel_is_no_cube_do_not_say_a_false_one(tmp_path: Path, levels: Levels) -> None:
    formats = pytest.importorskip("coresr_data.formats")
    write(tmp_path / "core", levels, voxel_um=VOXEL)
    assert formats.open_volume(tmp_path / "core").voxel_um is None


# Whole or not at all


@pytest.mark.parametrize("name", NAMES)
def test_an_error_leaves_nothing_at_the_target_and_a_rerun_goes_on(
    tmp_path: Path, levels: Levels, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "COMMIT_BYTES", 1)
    with (
        pytest.raises(KeyboardInterrupt),
        writing(tmp_path / name, shape=(5, 13, 11), dtype="uint16", digest="d") as writer,
    ):
        for tile in writer.todo[:3]:
            writer.write(tile, levels[tile.z])
        raise KeyboardInterrupt
    assert [one.name for one in tmp_path.iterdir()] == [f".{name}.part"]
    assert write(tmp_path / name, levels) == 2
    np.testing.assert_array_equal(read(tmp_path / name), levels)
    assert not (tmp_path / f".{name}.part").exists()


def test_what_was_written_but_not_committed_is_committed_on_the_way_out(tmp_path: Path, levels: Levels) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        writing(tmp_path / "core.npy", shape=(5, 13, 11), dtype="uint16", digest="d") as writer,
    ):
        writer.write(writer.todo[4], levels[4])
        raise KeyboardInterrupt
    assert write(tmp_path / "core.npy", levels) == 4


def test_a_job_that_did_nothing_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        writing(tmp_path / "core.tif", shape=(5, 13, 11), dtype="uint16", digest="d"),
    ):
        raise KeyboardInterrupt
    assert list(everything(tmp_path)) == []


def test_a_volume_with_tiles_missing_does_not_appear(tmp_path: Path, levels: Levels) -> None:
    with (
        pytest.raises(ValueError, match="every tile of .*core.npy must be written, got 4 missing"),
        writing(tmp_path / "core.npy", shape=(5, 13, 11), dtype="uint16", digest="d") as writer,
    ):
        writer.write(writer.todo[0], levels[0])
    assert not (tmp_path / "core.npy").exists()
    assert write(tmp_path / "core.npy", levels) == 4


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"digest": "other"}, "digest"),
        ({"voxel_um": (1.0, 1.0, 1.0)}, "voxel_um"),
        ({"tile": (2, 2)}, "tile"),
        ({"digest": "other", "tile": (2, 2)}, "digest, tile"),
    ],
)
def test_half_of_another_job_is_refused_and_kept(
    tmp_path: Path, levels: Levels, changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "core.tif"
    with pytest.raises(KeyboardInterrupt), writing(path, shape=(5, 13, 11), dtype="uint16", digest="d") as writer:
        writer.write(writer.todo[0], levels[0])
        raise KeyboardInterrupt
    before = list(everything(tmp_path))
    with pytest.raises(FileExistsError, match=f"same job, got one of another {said}; remove it to start anew"):
        write(path, levels, **changed)
    assert list(everything(tmp_path)) == before
    assert write(path, levels) == 4


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_never_replaced(tmp_path: Path, levels: Levels, name: str) -> None:
    write(tmp_path / name, levels)
    before = list(everything(tmp_path))
    with pytest.raises(FileExistsError, match="output must be new, got .*remove it or name another"):
        write(tmp_path / name, levels + 1)
    assert list(everything(tmp_path)) == before
    np.testing.assert_array_equal(read(tmp_path / name), levels)


def test_a_raw_file_of_someone_else_is_not_replaced(tmp_path: Path, levels: Levels) -> None:
    (tmp_path / "core.raw").write_text("mine")
    with pytest.raises(FileExistsError, match="core.raw"):
        write(tmp_path / "core.mhd", levels)
    assert [one.name for one in tmp_path.iterdir()] == ["core.raw"]


def test_an_empty_folder_may_become_one_of_slices(tmp_path: Path, levels: Levels) -> None:
    (tmp_path / "core").mkdir()
    write(tmp_path / "core", levels)
    np.testing.assert_array_equal(read(tmp_path / "core"), levels)


def test_a_torn_last_line_of_the_journal_is_not_believed(tmp_path: Path, levels: Levels) -> None:
    path, journal = tmp_path / "core.tif", tmp_path / ".core.tif.part" / "done"
    with pytest.raises(KeyboardInterrupt), writing(path, shape=(5, 13, 11), dtype="uint16", digest="d") as writer:
        writer.write(writer.todo[1], levels[1])
        raise KeyboardInterrupt
    journal.write_bytes(journal.read_bytes() + b"3")
    assert write(path, levels) == 4
    np.testing.assert_array_equal(read(path), levels)


@pytest.mark.parametrize("line", [b"5\n", b"x\n", b"-1\n", b"\n"])
def test_a_journal_of_something_else_is_refused(tmp_path: Path, levels: Levels, line: bytes) -> None:
    path, journal = tmp_path / "core.tif", tmp_path / ".core.tif.part" / "done"
    with pytest.raises(KeyboardInterrupt), writing(path, shape=(5, 13, 11), dtype="uint16", digest="d") as writer:
        writer.write(writer.todo[1], levels[1])
        raise KeyboardInterrupt
    journal.write_bytes(journal.read_bytes() + line)
    with pytest.raises(ValueError, match="must hold tile numbers below 5, got others; remove"):
        write(path, levels)


def test_two_processes_do_not_write_one_output(tmp_path: Path, levels: Levels) -> None:
    path = tmp_path / "core.tif"
    with writing(path, shape=(5, 13, 11), dtype="uint16", digest="d") as writer:
        if (child := os.fork()) == 0:
            try:
                write(path, levels)
            except BusyError as busy:
                os._exit(busy.exit_code if "wait for it" in str(busy) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 75
        for tile in writer.todo:
            writer.write(tile, levels[tile.z])
    np.testing.assert_array_equal(read(path), levels)


# What is refused


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("core.png", {}, "must be a folder, or end in .tif, .tiff, .npy, .mhd, .zarr, got"),
        ("core.NRRD", {}, "must be a folder, or end in"),
        ("core", {"tile": (4, 4)}, "fill whole slices in a folder of slices, got (4, 4)"),
        ("core.tif", {"names": ["a.tif"] * 5}, "names must be given for a folder"),
        ("core", {"names": ["a.tif"] * 5}, "5 different ones"),
        ("core", {"names": ["a.tif"]}, "5 different ones, one a slice, got 1"),
        ("core.tif", {"tile": (0, 4)}, "tile must be (y, x), each 1 or more"),
        ("core.tif", {"shape": (5, 0, 11)}, "shape must be (z, y, x), each 1 or more"),
        ("core.mhd", {"dtype": "int64"}, "must be one of int8, "),
        ("core", {"names": ["a.bmp", "b.bmp", "c", "d", "e"]}, "must end in .png"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_leaves_nothing(
    tmp_path: Path, name: str, options: dict[str, Any], reason: str
) -> None:
    wanted: dict[str, Any] = {"shape": (5, 13, 11), "dtype": "uint16", "digest": "d", **options}
    with pytest.raises(ValueError) as refusal, writing(tmp_path / name, **wanted) as writer:  # noqa: PT011, see below
        writer.write(writer.todo[0], np.zeros((13, 11), "uint16"))
    assert reason in str(refusal.value)
    assert list(everything(tmp_path)) == []


def test_levels_of_another_size_or_dtype_and_tiles_not_to_do_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="got 4 missing"),
        writing(tmp_path / "core.tif", shape=(5, 13, 11), dtype="uint16", digest="d") as writer,
    ):
        first, second, *_ = writer.todo
        with pytest.raises(ValueError, match="levels of slice 0 must be 13×11 uint16, got 11×13 uint16"):
            writer.write(first, np.zeros((11, 13), "uint16"))
        with pytest.raises(ValueError, match="must be 13×11 uint16, got 13×11 uint8"):
            writer.write(first, np.zeros((13, 11), "uint8"))
        with pytest.raises(ValueError, match="tile must be one of those to do"):
            writer.write(Tile(5, 0, 0, 13, 11), np.zeros((13, 11), "uint16"))
        writer.write(second, np.zeros((13, 11), "uint16"))
        with pytest.raises(ValueError, match="tile must be one of those to do"):
            writer.write(second, np.zeros((13, 11), "uint16"))


def test_a_large_output_needs_no_memory_but_its_tiles(tmp_path: Path) -> None:
    job = Job(digest="d", shape=(3, 2**16, 2**16), dtype="uint16", voxel_um=None, tile=(8, 8))
    (tmp_path / "flat").touch()
    flat = Flat(tmp_path / "flat", job, 100)
    flat.write(Tile(2, 2**16 - 8, 2**16 - 8, 8, 8), np.full((8, 8), 7, "uint16"))
    flat.close()
    assert (tmp_path / "flat").stat().st_size == 100 + job.nbytes
    with (tmp_path / "flat").open("rb") as file:
        file.seek(-18, os.SEEK_END)
        assert file.read() == b"\0\0" + 8 * b"\7\0"
