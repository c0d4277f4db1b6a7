"""Every step sees the samples of its number, however many processes share them."""

from itertools import islice

import pytest

from coresr_data.datasets.batches import StepBatches


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
