"""NRRD files written line by line from the definition of the format."""

import bz2
import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.nrrd import open_nrrd
from coresr_data.volume import Volume

pytest.importorskip("nrrd")

Levels = NDArray[Any]
ROCK = np.random.default_rng(0).integers(-2000, 2000, (5, 4, 3), dtype=np.int16)  # (z, y, x)
TYPES = {
    "int8": "i1",
    "uchar": "u1",
    "short": "i2",
    "unsigned short": "u2",
    "int": "i4",
    "uint32": "u4",
    "longlong": "i8",
    "uint64": "u8",
    "float": "f4",
    "double": "f8",
}
FIELDS = {"type": "short", "dimension": "3", "sizes": "3 4 5", "endian": "little", "encoding": "raw"}
PACK: dict[str, Callable[[bytes], bytes]] = {
    "raw": bytes,
    "gzip": gzip.compress,
    "gz": gzip.compress,
    "bzip2": bz2.compress,
    "bz2": bz2.compress,
}


def head(**fields: str | None) -> bytes:
    """The magic line and the fields, `_` for a space, None for none; the first axis is x."""
    said = FIELDS | {name.replace("_", " "): value for name, value in fields.items()}
    lines = [
        "NRRD0005",
        "# written by a test",
        *(f"{name}: {value}" for name, value in said.items() if value is not None),
    ]
    return "\n".join(lines).encode() + b"\n"


def write(path: Path, levels: Levels = ROCK, **fields: Any) -> Path:
    """Header and little-endian levels (z, y, x) in one file."""
    path.write_bytes(head(**fields) + b"\n" + PACK[fields.get("encoding") or "raw"](levels.tobytes()))
    return path


