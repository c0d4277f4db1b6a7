"""LR and HR are of one place, always; a sample is what its number says, whoever asks, whenever.

The eight ways in which a run must not notice how it is run: workers, processes, permutations, recorded draws, no two
orders alike, global generators, what else is read meanwhile, and a jump, are here, in test_patches and in test_batches.
"""

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
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from coresr_data.augment import partner, turned
from coresr_data.datasets import Degraded, Paired, Unpaired
from coresr_data.datasets.batches import StepBatches
from coresr_data.datasets.reading import whole_slices
from coresr_data.degrade import DEGRADATIONS, apply, bicubic
from coresr_data.degrade.scanner import Drift, Noise, Rings
from coresr_data.degrade.steps import Bin, Blur, Resize
from coresr_data.intensity import from_unit, to_unit
from coresr_data.packing import prepare
from coresr_data.patches import Draw, draw, keyed
from coresr_data.resize import imresize
from coresr_data.store import Store

MakeCore = Callable[..., Path]
MakeStore = Callable[..., Store]

BORDER = 2  # LR pixels whose kernel reaches beyond the patch

laws = settings(deadline=None, max_examples=60)

EVERYTHING: dict[str, float] = {"noise_std": 0.1, "jitter": 0.2, "cutblur": 0.5, "mixup": 0.5}
STEPS = st.fixed_dictionaries(
    {
        "augment": st.booleans(),
        "jitter": st.sampled_from([0, 0.3]),
        "cutblur": st.sampled_from([0, 0.5, 1]),
        "mixup": st.sampled_from([0, 0.2, 2]),
    }
)

SAMPLES = st.tuples(st.integers(0, 2**64), st.integers(0, 10**6))
"""Seed and number."""


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory, write_store: MakeStore) -> dict[bool, Store]:
    """Unrounded levels at ×2, ×3 and ×4, in two sizes, without masks and with one a slice."""
    y, x = np.mgrid[:48, :48]
    discs = np.stack([(y - 20) ** 2 + (x - 24 - 4 * z) ** 2 < 18**2 for z in range(4)])
    folder = tmp_path_factory.mktemp("floats")
    return {
        masked: write_store(
            folder / str(masked),
            sizes=[(48, 48)] if masked else [(48, 60), (36, 48)],
            slices=4,
            scales=(2, 3, 4),
            dtype="float32",
            mask=discs if masked else None,
        )
        for masked in (False, True)
    }


@laws
@given(st.sampled_from([2, 3, 4]), st.booleans(), STEPS, SAMPLES)
def test_pairs_are_aligned_under_every_augmentation_and_scale(
    floats: dict[bool, Store], scale: int, masked: bool, steps: dict[str, float], sample_of: tuple[int, int]
) -> None:
    seed, number = sample_of
    dataset = Paired(floats[masked].at(scale), patch=36, seed=seed, **steps)  # type: ignore[arg-type]
    sample = {name: image[0].numpy() for name, image in dataset[number].items()}
    inside = slice(BORDER, -BORDER)
    shrunk = imresize(sample["hr"].astype(float), 1 / scale)[inside, inside]
    np.testing.assert_allclose(sample["lr"][inside, inside], shrunk, atol=3e-6)
    assert shrunk.std() > 0
    if steps["augment"] or steps["mixup"]:
        return
    turned_too = Paired(floats[masked].at(scale), patch=36, seed=seed, **{**steps, "augment": True})  # type: ignore[arg-type]
    symmetry = turned_too.cuts.draw(seed, number).symmetry
    for name, image in turned_too[number].items():
        np.testing.assert_allclose(image[0].numpy(), turned(sample[name], symmetry), atol=1e-6)


@laws
@given(st.sampled_from([2, 3, 4]), st.booleans(), st.integers(0, 2**64), st.integers(0, 10**6))
def test_hr_and_lr_are_cut_where_the_draw_says(
    floats: dict[bool, Store], scale: int, masked: bool, seed: int, number: int
) -> None:
    store = floats[masked].at(scale)
    dataset = Paired(store, patch=24, seed=seed, augment=False, rock=0.7)
    place, sample, size = dataset.cuts.draw(seed, number), dataset[number], 24 // scale
    core, row = dataset.rows[place.image]
    for name, whole, s in (("lr", store.lr(core), 1), ("hr", store.hr(core), scale)):
        y, x = s * place.y, s * place.x
        np.testing.assert_array_equal(sample[name][0], whole[row, y : y + s * size, x : x + s * size])


