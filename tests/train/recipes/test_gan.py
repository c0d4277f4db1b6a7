import copy
from collections.abc import Mapping

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from coresr_models import EDSR, ModelSpec, build_critic
from coresr_train.ema import averaged
from coresr_train.loop import Step, fit
from coresr_train.losses import Term, l1
from coresr_train.losses.adversarial import OBJECTIVES
from coresr_train.recipe import Batch, Recipe
from coresr_train.recipes.gan import gan
from coresr_train.recipes.supervised import supervised

TERMS = {"l1": Term(weight=0.5, of=l1)}
CRITIC = ModelSpec(name="unet_sn", arguments={"width": 4})


def generator() -> EDSR:
    torch.manual_seed(0)
    return EDSR(scale=2, width=4, blocks=1, global_residual="none")


def critic(spec: ModelSpec = CRITIC) -> nn.Module:
    torch.manual_seed(1)
    return build_critic(spec)


def batches(n: int) -> list[Batch]:
    drawn = torch.Generator().manual_seed(2)
    return [
        {"lr": torch.rand(4, 1, 8, 8, generator=drawn), "hr": torch.rand(4, 1, 16, 16, generator=drawn)}
        for _ in range(n)
    ]


def game(objective: str = "vanilla", **how: float) -> Recipe:
    return gan(generator(), critic(), TERMS, objective=OBJECTIVES[objective], weight=0.1, **how)  # type: ignore[arg-type]


def run(recipe: Recipe, n: int, *, parts: int = 1, rate: float = 0.1, averaging: bool = True) -> list[Step]:
    moved = {phase.name: [p for net in phase.trains for p in recipe.nets[net].parameters()] for phase in recipe.phases}
    return list(
        fit(
            recipe,
            batches(n),
            optimizers={name: torch.optim.SGD(parameters, lr=99.0) for name, parameters in moved.items()},
            learning_rate=lambda _step: rate,
            clip=1e3,
            averages={"generator": averaged(recipe.nets["generator"], 0.9)} if averaging else {},
            accelerator=Accelerator(cpu=True),
            parts=parts,
        )
    )


def weights(net: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(net.state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("spec", [CRITIC, ModelSpec(name="vgg", arguments={"width": 2, "size": 16})])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_phase_moves_its_net_and_leaves_the_other_bit_identical_to_its_last_buffer(
    objective: str, spec: ModelSpec
) -> None:
    whole = gan(generator(), critic(spec), TERMS, objective=OBJECTIVES[objective], weight=0.1)
    for phase, still in zip(whole.phases, ("discriminator", "generator"), strict=True):
        (moved,) = phase.trains
        before = {name: weights(net) for name, net in whole.nets.items()}
        run(Recipe(nets=whole.nets, phases=(phase,)), 1)
        after = {name: weights(net) for name, net in whole.nets.items()}
        assert same(before[still], after[still])
        assert not same(before[moved], after[moved])


def test_without_a_critic_in_play_the_generator_learns_as_if_supervised() -> None:
    late = game(after=3)
    run(late, 3)
    alone = supervised(generator(), TERMS)
    run(alone, 3)
    assert same(weights(late.nets["generator"]), weights(alone.nets["generator"]))
    assert same(weights(late.nets["discriminator"]), weights(critic()))


def test_the_critic_takes_part_in_one_of_so_many_steps_and_from_its_first_on_the_generator_hears_it() -> None:
    steps = run(game(after=2, every=3), 9)
    assert [step.number for step in steps if "d/adversarial" in step.terms] == [3, 6, 9]
    assert [step.number for step in steps if "g/adversarial" in step.terms] == [3, 4, 5, 6, 7, 8, 9]
    assert all("g/l1" in step.terms for step in steps)


def test_a_head_start_moves_the_critic_alone() -> None:
    recipe = game(head_start=2)
    steps = run(recipe, 2)
    assert all(set(step.terms) == {"d/adversarial"} for step in steps)
    assert same(weights(recipe.nets["generator"]), weights(generator()))
    assert not same(weights(recipe.nets["discriminator"]), weights(critic()))


def test_a_head_start_is_of_the_critics_own_steps_whatever_its_pace() -> None:
    steps = run(game(head_start=3, every=4), 9)
    assert [step.number for step in steps if "d/adversarial" in step.terms] == [1, 2, 3, 4, 8]
    assert [step.number for step in steps if "g/adversarial" in step.terms] == [4, 5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match="after or head_start must be 0, got 2 and 3"):
        game(after=2, head_start=3)


def test_the_critic_learns_at_its_own_rate() -> None:
    slow, fast = game(rate=0.0), game(rate=1.0)
    run(slow, 1)
    run(fast, 1)
    parameters = [dict(recipe.nets["discriminator"].named_parameters()) for recipe in (slow, fast)]
    before = dict(critic().named_parameters())
    assert all(torch.equal(parameters[0][name], before[name]) for name in before)
    assert any(not torch.equal(parameters[1][name], before[name]) for name in before)


@pytest.mark.parametrize("objective", ["vanilla", "hinge", "lsgan"])
def test_a_batch_in_parts_makes_the_step_of_the_whole(objective: str) -> None:
    # in float64: what remains is the order of sums, and one step of the spectral norm a part
    torch.set_default_dtype(torch.float64)
    try:
        critics = ModelSpec(name="patchgan", arguments={"width": 4, "layers": 1, "norm": "none"})
        whole, halves = (
            gan(generator(), critic(critics), TERMS, objective=OBJECTIVES[objective], weight=0.1) for _ in range(2)
        )
        for recipe, parts in ((whole, 1), (halves, 2)):
            moved: list[Batch] = [{name: one.double() for name, one in batch.items()} for batch in batches(2)]
            _in_float64(recipe, moved, parts)
    finally:
        torch.set_default_dtype(torch.float32)
    for name in whole.nets:
        ours, theirs = whole.nets[name].state_dict(), halves.nets[name].state_dict()
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key], rtol=1e-12, atol=1e-14)


