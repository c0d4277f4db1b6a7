"""CycleGAN's recipe: what its terms are, whom they move, and that parts, processes and repeats change nothing."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.cyclegan import BicubicDown, BlockMean, Down, Replicate, Up
from coresr_models.discriminators import PatchGAN
from coresr_train.loop import fit
from coresr_train.losses.adversarial import OBJECTIVES, accuracy, spread
from coresr_train.losses.pixels import l1
from coresr_train.recipe import Batch, Phase, Recipe, Scratch
from coresr_train.recipes.cyclegan import Weights, cyclegan
from tests.train.ranks import in_two_processes

SCALE = 3
LSGAN = OBJECTIVES["lsgan"]


def operators(kind: str = "mean") -> dict[str, nn.Module]:
    bicubic = Up(scale=SCALE, width=1, blocks=1).skip
    shrink, enlarge = (
        (BlockMean(scale=SCALE), Replicate(scale=SCALE)) if kind == "mean" else (BicubicDown(scale=SCALE), bicubic)
    )
    return {"shrink": shrink, "enlarge": enlarge}


def networks(
    *, norm: str = "none", skips: tuple[str, str] = ("replicate", "mean"), lively: bool = True
) -> dict[str, nn.Module]:
    """Of each net a small one; `lively`: no weight is zero, as after training."""
    torch.manual_seed(3)
    nets: dict[str, nn.Module] = {
        "up": Up(scale=SCALE, width=4, blocks=1, tail="direct", skip=skips[0]),  # type: ignore[arg-type]
        "down": Down(scale=SCALE, width=4, blocks=1, skip=skips[1]),  # type: ignore[arg-type]
        "d_hr": PatchGAN(width=4, layers=2, norm=norm),  # type: ignore[arg-type]
        "d_lr": PatchGAN(width=4, layers=1, norm=norm),  # type: ignore[arg-type]
    }
    for name in ("up", "down") if lively else ():
        for parameter in nets[name].parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
    return nets


def batches(n: int, size: int = 4, side: int = 8) -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    return [
        {
            "lr": torch.rand(size, 1, side, side, generator=generator, dtype=torch.float64),
            "hr": torch.rand(size, 1, SCALE * side, SCALE * side, generator=generator, dtype=torch.float64),
        }
        for _ in range(n)
    ]


def recipe(nets: Mapping[str, nn.Module] | None = None, **changed: Any) -> Recipe:
    """In float64."""
    nets = {name: net.double() for name, net in (nets or networks()).items()}
    whole: dict[str, Any] = {"objective": LSGAN, "weights": Weights(), **operators(), "pool": 3} | changed
    return cyclegan(nets["up"], nets["down"], nets["d_hr"], nets["d_lr"], **whole)


def phases(one: Recipe) -> dict[str, Phase]:
    return {phase.name: phase for phase in one.phases}


def terms(one: Recipe, batch: Batch, *, phase: str = "g", scratch: Scratch | None = None) -> dict[str, Tensor]:
    return phases(one)[phase].loss(one.nets, batch, {} if scratch is None else scratch)


def values(found: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in found.items()}


def steps(
    one: Recipe, data: Sequence[Batch], *, parts: int = 1, accelerator: Accelerator | None = None
) -> list[dict[str, Tensor]]:
    """Train on the batches by plain gradient descent; the terms of each step."""
    accelerator = accelerator or Accelerator(cpu=True)
    optimizers = {
        phase.name: torch.optim.SGD([weight for name in phase.trains for weight in one.nets[name].parameters()], lr=1.0)
        for phase in one.phases
    }
    taken = fit(
        one,
        data,
        optimizers=optimizers,
        learning_rate=lambda _step: 0.02,
        clip=1e3,
        averages={},
        accelerator=accelerator,
        parts=parts,
    )
    return [step.terms | step.watched for step in taken]


def everything(one: Recipe) -> dict[str, Tensor]:
    nets = {
        f"{name}.{key}": tensor.clone() for name, net in one.nets.items() for key, tensor in net.state_dict().items()
    }
    kept = {
        f"{name}.{key}": tensor for name, memory in one.memories.items() for key, tensor in memory.tensors().items()
    }
    return nets | kept


def only(one: Recipe, name: str) -> Recipe:
    return Recipe(nets=one.nets, phases=(phases(one)[name],), memories=one.memories)


class Times(nn.Module):
    """x ↦ factor · x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Counted(nn.Module):
    """Counts how many images its net is given in each call."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.calls = net, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        answer: Tensor = self.net(x)
        return answer


# What the terms are


def test_where_down_undoes_up_nothing_is_lost_on_the_way_from_lr_and_back_at_the_start() -> None:
    nets = networks(lively=False)
    torch.manual_seed(0)
    batch = {"lr": torch.rand(2, 1, 8, 8), "hr": torch.rand(2, 1, 24, 24)}
    one = cyclegan(
        *nets.values(),
        objective=LSGAN,
        shrink=BlockMean(scale=SCALE),
        enlarge=Replicate(scale=SCALE),
        weights=Weights(cycle=1.0),
    )
    found = values(terms(one, batch))
    assert found["cycle_lr"] < 1e-6
    blurred = functional.interpolate(functional.avg_pool2d(batch["hr"], SCALE), scale_factor=SCALE, mode="nearest")
    assert found["cycle_hr"] == pytest.approx(float((blurred - batch["hr"]).abs().mean()), abs=1e-6)


def test_the_identity_terms_start_as_what_the_fixed_operators_lose() -> None:
    one = recipe(networks(skips=("bicubic", "bicubic"), lively=False), **operators("bicubic"))
    (batch,) = batches(1)
    down, up = (operators("bicubic")[name] for name in ("shrink", "enlarge"))
    found = values(terms(one, batch))
    lost = {"hr": up(down(batch["hr"])) - batch["hr"], "lr": down(up(batch["lr"])) - batch["lr"]}
    for side, difference in lost.items():
        assert found[f"identity_{side}"] == pytest.approx(5 * float(difference.abs().mean()), rel=1e-12)


def test_a_linear_toy_and_its_inverse_lose_nothing_on_either_way() -> None:
    toy = {"up": Times(3.0), "down": Times(1 / 3), "d_hr": Times(1.0), "d_lr": Times(1.0)}
    same = {"shrink": lambda x: x, "enlarge": lambda x: x}
    images = torch.rand(2, 2, 1, 5, 5, dtype=torch.float64)
    found = values(terms(recipe(toy, **same), {"lr": images[0], "hr": images[1]}))
    assert max(found["cycle_hr"], found["cycle_lr"]) < 1e-14
    assert found["identity_hr"] == pytest.approx(5 * 2 * float(images[1].mean()))
    assert found["identity_lr"] == pytest.approx(5 * 2 / 3 * float(images[0].mean()))


@pytest.mark.parametrize(
    ("name", "told", "pleased"),
    [
        ("lsgan", 1.0, 2.0),
        ("relativistic", (math.log1p(math.exp(-2)) + math.log(2)) / 2, (math.log1p(math.exp(2)) + math.log(2)) / 2),
        ("vanilla", 1.2232992833, 0.8132616875),
        ("hinge", 1.5, 0.0),
    ],
)
def test_the_verdicts_have_the_golden_values_of_their_objective(name: str, told: float, pleased: float) -> None:
    # generators and critics that answer what they are given: real HR has the logits 2 and 0, made HR -1 and 1
    plain = {net: Times(1.0) for net in ("up", "down", "d_hr", "d_lr")}
    made, real = (torch.tensor(logits, dtype=torch.float64).reshape(2, 1, 1, 1) for logits in ([-1.0, 1.0], [2.0, 0.0]))
    one = recipe(plain, objective=OBJECTIVES[name], shrink=lambda x: x, enlarge=lambda x: x, pool=0)
    for side, batch in (("hr", {"lr": made, "hr": real}), ("lr", {"lr": real, "hr": made})):
        scratch: Scratch = {}
        found = [values(terms(one, batch, phase=phase, scratch=scratch))[f"adversarial_{side}"] for phase in ("g", "d")]
        assert found == pytest.approx([pleased, told], rel=1e-9)


def test_every_term_is_its_formula_times_its_weight() -> None:
    weights = Weights(adversarial=0.7, cycle=3.0, identity=2.0, consistency=0.3)
    one, (batch,) = recipe(weights=weights), batches(1)
    up, down, d_hr, d_lr = (one.nets[name] for name in ("up", "down", "d_hr", "d_lr"))
    lr, hr, shrink, enlarge = batch["lr"], batch["hr"], *operators().values()
    wanted = {
        "adversarial_hr": 0.7 * (d_hr(up(lr)) - 1).square().mean(),
        "adversarial_lr": 0.7 * (d_lr(down(hr)) - 1).square().mean(),
        "cycle_hr": 3 * (up(down(hr)) - hr).abs().mean(),
        "cycle_lr": 3 * (down(up(lr)) - lr).abs().mean(),
        "identity_hr": 2 * (up(shrink(hr)) - hr).abs().mean(),
        "identity_lr": 2 * (down(enlarge(lr)) - lr).abs().mean(),
        "consistency": 0.3 * (shrink(up(lr)) - lr).abs().mean(),
    }
    found = terms(one, batch)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=0, msg=name)


def test_the_weights_are_cyclegans_unless_told() -> None:
    assert Weights() == Weights(adversarial=1.0, cycle=10.0, identity=5.0, consistency=0.0)


@pytest.mark.parametrize(
    ("name", "nets"),
    [
        ("adversarial_hr", {"up"}),
        ("adversarial_lr", {"down"}),
        ("cycle_hr", {"up", "down"}),
        ("cycle_lr", {"up", "down"}),
        ("identity_hr", {"up"}),
        ("identity_lr", {"down"}),
        ("consistency", {"up"}),
    ],
)
def test_a_term_of_the_generators_moves_those_that_it_is_about(name: str, nets: set[str]) -> None:
    one = recipe(weights=Weights(consistency=1.0))
    terms(one, batches(1)[0])[name].backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    moved = {
        net
        for net in ("up", "down")
        for weight in one.nets[net].parameters()
        if weight.grad is not None and weight.grad.any()
    }
    assert moved == nets


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"adversarial": 0.0}, "^weight of adversarial must be above 0, got 0.0$"),
        ({"cycle": 0.0}, "^weight of cycle must be above 0, got 0.0$"),
        ({"cycle": math.nan}, "^weight of cycle must be above 0, got nan$"),
        ({"identity": -1.0}, "^weight of identity must be 0 or more, got -1.0$"),
        ({"consistency": math.nan}, "^weight of consistency must be 0 or more, got nan$"),
    ],
)
def test_weights_out_of_bounds_are_refused(weights: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Weights(**weights)


# What is computed


def counted(*, objective: str = "lsgan", **weights: float) -> tuple[dict[str, list[int]], set[str]]:
    """How many images each net was given in each call of the phases g and d, and which operators were asked."""
    asked: set[str] = set()

    def asking(name: str) -> Callable[[Tensor], Tensor]:
        def ask(image: Tensor) -> Tensor:
            asked.add(name)
            answer: Tensor = operators()[name](image)
            return answer

        return ask

    nets = {name: Counted(net) for name, net in networks().items()}
    one = recipe(
        nets,
        objective=OBJECTIVES[objective],
        weights=Weights(**weights),
        shrink=asking("shrink"),
        enlarge=asking("enlarge"),
    )
    steps(one, batches(1))
    return {name: net.calls for name, net in nets.items()}, asked


def test_nothing_is_computed_twice_and_each_net_is_called_as_seldom_as_can_be() -> None:
    calls, asked = counted()
    assert calls == {"up": [12], "down": [8, 4], "d_hr": [4, 4, 4], "d_lr": [4, 4, 4]}
    assert asked == {"shrink", "enlarge"}


def test_a_term_of_weight_zero_is_left_out_and_costs_nothing() -> None:
    calls, asked = counted(identity=0.0)
    assert calls == {"up": [8], "down": [4, 4], "d_hr": [4, 4, 4], "d_lr": [4, 4, 4]}
    assert not asked
    assert counted(identity=0.0, consistency=1.0)[1] == {"shrink"}
    without = terms(recipe(weights=Weights(identity=0.0)), batches(1)[0])
    assert without.keys() == {"adversarial_hr", "adversarial_lr", "cycle_hr", "cycle_lr"}


def test_real_images_are_judged_in_the_generators_phase_where_the_objective_needs_them_alone() -> None:
    calls, _ = counted(objective="relativistic")
    assert calls["d_hr"] == calls["d_lr"] == [4, 4, 4, 4]


def test_the_operators_are_exact_whatever_autocast_does() -> None:
    matrix = torch.rand(8, 24)

    def shrink(image: Tensor) -> Tensor:
        assert image.dtype == torch.float32
        return matrix @ image @ matrix.T / 144

    nets, side = networks(), {"lr": torch.rand(2, 1, 8, 8), "hr": torch.rand(2, 1, 24, 24)}
    nets["up"] = Half()
    one = cyclegan(
        *nets.values(), objective=LSGAN, shrink=shrink, enlarge=Replicate(scale=SCALE), weights=Weights(consistency=1.0)
    )
    with torch.autocast("cpu", torch.bfloat16):
        found = values(terms(one, side))["consistency"]
    enlarged = Replicate(scale=SCALE)(side["lr"]).bfloat16().float()
    assert found == float(l1(shrink(enlarged), side["lr"]))


class Half(nn.Module):
    """Answers in half precision, as most networks do under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, lr: Tensor) -> Tensor:
        enlarged: Tensor = Replicate(scale=SCALE)(lr)
        return (self.one * enlarged).bfloat16()


