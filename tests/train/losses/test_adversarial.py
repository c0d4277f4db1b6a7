import math
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.parallel import DistributedDataParallel

from coresr_train.losses.adversarial import OBJECTIVES, Objective, accuracy, spread

REAL, FAKE = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 1.0])
EVERY = pytest.mark.parametrize("objective", [pytest.param(one, id=name) for name, one in OBJECTIVES.items()])
RELATIVISTIC = OBJECTIVES["relativistic"]


def slope(loss: Callable[[Tensor, Tensor], Tensor], real: Tensor, fake: Tensor) -> tuple[Tensor | None, ...]:
    """Of the loss, with respect to both."""
    leaves = [one.clone().requires_grad_() for one in (real, fake)]
    return torch.autograd.grad(loss(*leaves), leaves, allow_unused=True)


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        # printed from float32 elsewhere as 0.410037637 and 1.410037637
        ("relativistic", (math.log1p(math.exp(-2)) + math.log(2)) / 2, (math.log1p(math.exp(2)) + math.log(2)) / 2),
        ("vanilla", 1.2232992833, 0.8132616875),
        ("hinge", 1.5, 0.0),
        ("lsgan", 1.0, 2.0),
    ],
)
def test_losses_have_their_golden_values(name: str, discriminator: float, generator: float) -> None:
    objective = OBJECTIVES[name]
    for dtype, digits in ((torch.float64, 1e-10), (torch.float32, 2e-7)):
        real, fake = REAL.to(dtype), FAKE.to(dtype)
        assert float(objective.discriminator(real, fake)) == pytest.approx(discriminator, abs=digits)
        assert float(objective.generator(real, fake)) == pytest.approx(generator, abs=digits)
        assert objective.discriminator(real, fake).dtype == objective.generator(real, fake).dtype == dtype


def published_step(real: Tensor, fake: Tensor) -> Tensor:
    """ESRGAN's in BasicSR: the real half, then the fake one, each against a mean that is a number."""
    loss_of_real = 0.5 * cross_entropy(real - fake.detach().mean(), torch.ones_like(real))
    loss_of_fake = 0.5 * cross_entropy(fake - real.detach().mean(), torch.zeros_like(fake))
    return loss_of_real + loss_of_fake


def test_the_relativistic_critic_learns_as_in_the_published_step() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 5, dtype=torch.float64) + torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1, 1)
    torch.testing.assert_close(RELATIVISTIC.discriminator(real, fake), published_step(real, fake))
    ours, theirs = slope(RELATIVISTIC.discriminator, real, fake), slope(published_step, real, fake)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def test_the_vanilla_losses_are_cross_entropies_that_are_not_halved() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 5)
    ones, zeros, vanilla = torch.ones_like(real), torch.zeros_like(real), OBJECTIVES["vanilla"]
    both = cross_entropy(real, ones) + cross_entropy(fake, zeros)
    torch.testing.assert_close(vanilla.discriminator(real, fake), both)
    torch.testing.assert_close(vanilla.generator(None, fake), cross_entropy(fake, ones))


def test_swapping_real_and_fake_swaps_the_relativistic_losses() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 5)
    assert RELATIVISTIC.discriminator(real, fake) != RELATIVISTIC.discriminator(fake, real)
    torch.testing.assert_close(RELATIVISTIC.generator(real, fake), RELATIVISTIC.discriminator(fake, real))


def test_a_critic_that_answers_the_same_to_all_has_a_relativistic_loss_of_log_2() -> None:
    same = torch.full((3, 1, 5, 5), 0.7, dtype=torch.float64)
    for loss in (RELATIVISTIC.discriminator, RELATIVISTIC.generator):
        torch.testing.assert_close(loss(same, same), torch.tensor(2.0, dtype=torch.float64).log())


@EVERY
def test_the_generators_loss_reaches_fake_alone_and_the_critics_both(objective: Objective) -> None:
    real, fake = torch.rand(2, 3, 1, 4, 5)
    to_real, to_fake = slope(objective.generator, real, fake)
    assert to_real is None
    assert to_fake is not None
    assert (to_fake < 0).all()  # towards real, at every place of every map
    to_real, to_fake = slope(objective.discriminator, real, fake)
    assert to_real is not None
    assert to_fake is not None
    assert (to_real < 0).all()
    assert (to_fake > 0).all()


@EVERY
def test_gradients_are_those_of_finite_differences(objective: Objective) -> None:
    real, fake = torch.randn(2, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: objective.generator(real, logits), fake.requires_grad_())
    if not objective.needs_real:  # whose means are numbers to the critic
        assert torch.autograd.gradcheck(objective.discriminator, (real.requires_grad_(), fake))


def test_the_relativistic_generator_moves_the_mean_of_fake_too() -> None:
    _, through_both = slope(RELATIVISTIC.generator, REAL, FAKE)
    _, of_one_term = slope(lambda real, fake: 0.5 * cross_entropy(fake - real.mean(), torch.ones(2)), REAL, FAKE)
    assert through_both is not None
    assert of_one_term is not None
    # softplus(real - mean fake) pulls at every fake logit alike
    expected = of_one_term - 0.5 * REAL.sub(FAKE.mean()).sigmoid().mean() / 2
    torch.testing.assert_close(through_both, expected)