@laws
@given(STEPS, st.sampled_from([0, 0.1]), st.integers(0, 2**64), st.integers(0, 10**6))
def test_mixup_blends_in_another_whole_sample_of_the_epoch(
    floats: dict[bool, Store], steps: dict[str, float], noise_std: float, seed: int, number: int
) -> None:
    options = {**steps, "mixup": 0, "noise_std": noise_std}
    single = Paired(floats[False].at(2), patch=24, seed=seed, **options)  # type: ignore[arg-type]
    both = Paired(floats[False].at(2), patch=24, seed=seed, **{**options, "mixup": 0.4})  # type: ignore[arg-type]
    place = draw(single.plan, seed, number)
    second, first = partner((seed, place.epoch, place.item), single.epoch, 0.4)
    assert 0 <= second < single.epoch
    other = single[number // single.epoch * single.epoch + second]
    for name, image in both[number].items():
        expected = float(first) * single[number][name] + (1 - float(first)) * other[name]
        np.testing.assert_allclose(image, expected, atol=1e-6)


def levels(store: Store, image: Tensor) -> NDArray[np.uint8]:
    assert image.dtype == torch.float32
    return np.asarray(from_unit(image[0].numpy(), store.manifest.window, store.manifest.dtype))


def undone(image: NDArray[np.uint8], symmetry: int) -> NDArray[np.uint8]:
    """The image before flips and turns, in the inverse order."""
    return np.rot90(np.fliplr(image) if symmetry >= 4 else image, -(symmetry % 4))


def refuse_misaligned(store: Store, *, patch: int, pairs: int) -> None:
    scale = store.scale
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


Make = Callable[[Store, int], "Dataset[dict[str, Tensor]]"]


def noise_and_rings(rng: np.random.Generator) -> tuple[Blur | Resize | Noise | Rings, ...]:
    sigma, radius = rng.uniform(0.1, 2, 2)
    rings = Rings(radii=(float(radius) / 2,), heights=(0.1,), width=1.0)
    return Blur(sigma_y=float(sigma), sigma_x=float(sigma)), Resize(), rings, Noise(gaussian=0.02)


def paired(store: Store, seed: int) -> Paired:
    return Paired(store, patch=16, seed=seed, **EVERYTHING)  # type: ignore[arg-type]


def degraded(store: Store, seed: int) -> Degraded:
    return Degraded(store, noise_and_rings, patch=16, seed=seed, **EVERYTHING)  # type: ignore[arg-type]


def unpaired(store: Store, seed: int) -> Unpaired:
    return Unpaired(store, patch=16, seed=seed, noise_std=0.1)


each_dataset = pytest.mark.parametrize("make", [paired, degraded, unpaired])


@each_dataset
def test_a_sample_depends_on_seed_and_number_alone(store: Store, make: Make) -> None:
    first = make(store, 1)
    samples = [first[number] for number in range(100)]
    again = make(store, 1)
    for number in np.random.default_rng(0).permutation(100):
        random.seed(int(number))
        np.random.seed(int(number))  # noqa: NPY002  # the global state is what must not matter
        torch.manual_seed(int(number))
        assert equal(again[int(number)], samples[number])
    other = make(store, 2)
    assert not any(equal(other[number], samples[number]) for number in range(100))


@each_dataset
def test_drawing_samples_leaves_the_global_generators_alone(store: Store, make: Make) -> None:
    def states() -> tuple[object, bytes, bytes]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # type: ignore[index]  # noqa: NPY002

    before = states()
    dataset = make(store, 0)
    for number in range(5):
        dataset[number]
    assert states() == before


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than processors, on purpose
@pytest.mark.parametrize(("workers", "make"), [(1, paired), (2, paired), (3, paired), (2, degraded), (2, unpaired)])
def test_workers_change_nothing(store: Store, workers: int, make: Make) -> None:
    dataset = make(store, 4)

    def batches(number: int) -> list[dict[str, Tensor]]:
        loader = DataLoader(dataset, batch_sampler=StepBatches(batch=4, first_step=3), num_workers=number)
        return list(islice(loader, 7))

    for alone, together in zip(batches(0), batches(workers), strict=True):
        assert alone["hr"].shape == (4, 1, 16, 16)
        assert equal(alone, together)


def test_batches_run_on_over_the_end_of_an_epoch_and_visit_each_item_once(store: Store) -> None:
    dataset = Paired(store, patch=16)
    numbers = [n for batch in islice(StepBatches(batch=5), 3 * dataset.epoch) for n in batch][: 3 * dataset.epoch]
    visits = Counter((place.epoch, place.item) for place in (draw(dataset.plan, 0, n) for n in numbers))
    assert set(visits.values()) == {1}
    assert len(visits) == 3 * dataset.epoch


def test_what_else_is_read_meanwhile_changes_nothing(store: Store) -> None:
    dataset, other = paired(store, 1), degraded(store, 2)
    alone = [dataset[number] for number in range(20)]
    again = paired(store, 1)
    for number, sample in enumerate(alone):
        next(whole_slices(store, "valid"))
        other[number + 1000]
        again[10**6 + number]
        assert equal(again[number], sample)


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


# Degraded


def test_bicubic_made_on_the_fly_is_that_of_the_store_bit_for_bit(store: Store) -> None:
    stored, made = Paired(store, patch=16, seed=3), Degraded(store, DEGRADATIONS["bicubic"], patch=16, seed=3)
    assert made.epoch == stored.epoch
    assert all(equal(stored[number], made[number]) for number in range(2 * stored.epoch))


@laws
@given(st.sampled_from([2, 3, 4]), st.booleans(), SAMPLES, st.floats(0, 3))
def test_lr_is_the_crop_of_the_degraded_slice_at_borders_too(
    floats: dict[bool, Store], scale: int, masked: bool, sample_of: tuple[int, int], sigma: float
) -> None:
    seed, number = sample_of
    store, size = floats[masked], 24 // scale
    drift = Drift(gain=1.1, offset=0.05, tilt_y=0.2, tilt_x=-0.1, cupping=0.3)
    rings = Rings(radii=(0.3, 0.6), heights=(0.1, -0.2), width=1.0)
    last = Resize() if scale % 2 else Bin()
    steps = (Blur(sigma_y=sigma, sigma_x=sigma / 2), last, rings, drift)
    dataset = Degraded(store, lambda rng: steps, scale=scale, patch=24, seed=seed, augment=False)
    place, sample = dataset.cuts.draw(seed, number), dataset[number]
    core, row = dataset.rows[place.image]
    whole = apply(store.hr(core)[row], steps, scale=scale, window=store.manifest.window)
    expected = whole[place.y : place.y + size, place.x : place.x + size]
    np.testing.assert_allclose(sample["lr"][0], expected, atol=2e-6)
    y, x = scale * place.y, scale * place.x
    np.testing.assert_array_equal(sample["hr"][0], store.hr(core)[row, y : y + 24, x : x + 24])


def test_what_is_drawn_is_keyed_by_seed_epoch_and_item(store: Store) -> None:
    asked: list[bytes] = []

    def recipe(rng: np.random.Generator) -> tuple[Resize, ...]:
        asked.append(rng.bit_generator.random_raw(2).tobytes())
        return (Resize(),)

    dataset = Degraded(store, recipe, patch=16, seed=5)
    places: list[Draw] = [draw(dataset.plan, 5, number) for number in range(2 * dataset.epoch)]
    for number in range(2 * dataset.epoch):
        dataset[number]
    keys = [keyed("degradation", 5, place.epoch, place.item) for place in places]
    assert asked == [key.bit_generator.random_raw(2).tobytes() for key in keys]
    assert len(set(asked)) == len(asked)


def test_noise_of_a_recipe_is_drawn_by_the_same_key_in_the_stores_window(store: Store) -> None:
    clean, noisy = (
        Degraded(store, recipe, patch=32, augment=False)
        for recipe in (lambda rng: (Resize(),), lambda rng: (Resize(), Noise(gaussian=0.05)))
    )
    noise = torch.stack([noisy[number]["lr"] - clean[number]["lr"] for number in range(50)])
    assert noise.std().item() == pytest.approx(0.05, rel=0.05)  # of 0 to 255, less what is clipped to it


def test_hr_alone_is_enough(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(48, 60)], images=[("hr",)], scales=(2, 3))
    for scale in (2, 3, 4):
        sample = Degraded(store, DEGRADATIONS["bicubic"], scale=scale, patch=24)[0]
        assert sample["lr"].shape == (1, 24 // scale, 24 // scale)
    assert Degraded(store.at(3), DEGRADATIONS["bicubic"], patch=24)[0]["lr"].shape == (1, 8, 8)
    with pytest.raises(ValueError, match="scale must be chosen from 2, 3"):
        Degraded(store, DEGRADATIONS["bicubic"], patch=24)
    for scale in (5, 0):
        with pytest.raises(ValueError, match=f"^HR size must be a multiple of scale {scale}, got 48×60 in "):
            Degraded(store, DEGRADATIONS["bicubic"], scale=scale, patch=25)


# Unpaired


def test_lr_and_hr_come_from_the_cores_that_hold_them(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(48, 64), (40, 80)], images=[("hr",), ("lr",)], scales=(2,))
    dataset = Unpaired(store, patch=16, augment=False)
    hr, lr = store.manifest.cores
    assert {core.folder for core, _ in dataset.hr.rows} == {hr.folder}
    assert {core.folder for core, _ in dataset.lr.rows} == {lr.folder}
    assert dataset.epoch == 6 * max(3 * 4, 2 * 5)
    window = store.manifest.window
    for number in range(20):
        sample, high, low = dataset[number], dataset.hr.draw(0, number), dataset.lr.draw(0, number, "lr")
        y, x = 2 * high.y, 2 * high.x
        expected = to_unit(store.hr(hr)[high.image, y : y + 16, x : x + 16], window)
        np.testing.assert_array_equal(sample["hr"][0], expected)
        expected = to_unit(store.lr(lr)[low.image, low.y : low.y + 8, low.x : low.x + 8], window)
        np.testing.assert_array_equal(sample["lr"][0], expected)