# Who moves


@pytest.mark.parametrize("norm", ["spectral", "batch"])
@pytest.mark.parametrize(("phase", "still"), [("g", ("d_hr", "d_lr")), ("d", ("up", "down"))])
def test_a_phase_leaves_the_others_nets_bit_identical(norm: str, phase: str, still: tuple[str, str]) -> None:
    one = recipe(networks(norm=norm))
    before = everything(one)
    steps(only(one, phase), batches(2))
    after = everything(one)
    moved = {key for key in before if key.partition(".")[0] in one.nets and not torch.equal(before[key], after[key])}
    assert {key.partition(".")[0] for key in moved} == one.nets.keys() - set(still)
    assert all(weight.grad is None for name in still for weight in one.nets[name].parameters())


def test_critics_are_frozen_while_the_generators_learn() -> None:
    seen = []

    class Watched(PatchGAN):
        def forward(self, image: Tensor) -> Tensor:
            seen.append([weight.requires_grad for weight in self.parameters()])
            return super().forward(image)

    steps(only(recipe(networks() | {"d_hr": Watched(width=4, layers=2)}), "g"), batches(1))
    assert seen == [[False] * len(seen[0])]


@pytest.mark.parametrize("name", ["lsgan", "hinge", "vanilla"])
@pytest.mark.parametrize("norm", ["none", "instance"])
@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_makes_the_same_steps(name: str, norm: str, parts: int) -> None:
    whole, parted = (recipe(networks(norm=norm), objective=OBJECTIVES[name]) for _ in range(2))
    first, second = steps(whole, batches(4)), steps(parted, batches(4), parts=parts)
    for one, other in zip(first, second, strict=True):
        for key in one.keys() - {"d/spread_hr", "d/spread_lr"}:  # of each part
            torch.testing.assert_close(one[key], other[key], rtol=1e-9, atol=1e-12, msg=key)
    for key, tensor in everything(whole).items():
        torch.testing.assert_close(everything(parted)[key], tensor, rtol=1e-9, atol=1e-12, msg=key)


