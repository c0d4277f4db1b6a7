from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor

from coresr_train.pool import ImagePool
from tests.train.ranks import in_two_processes

SIZE = 50


def images(first: int, last: int) -> Tensor:
    """Images of one pixel, `(n, 1, 1, 1)`, each of them its number."""
    return torch.arange(first, last, dtype=torch.float64).reshape(-1, 1, 1, 1)


def test_until_it_is_full_every_image_passes_through_and_then_half_of_them_do() -> None:
    given, shown = images(0, 10_000), ImagePool(SIZE, seed=1)(images(0, 10_000))
    assert torch.equal(shown[:SIZE], given[:SIZE])
    old = (shown != given)[SIZE:].double()
    assert float(old.mean()) == pytest.approx(0.5, abs=0.02)
    assert (shown <= given).all(), "what is not itself is older"


def test_an_image_leaves_the_pool_as_it_is_shown_and_another_comes_into_every_place() -> None:
    pool = ImagePool(SIZE, seed=1)
    shown, kept = pool(images(0, 10_000))[SIZE:], pool.tensors()["images"]
    assert len(kept) == SIZE
    # all that were given are either shown once since or still there
    assert torch.cat([shown, kept]).flatten().sort().values.tolist() == list(range(10_000))
    assert kept.min() >= SIZE
    ages = (images(SIZE, 10_000) - shown)[shown != images(SIZE, 10_000)]
    # one of 50 places is emptied every second image: geometric ages of mean 100, each within three standard errors
    assert float(ages.mean()) == pytest.approx(100, abs=3 * 100 / 5000**0.5)


def test_images_one_by_one_are_answered_as_all_at_once() -> None:
    one, other = ImagePool(3, seed=5), ImagePool(3, seed=5)
    assert torch.equal(torch.cat([one(image) for image in images(0, 40).chunk(40)]), other(images(0, 40)))


def test_its_answers_belong_to_its_seed_and_to_nothing_else() -> None:
    def shown(seed: int, around: int) -> list[float]:
        torch.manual_seed(around)
        pool = ImagePool(4, seed=seed)
        answers: list[float] = torch.cat([pool(part) for part in images(0, 60).chunk(12)]).flatten().tolist()
        return answers

    before = torch.manual_seed(2).get_state()
    assert shown(7, 2) == shown(7, 3) != shown(8, 2)
    torch.manual_seed(2)
    shown(7, 2)
    assert torch.equal(torch.get_rng_state(), before), "other random numbers stay what they would have been"


def test_what_is_shown_has_no_gradient_and_what_is_kept_is_a_copy() -> None:
    pool, given = ImagePool(2, seed=0), images(0, 2).requires_grad_()
    shown = pool(2 * given)
    assert not shown.requires_grad
    assert not any(tensor.requires_grad for tensor in pool.tensors().values())
    pool = ImagePool(2, seed=0)
    for made in (images(1, 3), images(3, 13)):  # to fill it, and to take their places
        pool(made)
        kept = pool.tensors()["images"].clone()
        made.zero_()
        assert torch.equal(pool.tensors()["images"], kept)
        assert kept.min() > 0


@pytest.mark.parametrize("before", [0, 3, 50, 211])
def test_a_pool_that_went_through_a_file_answers_bit_by_bit_as_one_that_did_not(before: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    early, late = torch.rand(before, 1, 4, 4), torch.rand(300, 1, 4, 4)
    pool, other = ImagePool(SIZE, seed=1), ImagePool(SIZE, seed=2)
    other(torch.rand(60, 1, 4, 4))
    if before:
        pool(early)
    safetensors.torch.save_file(pool.tensors(), tmp_path / "pool.safetensors")
    other.restore(safetensors.torch.load_file(tmp_path / "pool.safetensors"))
    assert torch.equal(pool(late), other(late))
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in pool.tensors().items())


def test_a_smaller_pool_takes_the_first_of_those_that_were_kept() -> None:
    large, small = ImagePool(9, seed=1), ImagePool(4, seed=1)
    large(images(0, 9))
    small.restore(large.tensors())
    assert small.tensors()["images"].flatten().tolist() == [0, 1, 2, 3]


def test_a_pool_without_room_lets_everything_through() -> None:
    pool, given = ImagePool(0, seed=1), images(0, 30).requires_grad_()
    shown = pool(given)
    assert torch.equal(shown, given)
    assert not shown.requires_grad
    assert pool.tensors()["images"].numel() == 0


def test_images_of_another_shape_and_sizes_below_zero_are_refused() -> None:
    pool = ImagePool(3, seed=1)
    pool(torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"in the pool, \(1, 4, 4\), got \(1, 6, 6\); keep data.patch"):
        pool(torch.rand(2, 1, 6, 6))
    with pytest.raises(ValueError, match="^size of a pool must be 0 or more, got -1$"):
        ImagePool(-1, seed=1)


@pytest.mark.parametrize("size", [0, 5])
def test_two_processes_have_the_pool_of_one(size: int, tmp_path: Path) -> None:
    batches = images(0, 240).expand(-1, 2, 3, 3).chunk(20)  # not contiguous, as channels-last images are not
    alone = ImagePool(size, seed=3)
    expected = torch.stack([alone(batch) for batch in batches])

    def work(rank: int) -> dict[str, Tensor]:
        pool = ImagePool(size, seed=3)
        shown = [pool(batch[6 * rank :][:6]) for batch in batches]
        return {"shown": torch.stack(shown), **pool.tensors()}

    ours = in_two_processes(work, tmp_path)
    assert torch.equal(torch.cat([one["shown"] for one in ours], dim=1), expected)
    for one in ours:
        assert all(torch.equal(one[name], tensor) for name, tensor in alone.tensors().items())
