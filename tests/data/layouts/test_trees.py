"""DeepRock-SR loads as it is downloaded: every name, split and variant of the published tree, in one command."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from PIL import Image

from coresr_data.layouts import Reading, find, recognised
from coresr_data.layouts.trees import find_in_trees, trees
from coresr_data.packing import prepare
from coresr_data.store import Store

Levels = NDArray[np.uint8]

KINDS = ("sandstone", "carbonate", "coal", "shuffled")
NUMBERS = {  # the first of each published split, and a few more
    "train": (1, 2, 3),
    "valid": (3201,),
    "test": (3601, 4000),
}
SHUFFLED = {"train": (1, 9600), "valid": (9601,), "test": (10801, 12000)}


def slow_imresize(levels: Levels, scale: int) -> Levels:
    """MATLAB's `imresize(levels, 1 / scale)`: rows, then columns, each rounded half up and clipped; tap by tap."""

    def cubic(x: float) -> float:
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0.0

    def along_rows(image: NDArray[np.float64]) -> NDArray[np.float64]:
        n, out = len(image), []
        for i in range(n // scale):
            centre = (i + 0.5) * scale - 0.5
            taps = range(math.floor(centre - 2 * scale), math.ceil(centre + 2 * scale) + 1)
            weights = [cubic((centre - tap) / scale) for tap in taps]
            row = np.zeros(image.shape[1])
            for tap, weight in zip(taps, weights, strict=True):
                mirrored = -tap - 1 if tap < 0 else 2 * n - 1 - tap if tap >= n else tap
                row += weight / sum(weights) * image[mirrored]
            out.append(np.clip(np.floor(row + 0.5), 0, 255))
        return np.array(out)

    return along_rows(along_rows(levels.astype(float)).T).T.astype(np.uint8)


def write_rgb(path: Path, levels: Levels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(levels[:, :, None], 3, axis=2)).save(path)


def grains(seed: int, size: int) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (size, size)).astype(np.uint8)


def write_tree(root: Path, *, size: int = 16) -> Path:
    """`DeepRockSR-2D` with every folder and name that was published, and few and tiny images."""
    for k, kind in enumerate(KINDS):
        for split, numbers in (SHUFFLED if kind == "shuffled" else NUMBERS).items():
            for number in numbers:
                hr = grains(100_000 * k + number, size)
                here = root / f"{kind}2D"
                write_rgb(here / f"{kind}2D_{split}_HR" / f"{number:04d}.png", hr)
                for scale in (2, 4):
                    lr = slow_imresize(hr, scale)
                    write_rgb(here / f"{kind}2D_{split}_LR_default_X{scale}" / f"{number:04d}x{scale}.png", lr)
                    write_rgb(here / f"{kind}2D_{split}_LR_unknown_X{scale}" / f"{number:04d}x{scale}.png", 255 - lr)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(tmp_path_factory.mktemp("downloads") / "DeepRockSR-2D")


def rows(store: Store) -> Iterator[tuple[str, int, str, Levels, Levels]]:
    for core in store.manifest.cores:
        for row, one in enumerate(core.slices):
            yield core.name, one.number, one.split, store.hr(core)[row], store.lr(core)[row]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degradation", ["default", "unknown"])
@pytest.mark.parametrize("scale", [2, 4])
def test_every_rock_variant_and_scale_loads_with_its_published_split(
    tree: Path, tmp_path: Path, kind: str, degradation: str, scale: int
) -> None:
    store = prepare(tree, tmp_path / "store", scale=scale, layout="deeprock", rock=kind, degradation=degradation)
    m = store.manifest
    assert (m.scales, m.degradation, m.dtype, m.split["parts"]) == ((scale,), degradation, "uint8", "folders")
    published = SHUFFLED if kind == "shuffled" else NUMBERS
    found = list(rows(store))
    assert [(core, number, split) for core, number, split, _, _ in found] == [
        (kind, number, split) for split, numbers in published.items() for number in numbers
    ]
    for _, number, _, hr, lr in found:
        expected = grains(100_000 * KINDS.index(kind) + number, 16)
        np.testing.assert_array_equal(hr, expected)
        made = slow_imresize(expected, scale)
        np.testing.assert_array_equal(lr, made if degradation == "default" else 255 - made)
    first = f"{published['train'][0]:04d}"
    assert m.cores[0].slices[0].source == f"{kind}/{kind}2D_train_HR/{first}.png"