def _in_float64(recipe: Recipe, data: list[Batch], parts: int) -> None:
    for net in recipe.nets.values():
        net.double()
    optimizers = {
        phase.name: torch.optim.SGD(recipe.nets[phase.trains[0]].parameters(), lr=99.0) for phase in recipe.phases
    }
    before = {name: weights(net) for name, net in recipe.nets.items()}
    steps = fit(
        recipe,
        data,
        optimizers=optimizers,
        learning_rate=lambda _step: 0.1,
        clip=1e3,
        averages={},
        accelerator=Accelerator(cpu=True),
        parts=parts,
    )
    assert len(list(steps)) == len(data)
    assert not any(same(before[name], weights(net)) for name, net in recipe.nets.items())


def test_the_terms_are_weighted_and_the_critic_is_watched() -> None:
    light, heavy = (
        gan(generator(), critic(), TERMS, objective=OBJECTIVES["vanilla"], weight=weight) for weight in (0.1, 0.3)
    )
    one, other = run(light, 1)[0], run(heavy, 1)[0]
    assert float(other.terms["g/adversarial"]) == pytest.approx(3 * float(one.terms["g/adversarial"]))
    assert {"d/accuracy", "d/spread", "d/gradient_norm", "g/gradient_norm"} == set(one.watched)
    assert 0 <= float(one.watched["d/accuracy"]) <= 1


def test_the_average_follows_the_generator_and_is_not_it() -> None:
    recipe = game()
    average = averaged(recipe.nets["generator"], 0.9)
    steps = fit(
        recipe,
        batches(3),
        optimizers={
            phase.name: torch.optim.SGD(recipe.nets[phase.trains[0]].parameters(), lr=99.0) for phase in recipe.phases
        },
        learning_rate=lambda _step: 0.1,
        clip=1e3,
        averages={"generator": average},
        accelerator=Accelerator(cpu=True),
    )
    assert len(list(steps)) == 3
    assert not same(weights(average.module), weights(recipe.nets["generator"]))
    assert not same(weights(average.module), weights(generator()))


def test_a_game_without_fidelity_is_refused() -> None:
    with pytest.raises(ValueError, match="terms must be one or more"):
        gan(generator(), critic(), {}, objective=OBJECTIVES["vanilla"], weight=1.0)


def test_a_critic_that_tells_all_rightly_is_right_and_one_that_swaps_them_is_not() -> None:
    watch = game().phases[-1].watch
    assert watch is not None
    high, low = torch.tensor([2.0, 3.0]), torch.tensor([-1.0, -2.0])
    assert float(watch({"real": high, "fake": low})["accuracy"]) == 1.0
    assert float(watch({"real": low, "fake": high})["accuracy"]) == 0.0