def by_rank(one: Recipe, data: Sequence[Batch], rank: int) -> dict[str, Tensor]:
    """What one of two processes has in the end, with its half of every batch."""
    AcceleratorState._reset_state(reset_partial_state=True)  # what it inherits is alone
    accelerator = Accelerator(cpu=True, kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)])
    assert accelerator.num_processes == 2
    prepared = Recipe(
        nets={name: accelerator.prepare_model(net) for name, net in one.nets.items()},
        phases=one.phases,
        memories=one.memories,
    )
    halves = [{name: images[2 * rank :][:2] for name, images in batch.items()} for batch in data]
    steps(prepared, halves, accelerator=accelerator)
    return everything(one)


@pytest.mark.parametrize(("name", "norm"), [("lsgan", "instance"), ("relativistic", "spectral")])
@pytest.mark.filterwarnings("ignore:`broadcast_buffers` is deprecated:FutureWarning")
def test_two_processes_make_the_steps_of_one(name: str, norm: str, tmp_path: Path) -> None:
    data = batches(5)
    alone, shared = (recipe(networks(norm=norm), objective=OBJECTIVES[name]) for _ in range(2))
    start = everything(alone)
    steps(alone, data)
    ours = in_two_processes(lambda rank: by_rank(shared, data, rank), tmp_path)
    for key, tensor in everything(alone).items():
        assert torch.equal(ours[0][key], ours[1][key]), key
        torch.testing.assert_close(ours[0][key], tensor, rtol=1e-9, atol=1e-12, msg=key)
        assert "weight" not in key or not torch.equal(tensor, start[key]), key


