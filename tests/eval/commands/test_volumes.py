"""Volumes by tiles: those of every network equal the whole, memory is bounded, what was killed goes on, many share."""

import hashlib
import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray

pytest.importorskip("coresr_data")
pytest.importorskip("coresr_models")

from coresr_data import output
from coresr_data.formats import open_volume
from coresr_data.output import writing
from coresr_data.output.sinks import Tile
from coresr_data.volume import Levels, Volume
from coresr_eval.commands.volumes import Work
from coresr_eval.inference import tiled
from coresr_models import Argument, ModelSpec
from tests.eval.commands.running import (
    KEPT,
    child,
    ended,
    free_port,
    main,
    no_more_memory_than,
    refused,
    saved,
    texture,
)
from tests.models.specimens import SMALL, lively, normalised

OTHERS: list[tuple[str, dict[str, Argument]]] = [
    ("cyclegan", {"scale": 4, "skip": "replicate"}),
    ("edsr", {"scale": 3, "tail": "direct"}),
    ("realplksr", {"norm": "group"}),
    ("rrdbnet", {"scale": 4}),
    ("span", {"merged": True}),
    ("srcnn", {"scale": 4}),
    ("swinir", {"window": 3, "tail": "staged"}),
    ("unet", {"attention": "none"}),
    ("unet", {"attention": "none", "depth": 3, "scale": 4}),
    ("unet", {"attention": "none", "norm": "batch", "block": "residual"}),
]
"""Whose reach or grid is another than that of the small one of their name."""


def networks() -> Iterator[Any]:
    for name in SMALL:
        yield pytest.param(ModelSpec(name=name, arguments=SMALL[name]), id=name)
    yield pytest.param(normalised("edsr"), id="edsr-normalised")
    for name, changes in OTHERS:
        label = "-".join(f"{argument}-{value}" for argument, value in changes.items())
        yield pytest.param(ModelSpec(name=name, arguments={**SMALL[name], **changes}), id=f"{name}-{label}")


