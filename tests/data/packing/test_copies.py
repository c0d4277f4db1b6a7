"""Near copies across splits are found among thousands of slices in seconds, whatever lies between them."""

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coresr_data.packing.copies import copies
from coresr_data.packing.writing import Written
from coresr_data.split.similar import SIDE, frame_of, look, thumbnail
from coresr_data.store.manifest import Core, Slice

Levels = NDArray[np.uint8]


def written(folder: Path, name: str, levels: Levels, splits: list[str], *, image: str = "hr") -> Written:
    """A core of a store with these slices."""
    n, height, width = levels.shape
    (folder / name).mkdir()
    np.save(folder / name / ("hr.npy" if image == "hr" else "lr_x2.npy"), levels)
    slices = [Slice(number=z, split=split, source=f"{name}/{z}", sha256="") for z, split in enumerate(splits)]
    core = Core(
        name=name,
        folder=name,
        height=height,
        width=width,
        cropped=(0, 0),
        voxel_um=None,
        slices=tuple(slices),
        images=(image,),
    )
    frame = frame_of((height, width))
    thumbs = np.stack([thumbnail(look(one, frame)) for one in levels])
    assert len(thumbs) == n
    return Written(core=core, frame=frame, thumbs=thumbs)


def noise(n: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> Levels:
    return np.random.default_rng(seed).integers(0, 256, (n, *size)).astype(np.uint8)


def found(folder: Path, cores: list[Written]) -> list[tuple[str, str, tuple[str, str]]]:
    return [(copy.one, copy.other, copy.splits) for copy in copies(folder, cores, (2,))]


def test_copies_are_found_between_every_two_splits_and_cores_and_not_within_one(tmp_path: Path) -> None:
    one, other = noise(6), noise(6, seed=1)
    other[0], other[3], other[5] = one[1], one[2], one[5]
    splits = ["train", "train", "valid", "valid", "test", "test"]
    cores = [written(tmp_path, "a", one, splits), written(tmp_path, "b", other, splits)]
    assert found(tmp_path, cores) == []
    cores[1] = written(tmp_path, "c", other[::-1], splits)
    assert sorted(found(tmp_path, cores)) == [
        ("a/1", "c/5", ("train", "test")),
        ("c/0", "a/5", ("train", "test")),
    ]


def test_a_copy_that_drifted_by_a_few_pixels_is_found_where_its_thumbnail_still_shows_it(tmp_path: Path) -> None:
    big = np.kron(noise(1, (18, 18))[0], np.ones((16, 16))).astype(np.uint8)
    levels = np.stack([big[:256, :256], noise(1, (256, 256), 5)[0], big[2:258, 1:257]])
    assert found(tmp_path, [written(tmp_path, "a", levels, ["train", "train", "test"])]) == [
        ("a/0", "a/2", ("train", "test"))
    ]


def test_thumbnails_alike_do_not_make_slices_copies(tmp_path: Path) -> None:
    coarse = np.kron(noise(1, (32, 32))[0] // 4, np.ones((8, 8))).astype(float)
    fine = np.kron(np.random.default_rng(3).integers(-60, 61, (2, 64, 64)), np.ones((1, 4, 4)))
    fine -= fine.reshape(2, 32, 8, 32, 8).mean(axis=(2, 4)).repeat(8, axis=1).repeat(8, axis=2)
    levels = np.clip(96 + coarse + 1.5 * fine, 0, 255).astype(np.uint8)
    core = written(tmp_path, "a", levels, ["train", "test"])
    assert core.thumbs[0] @ core.thumbs[1] > 0.9
    assert found(tmp_path, [core]) == []


def test_slices_of_other_sizes_are_compared_by_their_thumbnails(tmp_path: Path) -> None:
    one = np.kron(noise(1, (32, 32))[0], np.ones((4, 4))).astype(np.uint8)
    other = np.kron(noise(1, (32, 32))[0], np.ones((6, 6))).astype(np.uint8)
    cores = [written(tmp_path, "a", one[None], ["train"]), written(tmp_path, "b", other[None], ["test"])]
    (copy,) = copies(tmp_path, cores, (2,))
    assert copy.likeness > 0.9
    assert str(copy) == "a/0 in train and b/0 in test"


def test_hr_is_compared_with_hr_and_lr_with_lr(tmp_path: Path) -> None:
    levels = noise(2)
    cores = [
        written(tmp_path, "a", levels, ["train", "train"]),
        written(tmp_path, "b", levels, ["test", "test"], image="lr"),
    ]
    assert found(tmp_path, cores) == []
    cores.append(written(tmp_path, "c", levels[1:], ["train"], image="lr"))
    assert found(tmp_path, cores) == [("c/0", "b/1", ("train", "test"))]


def test_ten_thousand_slices_are_compared_in_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 10_000
    thumbs = rng.standard_normal((n, SIDE * SIDE), np.float32)
    thumbs /= np.linalg.norm(thumbs, axis=1, keepdims=True)
    thumbs[9000] = thumbs[10]
    levels = np.broadcast_to(noise(1, (16, 16)), (n, 16, 16))
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "hr.npy", levels)
    few = written(tmp_path, "b", noise(1, (16, 16)), ["train"])
    splits = ["train"] * 7000 + ["valid"] * 1500 + ["test"] * 1500
    slices = tuple(Slice(number=z, split=split, source=f"a/{z}", sha256="") for z, split in enumerate(splits))
    core = Core(name="a", folder="a", height=16, width=16, cropped=(0, 0), voxel_um=None, slices=slices)
    start = time.process_time()
    (copy,) = copies(tmp_path, [Written(core=core, frame=few.frame, thumbs=thumbs)], (2,))
    assert (copy.one, copy.other) == ("a/10", "a/9000")
    assert time.process_time() - start < 20  # of processor time; about two seconds on two idle cores
    assert copy.likeness == pytest.approx(1)