# The pools


def test_critics_are_shown_the_pools_images_and_a_repeat_does_not_ask_again() -> None:
    one, data = recipe(pool=2), batches(3)
    for batch in data[:2]:
        scratch: Scratch = {}
        terms(one, batch, scratch=scratch)
        terms(one, batch, phase="d", scratch=scratch)
    scratch = {}
    terms(one, data[2], scratch=scratch)
    other = copy.deepcopy(dict(one.memories))
    first = terms(one, data[2], phase="d", scratch=scratch)
    for side, source, net in (("hr", "lr", "up"), ("lr", "hr", "down")):
        made = one.nets[net](data[2][source]).detach()
        shown = other[f"pool_{side}"](made)  # type: ignore[operator]  # a pool is called
        assert not torch.equal(shown, made), "some are old"
        wanted = LSGAN.discriminator(one.nets[f"d_{side}"](data[2][side]), one.nets[f"d_{side}"](shown))
        torch.testing.assert_close(first[f"adversarial_{side}"], wanted, rtol=1e-12, atol=0)
    after = everything(one)
    again = terms(one, data[2], phase="d", scratch=scratch)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(torch.equal(after[key], tensor) for key, tensor in everything(one).items())


def test_the_critics_have_no_way_back_to_the_generators() -> None:
    one, scratch = recipe(), Scratch()
    terms(one, batches(1)[0], scratch=scratch)
    sum(terms(one, batches(1)[0], phase="d", scratch=scratch).values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None for name in ("up", "down") for weight in one.nets[name].parameters())
    assert all(weight.grad is not None for name in ("d_hr", "d_lr") for weight in one.nets[name].parameters())