def test_without_flags_every_rock_but_the_shuffled_one_is_taken(tree: Path, tmp_path: Path) -> None:
    assert recognised(tree) == "deeprock"
    store = prepare(tree, tmp_path / "store", scale=2)
    assert [core.name for core in store.manifest.cores] == ["carbonate", "coal", "sandstone"]
    assert store.manifest.degradation == "default"
    assert store.manifest.degradation_parameters["pairs"]["coal"] == {
        "hr_slices_per_lr_slice": 1,
        "hr_voxels_off_centre": 0,
    }


def test_both_scales_lie_beside_each_other(tree: Path, tmp_path: Path) -> None:
    store = prepare(tree, tmp_path / "store", scale=(4, 2), rock=("coal", "sandstone"))
    assert store.manifest.scales == (2, 4)
    core = store.manifest.cores[0]
    assert core.name == "coal"
    for scale in (2, 4):
        np.testing.assert_array_equal(store.at(scale).lr(core)[0], slow_imresize(store.hr(core)[0], scale))


def test_a_set_that_counts_anew_in_every_split_is_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for number in (1, 2, 10):
            write_rgb(tmp_path / "coal2D" / f"coal2D_{split}_HR" / f"{number}.png", grains(number, 8))
    (source,) = find(tmp_path, reading=Reading(degradation=None))
    assert [path.stem for path in source.slices.sources] == ["1", "2", "10"] * 2
    assert source.slices.numbers == tuple(range(6))


