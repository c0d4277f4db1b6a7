"""A larger scale starts with all that a smaller one knows, and says of each tensor where it is from."""

import inspect
import json
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from coresr_models.blocks import Bicubic
from coresr_models.build import MODELS, Argument, ModelSpec, Network, Normalised, build, complete
from coresr_models.cyclegan import BicubicDown
from coresr_models.transfer import Transferred, transfer
from tests.models.specimens import ALTERNATIVES, SMALL, lively, normalised

FRESH = {"rrdbnet": {"conv_first.weight"}}
"""By design, from scale 2; every other tensor starts from the old network, or at zero."""


def cases() -> Iterator[Any]:
    """Every network in every form of its tail and its skip."""
    for name, kind in MODELS.items():
        forms: list[dict[str, Argument]] = [{}]
        for argument in ("tail", "global_residual", "skip"):
            if argument in inspect.signature(kind).parameters:
                forms += [{**form, argument: ALTERNATIVES[name][argument]} for form in forms]
        for form in forms:
            yield pytest.param(name, form, id="-".join([name, *map(str, form.values())]))


each = pytest.mark.parametrize(("name", "form"), list(cases()))


def specimen(name: str, scale: int, form: dict[str, Argument]) -> ModelSpec:
    return ModelSpec(name=name, arguments={**SMALL[name], **form, "scale": scale})


def grown(name: str, before: int, after: int, **form: Argument) -> tuple[Network, Network, Transferred]:
    spec = specimen(name, before, form)
    old = lively(spec)
    new, about = transfer(old, spec, scale=after)
    return old, new.eval(), about


def picture(spec: ModelSpec, *networks: Network) -> Tensor:
    """LR in float64 whose sides all of them take."""
    side = max(network.multiple_of for network in networks)
    channels = spec.arguments["channels"]
    assert isinstance(channels, int)
    return torch.rand(1, channels, 2 * side, 3 * side, dtype=torch.float64)


def tail(name: str, network: Network, lr: Tensor) -> Tensor:
    """What the tail of a network without the bicubic skip answers: all, but in NAFNet, which adds a bilinear image."""
    sr: Tensor = network(lr)
    return sr - functional.interpolate(lr, scale_factor=network.scale, mode="bilinear") if name == "nafnet" else sr


def enlarged(image: Tensor, factor: int) -> Tensor:
    return image.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


# Every network


@each
@pytest.mark.parametrize(("before", "after"), [(2, 4), (2, 8), (4, 8), (2, 3)])
def test_every_tensor_is_what_is_said_of_it(name: str, form: dict[str, Argument], before: int, after: int) -> None:
    old, new, about = grown(name, before, after, **form)
    was, tensors = old.state_dict(), new.state_dict()
    assert new.scale == after
    assert list(about.origins) == list(tensors)
    for key, origin in about.origins.items():
        if origin == "copied":
            assert torch.equal(tensors[key], was[key]), key
        elif origin.startswith("from "):
            assert key not in was
            assert torch.equal(tensors[key], tensors[origin.removeprefix("from ")]), key
        elif origin == "zero":
            assert not tensors[key].any(), key
        elif origin in ("replicated", "resampled"):
            assert tensors[key].shape != was[key].shape
            assert (origin == "replicated") == (after % before == 0), key
        else:
            assert origin == "fresh"
    fresh = {key for key, origin in about.origins.items() if origin == "fresh"}
    assert fresh == (FRESH.get(name, set()) if before < 4 else set())
    taken = {key for key, origin in about.origins.items() if origin in ("copied", "replicated", "resampled")}
    assert set(about.dropped) == set(was) - taken