def test_the_pools_of_either_kind_draw_apart_and_by_the_runs_seed() -> None:
    def states(seed: int) -> list[bytes]:
        return [memory.tensors()["generator"].numpy().tobytes() for memory in recipe(seed=seed).memories.values()]

    assert len({*states(0), *states(1)}) == 4
    assert states(0) == states(0)


def test_a_run_that_was_cut_in_two_goes_on_bit_by_bit_with_its_pools() -> None:
    data = batches(8)
    whole, first, second, forgetful = (recipe() for _ in range(4))
    steps(whole, data)
    steps(first, data[:4])
    for later in (second, forgetful):
        for name, net in later.nets.items():
            net.load_state_dict(first.nets[name].state_dict())
    for name, memory in second.memories.items():
        memory.restore(first.memories[name].tensors())
    for later in (second, forgetful):
        steps(later, data[4:])
    assert all(torch.equal(everything(second)[key], tensor) for key, tensor in everything(whole).items())
    assert not all(torch.equal(everything(forgetful)[key], tensor) for key, tensor in everything(whole).items())


# When the phases take part, and what they tell


def test_the_critics_are_watched() -> None:
    one, scratch = recipe(pool=0), Scratch()
    (batch,) = batches(1)
    for phase in one.phases:
        phase.loss(one.nets, batch, scratch)
    watch = phases(one)["d"].watch
    assert watch is not None
    logits = {
        "hr": (one.nets["d_hr"](batch["hr"]), one.nets["d_hr"](one.nets["up"](batch["lr"]))),
        "lr": (one.nets["d_lr"](batch["lr"]), one.nets["d_lr"](one.nets["down"](batch["hr"]))),
    }
    found = watch(scratch)
    assert found.keys() == {"accuracy_hr", "accuracy_lr", "spread_hr", "spread_lr"}
    for side in ("hr", "lr"):
        assert found[f"accuracy_{side}"] == accuracy(*logits[side], objective=LSGAN)
        torch.testing.assert_close(found[f"spread_{side}"], spread(*logits[side]))
    assert not any(value.requires_grad for value in found.values())


