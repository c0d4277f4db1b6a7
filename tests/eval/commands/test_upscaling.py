"""`upscale` gives the network's own image, in the grey levels, the format and the voxel that people expect."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import Window, from_unit, imresize, to_unit
from coresr_data.formats import open_volume
from coresr_data.formats.images import read_slice, write_slice
from coresr_data.intensity import default_window
from coresr_data.output import writing
from coresr_eval.inference import self_ensemble
from coresr_models import ModelSpec, build, save
from tests.eval.commands.running import main, refused, saved, texture


def image(tmp_path: Path, kind: str, height: int = 13, width: int = 18) -> tuple[Path, NDArray[Any]]:
    """A slice in one of the formats people have."""
    suffix, dtype = kind.split(" ")
    unit = texture(5, height, width)
    levels = unit.astype(np.float32) * 3 - 1 if dtype == "float32" else (unit * np.iinfo(dtype).max).astype(dtype)
    path = tmp_path / f"in.{suffix}"
    write_slice(path, levels)
    return path, levels


def scan(path: Path, depth: int = 3, size: tuple[int, int] = (23, 30)) -> NDArray[Any]:
    """A volume of 16 bits with a voxel of 4×2×2 µm; its levels."""
    levels = np.stack([(65535 * texture(z, *size)).astype(np.uint16) for z in range(depth)])
    with writing(path, shape=levels.shape, dtype="uint16", digest="d", voxel_um=(4.0, 2.0, 2.0)) as writer:
        for tile in writer.todo:
            writer.write(tile, levels[tile.z, tile.y, tile.x])
    return levels


@pytest.mark.parametrize("kind", ["png uint8", "png uint16", "tif uint8", "tif uint16"])
@pytest.mark.parametrize("name", ["edsr", "unet"])
@pytest.mark.parametrize("tile", [5, 512])
def test_an_image_keeps_its_depth_and_is_the_networks_own(tmp_path: Path, kind: str, name: str, tile: int) -> None:
    network = saved(tmp_path / "m.safetensors", name)
    path, levels = image(tmp_path, kind)
    out = tmp_path / f"out.{path.suffix[1:]}"
    main(tmp_path / "m.safetensors", path, out, "--tile", tile)
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
        path, levels = image(tmp_path, kind)
        main("bicubic", path, tmp_path / f"{levels.dtype}.png", "--scale", "3")
        with Image.open(tmp_path / f"{levels.dtype}.png") as written:
            assert (written.mode, written.size) == (mode, (54, 39))


@pytest.mark.parametrize("tile", [4, 512])
def test_bicubic_takes_its_scale_from_the_flag_and_equals_the_resizer(tmp_path: Path, tile: int) -> None:
    path, levels = image(tmp_path, "png uint16")
    main("bicubic", path, tmp_path / "out.tif", "--scale", 3, "--tile", tile)
    wanted = from_unit(imresize(levels.astype(np.float64), 3) / 65535, Window(0, 65535), "uint16")
    assert np.abs(read_slice(tmp_path / "out.tif").astype(int) - wanted.astype(int)).max() <= 1


def test_float_levels_need_a_window_and_leave_through_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = saved(tmp_path / "m.safetensors")
    path, levels = image(tmp_path, "tif float32")
    command = [tmp_path / "m.safetensors", path, tmp_path / "out.tif"]
    code, said = refused(capsys, *command)
    assert code == 65
    assert "--window LOW HIGH" in said
    assert not (tmp_path / "out.tif").exists()
    main(*command, "--window", "-1", "2")
    with torch.inference_mode():
        whole = network(torch.from_numpy((levels + 1) / 3)[None, None])[0, 0].numpy() * 3 - 1
    sr = read_slice(tmp_path / "out.tif")
    assert sr.dtype == np.float32
    np.testing.assert_allclose(sr, whole, rtol=0, atol=1e-5)


def test_a_single_pixel_can_be_enlarged(tmp_path: Path) -> None:
    saved(tmp_path / "m.safetensors", "unet")
    write_slice(tmp_path / "in.png", np.full((1, 1), 90, np.uint8))
    main(tmp_path / "m.safetensors", tmp_path / "in.png", tmp_path / "out.png")
    assert read_slice(tmp_path / "out.png").shape == (2, 2)


def test_the_window_of_training_is_that_of_upscaling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
    network = build(spec).eval()
    grey = {"sha256": "0" * 64, "dtype": "uint16", "window": [100.0, 4195.0]}
    save(tmp_path / "m.safetensors", network, spec, {"data": grey})
    levels = (100 + 4000 * texture(3, 21, 18)).astype(np.uint16)
    write_slice(tmp_path / "in.tif", levels)
    main(tmp_path / "m.safetensors", tmp_path / "in.tif", tmp_path / "new" / "out.tif")
    assert "grey window 100 4195" in capsys.readouterr().out
    window = Window(100, 4195)
    with torch.inference_mode():
        expected = network(torch.from_numpy(to_unit(levels, window))[None, None])[0, 0].numpy()
    found = read_slice(tmp_path / "new" / "out.tif")
    np.testing.assert_array_equal(found, from_unit(expected, window, "uint16"))
    write_slice(tmp_path / "other.png", levels.astype(np.uint8))
    command = [tmp_path / "m.safetensors", tmp_path / "other.png", tmp_path / "out.png"]
    code, said = refused(capsys, *command)
    assert code == 64
    assert "must hold uint16 levels" in said
    main(*command, "--window", 0, 255)


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = image(tmp_path, "png uint8")
    before = path.read_bytes()
    (tmp_path / "link.png").symlink_to(path)
    (tmp_path / "other.png").write_bytes(b"mine")
    for out, why in ((path, "must not be IN"), (tmp_path / "link.png", "must not be IN"), (None, "must be new")):
        code, said = refused(capsys, "bicubic", path, out or tmp_path / "other.png", "--scale", 2)
        assert code == 73
        assert f"OUT {why}" in said
    assert path.read_bytes() == before
    assert (tmp_path / "other.png").read_bytes() == b"mine"


def test_an_output_of_an_unknown_kind_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refused(capsys, tmp_path / "missing", tmp_path / "missing", tmp_path / "out.jpg")
    assert code == 64
    assert "OUT must end in .png" in said


def test_clipped_pixels_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_slice(tmp_path / "in.png", np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (16, 4)))
    doubled = imresize(np.tile(np.repeat([0.0, 255.0], 8), (16, 4)), 2.0)
    share = 100 * float(((doubled < -0.5) | (doubled >= 255.5)).mean())
    assert share > 1
    for out in ("out.png", "out.npy"):
        main("bicubic", tmp_path / "in.png", tmp_path / out, "--scale", 2, "--tile", 7)
        assert f"{share:.3f} % of pixels clipped" in capsys.readouterr().out


PAIRS = [("in.tif", "out.npy"), ("in.npy", "out.mhd"), ("in.mhd", "out.zarr"), ("in.zarr", "out"), ("in", "out.tif")]


@pytest.mark.parametrize(("name", "out"), PAIRS)
def test_a_volume_of_any_format_becomes_one_of_any_other(tmp_path: Path, name: str, out: str) -> None:
    levels = scan(tmp_path / name)
    network = saved(tmp_path / "m.safetensors")
    main(tmp_path / "m.safetensors", tmp_path / name, tmp_path / out, "--tile", 8)
    sr = open_volume(tmp_path / out)
    window = default_window(np.uint16)
    with torch.inference_mode():
        whole = network(torch.from_numpy(to_unit(levels, window))[:, None])[:, 0].numpy()
    assert (len(sr), sr.size, sr.dtype) == (3, (46, 60), np.dtype("uint16"))
    for z in range(3):
        off = sr[z].astype(int) - from_unit(whole[z], window, "uint16").astype(int)
        assert np.abs(off).max() <= 1


@pytest.mark.parametrize("out", ["out.tif", "out.mhd", "out.zarr"])
def test_the_voxel_is_finer_in_the_plane_and_as_deep_as_before(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scan(tmp_path / "in.tif")
    main("bicubic", tmp_path / "in.tif", tmp_path / out, "--scale", 2)
    voxel = open_volume(tmp_path / out).voxel_um
    assert voxel is not None
    np.testing.assert_allclose(voxel, (4, 1, 1), rtol=1e-9)
    assert "voxel 4×1×1 µm: 2 times finer in the plane of the slices, their distance is kept" in capsys.readouterr().out


NO_ROOM = "OUT has no room for this voxel and says none; a .mhd or .zarr has"


@pytest.mark.parametrize("out", ["out.npy", "out"])
def test_a_voxel_that_the_output_cannot_say_is_not_announced_as_if_it_did(
    tmp_path: Path, out: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scan(tmp_path / "in.tif")
    main("bicubic", tmp_path / "in.tif", tmp_path / out, "--scale", 2)
    assert open_volume(tmp_path / out).voxel_um is None
    assert NO_ROOM in capsys.readouterr().out


@pytest.mark.parametrize("depth", [2.0, 4.0])
@pytest.mark.parametrize("out", ["out.tif", "out.png", "out", "out.mhd", "out.zarr", "out.npy"])
def test_a_single_slice_keeps_its_pixel_where_there_is_room(
    tmp_path: Path, out: str, depth: float, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = (65535 * texture(1, 9, 12)).astype(np.uint16)[None]
    with writing(tmp_path / "in.mhd", shape=(1, 9, 12), dtype="uint16", digest="d", voxel_um=(depth, 4, 4)) as writer:
        writer.write(writer.todo[0], levels[0])
    main("bicubic", tmp_path / "in.mhd", tmp_path / out, "--scale", 2)
    found, told = open_volume(tmp_path / out).voxel_um, capsys.readouterr().out
    said = out != "out.npy" and not (out == "out" and depth == 4)
    assert (found is not None) == said
    assert (NO_ROOM not in told) == said
    assert "pixel 2×2 µm: 2 times finer" in told
    if found:
        np.testing.assert_allclose(found[1:], (2, 2), rtol=1e-3)
    if out in ("out.mhd", "out.zarr"):
        assert found == (depth, 2, 2)


def test_a_single_slice_too_large_for_a_plain_image_says_its_voxel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("coresr_eval.commands.volumes.MOST_HELD", 100)
    scan(tmp_path / "in.tif", depth=1)
    main("bicubic", tmp_path / "in.tif", tmp_path / "out.tif", "--scale", 2)
    assert open_volume(tmp_path / "out.tif").voxel_um == (4, 1, 1)
    assert NO_ROOM not in capsys.readouterr().out


def test_a_folder_of_slices_keeps_their_numbers_and_says_no_voxel_it_cannot(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in (7, 9, 12):
        levels = (255 * texture(number, 9, 12)).astype(np.uint8)
        write_slice(tmp_path / "in" / f"scan-{number:02d}.png", levels, voxel_um=(2.0, 2.0))
    main("bicubic", tmp_path / "in", tmp_path / "out", "--scale", 2)
    sr = open_volume(tmp_path / "out")
    assert (sr.numbers, sr.dtype, sr.size) == ((7, 9, 12), np.dtype("uint8"), (18, 24))
    assert sr.voxel_um is None  # a reader would take it for the side of a cube
    main("bicubic", tmp_path / "in" / "scan-09.png", tmp_path / "nine.png", "--scale", 2)
    np.testing.assert_array_equal(sr[1], read_slice(tmp_path / "nine.png"))


@pytest.mark.parametrize(("axis", "order", "voxel"), [("y", (1, 0, 2), (2, 2, 1)), ("x", (2, 0, 1), (2, 2, 1))])
def test_slices_across_another_axis_are_those_of_the_turned_volume(
    tmp_path: Path,
    axis: str,
    order: tuple[int, int, int],
    voxel: tuple[float, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    levels = scan(tmp_path / "in.tif")
    np.save(tmp_path / "turned.npy", levels.transpose(order))
    main("bicubic", tmp_path / "in.tif", tmp_path / "out.mhd", "--scale", 2, "--axis", axis)
    assert f"slices across {axis}: OUT lies ({axis}, z, {'x' if axis == 'y' else 'y'})" in capsys.readouterr().out
    main("bicubic", tmp_path / "turned.npy", tmp_path / "wanted.npy", "--scale", 2)
    found = open_volume(tmp_path / "out.mhd")
    assert found.voxel_um is not None
    np.testing.assert_allclose(found.voxel_um, voxel, rtol=1e-9)
    wanted = np.load(tmp_path / "wanted.npy")
    np.testing.assert_array_equal(np.stack([found[i] for i in range(len(found))]), wanted)


def test_a_raw_file_is_upscaled_by_its_header(tmp_path: Path) -> None:
    levels = scan(tmp_path / "in.npy")
    (tmp_path / "in.raw").write_bytes(levels.astype(">u2").tobytes())
    main("bicubic", tmp_path / "in.npy", tmp_path / "a.npy", "--scale", 2)
    main("bicubic", tmp_path / "in.raw", tmp_path / "b.npy", "--scale", 2, "--raw", "3x23x30:uint16:big")
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


@pytest.mark.parametrize("tile", [8, 512])
def test_the_self_ensemble_is_that_of_the_whole_network(tmp_path: Path, tile: int) -> None:
    network = saved(tmp_path / "m.safetensors", "unet")
    path, levels = image(tmp_path, "tif uint16", 22, 33)
    main(tmp_path / "m.safetensors", path, tmp_path / "out.tif", "--self-ensemble", "--tile", tile)
    window = default_window(np.uint16)
    padded = np.pad(levels, ((0, -22 % network.multiple_of), (0, -33 % network.multiple_of)), "reflect")
    lr = torch.from_numpy(to_unit(padded, window))[None, None]
    with torch.inference_mode():
        whole = self_ensemble(network)(lr)[0, 0, :44, :66].numpy()
        plain = network(lr)[0, 0, :44, :66].numpy()
    off = read_slice(tmp_path / "out.tif").astype(int) - from_unit(whole, window, "uint16").astype(int)
    assert np.abs(off).max() <= 1
    assert np.abs(whole - plain).max() > 10 / 65535


def test_a_network_that_must_see_the_whole_slice_does_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = saved(tmp_path / "m.safetensors", "nafnet")
    assert network.receptive_field is None
    levels = scan(tmp_path / "in.npy")
    main(tmp_path / "m.safetensors", tmp_path / "in.npy", tmp_path / "out.npy", "--tile", 8)
    assert "slices were made whole, for this network is not exact in tiles" in capsys.readouterr().out
    window = default_window(np.uint16)
    with torch.inference_mode():
        whole = network(torch.from_numpy(to_unit(levels, window))[:, None])[:, 0].numpy()
    sr = np.load(tmp_path / "out.npy")
    assert np.abs(sr.astype(int) - from_unit(whole, window, "uint16").astype(int)).max() <= 1
    main(tmp_path / "m.safetensors", tmp_path / "in.npy", tmp_path / "b.npy", "--tile", 8, "--overlap", 4)
    said = "slices were made from tiles blended by 4 LR pixels, for this network is not exact in tiles"
    assert said in capsys.readouterr().out
    assert 1 < np.abs(np.load(tmp_path / "b.npy").astype(int) - sr.astype(int)).max() < 6000


def test_an_overlap_that_a_network_of_known_reach_does_not_need_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = saved(tmp_path / "m.safetensors")
    assert network.receptive_field is not None
    scan(tmp_path / "in.npy")
    main(tmp_path / "m.safetensors", tmp_path / "in.npy", tmp_path / "out.npy", "--tile", 8, "--overlap", 4)
    said = capsys.readouterr().out
    assert (
        "slices were made from tiles blended by 4 LR pixels, without --overlap this network is exact in tiles" in said
    )
    assert "not exact" not in said


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["in.npy", "out.png"], 64, "OUT must be a .tif for 3 slices of uint16"),
        (["float.tif", "out.png", "--window", "0", "1"], 64, "OUT must be a .tif for 1 slice of float32"),
        (["in.npy", "out.npy", "--tile", "0"], 64, "argument --tile: must be a whole number of 1 or more, got 0"),
        (["in.npy", "out.npy", "--overlap", "0"], 64, "argument --overlap: must be a whole number of 1 or more, got 0"),
        (
            ["in.npy", "out.npy", "--tile", "16", "--overlap", "9"],
            64,
            "--overlap must be from 1 to half a --tile of 16",
        ),
        (["in.npy", "out.npy", "--scale", "0"], 64, "argument --scale: must be a whole number of 1 or more, got 0"),
        (["in.npy", "out.npy", "--axis", "t"], 64, "invalid choice"),
        (["in.npy", "out.npy", "--window", "5", "5"], 64, "argument --window: window must be LOW < HIGH"),
        (["in.npy", "out.npy", "--window", "nan", "5"], 64, "argument --window: window must be LOW < HIGH"),
        (["none.npy", "out.npy"], 66, "none.npy"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, why: str
) -> None:
    scan(tmp_path / "in.npy")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((4, 4), np.float32), photometric="minisblack")
    before = sorted(tmp_path.iterdir())
    ends, said = refused(capsys, "bicubic", tmp_path / words[0], tmp_path / words[1], "--scale", 2, *words[2:])
    assert ends == code
    assert why in said
    assert sorted(tmp_path.iterdir()) == before


def projecting(path: Path, provenance: dict[str, Any]) -> None:
    """A small network that contradicts its LR, and says this of itself."""
    spec = ModelSpec(name="edsr", arguments={"width": 4, "blocks": 1})
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    save(path, network, spec, provenance)


BICUBIC: dict[str, Any] = {"protocol": {"degradation": "bicubic"}}


@pytest.mark.parametrize("tile", [7, 512])
def test_back_projected_the_output_gives_the_input_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tile: int
) -> None:
    projecting(tmp_path / "m.safetensors", BICUBIC)
    levels = texture(5, 33, 42).astype(np.float32) * 3 - 1
    write_slice(tmp_path / "in.tif", levels)
    command = [tmp_path / "m.safetensors", tmp_path / "in.tif"]
    for name, flags in (("plain", []), ("back", ["--back-project"])):
        main(*command, tmp_path / f"{name}.tif", "--window", -1, 2, "--tile", tile, *flags)
    said = capsys.readouterr().out.split("plain.tif")[1]
    assert said.count("back-projected: ") == 1
    assert "gives IN back under MATLAB's bicubic 1/2" in said
    off = [np.abs(imresize(read_slice(tmp_path / f"{name}.tif"), 0.5) - levels).max() for name in ("plain", "back")]
    assert off[0] > 0.1
    assert off[1] < 3e-6


def test_the_self_ensemble_is_back_projected_too(tmp_path: Path) -> None:
    projecting(tmp_path / "m.safetensors", BICUBIC)
    levels = texture(5, 20, 25).astype(np.float32)
    write_slice(tmp_path / "in.tif", levels)
    flags = ["--window", 0, 1, "--self-ensemble", "--back-project"]
    main(tmp_path / "m.safetensors", tmp_path / "in.tif", tmp_path / "out.tif", *flags)
    assert np.abs(imresize(read_slice(tmp_path / "out.tif"), 0.5) - levels).max() < 1e-6


@pytest.mark.parametrize(
    ("provenance", "got"),
    [
        ({}, "a file that says of none"),
        ({"protocol": "x"}, "a file that says of none"),
        ({"protocol": {"degradation": "real"}}, "real"),
        ({"interpolated": {"first": BICUBIC, "second": {"protocol": {"degradation": "scanner"}}}}, "scanner"),
        ({"interpolated": {"first": BICUBIC, "second": None}, **BICUBIC}, "a file that says of none"),
    ],
)
def test_without_a_model_of_bicubic_lr_nothing_is_back_projected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], provenance: dict[str, Any], got: str
) -> None:
    projecting(tmp_path / "m.safetensors", provenance)
    path, _ = image(tmp_path, "png uint8")
    code, said = refused(capsys, tmp_path / "m.safetensors", path, tmp_path / "out.png", "--back-project")
    assert code == 64
    assert f"--back-project must have a model that was trained on bicubic LR, got {got}; leave it away" in said
    assert not (tmp_path / "out.png").exists()


def test_of_bicubic_and_of_networks_mixed_from_two_of_bicubic_lr_it_is_known(tmp_path: Path) -> None:
    path, _ = image(tmp_path, "png uint8")
    mixed = {"interpolated": {"first": BICUBIC, "second": {"protocol": {"degradation": "default"}}, "alpha": 0.5}}
    projecting(tmp_path / "m.safetensors", mixed)
    main(tmp_path / "m.safetensors", path, tmp_path / "out.png", "--back-project")
    main("bicubic", path, tmp_path / "bicubic.png", "--scale", 3, "--back-project")
    assert read_slice(tmp_path / "bicubic.png").shape == (39, 54)


def test_levels_of_sixteen_bit_floats_leave_as_float32_where_edges_overshoot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = np.where(texture(5, 12, 14) > 0.5, 65504, 0).astype(np.float16)[None]
    np.save(tmp_path / "in.npy", levels)
    main("bicubic", tmp_path / "in.npy", tmp_path / "out.npy", "--scale", 2, "--window", 0, 65504)
    sr = np.load(tmp_path / "out.npy")
    assert sr.dtype == np.float32
    assert sr.max() > 65520  # infinite in 16 bits
    np.testing.assert_allclose(sr[0], imresize(levels[0].astype(np.float64), 2), rtol=0, atol=0.05)
    assert "IN is float16, beyond whose largest level SR may lie: OUT is float32" in capsys.readouterr().out
