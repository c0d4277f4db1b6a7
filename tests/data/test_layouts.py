"""What people have becomes a store whose LR is MATLAB's and whose splits do not leak."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coresr_data.degrade import bicubic
from coresr_data.intensity import Window
from coresr_data.layouts import find_cores, prepare
from coresr_data.store import Store
from coresr_data.volume import open_slices, write_slice

MakeCore = Callable[..., Path]


def test_one_folder_is_one_core(slices: Path) -> None:
    (core,) = find_cores(slices)
    assert (core.core, len(core)) == ("plug", 24)


def test_one_folder_per_core_is_several_cores_by_name(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/b", numbers=range(3))
    make_core("src/a", numbers=range(4))
    (tmp_path / "src" / "notes").mkdir()
    assert [(core.core, len(core)) for core in find_cores(tmp_path / "src")] == [("a", 4), ("b", 3)]


def test_slices_both_directly_and_below_are_refused_unless_the_layout_says_which(make_core: MakeCore) -> None:
    source = make_core("src", numbers=range(3))
    make_core("src/a", numbers=range(4))
    with pytest.raises(
        ValueError, match=r"or in one folder per core below it, got both \(a/ too\); say --layout slices"
    ):
        find_cores(source)
    assert [core.core for core in find_cores(source, "slices")] == ["src"]


def test_hidden_folders_are_passed_over(make_core: MakeCore) -> None:
    source = make_core("src", numbers=range(3))
    make_core("src/.thumbnails", numbers=range(4))
    assert [core.core for core in find_cores(source)] == ["src"]


def test_a_folder_without_slices_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_cores(tmp_path)
    with pytest.raises(FileNotFoundError):
        find_cores(tmp_path / "nowhere")


def test_hr_is_the_source_and_lr_is_hr_degraded_as_matlab_does(store: Store, slices: Path) -> None:
    volume = open_slices(slices)
    (core,) = store.manifest.cores
    hr, lr = store.hr(core), store.lr(core)
    assert len(core.slices) == 20
    for row, one in enumerate(core.slices):
        np.testing.assert_array_equal(hr[row], volume[volume.numbers.index(one.number)])
        np.testing.assert_array_equal(lr[row], bicubic(hr[row], 2))


def test_the_manifest_says_where_everything_came_from(store: Store) -> None:
    m = store.manifest
    (core,) = m.cores
    assert (m.scale, m.dtype, m.window, m.voxel_um, m.degradation) == (2, "uint8", (0, 255), 2.5, "bicubic")
    assert m.split == {"parts": [0.7, 0.15, 0.15], "gap": 2}
    assert (core.name, core.height, core.width, core.cropped) == ("plug", 24, 32, (0, 0))
    assert core.slices[3].source == "plug/slice_0003.png"
    assert len({one.sha256 for one in core.slices}) == 20
    by_split = {name: [one.number for one in core.slices if one.split == name] for name in ("train", "valid", "test")}
    assert by_split == {"train": [*range(14)], "valid": [16, 17, 18], "test": [21, 22, 23]}


def test_sizes_that_do_not_divide_are_cropped_at_the_far_edges_and_recorded(
    make_core: MakeCore, tmp_path: Path
) -> None:
    source = make_core("plug", numbers=range(12), size=(20, 26))
    store = prepare(source, tmp_path / "store", scale=3)
    (core,) = store.manifest.cores
    assert (core.height, core.width, core.cropped) == (6, 8, (2, 2))
    hr = store.hr(core)
    assert hr.shape[1:] == (18, 24)
    np.testing.assert_array_equal(hr[0], open_slices(source)[0][:18, :24])


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_levels_keep_their_dtype(tmp_path: Path, dtype: str) -> None:
    rng = np.random.default_rng(0)
    levels = (1000 * rng.random((12, 8, 12))).astype(dtype)
    for z, image in enumerate(levels):
        path = tmp_path / "plug" / f"{z}.tif"
        path.parent.mkdir(exist_ok=True)
        write_slice(path, image)
    store = prepare(tmp_path / "plug", tmp_path / "store", scale=2, window=Window(0, 1000))
    (core,) = store.manifest.cores
    assert store.hr(core).dtype == store.lr(core).dtype == dtype
    np.testing.assert_array_equal(store.hr(core)[0], levels[0])
    assert store.manifest.window == (0, 1000)


def test_float_slices_need_a_declared_window(tmp_path: Path) -> None:
    write_slice(tmp_path / "0.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="^window must be declared for float32"):
        prepare(tmp_path, tmp_path / "store", scale=2)
    assert not (tmp_path / "store").exists()


def test_cores_of_several_dtypes_are_refused(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(9))
    (tmp_path / "src" / "b").mkdir()
    write_slice(tmp_path / "src" / "b" / "0.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(
        ValueError, match="^cores must share a dtype, got uint8 in a and uint16 in b; prepare them apart$"
    ):
        prepare(tmp_path / "src", tmp_path / "store", scale=2)


def test_cores_of_several_sizes_share_a_store(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(9), size=(16, 24))
    make_core("src/b", numbers=range(9), size=(32, 20), seed=1)
    store = prepare(tmp_path / "src", tmp_path / "store", scale=2)
    assert [store.lr(core).shape[1:] for core in store.manifest.cores] == [(8, 12), (16, 10)]
    assert [one.split for one in store.manifest.cores[0].slices] == [
        one.split for one in store.manifest.cores[1].slices
    ]


def test_equal_slices_in_two_splits_are_refused_and_no_store_appears(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0023.png").write_bytes((source / "slice_0000.png").read_bytes())
    match = r"got plug/slice_0000\.png in train and plug/slice_0023\.png in test with equal levels"
    with pytest.raises(ValueError, match=match):
        prepare(source, tmp_path / "store", scale=2)
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_equal_slices_are_found_between_cores_too(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(24))
    make_core("src/b", numbers=range(100, 124), seed=1)
    (tmp_path / "src/b/slice_0123.png").write_bytes((tmp_path / "src/a/slice_0000.png").read_bytes())
    with pytest.raises(ValueError, match="splits must not share a slice"):
        prepare(tmp_path / "src", tmp_path / "store", scale=2)


def test_equal_slices_within_one_split_are_fine(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0001.png").write_bytes((source / "slice_0000.png").read_bytes())
    first, second = prepare(source, tmp_path / "store", scale=2).manifest.cores[0].slices[:2]
    assert first.sha256 == second.sha256
    assert first.split == second.split == "train"


def test_a_slice_of_another_size_ends_it_without_a_store(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(source / "slice_0005.png")
    with pytest.raises(ValueError, match=r"slice_0005\.png must be 48×64 uint8"):
        prepare(source, tmp_path / "store", scale=2)
    assert [path.name for path in tmp_path.iterdir()] == ["plug"]


def test_only_slices_of_a_split_are_read(make_core: MakeCore, tmp_path: Path) -> None:
    source = make_core("plug", numbers=range(24))
    (source / "slice_0010.png").write_bytes(b"")
    store = prepare(source, tmp_path / "store", scale=2, split={"train": (0, 5), "test": (20, 23)})
    assert [one.number for one in store.manifest.cores[0].slices] == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23]
    assert store.manifest.split == {"parts": {"train": [0, 5], "test": [20, 23]}, "gap": 2}


def test_a_taken_store_is_refused_untouched(store: Store, slices: Path) -> None:
    before = (store.path / "dataset.json").read_bytes()
    with pytest.raises(FileExistsError, match="remove it or name another"):
        prepare(slices, store.path, scale=2)
    assert (store.path / "dataset.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scale": 1}, "^scale must be 2 or more, got 1$"),
        ({"scale": 50}, "^slices must be at least 50 pixels a side for scale 50, got 48×64 in plug$"),
        ({"window": Window(5, 5)}, "^window must be LOW < HIGH"),
        ({"voxel_um": 0.0}, "^voxel size must be positive micrometres, got 0.0$"),
        ({"voxel_um": float("nan")}, "^voxel size must be positive"),
        ({"degradation": "nearest"}, "^degradation must be one of bicubic, got nearest$"),
        ({"gap": -1}, "^gap must be"),
        ({"split": (0.5, 0.5, 0.5)}, "^split must be three fractions"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(
    slices: Path, tmp_path: Path, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        prepare(slices, tmp_path / "new" / "store", **{"scale": 2, **options})
    assert list(tmp_path.iterdir()) == []


def test_the_real_sandstone_is_split_seven_one_one(sandstone: Store) -> None:
    (core,) = sandstone.manifest.cores
    assert [(one.number, one.split) for one in core.slices] == [
        *((number, "train") for number in (0, 50, 100, 150, 180, 200, 250)),
        (300, "valid"),
        (400, "test"),
    ]
    assert (core.height, core.width) == (288, 288)
    np.testing.assert_array_equal(sandstone.lr(core)[8], bicubic(sandstone.hr(core)[8], 2))


def test_a_slice_of_one_grey_level_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "plug").mkdir()
    for number in range(8):
        levels = np.random.default_rng(number).integers(0, 255, (16, 16)).astype(np.uint8)
        write_slice(tmp_path / "plug" / f"{number}.png", np.zeros_like(levels) if number == 7 else levels)
    with pytest.raises(ValueError, match=r"7\.png must hold rock, got grey level 0 alone"):
        prepare(tmp_path / "plug", tmp_path / "store", scale=2, gap=0)
    assert not (tmp_path / "store").exists()
    prepare(tmp_path / "plug", tmp_path / "store", scale=2, gap=0, split={"train": (0, 4), "valid": (5, 6)})
