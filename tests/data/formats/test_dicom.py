"""DICOM files written element by element from the standard (PS3.5 explicit VR, PS3.10), and real ones."""

import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.dicom import dicom_paths, open_dicom
from coresr_data.formats.extras import MissingExtraError
from coresr_data.volume import Volume

pydicom = pytest.importorskip("pydicom")

Levels = NDArray[Any]
ROCK = np.random.default_rng(0).integers(-2000, 2000, (5, 4, 3), dtype=np.int16)  # (z, y, x)
EXPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RLE, JPEG_LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70"
TAGS = {
    "SeriesDescription": (0x0008, 0x103E, "LO"),
    "SliceThickness": (0x0018, 0x0050, "DS"),
    "SpacingBetweenSlices": (0x0018, 0x0088, "DS"),
    "SeriesInstanceUID": (0x0020, 0x000E, "UI"),
    "InstanceNumber": (0x0020, 0x0013, "IS"),
    "ImagePositionPatient": (0x0020, 0x0032, "DS"),
    "ImageOrientationPatient": (0x0020, 0x0037, "DS"),
    "SamplesPerPixel": (0x0028, 0x0002, "US"),
    "PhotometricInterpretation": (0x0028, 0x0004, "CS"),
    "NumberOfFrames": (0x0028, 0x0008, "IS"),
    "Rows": (0x0028, 0x0010, "US"),
    "Columns": (0x0028, 0x0011, "US"),
    "PixelSpacing": (0x0028, 0x0030, "DS"),
    "BitsAllocated": (0x0028, 0x0100, "US"),
    "BitsStored": (0x0028, 0x0101, "US"),
    "HighBit": (0x0028, 0x0102, "US"),
    "PixelRepresentation": (0x0028, 0x0103, "US"),
    "RescaleIntercept": (0x0028, 0x1052, "DS"),
    "RescaleSlope": (0x0028, 0x1053, "DS"),
    "ModalityLUTSequence": (0x0028, 0x3000, "SQ"),
    "SharedFunctionalGroupsSequence": (0x5200, 0x9229, "SQ"),
    "PixelData": (0x7FE0, 0x0010, "OW"),
}


def element(group: int, number: int, kind: str, value: Any, order: str = "<") -> bytes:
    if kind == "US":
        data = struct.pack(f"{order}H", value)
    else:
        data = value if isinstance(value, bytes) else str(value).encode()
        data += (b"\0" if kind in ("UI", "OW", "SQ") else b" ") * (len(data) % 2)
    length = struct.pack(f"{order}HI", 0, len(data)) if kind in ("OW", "SQ") else struct.pack(f"{order}H", len(data))
    return struct.pack(f"{order}HH2s", group, number, kind.encode()) + length + data


def pixels(levels: Levels, order: str) -> bytes:
    """As OW: words of 16 bits in the order of the file, with two pixels of 8 bits in a word."""
    data = levels.astype(levels.dtype.newbyteorder("<")).tobytes() + b"\0" * (levels.nbytes % 2)
    if order == "<":
        return data
    return np.frombuffer(data, f"<u{max(2, levels.itemsize)}").byteswap().tobytes()


def dicom(levels: Levels, *, syntax: str = EXPLICIT, **said: Any) -> bytes:
    """One file of `(y, x)` levels, or frames `(n, y, x)`; a field of None is left out."""
    order = ">" if syntax == BIG else "<"
    fields = {
        "SeriesInstanceUID": "1.2.3",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "NumberOfFrames": levels.shape[0] if levels.ndim == 3 else None,
        "Rows": levels.shape[-2],
        "Columns": levels.shape[-1],
        "BitsAllocated": 8 * levels.itemsize,
        "BitsStored": 8 * levels.itemsize,
        "HighBit": said.get("BitsStored", 8 * levels.itemsize) - 1,
        "PixelRepresentation": int(levels.dtype.kind == "i"),
        "PixelData": pixels(levels, order),
    } | said
    known = sorted((*TAGS[name], value) for name, value in fields.items() if value is not None)
    body = b"".join(element(*tag, order) for tag in known)
    if syntax == DEFLATED:
        packer = zlib.compressobj(wbits=-15)
        body = packer.compress(body) + packer.flush()
    meta = element(0x0002, 0x0010, "UI", syntax)
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta + body


