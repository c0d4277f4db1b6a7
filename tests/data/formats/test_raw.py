"""A raw file is what somebody says that it is, and nothing is guessed."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data.formats.raw import DTYPES, RawHeader, open_raw, raw_header, refuse_without_header, swapped

BLOCK = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype("<u2")


@pytest.mark.parametrize(
    ("text", "shape", "dtype", "offset"),
    [
        ("5x6x7:uint16:little", (5, 6, 7), "<u2", 0),
        ("5x6x7:uint16:big:512", (5, 6, 7), ">u2", 512),
        ("5×6×7:float64:big", (5, 6, 7), ">f8", 0),
        ("1x20x30:uint8", (1, 20, 30), "u1", 0),
        ("1x20x30:int8:7", (1, 20, 30), "i1", 7),
        ("1x20x30:uint8:little:7", (1, 20, 30), "u1", 7),
    ],
)
def test_a_header_in_words_is_understood(text: str, shape: Any, dtype: str, offset: int) -> None:
    assert raw_header(text) == RawHeader(shape=shape, dtype=np.dtype(dtype), offset=offset)


@given(
    shape=st.tuples(*[st.integers(1, 10**6)] * 3),
    name=st.sampled_from(DTYPES),
    order=st.sampled_from(["little", "big"]),
    offset=st.integers(0, 10**9),
)
def test_every_header_in_words_says_what_it_was_made_from(
    shape: tuple[int, int, int], name: str, order: str, offset: int
) -> None:
    header = raw_header(f"{'x'.join(map(str, shape))}:{name}:{order}:{offset}")
    assert (header.shape, header.offset) == (shape, offset)
    assert header.dtype.newbyteorder("=") == np.dtype(name)
    assert header.dtype == np.dtype(name) or header.dtype.str[0] == {"little": "<", "big": ">"}[order]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with slices x rows x columns, got ''"),
        ("5x6:uint8", "must begin with slices x rows x columns"),
        ("5x6x0:uint8", "must begin with slices x rows x columns"),
        ("5x6x-7:uint8", "must begin with slices x rows x columns"),
        ("5x6x7x8:uint8", "must begin with slices x rows x columns"),
        ("5x6x7", "raw dtype must be one of uint8, .*, got ''"),
        ("5x6x7:u2:little", "raw dtype must be one of uint8, .*, got 'u2'"),
        ("5x6x7:complex64:little", "raw dtype must be one of"),
        ("5x6x7:bool", "raw dtype must be one of"),
        ("5x6x7:uint16", "must say the byte order of uint16"),
        ("5x6x7:uint16:512", "must say the byte order of uint16"),
        ("5x6x7:uint16:middle", "must say the byte order of uint16"),
        ("5x6x7:uint16:little:512:3", "must end in little or big and a number of bytes"),
        ("5x6x7:uint16:little:-5", "must end in little or big and a number of bytes"),
        ("5x6x7:uint8:", "must end in little or big and a number of bytes"),
    ],
)
def test_a_header_that_says_too_little_or_too_much_is_refused_with_an_example(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        raw_header(text)
    assert "; write 200x500x500:uint16:little" in str(refusal.value)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i4", "<u8", ">f4", "<f8"])
@pytest.mark.parametrize("offset", [0, 3, 512])
def test_a_raw_file_is_read_from_its_offset_in_its_byte_order(tmp_path: Path, dtype: str, offset: int) -> None:
    levels = (BLOCK // 500).astype(dtype)
    path = tmp_path / "plug.2um.raw"
    path.write_bytes(b"?" * offset + levels.tobytes())
    volume = open_raw(path, RawHeader(shape=(5, 6, 7), dtype=np.dtype(dtype), offset=offset), voxel_um=(3, 2, 1))
    assert (volume.core, volume.names[2], volume.voxel_um) == ("plug.2um", "plug.2um.raw[2]", (3, 2, 1))
    assert volume.dtype.isnative
    for index in range(5):
        np.testing.assert_array_equal(volume[index], levels[index])


def test_opening_8_billion_voxels_takes_no_time_and_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.raw").open("wb") as file:
        file.truncate(2 * 2000**3)
    start = time.perf_counter()
    volume = open_raw(tmp_path / "a.raw", raw_header("2000x2000x2000:uint16:little"))
    assert time.perf_counter() - start < 0.25
    assert (len(volume), volume.size) == (2000, (2000, 2000))
    assert not volume[1999].any()


def test_more_slices_than_names_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(100_001))
    with pytest.raises(ValueError, match="at most 100000 slices, got 100001; cut it into several volumes"):
        open_raw(tmp_path / "a.raw", raw_header("100001x1x1:uint8"))


def test_a_missing_raw_file_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="^raw volume must be a file, got .*, which is not there$"):
        open_raw(tmp_path / "a.raw", raw_header("1x1x1:uint8"))


def test_a_raw_file_without_a_header_says_how_to_describe_it_or_which_to_open(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"a\.raw must come with a header, got none; say its shape, .* --raw 200x500x500"
    ):
        refuse_without_header(tmp_path / "a.raw")
    (tmp_path / "a.mhd").touch()
    with pytest.raises(ValueError, match=r"a\.raw must come with a header, got none; open .*a\.mhd instead$"):
        refuse_without_header(tmp_path / "a.raw")


# The wrong byte order


def image(dtype: str, noise: float) -> NDArray[Any]:
    """Grains on a ramp, as rough as told."""
    y, x = np.mgrid[:80, :90] / 12
    levels = 20000 + 8000 * np.sin(y) * np.cos(x) + noise * np.random.default_rng(0).normal(size=(3, 80, 90))
    return np.asarray(levels.astype(dtype))


@pytest.mark.parametrize("dtype", ["u2", "i2", "u4", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("noise", [0, 300, 1000])
def test_the_wrong_order_is_seen_and_the_right_one_never_is(dtype: str, order: str, noise: float) -> None:
    levels = image(order + dtype, noise)
    assert not swapped(levels)
    assert swapped(levels.view(levels.dtype.newbyteorder("S")))


@pytest.mark.parametrize(
    "levels",
    [
        np.zeros((3, 40, 40), "<u2"),
        np.zeros((3, 40, 40), ">f4"),
        np.random.default_rng(0).integers(0, 65536, (3, 40, 40)).astype("<u2"),
        np.random.default_rng(0).normal(size=(3, 40, 40)).astype(">f4"),
        image("u1", 0),
        image("<u2", 0)[:, :, :1],
        image("<u2", 0)[:1, :1, :3],
        np.tile(np.arange(40) % 2, (3, 40, 1)).astype("<u2"),
    ],
    ids=["black", "black floats", "noise", "float noise", "bytes", "a column", "three voxels", "stripes"],
)
def test_where_no_order_is_clear_none_is_doubted(levels: NDArray[Any]) -> None:
    assert not swapped(levels)
    assert not swapped(levels.view(levels.dtype.newbyteorder("S")))