@each
@pytest.mark.parametrize(("before", "after"), [(2, 4), (2, 8), (4, 8), (1, 2)])
def test_a_tail_of_one_step_starts_as_the_old_image_enlarged_or_as_the_skip(
    name: str, form: dict[str, Argument], before: int, after: int
) -> None:
    old, new, about = grown(name, before, after, **form)
    lr = picture(about.target, old, new)
    origins = set(about.origins.values())
    if "replicated" in origins:
        wanted = enlarged(tail(name, old.double(), lr), after // before)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(tail(name, new.double(), lr), wanted, rtol=0, atol=1e-12)
    elif "zero" in origins:
        skip = form.get("skip", "bicubic")
        wanted = Bicubic(scale=after)(lr) if skip == "bicubic" else enlarged(lr, after)
        torch.testing.assert_close(new.double()(lr), wanted, rtol=0, atol=1e-7)
    else:  # all of the tail has been taken over
        assert new.double()(lr).isfinite().all()
        assert (new(lr) - Bicubic(scale=after)(lr)).abs().max() > 1e-3


@pytest.mark.parametrize("name", MODELS)
def test_the_old_network_is_untouched_and_shares_nothing(name: str) -> None:
    spec = specimen(name, 2, {})
    old = lively(spec)
    before = {key: tensor.clone() for key, tensor in old.state_dict().items()}
    new, _ = transfer(old, spec, scale=4)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.fill_(7.0)
    assert all(torch.equal(tensor, before[key]) for key, tensor in old.state_dict().items())


@pytest.mark.parametrize("name", MODELS)
def test_the_new_network_sees_the_same_mean_and_standard_deviation(name: str) -> None:
    spec = normalised(name)
    network = lively(spec)
    new, about = transfer(network, spec, scale=4)
    assert isinstance(network, Normalised)
    assert isinstance(new, Normalised)
    assert (new.mean, new.std) == (about.target.mean, about.target.std) == (0.4, 0.2)
    plain = transfer(network.network, ModelSpec(name=name, arguments=SMALL[name]), scale=4)[1]
    origins = {f"network.{key}": origin.replace("from ", "from network.") for key, origin in plain.origins.items()}
    assert about.origins == origins


# Which tensors, architecture by architecture


def others(about: Transferred) -> dict[str, str]:
    """All that is not simply copied."""
    return {key: origin for key, origin in about.origins.items() if origin != "copied"}


@pytest.mark.parametrize("residual", ["bicubic", "none"])
def test_staged_tails_copy_their_stages_and_start_further_ones_from_those_before(residual: str) -> None:
    about = grown("edsr", 2, 4, global_residual=residual)[2]
    assert others(about) == {f"upsample.2.{kind}": f"from upsample.0.{kind}" for kind in ("weight", "bias")}
    assert {"upsample.0.weight", "conv_last.weight", "conv_last.bias", "body.0.conv1.weight"} <= set(about.origins)
    assert about.dropped == ()
    assert others(grown("edsr", 2, 8)[2]) == {
        f"upsample.{2 * stage}.{kind}": f"from upsample.{2 * stage - 2}.{kind}"
        for stage in (1, 2)
        for kind in ("weight", "bias")
    }
    assert set(others(grown("edsr", 4, 8)[2]).values()) == {"from upsample.2.weight", "from upsample.2.bias"}


def test_a_stage_that_trebles_is_resampled_from_one_that_doubles_and_the_reverse() -> None:
    assert others(grown("edsr", 2, 3)[2]) == {"upsample.0.weight": "resampled", "upsample.0.bias": "resampled"}
    assert others(grown("edsr", 3, 4)[2]) == {
        "upsample.0.weight": "resampled",
        "upsample.0.bias": "resampled",
        "upsample.2.weight": "from upsample.0.weight",
        "upsample.2.bias": "from upsample.0.bias",
    }


def test_from_scale_one_a_staged_tail_is_fresh() -> None:
    about = grown("edsr", 1, 4)[2]
    assert others(about) == {f"upsample.{i}.{kind}": "fresh" for i in (0, 2) for kind in ("weight", "bias")}


def test_direct_tails_are_zero_with_the_skip_and_replicated_without() -> None:
    last = ("conv_last.weight", "conv_last.bias")
    about = grown("edsr", 2, 4, tail="direct")[2]
    assert others(about) == dict.fromkeys(last, "zero")
    assert about.dropped == last
    about = grown("edsr", 2, 4, tail="direct", global_residual="none")[2]
    assert others(about) == dict.fromkeys(last, "replicated")
    assert about.dropped == ()
    about = grown("cyclegan", 2, 4, tail="direct", skip="replicate")[2]
    assert others(about) == {f"detail.{one}": "zero" for one in last}


@pytest.mark.parametrize(
    ("before", "after", "expected", "dropped"),
    [
        (2, 4, {"conv_first.weight": "fresh"}, ("conv_first.weight",)),
        (1, 2, {"conv_first.weight": "fresh"}, ("conv_first.weight",)),
        (4, 8, {f"conv_up3.{kind}": f"from conv_up2.{kind}" for kind in ("weight", "bias")}, ()),
        (2, 3, {"conv_first.weight": "fresh"}, ("conv_first.weight", "conv_up2.weight", "conv_up2.bias")),
    ],
)
def test_rrdbnet_skips_the_first_layer_on_unshuffled_pixels(
    before: int, after: int, expected: dict[str, str], dropped: tuple[str, ...]
) -> None:
    old, new, about = grown("rrdbnet", before, after)
    assert others(about) == expected
    assert about.dropped == dropped
    if "conv_first.weight" in expected:
        assert old.state_dict()["conv_first.weight"].shape != new.state_dict()["conv_first.weight"].shape


def test_a_unet_at_hr_size_is_copied_whole() -> None:
    about = grown("unet", 2, 4)[2]
    assert not others(about)
    assert not about.dropped


def test_replicated_planes_are_those_of_the_formula() -> None:
    old, new, _ = grown("edsr", 2, 4, channels=3, tail="direct", global_residual="none")
    small, large = old.state_dict()["conv_last.weight"], new.state_dict()["conv_last.weight"]
    for c in range(3):
        for a in range(4):
            for b in range(4):
                assert torch.equal(large[16 * c + 4 * a + b], small[4 * c + 2 * (a // 2) + b // 2])


def test_resampled_planes_are_the_nearest_or_the_mean_of_two() -> None:
    old, new, _ = grown("edsr", 2, 3, channels=2, tail="direct", global_residual="none")
    small, large = old.state_dict()["conv_last.bias"], new.state_dict()["conv_last.bias"]
    for c in range(2):
        (p, q), (r, s) = small[4 * c : 4 * c + 4].reshape(2, 2).tolist()
        wanted = [p, (p + q) / 2, q, (p + r) / 2, (p + q + r + s) / 4, (q + s) / 2, r, (r + s) / 2, s]
        torch.testing.assert_close(large[9 * c : 9 * c + 9], torch.tensor(wanted))


# What is refused, and what is told


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_scale_that_is_not_larger_is_refused(scale: int) -> None:
    spec = specimen("edsr", 3, {})
    with pytest.raises(ValueError, match=f"^scale must be larger than that of the network, 3, got {scale}; build it"):
        transfer(build(spec), spec, scale=scale)


def test_a_scale_that_the_architecture_refuses_is_refused_by_it() -> None:
    spec = specimen("edsr", 2, {})
    with pytest.raises(ValueError, match="^scale must be 1, 3 or a power of 2 .*, got 6; take tail='direct'"):
        transfer(build(spec), spec, scale=6)


@pytest.mark.parametrize(
    ("form", "odd"), [({"scale": 3}, "upsample.0.bias"), ({"width": 4}, "body.0.conv1.bias"), ({"blocks": 3}, "body.2")]
)
def test_a_network_of_another_spec_is_refused(form: dict[str, Argument], odd: str) -> None:
    spec = specimen("edsr", 2, {})
    other = ModelSpec(name="edsr", arguments={**spec.arguments, **form})
    with pytest.raises(ValueError, match=f"^network must be that of its spec, .*, got another .*{odd}"):
        transfer(build(other), spec, scale=4)


def test_the_account_is_data_with_both_specs_complete() -> None:
    spec = specimen("edsr", 2, {})
    new, about = transfer(build(spec), spec, scale=4)
    assert about.source == complete(spec)
    assert about.target == complete(specimen("edsr", 4, {}))
    assert build(about.target).state_dict().keys() == new.state_dict().keys()
    again = json.loads(json.dumps(asdict(about)))
    assert again["origins"]["upsample.2.bias"] == "from upsample.0.bias"
    assert again["target"]["arguments"]["scale"] == 4
    with pytest.raises(FrozenInstanceError):
        about.dropped = ()  # type: ignore[misc]


def test_all_of_the_new_network_can_be_trained() -> None:
    new = grown("edsr", 2, 4)[1]
    new(torch.rand(1, 1, 5, 6)).sum().backward()
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in new.parameters())
    assert all(parameter.grad is not None for parameter in new.parameters())


# Is it worth it?


def rock(count: int) -> Tensor:
    """Grains and pores, 64 × 64."""
    noise = torch.randn(count, 1, 72, 72)
    for _ in range(3):
        noise = functional.avg_pool2d(noise, 5, 1, padding=2)
    return 0.2 + 0.6 * torch.sigmoid(40 * noise[..., 4:-4, 4:-4])


def fitted(network: Network, steps: int) -> float:
    """Train on rock for some steps; the mean absolute error left on other rock."""
    shrink = BicubicDown(scale=network.scale)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    torch.manual_seed(1)
    for _ in range(steps):
        hr = rock(4)
        optimizer.zero_grad()
        torch.autograd.backward((network(shrink(hr)) - hr).abs().mean())
        optimizer.step()
    torch.manual_seed(2)
    hr = rock(8)
    with torch.no_grad():
        return float((network(shrink(hr)) - hr).abs().mean())


@pytest.mark.parametrize("tail", ["direct", "staged"])
def test_fifty_steps_from_a_smaller_scale_beat_fifty_from_scratch(tail: str) -> None:
    arguments: dict[str, Argument] = {"width": 8, "blocks": 2, "tail": tail}
    spec = ModelSpec(name="edsr", arguments={**arguments, "scale": 2})
    old = build(spec)
    fitted(old, 150)
    new, about = transfer(old, spec, scale=4)
    assert fitted(new, 50) < 0.95 * fitted(build(about.target), 50)
