"""Names to networks: what is known is built, everything else is refused with the nearest."""

import inspect
import re
from dataclasses import FrozenInstanceError
from typing import Any, get_args

import numpy as np
import pytest
import torch

import coresr_models
from coresr_models.build import MODELS, SMALLEST_STD, Argument, ModelSpec, Network, Normalised, Plain, build, complete
from coresr_models.macs import macs_on_meta
from tests.models.specimens import SMALL, image, lively, normalised


def test_every_network_of_the_union_is_in_the_mapping_and_public() -> None:
    assert set(MODELS.values()) == set(get_args(Plain))
    assert {*MODELS.values(), Normalised} == set(get_args(Network))
    assert {kind.__name__ for kind in get_args(Network)} <= set(coresr_models.__all__)
    assert list(MODELS) == sorted(MODELS)


def test_every_public_name_exists_and_is_named_once() -> None:
    assert len(coresr_models.__all__) == len(set(coresr_models.__all__))
    assert all(hasattr(coresr_models, name) for name in coresr_models.__all__)


@pytest.mark.parametrize("name", MODELS)
def test_a_name_alone_builds_its_class(name: str) -> None:
    assert type(build(ModelSpec(name=name, arguments=SMALL[name]))) is MODELS[name]


@pytest.mark.parametrize("name", MODELS)
def test_complete_writes_out_every_default_and_keeps_what_was_said(name: str) -> None:
    said: dict[str, Argument] = {"width": 2, "scale": 4}
    full = complete(ModelSpec(name=name, arguments=said))
    defaults = {p.name: p.default for p in inspect.signature(MODELS[name]).parameters.values()}
    assert full.name == name
    assert full.arguments == {**defaults, **said}
    assert complete(full) == full
    assert said == {"width": 2, "scale": 4}


def test_arguments_reach_the_network() -> None:
    assert build(ModelSpec(name="edsr", arguments={"scale": 3, "width": 2, "blocks": 1})).scale == 3


def test_an_unknown_model_is_refused_with_the_known_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^model must be one of .*, edsr, .*, unet, got eds; did you mean edsr\?$"):
        build(ModelSpec(name="eds"))
    with pytest.raises(ValueError, match=r"^model must be one of .*, edsr, .*, unet, got zzzz$"):
        build(ModelSpec(name="zzzz"))


def test_an_unknown_argument_is_refused_with_the_signature_and_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"^argument of unet .*scale=2.*width=64.*, got widht; did you mean width\?$"):
        build(ModelSpec(name="unet", arguments={"widht": 4}))


@pytest.mark.parametrize(
    ("argument", "value", "kind"),
    [
        ("width", "64", "int"),
        ("width", 64.0, "int"),
        ("width", True, "int"),
        ("tail", 1, "str"),
        ("residual_scale", "1", "float"),
        ("residual_scale", True, "float"),
    ],
)
def test_a_value_of_another_type_is_refused(argument: str, value: Argument, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^edsr {argument} must be of type {kind}, got {value!r}$"):
        build(ModelSpec(name="edsr", arguments={argument: value}))


def test_a_whole_number_is_taken_where_a_float_is_wanted() -> None:
    assert complete(ModelSpec(name="edsr", arguments={"residual_scale": 1})).arguments["residual_scale"] == 1


def test_a_value_that_the_network_refuses_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="^depth must be 1 or more, got 0$"):
        build(ModelSpec(name="unet", arguments={"depth": 0}))


def test_a_spec_cannot_be_changed_and_specs_share_no_arguments() -> None:
    spec = ModelSpec(name="edsr")
    with pytest.raises(FrozenInstanceError):
        spec.name = "unet"  # type: ignore[misc]
    assert spec.arguments is not ModelSpec(name="edsr").arguments


# Mean and standard deviation


@pytest.mark.parametrize("name", MODELS)
def test_a_normalised_network_is_its_formula_around_the_plain_one(name: str) -> None:
    spec = normalised(name)
    network = lively(spec).double()
    plain = build(ModelSpec(name=name, arguments=SMALL[name])).eval().double()
    plain.load_state_dict({key.removeprefix("network."): value for key, value in network.state_dict().items()})
    assert all(key.startswith("network.") for key in network.state_dict())
    lr = image(spec).double()
    torch.testing.assert_close(network(lr), 0.2 * plain((lr - 0.4) / 0.2) + 0.4, rtol=0, atol=1e-14)
    assert (network(lr) - plain(lr)).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_a_normalised_network_states_and_costs_what_the_plain_one_does(name: str) -> None:
    with torch.device("meta"):
        both = [build(normalised(name)), build(ModelSpec(name=name, arguments=SMALL[name]))]
    stated = [(one.scale, one.multiple_of, one.receptive_field) for one in both]
    assert stated[0] == stated[1]
    channels = int(SMALL[name].get("channels", 1))
    cost = [macs_on_meta(one, channels=channels, height=16, width=24) for one in both]
    assert cost[0] == cost[1]


def test_a_normalised_network_answers_in_the_precision_that_it_is_asked_in() -> None:
    network = build(ModelSpec(name="edsr", arguments=SMALL["edsr"], mean=0.25, std=0.5))
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        assert network.to(dtype)(torch.rand(1, 1, 4, 5, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("mean", "std", "kind"), [(0.1, 1.0, Normalised), (0.0, 0.5, Normalised), (0.0, 1.0, MODELS["edsr"])]
)
def test_only_what_changes_the_image_is_wrapped(mean: float, std: float, kind: type) -> None:
    assert type(build(ModelSpec(name="edsr", arguments=SMALL["edsr"], mean=mean, std=std))) is kind


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, np.float64(0.5)])
def test_any_mean_of_an_image_is_taken_and_kept_by_complete(value: float) -> None:
    assert complete(ModelSpec(name="edsr", mean=value)).mean == value
    assert complete(ModelSpec(name="edsr", std=value or SMALLEST_STD)).std == (value or SMALLEST_STD)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.001, 1e300])
def test_a_mean_or_standard_deviation_that_no_image_has_is_refused(value: float) -> None:
    with pytest.raises(
        ValueError, match=f"^mean of a model must be a number from 0 to 1, got {re.escape(str(value))}$"
    ):
        build(ModelSpec(name="edsr", mean=value))
    with pytest.raises(ValueError, match="^std of a model must be a number from 0.0001 to 1, got "):
        build(ModelSpec(name="edsr", std=value))


@pytest.mark.parametrize("std", [0.0, 9.9e-5])
def test_a_standard_deviation_of_nothing_is_refused(std: float) -> None:
    with pytest.raises(ValueError, match=f"^std of a model must be a number from 0.0001 to 1, got {std}$"):
        build(ModelSpec(name="edsr", std=std))


@pytest.mark.parametrize(
    "value", ["0.5", None, True, [0.5], torch.tensor(0.5), 10**400], ids=lambda value: f"{value!s:.9}"
)
def test_a_mean_that_is_no_number_of_python_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="mean") as refused:
        complete(ModelSpec(name="edsr", mean=value))
    if isinstance(refused.value, ValueError):  # not where types are checked before
        assert re.fullmatch("mean of a model must be a number from 0 to 1, got .{1,50}", str(refused.value))
