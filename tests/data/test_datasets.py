"""LR and HR are of one place, always; a sample is what its number says, whoever asks, whenever."""

import pickle
import random
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from coresr_data.datasets import Paired, StepBatches, whole_slices
from coresr_data.degrade import bicubic
from coresr_data.intensity import from_unit
from coresr_data.layouts import prepare
from coresr_data.patches import draw
from coresr_data.store import Store

MakeCore = Callable[..., Path]

BORDER = 2  # LR pixels whose kernel reaches beyond the patch


def levels(store: Store, image: Tensor) -> NDArray[np.uint8]:
    assert image.dtype == torch.float32
    return np.asarray(from_unit(image[0].numpy(), store.manifest.window, store.manifest.dtype))


def undone(image: NDArray[np.uint8], symmetry: int) -> NDArray[np.uint8]:
    """The image before flips and turns, in the inverse order."""
    return np.rot90(np.fliplr(image) if symmetry >= 4 else image, -(symmetry % 4))


def refuse_misaligned(store: Store, *, patch: int, pairs: int) -> None:
    scale = store.manifest.scale
    dataset = Paired(store, patch=patch, seed=3)
    seen = set()
    for number in range(pairs):
        sample, place = dataset[number], draw(dataset.plan, 3, number)
        assert sample["hr"].shape == (1, patch, patch)
        assert sample["lr"].shape == (1, patch // scale, patch // scale)
        lr, hr = (undone(levels(store, sample[name]), place.symmetry) for name in ("lr", "hr"))
        inside = slice(BORDER, -BORDER)
        np.testing.assert_array_equal(bicubic(np.ascontiguousarray(hr), scale)[inside, inside], lr[inside, inside])
        core, row = dataset.rows[place.image]
        y, x = scale * place.y, scale * place.x
        np.testing.assert_array_equal(store.hr(core)[row, y : y + patch, x : x + patch], hr)
        seen.add((place.image, place.symmetry))
    assert len(seen) > min(pairs, 8 * len(dataset.rows)) // 2


def test_a_thousand_pairs_are_aligned(store: Store) -> None:
    refuse_misaligned(store, patch=24, pairs=1000)


def test_pairs_at_four_times_are_aligned(slices: Path, tmp_path: Path) -> None:
    refuse_misaligned(prepare(slices, tmp_path / "store", scale=4), patch=32, pairs=200)


def test_a_thousand_pairs_of_the_real_sandstone_are_aligned(sandstone: Store) -> None:
    refuse_misaligned(sandstone, patch=64, pairs=1000)


def test_an_epoch_of_the_real_sandstone_is_63_patches(sandstone: Store) -> None:
    dataset = Paired(sandstone, patch=192)
    assert dataset.epoch == 63
    assert sorted({dataset.rows[draw(dataset.plan, 0, n).image][1] for n in range(63)}) == list(range(7))


def test_without_augmentation_patches_stand_as_in_the_slice(store: Store) -> None:
    dataset = Paired(store, patch=16, augment=False, seed=5)
    for number in range(50):
        place = draw(dataset.plan, 5, number)
        core, row = dataset.rows[place.image]
        hr, lr = store.hr(core)[row], store.lr(core)[row]
        y, x = place.y, place.x
        np.testing.assert_array_equal(levels(store, dataset[number]["lr"]), lr[y : y + 8, x : x + 8])
        np.testing.assert_array_equal(levels(store, dataset[number]["hr"]), hr[2 * y : 2 * y + 16, 2 * x : 2 * x + 16])


def test_only_slices_of_the_split_are_shown(store: Store) -> None:
    (core,) = store.manifest.cores
    for split in ("train", "valid", "test"):
        dataset = Paired(store, split=split, patch=16)
        rows = {dataset.rows[draw(dataset.plan, 0, n).image][1] for n in range(dataset.epoch)}
        assert rows == {row for row, one in enumerate(core.slices) if one.split == split}


def test_cores_of_several_sizes_are_mixed_in_one_run(make_core: MakeCore, tmp_path: Path) -> None:
    make_core("src/a", numbers=range(9), size=(32, 48))
    make_core("src/b", numbers=range(9), size=(48, 16), seed=1)
    mixed = prepare(tmp_path / "src", tmp_path / "store", scale=2)
    dataset = Paired(mixed, patch=16)
    cores = Counter(dataset.rows[draw(dataset.plan, 0, n).image][0].name for n in range(dataset.epoch))
    train = len(dataset.rows) // 2
    assert cores == {"a": train * 2 * 3, "b": train * 3 * 1}
    refuse_misaligned(mixed, patch=16, pairs=100)


# Purity


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_sample_depends_on_seed_and_number_alone(store: Store) -> None:
    first = Paired(store, patch=16, seed=1, noise_std=0.1)
    samples = [first[number] for number in range(100)]
    again = Paired(store, patch=16, seed=1, noise_std=0.1)
    for number in np.random.default_rng(0).permutation(100):
        random.seed(int(number))
        np.random.seed(int(number))  # noqa: NPY002  # the global state is what must not matter
        torch.manual_seed(int(number))
        assert equal(again[int(number)], samples[number])
    other = Paired(store, patch=16, seed=2, noise_std=0.1)
    assert not any(equal(other[number], samples[number]) for number in range(100))


def test_drawing_samples_leaves_the_global_generators_alone(store: Store) -> None:
    def states() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # type: ignore[index]  # noqa: NPY002

    before = states()
    dataset = Paired(store, patch=16, noise_std=0.1)
    for number in range(5):
        dataset[number]
    assert states() == before


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than processors, on purpose
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_change_nothing(store: Store, workers: int) -> None:
    dataset = Paired(store, patch=16, seed=4, noise_std=0.1)

    def batches(number: int) -> list[dict[str, Tensor]]:
        loader = DataLoader(dataset, batch_sampler=StepBatches(batch=4, first_step=3), num_workers=number)
        return list(islice(loader, 7))

    for alone, together in zip(batches(0), batches(workers), strict=True):
        assert alone["hr"].shape == (4, 1, 16, 16)
        assert equal(alone, together)


def test_a_billion_samples_are_jumped_in_less_than_a_tenth_of_a_second(store: Store) -> None:
    times = []
    for late in range(5):
        start = time.perf_counter()
        dataset = Paired(store, patch=16)
        sample = dataset[10**9 + late * dataset.epoch]
        times.append(time.perf_counter() - start)
        assert sample["lr"].shape == (1, 8, 8)
    assert min(times) < 0.1


def test_a_pickled_dataset_carries_no_pixels_and_gives_the_same_samples(sandstone: Store) -> None:
    dataset = Paired(sandstone, patch=64, noise_std=0.1)
    sample = dataset[5]  # the arrays are mapped now
    carried = pickle.dumps(dataset)
    assert len(carried) < 8_000
    assert equal(pickle.loads(carried)[5], sample)  # noqa: S301  # our own bytes


def test_negative_numbers_are_refused(store: Store) -> None:
    with pytest.raises(IndexError, match="sample number"):
        Paired(store, patch=16)[-1]


# Noise


def test_noise_falls_on_lr_alone_with_the_stated_deviation(store: Store) -> None:
    clean, noisy = Paired(store, patch=32), Paired(store, patch=32, noise_std=0.05)
    differences = []
    for number in range(200):
        assert torch.equal(clean[number]["hr"], noisy[number]["hr"])
        differences.append(noisy[number]["lr"] - clean[number]["lr"])
    noise = torch.stack(differences)
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    assert abs(noise.mean().item()) < 0.001
    assert noise.abs().max() > 3.5 * 0.05  # a tail, as Gauss has one
    neighbours = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
    assert abs(neighbours.item()) < 0.02


def test_noise_is_not_clipped_to_black_and_white(store: Store) -> None:
    dataset = Paired(store, patch=32, noise_std=0.5)
    lr = torch.stack([dataset[number]["lr"] for number in range(20)])
    assert lr.min() < 0
    assert lr.max() > 1


def test_noise_is_another_in_every_sample_and_epoch(store: Store) -> None:
    clean, noisy = (Paired(store, patch=32, augment=False, noise_std=std) for std in (0.0, 0.1))
    by_item = {draw(clean.plan, 0, n).item: n for n in range(clean.epoch)}
    again = {draw(clean.plan, 0, n).item: n for n in range(clean.epoch, 2 * clean.epoch)}
    first, second, third = (noisy[n]["lr"] - clean[n]["lr"] for n in (by_item[0], by_item[1], again[0]))
    for one, other in ((first, second), (first, third)):
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()) < 0.25