@pytest.mark.parametrize("spec", list(networks()))
@torch.inference_mode()
def test_tiles_of_every_network_equal_the_whole_or_are_not_cut(spec: ModelSpec) -> None:
    network = lively(spec)
    reach, scale = network.receptive_field, network.scale
    side = 2 * network.multiple_of + (reach or 8) + 5
    channels = spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    lr = torch.rand(1, channels, side, side + 7)
    sizes: list[int] = []

    def watched(part: torch.Tensor) -> torch.Tensor:
        sizes.append(part.shape[-1])
        sr: torch.Tensor = network(part)
        return sr

    def in_tiles(lr: torch.Tensor, tile: int) -> torch.Tensor:
        return tiled(watched, lr, scale=scale, multiple_of=network.multiple_of, receptive_field=reach, tile=tile)

    whole, tiles = in_tiles(lr, 4096), in_tiles(lr, side // 2)
    assert (len(sizes) == 2) == (reach is None)
    network.double()
    exact = in_tiles(lr.double(), 4096)
    torch.testing.assert_close(in_tiles(lr.double(), side // 2), exact, rtol=0, atol=1e-12 * float(exact.abs().max()))
    rounding = float((whole - exact).abs().max())  # random weights enlarge it, in the whole as in the tiles
    torch.testing.assert_close(tiles, whole, rtol=0, atol=max(1e-6, 3 * rounding))


def digest(path: Path) -> str:
    """Of every byte of a file, or of a folder's files and their names."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    total = hashlib.sha256()
    for file in files:
        total.update(str(file.relative_to(path)).encode() + file.read_bytes())
    return total.hexdigest()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Two slices of 16 bits, in packed tiles."""
    levels = np.stack([(65535 * texture(z, 60, 44)).astype(np.uint16) for z in range(2)])
    tifffile.imwrite(tmp_path / "in.tif", levels, photometric="minisblack", tile=(16, 16), compression="zlib")
    return tmp_path / "in.tif"


def killed_after(lines: int, out: Path, *words: object) -> None:
    """Run in a child until its journal has so many lines, and kill it; every tile is committed by itself."""

    def slowly() -> None:
        output.COMMIT_BYTES = 1
        levels = Work.levels

        def slow(work: Work, tile: Tile) -> tuple[Levels, int]:
            time.sleep(0.02)
            return levels(work, tile)

        mock.patch.object(Work, "levels", slow).start()
        main(*words)

    process, journal = child(slowly), out.with_name(f".{out.name}.part") / "done"
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= lines):
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
        time.sleep(0.002)
    os.kill(process, signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Tile]:
    """The tiles that this process computes."""
    tiles: list[Tile] = []
    levels = Work.levels

    def remembered(work: Work, tile: Tile) -> tuple[Levels, int]:
        tiles.append(tile)
        return levels(work, tile)

    monkeypatch.setattr(Work, "levels", remembered)
    return tiles


RUNS = [("out.tif", ["--tile", "16", "--self-ensemble"]), ("out.npy", ["--tile", "24"]), ("out.mhd", ["--tile", "16"])]
RUNS += [("out.zarr", ["--tile", "16"]), ("out", []), ("out.npy", ["--tile", "16", "--overlap", "4"])]


@pytest.mark.parametrize("run", RUNS)
def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path,
    scan: Path,
    run: tuple[str, list[str]],
    computed: list[Tile],
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, flags = run
    saved(tmp_path / "m.safetensors", "unet")
    words: list[object] = [tmp_path / "m.safetensors", scan]
    main(*words, tmp_path / "whole" / name, *flags)
    total = len(computed)
    killed_after(1, tmp_path / name, *words, tmp_path / name, *flags)
    assert not (tmp_path / name).exists()
    capsys.readouterr()
    main(*words, tmp_path / name, *flags)
    assert total < len(computed) < 2 * total  # the rest alone
    assert "% of pixels that were left to write were clipped" in capsys.readouterr().out
    assert digest(tmp_path / name) == digest(tmp_path / "whole" / name)
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("kind", ["in/0000.tif", "in.zarr"])
def test_an_output_inside_of_its_input_goes_on_too(tmp_path: Path, scan: Path, kind: str, computed: list[Tile]) -> None:
    source = tmp_path / kind.split("/", maxsplit=1)[0]
    if kind == "in.zarr":
        main("bicubic", scan, source, "--scale", 1)
    else:
        source.mkdir()
        tifffile.imwrite(tmp_path / kind, tifffile.imread(scan)[0], photometric="minisblack", tile=(16, 16))
    words: list[object] = ["bicubic", source, source / "out.npy", "--scale", 2, "--tile", 16]
    killed_after(1, source / "out.npy", *words)
    computed.clear()
    main(*words)
    whole = 12 * len(np.load(source / "out.npy"))
    assert 0 < len(computed) < whole


def test_half_an_output_goes_on_with_nothing_but_the_same(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.safetensors")
    saved(tmp_path / "other.safetensors")  # drawn anew
    words: list[object] = [tmp_path / "m.safetensors", scan, tmp_path / "out.npy"]
    killed_after(1, tmp_path / "out.npy", *words, "--tile", 16)
    others = [
        [tmp_path / "other.safetensors", *words[1:], "--tile", 16],
        [*words, "--tile", 16, "--window", 0, 60000],
        [*words, "--tile", 16, "--self-ensemble"],
        [*words, "--tile", 22],
    ]
    for other in others:
        code, said = refused(capsys, *other)
        assert code == 73
        assert "must be half of the same job" in said
        assert "remove it to start anew" in said
    os.utime(scan, ns=(1, 1))
    assert refused(capsys, *words, "--tile", 16)[0] == 73


def test_half_a_plain_image_does_not_go_on_back_projected(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[object] = ["bicubic", scan, tmp_path / "out.npy", "--scale", 2, "--tile", 16]
    killed_after(1, tmp_path / "out.npy", *words)
    code, said = refused(capsys, *words, "--back-project")
    assert code == 73
    assert "must be half of the same job" in said


def test_half_a_cube_does_not_go_on_along_another_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "in.npy", np.random.default_rng(0).integers(0, 65536, (16, 16, 16)).astype(np.uint16))
    words: list[object] = ["bicubic", tmp_path / "in.npy", tmp_path / "out.npy", "--scale", 1]
    killed_after(1, tmp_path / "out.npy", *words)
    code, said = refused(capsys, *words, "--axis", "y")
    assert code == 73
    assert "must be half of the same job" in said


def test_a_chunk_that_changed_does_not_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    levels = (65535 * texture(1, 40, 40)).astype(np.uint16)[None]
    with writing(tmp_path / "in.zarr", shape=levels.shape, dtype="uint16", digest="d", tile=(20, 20)) as writer:
        for tile in writer.todo:
            writer.write(tile, levels[tile.z, tile.y, tile.x])
    words = ["bicubic", tmp_path / "in.zarr", tmp_path / "out.npy", "--scale", 2, "--tile", 10]
    killed_after(1, tmp_path / "out.npy", *words)
    chunk = next(path for path in (tmp_path / "in.zarr").rglob("*") if path.is_file() and path.suffix != ".json")
    os.utime(chunk, ns=(1, 1))
    assert refused(capsys, *words)[0] == 73
    (tmp_path / ".out.npy.part").rename(tmp_path / "put away")
    main(*words)


def big(path: Path, side: int) -> None:
    """A slice of 16 bits, in packed tiles, that costs little to make."""
    tile = (65535 * texture(0, 256, 256)).astype(np.uint16)
    tiles: Iterator[NDArray[Any]] = (tile for _ in range((side // 256) ** 2))
    tifffile.imwrite(
        path,
        tiles,
        shape=(side, side),
        dtype="uint16",
        tile=(256, 256),
        photometric="minisblack",
        compression="zlib",
        compressionargs={"level": 1},
    )


@pytest.mark.skipif(not KEPT.exists(), reason="the limit is that of Linux")
def test_memory_is_that_of_a_tile_however_large_the_slice(tmp_path: Path) -> None:
    side, allowed = 2560, 24
    assert 4 * side**2 > allowed * 2**20  # LR alone would not fit as float32, SR takes four times as much
    assert 2 * (2 * side) ** 2 > allowed * 2**20  # nor would the levels of SR
    big(tmp_path / "in.tif", side)
    scan = tmp_path / "small.tif"
    big(scan, 256)
    words: list[object] = ["--scale", 2, "--tile", 256]

    def within() -> None:
        main("bicubic", scan, tmp_path / "small-out.tif", *words)  # what is imported and started is not counted
        with no_more_memory_than(allowed):
            main("bicubic", tmp_path / "in.tif", tmp_path / "out.tif", *words)

    assert ended(child(within)) == 0
    sr, small = open_volume(tmp_path / "out.tif"), open_volume(tmp_path / "small-out.tif")
    inside = slice(8, 504)
    np.testing.assert_array_equal(
        sr.region(0, slice(4608 + 8, 4608 + 504), slice(512 + 8, 512 + 504)), small.region(0, inside, inside)
    )


def test_no_slice_is_decoded_whole_where_it_lies_in_tiles(
    tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = saved(tmp_path / "m.safetensors")
    reach = network.receptive_field
    assert reach is not None
    regions: list[tuple[int, int]] = []
    region = Volume.region

    def remembered(volume: Volume, index: int, y: slice, x: slice) -> Levels:
        regions.append((y.stop - y.start, x.stop - x.start))
        return region(volume, index, y, x)

    monkeypatch.setattr(Volume, "region", remembered)
    monkeypatch.setattr(Volume, "__getitem__", lambda *_: pytest.fail("a slice was decoded whole"))
    main(tmp_path / "m.safetensors", scan, tmp_path / "out.npy", "--tile", 16)
    assert len(regions) == 2 * 4 * 3
    assert max(map(max, regions)) == 16 + 2 * reach


def test_a_slice_that_cannot_be_cut_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = (65535 * texture(0, 60, 44)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in.tif", np.stack([levels, levels]), photometric="minisblack", compression="zlib")
    decoded: list[int] = []
    read = Volume.__getitem__

    def remembered(volume: Volume, index: int) -> Levels:
        decoded.append(index)
        return read(volume, index)

    monkeypatch.setattr(Volume, "__getitem__", remembered)
    main("bicubic", tmp_path / "in.tif", tmp_path / "out.npy", "--scale", 2, "--tile", 16)
    assert decoded == [0, 1]


@pytest.mark.parametrize("flags", [["--tile", "16"], ["--tile", "16", "--overlap", "4"]])
def test_several_processes_share_the_tiles_and_write_the_same_bytes(
    tmp_path: Path, scan: Path, flags: list[str]
) -> None:
    saved(tmp_path / "m.safetensors", "unet")
    main(tmp_path / "m.safetensors", scan, tmp_path / "one.npy", *flags)
    port, counted = str(free_port()), tmp_path / "counted"
    counted.mkdir()
    levels = Work.levels

    def counting(rank: int) -> None:
        def remembered(work: Work, tile: Tile) -> tuple[Levels, int]:
            (counted / f"{rank}-{tile}").touch()
            return levels(work, tile)

        mock.patch.object(Work, "levels", remembered).start()
        main(tmp_path / "m.safetensors", scan, tmp_path / "two.npy", *flags)

    said = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    processes = [child(partial(counting, rank), RANK=str(rank), **said) for rank in range(2)]
    assert [ended(process) for process in processes] == [0, 0]
    assert (tmp_path / "two.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    by = [len(list(counted.glob(f"{rank}-*"))) for rank in range(2)]
    assert by == [12, 12]


def test_a_process_whose_peer_dies_says_so_and_the_rest_is_done_by_one(tmp_path: Path, scan: Path) -> None:
    saved(tmp_path / "m.safetensors")
    words: list[object] = [tmp_path / "m.safetensors", scan, tmp_path / "out.npy", "--tile", 16]
    main(*words[:2], tmp_path / "wanted.npy", "--tile", 16)
    levels = Work.levels

    def dying() -> None:
        output.COMMIT_BYTES = 1

        def once(work: Work, tile: Tile) -> tuple[Levels, int]:
            if os.environ["RANK"] == "1" and tile.z == 1:
                os._exit(137)
            return levels(work, tile)

        mock.patch.object(Work, "levels", once).start()
        main(*words)

    said = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [child(dying, RANK=str(rank), **said) for rank in range(2)]
    assert [ended(process) for process in processes] == [76, 137]
    assert not (tmp_path / "out.npy").exists()
    main(*words)
    assert (tmp_path / "out.npy").read_bytes() == (tmp_path / "wanted.npy").read_bytes()


def test_where_memory_is_short_the_command_ends_with_69_and_a_way_out(
    tmp_path: Path, scan: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "m.safetensors", "nafnet")

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("coresr_models.nafnet.NAFNet.forward", full)
    code, said = refused(capsys, tmp_path / "m.safetensors", scan, tmp_path / "out.npy")
    assert code == 69
    assert "blend tiles by an overlap" in said
    words = ["--tile", 64, "--overlap", 20]
    code, said = refused(capsys, tmp_path / "m.safetensors", scan, tmp_path / "out.npy", *words)
    assert code == 69
    assert "take an overlap below 20" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.tif", "m.safetensors"]
