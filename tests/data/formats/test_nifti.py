"""NIfTI files written byte by byte from the definition of the header, nifti1.h and nifti2.h."""

import gzip
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.extras import MissingExtraError
from coresr_data.formats.nifti import open_nifti
from coresr_data.volume import Volume

pytest.importorskip("nibabel")

Levels = NDArray[Any]
CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768, "i8": 1024, "u8": 1280}
MM, MICRON, METRE, MM_AND_SECONDS = 2, 3, 1, 2 | 8
ROCK = np.random.default_rng(0).integers(-2000, 2000, (5, 4, 3), dtype=np.int16)  # (z, y, x)


def header(
    shape: tuple[int, ...],
    dtype: str,
    *,
    order: str = "<",
    pixdim: tuple[float, ...] = (1, 1, 1),
    units: int = MM,
    slope: float = 1,
    intercept: float = 0,
    offset: float = 352,
    magic: bytes = b"n+1\0",
) -> bytes:
    """348 bytes; `shape` (x, y, z …)."""
    data = bytearray(348)
    struct.pack_into(f"{order}i", data, 0, 348)
    struct.pack_into(f"{order}8h", data, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(f"{order}hh", data, 70, CODES.get(dtype, 128), 8 * int(dtype[1:]))
    struct.pack_into(f"{order}8f", data, 76, 1, *pixdim, *[0] * (7 - len(pixdim)))
    struct.pack_into(f"{order}3f", data, 108, offset, slope, intercept)
    struct.pack_into("B", data, 123, units)
    data[344:348] = magic
    return bytes(data)


def header2(shape: tuple[int, ...], dtype: str, pixdim: tuple[float, ...], units: int) -> bytes:
    """NIfTI-2: 540 bytes, big-endian."""
    data = bytearray(540)
    struct.pack_into(">i8s", data, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into(">hh", data, 12, CODES[dtype], 8 * int(dtype[1:]))
    struct.pack_into(">8q", data, 16, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(">8d", data, 104, 1, *pixdim, *[0] * (7 - len(pixdim)))
    struct.pack_into(">qdd", data, 168, 544, 1, 0)
    struct.pack_into(">i", data, 500, units)
    return bytes(data)


def write(path: Path, levels: Levels, *, order: str = "<", **options: Any) -> Path:
    """`levels` (z, y, x): x varies fastest in the file, as in memory."""
    dtype = levels.dtype.str[1:]
    shape = options.pop("shape", levels.shape[::-1])
    data = header(shape, dtype, order=order, **options) + b"\0\0\0\0" + levels.astype(f"{order}{dtype}").tobytes()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def whole(volume: Volume) -> Levels:
    return np.stack([volume[index] for index in range(len(volume))])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nifti")


@pytest.mark.parametrize("name", ["core.nii", "core.nii.gz"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", CODES)
def test_every_level_arrives_in_its_own_dtype_and_place(tmp_path: Path, dtype: str, order: str, name: str) -> None:
    levels = (ROCK.astype(np.float64) * 1.25 if dtype[0] == "f" else ROCK).astype(dtype)
    volume = open_nifti(write(tmp_path / name, levels, order=order))
    assert (volume.dtype, volume.dtype.isnative, volume.size) == (levels.dtype, True, (4, 3))
    np.testing.assert_array_equal(whole(volume), levels)


def test_a_volume_says_what_it_is(tmp_path: Path) -> None:
    volume = open_nifti(write(tmp_path / "plug 7.nii.gz", ROCK))
    assert volume.core == "plug 7"
    assert volume.names[3] == "plug 7.nii.gz[3]"
    assert volume.numbers == (0, 1, 2, 3, 4)
    assert volume.sources == (tmp_path / "plug 7.nii.gz",)
    assert set(volume.stamps) == set(volume.sources)


@pytest.mark.parametrize(
    ("units", "micrometres"), [(MM, 1000), (MM_AND_SECONDS, 1000), (MICRON, 1), (METRE, 1e6), (0, None)]
)
def test_the_voxel_is_known_where_there_is_a_unit(tmp_path: Path, units: int, micrometres: float | None) -> None:
    volume = open_nifti(write(tmp_path / "a.nii", ROCK, pixdim=(0.00223, 0.5, 3.0), units=units))
    expected = None if micrometres is None else (3.0 * micrometres, 0.5 * micrometres, 0.00223 * micrometres)
    assert volume.voxel_um == expected


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_voxel_without_sides_is_unknown(tmp_path: Path, bad: float) -> None:
    assert open_nifti(write(tmp_path / "a.nii", ROCK, pixdim=(1, 1, bad))).voxel_um is None


def test_nifti_2_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(header2((3, 4, 5), "i2", (2.5, 2.5, 4), MICRON) + b"\0\0\0\0" + ROCK.astype(">i2").tobytes())
    volume = open_nifti(path)
    assert volume.voxel_um == (4.0, 2.5, 2.5)
    np.testing.assert_array_equal(whole(volume), ROCK)


def test_a_whole_slope_and_intercept_keep_integers_exact(tmp_path: Path) -> None:
    stored = np.arange(60, dtype=np.uint16).reshape(5, 4, 3) + 65476
    volume = open_nifti(write(tmp_path / "a.nii", stored, slope=2, intercept=-1024))
    assert volume.dtype == np.int32
    np.testing.assert_array_equal(whole(volume), stored.astype(int) * 2 - 1024)


def test_a_broken_slope_gives_floats(tmp_path: Path) -> None:
    volume = open_nifti(write(tmp_path / "a.nii", ROCK, slope=0.5, intercept=0.25))
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(whole(volume), ROCK / 2 + 0.25)


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_no_slope_means_levels_as_stored(tmp_path: Path, slope: float) -> None:
    volume = open_nifti(write(tmp_path / "a.nii", ROCK, slope=slope, intercept=7))
    np.testing.assert_array_equal(whole(volume), ROCK)


def test_a_single_volume_in_four_dimensions_is_read_and_two_are_refused(tmp_path: Path) -> None:
    np.testing.assert_array_equal(whole(open_nifti(write(tmp_path / "a.nii", ROCK, shape=(3, 4, 5, 1)))), ROCK)
    with pytest.raises(ValueError, match=r"two.nii must hold one 2-D or 3-D volume, got shape 3×4×5×2; save one"):
        open_nifti(write(tmp_path / "two.nii", np.stack([ROCK, ROCK]), shape=(3, 4, 5, 2)))


def test_a_plane_is_one_slice_of_cubes(tmp_path: Path) -> None:
    volume = open_nifti(write(tmp_path / "a.nii", ROCK[0], pixdim=(0.5, 0.5)))
    assert (len(volume), volume.voxel_um) == (1, (500.0, 500.0, 500.0))
    np.testing.assert_array_equal(volume[0], ROCK[0])


def test_going_through_a_gz_decodes_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    class Counting(gzip.GzipFile):
        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            decoded.append(len(data))
            return data

    levels = np.random.default_rng(1).integers(0, 256, (200, 10, 10), dtype=np.uint8)
    path = write(tmp_path / "a.nii.gz", levels)
    monkeypatch.setattr(gzip, "open", Counting)
    volume = open_nifti(path)
    np.testing.assert_array_equal(whole(volume), levels)
    np.testing.assert_array_equal(volume[20], levels[20])  # and back
    assert sum(decoded) <= 540 + 352 + levels.nbytes + 2 * (352 + 2 * 100) + 352 + 21 * 100


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "begin with a NIfTI header"),
        (b"<!DOCTYPE html><html>" + b" " * 500, "begin with a NIfTI header"),
        (b"\x1f\x8b\x08", "readable"),
        (header((3, 4, 5), "i2"), "be 472 bytes long, as its header says, got 348"),
        (header((3, 4, 5), "i2") + bytes(4 + 119), "be 472 bytes long, as its header says, got 471"),
        (header((3, 4, 5), "i2") + bytes(4 + 121), "be 472 bytes long, as its header says, got 473"),
        (header((3, 4, 5), "x3") + bytes(4 + 180), "grey levels"),
        (header((3, 4, 5), "x3", slope=2) + bytes(4 + 180), "grey levels"),
        (header((3,), "i2") + bytes(4 + 6), "one 2-D or 3-D volume, got shape 3;"),
        (header((3, 4, 0), "i2") + bytes(4), "pixels"),
        (header((3, 4, -5), "i2") + bytes(4), "pixels"),
        (header((3, 4, 5), "i2", magic=b"ni1\0") + bytes(124), "save it as .nii"),
        (header((3, 4, 5), "i2", offset=float("inf")) + bytes(124), "readable"),
        (header((3, 4, 5), "i2", offset=4) + bytes(124), "say where its levels start, got byte 4"),
        (header((32767, 32767, 9), "i2") + bytes(124), "268435456 pixels"),
        (gzip.compress(header((3000, 3000, 9), "i2") + bytes(124)), "1000 times"),
        (gzip.compress(header((3, 4, 5), "i2") + bytes(4 + 119)), "hold 5 slices, got 4"),
        (gzip.compress(header((3, 4, 5), "i2") + bytes(4 + 121)), "end after 5 slices"),
        (gzip.compress(header((3, 4, 5), "i2") + bytes(124))[:-9], "readable"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "broken.nii"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="broken.nii must") as error:
        whole(open_nifti(path))
    assert reason in str(error.value)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 347), junk=st.binary(min_size=1, max_size=8), packed=st.booleans())
def test_any_header_is_read_or_refused_by_name(folder: Path, at: int, junk: bytes, packed: bool) -> None:
    data = header((3, 4, 5), "i2") + bytes(4) + ROCK.tobytes()
    data = data[:at] + junk + data[at + len(junk) :]
    path = folder / "fuzzed.nii"
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    try:
        whole(open_nifti(path))
    except ValueError as error:
        assert "fuzzed.nii" in str(error)  # noqa: PT017 - either outcome is right


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_flipped_bit_in_a_gz_is_never_passed_on_as_rock(folder: Path, data: st.DataObject) -> None:
    path = write(folder / "flipped.nii.gz", ROCK)
    stored = bytearray(path.read_bytes())
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(stored)
    try:
        np.testing.assert_array_equal(whole(open_nifti(path)), ROCK)
    except ValueError as error:
        assert "flipped.nii.gz" in str(error)  # noqa: PT017 - either outcome is right


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"NIfTI file must be a file, got .*absent.nii, which is not there"):
        open_nifti(tmp_path / "absent.nii")


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r'pip install "coresr-data\[nifti\]"'):
        open_nifti(tmp_path / "a.nii")


def test_nibabel_reads_the_same_levels(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    path = write(tmp_path / "a.nii.gz", ROCK, slope=0.125, intercept=3)
    np.testing.assert_array_equal(whole(open_nifti(path)), nibabel.load(path).get_fdata().T)
