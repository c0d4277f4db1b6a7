import contextlib
import copy
from collections.abc import Iterator

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from coresr_train.ema import averaged
from coresr_train.loop import Step, fit, only
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
    recipe: Recipe, n: int, *, clip: float = 100.0, rate: float = 0.1, data: list[Batch] | None = None
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
        loss.backward()  # type: ignore[no-untyped-call]
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
    assert set(steps[0].terms) == {"g/mse", "g/small", "g/gradient_norm", "d/hinge", "d/gradient_norm"}
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
    with pytest.raises(FloatingPointError, match="phase sr at step 1"):
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
    assert float(step.terms["sr/gradient_norm"]) > 1e-2


class Scaler:
    """A float16 scaler of a given scale, as far as the loop asks it."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def get_scale(self) -> float:
        return self.scale


@pytest.mark.parametrize(("scale", "stops"), [(1.0, False), (0.5, True)])
def test_with_a_scaler_overflow_is_its_own_affair_until_no_scale_helps(
    scale: float, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "backward", lambda self, loss: loss.backward())
    monkeypatch.setattr(Accelerator, "clip_grad_norm_", lambda self, parameters, clip: torch.tensor(float("inf")))
    monkeypatch.setattr(Accelerator, "scaler", Scaler(scale), raising=False)
    monkeypatch.setattr(Accelerator, "__init__", lambda self, cpu: None)
    monkeypatch.setattr(Accelerator, "autocast", lambda self: contextlib.nullcontext())
    monkeypatch.setattr(Accelerator, "optimizer_step_was_skipped", True)
    monkeypatch.setattr(Accelerator, "unwrap_model", lambda self, model: pytest.fail("a skipped step is not averaged"))
    if stops:
        with pytest.raises(FloatingPointError, match="must be finite"):
            list(run(one_phase(), 1))
    else:
        assert len(list(run(one_phase(), 1))) == 1
