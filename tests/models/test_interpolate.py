"""Between two networks: exact at both ends, every weight on the way, and only where both are of one kind."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from coresr_models.build import MODELS, ModelSpec, build, complete
from coresr_models.checkpoint import Checkpoint
from coresr_models.interpolate import interpolate, interpolated
from tests.models.specimens import SMALL, image, lively, normalised


def checkpoint(name: str = "rrdbnet", seed: int = 0, **arguments: Any) -> Checkpoint:
    torch.manual_seed(seed)
    spec = ModelSpec(name=name, arguments={**SMALL[name], **arguments})
    network = build(spec)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_(std=0.3)
    return Checkpoint(model=network.eval(), spec=spec, provenance={"seed": seed})


def bits(tensor: Tensor) -> list[int]:
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    return tensor.contiguous().view(kind).flatten().tolist()


@pytest.mark.parametrize("name", MODELS)
def test_the_ends_are_the_networks_themselves_to_the_bit(name: str) -> None:
    first, second = checkpoint(name, 0), checkpoint(name, 1)
    for alpha, end in ((0.0, first), (1.0, second)):
        state = interpolated(first, second, alpha=alpha).model.state_dict()
        wanted = end.model.state_dict()
        assert list(state) == list(wanted)
        assert all(bits(state[key]) == bits(tensor) for key, tensor in wanted.items() if tensor.is_floating_point())


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.8])
def test_every_weight_in_between_is_that_of_the_formula(alpha: float) -> None:
    first, second = checkpoint(seed=0), checkpoint(seed=1)
    state = interpolated(first, second, alpha=alpha).model.state_dict()
    for key, tensor in state.items():
        a, b = first.model.state_dict()[key], second.model.state_dict()[key]
        torch.testing.assert_close(tensor, (1 - alpha) * a + alpha * b, rtol=0, atol=1e-6)
        assert not torch.equal(tensor, a)
        assert not torch.equal(tensor, b)


def test_a_network_that_is_linear_in_its_weights_answers_in_between() -> None:
    lr = torch.rand(1, 1, 4, 4)
    first, second = checkpoint("edsr"), checkpoint("edsr")
    with torch.no_grad():
        second.model.get_parameter("conv_last.weight").normal_()  # the last layer alone differs
    answers = [one.model(lr) for one in (first, interpolated(first, second, alpha=0.25), second)]
    torch.testing.assert_close(answers[1], 0.75 * answers[0] + 0.25 * answers[2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [-0.0, float("inf"), float("-inf"), float("nan"), 1e38])
def test_the_ends_are_exact_for_awkward_numbers(value: float) -> None:
    one, other = {"w": torch.tensor([value, 1.5])}, {"w": torch.tensor([2.0, value])}
    assert bits(interpolate(one, other, alpha=0.0)["w"]) == bits(one["w"])
    assert bits(interpolate(one, other, alpha=1.0)["w"]) == bits(other["w"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_is_kept_and_rounding_happens_once(dtype: torch.dtype) -> None:
    one, other = torch.randn(1000).to(dtype), torch.randn(1000).to(dtype)
    made = interpolate({"w": one}, {"w": other}, alpha=0.3)["w"]
    assert made.dtype == dtype
    exact = one.double() + 0.3 * (other.double() - one.double())
    assert (made.double() - exact).abs().max() <= torch.finfo(dtype).eps * exact.abs().max()
    assert interpolate({"w": one}, {"w": one}, alpha=0.3)["w"].equal(one)


def test_counts_and_indices_are_those_of_the_nearer_end() -> None:
    one, other = {"n": torch.tensor(3)}, {"n": torch.tensor(8)}
    assert [int(interpolate(one, other, alpha=alpha)["n"]) for alpha in (0.0, 0.49, 0.5, 1.0)] == [3, 3, 8, 8]


def test_the_result_shares_no_memory_with_the_ends() -> None:
    first, second = checkpoint(seed=0), checkpoint(seed=1)
    before = [{key: tensor.clone() for key, tensor in one.model.state_dict().items()} for one in (first, second)]
    for alpha in (0.0, 0.5, 1.0):
        for tensor in interpolate(first.model.state_dict(), second.model.state_dict(), alpha=alpha).values():
            tensor.zero_()
    for one, state in zip((first, second), before, strict=True):
        assert all(torch.equal(tensor, state[key]) for key, tensor in one.model.state_dict().items())


def test_the_provenance_holds_both_and_alpha_and_the_network_is_in_eval_mode() -> None:
    first, second = checkpoint(seed=0), checkpoint(seed=1)
    made = interpolated(first, second, alpha=0.8)
    assert made.provenance == {"interpolated": {"alpha": 0.8, "first": {"seed": 0}, "second": {"seed": 1}}}
    assert made.spec == complete(first.spec)
    assert not made.model.training
    assert first.provenance == {"seed": 0}


def test_what_both_say_alike_of_their_data_and_licence_is_said_of_the_network_between() -> None:
    shared = {"data": {"dtype": "uint16", "window": [100.0, 9000.0]}, "licence": "MIT", "protocol": {"shave": 2}}
    first, second = (
        replace(checkpoint(seed=seed), provenance={**shared, "preset": f"preset {seed}"}) for seed in (0, 1)
    )
    made = interpolated(first, second, alpha=0.5).provenance
    assert {name: made[name] for name in made if name != "interpolated"} == shared
    other = replace(second, provenance={**second.provenance, "data": {"dtype": "uint16", "window": [0.0, 65535.0]}})
    assert interpolated(first, other, alpha=0.5).provenance.keys() == {"interpolated", "licence", "protocol"}


def test_a_default_written_out_makes_no_other_spec() -> None:
    first, second = checkpoint(seed=0), checkpoint(seed=1)
    assert interpolated(replace(first, spec=complete(first.spec)), second, alpha=0.5).spec == complete(first.spec)


@pytest.mark.parametrize("changed", [{"scale": 4}, {"global_residual": "none"}, {"width": 5}])
def test_different_specs_are_refused_even_where_all_shapes_agree(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="^both networks must be of the same spec, got .*rrdbnet.* and .*rrdbnet"):
        interpolated(checkpoint(), checkpoint(**changed), alpha=0.5)


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan"), float("inf")])
def test_alpha_beyond_the_ends_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=f"^alpha must be from 0 .* to 1 .*, got {alpha}$"):
        interpolate({}, {}, alpha=alpha)


def test_tensors_that_are_not_alike_are_refused_by_name() -> None:
    one = {"a": torch.zeros(2), "b": torch.zeros(3)}
    with pytest.raises(ValueError, match="^both networks must have the same tensors, got b, c in one alone$"):
        interpolate(one, {"a": torch.zeros(2), "c": torch.zeros(3)}, alpha=0.5)
    with pytest.raises(ValueError, match=r"^b must be alike in both networks, got \(\(3,\), .*\) and \(\(1,\), .*\)$"):
        interpolate(one, {**one, "b": torch.zeros(1)}, alpha=0.5)
    with pytest.raises(ValueError, match="^a must be alike in both networks, got .*float32.*float64"):
        interpolate(one, {**one, "a": torch.zeros(2).double()}, alpha=0.0)


def test_networks_that_see_another_mean_or_deviation_are_not_of_one_spec() -> None:
    first, second = checkpoint("edsr", 0), checkpoint("edsr", 1)
    with pytest.raises(ValueError, match="^both networks must be of the same spec, got .* and .*mean=0.4"):
        interpolated(first, replace(second, spec=normalised("edsr")), alpha=0.5)


def test_between_two_normalised_networks_lies_a_normalised_one() -> None:
    spec = normalised("edsr")
    ends = [Checkpoint(model=lively(spec), spec=spec, provenance={}) for _ in range(2)]
    made = interpolated(ends[0], ends[1], alpha=1.0)
    assert made.spec == complete(spec)
    lr = image(spec)
    assert torch.equal(made.model(lr), ends[1].model(lr))
    assert not torch.equal(made.model(lr), ends[0].model(lr))