def test_lr_and_hr_of_an_unpaired_sample_have_nothing_to_do_with_each_other(store: Store) -> None:
    dataset = Unpaired(store, patch=16)
    places = [(dataset.lr.draw(0, n, "lr"), dataset.hr.draw(0, n)) for n in range(2 * dataset.epoch)]
    for one, other in zip(
        zip(*[low[:4] for low, _ in places], strict=True),
        zip(*[high[:4] for _, high in places], strict=True),
        strict=True,
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(len(places))
    assert np.mean([low[:3] == high[:3] for low, high in places]) < 0.1


def test_hr_of_an_unpaired_sample_is_that_of_a_paired_one_and_only_lr_is_noisy(store: Store) -> None:
    one, other, noisy = Paired(store, patch=16), Unpaired(store, patch=16), Unpaired(store, patch=16, noise_std=0.05)
    differences = []
    for number in range(100):
        assert torch.equal(one[number]["hr"], other[number]["hr"])
        assert torch.equal(other[number]["hr"], noisy[number]["hr"])
        differences.append(noisy[number]["lr"] - other[number]["lr"])
    assert torch.stack(differences).std().item() == pytest.approx(0.05, rel=0.05)


def test_each_side_visits_all_its_patches_once_an_epoch(store: Store) -> None:
    dataset = Unpaired(store, patch=16)
    for cuts, stream in ((dataset.lr, "lr"), (dataset.hr, "")):
        items = [cuts.draw(0, number, stream).item for number in range(cuts.plan.epoch)]
        assert sorted(items) == list(range(cuts.plan.epoch))


def test_symmetries_of_an_unpaired_sample_are_each_its_own(store: Store) -> None:
    straight, bent = Unpaired(store, patch=16, augment=False, noise_std=0.1), Unpaired(store, patch=16, noise_std=0.1)
    for number in range(40):
        low, high = bent.lr.draw(0, number, "lr").symmetry, bent.hr.draw(0, number).symmetry
        for name, symmetry in (("lr", low), ("hr", high)):
            expected = turned(straight[number][name].numpy(), symmetry)
            np.testing.assert_allclose(bent[number][name].numpy(), expected, atol=1e-7)


def test_sizes_that_cannot_be_are_refused_by_every_dataset(store: Store) -> None:
    for dataset in (Paired, Unpaired):
        with pytest.raises(ValueError, match="^patch must be a multiple of scale 2 in HR pixels, got 15$"):
            dataset(store, patch=15)
    with pytest.raises(ValueError, match="^patch must be a multiple of scale 2 in HR pixels, got 15$"):
        Degraded(store, DEGRADATIONS["bicubic"], patch=15)


def test_one_epoch_of_each_scale_side_by_side(make_store: MakeStore) -> None:
    store = make_store("store", sizes=[(48, 60)], scales=(2, 3, 4))
    for scale in (2, 3, 4):
        dataset = Paired(store.at(scale), patch=24)
        assert dataset.epoch == 6 * 2 * 2
        assert dataset[0]["lr"].shape == (1, 24 // scale, 24 // scale)


@pytest.mark.parametrize("patch", [64, 192, 512])
def test_patches_may_be_large(make_store: MakeStore, patch: int) -> None:
    store = make_store("store", sizes=[(512, 520)], slices=2)
    sample = Paired(store, patch=patch, **EVERYTHING)[3]  # type: ignore[arg-type]
    assert (sample["lr"].shape, sample["hr"].shape) == ((1, patch // 2, patch // 2), (1, patch, patch))
    assert all(image.is_contiguous() and image.dtype == torch.float32 for image in sample.values())
