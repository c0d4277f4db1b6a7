"""MATLAB files as SciPy and HDF5 write them, and v5 files written byte by byte from "MAT-File Format"."""

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.matlab import open_matlab
from coresr_data.volume import Volume

Levels = NDArray[Any]
CLASSES = ["double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
ROCK = np.random.default_rng(0).integers(0, 120, (4, 3, 5))  # MATLAB's A(y, x, z)
MATRIX, COMPRESSED = 14, 15


def as_class(name: str) -> Levels:
    return (ROCK * 1.25).astype(name) if name in ("double", "single") else ROCK.astype(name)


def write_v5(path: Path, *, compressed: bool = False, **variables: Any) -> Path:
    scipy.io.savemat(path, variables, do_compression=compressed)
    return path


def write_v73(path: Path, *, chunks: tuple[int, ...] | None = None, **variables: Levels) -> Path:
    """As MATLAB does: a header of its own before the HDF5 file, axes reversed, classes as attributes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, levels in variables.items():
            item = file.create_dataset(name, data=levels.T, chunks=chunks, compression="gzip" if chunks else None)
            kind = {"float64": "double", "float32": "single", "bool": "logical"}.get(
                levels.dtype.name, levels.dtype.name
            )
            item.attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + struct.pack("<H2s", 0x0200, b"IM"))
    return path


def element(kind: int, data: bytes, order: str) -> bytes:
    if 0 < len(data) <= 4:  # in the tag itself
        return struct.pack(f"{order}I", len(data) << 16 | kind) + data.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(
    size: tuple[int, ...],
    *,
    number: int,
    stored: int,
    values: bytes,
    order: str = "<",
    flags: int = 0,
    name: str = "temp",
) -> bytes:
    body = element(6, struct.pack(f"{order}II", flags | number, 0), order)
    body += element(5, struct.pack(f"{order}{len(size)}i", *size), order)
    body += element(1, name.encode(), order)
    body += element(stored, values, order)
    return struct.pack(f"{order}II", MATRIX, len(body)) + body


def file_of(*elements: bytes, order: str = "<", version: int = 0x0100) -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(f"{order}H", version)
        + {"<": b"IM", ">": b"MI"}[order]
        + b"".join(elements)
    )


def packed(data: bytes, order: str = "<") -> bytes:
    compressed = zlib.compress(data)
    return struct.pack(f"{order}II", COMPRESSED, len(compressed)) + compressed


def whole(volume: Volume) -> Levels:
    """(y, x, z), as MATLAB sees it."""
    return np.stack([volume[index] for index in range(len(volume))], axis=-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matlab")


@pytest.mark.parametrize("name", CLASSES)
def test_every_version_of_one_array_reads_the_same(tmp_path: Path, name: str) -> None:
    levels = as_class(name)
    for path in (
        write_v5(tmp_path / "5.mat", temp=levels),
        write_v5(tmp_path / "7.mat", temp=levels, compressed=True),
        write_v73(tmp_path / "73.mat", temp=levels),
        write_v73(tmp_path / "73c.mat", temp=levels, chunks=(2, 3, 2)),
    ):
        volume = open_matlab(path)
        assert (volume.dtype, volume.size, len(volume), volume.voxel_um) == (levels.dtype, (4, 3), 5, None)
        assert (volume.core, volume.names[4]) == (path.stem, f"{path.name}[4]")
        np.testing.assert_array_equal(whole(volume), levels)


def test_a_plane_is_one_slice_in_every_version(tmp_path: Path) -> None:
    plane = ROCK[..., 0].astype(np.uint8)
    for path in (write_v5(tmp_path / "5.mat", a=plane), write_v73(tmp_path / "73.mat", a=plane)):
        np.testing.assert_array_equal(whole(open_matlab(path)), plane[..., None])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compressed", [False, True])
def test_doubles_stored_as_small_integers_come_back_as_doubles(tmp_path: Path, order: str, *, compressed: bool) -> None:
    levels = ROCK.astype(np.uint16) * 300  # MATLAB stores whole doubles in the smallest type that holds them
    values = levels.astype(f"{order}u2").tobytes(order="F")
    element = matrix((4, 3, 5), number=6, stored=4, values=values, order=order)
    (tmp_path / "a.mat").write_bytes(file_of(packed(element, order) if compressed else element, order=order))
    volume = open_matlab(tmp_path / "a.mat")
    assert volume.dtype == np.float64
    np.testing.assert_array_equal(whole(volume), levels)


def test_an_array_of_four_bytes_lies_in_its_tag(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(file_of(matrix((2, 2), number=9, stored=2, values=bytes([1, 2, 3, 4]))))
    np.testing.assert_array_equal(open_matlab(tmp_path / "a.mat")[0], [[1, 3], [2, 4]])


def test_scalars_and_text_beside_the_array_do_not_disturb(tmp_path: Path) -> None:
    rock = ROCK.astype(np.uint8)
    beside = {"voxel": 2.5, "row": np.arange(9.0), "note": "sandstone", "cells": np.array([[1], "a"], dtype=object)}
    for compressed in (False, True):
        path = write_v5(tmp_path / "5.mat", **beside, temp=rock, more={"a": 1}, compressed=compressed)
        np.testing.assert_array_equal(whole(open_matlab(path)), rock)
    path = write_v73(tmp_path / "73.mat", voxel=np.array([[2.5]]), temp=rock)
    np.testing.assert_array_equal(whole(open_matlab(path)), rock)


def test_what_matlab_keeps_without_a_name_does_not_disturb(tmp_path: Path) -> None:
    own = matrix((4, 4), number=9, stored=2, values=bytes(16), name="")
    (tmp_path / "a.mat").write_bytes(file_of(GOOD, own))
    np.testing.assert_array_equal(whole(open_matlab(tmp_path / "a.mat")), ROCK)


def test_of_several_arrays_one_must_be_named(tmp_path: Path) -> None:
    hr, lr = ROCK.astype(np.uint8), ROCK[:2, :2].astype(np.uint8)
    for path in (write_v5(tmp_path / "5.mat", hr=hr, lr=lr), write_v73(tmp_path / "73.mat", hr=hr, lr=lr)):
        with pytest.raises(ValueError, match=r"got hr \(4×3×5 uint8\), lr \(2×2×5 uint8\); name the variable"):
            open_matlab(path)
        np.testing.assert_array_equal(whole(open_matlab(path, "lr")), lr)
        with pytest.raises(ValueError, match=r"hold variable sr, got hr .*; name another"):
            open_matlab(path, "sr")


@pytest.mark.parametrize(
    ("variable", "kind"),
    [
        (ROCK > 9, "logical"),
        (ROCK * 1j, "complex"),
        ("text", "char"),
        ({"a": ROCK}, "struct"),
        (np.array([[ROCK]], dtype=object), "cell"),
        (np.zeros((2, 2, 2, 2)), "2×2×2×2 float64"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_what_is_no_array_of_numbers_is_refused_in_v5(
    tmp_path: Path, variable: Any, kind: str, *, compressed: bool
) -> None:
    path = write_v5(tmp_path / "a.mat", temp=variable, compressed=compressed)
    with pytest.raises(ValueError, match=rf"a.mat must hold one 2-D or 3-D array of numbers, got temp \(.*{kind}\)"):
        open_matlab(path)
    with pytest.raises(
        ValueError, match=r"a.mat must hold a 2-D or 3-D array of numbers in temp, got .*; name another"
    ):
        open_matlab(path, "temp")


def test_what_is_no_array_of_numbers_is_refused_in_v73(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = write_v73(tmp_path / "a.mat", logical=ROCK > 9)
    with h5py.File(path, "r+") as file:
        file["complex"] = np.zeros((2, 2), [("real", "f8"), ("imag", "f8")])
        file["complex"].attrs["MATLAB_class"] = np.bytes_("double")
        file["plain"] = ROCK
        file["struct/a"] = ROCK
        file["cell"] = np.array([[file["plain"].ref]], dtype=h5py.ref_dtype)
        file["cell"].attrs["MATLAB_class"] = np.bytes_("cell")
        file["empty"] = np.zeros(2, np.uint64)
        file["empty"].attrs["MATLAB_class"] = np.bytes_("double")
        file["empty"].attrs["MATLAB_empty"] = 1
        file.create_dataset("unwritten", (9, 9), "u1").attrs["MATLAB_class"] = np.bytes_("uint8")
        file.create_dataset("huge", (2**17, 2**17), "u1", chunks=(2**16, 2**15 - 1), maxshape=(None, None))
        file["huge"].attrs["MATLAB_class"] = np.bytes_("uint8")
        file["soft"] = h5py.SoftLink("/plain")
        file["outside"] = h5py.ExternalLink("other.mat", "/temp")
    with pytest.raises(ValueError, match=r"one 2-D or 3-D array of numbers") as error:
        open_matlab(path)
    said = str(error.value)
    for words in (
        "logical (4×3×5 logical)",
        "complex (2×2 complex)",
        "plain (5×3×4 without MATLAB's class, so of axes in unknown order)",
        "struct ( struct)",
        "cell (1×1 cell)",
        "empty (2 float64 without levels)",
        "unwritten (9×9 uint8 stored elsewhere or not at all)",
        "soft ( link)",
        "outside ( link)",
    ):
        assert words in said


def test_levels_in_another_file_are_not_fetched(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    (tmp_path / "secret").write_bytes(bytes(16))
    path = write_v73(tmp_path / "a.mat")
    with h5py.File(path, "r+") as file:
        away = [(str(tmp_path / "secret"), 0, 16)]
        file.create_dataset("temp", (4, 4), "u1", external=away).attrs["MATLAB_class"] = np.bytes_("uint8")
    with pytest.raises(ValueError, match="stored elsewhere"):
        open_matlab(path)


def test_going_through_a_compressed_array_inflates_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inflated = []
    make = zlib.decompressobj

    class Counting:
        def __init__(self) -> None:
            self.real = make()

        def decompress(self, data: bytes, most: int) -> bytes:
            found = self.real.decompress(data, most)
            inflated.append(len(found))
            return found

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

    levels = np.random.default_rng(1).integers(0, 256, (40, 40, 100), dtype=np.uint8)
    path = write_v5(tmp_path / "a.mat", temp=levels, compressed=True)
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    np.testing.assert_array_equal(whole(open_matlab(path)), levels)
    assert levels.nbytes <= sum(inflated) <= 1.2 * levels.nbytes + 2**17  # a look at the first slice, buffers


def test_going_through_chunks_reads_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    read = []
    get = h5py.Dataset.__getitem__

    def counting(self: Any, key: Any, *rest: Any) -> Any:
        read.append(key)
        return get(self, key, *rest)

    levels = ROCK.astype(np.uint8)
    path = write_v73(tmp_path / "a.mat", temp=levels, chunks=(2, 3, 2))
    monkeypatch.setattr(h5py.Dataset, "__getitem__", counting)
    np.testing.assert_array_equal(whole(open_matlab(path)), levels)
    assert read == [slice(0, 2), slice(2, 4), slice(4, 5)]


def open_files() -> int:
    """Of this process, where the system says it."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_a_look_at_many_files_keeps_none_open(tmp_path: Path) -> None:
    volumes = [open_matlab(write_v5(tmp_path / f"{n}.mat", temp=ROCK, compressed=True)) for n in range(20)]
    before = open_files()
    for volume in volumes:
        np.testing.assert_array_equal(volume[1], ROCK[..., 1])
    assert open_files() <= before


GOOD = matrix((4, 3, 5), number=9, stored=2, values=ROCK.astype(np.uint8).tobytes(order="F"))
LONG = matrix((4, 3, 6), number=9, stored=2, values=ROCK.astype(np.uint8).tobytes(order="F"))
SHORT = matrix((4, 3, 4), number=9, stored=2, values=ROCK.astype(np.uint8).tobytes(order="F"))
VAST = bytearray(matrix((9000, 9000, 9), number=9, stored=2, values=bytes(9)))
struct.pack_into("<I", VAST, 4, len(VAST) - 8 - 16 + 9000 * 9000 * 9)
struct.pack_into("<I", VAST, len(VAST) - 20, 9000 * 9000 * 9)
NO_CHECKSUM = zlib.compress(GOOD)[:-4]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "version 5, 7 or 7.3"),
        (b"<html>" * 40, "version 5, 7 or 7.3"),
        (file_of(GOOD, version=0x0300), "version 5, 7 or 7.3"),
        (struct.pack("<5i", 0, 4, 3, 0, 5) + b"temp\0" + bytes(96), "version 5, 7 or 7.3"),  # v4
        (file_of(), "no variables"),
        (file_of(GOOD)[:-1], "broken one at byte 128"),
        (file_of(GOOD) + b"\0\0\0", "broken one at byte 256"),
        (file_of(GOOD) + bytes(16), "broken one at byte 256"),
        (file_of(LONG), "variable temp of shape (6, 4, 3) whole, got 60 bytes"),
        (file_of(SHORT), "variable temp of shape (4, 4, 3) whole, got 60 bytes"),
        (file_of(packed(LONG)), "whole, got 60 bytes"),
        (file_of(packed(GOOD[:-5])), "hold 5 slices, got 4"),
        (file_of(packed(GOOD + b"\0")), "end after 5 slices"),
        (file_of(packed(bytes(VAST))), "1000 times"),
        (file_of(struct.pack("<II", COMPRESSED, len(NO_CHECKSUM)) + NO_CHECKSUM), "cut short"),
        (file_of(struct.pack("<II", COMPRESSED, 9) + b"not zlib!"), "readable"),
        (file_of(matrix((4, 3, 0), number=9, stored=2, values=b"")), "pixels"),
        (file_of(matrix((4, -3, -5), number=9, stored=2, values=bytes(60))), "numbers"),
        (file_of(matrix((2, 2), number=9, stored=3, values=struct.pack("<4h", 1, 2, 3, 999))), "as uint8"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "readable"),
        (bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(600), "readable"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    if b"HDF" in data:
        pytest.importorskip("h5py")
    (tmp_path / "broken.mat").write_bytes(data)
    with pytest.raises(ValueError, match="broken.mat must") as error:
        whole(open_matlab(tmp_path / "broken.mat"))
    assert reason in str(error.value)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_hdf5_file_is_refused_by_name(tmp_path: Path, keep: float) -> None:
    path = write_v73(tmp_path / "cut.mat", temp=ROCK, chunks=(2, 3, 2))
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(ValueError, match="cut.mat must"):
        whole(open_matlab(path))


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 199), junk=st.binary(min_size=1, max_size=8), compressed=st.booleans())
def test_any_header_is_read_or_refused_by_name(folder: Path, at: int, junk: bytes, *, compressed: bool) -> None:
    good = file_of(GOOD)
    data = good[:at] + junk + good[at + len(junk) :]
    path = folder / "fuzzed.mat"
    path.write_bytes(data[:128] + packed(data[128:]) if compressed else data)
    try:
        whole(open_matlab(path))
    except ValueError as error:
        assert "fuzzed.mat" in str(error)  # noqa: PT017 - either outcome is right


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_bit_in_a_compressed_array_is_never_passed_on_as_rock(folder: Path, data: st.DataObject) -> None:
    stored = bytearray(file_of(packed(GOOD)))
    stored[data.draw(st.integers(128, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = folder / "flipped.mat"
    path.write_bytes(stored)
    try:
        np.testing.assert_array_equal(whole(open_matlab(path)), ROCK)
    except ValueError as error:
        assert "flipped.mat" in str(error)  # noqa: PT017 - either outcome is right


def test_a_missing_library_is_named_with_its_extra_for_v73_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = write_v5(tmp_path / "5.mat", temp=ROCK), write_v73(tmp_path / "73.mat", temp=ROCK)
    monkeypatch.setitem(sys.modules, "h5py", None)
    np.testing.assert_array_equal(whole(open_matlab(old)), ROCK)
    with pytest.raises(MissingExtraError, match=r'pip install "coresr-data\[matlab\]"'):
        open_matlab(new)
