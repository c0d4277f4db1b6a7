"""Errors of allocators are told from others, and halves stay on the grid."""

import numpy as np
import pytest
import torch

from coresr_eval.inference.backing_off import FLOOR, halved, ran_out


def test_what_the_allocators_here_really_raise_is_short_memory() -> None:
    for allocate in (lambda: torch.empty(1 << 50), lambda: np.empty(1 << 50)):
        with pytest.raises((RuntimeError, MemoryError)) as raised:
            allocate()
        assert ran_out(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_short_memory_is_known_by_its_class_or_words(error: Exception) -> None:
    assert ran_out(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape '[2, 3]' is invalid for input of size 7"),
        ValueError("not enough memory"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not ran_out(error)


@pytest.mark.parametrize(
    ("side", "multiple_of", "half"), [(512, 1, 256), (100, 16, 64), (64, 16, 32), (2 * FLOOR, 1, FLOOR)]
)
def test_a_tile_is_halved_on_the_grid(side: int, multiple_of: int, half: int) -> None:
    assert halved(side, multiple_of) == half


@pytest.mark.parametrize(("side", "multiple_of"), [(2 * FLOOR - 2, 1), (FLOOR, 1), (1, 1), (64, 64), (96, 96)])
def test_no_half_is_too_small_or_no_smaller(side: int, multiple_of: int) -> None:
    assert halved(side, multiple_of) is None
