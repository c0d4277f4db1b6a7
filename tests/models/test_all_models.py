"""What every network promises, tried on each entry of MODELS with each argument changed once."""

import copy
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from coresr_models.blocks import Bicubic
from coresr_models.build import MODELS, ModelSpec, Network, Normalised, build
from coresr_models.checkpoint import load, save
from tests.models.specimens import ALTERNATIVES, MORE, SMALL, STATED_REACH, image, lively, normalised


def cases() -> Iterator[Any]:
    for name in MODELS:
        yield pytest.param(ModelSpec(name=name, arguments=SMALL.get(name, {})), id=name)
        for argument, value in ALTERNATIVES.get(name, {}).items():
            changed = {**SMALL.get(name, {}), argument: value}
            yield pytest.param(ModelSpec(name=name, arguments=changed), id=f"{name}-{argument}-{value}")
        yield pytest.param(normalised(name), id=f"{name}-normalised")
    for name, changes in MORE:
        label = "-".join(f"{argument}-{value}" for argument, value in changes.items())
        yield pytest.param(ModelSpec(name=name, arguments={**SMALL[name], **changes}), id=f"{name}-{label}")


each = pytest.mark.parametrize("spec", list(cases()))
each_name = pytest.mark.parametrize("name", MODELS)


@each_name
def test_every_argument_has_an_alternative_to_be_tried(name: str) -> None:
    parameters = inspect.signature(MODELS[name]).parameters
    assert set(ALTERNATIVES[name]) == set(parameters)
    for argument, value in ALTERNATIVES[name].items():
        assert value != SMALL[name].get(argument, parameters[argument].default), argument


@each_name
def test_arguments_are_keywords_with_defaults_of_plain_types(name: str) -> None:
    for parameter in inspect.signature(MODELS[name]).parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, parameter.name
        assert type(parameter.default) in {int, float, str, bool}, parameter.name
    assert {"scale", "channels"} <= set(inspect.signature(MODELS[name]).parameters)


@pytest.mark.parametrize(
    ("name", "argument"), [(name, argument) for name in MODELS for argument in ALTERNATIVES.get(name, {})]
)
def test_every_argument_changes_the_state_dict_or_the_output(name: str, argument: str) -> None:
    before = lively(ModelSpec(name=name, arguments=SMALL[name]))
    after = build(ModelSpec(name=name, arguments={**SMALL[name], argument: ALTERNATIVES[name][argument]})).eval()
    shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (before, after)]
    if shapes[0] != shapes[1]:
        return
    after.load_state_dict(before.state_dict())
    channels = SMALL[name].get("channels", 1)
    assert isinstance(channels, int)
    lr = torch.rand(1, channels, 8, 8)
    one, other = before(lr), after(lr)
    assert one.shape != other.shape or (one - other).abs().max() > 1e-3


@each
def test_the_output_is_scale_times_the_input_at_odd_sizes(spec: ModelSpec) -> None:
    network = lively(spec)
    for height, width in ((1, 1), (1, 3), (5, 3), (7, 1)):
        lr = image(spec, height=height, width=width, batch=2)
        sr = network(lr)
        assert sr.shape == (*lr.shape[:2], network.scale * lr.shape[2], network.scale * lr.shape[3])
        assert sr.isfinite().all()


@each
def test_a_size_is_refused_exactly_if_it_is_no_multiple(spec: ModelSpec) -> None:
    network = build(spec)
    good, channels = 2 * network.multiple_of, spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    for side in range(1, 2 * network.multiple_of + 2):
        for size in ((side, good), (good, side)):
            lr = torch.rand(1, channels, *size)
            if side % network.multiple_of:
                with pytest.raises(ValueError, match=rf"multiple of {network.multiple_of} .*{size[0]}×{size[1]}"):
                    network(lr)
            else:
                assert network(lr).shape[2:] == (network.scale * size[0], network.scale * size[1])


@each
def test_scale_multiple_and_reach_are_plain_attributes(spec: ModelSpec) -> None:
    network = build(spec)
    assert network.scale == spec.arguments.get("scale", 2)
    assert type(network.multiple_of) is int
    assert network.multiple_of >= 1
    assert network.receptive_field is None or type(network.receptive_field) is int


