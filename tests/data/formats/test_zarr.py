"""Zarr folders written file by file from the specifications of Zarr 2 and 3 and of OME-Zarr 0.4 and 0.5."""

import gzip
import itertools
import json
import pickle
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.zarr import open_zarr
from coresr_data.volume import Volume

zarr = pytest.importorskip("zarr")

Levels = NDArray[Any]
ROCK = np.random.default_rng(0).integers(0, 60000, (7, 5, 6), dtype=np.uint16)  # (z, y, x)
CHUNK = (2, 3, 4)
RAW = {"name": "bytes", "configuration": {"endian": "little"}}


def chunks(levels: Levels, chunk: tuple[int, ...]) -> list[tuple[tuple[int, ...], Levels]]:
    """Each chunk by its place, those at the far edges filled up."""
    found = []
    for place in itertools.product(*(range(-(-size // side)) for size, side in zip(levels.shape, chunk, strict=True))):
        part = levels[tuple(slice(at * side, (at + 1) * side) for at, side in zip(place, chunk, strict=True))]
        filled = np.full(chunk, 77, levels.dtype)
        filled[tuple(slice(size) for size in part.shape)] = part
        found.append((place, filled))
    return found


def write_v3(
    folder: Path,
    levels: Levels = ROCK,
    *,
    chunk: tuple[int, ...] = CHUNK,
    codecs: list[Any] | None = None,
    pack: Callable[[bytes], bytes] = bytes,
    **fields: Any,
) -> Path:
    folder.mkdir(parents=True)
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": levels.shape,
        "data_type": levels.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs or [RAW],
        "attributes": {},
    }
    (folder / "zarr.json").write_text(json.dumps(metadata | fields))
    for place, part in chunks(levels, chunk):
        path = folder.joinpath("c", *map(str, place))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pack(part.astype(part.dtype.newbyteorder("<")).tobytes()))
    return folder


def write_v2(folder: Path, levels: Levels = ROCK, *, pack: Callable[[bytes], bytes] = bytes, **fields: Any) -> Path:
    folder.mkdir(parents=True)
    metadata = {
        "zarr_format": 2,
        "shape": levels.shape,
        "chunks": CHUNK[-levels.ndim :],
        "dtype": levels.dtype.str,
        "compressor": None,
        "fill_value": 0,
        "order": "C",
        "filters": None,
    }
    (folder / ".zarray").write_text(json.dumps(metadata | fields))
    for place, part in chunks(levels, CHUNK[-levels.ndim :]):
        (folder / ".".join(map(str, place))).write_bytes(pack(part.tobytes()))
    return folder


def multiscales(
    axes: str, scale: list[float], *, unit: str | None = "micrometer", path: str = "0", also: list[float] | None = None
) -> list[dict[str, Any]]:
    kinds = {"t": "time", "c": "channel"}
    units = {"unit": unit} if unit else {}
    said = [{"name": a, "type": kinds[a]} if a in kinds else {"name": a, "type": "space"} | units for a in axes]
    levels = [{"path": path, "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
    levels.append({"path": "1", "coordinateTransformations": [{"type": "scale", "scale": [2 * s for s in scale]}]})
    whole = {"coordinateTransformations": [{"type": "scale", "scale": also}]} if also else {}
    return [{"axes": said, "datasets": levels, "name": "core"} | whole]


def write_group(folder: Path, attributes: dict[str, Any], version: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if version == 3:
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        (folder / "zarr.json").write_text(json.dumps(group))
    else:
        (folder / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / ".zattrs").write_text(json.dumps(attributes))
    return folder


def whole(volume: Volume) -> Levels:
    return np.stack([volume[index] for index in range(len(volume))])


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"])
def test_every_level_arrives_in_its_own_dtype_and_place(tmp_path: Path, dtype: str) -> None:
    levels = ROCK.astype(dtype) if dtype != "f2" else (ROCK / 60000).astype(dtype)
    for path in (write_v3(tmp_path / "3", levels), write_v2(tmp_path / "2", levels.astype(f">{dtype}"))):
        volume = open_zarr(path)
        assert (volume.dtype, volume.dtype.isnative, volume.size) == (levels.dtype, True, (5, 6))
        assert volume.voxel_um is None
        np.testing.assert_array_equal(whole(volume), levels)


def test_a_volume_says_what_it_is(tmp_path: Path) -> None:
    volume = open_zarr(write_v3(tmp_path / "plug.ome.zarr"))
    assert (volume.core, volume.names[3], volume.numbers) == ("plug", "plug.ome.zarr[3]", tuple(range(7)))
    assert volume.sources == (tmp_path / "plug.ome.zarr" / "zarr.json",)


def test_packed_chunks_hold_the_same_levels(tmp_path: Path) -> None:
    codecs = [RAW, {"name": "gzip", "configuration": {"level": 5}}]
    for path in (
        write_v3(tmp_path / "3", codecs=codecs, pack=gzip.compress),
        write_v2(tmp_path / "2", compressor={"id": "zlib", "level": 1}, pack=zlib.compress),
    ):
        np.testing.assert_array_equal(whole(open_zarr(path)), ROCK)


@pytest.mark.parametrize("version", [2, 3])
def test_what_zarr_python_writes_is_read(tmp_path: Path, version: int) -> None:
    array = zarr.create_array(tmp_path / "a", shape=ROCK.shape, chunks=CHUNK, dtype=ROCK.dtype, zarr_format=version)
    array[...] = ROCK
    np.testing.assert_array_equal(whole(open_zarr(tmp_path / "a")), ROCK)


def test_shards_are_read(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a", shape=ROCK.shape, chunks=CHUNK, shards=(4, 6, 8), dtype=ROCK.dtype)
    array[...] = ROCK
    np.testing.assert_array_equal(whole(open_zarr(tmp_path / "a")), ROCK)


def test_a_plane_is_one_slice(tmp_path: Path) -> None:
    for path in (write_v3(tmp_path / "3", ROCK[0], chunk=(3, 4)), write_v2(tmp_path / "2", ROCK[0])):
        np.testing.assert_array_equal(whole(open_zarr(path)), ROCK[:1])


@pytest.mark.parametrize("version", [2, 3])
def test_the_largest_level_of_ome_zarr_is_read_with_its_voxel(tmp_path: Path, version: int) -> None:
    said = multiscales("zyx", [4, 0.5, 0.25])
    folder = write_group(
        tmp_path / "a", {"ome": {"multiscales": said}} if version == 3 else {"multiscales": said}, version
    )
    write = write_v3 if version == 3 else write_v2
    write(folder / "0")
    write(folder / "1", ROCK[::2, ::2, ::2])
    volume = open_zarr(folder)
    assert volume.voxel_um == (4.0, 0.5, 0.25)
    assert volume.names[0] == "a[0]"
    np.testing.assert_array_equal(whole(volume), ROCK)


@pytest.mark.parametrize(
    ("unit", "micrometres"),
    [("micrometer", 1), ("millimeter", 1000), ("nanometer", 1e-3), (None, None), ("parsec", None)],
)
def test_the_voxel_is_known_where_there_is_a_unit(tmp_path: Path, unit: str | None, micrometres: float | None) -> None:
    said = multiscales("zyx", [4, 2, 1], unit=unit, also=[3, 1, 1])
    write_v3(write_group(tmp_path / "a", {"ome": {"multiscales": said}}) / "0")
    expected = None if micrometres is None else (12 * micrometres, 2 * micrometres, 1 * micrometres)
    assert open_zarr(tmp_path / "a").voxel_um == expected


def test_a_voxel_behind_another_transformation_is_unknown(tmp_path: Path) -> None:
    said = multiscales("zyx", [4, 2, 1])
    said[0]["datasets"][0]["coordinateTransformations"].append({"type": "affine", "affine": [[2]]})
    write_v3(write_group(tmp_path / "a", {"ome": {"multiscales": said}}) / "0")
    assert open_zarr(tmp_path / "a").voxel_um is None


def test_one_time_and_one_channel_are_read_and_more_are_refused(tmp_path: Path) -> None:
    said = multiscales("tczyx", [1, 1, 4, 2, 1])
    one = write_group(tmp_path / "one", {"ome": {"multiscales": said}})
    write_v3(one / "0", ROCK[None, None], chunk=(1, 1, *CHUNK))
    volume = open_zarr(one)
    assert volume.voxel_um == (4.0, 2.0, 1.0)
    np.testing.assert_array_equal(whole(volume), ROCK)
    two = write_group(tmp_path / "two", {"ome": {"multiscales": said}})
    write_v3(two / "0", np.stack([ROCK, ROCK])[None], chunk=(1, 1, *CHUNK))
    with pytest.raises(ValueError, match=r"two must hold one .* grey volume, got t 1, c 2, z 7, y 5, x 6; save one"):
        open_zarr(two)


def test_a_plane_of_ome_zarr_is_one_slice_of_cubes(tmp_path: Path) -> None:
    said = multiscales("cyx", [1, 2, 2])
    write_v3(write_group(tmp_path / "a", {"ome": {"multiscales": said}}) / "0", ROCK[:1], chunk=(1, 3, 4))
    volume = open_zarr(tmp_path / "a")
    assert (len(volume), volume.voxel_um) == (1, (2.0, 2.0, 2.0))
    np.testing.assert_array_equal(volume[0], ROCK[0])


@pytest.mark.parametrize("axes", ["xyz", "yzx", "zxy"])
def test_axes_in_another_order_are_refused(tmp_path: Path, axes: str) -> None:
    said = multiscales(axes, [1, 1, 1])
    write_v3(write_group(tmp_path / "ome", {"ome": {"multiscales": said}}) / "0")
    for path in (tmp_path / "ome", write_v3(tmp_path / "plain", dimension_names=list(axes))):
        with pytest.raises(ValueError, match=rf"order z, y, x, got {axes[0]} 7, .*; save it transposed"):
            open_zarr(path)


def test_a_channel_behind_the_plane_is_refused(tmp_path: Path) -> None:
    said = multiscales("zyxc", [1, 1, 1, 1])
    write_v3(write_group(tmp_path / "a", {"ome": {"multiscales": said}}) / "0", ROCK[:1, ..., None], chunk=(1, 3, 4, 1))
    with pytest.raises(ValueError, match="got z 1, y 5, x 6, c 1"):
        open_zarr(tmp_path / "a")


def test_of_several_arrays_one_must_be_named(tmp_path: Path) -> None:
    folder = write_group(tmp_path / "a", {})
    write_v3(folder / "hr")
    np.testing.assert_array_equal(whole(open_zarr(folder)), ROCK)
    write_v3(folder / "lr")
    with pytest.raises(ValueError, match=r"a must hold one array, got 2 \(hr, lr\); open one by its path"):
        open_zarr(folder)
    with pytest.raises(ValueError, match=r"b must hold one array, got 0 \(none\)"):
        open_zarr(write_group(tmp_path / "b", {}))


def test_several_images_are_refused(tmp_path: Path) -> None:
    said = multiscales("zyx", [1, 1, 1]) * 2
    write_v3(write_group(tmp_path / "a", {"ome": {"multiscales": said}}) / "0")
    with pytest.raises(ValueError, match=r"hold one image, got 2 \(core, core\)"):
        open_zarr(tmp_path / "a")


@pytest.mark.parametrize("place", ["../b", "/b", "0/../../b"])
def test_an_array_outside_of_the_folder_is_refused(tmp_path: Path, place: str) -> None:
    write_v3(tmp_path / "b")
    path = str(tmp_path / "b") if place.startswith("/") else place
    write_group(tmp_path / "a", {"ome": {"multiscales": multiscales("zyx", [1, 1, 1], path=path)}})
    (tmp_path / "a" / "0").mkdir()
    with pytest.raises(ValueError, match="a must hold its own arrays"):
        open_zarr(tmp_path / "a")


def test_a_pass_reads_each_chunk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    get = zarr.storage.LocalStore.get

    async def counting(self: Any, key: str, *rest: Any, **options: Any) -> Any:
        read.append(key)
        return await get(self, key, *rest, **options)

    volume = open_zarr(write_v3(tmp_path / "a"))
    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    np.testing.assert_array_equal(whole(volume), ROCK)
    assert sorted(read) == sorted("/".join(("c", *map(str, place))) for place, _ in chunks(ROCK, CHUNK))


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.path, "w")


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_a_pickle_in_a_chunk_is_never_executed(tmp_path: Path, place: str) -> None:
    sentinel = tmp_path / "executed"
    codec = {"id": "pickle", "protocol": 4}
    fields: dict[str, Any] = {place: [codec] if place == "filters" else codec}
    path = write_v2(tmp_path / "a", pack=lambda data: pickle.dumps(Payload(str(sentinel))), **fields)
    with pytest.raises(ValueError, match="a must be packed by known codecs, got pickle"):
        whole(open_zarr(path))
    assert not sentinel.exists()


@pytest.mark.parametrize(
    "codecs",
    [
        [RAW, {"name": "numcodecs.pickle"}],
        [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "pickle"}], "index_codecs": [RAW]}}],
        ["pickle"],
    ],
)
def test_unknown_codecs_are_refused_inside_of_shards_too(tmp_path: Path, codecs: list[Any]) -> None:
    with pytest.raises(ValueError, match="known codecs, got pickle"):
        open_zarr(write_v3(tmp_path / "a", codecs=codecs))


def test_the_metadata_of_an_array_counts_and_no_copy_of_it(tmp_path: Path) -> None:
    folder = write_group(tmp_path / "a", {}, 2)
    write_v2(folder / "0")
    metadata = {"zarr_consolidated_format": 1, "metadata": {}}
    pickled = json.loads((folder / "0" / ".zarray").read_text()) | {"filters": [{"id": "pickle"}]}
    metadata["metadata"] = {".zgroup": {"zarr_format": 2}, "0/.zarray": pickled}
    (folder / ".zmetadata").write_text(json.dumps(metadata))
    np.testing.assert_array_equal(whole(open_zarr(folder)), ROCK)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"data_type": "bool"}, "8 to 64 bits, got bool"),
        ({"data_type": "complex64"}, "8 to 64 bits, got complex64"),
        ({"data_type": "string"}, "8 to 64 bits, got string"),
        ({"data_type": {"name": "struct"}}, "8 to 64 bits"),
        ({"shape": [7, 0, 6]}, "pixels"),
        ({"shape": [7, 5]}, "readable"),
        ({"shape": [-1, 5, 6]}, "must"),
        ({"shape": "7"}, "must"),
        ({"shape": [10**9, 5, 6]}, "100000 slices"),
        ({"shape": [7, 10**6, 10**6]}, "268435456 pixels"),
        (
            {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**11, 2**10, 2**10]}}},
            "2147483648 bytes",
        ),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 3, 4]}}}, "must"),
        ({"node_type": "tree"}, "must"),
        ({"zarr_format": 9}, "readable"),
        ({"codecs": None}, "must"),
        ({"attributes": 3}, "readable"),
        ({"attributes": {"ome": 3}}, "readable"),
        ({"attributes": {"ome": {"multiscales": [{}]}}}, "readable"),
    ],
)
def test_strange_metadata_is_refused_by_name(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    folder = write_v3(tmp_path / "strange")
    (folder / "zarr.json").write_text(json.dumps(json.loads((folder / "zarr.json").read_text()) | fields))
    with pytest.raises(ValueError, match="strange must") as error:
        whole(open_zarr(folder))
    assert reason in str(error.value)


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"[" * 100_000, b"\xff\xfe", b" " * (2**24 + 1)])
def test_broken_metadata_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    folder = write_v3(tmp_path / "broken")
    (folder / "zarr.json").write_bytes(data)
    with pytest.raises(ValueError, match="broken must"):
        open_zarr(folder)