def whole(volume: Volume) -> Levels:
    return np.stack([volume[index] for index in range(len(volume))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nrrd")


@pytest.mark.parametrize("endian", ["little", "big"])
@pytest.mark.parametrize("said", TYPES)
def test_every_level_arrives_in_its_own_dtype_and_place(tmp_path: Path, said: str, endian: str) -> None:
    levels = (ROCK.astype(np.float64) * 1.25 if TYPES[said][0] == "f" else ROCK).astype(TYPES[said])
    path = write(tmp_path / "a.nrrd", levels.astype(levels.dtype.newbyteorder(endian)), type=said, endian=endian)  # type: ignore[arg-type]  # a word that numpy knows
    volume = open_nrrd(path)
    assert (volume.dtype, volume.dtype.isnative, volume.size) == (levels.dtype, True, (4, 3))
    np.testing.assert_array_equal(whole(volume), levels)


@pytest.mark.parametrize("encoding", PACK)
def test_every_encoding_holds_the_same_levels(tmp_path: Path, encoding: str) -> None:
    np.testing.assert_array_equal(whole(open_nrrd(write(tmp_path / "a.nrrd", encoding=encoding))), ROCK)


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("name", ["a.raw", "./a.raw"])
def test_a_data_file_beside_its_header_is_read(tmp_path: Path, encoding: str, name: str) -> None:
    (tmp_path / "a.raw").write_bytes(PACK[encoding](ROCK.tobytes()))
    (tmp_path / "plug.nhdr").write_bytes(head(encoding=encoding, data_file=name))
    volume = open_nrrd(tmp_path / "plug.nhdr")
    assert (volume.core, volume.names[2], volume.sources) == ("plug", "plug.nhdr[2]", (tmp_path / "a.raw",))
    np.testing.assert_array_equal(whole(volume), ROCK)


def test_bytes_before_the_levels_are_skipped(tmp_path: Path) -> None:
    for encoding, skip in (("raw", "7"), ("raw", "-1"), ("gzip", "7")):
        data = head(encoding=encoding, byte_skip=skip) + b"\n" + PACK[encoding](b"skipped" + ROCK.tobytes())
        (tmp_path / "a.nrrd").write_bytes(data)
        np.testing.assert_array_equal(whole(open_nrrd(tmp_path / "a.nrrd")), ROCK)


def test_a_header_with_windows_line_ends_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes((head() + b"\n").replace(b"\n", b"\r\n") + ROCK.tobytes())
    np.testing.assert_array_equal(whole(open_nrrd(tmp_path / "a.nrrd")), ROCK)


MICRO, MU = "µm", "μm"  # two letters of Unicode that look the same


@pytest.mark.parametrize(
    ("unit", "micrometres"), [("mm", 1000), ("um", 1), (MICRO, 1), (MU, 1), ("m", 1e6), ("nm", 1e-3)]
)
def test_the_voxel_is_spacings_times_units(tmp_path: Path, unit: str, micrometres: float) -> None:
    volume = open_nrrd(write(tmp_path / "a.nrrd", spacings="1 2 4", units=f'"{unit}" "{unit}" "{unit}"'))
    assert volume.voxel_um == (4 * micrometres, 2 * micrometres, 1 * micrometres)


def test_the_voxel_is_the_length_of_space_directions(tmp_path: Path) -> None:
    oblique: dict[str, Any] = {"space_directions": "(0.3,0.4,0) (0,0,2) (-4,3,0)", "space": "right-anterior-superior"}
    volume = open_nrrd(write(tmp_path / "a.nrrd", space_units='"mm" "mm" "mm"', **oblique))
    assert volume.voxel_um == (5000.0, 2000.0, 500.0)
    assert open_nrrd(write(tmp_path / "b.nrrd", **oblique)).voxel_um is None  # no unit is said


@pytest.mark.parametrize(
    "fields",
    [
        {"spacings": "1 2 nan", "units": '"mm" "mm" "mm"'},
        {"spacings": "1 2 inf", "units": '"mm" "mm" "mm"'},
        {"spacings": "1 2 0", "units": '"mm" "mm" "mm"'},
        {"spacings": "1 2 3", "units": '"mm" "mm" "parsec"'},
        {"spacings": "1 2 3"},
        {},
    ],
)
def test_a_voxel_without_sides_or_units_is_unknown(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert open_nrrd(write(tmp_path / "a.nrrd", **fields)).voxel_um is None


def test_a_plane_is_one_slice_of_cubes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nrrd", ROCK[0], dimension="2", sizes="3 4", spacings="2 2", units='"um" "um"')
    volume = open_nrrd(path)
    assert (len(volume), volume.voxel_um) == (1, (2.0, 2.0, 2.0))
    np.testing.assert_array_equal(volume[0], ROCK[0])


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.raw", "sub/a.raw", "LIST", "a%03d.raw 1 5 1", "c:\\a.raw"])
def test_a_data_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.raw").write_bytes(ROCK.tobytes())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.raw").write_bytes(ROCK.tobytes())
    (tmp_path / "sub" / "b.nhdr").write_bytes(head(data_file=name))
    with pytest.raises(ValueError, match=r"b.nhdr must name one data file beside it, got .*; put it there"):
        open_nrrd(tmp_path / "sub" / "b.nhdr")


def test_a_data_file_that_links_to_elsewhere_is_refused_and_one_beside_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(ROCK.tobytes())
    for folder, target in ((tmp_path / "sub", "../a.raw"), (tmp_path, "a.raw")):
        folder.mkdir(exist_ok=True)
        (folder / "link.raw").symlink_to(target)
        (folder / "b.nhdr").write_bytes(head(data_file="link.raw"))
    with pytest.raises(
        ValueError, match=r"b.nhdr must name a data file beside it, got 'link.raw', a link to elsewhere"
    ):
        open_nrrd(tmp_path / "sub" / "b.nhdr")
    np.testing.assert_array_equal(whole(open_nrrd(tmp_path / "b.nhdr")), ROCK)


def test_a_data_file_that_is_absent_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "b.nhdr").write_bytes(head(data_file="lost.raw"))
    with pytest.raises(FileNotFoundError, match=r"data file of .*b.nhdr must be a file, got .*lost.raw"):
        open_nrrd(tmp_path / "b.nhdr")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "block", "block_size": "4"}, "grey levels, got type block"),
        ({"type": "complex"}, "grey levels, got type complex"),
        ({"endian": None}, "endian is little or big"),
        ({"encoding": "ascii"}, "encoded raw, gzip or bzip2, got ascii"),
        ({"encoding": "hex"}, "encoded raw, gzip or bzip2, got hex"),
        ({"encoding": "gzip", "byte_skip": "-1"}, "byte skip -1"),
        ({"line_skip": "1"}, "no line skip"),
        ({"byte_skip": "-2"}, "byte skip"),
        ({"dimension": "4", "sizes": "3 4 5 1"}, "2 or 3 axes of space, got sizes 3×4×5×1"),
        ({"dimension": "2"}, "2 or 3 axes of space"),
        ({"kinds": "RGB-color domain domain"}, "rgb-color"),
        ({"sizes": "3 4 0"}, "pixels"),
        ({"sizes": "3 4 -5"}, "pixels"),
        ({"sizes": "3 4 6"}, "bytes long, as its header says"),
        ({"sizes": "3 4 4"}, "bytes long, as its header says"),
        ({"sizes": "99999 99999 5"}, "268435456 pixels"),
        ({"sizes": "1 1 999999999"}, "100000 slices"),
        ({"sizes": None}, "readable"),
        ({"encoding": "gzip", "sizes": "3000 4000 5"}, "1000 times"),
        ({"encoding": "gzip", "sizes": "3 4 6"}, "hold 6 slices, got 5"),
        ({"encoding": "gzip", "sizes": "3 4 4"}, "end after 4 slices"),
    ],
)
def test_a_strange_header_is_refused_by_name(tmp_path: Path, fields: dict[str, str | None], reason: str) -> None:
    data = head(**fields) + b"\n" + PACK.get(fields.get("encoding") or "raw", bytes)(ROCK.tobytes())
    (tmp_path / "strange.nrrd").write_bytes(data)
    with pytest.raises(ValueError, match="strange.nrrd must") as error:
        whole(open_nrrd(tmp_path / "strange.nrrd"))
    assert reason in str(error.value)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"NRRD0005", b"NRRD0005\n\n", b"NRRD0009\n\n", b"NRRD0005\nsizes\n\n"]
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.nrrd").write_bytes(data)
    with pytest.raises(ValueError, match="broken.nrrd must"):
        open_nrrd(tmp_path / "broken.nrrd")


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("encoding", ["raw", "gzip", "bzip2"])
def test_a_truncated_file_is_refused_by_name(tmp_path: Path, encoding: str, keep: float) -> None:
    path = write(tmp_path / "cut.nrrd", encoding=encoding)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ValueError, match="cut.nrrd must"):
        whole(open_nrrd(path))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 120), junk=st.binary(min_size=1, max_size=6), encoding=st.sampled_from(["raw", "gzip"]))
def test_any_header_is_read_or_refused_by_name(folder: Path, at: int, junk: bytes, encoding: str) -> None:
    path = write(folder / "fuzzed.nrrd", encoding=encoding, spacings="1 2 3", units='"mm" "mm" "mm"')
    data = path.read_bytes()
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    try:
        whole(open_nrrd(path))
    except ValueError as error:
        assert "fuzzed.nrrd" in str(error)  # noqa: PT017 - either outcome is right


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nrrd", None)
    with pytest.raises(MissingExtraError, match=r'pip install "coresr-data\[nrrd\]"'):
        open_nrrd(tmp_path / "a.nrrd")


def test_pynrrd_reads_the_same_levels(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd")
    path = write(tmp_path / "a.nrrd", encoding="gzip")
    np.testing.assert_array_equal(whole(open_nrrd(path)), nrrd.read(str(path), index_order="C")[0])