@EVERY
def test_losses_are_float32_under_autocast(objective: Objective) -> None:
    real, fake = torch.randn(2, 3, 1, 8, 8).bfloat16()
    for loss in (objective.discriminator, objective.generator):
        plain = loss(real.float(), fake.float())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(real, fake), plain)
            assert torch.equal(loss(real.float(), fake.float()), plain)
        assert plain.dtype == torch.float32


@EVERY
def test_real_logits_may_be_left_out_where_they_are_not_needed(objective: Objective) -> None:
    if objective.needs_real:
        with pytest.raises(ValueError, match="logits of real images must be given"):
            objective.generator(None, FAKE)
    else:
        assert torch.equal(objective.generator(None, FAKE), objective.generator(REAL, FAKE))


@pytest.mark.parametrize(
    ("name", "expected"), [("relativistic", 0.75), ("vanilla", 0.625), ("hinge", 0.625), ("lsgan", 0.5)]
)
def test_accuracy_is_the_share_told_rightly_and_counts_the_undecided_half(name: str, expected: float) -> None:
    # vanilla: 2 right, 0 undecided; -1 right, 1 wrong. lsgan, about a half: 2 right, 0 wrong; -1 right, 1 wrong
    assert float(accuracy(REAL, FAKE, objective=OBJECTIVES[name])) == expected


@EVERY
def test_a_critic_that_wins_everything_has_an_accuracy_of_1_and_one_that_loses_of_0(objective: Objective) -> None:
    real, fake = torch.rand(2, 3, 1, 4, 5) + torch.tensor([2.0, -3.0]).reshape(2, 1, 1, 1, 1)
    assert float(accuracy(real, fake, objective=objective)) == 1
    assert float(accuracy(fake, real, objective=objective)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("number", [0.1, 0.7, 1e4 / 3])
def test_a_dead_critic_has_no_spread_and_an_accuracy_of_exactly_a_half(number: float, dtype: torch.dtype) -> None:
    # whose mean is not itself by rounding
    same = torch.full((3, 1, 11, 13), number, dtype=dtype)
    assert float(accuracy(same, same, objective=RELATIVISTIC)) == 0.5
    assert float(spread(same, same)) == 0


def test_spread_is_the_standard_deviation_of_all_logits_and_holds_no_graph() -> None:
    real, fake = torch.randn(2, 3, 1, 4, 5, requires_grad=True).add(torch.tensor([5.0, 0.0]).reshape(2, 1, 1, 1, 1))
    expected = torch.stack([real, fake]).double().var(correction=0).sqrt()
    torch.testing.assert_close(spread(real, fake), expected.float().detach())
    assert not spread(real, fake).requires_grad
    assert not accuracy(real, fake, objective=OBJECTIVES["lsgan"]).requires_grad


class Game(nn.Module):
    """A generator of four numbers, or a critic of them."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, outputs)).double()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


def played(share: slice, wrapped: Callable[[nn.Module], nn.Module]) -> list[Tensor]:
    """Both losses and their gradients, of a share of six images."""
    torch.manual_seed(5)
    generator, critic = Game(4), Game(1)
    # the images differ along the batch, so that the means of its halves do
    noise, images = torch.randn(2, 6, 4, dtype=torch.float64) + torch.arange(6).reshape(1, 6, 1)
    # each net is wrapped in its own phase alone, and frozen in the other's
    maker = wrapped(generator)
    fake = maker(noise[share])
    judged = critic.requires_grad_(False)
    of_generator = RELATIVISTIC.generator(judged(images[share]), judged(fake))
    of_generator.backward()  # type: ignore[no-untyped-call]
    judge = wrapped(critic.requires_grad_(True))
    # one forward: the wrapper counts on one a backward
    real, made = judge(torch.cat([images[share], fake.detach()])).chunk(2)
    of_critic = RELATIVISTIC.discriminator(real, made)
    of_critic.backward()  # type: ignore[no-untyped-call]
    slopes = [one.grad for net in (generator, critic) for one in net.parameters() if one.grad is not None]
    return [of_generator.detach(), of_critic.detach(), *slopes]


def play(rank: int, folder: str) -> list[Tensor]:
    """One of two processes."""
    limit = timedelta(seconds=100)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/met", rank=rank, world_size=2, timeout=limit)
    try:
        found = played(slice(3 * rank, 3 * rank + 3), DistributedDataParallel)
        torch.save(found, Path(folder) / str(rank))
        return found
    finally:
        distributed.destroy_process_group()


def test_two_processes_with_half_a_batch_each_learn_what_one_learns_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    other = get_context("spawn").Process(target=play, args=(1, str(tmp_path)))
    other.start()
    ours = play(0, str(tmp_path))
    other.join()
    assert other.exitcode == 0
    theirs, whole = torch.load(tmp_path / "1", weights_only=True), played(slice(None), lambda net: net)
    assert len(whole) == 2 + 4 + 4
    for mine, its, alone in zip(ours[:2], theirs[:2], whole[:2], strict=True):
        torch.testing.assert_close((mine + its) / 2, alone, rtol=1e-13, atol=0)
    for mine, its, alone in zip(ours[2:], theirs[2:], whole[2:], strict=True):
        assert torch.equal(mine, its)
        torch.testing.assert_close(mine, alone, rtol=1e-12, atol=1e-15)
