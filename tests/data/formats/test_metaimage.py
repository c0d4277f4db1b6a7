"""MetaImage headers in the words that ITK writes, in either byte order, beside their data or before it."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.formats.metaimage import open_metaimage
from coresr_data.volume import along

BLOCK = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype("<u2")
FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "0.00223 0.003 0.0045",
    "DimSize": "7 6 5",
    "ElementType": "MET_USHORT",
}


def write(path: Path, data: bytes, fields: dict[str, str | None], name: str = "LOCAL") -> Path:
    """A header of FIELDS and those told, of which None is left out, and its data in it or beside it."""
    lines = [f"{key} = {value}" for key, value in (FIELDS | fields).items() if value is not None]
    header = "\n".join([*lines, f"ElementDataFile = {name}", ""]).encode()
    path.write_bytes(header + (data if name == "LOCAL" else b""))
    if name != "LOCAL":
        (path.parent / name).write_bytes(data)
    return path


KINDS = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_LONG": "i4",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("name", "compressed"), [("LOCAL", False), ("LOCAL", True), ("a.raw", False), ("a.raw", True)])
def test_every_kind_of_element_is_read(tmp_path: Path, kind: str, big: bool, name: str, compressed: bool) -> None:
    dtype = KINDS[kind]
    levels = (BLOCK // 500).astype((">" if big else "<") + dtype)
    data = zlib.compress(levels.tobytes()) if compressed else levels.tobytes()
    told: dict[str, str | None] = {"ElementType": kind, "BinaryDataByteOrderMSB": str(big)}
    volume = open_metaimage(write(tmp_path / "plug.mhd", data, told | {"CompressedData": str(compressed)}, name))
    assert (volume.core, volume.numbers, volume.size) == ("plug", (0, 1, 2, 3, 4), (6, 7))
    assert volume.dtype == np.dtype(dtype)
    assert volume.source(0).name == ("plug.mhd" if name == "LOCAL" else name)
    np.testing.assert_allclose(volume.voxel_um or (), (4.5, 3, 2.23))
    for index in (3, 0, 4):
        np.testing.assert_array_equal(volume[index], levels[index])
    np.testing.assert_array_equal(along(volume, "y")[2], levels[:, 2])


def test_the_other_name_of_the_byte_order_is_known(tmp_path: Path) -> None:
    told = {"BinaryDataByteOrderMSB": None, "ElementByteOrderMSB": "True"}
    volume = open_metaimage(write(tmp_path / "a.mha", BLOCK.astype(">u2").tobytes(), told))
    np.testing.assert_array_equal(volume[1], BLOCK[1])


@pytest.mark.parametrize(("skip", "size"), [(100, "100"), (100, "-1"), (0, "-1"), (0, "0"), (0, None)])
def test_a_header_in_the_data_file_is_passed_over(tmp_path: Path, skip: int, size: str | None) -> None:
    path = write(tmp_path / "a.mhd", b"?" * skip + BLOCK.tobytes(), {"HeaderSize": size}, "a.raw")
    np.testing.assert_array_equal(open_metaimage(path)[4], BLOCK[4])


def test_an_image_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    told: dict[str, str | None] = {"NDims": "2", "DimSize": "7 6", "ElementSpacing": "0.002 0.002"}
    volume = open_metaimage(write(tmp_path / "a.mha", BLOCK[0].tobytes(), told))
    assert (len(volume), volume.voxel_um) == (1, (2, 2, 2))
    np.testing.assert_array_equal(volume[0], BLOCK[0])


@pytest.mark.parametrize("spacing", [None, "1 1 1", "1.0 1.0 1.0", "0 0 0", "1 2"])
def test_a_spacing_that_nobody_measured_says_nothing(tmp_path: Path, spacing: str | None) -> None:
    path = write(tmp_path / "a.mha", BLOCK.tobytes(), {"ElementSpacing": spacing})
    assert open_metaimage(path).voxel_um is None


def test_the_size_of_elements_stands_in_for_their_spacing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mha", BLOCK.tobytes(), {"ElementSpacing": None, "ElementSize": "0.001 0.002 0.003"})
    np.testing.assert_allclose(open_metaimage(path).voxel_um or (), (3, 2, 1))


BAD: dict[str, tuple[dict[str, str | None], str]] = {
    "colour": ({"ElementNumberOfChannels": "3"}, "must be grey, got 3 channels; save one grey volume a file"),
    "four axes": ({"NDims": "4", "DimSize": "7 6 5 1"}, "2 or 3 axes, got NDims 4 and DimSize 7 6 5 1; save"),
    "axes that differ": ({"NDims": "2"}, "2 or 3 axes, got NDims 2 and DimSize 7 6 5; save"),
    "no size": ({"DimSize": None}, "2 or 3 axes, got NDims 3 and DimSize None; save"),
    "nothing in it": ({"DimSize": "7 0 5"}, "hold pixels"),
    "many slices": ({"DimSize": "1 1 1000000000"}, "at most 100000 slices, got 1000000000; cut it"),
    "arrays": ({"ElementType": "MET_USHORT_ARRAY"}, "ElementType of MET_CHAR, .*, got MET_USHORT_ARRAY; convert it"),
    "no type": ({"ElementType": None}, "ElementType of MET_CHAR, .*, got none; convert it"),
    "text": ({"BinaryData": "False"}, "binary levels, got text; save it with BinaryData = True"),
    "no byte order": ({"BinaryDataByteOrderMSB": None}, "one byte order, got none; write ElementByteOrderMSB = False"),
    "two byte orders": ({"ElementByteOrderMSB": "True"}, r"one byte order, got \[False, True\]; write"),
    "half a truth": ({"CompressedData": "perhaps"}, "True or False for compresseddata, got perhaps; correct it"),
    "a negative header": ({"HeaderSize": "-7"}, "HeaderSize of -1 or more, got -7; correct it"),
    "no number": ({"NDims": "three"}, "must be readable, got .*three.*; replace it"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_grey_metaimage_is_refused_by_name(tmp_path: Path, case: str) -> None:
    fields, reason = BAD[case]
    path = write(tmp_path / "a.mhd", BLOCK.tobytes(), fields, "a.raw")
    with pytest.raises(ValueError, match=reason) as refusal:
        open_metaimage(path)
    assert str(refusal.value).startswith(f"MetaImage {path} must ")


@pytest.mark.parametrize("name", ["../a.raw", "/etc/hostname", "sub/a.raw", "LIST", "a%03d.raw 1 5 1", "C:\\a.raw", ""])
def test_a_data_file_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "core" / "sub").mkdir(parents=True)
    for place in ("a.raw", "core/sub/a.raw"):
        (tmp_path / place).write_bytes(BLOCK.tobytes())
    path = write(tmp_path / "core" / "a.mhd", b"", {})
    path.write_text(path.read_text().replace("LOCAL", name))
    with pytest.raises(
        ValueError, match=r"must name one data file beside it, got .*; put it there and write its bare n"
    ):
        open_metaimage(path)


def test_a_data_file_that_is_a_link_to_elsewhere_or_missing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mhd", BLOCK.tobytes(), {}, "a.raw")
    elsewhere = tmp_path.with_name(f"{tmp_path.name}.raw")
    (tmp_path / "a.raw").rename(elsewhere)
    with pytest.raises(
        FileNotFoundError, match=r"^data file of .*a\.mhd must be a file, got .*a\.raw, which is not th"
    ):
        open_metaimage(path)
    (tmp_path / "a.raw").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"got 'a\.raw', a link to elsewhere; copy the file"):
        open_metaimage(path)
    elsewhere.rename(tmp_path / "b.raw")
    (tmp_path / "a.raw").unlink()
    (tmp_path / "a.raw").symlink_to("b.raw")
    np.testing.assert_array_equal(open_metaimage(path)[4], BLOCK[4])


@pytest.mark.parametrize("change", [-1, 1, -BLOCK.nbytes])
@pytest.mark.parametrize("name", ["LOCAL", "a.raw"])
def test_data_of_another_length_are_refused(tmp_path: Path, change: int, name: str) -> None:
    data = BLOCK.tobytes()[:change] if change < 0 else BLOCK.tobytes() + b"?"
    with pytest.raises(ValueError, match=r"raw volume .* must be \d+ bytes long for 5x6x7:uint16:little.*, got \d+"):
        open_metaimage(write(tmp_path / "a.mhd", data, {}, name))


def read_all(path: Path) -> list[NDArray[Any]]:
    volume = open_metaimage(path)
    return [volume[index] for index in range(len(volume))]


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_compressed_data_that_are_broken_or_cut_are_refused(tmp_path: Path, part: float) -> None:
    data = zlib.compress(BLOCK.tobytes())
    path = write(tmp_path / "a.mhd", data[: int(part * len(data))], {"CompressedData": "True"}, "a.raw")
    with pytest.raises(ValueError, match=r"MetaImage .* must "):
        read_all(path)
    flipped = bytearray(data)
    flipped[int(part * len(data))] ^= 16
    (tmp_path / "a.raw").write_bytes(flipped)
    with pytest.raises(ValueError, match=r"MetaImage .* must "):
        read_all(path)


def test_compressed_data_of_another_length_are_refused(tmp_path: Path) -> None:
    for extra in (BLOCK.tobytes() + b"?", BLOCK[:4].tobytes()):
        path = write(tmp_path / "a.mhd", zlib.compress(extra), {"CompressedData": "True"}, "a.raw")
        with pytest.raises(ValueError, match=r"MetaImage .* must "):
            read_all(path)


def test_a_few_bytes_that_promise_a_terabyte_are_refused_by_their_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mhd", zlib.compress(bytes(9)), {"CompressedData": "True", "DimSize": "9999 9999 9999"})
    with pytest.raises(
        ValueError, match="decode to at most 1000 times its .* bytes, got a header that says 199.*; repl"
    ):
        open_metaimage(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NDims = 3\n",
        "no key\n",
        "x" * 70000,
        "NDims = 3\n" * 9000,
        "NDims = 3\n" * 9000 + "ElementDataFile = LOCAL\n",
    ],
)
def test_a_header_without_an_end_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.mhd").write_text(text)
    with pytest.raises(ValueError, match=r"a\.mhd must (say ElementDataFile within its first lines|hold lines of Key)"):
        open_metaimage(tmp_path / "a.mhd")


def test_a_missing_header_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^MetaImage must be a file, got .*a\.mhd, which is not there$"):
        open_metaimage(tmp_path / "a.mhd")
