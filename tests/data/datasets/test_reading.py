"""What a run reads is what lies in the store, and what lay there when it started."""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from coresr_data.datasets import Paired
from coresr_data.datasets.batches import StepBatches
from coresr_data.datasets.reading import Arrays, Cuts, whole_slices
from coresr_data.intensity import from_unit
from coresr_data.patches import draw
from coresr_data.store import HR, Store, open_store

MakeStore = Callable[..., Store]
Mask = NDArray[np.bool_]


def levels(store: Store, image: Tensor) -> NDArray[np.uint8]:
    return np.asarray(from_unit(image.numpy(), store.manifest.window, store.manifest.dtype))


def disc(height: int, width: int) -> Mask:
    y, x = np.mgrid[:height, :width]
    return np.asarray((y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 2) ** 2)


# Arrays


def test_arrays_are_mapped_once_and_are_the_stores(store: Store) -> None:
    (core,) = store.manifest.cores
    arrays = Arrays(store)
    assert arrays(core, HR) is arrays(core, HR)
    assert type(arrays(core, HR)) is np.ndarray
    assert not arrays(core, HR).flags.writeable
    np.testing.assert_array_equal(arrays(core, HR), store.hr(core))


def test_pickled_arrays_carry_no_pixels(store: Store) -> None:
    arrays = Arrays(store)
    arrays(store.manifest.cores[0], HR)
    carried = pickle.dumps(arrays)
    assert len(carried) < len(pickle.dumps(store)) + 1000
    again = pickle.loads(carried)  # noqa: S301  # our own bytes
    np.testing.assert_array_equal(again(store.manifest.cores[0], HR), store.hr(store.manifest.cores[0]))


def aged(store: Store) -> Store:
    """The store as if written long ago: clocks of file systems tick in milliseconds."""
    for path in store.stamps:
        os.utime(path, ns=(0, 0))
    return open_store(store.path)


def cut_short(path: Path) -> None:
    os.truncate(path, 200)


def touch(path: Path) -> None:
    os.utime(path)


def rewrite(path: Path) -> None:
    np.save(path, np.zeros_like(np.load(path)))


@pytest.mark.parametrize("harm", [cut_short, touch, rewrite, Path.unlink])
@pytest.mark.parametrize("name", ["hr.npy", "lr_x2.npy", "mask.npy"])
def test_a_file_that_changes_or_vanishes_during_an_epoch_is_an_error_that_says_so(
    make_store: MakeStore, harm: Callable[[Path], None], name: str
) -> None:
    store = aged(make_store("store", mask=disc(48, 64)[None]))
    dataset = Paired(store, patch=16)
    before = [dataset[number] for number in range(3)]
    assert before
    path = store.path / "core0" / name
    harm(path)
    with pytest.raises(ValueError, match=rf"core0/{name} must stay as it is while it is read, .*changed since start"):
        dataset[3]
    with pytest.raises(ValueError, match="changed since start"):
        Paired(store, patch=16)[0]  # the store was opened before, the file is mapped only now


def test_a_worker_says_so_too_and_lives(make_store: MakeStore) -> None:
    store = make_store("store")
    loader = iter(DataLoader(Paired(store, patch=16), batch_sampler=StepBatches(batch=2), num_workers=1))
    next(loader)
    time.sleep(1)  # the worker has read ahead and waits: cut while it reads, the file would kill it
    cut_short(store.path / "core0" / "hr.npy")
    with pytest.raises(ValueError, match=r"hr\.npy must stay as it is while it is read, .*changed since start"):
        for _ in range(10):  # some were read before
            next(loader)


def test_whole_slices_are_watched_as_well(make_store: MakeStore) -> None:
    store = make_store("store")
    slices = whole_slices(store, "train")
    next(slices)
    cut_short(store.path / "core0" / "lr_x2.npy")
    with pytest.raises(ValueError, match="changed since start"):
        next(slices)


def test_a_store_that_is_opened_again_is_another_start(make_store: MakeStore) -> None:
    store = aged(make_store("store"))
    touch(store.path / "core0" / "hr.npy")
    assert Paired(open_store(store.path), patch=16)[0]["hr"].shape == (1, 16, 16)


# Rock