def test_links_out_of_a_set_must_be_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "coal2D" / "coal2D_train_HR"
    write_rgb(folder / "1.png", grains(1, 8))
    write_rgb(tmp_path / "elsewhere.png", grains(2, 8))
    (folder / "2.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ValueError, match=r"2\.png must stay inside .*coal2D_train_HR, got .*--allow-external-links"):
        find(tmp_path, reading=Reading(degradation=None))
    (source,) = find(tmp_path, reading=Reading(degradation=None, external_links=True))
    assert len(source.slices) == 2


@pytest.mark.parametrize("place", [".", "..", "sandstone2D"])
def test_the_root_the_folder_around_it_and_one_rock_are_recognised(tree: Path, place: str) -> None:
    source = tree / place
    assert recognised(source) == "deeprock"
    found = [one.rock for one in trees(source)]
    assert found == (["sandstone"] if place == "sandstone2D" else ["carbonate", "coal", "sandstone", "shuffled"])


def test_a_set_of_the_same_names_under_another_root_is_called_after_it(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "DRSRD1_2D", size=8)
    assert recognised(root) == "drsrd1"
    (source,) = find(root, "drsrd1", Reading(scales=(4,), rocks=("coal",), degradation="unknown"))
    assert source.lr[4].size == (2, 2)


def test_our_bicubic_lr_is_the_sets_default_lr_bit_by_bit(tmp_path: Path) -> None:
    root = tmp_path / "DeepRockSR-2D"
    base = root / "sandstone2D"
    rng = np.random.default_rng(0)
    hr = (np.add.outer(np.arange(500), np.arange(500)) % 256 * 0.5 + rng.integers(0, 128, (500, 500))).astype(np.uint8)
    hr[:9, :9] = 255
    write_rgb(base / "sandstone2D_train_HR" / "0001.png", hr)
    for scale in (2, 4):
        write_rgb(base / f"sandstone2D_train_LR_default_X{scale}" / f"0001x{scale}.png", slow_imresize(hr, scale))
    theirs = prepare(root, tmp_path / "theirs", scale=(2, 4))
    ours = prepare(root, tmp_path / "ours", scale=(2, 4), degradation="bicubic")
    assert (theirs.manifest.degradation, ours.manifest.degradation) == ("default", "bicubic")
    (core,) = ours.manifest.cores
    for scale, side in ((2, 250), (4, 125)):
        lr = ours.at(scale).lr(core)
        assert lr.shape == (1, side, side)
        np.testing.assert_array_equal(lr, theirs.at(scale).lr(theirs.manifest.cores[0]))


def test_neighbours_on_both_sides_of_a_published_border_are_a_caution_and_no_refusal(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "DeepRockSR-2D")
    last, first = root / "coal2D/coal2D_train_HR/0003.png", root / "coal2D/coal2D_valid_HR/3201.png"
    first.write_bytes(last.read_bytes())
    store = prepare(root, tmp_path / "store", scale=2, rock="coal")
    (core,) = store.manifest.split["cores"]
    assert core["published"]
    assert core["borders"][0] == {"above": 3, "below": 3201, "splits": ["train", "valid"], "likeness": 1.0}
    (copy,) = store.manifest.split["copies"]
    assert (copy["one"], copy["other"]) == ("coal/coal2D_train_HR/0003.png", "coal/coal2D_valid_HR/3201.png")
    assert store.manifest.split["equal"] == [["train", copy["one"], "valid", copy["other"]]]


def test_a_set_that_counts_from_one_in_every_split_is_numbered_through(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("test", 9)):
        for number in (1, 2):
            base = tmp_path / "set" / "coal2D"
            write_rgb(base / f"coal2D_{split}_HR" / f"{number:04d}.png", grains(seed + number, 8))
            write_rgb(base / f"coal2D_{split}_LR_default_X2" / f"{number:04d}x2.png", grains(seed + number, 4))
    (source,) = find_in_trees(tmp_path / "set", scales=(2,))
    assert source.splits == ("train", "train", "test", "test")
    assert source.slices.numbers == (0, 1, 2, 3)
    np.testing.assert_array_equal(source.slices[2], grains(10, 8))
    np.testing.assert_array_equal(source.lr[2][2], grains(10, 4))


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        ({"rock": "chalk"}, ValueError, "^rock must be one of carbonate, coal, sandstone, shuffled, got chalk$"),
        ({"rock": ("shuffled", "coal")}, ValueError, "^rock shuffled must stand alone, got shuffled, coal"),
        ({"scale": 3}, FileNotFoundError, "carbonate2D_train_LR_default_X3, which is not there; choose another scale"),
        ({"split": (0.7, 0.15, 0.15)}, ValueError, r"^split must be the one that the folders say, got \[0.7"),
        ({"layout": "drsrd1", "degradation": "worse"}, ValueError, "^degradation must be one of bicubic"),
    ],
)
def test_what_the_set_does_not_hold_is_refused(
    tree: Path, tmp_path: Path, options: dict[str, object], kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        prepare(tree, tmp_path / "store", **{"scale": 2, **options})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_such_a_tree_is_missing_input(tmp_path: Path) -> None:
    (tmp_path / "sandstone2D").mkdir()
    with pytest.raises(FileNotFoundError, match="^source must hold folders like sandstone2D/sandstone2D_train_HR"):
        find(tmp_path, "deeprock")


@pytest.mark.parametrize("missing", ["train_HR/0002.png", "train_LR_default_X2/0002x2.png"])
def test_an_image_without_its_partner_is_named(tmp_path: Path, missing: str) -> None:
    root = write_tree(tmp_path / "DeepRockSR-2D")
    (root / "coal2D" / f"coal2D_{missing}").unlink()
    alone = "LR alone 0002x2.png" if "HR" in missing else "HR alone 0002.png"
    with pytest.raises(ValueError, match=f"must have the same names, got {alone}; add or remove these"):
        find(root, "deeprock", Reading(rocks=("coal",)))


def test_an_lr_of_another_size_is_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path / "DeepRockSR-2D")
    write_rgb(root / "coal2D/coal2D_train_LR_default_X2/0001x2.png", grains(0, 7))
    match = (
        "HR must be 2 times as large as LR, got 16×16 in .*0001.png and 7×7 in .*0001x2.png, where HR should be 14×14"
    )
    with pytest.raises(ValueError, match=match):
        find(root, "deeprock", Reading(rocks=("coal",)))