def test_augmentation_turns_the_noise_with_the_patch(store: Store) -> None:
    straight, turned = (Paired(store, patch=16, augment=augment, noise_std=0.1) for augment in (False, True))
    for number in range(16):
        symmetry = draw(turned.plan, 0, number).symmetry
        back = undone(turned[number]["lr"][0].numpy(), symmetry)
        np.testing.assert_array_equal(back, straight[number]["lr"][0].numpy())


@pytest.mark.parametrize("noise_std", [-0.1, float("nan"), float("inf")])
def test_a_deviation_that_is_none_is_refused(store: Store, noise_std: float) -> None:
    with pytest.raises(ValueError, match="^noise_std must be 0 or more, got "):
        Paired(store, patch=16, noise_std=noise_std)


def test_patches_that_do_not_divide_or_do_not_fit_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="^patch must be a multiple of scale 2 in HR pixels, got 15$"):
        Paired(store, patch=15)
    for patch in (0, 50):
        with pytest.raises(ValueError, match=f"must be 1 to 24 pixels, the smallest image's side, got {patch // 2}; "):
            Paired(store, patch=patch)


# Steps


def steps(count: int, **options: int) -> list[list[int]]:
    return list(islice(StepBatches(**options), count))


def test_steps_are_consecutive_numbers() -> None:
    assert steps(3, batch=4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_run_resumes_where_it_was() -> None:
    assert steps(5, batch=4, first_step=7) == steps(12, batch=4)[7:]
    assert steps(1, batch=8, first_step=10**9) == [list(range(8 * 10**9, 8 * 10**9 + 8))]


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_any_number_of_processes_sees_the_same_samples_in_each_step(processes: int) -> None:
    shares = [steps(9, batch=8, rank=rank, processes=processes, first_step=2) for rank in range(processes)]
    for step, alone in enumerate(steps(9, batch=8, first_step=2)):
        together = [number for share in shares for number in share[step]]
        assert together == alone  # once each, and in the same order


def test_batches_run_on_over_the_end_of_an_epoch_and_visit_each_item_once(store: Store) -> None:
    dataset = Paired(store, patch=16)
    numbers = [n for batch in steps(3 * dataset.epoch, batch=5) for n in batch][: 3 * dataset.epoch]
    visits = Counter((place.epoch, place.item) for place in (draw(dataset.plan, 0, n) for n in numbers))
    assert set(visits.values()) == {1}
    assert len(visits) == 3 * dataset.epoch


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"batch": 0}, "^batch must be a positive multiple of the 1 processes, got 0$"),
        ({"batch": 6, "processes": 4}, "^batch must be a positive multiple of the 4 processes, got 6$"),
        ({"batch": 8, "processes": 4, "rank": 4}, "^rank must be from 0 to below the number of processes, 4, got 4$"),
        ({"batch": 8, "rank": -1}, "^rank must be"),
        ({"batch": 8, "processes": 0}, "^rank must be"),
        ({"batch": 8, "first_step": -1}, "^first_step must be 0 or more, got -1$"),
    ],
)
def test_steps_that_cannot_be_shared_are_refused(options: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StepBatches(**options)


# Whole slices


def test_whole_slices_are_all_slices_of_a_split_in_order(store: Store) -> None:
    found = list(whole_slices(store, "valid"))
    (core,) = store.manifest.cores
    assert [(one.core, one.number) for one in found] == [("plug", 16), ("plug", 17), ("plug", 18)]
    for row, one in enumerate(found, start=14):
        assert (one.lr.shape, one.hr.shape) == ((24, 32), (48, 64))
        np.testing.assert_array_equal(levels(store, one.hr[None]), store.hr(core)[row])
        np.testing.assert_array_equal(levels(store, one.lr[None]), store.lr(core)[row])
        assert 0 <= float(one.hr.min()) < float(one.hr.max()) <= 1


def test_whole_slices_of_an_absent_split_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="^split must be one of test, train, valid in store"):
        next(whole_slices(store, "exam"))


def test_whole_slices_can_be_limited_to_some_spread_evenly(store: Store) -> None:
    everything = [(one.core, one.number) for one in whole_slices(store, "train")]
    for most in range(1, len(everything) + 3):
        some = [(one.core, one.number) for one in whole_slices(store, "train", most=most)]
        assert len(set(some)) == len(some) == min(most, len(everything))
        assert [one for one in everything if one in some] == some
    assert [one.number for one in whole_slices(store, "train", most=1)] == [everything[(len(everything) - 1) // 2][1]]
