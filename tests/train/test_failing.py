from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from coresr_train.failing import FullError, PeerError, told_apart
from coresr_train.feed import WorkerError
from coresr_train.progress import Progress

PROGRESS = cast("Progress", SimpleNamespace(done=41))


@pytest.mark.parametrize(
    ("error", "expected", "code", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nmore"), FullError, 69, "lower data.batch"),
        (RuntimeError("DataLoader worker (pid 7) is killed"), WorkerError, 71, r"at step 42 \(samples 164 to 167\)"),
        (RuntimeError("[gloo/pair.cc:1] Connection closed by peer"), PeerError, 76, "must live"),
        (torch.distributed.DistError("NCCL"), PeerError, 76, "got NCCL"),
    ],
)
def test_a_fault_of_the_machine_has_its_code_and_its_remedy(
    error: Exception, expected: Any, code: int, said: str
) -> None:
    with pytest.raises(expected, match=said), told_apart(PROGRESS, 4):
        raise error
    assert expected.exit_code == code


def test_a_fault_of_ours_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shape"), told_apart(PROGRESS, 4):
        raise RuntimeError("shape")
