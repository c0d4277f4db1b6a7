import pytest
import torch
from torch import nn

from coresr_train.ema import averaged, warmed_up


class Counting(nn.Module):
    """A parameter, a float buffer and an integer buffer."""

    count: torch.Tensor
    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def move_to(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)
            self.mean.fill_(2 * value)
            self.count.fill_(int(value))


def test_the_decay_warms_up_along_the_golden_values() -> None:
    goldens = {0: 0.0, 1: 0.405396, 10: 0.83444, 100: 0.968612, 1000: 0.994381, 10_000: 0.999}
    for update, decay in goldens.items():
        assert warmed_up(0.999, update) == pytest.approx(decay, abs=1e-6)


def test_the_first_update_copies_and_later_ones_average() -> None:
    network = Counting()
    average = averaged(network, 0.999)
    expected = 0.0
    for update, value in enumerate((3.0, 5.0, 11.0, 4.0)):
        network.move_to(value)
        average.update_parameters(network)
        decay = warmed_up(0.999, update)
        expected = decay * expected + (1 - decay) * value
        torch.testing.assert_close(average.module.weight, torch.full((3,), expected))
    torch.testing.assert_close(average.module.mean, torch.full((3,), 2 * expected))


def test_integer_buffers_are_copied() -> None:
    network = Counting()
    average = averaged(network, 0.999)
    for value in (3.0, 5.0):
        network.move_to(value)
        average.update_parameters(network)
    count = average.module.count
    assert isinstance(count, torch.Tensor)
    assert int(count) == 5


def test_the_statistics_of_a_batch_norm_are_averaged_and_its_count_is_the_last() -> None:
    network = nn.BatchNorm2d(2)
    average, expected = averaged(network, 0.999), torch.zeros(2)
    for update in range(4):
        network(torch.randn(3, 2, 4, 4) + 10 * update)
        average.update_parameters(network)
        decay, mean = warmed_up(0.999, update), network.running_mean
        assert mean is not None
        expected = decay * expected + (1 - decay) * mean
    averages = average.module.state_dict()
    torch.testing.assert_close(averages["running_mean"], expected)
    assert not torch.equal(averages["running_mean"], network.state_dict()["running_mean"])
    assert int(averages["num_batches_tracked"]) == 4


def test_a_buffer_that_never_changes_keeps_its_bits() -> None:
    network = Counting()
    with torch.no_grad():
        network.mean.copy_(torch.tensor([0.1, 1 / 3, 1e-30]))
    average = averaged(network, 0.999)
    for _ in range(50):
        average.update_parameters(network)
    assert torch.equal(average.module.state_dict()["mean"], network.mean)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
def test_a_decay_outside_its_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        averaged(Counting(), decay)
