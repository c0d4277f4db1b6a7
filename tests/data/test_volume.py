"""A volume answers its slices as they are stored, in native byte order, checked; and along any axis."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coresr_data import volume as volume_module
from coresr_data.volume import AXES, Axis, Volume, along, from_array, printable, promised, refuse_bad_levels

BLOCK = np.random.default_rng(0).integers(0, 60000, (5, 6, 7), dtype=np.uint16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "plug.v2.nii.gz").write_bytes(b"")
    return tmp_path / "plug.v2.nii.gz"


def in_files(path: Path, block: NDArray[Any] = BLOCK, numbers: tuple[int, ...] | None = None) -> Volume:
    """A volume of one file a slice, which can only be read slice by slice."""
    files = tuple(path.parent / f"{index}.png" for index in range(len(block)))
    for file in files:
        file.touch()
    return Volume(
        core="plug",
        numbers=numbers or tuple(range(7, 7 + len(block))),
        names=tuple(file.name for file in files),
        size=block.shape[1:],
        dtype=block.dtype,
        read=lambda index: block[index],
        sources=files,
        voxel_um=(3.0, 2.0, 1.0),
    )


def test_an_array_is_a_volume_called_after_its_file(path: Path) -> None:
    volume = from_array(BLOCK, path, voxel_um=(3, 2, 1))
    assert (volume.core, volume.numbers, volume.size, volume.voxel_um) == (
        "plug.v2",
        (0, 1, 2, 3, 4),
        (6, 7),
        (3, 2, 1),
    )
    assert volume.names[4] == "plug.v2.nii.gz[4]"
    assert (volume.sources, volume.source(3)) == ((path,), path)
    assert from_array(BLOCK, path, core="mine").core == "mine"
    for index in range(-5, 5):
        np.testing.assert_array_equal(volume[index], BLOCK[index])


def test_an_image_is_a_volume_of_one_slice(path: Path) -> None:
    volume = from_array(BLOCK[0], path)
    assert (len(volume), volume.size) == (1, (6, 7))
    np.testing.assert_array_equal(volume[0], BLOCK[0])


def test_a_slice_is_a_copy_that_later_changes_of_a_mapped_file_do_not_reach(path: Path) -> None:
    block = BLOCK.copy()
    levels = from_array(block, path)[0]
    block[:] = 0
    np.testing.assert_array_equal(levels, BLOCK[0])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_any_byte_order_and_layout_answers_native_and_contiguous(path: Path, order: Any, layout: Any) -> None:
    volume = from_array(np.asarray(BLOCK.astype(BLOCK.dtype.newbyteorder(order)), order=layout), path)
    assert volume.dtype == volume[2].dtype == np.dtype("=u2")
    assert volume[2].dtype.isnative
    assert volume[2].flags.c_contiguous
    np.testing.assert_array_equal(volume[2], BLOCK[2])


@pytest.mark.parametrize("shape", [(3,), (1, 2, 3, 4), (0, 4, 4), (4, 0), ()])
def test_other_shapes_are_no_volume(path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"^volume .*plug.* must be \(z, y, x\), got shape \(.*; choose its grey levels$"
    ):
        from_array(np.zeros(shape), path)


LONG = pytest.param(
    np.longdouble, marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="no longer than double here")
)


@pytest.mark.parametrize("dtype", ["complex64", "S3", "O", "M8[s]", "u2,u2", LONG])
def test_what_holds_no_grey_levels_is_refused(path: Path, dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"must be integers or floats of at most 64 bits, got .*; convert it$"):
        from_array(np.zeros((2, 3, 4), dtype), path)


def test_a_segmentation_is_refused_with_what_to_save_instead(path: Path) -> None:
    with pytest.raises(ValueError, match=r"of at most 64 bits, got bool; save 255 \* array\.astype\('uint8'\)$"):
        from_array(np.zeros((2, 3, 4), bool), path)


@pytest.mark.parametrize("index", [5, -6, 100])
def test_beyond_the_ends_there_is_no_slice(path: Path, index: int) -> None:
    with pytest.raises(IndexError, match=f"^slice must be one of 5, got {index}$"):
        from_array(BLOCK, path)[index]


def test_going_through_a_volume_ends(path: Path) -> None:
    assert len(list(from_array(BLOCK, path))) == 5  # type: ignore[call-overload]  # by index, as Python falls back to


def test_a_slice_that_is_not_what_the_header_promised_is_refused(path: Path) -> None:
    for levels, said in ((BLOCK[0, :3], "3×7 uint16"), (BLOCK[0].astype(np.float32), "6×7 float32")):
        volume = replace(
            promised(path, (2, 6, 7), np.dtype("u2"), lambda _: BLOCK[0]), read=[levels, levels].__getitem__
        )
        match = rf"^slice plug\.v2\.nii\.gz\[1\] in .* must be 6×7 uint16 like .*\[0\], got {said}; remove it, or crop"
        with pytest.raises(ValueError, match=match):
            volume[1]


def test_each_slice_names_its_own_file(path: Path) -> None:
    volume = in_files(path)
    assert [volume.source(index).name for index in range(5)] == [*volume.names]


@pytest.mark.parametrize("before", [True, False], ids=["before", "while"])
def test_a_file_that_changed_before_or_while_it_was_read_is_refused(path: Path, before: bool) -> None:
    def read(_: int) -> NDArray[Any]:
        assert not before, "a mapped file that was cut must not be touched"
        path.write_bytes(b"changed")
        first: NDArray[Any] = BLOCK[0]
        return first

    volume = replace(from_array(BLOCK, path), read=read)
    path.write_bytes(b"changed") if before else None
    with pytest.raises(ValueError, match=r"must stay as it is while it is read, got one changed since start; "):
        volume[0]


def test_promised_slices_are_decoded_when_they_are_asked_for(path: Path) -> None:
    asked: list[int] = []

    def read(index: int) -> NDArray[Any]:
        asked.append(index)
        return np.asarray(BLOCK[index].astype(">u2"))

    volume = promised(path, BLOCK.shape, np.dtype(">u2"), read, core="mine")
    assert (volume.core, len(volume), volume.size, volume.dtype, asked) == ("mine", 5, (6, 7), np.dtype("=u2"), [])
    assert volume.array is None
    assert volume[-1].dtype.isnative
    np.testing.assert_array_equal(volume[-1], BLOCK[4])
    assert asked == [4, 4]


def test_bad_levels_are_counted() -> None:
    levels = np.ones((3, 4))
    refuse_bad_levels(levels, "a")
    levels[2, 1:] = np.nan
    with pytest.raises(
        ValueError, match="^slice a must hold finite levels, got 3 bad pixels, the first at y 2, x 1; rep"
    ):
        refuse_bad_levels(levels, "a")


def test_bad_levels_of_a_region_are_told_by_their_place_in_the_slice(path: Path) -> None:
    block = BLOCK.astype(np.float32)
    block[3, 4, 5] = np.inf
    for volume in (from_array(block, path), in_files(path, block)):
        with pytest.raises(ValueError, match="got 1 bad pixels, the first at y 4, x 5; repair it"):
            volume.region(3, slice(2, 6), slice(1, 7))
        if volume.by_regions:
            with pytest.raises(ValueError, match="the first at y 4, x 5; repair it"):
                volume.region(3, slice(-3, None), slice(None, 6))


def test_a_name_is_printed_in_utf_8_whatever_its_bytes() -> None:
    assert printable("Bohrkern ä") == "Bohrkern ä"
    assert printable("\udcff.png") == r"\xff.png"


# Along another axis


@pytest.mark.parametrize("of", [from_array, lambda block, path: in_files(path, block)], ids=["array", "files"])
@pytest.mark.parametrize("axis", AXES)
def test_along_an_axis_slices_are_numpys(path: Path, of: Callable[[NDArray[Any], Path], Volume], axis: Axis) -> None:
    cut = along(of(BLOCK, path), axis)
    expected = np.moveaxis(BLOCK, AXES.index(axis), 0)
    assert (len(cut), cut.size) == (len(expected), expected.shape[1:])
    for index, levels in enumerate(expected):
        np.testing.assert_array_equal(cut[index], levels)
        assert cut[index].flags.c_contiguous
        assert cut[index].dtype == np.uint16
    if axis != "z":
        np.testing.assert_array_equal(along(cut, "y")[0], expected[:, 0])  # its array no longer has these axes


@pytest.mark.parametrize(("axis", "voxel"), [("z", (3, 2, 1)), ("y", (2, 3, 1)), ("x", (1, 3, 2))])
def test_along_an_axis_the_voxel_turns_with_it(path: Path, axis: Axis, voxel: tuple[float, ...]) -> None:
    assert along(from_array(BLOCK, path, voxel_um=(3, 2, 1)), axis).voxel_um == voxel
    assert along(from_array(BLOCK, path), axis).voxel_um is None


def test_along_an_axis_names_say_it_and_numbers_begin_at_0(path: Path) -> None:
    one, many = along(from_array(BLOCK, path), "x"), along(in_files(path), "y")
    assert (one.names[6], one.numbers) == ("plug.v2.nii.gz[x=6]", tuple(range(7)))
    assert (many.names[5], many.numbers, many.core) == ("plug[y=5]", tuple(range(6)), "plug")
    assert (one.source(3), many.source(3)) == (path, path.parent)


def test_along_z_it_is_the_same_volume(path: Path) -> None:
    volume = in_files(path, numbers=(0, 50, 100, 150, 200))
    assert along(volume, "z") is volume


def test_slices_that_do_not_lie_beside_each_other_are_not_cut_across(path: Path) -> None:
    match = r"^slices of plug must be numbered without gaps to be cut along y, got 5 from 0 to 200; cut it along z"
    with pytest.raises(ValueError, match=match):
        along(in_files(path, numbers=(0, 50, 100, 150, 200)), "y")


def test_an_unknown_axis_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="^axis must be one of z, y, x, got t$"):
        along(from_array(BLOCK, path), "t")  # type: ignore[arg-type]  # as a command line may say it


def test_files_are_loaded_once_and_only_when_the_first_slice_is_asked_for(path: Path) -> None:
    asked: list[int] = []

    def read(index: int) -> NDArray[Any]:
        asked.append(index)
        return np.asarray(BLOCK[index])

    cut = along(replace(in_files(path), read=read), "y")
    assert asked == []
    for index in range(6):
        np.testing.assert_array_equal(cut[index], BLOCK[:, index])
    assert asked == [0, 1, 2, 3, 4]


def test_files_that_would_fill_the_memory_are_refused_with_a_remedy(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_module, "MOST_LOADED", BLOCK.nbytes)
    assert len(along(in_files(path), "x")) == 7
    monkeypatch.setattr(volume_module, "MOST_LOADED", BLOCK.nbytes - 1)
    with pytest.raises(ValueError, match=r"^volume plug must be of at most 419 bytes .* got 420; save it as one \.npy"):
        along(in_files(path), "x")


def test_bad_slices_are_refused_when_they_are_loaded(path: Path) -> None:
    block = BLOCK.astype(np.float32)
    block[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"^slice 3\.png in .* finite levels, got 1 bad pixels, the first at y 2, x 1"):
        along(in_files(path, block), "x")[0]


class Counted:
    """An array that says which parts of it were read."""

    def __init__(self, block: NDArray[Any]) -> None:
        self.block, self.shape, self.dtype, self.ndim = block, block.shape, block.dtype, 3
        self.read: list[Any] = []

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.read.append(key)
        return np.asarray(self.block[key])


@settings(max_examples=30, deadline=None)
@given(axis=st.sampled_from(["y", "x"]), thickness=st.integers(1, 9), order=st.permutations(range(6)))
def test_slabs_of_any_thickness_give_the_same_slices_in_any_order(axis: Axis, thickness: int, order: list[int]) -> None:
    expected = BLOCK.swapaxes(0, 1) if axis == "y" else np.moveaxis(BLOCK, 2, 0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(volume_module, "SLAB", thickness * expected[0].nbytes)
        cut = along(from_array(BLOCK, Path(__file__)), axis)
    for index in order:
        np.testing.assert_array_equal(cut[index], expected[index])


@pytest.mark.parametrize("axis", ["y", "x"])
def test_each_slab_is_read_once_and_none_is_thicker_than_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, axis: Axis
) -> None:
    array = Counted(BLOCK)
    across = BLOCK.shape[2] if axis == "y" else BLOCK.shape[1]
    monkeypatch.setattr(volume_module, "SLAB", 3 * 5 * across * 2)
    cut = along(from_array(array, path), axis)
    assert array.read == []
    for index in range(len(cut)):
        cut[index]
    parts = [key[-1] for key in array.read]
    assert [(part.start, part.stop) for part in parts] == [(first, first + 3) for first in range(0, len(cut), 3)]
    assert all(first.stop == second.start for first, second in pairwise(parts))