def test_an_array_without_any_chunk_is_refused(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a", shape=(7, 5, 6), chunks=CHUNK, dtype="u2")
    with pytest.raises(ValueError, match="a must hold levels, got an array without a single chunk"):
        open_zarr(tmp_path / "a")


def test_a_chunk_that_is_absent_holds_the_fill_value(tmp_path: Path) -> None:
    folder = write_v3(tmp_path / "a", fill_value=9)
    (folder / "c" / "0" / "1" / "0").unlink()
    levels = whole(open_zarr(folder))
    assert (levels[:2, 3:, :4] == 9).all()
    np.testing.assert_array_equal(levels[2:], ROCK[2:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("keep", [0, 5, 20, 47])
def test_a_truncated_chunk_is_refused_by_name(tmp_path: Path, pack: Callable[[bytes], bytes], keep: int) -> None:
    codecs = [RAW] if pack is bytes else [RAW, {"name": "gzip", "configuration": {"level": 5}}]
    folder = write_v3(tmp_path / "cut", pack=pack, codecs=codecs)
    chunk = folder / "c" / "1" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    with pytest.raises(ValueError, match="cut must"):
        whole(open_zarr(folder))


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v3(tmp_path_factory.mktemp("zarr") / "fuzzed")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_metadata_is_read_or_refused_by_name(fuzzed: Path, data: st.DataObject) -> None:
    good = write_v3(fuzzed.parent / "good") if not (fuzzed.parent / "good").exists() else fuzzed.parent / "good"
    metadata = json.loads((good / "zarr.json").read_text())
    junk = st.recursive(
        st.none() | st.booleans() | st.integers(-3, 12) | st.text(max_size=3), lambda x: st.lists(x, max_size=3)
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(metadata)), min_size=1, max_size=2)):
        metadata[key] = data.draw(junk)
    (fuzzed / "zarr.json").write_text(json.dumps(metadata))
    try:
        whole(open_zarr(fuzzed))
    except ValueError as error:
        assert "fuzzed" in str(error)  # noqa: PT017 - either outcome is right


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Zarr folder must be a folder, got .*absent, which is not there"):
        open_zarr(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=r"Zarr folder must be a folder, got .*file, which is a file"):
        open_zarr(tmp_path / "file")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must hold zarr.json, .zarray or .zgroup, got none"):
        open_zarr(tmp_path)


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtraError, match=r'pip install "coresr-data\[zarr\]"'):
        open_zarr(tmp_path)