def test_a_critic_that_tells_all_rightly_is_right_and_one_that_swaps_them_is_not() -> None:
    watch = phases(recipe())["d"].watch
    assert watch is not None
    high, low = torch.tensor([2.0, 3.0]), torch.tensor([-1.0, 0.0])
    found = watch({"real_hr": high, "fake_hr": low, "real_lr": low, "fake_lr": high})
    assert (float(found["accuracy_hr"]), float(found["accuracy_lr"])) == (1.0, 0.0)


def taking_part(n: int, **when: Any) -> Iterator[str]:
    one = recipe(**when)
    for number, step in enumerate(steps(one, batches(n))):
        names = sorted(
            {name for name in step if name.startswith(("g/adversarial_hr", "g/cycle_hr", "d/adversarial_hr"))}
        )
        yield f"{number} " + " ".join(names)


def test_the_critics_may_begin_later_and_pause_and_nobody_asks_them_before() -> None:
    alone, both, pause = "g/cycle_hr", "d/adversarial_hr g/adversarial_hr g/cycle_hr", "g/adversarial_hr g/cycle_hr"
    assert list(taking_part(5, after=2, every=2)) == [
        f"0 {alone}",
        f"1 {alone}",
        f"2 {both}",
        f"3 {pause}",
        f"4 {both}",
    ]


def test_the_critics_may_begin_earlier_on_images_that_the_generators_make_for_them() -> None:
    both = "d/adversarial_hr g/adversarial_hr g/cycle_hr"
    assert list(taking_part(3, head_start=2)) == ["0 d/adversarial_hr", "1 d/adversarial_hr", f"2 {both}"]
    (batch,), scratch = batches(1), Scratch()
    early, usual = recipe(), recipe()
    terms(usual, batch, scratch=scratch)
    first, second = terms(early, batch, phase="d"), terms(usual, batch, phase="d", scratch=scratch)
    for name, value in second.items():
        torch.testing.assert_close(first[name], value, rtol=1e-12, atol=0)


def test_the_critics_rate_is_a_multiple_of_the_runs() -> None:
    one = phases(recipe(rate=0.5))
    assert (one["g"].rate, one["d"].rate) == (1.0, 0.5)


def test_ten_steps_of_all_four_nets_are_finite_and_fill_the_pools() -> None:
    one = recipe(networks(norm="instance"), pool=50)
    for step in steps(one, batches(10)):
        assert all(value.isfinite() for value in step.values())
        assert 0 < float(step["d/accuracy_hr"]) <= 1
    assert all(len(memory.tensors()["images"]) == 40 for memory in one.memories.values())