def write_series(folder: Path, levels: Levels = ROCK, *, numbers: list[int] | None = None, **said: Any) -> Path:
    """`plug_0.dcm` … in an order of names that is not that of the depths, 0.5 mm apart along z."""
    folder.mkdir()
    for index, one in enumerate(levels):
        place: dict[str, Any] = {
            "ImagePositionPatient": f"-7\\3\\{10 + 0.5 * index}",
            "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        }
        number: dict[str, Any] = {"InstanceNumber": (numbers or list(range(11, 99)))[index], "PixelSpacing": "0.4\\0.3"}
        (folder / f"plug_{7 * index % 5}.dcm").write_bytes(dicom(one, **place | number | said))
    return folder


def whole(volume: Volume) -> Levels:
    return np.stack([volume[index] for index in range(len(volume))])


def test_the_levels_of_a_real_core_are_those_that_pydicom_reads(real_data: Path) -> None:
    folder = real_data / "core-ct"
    volume = open_dicom(folder)
    assert volume.core == "core-ct"
    assert volume.numbers == (500, 501, 502, 503)
    assert volume.names == tuple(f"PAT_4636_39L_0001_000{number}.dcm" for number in volume.numbers)
    assert (volume.dtype, volume.size) == (np.dtype("i2"), (512, 512))
    assert volume.voxel_um == (500.0, 430.0, 430.0)
    for index, name in enumerate(volume.names):
        np.testing.assert_array_equal(volume[index], pydicom.dcmread(folder / name).pixel_array)
    assert whole(volume).min() == -8300


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
def test_every_level_arrives_in_its_own_dtype_and_place(tmp_path: Path, dtype: str, syntax: str) -> None:
    levels = ROCK.astype(dtype)
    volume = open_dicom(write_series(tmp_path / "plug", levels, syntax=syntax))
    assert (volume.core, volume.dtype, volume.dtype.isnative, volume.size) == ("plug", levels.dtype, True, (4, 3))
    assert set(volume.stamps) == set(volume.sources)
    np.testing.assert_array_equal(whole(volume), levels)


def test_slices_are_ordered_by_depth_and_numbered_by_their_instances(tmp_path: Path) -> None:
    volume = open_dicom(write_series(tmp_path / "up"))
    assert volume.names == ("plug_0.dcm", "plug_2.dcm", "plug_4.dcm", "plug_1.dcm", "plug_3.dcm")
    assert volume.numbers == (11, 12, 13, 14, 15)
    assert volume.voxel_um == (500.0, 400.0, 300.0)
    down = open_dicom(write_series(tmp_path / "down", numbers=[9, 8, 7, 6, 5]))
    assert down.numbers == (5, 6, 7, 8, 9)
    np.testing.assert_array_equal(whole(down), ROCK[::-1])


@pytest.mark.parametrize("numbers", [[1, 3, 5, 7, 9], [9, 7, 5, 3, 1], [2, 5, 7, 8, 9]])
def test_slices_side_by_side_are_numbered_so_whatever_their_instances_skip(tmp_path: Path, numbers: list[int]) -> None:
    volume = open_dicom(write_series(tmp_path / "a", numbers=numbers))
    assert (volume.numbers, volume.voxel_um) == ((0, 1, 2, 3, 4), (500.0, 400.0, 300.0))
    np.testing.assert_array_equal(whole(volume), ROCK if numbers[0] < numbers[-1] else ROCK[::-1])


@pytest.mark.parametrize("numbers", [[1, 1, 1, 1, 1], [1, 3, 2, 4, 5], [-1, 0, 1, 2, 3]])
def test_instance_numbers_that_do_not_follow_the_depth_are_passed_over(tmp_path: Path, numbers: list[int]) -> None:
    volume = open_dicom(write_series(tmp_path / "a", numbers=numbers))
    assert volume.numbers == (0, 1, 2, 3, 4)
    np.testing.assert_array_equal(whole(volume), ROCK)


def test_depth_is_along_the_normal_of_the_slices(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for index, one in enumerate(ROCK):  # rows count along z, columns along x: the normal is y
        place: dict[str, Any] = {
            "ImagePositionPatient": f"5\\{-2 * index}\\9",
            "ImageOrientationPatient": "0\\0\\1\\1\\0\\0",
        }
        (tmp_path / "a" / f"{index}.dcm").write_bytes(dicom(one, PixelSpacing="1\\1", **place))
    volume = open_dicom(tmp_path / "a")
    assert volume.voxel_um == (2000.0, 1000.0, 1000.0)
    np.testing.assert_array_equal(whole(volume), ROCK[::-1])  # y falls


def test_without_positions_instances_give_the_order_and_the_header_the_distance(tmp_path: Path) -> None:
    nowhere: dict[str, Any] = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SliceThickness": "2"}
    volume = open_dicom(write_series(tmp_path / "a", numbers=[5, 4, 3, 1, 0], **nowhere))
    assert (volume.numbers, volume.voxel_um) == ((0, 1, 3, 4, 5), (2000.0, 400.0, 300.0))
    np.testing.assert_array_equal(whole(volume), ROCK[::-1])
    overlapping = open_dicom(write_series(tmp_path / "b", SpacingBetweenSlices="1.5", **nowhere))
    assert overlapping.voxel_um == (1500.0, 400.0, 300.0)
    with pytest.raises(ValueError, match=r"positions or instance numbers of their own, got neither in .*c; save"):
        open_dicom(write_series(tmp_path / "c", numbers=[1, 2, 2, 3, 4], **nowhere))


def test_the_voxel_is_unknown_without_spacing(tmp_path: Path) -> None:
    assert open_dicom(write_series(tmp_path / "a", PixelSpacing=None)).voxel_um is None
    (tmp_path / "one.dcm").write_bytes(dicom(ROCK[0], PixelSpacing="1\\1"))
    assert open_dicom(tmp_path / "one.dcm").voxel_um is None


def test_a_missing_slice_is_refused_with_its_place(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "gap")
    (folder / "plug_1.dcm").unlink()
    with pytest.raises(
        ValueError, match=r"got 1 mm between plug_4.dcm and plug_3.dcm, 0.5 mm elsewhere, in .*gap; add"
    ):
        open_dicom(folder)


def test_two_slices_at_one_place_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a")
    (folder / "twin.dcm").write_bytes((folder / "plug_4.dcm").read_bytes())
    with pytest.raises(ValueError, match=r"evenly apart, got 0 mm between plug_4.dcm and twin.dcm"):
        open_dicom(folder)
    with pytest.raises(ValueError, match=r"evenly apart, got 0 mm"):
        open_dicom(write_series(tmp_path / "b", ImagePositionPatient="0\\0\\0"))


def test_rounded_positions_are_even(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for index, one in enumerate(ROCK):
        place: dict[str, Any] = {
            "ImagePositionPatient": f"0\\0\\{0.625 * index:.2f}",
            "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        }
        (tmp_path / "a" / f"{index}.dcm").write_bytes(dicom(one, PixelSpacing="1\\1", **place))
    assert open_dicom(tmp_path / "a").voxel_um == (625.0, 1000.0, 1000.0)


def test_slices_that_are_not_parallel_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a")
    place: dict[str, Any] = {
        "ImagePositionPatient": "0\\0\\0",
        "ImageOrientationPatient": "1\\0\\0\\0\\0\\1",
        "PixelSpacing": "0.4\\0.3",
    }
    (folder / "scout.dcm").write_bytes(dicom(ROCK[0], **place))
    with pytest.raises(ValueError, match="slices must be parallel"):
        open_dicom(folder)
    (folder / "scout.dcm").write_bytes(dicom(ROCK[0], PixelSpacing="0.4\\0.3"))
    with pytest.raises(ValueError, match="slices must all have a position, or none, got 5 of 6"):
        open_dicom(folder)


def test_several_series_are_refused_with_their_list(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a", SeriesDescription="Core 0.5")
    (folder / "other.dcm").write_bytes(dicom(ROCK[0], SeriesInstanceUID="9.9"))
    held = r"got 2: without a description \(1 files, other.dcm …\); Core 0.5 \(5 files, plug_0.dcm …\); give each"
    with pytest.raises(ValueError, match=held):
        open_dicom(folder)


@pytest.mark.parametrize(
    "said",
    [
        {"RescaleSlope": "2"},
        {"RescaleIntercept": "-1"},
        {"PixelSpacing": "0.4\\0.31"},
        {"PixelRepresentation": 0},
        {"BitsStored": 12, "RescaleIntercept": "5"},
        {"Rows": 3, "Columns": 4},
    ],
)
def test_a_slice_unlike_the_others_is_refused_by_name(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = write_series(tmp_path / "a")
    place: dict[str, Any] = {
        "ImagePositionPatient": "0\\0\\12.5",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "PixelSpacing": "0.4\\0.3",
    }
    (folder / "x.dcm").write_bytes(dicom(ROCK[0], **place | said))
    with pytest.raises(
        ValueError, match=r"x.dcm must be 4×3 int16 × 1 \+ 0, pixels .*, like plug_0.dcm, got .*; remove"
    ):
        open_dicom(folder)


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "becomes"),
    [
        (("u2", 12), 1, -1024, "i2"),
        (("u2", 16), 1, -1024, "i4"),
        (("u2", 12), 2, 0, "u2"),
        (("i2", 16), 1, 0, "i2"),
        (("i2", 16), -1, 0, "i4"),
        (("u1", 8), 1, 1000, "i2"),
        (("u2", 16), 0.5, 0, "f4"),
        (("u2", 16), 1, 0.25, "f4"),
    ],
)
def test_rescaled_levels_are_exact(
    tmp_path: Path, stored: tuple[str, int], slope: float, intercept: float, becomes: str
) -> None:
    dtype, bits = stored
    low = 0 if dtype[0] == "u" else -(1 << (bits - 1))
    values = np.linspace(low, low + (1 << bits) - 1, ROCK.size).round().astype(dtype).reshape(ROCK.shape)
    said: dict[str, Any] = {"BitsStored": bits, "RescaleSlope": f"{slope:.6f}", "RescaleIntercept": intercept}
    volume = open_dicom(write_series(tmp_path / "a", values, **said))
    assert volume.dtype == np.dtype(becomes)
    np.testing.assert_array_equal(whole(volume), values.astype(float) * slope + intercept)


def test_bits_above_those_stored_are_no_part_of_the_level(tmp_path: Path) -> None:
    signed = np.array([[-2048, -1], [0, 2047]], np.int16)
    (tmp_path / "a.dcm").write_bytes(dicom((signed & 0x0FFF) | 0x5000, BitsStored=12))
    np.testing.assert_array_equal(open_dicom(tmp_path / "a.dcm")[0], signed)


def test_an_odd_number_of_bytes_is_padded(tmp_path: Path) -> None:
    levels = np.arange(15, dtype=np.uint8).reshape(3, 5)
    (tmp_path / "a.dcm").write_bytes(dicom(levels))
    np.testing.assert_array_equal(open_dicom(tmp_path / "a.dcm")[0], levels)


def test_frames_of_one_file_are_slices(tmp_path: Path) -> None:
    path = tmp_path / "plug.dcm"
    path.write_bytes(dicom(ROCK, PixelSpacing="0.4\\0.3", SpacingBetweenSlices="-2", RescaleIntercept="7"))
    volume = open_dicom(path)
    assert (volume.core, volume.names[4], volume.numbers) == ("plug", "plug.dcm[4]", (0, 1, 2, 3, 4))
    assert volume.voxel_um == (2000.0, 400.0, 300.0)
    np.testing.assert_array_equal(whole(volume), ROCK.astype(int) + 7)
    (tmp_path / "one.dcm").write_bytes(dicom(ROCK[0], PixelSpacing="0.4\\0.3", InstanceNumber=9))
    with pytest.raises(ValueError, match=r"plug.dcm must hold one frame .*, got 5; give it a folder"):
        open_dicom(tmp_path)


def test_a_single_file_is_one_slice(tmp_path: Path) -> None:
    (tmp_path / "one.dcm").write_bytes(dicom(ROCK[0], PixelSpacing="0.4\\0.3", SliceThickness="1", InstanceNumber=9))
    volume = open_dicom(tmp_path / "one.dcm")
    assert (volume.core, volume.names, volume.numbers) == ("one", ("one.dcm",), (9,))
    assert volume.voxel_um == (1000.0, 400.0, 300.0)
    np.testing.assert_array_equal(volume[0], ROCK[0])


def rle(levels: Levels) -> bytes:
    """Each byte plane a segment (high bytes first) of literal runs, PS3.5 G; in a fragment after an empty table."""
    planes = [levels.astype(">u2").view(np.uint8).reshape(-1, 2)[:, byte].tobytes() for byte in (0, 1)]
    segments = [bytes([len(plane) - 1]) + plane for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    data = struct.pack("<16I", 2, 64, 64 + len(segments[0]), *[0] * 13) + b"".join(segments)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def test_run_lengths_are_decoded(tmp_path: Path) -> None:
    data = bytearray(dicom(ROCK[0], syntax=RLE, PixelData=rle(ROCK[0])))
    at = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    struct.pack_into("<2sHI", data, at + 4, b"OB", 0, 0xFFFFFFFF)
    (tmp_path / "a.dcm").write_bytes(data)
    np.testing.assert_array_equal(open_dicom(tmp_path / "a.dcm")[0], ROCK[0])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "low as black (MONOCHROME2), got MONOCHROME1 of 1 samples"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "got RGB of 3 samples; convert it"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "got PALETTE COLOR"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "8, 16 or 32 bits, the low ones used, got 1 of 1"),
        ({"BitsStored": 12, "HighBit": 15}, "the low ones used, got 12 of 16"),
        ({"BitsStored": 17}, "got 17 of 16"),
        ({"BitsStored": 0, "HighBit": None}, "got 0 of 16"),
        ({"SharedFunctionalGroupsSequence": b""}, "plain frames"),
        ({"ModalityLUTSequence": b""}, "plain frames"),
        ({"RescaleSlope": "0"}, "slope other than 0"),
        ({"RescaleSlope": "NaN"}, "1 finite numbers in RescaleSlope"),
        ({"ImagePositionPatient": "1\\2"}, "3 finite numbers in ImagePositionPatient"),
        ({"PixelSpacing": "0.4"}, "2 finite numbers in PixelSpacing"),
        ({"PixelSpacing": "a\\b"}, "readable"),
        ({"Rows": None}, "hold an image, got none; remove it"),
        ({"Rows": 0}, "pixels"),
        ({"Rows": 65535, "Columns": 65535}, "268435456 pixels"),
        ({"NumberOfFrames": "999999999"}, "100000 slices"),
        ({"PixelData": None}, "24 bytes of pixels, as its header says, got 0"),
        ({"PixelData": bytes(22)}, "24 bytes of pixels, as its header says, got 22"),
        ({"PixelData": bytes(26)}, "24 bytes of pixels, as its header says, got 26"),
        ({"PixelRepresentation": 2}, "PixelRepresentation 0 or 1, got 2"),
        ({"syntax": DEFLATED}, "deflated"),
        ({"syntax": JPEG_LOSSLESS}, "packed in a way that is known here, got JPEG Lossless"),
        ({"syntax": "1.2.3.4"}, "packed in a way that is known here, got 1.2.3.4"),
        ({"syntax": RLE}, "readable"),
    ],
)
def test_a_strange_file_is_refused_by_name(tmp_path: Path, said: dict[str, Any], reason: str) -> None:
    (tmp_path / "strange.dcm").write_bytes(dicom(ROCK[0], **said))
    with pytest.raises(ValueError, match="strange.dcm must") as error:
        whole(open_dicom(tmp_path / "strange.dcm"))
    assert reason in str(error.value)


@pytest.mark.parametrize("data", [b"", b"<html>", bytes(132), bytes(128) + b"DICM", dicom(ROCK[0])[:200]])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.dcm").write_bytes(data)
    with pytest.raises(ValueError, match="broken.dcm must"):
        open_dicom(tmp_path)


@pytest.mark.parametrize("cut", [1, 10, 23])
def test_truncated_pixels_are_refused_by_name(tmp_path: Path, cut: int) -> None:
    (tmp_path / "cut.dcm").write_bytes(dicom(ROCK[0])[:-cut])
    with pytest.raises(ValueError, match="cut.dcm must"):
        whole(open_dicom(tmp_path / "cut.dcm"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dicom")


@settings(max_examples=200, deadline=None)
@given(at=st.integers(128, 420), junk=st.binary(min_size=1, max_size=6))
def test_any_header_is_read_or_refused_by_name(folder: Path, at: int, junk: bytes) -> None:
    place: dict[str, Any] = {
        "ImagePositionPatient": "0\\0\\1",
        "ImageOrientationPatient": "1\\0\\0\\0\\1\\0",
        "PixelSpacing": "1\\1",
    }
    data = dicom(ROCK[0], RescaleSlope="1", RescaleIntercept="0", InstanceNumber=3, **place)
    (folder / "fuzzed.dcm").write_bytes(data[:at] + junk + data[at + len(junk) :])
    try:
        whole(open_dicom(folder / "fuzzed.dcm"))
    except ValueError as error:
        assert "fuzzed.dcm" in str(error) or str(folder) in str(error)  # noqa: PT017 - either outcome is right


def test_only_dicom_files_of_a_folder_are_taken(tmp_path: Path) -> None:
    one = dicom(ROCK[0])
    for name in ("IM0001", "CT.1.2.840", "a.IMA", "b.dcm"):
        (tmp_path / name).write_bytes(one)
    for name in ("DICOMDIR", ".hidden.dcm", "notes.txt", "preview.png"):
        (tmp_path / name).write_bytes(one)
    (tmp_path / "README").write_text("no DICOM")
    (tmp_path / "deeper.dcm").mkdir()
    assert [path.name for path in dicom_paths(tmp_path)] == ["CT.1.2.840", "IM0001", "a.IMA", "b.dcm"]


def test_a_slice_that_links_to_elsewhere_must_be_allowed(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "plug")
    (folder / "plug_0.dcm").rename(tmp_path / "elsewhere.dcm")
    (folder / "plug_0.dcm").symlink_to(tmp_path / "elsewhere.dcm")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(ValueError, match=r"plug_0\.dcm must stay inside .*plug, got .*--allow-external-links"):
        open_dicom(folder)
    assert open_dicom(tmp_path / "link", external_links=True).core == "link"
    (tmp_path / "elsewhere.dcm").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"plug_0\.dcm must lead to a file, got .*, which is not there; mend it"
    ):
        open_dicom(folder)


def test_nothing_to_open_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder must hold DICOM files"):
        open_dicom(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent, which is not there"):
        open_dicom(tmp_path / "absent")


def test_opening_a_series_reads_no_pixels(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "a")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-24])
    volume = open_dicom(folder)
    assert (len(volume), volume.dtype) == (5, np.dtype("i2"))
    with pytest.raises(ValueError, match="plug_4.dcm must"):
        volume[2]


def test_a_missing_library_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r'pip install "coresr-data\[dicom\]"'):
        open_dicom(tmp_path)
