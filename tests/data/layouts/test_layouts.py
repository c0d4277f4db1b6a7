"""What people have is found: which files are which core's HR and LR."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from coresr_data.formats import open_volume
from coresr_data.formats.images import write_slice
from coresr_data.formats.raw import raw_header
from coresr_data.layouts import LAYOUTS, Layout, Reading, find, recognised
from coresr_data.layouts.skipping import without_bad
from coresr_data.volume import Axis

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


# Slices beside volumes

HEADER = "ObjectType = Image\nNDims = 3\nDimSize = 9 8 5\nElementType = MET_UCHAR\nElementDataFile = v.raw\n"


@pytest.mark.parametrize("name", ["v.mhd", "v.raw", "a.dcm", "v.npy", "v.nii"])
def test_a_preview_beside_a_volume_is_not_taken_for_the_data(tmp_path: Path, name: str) -> None:
    write_slice(tmp_path / "preview.png", levels_of(8, 8))
    (tmp_path / name).write_text(HEADER)
    match = f"^folder must hold slice images or a volume, got both in .*: preview.png and {name}; give each a folder"
    for look in (find, open_volume):
        with pytest.raises(ValueError, match=match):
            look(tmp_path)


def test_a_folder_that_is_a_volume_counts_beside_slices_too(make_core: MakeCore) -> None:
    source = make_core("src", numbers=range(3))
    (source / "labels.zarr").mkdir()
    (source / "labels.zarr" / "zarr.json").write_text("{}")
    os.mkfifo(source / "pipe")
    with pytest.raises(ValueError, match=r"got both in .*src: slice_0000\.png and labels\.zarr; give each a folder"):
        find(source)


def test_a_layout_that_is_said_chooses_between_a_preview_and_a_volume(tmp_path: Path) -> None:
    write_slice(tmp_path / "preview.png", levels_of(8, 9))
    save(tmp_path / "plug.tif", 5, 8, 9)
    with pytest.raises(ValueError, match=r"preview\.png and plug\.tif; .*, or say --layout slices for the images$"):
        find(tmp_path)
    assert [one.core for one in find(tmp_path, "stack")] == ["plug"]


def test_folders_of_slices_beside_a_volume_are_refused(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(3))
    save(tmp_path / "src" / "b.npy", 5, 8, 9)
    with pytest.raises(ValueError, match=r"^source must hold folders of slices or volumes, got both .*: a/ and b\.npy"):
        find(tmp_path / "src")
    assert [one.core for one in find(tmp_path / "src", "slices")] == ["a"]


# Options


@pytest.mark.parametrize(
    ("layout", "reading", "said"),
    [
        ("paired", Reading(axis="x"), "axis must be left out where the layout is paired, got x"),
        ("slices", Reading(rocks=("sandstone", "coal")), "rock must be .* is slices, got sandstone, coal"),
        ("pair", Reading(rocks=("coal",)), "rock must be left out where the layout is pair, got coal"),
        ("slices", Reading(variable="temp"), "variable must be left out where the layout is slices, got temp"),
        ("paired", Reading(variable="temp"), "variable must be left out where the layout is paired, got temp"),
        ("slices", Reading(raw=raw_header("2x3x4:uint8")), "raw must be left out where the layout is slices, got a h"),
        ("deeprock", Reading(axis="y"), "axis must be left out where the layout is deeprock, got y"),
    ],
)
def test_options_that_a_layout_has_no_use_for_are_refused(
    slices: Path, layout: Layout, reading: Reading, said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}.*; drop it$"):
        find(slices, layout, reading)


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
    pair(tmp_path, "2y2")
    (source,) = find(tmp_path)
    assert source.lr[2].names == ("lr/1x2.png", "lr/2y2.png")


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


def test_pairs_whose_last_number_is_constant_are_ordered_by_the_one_that_varies(tmp_path: Path) -> None:
    for number in range(1, 13):
        pair(tmp_path, f"s{number}_8bit", size=4, seed=number)
    (source,) = find(tmp_path)
    assert source.slices.numbers == tuple(range(1, 13))
    np.testing.assert_array_equal(source.slices[9], levels_of(8, 8, seed=10))
    np.testing.assert_array_equal(source.lr[2][9], levels_of(4, 4, seed=10))


def test_a_pair_without_a_number_among_numbers_is_refused(tmp_path: Path) -> None:
    for name in ("1", "2", "overview"):
        pair(tmp_path, name)
    with pytest.raises(ValueError, match=r"as many numbers, got .*hr/overview\.png with 0 where most hold 1; rename"):
        find(tmp_path)


def test_splits_that_count_anew_follow_one_another_by_number(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for number in (1, 2, 10):
            pair(tmp_path / split, f"{number}")
    (source,) = find(tmp_path)
    assert source.slices.numbers == tuple(range(9))
    assert [path.stem for path in source.slices.sources] == ["1", "2", "10"] * 3
    assert source.splits == ("train",) * 3 + ("valid",) * 3 + ("test",) * 3


def pair_of_pixels(folder: Path, name: str, *um: float | None) -> None:
    pair(folder, name)
    for image, side, um_ in zip(("hr", "lr"), (16, 8), um, strict=True):
        write_slice(folder / image / f"{name}.png", levels_of(side, side), voxel_um=None if um_ is None else (um_, um_))


@pytest.mark.parametrize(("hr", "lr"), [((2, 2, 5), (4, 4, 10)), ((2, 2, 2), (4, 4, 10))], ids=["hr", "lr"])
def test_paired_slices_share_one_voxel(tmp_path: Path, hr: tuple[float, ...], lr: tuple[float, ...]) -> None:
    for number in range(3):
        pair_of_pixels(tmp_path, f"{number}", hr[number], lr[number])
    (source,) = find(tmp_path)
    with pytest.raises(ValueError, match=r"2\.png must have voxels of \d×\d×\d µm like most of its core, got"):
        [volume[2] for volume in (source.slices, source.lr[2])]


def test_a_voxel_that_only_lr_says_is_that_of_hr_times_the_scale(tmp_path: Path) -> None:
    for number in range(3):
        pair_of_pixels(tmp_path, f"{number}", None, 4)
    (source,) = find(tmp_path)
    assert source.slices.voxel_um == (2, 2, 2)


def test_pairs_whose_pixels_do_not_fit_the_scale_are_refused(tmp_path: Path) -> None:
    pair_of_pixels(tmp_path, "1", 2, 5)
    with pytest.raises(ValueError, match="^LR voxel must be 4×4×4 µm for scale 2 and an HR voxel of 2×2×2 µm, got 5×5"):
        find(tmp_path)


# Leaving out what is bad


def test_a_slice_without_a_number_is_left_out_on_request_and_the_others_keep_theirs(make_core: MakeCore) -> None:
    source = make_core("plug", numbers=range(0))
    for number in range(1, 13):
        write_slice(source / f"slice{number}.png", levels_of(8, 8, seed=number))
    (source / "overview.png").write_bytes(b"junk")
    (found,) = find(source, reading=Reading(skip_bad=True))
    assert found.slices.numbers == tuple(range(1, 13))
    assert found.slices.names[9] == "slice10.png"
    assert found.skipped == (
        ("plug/overview.png", "slice names must all hold as many numbers, got overview.png with 0 where most hold 1"),
    )


def test_slices_of_one_name_are_refused_whatever_is_left_out(make_core: MakeCore) -> None:
    source = make_core("plug", numbers=range(6), size=(8, 8))
    tifffile.imwrite(source / "slice_0004.tif", levels_of(8, 8), photometric="minisblack")
    with pytest.raises(ValueError, match=r"^names must differ in more than suffix, .*slice_0004\.png and .*0004\.tif"):
        find(source, reading=Reading(skip_bad=True))


def test_slices_of_another_voxel_than_most_are_left_out_on_request(tmp_path: Path) -> None:
    for number, um in enumerate((5, 2, 2, 2)):
        write_slice(tmp_path / f"{number}.png", levels_of(8, 8, seed=number), voxel_um=(um, um))
    (found,) = (without_bad(one) for one in find(tmp_path, reading=Reading(skip_bad=True)))
    assert (found.slices.numbers, found.slices.voxel_um) == ((1, 2, 3), (2, 2, 2))
    ((name, why),) = found.skipped
    assert name.endswith("/0.png")
    assert "must have voxels of 2×2×2 µm like most of its core, got 5×5×5 µm" in why


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


def test_a_voxel_that_only_lr_says_is_that_of_hr_scans_times_the_ratio(tmp_path: Path) -> None:
    save(tmp_path / "hr.npy", 4, 12, 12)
    saying = {"spacing": 2, "unit": "um", "axes": "ZYX"}
    tifffile.imwrite(tmp_path / "lr.tif", levels_of(4, 4, 4), imagej=True, resolution=(1 / 6, 1 / 6), metadata=saying)
    (source,) = find(tmp_path, "pair", Reading(scales=(3,)))
    assert source.slices.voxel_um == pytest.approx((2, 2, 2), rel=1e-6)


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


def folders(root: Path, hr: range, lr: range) -> Path:
    """A scan pair of two folders of slices, by their numbers."""
    for image, numbers, side in (("hr_2um", hr, 12), ("lr_6um", lr, 4)):
        (root / image).mkdir(parents=True)
        for number in numbers:
            write_slice(root / image / f"{number:03d}.png", levels_of(side, side, seed=number))
    return root


def test_folders_of_slices_pair_by_their_numbers(tmp_path: Path) -> None:
    reading = Reading(scales=(3,))
    (source,) = find(folders(tmp_path / "even", range(5, 9), range(5, 9)), "pair", reading)
    assert source.slices.numbers == (5, 6, 7, 8)
    (source,) = find(folders(tmp_path / "deep", range(12), range(4)), "pair", reading)
    assert source.slices.numbers == (1, 4, 7, 10)


@pytest.mark.parametrize("axis", ["z", "x"])
def test_folders_of_slices_of_other_numbers_are_refused_with_those(tmp_path: Path, axis: Axis) -> None:
    source = folders(tmp_path, range(1, 9), range(3, 11))
    with pytest.raises(
        ValueError, match=r"^HR and LR must have the same slice numbers, got HR alone 1, 2; LR alone 9, 10"
    ):
        find(source, "pair", Reading(scales=(3,), axis=axis))


def test_folders_of_slices_of_a_ratio_of_depths_must_have_no_gap(tmp_path: Path) -> None:
    source = folders(tmp_path, range(12), range(4))
    (source / "hr_2um" / "004.png").rename(source / "hr_2um" / "012.png")
    with pytest.raises(
        ValueError,
        match="^slices must be numbered without gaps to be paired by depth, got none between 3 and 5 in .*hr_2um;",
    ):
        find(source, "pair", Reading(scales=(3,)))


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


@pytest.mark.parametrize("layout", ["stack", "pair"])
def test_a_volume_that_links_to_elsewhere_must_be_allowed(tmp_path: Path, layout: Layout) -> None:
    scans(tmp_path / "elsewhere", depth=1, scale=2)
    (tmp_path / "set").mkdir()
    for path in (tmp_path / "elsewhere").iterdir():
        (tmp_path / "set" / path.name).symlink_to(path)
    with pytest.raises(ValueError, match="must stay inside .*set, got .*--allow-external-links"):
        find(tmp_path / "set", layout)
    assert find(tmp_path / "set", layout, Reading(external_links=True))
    (tmp_path / "set" / "more.npy").symlink_to("gone.npy")
    with pytest.raises(FileNotFoundError, match=r"more\.npy must lead to a file, got gone\.npy, which is not there"):
        find(tmp_path / "set", "stack", Reading(external_links=True))


def test_a_linked_folder_must_be_allowed_and_is_called_by_its_link(make_core: MakeCore, tmp_path: Path) -> None:
    elsewhere = make_core("elsewhere", numbers=range(3))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "sand").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="sand must stay inside .*set, got .*--allow-external-links"):
        find(tmp_path / "set")
    assert [one.core for one in find(tmp_path / "set", reading=Reading(external_links=True))] == ["sand"]


def test_linked_folders_of_pairs_must_be_allowed(tmp_path: Path) -> None:
    pair(tmp_path / "elsewhere", "1")
    (tmp_path / "set").mkdir()
    for image in ("hr", "lr"):
        (tmp_path / "set" / image).symlink_to(tmp_path / "elsewhere" / image)
    with pytest.raises(ValueError, match="hr must stay inside .*set, got .*--allow-external-links"):
        find(tmp_path / "set")
    assert [one.core for one in find(tmp_path / "set", reading=Reading(external_links=True))] == ["set"]


def test_names_in_bytes_are_found(tmp_path: Path) -> None:
    pair(tmp_path / os.fsdecode(b"core \xff"), os.fsdecode(b"slice \xfe 1"))
    (source,) = find(tmp_path / os.fsdecode(b"core \xff"))
    assert source.core == r"core \xff"
    assert source.slices.names == (r"hr/slice \xfe 1.png",)
