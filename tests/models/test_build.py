"""Names to networks: what is known is built, everything else is refused with the nearest."""

import inspect
from dataclasses import FrozenInstanceError
from typing import get_args

import pytest

import coresr_models
from coresr_models.build import MODELS, Argument, ModelSpec, Network, build, complete
from tests.models.specimens import SMALL


def test_every_network_of_the_union_is_in_the_mapping_and_public() -> None:
    assert set(MODELS.values()) == set(get_args(Network))
    assert {kind.__name__ for kind in MODELS.values()} <= set(coresr_models.__all__)
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
