"""What the metrics of structure are made of: the same for any strips, and for any level of grey."""

import pytest
import torch

from coresr_eval import similarity as room
from coresr_eval.fidelity import ssim
from coresr_eval.similarity import similarity, window_weights

WEIGHTS = window_weights(7, 1.5)


def test_weights_sum_to_one_are_symmetric_and_follow_the_gaussian() -> None:
    weights = window_weights(11, 1.5)
    assert sum(weights) == pytest.approx(1, abs=1e-15)
    assert weights == weights[::-1]
    assert weights[5] / weights[2] == pytest.approx(2.718281828459045**2)  # three pixels are two deviations
    assert window_weights(7, None) == [1 / 7] * 7


@pytest.mark.parametrize("masked", [False, True])
def test_strips_of_any_height_score_the_same(masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    a = torch.rand(2, 1, 40, 50, dtype=torch.float64)
    b = a + 0.1 * torch.randn_like(a)
    mask = torch.rand(40, 50) < 0.99 if masked else None
    wanted = ssim(a, b, data_range=1.0, mask=mask)
    for rows in (1, 7, 33, 34, 35):
        monkeypatch.setattr(room, "_ROWS", rows)
        torch.testing.assert_close(ssim(a, b, data_range=1.0, mask=mask), wanted, rtol=1e-14, atol=0)


def test_large_images_are_taken_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    maps = room._maps

    def watched(*arguments: torch.Tensor, **named: object) -> torch.Tensor:
        seen.append(arguments[0].shape[-2:])
        return maps(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "_maps", watched)
    a = torch.rand(1, 300, 20, dtype=torch.float64)
    similarity(a, a, None, weights=WEIGHTS, data_range=1.0)
    assert seen == [(134, 20), (134, 20), (44, 20)]


def test_structure_does_not_know_where_zero_grey_lies() -> None:
    a, b = (torch.randint(0, 1024, (1, 30, 30)).double() / 1024 for _ in range(2))
    _, wanted = similarity(a, b, None, weights=WEIGHTS, data_range=1.0)
    ssim_there, found = similarity(a + 2**20, b + 2**20, None, weights=WEIGHTS, data_range=1.0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(ssim_there, wanted, rtol=0, atol=1e-9)  # and luminances are alike


def test_images_that_differ_by_the_last_bit_are_not_equal_but_never_above_one() -> None:
    a = torch.rand(1, 30, 30, dtype=torch.float64)
    for scale in (1e-15, 1e-12, 1e-7):
        for value in similarity(a, a + scale * torch.randn_like(a), None, weights=WEIGHTS, data_range=1.0):
            assert 1 - 1e-9 < value.item() <= 1


@pytest.mark.parametrize("step", [1 / 3, 100 / 3, 1000 / 7, 1e4 / 9, 1e5 / 11, 1e6 / 13])
def test_variances_of_flat_differences_do_not_round_below_nothing(step: float) -> None:
    a = torch.rand(1, 30, 30, dtype=torch.float64) * 1e-9
    _, structure = similarity(a, a + step, None, weights=WEIGHTS, data_range=1.0)
    assert structure.item() <= 1
