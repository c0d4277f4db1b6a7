import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from coresr_train.ema import averaged
from coresr_train.loop import Step, fit, key, only
from coresr_train.recipe import Batch, Nets, Phase, Recipe, Scratch


def batches(n: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [
        {"lr": torch.rand(4, 3, generator=generator), "hr": torch.rand(4, 2, generator=generator)} for _ in range(n)
    ]


def towards_hr(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
    scratch["sr"] = nets["generator"](batch["lr"])
    return {"mse": (scratch["sr"] - batch["hr"]).square().mean(), "small": 0.1 * scratch["sr"].abs().mean()}


def judged(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
    return {"hinge": nets["discriminator"](scratch["sr"].detach()).mean() - nets["discriminator"](batch["hr"]).mean()}


def run(
    recipe: Recipe,
    n: int,
    *,
    clip: float = 100.0,
    rate: float = 0.1,
    data: Sequence[Batch] | None = None,
    parts: int = 1,
    first_step: int = 0,
    seed: int = 0,
) -> Iterator[Step]:
    optimizers = {
        phase.name: torch.optim.SGD([p for name in phase.trains for p in recipe.nets[name].parameters()], lr=99.0)
        for phase in recipe.phases
    }
    averages = {"generator": averaged(recipe.nets["generator"], 0.9)}
    yield from fit(
        recipe,
        data or batches(n),
        optimizers=optimizers,
        learning_rate=lambda step: rate / (step + 1),
        clip=clip,
        averages=averages,
        accelerator=Accelerator(cpu=True),
        first_step=first_step,
        parts=parts,
        seed=seed,
    )


def one_phase() -> Recipe:
    return Recipe(
        nets={"generator": nn.Linear(3, 2)}, phases=(Phase(name="sr", trains=("generator",), loss=towards_hr),)
    )


def two_phases() -> Recipe:
    return Recipe(
        nets={"generator": nn.Linear(3, 2), "discriminator": nn.Linear(2, 1)},
        phases=(
            Phase(name="g", trains=("generator",), loss=towards_hr),
            Phase(name="d", trains=("discriminator",), loss=judged),
        ),
    )


def test_a_run_equals_a_bare_pytorch_loop_bit_by_bit() -> None:
    recipe = one_phase()
    bare = copy.deepcopy(recipe.nets["generator"])
    assert len(list(run(recipe, 5))) == 5
    for step, batch in enumerate(batches(5)):
        loss = torch.stack(list(towards_hr({"generator": bare}, batch, {}).values())).sum()
        bare.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        torch.nn.utils.clip_grad_norm_(bare.parameters(), 100.0)
        with torch.no_grad():
            for parameter in bare.parameters():
                assert parameter.grad is not None
                parameter.sub_(0.1 / (step + 1) * parameter.grad)
    for ours, theirs in zip(recipe.nets["generator"].parameters(), bare.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_step_says_its_number_its_rate_and_every_term() -> None:
    steps = list(run(two_phases(), 3))
    assert [step.number for step in steps] == [1, 2, 3]
    assert [step.learning_rate for step in steps] == [0.1, 0.05, 0.1 / 3]
    assert set(steps[0].terms) == {"g/mse", "g/small", "d/hinge"}
    assert set(steps[0].watched) == {"g/gradient_norm", "d/gradient_norm"}
    assert not any(term.requires_grad for step in steps for term in step.terms.values())


def test_each_phase_moves_its_own_nets_and_leaves_the_others_bit_identical() -> None:
    recipe = two_phases()
    only_d = Recipe(nets=recipe.nets, phases=(Phase(name="d", trains=("discriminator",), loss=with_gradient_to_both),))
    before = copy.deepcopy(dict(recipe.nets["generator"].state_dict()))
    moved = copy.deepcopy(dict(recipe.nets["discriminator"].state_dict()))
    list(run(only_d, 3))
    assert all(torch.equal(before[key], value) for key, value in recipe.nets["generator"].state_dict().items())
    assert any(not torch.equal(moved[key], value) for key, value in recipe.nets["discriminator"].state_dict().items())
    assert all(parameter.grad is None for parameter in recipe.nets["generator"].parameters())


def with_gradient_to_both(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
    scratch["sr"] = nets["generator"](batch["lr"])
    return {"leak": nets["discriminator"](scratch["sr"]).square().mean()}


def test_frozen_nets_can_move_again_afterwards_even_after_an_error() -> None:
    nets = {"a": nn.Linear(1, 1), "b": nn.Linear(1, 1)}
    with pytest.raises(RuntimeError), only(nets, ("a",)):
        assert not any(p.requires_grad for p in nets["b"].parameters())
        raise RuntimeError
    assert all(p.requires_grad for net in nets.values() for p in net.parameters())


def test_a_gradient_that_is_not_finite_stops_the_run_before_the_weights_move() -> None:
    recipe = one_phase()
    data = batches(3)
    data[1] = {**data[1], "hr": torch.full((4, 2), float("nan"))}
    seen = []
    with pytest.raises(FloatingPointError, match="phase sr at step 2"):
        for step in run(recipe, 3, data=data):
            seen.append(step.number)
            kept = copy.deepcopy(recipe.nets["generator"].state_dict())
    assert seen == [1]
    assert all(torch.equal(kept[key], value) for key, value in recipe.nets["generator"].state_dict().items())


def test_the_gradient_is_clipped_to_its_norm_and_logged_before() -> None:
    recipe = one_phase()
    before = copy.deepcopy(list(recipe.nets["generator"].parameters()))
    (step,) = run(recipe, 1, clip=1e-3, rate=1.0)
    moved = torch.cat(
        [(a - b).detach().flatten() for a, b in zip(before, recipe.nets["generator"].parameters(), strict=True)]
    )
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)
    assert float(step.watched["sr/gradient_norm"]) > 1e-2


def scaled(initial: float) -> Accelerator:
    """As on a GPU in float16, where losses are scaled; here float32 overflows."""
    accelerator = Accelerator(cpu=True)
    accelerator.state._mixed_precision = "fp16"
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=initial)
    accelerator.autocast = contextlib.nullcontext
    return accelerator


def with_scaler(recipe: Recipe, accelerator: Accelerator, data: Sequence[Batch]) -> list[Step]:
    optimizers = {
        phase.name: accelerator.prepare_optimizer(torch.optim.SGD(recipe.nets[phase.trains[0]].parameters(), lr=99.0))
        for phase in recipe.phases
    }
    average = averaged(recipe.nets["generator"], 0.9)
    steps = list(
        fit(
            recipe,
            data,
            optimizers=optimizers,
            learning_rate=lambda step: 0.1 / (step + 1),
            clip=100.0,
            averages={"generator": average},
            accelerator=accelerator,
        )
    )
    assert int(average.n_averaged) == len(data)
    return steps


@pytest.mark.parametrize("phases", [1, 2])
def test_a_step_that_overflows_is_repeated_until_it_is_the_step_it_would_have_been(phases: int) -> None:
    plain = one_phase() if phases == 1 else two_phases()
    overflowing = Recipe(nets=copy.deepcopy(dict(plain.nets)), phases=plain.phases)
    data = [{**batch, "hr": 100 * batch["hr"]} for batch in batches(3)]
    expected = list(run(plain, 3, data=data))
    accelerator = scaled(2.0**127)
    found = with_scaler(overflowing, accelerator, data)
    assert accelerator.scaler is not None
    assert accelerator.scaler.get_scale() < 2.0**127, "it overflowed"
    assert [step.learning_rate for step in found] == [step.learning_rate for step in expected]
    for name, net in plain.nets.items():
        for ours, theirs in zip(overflowing.nets[name].parameters(), net.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


def test_where_no_scale_helps_the_run_ends() -> None:
    data = [{**batch, "hr": torch.full((4, 2), float("nan"))} for batch in batches(1)]
    with pytest.raises(FloatingPointError, match="must be finite"):
        with_scaler(one_phase(), scaled(2.0**4), data)


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_makes_the_same_step(parts: int) -> None:
    whole, parted = two_phases(), two_phases()
    for name, net in parted.nets.items():
        net.load_state_dict(whole.nets[name].state_dict())
    first, second = list(run(whole, 3)), list(run(parted, 3, parts=parts))
    for name in whole.nets:
        for one, other in zip(whole.nets[name].parameters(), parted.nets[name].parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
    for step, parted_step in zip(first, second, strict=True):
        for name, value in step.terms.items():
            torch.testing.assert_close(value, parted_step.terms[name], rtol=1e-5, atol=1e-7)


def test_parts_that_do_not_divide_a_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="must divide into 3 parts, got 4"):
        next(run(one_phase(), 1, parts=3))


def test_a_term_apart_from_the_networks_is_refused() -> None:
    def apart(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
        return {**towards_hr(nets, batch, scratch), "constant": batch["hr"].mean()}

    recipe = Recipe(nets=one_phase().nets, phases=(Phase(name="sr", trains=("generator",), loss=apart),))
    with pytest.raises(ValueError, match="sr/constant must depend on the trained networks"):
        next(run(recipe, 1))


def noisy(nets: Nets, batch: Batch, scratch: Scratch) -> dict[str, Tensor]:
    scratch["sr"] = nets["generator"](batch["lr"] + torch.randn_like(batch["lr"]))
    return {"mse": (scratch["sr"] - batch["hr"]).square().mean()}


def test_random_numbers_belong_to_their_seed_and_step_whatever_was_drawn_before() -> None:
    def losses(seed: int, first_step: int, n: int) -> list[float]:
        torch.manual_seed(0)
        recipe = Recipe(
            nets={"generator": nn.Linear(3, 2)}, phases=(Phase(name="sr", trains=("generator",), loss=noisy),)
        )
        steps = run(recipe, n, data=batches(1) * n, rate=1e-12, seed=seed, first_step=first_step)
        return [(float(step.terms["sr/mse"]), torch.rand(1))[0] for step in steps]

    from_the_start = losses(0, 0, 4)
    assert len(set(from_the_start)) == 4
    assert losses(0, 2, 2) == pytest.approx(from_the_start[2:])
    assert not set(losses(1, 0, 4)) & set(from_the_start)


def test_a_phase_has_its_rate_its_steps_and_what_is_watched() -> None:
    def seen(scratch: Scratch) -> dict[str, Tensor]:
        return {"mean": scratch["sr"].mean()}

    two = two_phases()
    late = replace(two.phases[1], after=1, until=6, every=2, rate=0.5, watch=seen)
    recipe = Recipe(nets=two.nets, phases=(two.phases[0], late))
    before = copy.deepcopy(two.nets["discriminator"])
    gradients = [None, 1, None, 2, None, 3, None, None]
    steps = []
    for step, number in zip(run(recipe, 8), gradients, strict=True):
        steps.append(step)
        assert ("d/hinge" in step.terms) == (number is not None)
        assert ("d/mean" in step.watched) == (number is not None)
        if step.number == 2:  # the first at half of the rate of step 2, 0.1 / 2
            moved = [a - b for a, b in zip(before.parameters(), two.nets["discriminator"].parameters(), strict=True)]
            norm = torch.cat([one.detach().flatten() for one in moved]).norm()
            assert float(norm) == pytest.approx(0.5 * 0.05 * float(step.watched["d/gradient_norm"]), rel=1e-5)
    assert all("g/mse" in step.terms for step in steps)


def test_a_frozen_net_keeps_its_buffers_though_it_is_in_training() -> None:
    nets = {"generator": nn.Linear(3, 2), "discriminator": nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))}
    before = copy.deepcopy(nets["discriminator"].state_dict())
    phase = Phase(name="g", trains=("generator",), loss=with_gradient_to_both)
    list(run(Recipe(nets=nets, phases=(phase,)), 2))
    assert all(torch.equal(before[name], value) for name, value in nets["discriminator"].state_dict().items())
    assert nets["discriminator"].training


def test_a_later_first_step_counts_on() -> None:
    steps = list(run(one_phase(), 2, first_step=7))
    assert [step.number for step in steps] == [8, 9]
    assert [step.learning_rate for step in steps] == [0.1 / 8, 0.1 / 9]


def test_keys_of_other_numbers_are_other_keys() -> None:
    assert len({key(a, b) for a in range(40) for b in range(40)}) == 1600
    assert all(0 <= key(n) < 2**63 for n in range(100))
