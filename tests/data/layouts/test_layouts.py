"""What people have is found: which files are which core's HR and LR."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coresr_data.formats.images import write_slice
from coresr_data.layouts import LAYOUTS, Layout, Reading, find, recognised

MakeCore = Callable[..., Path]
Levels = NDArray[np.uint8]


def levels_of(*shape: int, seed: int = 0) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path: Path, *shape: int, seed: int = 0) -> Levels:
    """A volume or an image of noise, by the suffix of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = levels_of(*shape, seed=seed)
    if path.suffix == ".npy":
        np.save(path, levels)
    else:
        tifffile.imwrite(path, levels, photometric="minisblack")
    return levels


# Slices


def test_one_folder_is_one_core(slices: Path) -> None:
    (source,) = find(slices)
    assert recognised(slices) == "slices"
    assert (source.core, len(source.slices), source.images) == ("plug", 24, ("hr", "lr"))
    assert (dict(source.lr), source.splits, source.published, source.depth) == ({}, None, False, 1)


def test_one_folder_per_core_is_several_cores_by_name(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/b", numbers=range(3))
    make_core("src/a", numbers=range(4))
    (tmp_path / "src" / "notes").mkdir()
    for layout in ("auto", "slices"):
        assert [(one.core, len(one.slices)) for one in find(tmp_path / "src", layout)] == [("a", 4), ("b", 3)]


def test_slices_both_directly_and_below_are_refused_unless_the_layout_says_which(make_core: MakeCore) -> None:
    source = make_core("src", numbers=range(3))
    make_core("src/a", numbers=range(4))
    with pytest.raises(
        ValueError, match=r"or in one folder per core below it, got both \(a/ too\); say --layout slices"
    ):
        find(source)
    assert [one.core for one in find(source, "slices")] == ["src"]


def test_hidden_folders_are_passed_over(make_core: MakeCore) -> None:
    source = make_core("src", numbers=range(3))
    make_core("src/.thumbnails", numbers=range(4))
    assert [one.core for one in find(source)] == ["src"]


def test_a_folder_without_slices_is_missing_input(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        for layout in LAYOUTS:
            with pytest.raises(FileNotFoundError):
                find(source, layout)


def test_a_layout_that_is_none_is_refused(slices: Path) -> None:
    layout: Layout = "heap"  # type: ignore[assignment]
    with pytest.raises(
        ValueError, match="^layout must be one of auto, slices, stack, paired, pair, unpaired, deeprock"
    ):
        find(slices, layout)


def test_slices_of_several_sizes_are_several_sources_of_one_core(make_core: MakeCore) -> None:
    source = make_core("plug", numbers=range(6), size=(16, 24))
    write_slice(source / "slice_0003.png", levels_of(8, 8))
    found = find(source, "slices", Reading(several_sizes=True))
    assert [(one.core, one.slices.size, one.slices.numbers) for one in found] == [
        ("plug", (16, 24), (0, 1, 2, 4, 5)),
        ("plug", (8, 8), (3,)),
    ]


def test_slices_are_cut_along_another_axis(make_core: MakeCore) -> None:
    source = make_core("plug", numbers=range(6), size=(16, 24))
    (along_z,), (along_x,) = find(source), find(source, reading=Reading(axis="x"))
    assert (len(along_x.slices), along_x.slices.size) == (24, (6, 16))
    np.testing.assert_array_equal(along_x.slices[5], [along_z.slices[z][:, 5] for z in range(6)])


# Volumes


def test_a_volume_file_is_one_core(tmp_path: Path) -> None:
    levels = save(tmp_path / "plug.npy", 5, 8, 9)
    assert recognised(tmp_path / "plug.npy") == "stack"
    (source,) = find(tmp_path / "plug.npy")
    assert (source.core, source.slices.names[3]) == ("plug", "plug.npy[3]")
    np.testing.assert_array_equal(source.slices[3], levels[3])
    (source,) = find(tmp_path / "plug.npy", "stack", Reading(axis="y"))
    np.testing.assert_array_equal(source.slices[2], levels[:, 2])


def test_a_folder_of_volumes_is_one_core_each(tmp_path: Path) -> None:
    save(tmp_path / "set" / "b.tif", 5, 8, 9)
    save(tmp_path / "set" / "a.tif", 4, 8, 9)
    (tmp_path / "set" / "readme.txt").write_text("two cores")
    assert recognised(tmp_path / "set") == "stack"
    assert [(one.core, len(one.slices)) for one in find(tmp_path / "set")] == [("a", 4), ("b", 5)]


def test_a_header_beside_its_levels_is_one_volume(tmp_path: Path) -> None:
    header = "ObjectType = Image\nNDims = 3\nDimSize = 9 8 5\nElementType = MET_UCHAR\nElementDataFile = plug.raw\n"
    (tmp_path / "plug.mhd").write_text(header)
    (tmp_path / "plug.raw").write_bytes(levels_of(5, 8, 9).tobytes())
    (source,) = find(tmp_path)
    np.testing.assert_array_equal(source.slices[4], levels_of(5, 8, 9)[4])


def test_a_series_is_one_volume_and_folders_of_them_are_several(real_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pydicom")
    assert recognised(real_data / "core-ct") == "stack"
    (source,) = find(real_data / "core-ct")
    assert (len(source.slices), source.slices.size, source.slices.voxel_um) == (4, (512, 512), (500, 430, 430))
    for core in ("top", "foot"):
        (tmp_path / core).mkdir()
        for path in (real_data / "core-ct").iterdir():
            (tmp_path / core / path.name).write_bytes(path.read_bytes())
    assert [(one.core, len(one.slices)) for one in find(tmp_path)] == [("foot", 4), ("top", 4)]


# Pairs of slices


def pair(folder: Path, name: str, *, scale: int = 2, size: int = 8, tail: str = "", seed: int = 0) -> None:
    """`hr/<name>` and `lr/<name><tail>` below a folder."""
    for image, side, end in (("hr", scale * size, ""), ("lr", size, tail)):
        (folder / image).mkdir(parents=True, exist_ok=True)
        write_slice(folder / image / f"{name}{end}.png", levels_of(side, side, seed=seed))


@pytest.mark.parametrize("tail", ["", "x2", "X2"])
def test_pairs_have_the_same_names_or_a_tail_that_says_the_scale(tmp_path: Path, tail: str) -> None:
    for number in (3, 1, 2):
        pair(tmp_path / "set", f"{number:04d}", tail=tail, seed=number)
    assert recognised(tmp_path / "set") == "paired"
    (source,) = find(tmp_path / "set")
    assert (source.core, source.slices.numbers, source.splits) == ("set", (1, 2, 3), None)
    assert source.slices.names == ("hr/0001.png", "hr/0002.png", "hr/0003.png")
    for k in range(3):
        np.testing.assert_array_equal(source.slices[k], levels_of(16, 16, seed=k + 1))
        np.testing.assert_array_equal(source.lr[2][k], levels_of(8, 8, seed=k + 1))


def test_a_tail_is_only_cut_off_where_all_lr_names_have_it(tmp_path: Path) -> None:
    pair(tmp_path, "1x2")
    pair(tmp_path, "2")
    (source,) = find(tmp_path)
    assert source.lr[2].names == ("lr/1x2.png", "lr/2.png")


def test_pairs_may_lie_in_capital_folders_and_one_folder_per_core(tmp_path: Path) -> None:
    pair(tmp_path / "a", "7")
    for core in ("sand", "coal"):
        for image in ("hr", "lr"):
            (tmp_path / "set" / image.upper() / core).mkdir(parents=True)
            levels = (tmp_path / "a" / image / "7.png").read_bytes()
            (tmp_path / "set" / image.upper() / core / "7.png").write_bytes(levels)
    assert recognised(tmp_path / "set") == "paired"
    assert [one.core for one in find(tmp_path / "set")] == ["coal", "sand"]


def test_pairs_below_train_valid_and_test_bring_their_split(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "train", "valid", "test")):
        pair(tmp_path / split, f"{number}", seed=number)
    assert recognised(tmp_path) == "paired"
    (source,) = find(tmp_path)
    assert source.splits == ("train", "train", "valid", "test")
    assert not source.published


def test_several_scales_have_a_folder_each(tmp_path: Path) -> None:
    for number in range(3):
        for folder, side in (("hr", 16), ("lr_x2", 8), ("LR_X4", 4)):
            (tmp_path / folder).mkdir(exist_ok=True)
            write_slice(tmp_path / folder / f"{number}.png", levels_of(side, side, seed=number))
    (source,) = find(tmp_path, "paired", Reading(scales=(2, 4)))
    assert {scale: volume.size for scale, volume in source.lr.items()} == {2: (8, 8), 4: (4, 4)}
    with pytest.raises(FileNotFoundError, match="must hold a folder lr_x3 or lr, got"):
        find(tmp_path, "paired", Reading(scales=(3,)))


def test_pairs_of_several_sizes_are_accepted_on_request(tmp_path: Path) -> None:
    pair(tmp_path, "1", size=8)
    pair(tmp_path, "2", size=6)
    with pytest.raises(
        ValueError, match="got 16×16 in .*1.png and 12×12 in .*2.png; crop them, or say --several-sizes"
    ):
        find(tmp_path)
    found = find(tmp_path, reading=Reading(several_sizes=True))
    assert [(one.slices.size, one.lr[2].size) for one in found] == [((16, 16), (8, 8)), ((12, 12), (6, 6))]


def test_names_whose_numbers_do_not_tell_them_apart_are_numbered_by_place(tmp_path: Path) -> None:
    for name in ("b_SRF_2", "a_SRF_2"):
        pair(tmp_path, name)
    (source,) = find(tmp_path)
    assert source.slices.numbers == (0, 1)
    assert source.slices.names == ("hr/a_SRF_2.png", "hr/b_SRF_2.png")


# Scan pairs


def scans(folder: Path, *, depth: int, scale: int, slices: int = 4) -> tuple[Levels, Levels]:
    hr = save(folder / "hr_2um.npy", depth * slices, 6 * scale, 7 * scale)
    lr = save(folder / "lr_6um.npy", slices, 6, 7, seed=1)
    return hr, lr


@pytest.mark.parametrize(("depth", "scale", "middle"), [(1, 3, 0), (3, 3, 1), (2, 2, 1), (4, 4, 2)])
def test_lr_slices_pair_with_the_middle_of_the_hr_slices_they_cover(
    tmp_path: Path, depth: int, scale: int, middle: int
) -> None:
    hr, lr = scans(tmp_path / "plug", depth=depth, scale=scale)
    assert recognised(tmp_path / "plug") == "pair"
    (source,) = find(tmp_path / "plug", reading=Reading(scales=(scale,)))
    assert (source.core, source.depth, source.off_centre) == ("plug", depth, depth % 2 == 0)
    assert source.slices.numbers == source.lr[scale].numbers == tuple(depth * i + middle for i in range(4))
    for i in range(4):
        np.testing.assert_array_equal(source.slices[i], hr[depth * i + middle])
        np.testing.assert_array_equal(source.lr[scale][i], lr[i])


def test_scan_pairs_are_cut_along_any_axis(tmp_path: Path) -> None:
    hr, lr = scans(tmp_path, depth=3, scale=3)
    (source,) = find(tmp_path, "pair", Reading(scales=(3,), axis="x"))
    assert (len(source.slices), source.slices.size, source.lr[3].size) == (7, (12, 18), (4, 6))
    np.testing.assert_array_equal(source.slices[5], hr[:, :, 16])
    np.testing.assert_array_equal(source.lr[3][5], lr[:, :, 5])


@pytest.mark.parametrize(
    ("hr", "lr", "reason"),
    [
        ((9, 18, 21), (4, 6, 7), "^HR must have 1 or 3 slices for each LR slice, got 9 in .*hr.npy and 4 in .*lr.npy"),
        ((8, 18, 21), (4, 6, 7), "^HR must have 1 or 3 slices for each LR slice, got 8"),
        ((4, 18, 20), (4, 6, 7), "^HR must be 3 times as large as LR, got 18×20 in .* and 6×7 in .* be 18×21"),
    ],
)
def test_scans_of_other_ratios_are_refused(
    tmp_path: Path, hr: tuple[int, ...], lr: tuple[int, ...], reason: str
) -> None:
    save(tmp_path / "hr.npy", *hr)
    save(tmp_path / "lr.npy", *lr)
    with pytest.raises(ValueError, match=reason):
        find(tmp_path, "pair", Reading(scales=(3,)))


def test_scans_whose_voxels_do_not_fit_the_scale_are_refused(tmp_path: Path) -> None:
    for name, side, um in (("hr", 12, 2), ("lr", 4, 7)):
        tifffile.imwrite(
            tmp_path / f"{name}.tif",
            levels_of(side, side, side),
            imagej=True,
            resolution=(1 / um, 1 / um),
            metadata={"spacing": um, "unit": "um", "axes": "ZYX"},
        )
    with pytest.raises(
        ValueError, match="^LR voxel must be 6×6×6 µm for scale 3 and an HR voxel of 2×2×2 µm, got 7×7×7"
    ):
        find(tmp_path, "pair", Reading(scales=(3,)))


def test_scans_of_two_dtypes_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "hr.npy", 4, 12, 12)
    np.save(tmp_path / "lr.npy", levels_of(4, 4, 4).astype(np.uint16))
    with pytest.raises(ValueError, match="^HR and LR must share a dtype, got uint8 in .*hr.npy and uint16 in .*lr.npy"):
        find(tmp_path, "pair", Reading(scales=(3,)))


def test_a_scan_pair_has_one_scale_and_two_volumes(tmp_path: Path) -> None:
    scans(tmp_path, depth=1, scale=2)
    with pytest.raises(ValueError, match="^scale must be one for scanned LR, got 2, 4; name one$"):
        find(tmp_path, "pair", Reading(scales=(2, 4)))
    save(tmp_path / "hr_again.npy", 4, 4, 4)
    with pytest.raises(FileNotFoundError, match="one volume called hr… and one called lr…"):
        find(tmp_path, "pair", Reading(scales=(2,)))


# Unpaired


def test_unpaired_cores_hold_hr_or_lr(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("set/hr/sand", numbers=range(3), size=(16, 24))
    make_core("set/hr/coal", numbers=range(3), size=(16, 24))
    save(tmp_path / "set" / "lr" / "one.tif", 5, 8, 9)
    found = find(tmp_path / "set", "unpaired", Reading(scales=(3,)))
    assert [(one.core, one.images, len(one.slices), one.slices.size) for one in found] == [
        ("coal", ("hr",), 3, (16, 24)),
        ("sand", ("hr",), 3, (16, 24)),
        ("one", ("lr",), 5, (8, 9)),
    ]
    assert [one.hr is None for one in found] == [False, False, True]
    assert list(found[2].lr) == [3]
    assert recognised(tmp_path / "set") == "paired"  # never guessed


def test_links_out_of_the_folder_are_refused_in_every_layout(tmp_path: Path) -> None:
    pair(tmp_path / "set", "1")
    path = tmp_path / "set" / "lr" / "1.png"
    (tmp_path / "elsewhere.png").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ValueError, match="must stay inside .*--allow-external-links"):
        find(tmp_path / "set")
    (source,) = find(tmp_path / "set", reading=Reading(external_links=True))
    assert source.lr[2][0].shape == (8, 8)


def test_names_in_bytes_are_found(tmp_path: Path) -> None:
    pair(tmp_path / os.fsdecode(b"core \xff"), os.fsdecode(b"slice \xfe 1"))
    (source,) = find(tmp_path / os.fsdecode(b"core \xff"))
    assert source.core == r"core \xff"
    assert source.slices.names == (r"hr/slice \xfe 1.png",)