# Three dimensions


def save_v5(path: Path, volume: Levels) -> None:
    scipy.io.savemat(path, {"temp": volume})


def save_v73(path: Path, volume: Levels) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB writes the axes in the other order
        file["temp"] = volume.transpose()
        file["temp"].attrs["MATLAB_class"] = np.bytes_("uint8")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


@pytest.mark.parametrize("save", [save_v5, save_v73])
def test_volumes_are_one_core_whose_middle_slices_pair(tmp_path: Path, save: Callable[[Path, Levels], None]) -> None:
    rng = np.random.default_rng(0)
    base = tmp_path / "DeepRockSR-3D" / "carbonate3D"
    volumes = {}
    for split, number in (("train", 1), ("train", 2), ("valid", 1601), ("test", 1801)):
        for images, side, tail in (("HR", 16, ""), ("LR_default_X4", 4, "x4")):
            volume = rng.integers(0, 256, (side, side, side)).astype(np.uint8)  # y, x, z as MATLAB counts
            folder = base / f"carbonate3D_{split}_{images}"
            folder.mkdir(parents=True, exist_ok=True)
            save(folder / f"{number:04d}{tail}.mat", volume)
            volumes[number, images] = volume
    store = prepare(tmp_path / "DeepRockSR-3D", tmp_path / "store", scale=4)
    (core,) = store.manifest.cores
    hr, lr = store.hr(core), store.lr(core)
    assert (hr.shape, lr.shape) == ((16, 16, 16), (16, 4, 4))
    assert [(one.number, one.split) for one in core.slices[::4]] == [
        (18, "train"), (34, "train"), (25618, "valid"), (28818, "test"),
    ]  # fmt: skip
    assert core.slices[5].source == "carbonate/carbonate3D_train_HR/0002.mat[6]"
    for place, number in enumerate((1, 2, 1601, 1801)):
        for k in range(4):
            np.testing.assert_array_equal(hr[4 * place + k], volumes[number, "HR"][:, :, 4 * k + 2])
            np.testing.assert_array_equal(lr[4 * place + k], volumes[number, "LR_default_X4"][:, :, k])
    assert store.manifest.degradation_parameters["pairs"]["carbonate"] == {
        "hr_slices_per_lr_slice": 4,
        "hr_voxels_off_centre": 0.5,
    }
    with pytest.raises(ValueError, match="^scale must be one for a 3D set, got 2, 4; prepare them apart$"):
        (base / "carbonate3D_train_LR_default_X2").mkdir()
        prepare(tmp_path / "DeepRockSR-3D", tmp_path / "other", scale=(2, 4))


def test_a_volume_of_another_depth_is_named(tmp_path: Path) -> None:
    base = tmp_path / "DeepRockSR-3D" / "coal3D"
    for number, depth in ((1, 8), (2, 4)):
        for images, side, tail in (("HR", 8, ""), ("LR_default_X4", 2, "x4")):
            (base / f"coal3D_train_{images}").mkdir(parents=True, exist_ok=True)
            save_v5(
                base / f"coal3D_train_{images}" / f"{number:04d}{tail}.mat",
                np.arange(side * side * depth * side // 8, dtype=np.uint8).reshape(side, side, -1),
            )
    with pytest.raises(ValueError, match="0002.mat must have 8 slices like .*0001.mat, got 4; remove it$"):
        prepare(tmp_path / "DeepRockSR-3D", tmp_path / "store", scale=4)


def test_flat_and_deep_sets_in_one_folder_are_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "coal3D" / "coal3D_train_HR").mkdir(parents=True)
    (tmp_path / "coal2D").symlink_to(tree / "coal2D")
    with pytest.raises(ValueError, match="^source must hold a 2D or a 3D set, got both in"):
        find(tmp_path, "deeprock")
