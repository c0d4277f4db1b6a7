"""`degrade` writes the LR that a store would hold, in any format, with its voxel size and everything it was made by."""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coresr_data import output
from coresr_data.cli import Parser
from coresr_data.commands import degrade as command
from coresr_data.degrade import apply, bicubic, from_json
from coresr_data.formats import open_volume
from coresr_data.formats.images import read_slice, write_slice
from coresr_data.packing import prepare
from coresr_data.patches import keyed
from coresr_data.store.aside import PlaceError

MakeCore = Callable[..., Path]
Levels = NDArray[Any]


def degrade(*arguments: object) -> None:
    parser = Parser(prog="test")
    command.add(parser.add_subparsers(required=True))
    options: Namespace = parser.parse_args(["degrade", *map(str, arguments)])
    options.command(options)


def levels_of(path: Path) -> Levels:
    volume = open_volume(path)
    return np.stack([volume[index] for index in range(len(volume))])


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A volume of 4 × 13 × 18 levels of 16 bit, whose voxel is no cube."""
    levels = np.random.default_rng(0).integers(0, 65536, (4, 13, 18)).astype(np.uint16)
    with output.writing(
        tmp_path / "core.tif", shape=levels.shape, dtype="uint16", digest="", voxel_um=(4.0, 2.0, 2.5)
    ) as writer:
        for tile in writer.todo:
            writer.write(tile, levels[tile.z])
    return tmp_path / "core.tif"


@pytest.mark.parametrize("name", ["lr.tif", "lr.npy", "lr.mhd", "lr.zarr", "lr"])
def test_a_volume_becomes_its_bicubic_lr_in_every_format(
    stack: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "lr.zarr":
        pytest.importorskip("zarr")
    out = tmp_path / "new" / name
    degrade(stack, out, "--scale", 3)
    hr, lr = levels_of(stack), levels_of(out)
    assert lr.dtype == np.uint16
    np.testing.assert_array_equal(lr, np.stack([bicubic(one[:12, :18], 3) for one in hr]))
    known = name not in {"lr.npy", "lr"}  # which cannot say a voxel that is no cube
    assert open_volume(out).voxel_um == (pytest.approx((4.0, 6.0, 7.5)) if known else None)
    record = json.loads((out / "degradation.json" if name == "lr" else out.with_name(f"{name}.json")).read_text())
    assert record["degradation"] == "bicubic"
    assert (record["scale"], record["seed"], record["cropped"]) == (3, 0, [1, 0])
    assert record["voxel_um"] == [4.0, 6.0, 7.5]
    assert record["window"] == [0, 65535]
    assert len(record["slices"]) == 4
    said = capsys.readouterr().out
    assert "4 slices of 4×6 uint16, voxel 4×6×7.5 µm, HR cropped by 1 rows and 0 columns" in said


@pytest.mark.parametrize("name", ["lr.TIFF", "lr.Npy", "lr.MHD", "lr.ZARR"])
def test_a_suffix_may_be_written_in_capitals(stack: Path, tmp_path: Path, name: str) -> None:
    if name == "lr.ZARR":
        pytest.importorskip("zarr")
    out = tmp_path / "new" / name
    degrade(stack, out, "--scale", 2)
    data = ["lr.raw"] if name == "lr.MHD" else []
    assert sorted(path.name for path in out.parent.iterdir()) == [name, f"{name}.json", *data]
    assert out.is_dir() == (name == "lr.ZARR")
    np.testing.assert_array_equal(levels_of(out), np.stack([bicubic(one[:12, :18], 2) for one in levels_of(stack)]))
    with pytest.raises(FileExistsError, match=f"^output must be new, got .*{name}, which is there"):
        degrade(stack, out, "--scale", 2)


def test_what_is_drawn_for_the_record_is_drawn_once(
    make_core: MakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coresr_data import degrade as room

    drawn: list[object] = []
    plain = room.as_json
    monkeypatch.setattr(room, "as_json", lambda steps: (drawn.append(steps), plain(steps))[1])  # type: ignore[func-returns-value]
    degrade(make_core("plug", numbers=range(5)), tmp_path / "lr", "--scale", 2, "--degradation", "unknown")
    assert len(drawn) == 5


@pytest.mark.parametrize("name", ["lr", "lr.npy", "lr.png"])
def test_an_output_where_nothing_can_be_made_is_named_as_it_was_said(
    make_core: MakeCore, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").touch()
    source = make_core("plug", numbers=range(2))
    with pytest.raises(PlaceError, match=f"must lie where it can be written, got .*/file/{name}") as refusal:
        degrade(source / "slice_0000.png" if name == "lr.png" else source, tmp_path / "file" / name, "--scale", 2)
    assert refusal.value.exit_code == 73


@pytest.mark.parametrize("degradation", ["bicubic", "unknown", "blur", "scanner"])
def test_it_is_what_a_store_of_the_same_slices_holds(make_core: MakeCore, tmp_path: Path, degradation: str) -> None:
    source = make_core("plug", numbers=range(5, 11))
    store = prepare(source, tmp_path / "store", scale=2, degradation=degradation, seed=7, split="none")
    degrade(source, tmp_path / "lr", "--scale", 2, "--degradation", degradation, "--seed", 7)
    (core,) = store.manifest.cores
    assert sorted(path.name for path in (tmp_path / "lr").glob("*.png")) == sorted(p.name for p in source.iterdir())
    np.testing.assert_array_equal(levels_of(tmp_path / "lr"), store.lr(core))


def test_the_record_is_enough_to_make_every_slice_again(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(5, 9))
    degrade(source, tmp_path / "lr", "--scale", 2, "--degradation", "unknown", "--seed", 3)
    record = json.loads((tmp_path / "lr" / "degradation.json").read_text())
    hr, lr = levels_of(source), levels_of(tmp_path / "lr")
    kernels = {steps[0]["kernel"] for steps in record["steps"]}
    assert len(kernels) > 1
    for k in range(4):
        np.testing.assert_array_equal(apply(hr[k], from_json(record["steps"][k]), scale=2), lr[k])


def test_steps_that_are_the_same_for_all_slices_are_recorded_once(make_core: MakeCore, tmp_path: Path) -> None:
    degrade(make_core("plug", numbers=range(3)), tmp_path / "lr", "--scale", 2)
    (step,) = json.loads((tmp_path / "lr" / "degradation.json").read_text())["steps"]
    assert step["step"] == "resize"


def test_a_window_reaches_the_noise(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(2))
    for name, window in (("wide", (0, 255)), ("narrow", (0, 128))):
        degrade(source, tmp_path / name, "--scale", 2, "--degradation", "scanner", "--window", *window)
    wide, narrow = (levels_of(tmp_path / name).astype(float) for name in ("wide", "narrow"))
    assert not np.array_equal(wide, narrow)
    assert json.loads((tmp_path / "narrow" / "degradation.json").read_text())["window"] == [0, 128]
    record = json.loads((tmp_path / "narrow" / "degradation.json").read_text())
    noise = keyed("degradation noise", 0, "plug", 1, 2)
    from coresr_data.intensity import Window

    steps = from_json(record["steps"][1])
    again = apply(levels_of(source)[1], steps, scale=2, window=Window(0, 128), rng=noise)
    np.testing.assert_array_equal(again, narrow[1])


@pytest.mark.parametrize("name", ["lr.png", "lr.tif"])
def test_a_single_slice_becomes_a_single_image_with_its_pixel(tmp_path: Path, name: str) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (16, 20), dtype=np.uint8)
    write_slice(tmp_path / "hr.png", levels, voxel_um=(2.0, 2.0))
    degrade(tmp_path / "hr.png", tmp_path / name, "--scale", 2)
    np.testing.assert_array_equal(read_slice(tmp_path / name), bicubic(levels, 2))
    voxel = open_volume(tmp_path / name).voxel_um
    assert voxel is not None
    assert voxel[1:] == pytest.approx((4.0, 4.0))
    assert json.loads((tmp_path / f"{name}.json").read_text())["scale"] == 2


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_other_levels_than_png_holds_become_tiffs(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "hr").mkdir()
    for number in range(2):
        levels = np.random.default_rng(number).normal(0, 99, (8, 8)).astype(dtype)
        write_slice(tmp_path / "hr" / f"s{number}.tif", levels)
    np.save(tmp_path / "hr.npy", levels_of(tmp_path / "hr"))
    degrade(tmp_path / "hr", tmp_path / "lr", "--scale", 2)
    assert sorted(path.name for path in (tmp_path / "lr").iterdir()) == ["degradation.json", "s0.tif", "s1.tif"]
    assert levels_of(tmp_path / "lr").dtype == dtype
    degrade(tmp_path / "hr.npy", tmp_path / "numbered", "--scale", 2)
    np.testing.assert_array_equal(levels_of(tmp_path / "numbered"), levels_of(tmp_path / "lr"))


def test_jpegs_and_bitmaps_become_pngs(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "hr").mkdir()
    for number in range(2):
        levels = np.random.default_rng(number).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(levels).save(tmp_path / "hr" / f"s{number}.bmp")
    degrade(tmp_path / "hr", tmp_path / "lr", "--scale", 2)
    assert sorted(path.name for path in (tmp_path / "lr").iterdir()) == ["degradation.json", "s0.png", "s1.png"]


def test_a_run_that_was_stopped_goes_on_and_ends_the_same(
    make_core: MakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_core("plug", numbers=range(8))
    options = ("--scale", 2, "--degradation", "scanner")
    degrade(source, tmp_path / "whole.tif", *options)
    monkeypatch.setattr(output, "COMMIT_BYTES", 1)
    made: list[int] = []
    plain = command._Work.lr

    def counted(work: Any, index: int) -> Levels:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(index)
        return plain(work, index)

    with monkeypatch.context() as patch:
        patch.setattr(command._Work, "lr", counted)
        with pytest.raises(KeyboardInterrupt):
            degrade(source, tmp_path / "parts.tif", *options)
        assert not (tmp_path / "parts.tif").exists()
        with pytest.raises(FileExistsError, match="one of another digest"):
            degrade(source, tmp_path / "parts.tif", *options, "--seed", 1)
        made.clear()
        patch.setattr(command._Work, "lr", lambda work, index: (made.append(index), plain(work, index))[1])  # type: ignore[func-returns-value]
        degrade(source, tmp_path / "parts.tif", *options)
    assert made == [3, 4, 5, 6, 7]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "parts.tif"), tifffile.imread(tmp_path / "whole.tif"))
    assert (tmp_path / "parts.tif.json").read_text() == (tmp_path / "whole.tif.json").read_text()


def test_a_source_that_changed_in_between_starts_anew(make_core: MakeCore) -> None:
    source = make_core("plug", numbers=range(4))
    parser = Parser(prog="test")
    command.add(parser.add_subparsers(required=True))
    digests = []
    for _ in range(2):
        volume = open_volume(source)
        options = parser.parse_args(["degrade", str(source), "x", "--scale", "2"])
        making = command._making(options, volume)
        work = command._Work(volume=volume, making=making, scale=2, degradation="bicubic")
        digests.append(command._digest(work))
        write_slice(source / "slice_0001.png", np.eye(48, 64, dtype=np.uint8))
    assert digests[0] != digests[1]


def test_what_is_there_is_not_replaced(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(2))
    for name in ("lr.npy.json", "one.png.json"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match="lr.npy.json"):
        degrade(source, tmp_path / "lr.npy", "--scale", 2)
    with pytest.raises(FileExistsError, match="one.png.json"):
        degrade(source / "slice_0000.png", tmp_path / "one.png", "--scale", 2)
    degrade(source / "slice_0000.png", tmp_path / "two.png", "--scale", 2)
    with pytest.raises(FileExistsError, match="two.png"):
        degrade(source / "slice_0000.png", tmp_path / "two.png", "--scale", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lr.npy.json",
        "one.png.json",
        "plug",
        "two.png",
        "two.png.json",
    ]
    assert (tmp_path / "lr.npy.json").read_text() == "mine"


def test_what_cannot_be_meant_is_refused(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(2))
    np.save(tmp_path / "float.npy", np.zeros((2, 8, 8), np.float32))
    with pytest.raises(ValueError, match="degradation must be one of bicubic, .*got nearest"):
        degrade(source, tmp_path / "lr", "--scale", 2, "--degradation", "nearest")
    with pytest.raises(ValueError, match="at least 50 pixels a side, got 48×64"):
        degrade(source, tmp_path / "lr", "--scale", 50)
    with pytest.raises(ValueError, match="window must be given"):
        degrade(tmp_path / "float.npy", tmp_path / "lr", "--scale", 2, "--degradation", "scanner")
    write_slice(tmp_path / "one.tif", np.zeros((8, 8), np.float32))
    with pytest.raises(ValueError, match="must be a TIFF for float32 levels"):
        degrade(tmp_path / "one.tif", tmp_path / "lr.png", "--scale", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float.npy", "one.tif", "plug"]


def test_real_slices_become_what_the_resizer_makes(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "sandstone-versa" / "slices"
    degrade(source, tmp_path / "lr", "--scale", 4)
    hr, lr = levels_of(source), levels_of(tmp_path / "lr")
    assert lr.shape == (9, 144, 144)
    np.testing.assert_array_equal(lr[8], bicubic(hr[8], 4))


def test_a_raw_file_and_a_named_array_are_read_as_they_are_said_to_be(stack: Path, tmp_path: Path) -> None:
    levels = levels_of(stack)
    (tmp_path / "core.raw").write_bytes(levels.astype("<u2").tobytes())
    np.savez(tmp_path / "core.npz", rock=levels, other=levels[:, :5])
    degrade(tmp_path / "core.raw", tmp_path / "a.npy", "--scale", 2, "--raw", "4x13x18:uint16:little")
    degrade(tmp_path / "core.npz", tmp_path / "b.npy", "--scale", 2, "--variable", "rock")
    degrade(stack, tmp_path / "c.npy", "--scale", 2)
    for name in ("a.npy", "b.npy"):
        np.testing.assert_array_equal(levels_of(tmp_path / name), levels_of(tmp_path / "c.npy"))