@pytest.mark.parametrize("shared", [True, False])
def test_patches_are_drawn_inside_the_rock(make_store: MakeStore, shared: bool) -> None:
    masks = np.stack([np.roll(disc(96, 96), 8 * z, axis=1) for z in range(3)])[: 1 if shared else 3]
    store = make_store("store", sizes=[(96, 96)], slices=3, mask=masks)
    mask, found = store.mask(store.manifest.cores[0]), {}
    for rock in (0.0, 0.5, 0.9):
        cuts = Cuts(store, store.rows("train"), patch=16, scale=2, rock=rock)
        places = [cuts.draw(0, number) for number in range(300)]
        inside = [
            mask[place.image, 2 * place.y : 2 * place.y + 16, 2 * place.x : 2 * place.x + 16].mean() for place in places
        ]
        assert min(inside) >= rock
        found[rock] = min(inside), float(np.mean(inside)), places
    assert found[0.0][0] < 0.2
    assert found[0.0][1] < found[0.5][1] < found[0.9][1]
    assert found[0.0][2] == [draw(cuts.plan, 0, number) for number in range(300)]
    assert [place.symmetry for place in found[0.9][2]] == [place.symmetry for place in found[0.0][2]]


def test_a_slice_gets_patches_by_its_rock_and_none_without(make_store: MakeStore) -> None:
    masks = np.zeros((4, 48, 64), bool)
    masks[0], masks[1, :24], masks[2, 0, 0] = True, True, True
    store = make_store("store", slices=4, mask=masks)
    dataset = Paired(store, patch=16)
    images = [draw(dataset.plan, 0, number).image for number in range(dataset.epoch)]
    assert np.bincount(images, minlength=4).tolist() == [12, 6, 1, 0]
    only = Paired(make_store("bare", slices=4, mask=masks[[3, 3, 3, 0]]), patch=16)
    assert {draw(only.plan, 0, number).image for number in range(only.epoch)} == {3}
    with pytest.raises(ValueError, match="^images must hold rock, got none in 4; look at their masks$"):
        Paired(make_store("empty", slices=4, mask=masks[3:]), patch=16)


def test_a_mask_of_rock_alone_changes_nothing(make_store: MakeStore) -> None:
    bare = Paired(make_store("bare", seed=1), patch=16, noise_std=0.1)
    full = Paired(make_store("full", seed=1, mask=np.ones((1, 48, 64), bool)), patch=16, noise_std=0.1)
    for number in range(40):
        assert all((bare[number][name] == full[number][name]).all() for name in ("lr", "hr"))


def test_the_share_of_rock_of_a_core_without_a_mask_is_not_asked_for(make_store: MakeStore) -> None:
    store = make_store("store", mask=disc(48, 64)[None])
    os.unlink(store.path / "core0" / "mask.npy")  # noqa: PTH108
    reading = Cuts(store, store.rows("train"), patch=16, scale=2, rock=0.0)
    assert [reading.draw(0, number) for number in range(5)] == [draw(reading.plan, 0, number) for number in range(5)]


@pytest.mark.parametrize("rock", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(store: Store, rock: float) -> None:
    with pytest.raises(ValueError, match=f"^rock must be a share from 0 to 1, got {rock}$"):
        Paired(store, patch=16, rock=rock)


# Whole slices


def test_whole_slices_are_all_slices_of_a_split_in_order(store: Store) -> None:
    found = list(whole_slices(store, "valid"))
    (core,) = store.manifest.cores
    rows = [row for row, one in enumerate(core.slices) if one.split == "valid"]
    assert len(rows) > 1
    assert [(one.core, one.number) for one in found] == [("plug", core.slices[row].number) for row in rows]
    for row, one in zip(rows, found, strict=True):
        assert (one.lr.shape, one.hr.shape) == ((24, 32), (48, 64))
        np.testing.assert_array_equal(levels(store, one.hr), store.hr(core)[row])
        np.testing.assert_array_equal(levels(store, one.lr), store.lr(core)[row])
        assert 0 <= float(one.hr.min()) < float(one.hr.max()) <= 1


def test_whole_slices_of_an_absent_split_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="^split must be one of test, train, valid with pairs in store"):
        next(whole_slices(store, "exam"))


def test_whole_slices_can_be_limited_to_some_spread_evenly(store: Store) -> None:
    everything = [(one.core, one.number) for one in whole_slices(store, "train")]
    for most in range(1, len(everything) + 3):
        some = [(one.core, one.number) for one in whole_slices(store, "train", most=most)]
        assert len(set(some)) == len(some) == min(most, len(everything))
        assert [one for one in everything if one in some] == some
    assert [one.number for one in whole_slices(store, "train", most=1)] == [everything[(len(everything) - 1) // 2][1]]