@each
def test_a_gradient_reaches_every_parameter(spec: ModelSpec) -> None:
    network = lively(spec).train()
    sr = network(image(spec))
    (sr * torch.randn_like(sr)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each
def test_a_fresh_network_with_the_skip_is_bicubic(spec: ModelSpec) -> None:
    network, lr = build(spec), image(spec)
    bicubic = Bicubic(scale=network.scale)(lr)
    off = (network(lr) - bicubic).abs().max()
    equal = bool(off <= (1e-6 if isinstance(network, Normalised) else 0))
    assert equal == all(spec.arguments.get(one, "bicubic") == "bicubic" for one in ("global_residual", "skip"))


@each
def test_nothing_is_clamped(spec: ModelSpec) -> None:
    lr = image(spec)
    network = lively(spec)
    sr = network(lr + 200 * torch.randn_like(lr))
    assert sr.min() < -1
    assert sr.max() > 2


@each
def test_images_of_a_batch_do_not_influence_one_another(spec: ModelSpec) -> None:
    network, lr = lively(spec), image(spec, batch=3)
    torch.testing.assert_close(network(lr), torch.cat([network(one[None]) for one in lr]), rtol=0, atol=1e-5)


@each
def test_saved_and_loaded_it_answers_the_same(spec: ModelSpec, tmp_path: Path) -> None:
    network, lr = lively(spec), image(spec)
    save(tmp_path / "one.safetensors", network, spec, {})
    again = load(tmp_path / "one.safetensors").model
    assert type(again) is type(network)
    assert not again.training
    assert (again.scale, again.multiple_of, again.receptive_field) == (
        (network.scale, network.multiple_of, network.receptive_field)
    )
    assert torch.equal(again(lr), network(lr))


@each
def test_the_seed_decides_the_weights(spec: ModelSpec) -> None:
    states = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        states.append(torch.cat([tensor.flatten() for tensor in build(spec).state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@each
def test_a_copy_is_apart_and_equal(spec: ModelSpec) -> None:
    network, lr = lively(spec), image(spec)
    before, twin = network(lr), copy.deepcopy(network)
    assert torch.equal(twin(lr), before)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(network(lr), before)


@each
def test_bfloat16_autocast_stays_within_five_percent_of_what_the_network_adds(spec: ModelSpec) -> None:
    network, lr = lively(spec), image(spec)
    exact = network(lr)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = network(lr)
    skips = spec.arguments.get("global_residual", "bicubic") == "bicubic"
    added = exact - Bicubic(scale=network.scale)(lr) if skips else exact
    assert (mixed.float() - exact).abs().max() < 0.05 * added.abs().max()
    # the skip keeps float32: in bfloat16 it alone would cost a grey level
    assert mixed.dtype == torch.float32 or not skips


@each
def test_channels_last_gives_the_same_image(spec: ModelSpec) -> None:
    network, lr = lively(spec), image(spec, batch=2)
    exact = network(lr)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    other = network(lr.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(other, exact, rtol=1e-5, atol=1e-5)


@each
def test_exported_it_gives_the_same_image(spec: ModelSpec) -> None:
    network, lr = lively(spec), image(spec)
    exported = torch.export.export(network, (lr,)).module()
    torch.testing.assert_close(exported(lr.flip(3)), network(lr.flip(3)), rtol=0, atol=1e-6)


@each_name
def test_exported_once_it_takes_any_size(name: str) -> None:
    spec = ModelSpec(name=name, arguments=SMALL[name])
    network, free = lively(spec), torch.export.Dim.AUTO
    exported = torch.export.export(network, (image(spec),), dynamic_shapes=({2: free, 3: free},)).module()
    lr = image(spec, height=9, width=4)
    torch.testing.assert_close(exported(lr), network(lr), rtol=0, atol=1e-6)


def places(size: int) -> list[tuple[int, int]]:
    """Corners, an edge, the middle, and others so that every phase of a pooling of 8 is met."""
    far, middle = size - 1, size // 2
    return [(0, 0), (far, far), (0, middle), (middle, middle), (1, far - 2), (3, 6), (middle + 1, 5)]


def distances(size: int, place: tuple[int, int], scale: int) -> Tensor:
    """In LR pixels, the larger of the two axes, for each HR pixel."""
    y, x = (torch.arange(scale * size) // scale for _ in range(2))
    return torch.maximum((y - place[0]).abs()[:, None], (x - place[1]).abs()[None])


@each
def test_no_pixel_beyond_the_receptive_field_changes_the_output(spec: ModelSpec) -> None:
    network = lively(spec).double()
    reach = network.receptive_field
    size = network.multiple_of * -(-((reach or 24) + 9) // network.multiple_of)
    channels = spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    lr = torch.rand(1, channels, size, size, dtype=torch.float64)
    with torch.no_grad():
        before = network(lr)
        for place in places(size):
            poked = lr.clone()
            poked[..., place[0], place[1]] += 5
            changed = (network(poked) != before).any(dim=1)[0]
            away = distances(size, place, network.scale)
            if reach is None:  # statistics span the image
                assert changed[away == away.max()].any()
            else:
                assert (away > reach).any() or place == (size // 2, size // 2)
                assert not changed[away > reach].any()


def measured_reach(network: Network, channels: int, size: int) -> int:
    """How far one pixel is felt: in a black image through positive weights nothing can cancel or round away."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(torch.rand_like(parameter) / parameter[0].numel())
            else:
                parameter.fill_(not name.endswith("bias"))
        black = network(torch.zeros(1, channels, size, size, dtype=torch.float64))
        reach = 0
        for place in places(size):
            for value in (1.0, -1.0):
                lr = torch.zeros(1, channels, size, size, dtype=torch.float64)
                lr[..., place[0], place[1]] = value
                felt = (network(lr) != black).any(dim=1)[0]
                reach = max(reach, int(distances(size, place, network.scale)[felt].max()))
    return reach


@each
def test_the_receptive_field_is_not_stated_much_too_large(spec: ModelSpec) -> None:
    network = build(spec).double().eval()
    if network.receptive_field is None or isinstance(network, Normalised):  # where a mean would round the least away
        return
    channels = spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    size = network.multiple_of * -(-(network.receptive_field + 9) // network.multiple_of)
    reach = measured_reach(network, channels, size)
    assert STATED_REACH.get(spec.name, 1.0) * network.receptive_field <= reach <= network.receptive_field


@each
def test_the_receptive_field_is_none_only_with_statistics_over_the_image(spec: ModelSpec) -> None:
    network = lively(spec).double()
    if network.receptive_field is not None:
        return
    channels = spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    # a strip far longer than convolutions of so small a network reach
    lr = torch.rand(1, channels, network.multiple_of, network.multiple_of * -(-160 // network.multiple_of)).double()
    poked = lr.clone()
    poked[..., 0] += 5
    with torch.no_grad():
        assert (network(poked) != network(lr))[..., -1].any()
