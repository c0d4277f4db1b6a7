"""NumPy's files, in every order, dtype and way of packing; nothing is unpickled and little is believed."""

import io
import os
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.formats import arrays as arrays_module
from coresr_data.formats.arrays import open_npy, open_npz
from coresr_data.volume import Volume, along

BLOCK = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype(np.uint16)
Save = Callable[[Path, NDArray[Any]], None]


def npy(folder: Path, array: NDArray[Any]) -> Volume:
    np.save(folder / "plug.1.npy", array)
    return open_npy(folder / "plug.1.npy")


def stored(folder: Path, array: NDArray[Any]) -> Volume:
    np.savez(folder / "plug.1.npz", rock=array)
    return open_npz(folder / "plug.1.npz")


def packed(folder: Path, array: NDArray[Any]) -> Volume:
    np.savez_compressed(folder / "plug.1.npz", rock=array)
    return open_npz(folder / "plug.1.npz")


WAYS = [npy, stored, packed]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", ">i4", "<u8", "f2", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_it_was_saved(tmp_path: Path, way: Callable[..., Volume], dtype: str, order: Any) -> None:
    array = np.asarray((BLOCK // 500).astype(dtype), order=order)
    volume = way(tmp_path, array)
    assert (volume.core, volume.numbers, volume.size) == ("plug.1", (0, 1, 2, 3, 4), (6, 7))
    assert volume.names[4] == f"{volume.source(0).name}[4]"
    assert (volume.dtype, volume.voxel_um) == (np.dtype(dtype).newbyteorder("="), None)
    assert (volume.array is None) == (way is packed)
    for index in (4, 0, -1):
        assert volume[index].dtype.isnative
        np.testing.assert_array_equal(volume[index], array[index])
    np.testing.assert_array_equal(along(volume, "x")[6], array[:, :, 6])


@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_a_volume_of_one_slice(tmp_path: Path, way: Callable[..., Volume]) -> None:
    volume = way(tmp_path, BLOCK[0])
    assert (len(volume), volume.size) == (1, (6, 7))
    np.testing.assert_array_equal(volume[0], BLOCK[0])


@pytest.mark.parametrize("way", WAYS)
def test_a_segmentation_is_refused_with_what_to_save_instead(tmp_path: Path, way: Callable[..., Volume]) -> None:
    match = r"^levels of .*plug\.1\.np. must be integers or floats .*, got bool; save 255 \* array\.astype\('uint8'\)$"
    with pytest.raises(ValueError, match=match):
        way(tmp_path, BLOCK > 5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([None, {}]), "must hold numbers, got pickled objects, which are never opened; save"),
        (BLOCK.astype(complex), "got complex128; convert it"),
        (np.zeros((2, 0, 3)), "must be|hold pixels"),
    ],
    ids=["objects", "complex", "empty"],
)
def test_what_holds_no_grey_levels_is_refused(
    tmp_path: Path, way: Callable[..., Volume], array: NDArray[Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        way(tmp_path, array)


@pytest.mark.parametrize("array", [BLOCK[None], BLOCK[0, 0], np.array(5)], ids=["four axes", "one", "none"])
def test_other_dimensions_are_refused(tmp_path: Path, array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"plug\.1\.npy must (be \(z, y, x\)|hold pixels)"):
        npy(tmp_path, array)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (os.mkdir, (str(tmp_path / "sprung"),))

    np.save(tmp_path / "a.npy", np.array([Trap()], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "a.npz", rock=np.array([Trap()], object))
    for path in (tmp_path / "a.npy", tmp_path / "b.npy", tmp_path / "a.npz"):
        with pytest.raises(ValueError, match=rf"^NumPy file .*{path.name} must "):
            (open_npz if path.suffix == ".npz" else open_npy)(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("change", [-1, 1, -BLOCK.nbytes, 100])
def test_an_npy_of_another_length_than_its_header_says_is_refused(tmp_path: Path, change: int) -> None:
    np.save(tmp_path / "a.npy", BLOCK)
    os.truncate(tmp_path / "a.npy", (tmp_path / "a.npy").stat().st_size + change)
    match = rf"a\.npy must hold 420 bytes of levels, as its header says, got {420 + change}; replace it"
    with pytest.raises(ValueError, match=match):
        open_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("length", [0, 5, 12, 60])
def test_a_file_cut_in_its_header_is_refused(tmp_path: Path, length: int) -> None:
    np.save(tmp_path / "a.npy", BLOCK)
    os.truncate(tmp_path / "a.npy", length)
    with pytest.raises(ValueError, match=r"a\.npy must be readable, got .*; replace it"):
        open_npy(tmp_path / "a.npy")


def test_opening_8_billion_voxels_takes_no_time_and_no_memory(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u2", "fortran_order": False, "shape": (2000, 2000, 2000)})
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    os.truncate(tmp_path / "a.npy", len(header.getvalue()) + 2 * 2000**3)
    start = time.perf_counter()
    volume = open_npy(tmp_path / "a.npy")
    assert time.perf_counter() - start < 0.25
    assert (len(volume), volume.size) == (2000, (2000, 2000))
    assert not volume[1000].any()


# Archives


def test_of_several_arrays_one_must_be_chosen_and_all_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", rock=BLOCK, mask=BLOCK[:, ::2], voxel=np.array([1.0, 2, 3]))
    match = r"must hold one array \(z, y, x\), .* got rock \(5, 6, 7\), mask \(5, 3, 7\); name a variable$"
    with pytest.raises(ValueError, match=match):
        open_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(open_npz(tmp_path / "a.npz", "mask")[4], BLOCK[4, ::2])
    np.testing.assert_array_equal(open_npz(tmp_path / "a.npz", variable="rock")[4], BLOCK[4])
    with pytest.raises(ValueError, match="must hold an array rocks, got rock, mask, voxel; choose one of these"):
        open_npz(tmp_path / "a.npz", "rocks")
    with pytest.raises(ValueError, match=r"must be \(z, y, x\), got shape \(3,\)"):
        open_npz(tmp_path / "a.npz", "voxel")


def test_the_only_volume_among_others_is_taken(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", voxel=np.array([1.0, 2, 3]), scale=2, rock=BLOCK)
    np.testing.assert_array_equal(open_npz(tmp_path / "a.npz")[1], BLOCK[1])
    np.savez(tmp_path / "a.npz", voxel=np.array([1.0, 2, 3]))
    with pytest.raises(ValueError, match="got none of 1; name a variable"):
        open_npz(tmp_path / "a.npz")


def test_a_packed_array_is_decoded_once_when_its_first_slice_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    really = np.lib.format.read_array

    def noted(*arguments: Any, **options: Any) -> Any:
        decoded.append(1)
        return really(*arguments, **options)

    monkeypatch.setattr(np.lib.format, "read_array", noted)
    volume = packed(tmp_path, BLOCK)
    assert decoded == []
    for index in range(5):
        np.testing.assert_array_equal(volume[index], BLOCK[index])
    assert decoded == [1]


def test_a_flipped_bit_in_a_packed_array_is_refused(tmp_path: Path) -> None:
    volume = packed(tmp_path, BLOCK)
    path = volume.source(0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"plug\.1\.npz must be readable, got .*; replace it"):
        open_npz(path)[0]


def lying(path: Path, shape: tuple[int, ...], data: bytes, *, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive of one array whose header says another shape than its data have."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u2", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("rock.npy", header.getvalue() + data)
    return path


def test_a_packed_array_that_promises_too_much_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        ValueError, match="decode to at most 4294967296 bytes, got 2000000000000; save it as .npy, whic"
    ):
        open_npz(lying(tmp_path / "a.npz", (10000, 10000, 10000), bytes(9)))
    with pytest.raises(
        ValueError, match="decode to at most 1000 times its .* bytes, got a header that says 2000000000"
    ):
        open_npz(lying(tmp_path / "a.npz", (1000, 1000, 1000), bytes(9)))
    with pytest.raises(ValueError, match="at most 268435456 pixels, got 900000000; cut it"):
        open_npz(lying(tmp_path / "a.npz", (1, 30000, 30000), bytes(9)))
    with pytest.raises(ValueError, match="at most 100000 slices, got 1000000"):
        open_npz(lying(tmp_path / "a.npz", (1000000, 1, 1), bytes(9)))
    monkeypatch.setattr(arrays_module, "MOST_MEMBERS", 0)
    with pytest.raises(ValueError, match="hold at most 0 arrays, got 1; save the volume alone"):
        stored(tmp_path, BLOCK)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("length", [0, 419, 421])
def test_a_member_of_another_length_than_its_header_says_is_refused(
    tmp_path: Path, compression: int, length: int
) -> None:
    path = lying(tmp_path / "a.npz", (5, 6, 7), bytes(length), compression=compression)
    with pytest.raises(
        ValueError, match=r"a\.npz must (hold 420 bytes of levels, as its header says, got|be readable)"
    ):
        open_npz(path)[0]


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"<html>", b"\x93NUMPY\1\0"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"^NumPy file .*a\.npz must be readable, got .*; replace it$"):
        open_npz(tmp_path / "a.npz")


def test_a_missing_file_is_missing_input(tmp_path: Path) -> None:
    for opened in (open_npy, open_npz):
        with pytest.raises(FileNotFoundError, match="^NumPy file must be a file, got .*, which is not there$"):
            opened(tmp_path / "a")


def test_the_real_berea_is_a_segmentation(real_data: Path) -> None:
    with pytest.raises(ValueError, match=r"berea_200\.npz must be integers .*, got bool; save 255 \*"):
        open_npz(real_data / "berea-segmented" / "berea_200.npz")
