"""CycleGAN's generators: exact to begin with, without normalisation, and undoing one another where they can."""

from typing import Literal, TypeVar

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional

from coresr_models.blocks import Bicubic
from coresr_models.cyclegan import BicubicDown, BlockMean, Down, Replicate, Up
from coresr_models.edsr import EDSR

Generator = TypeVar("Generator", Up, Down)


def lively(network: Generator) -> Generator:
    """A network in which nothing is zero, as after training."""
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def pair(scale: int, up: str, down: str) -> tuple[Up, Down]:
    return (
        Up(scale=scale, width=4, blocks=1, tail="direct", skip=up),  # type: ignore[arg-type]
        Down(scale=scale, width=4, blocks=1, skip=down),  # type: ignore[arg-type]
    )


def test_by_default_both_have_the_width_and_blocks_that_are_stated() -> None:
    with torch.device("meta"):
        up, down = (sum(parameter.numel() for parameter in kind().parameters()) for kind in (Up, Down))
    inner = 64 * 64 * 9 + 64
    assert up == (64 * 9 + 64) + 9 * 2 * inner + inner + 4 * inner + (64 * 9 + 1)
    assert down == (4 * 64 * 9 + 64) + 6 * 2 * inner + inner + (64 * 9 + 1)


# What holds before any training


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_mean_of_replicated_pixels_is_the_image_to_the_bit(scale: int) -> None:
    up, down = pair(scale, "replicate", "mean")
    lr = torch.rand(2, 1, 48, 40)
    assert torch.equal(down(up(lr)), lr)


@pytest.mark.parametrize("scale", [3, 5, 8])
def test_a_mean_of_many_replicated_pixels_is_the_image_but_for_rounding(scale: int) -> None:
    up, down = pair(scale, "replicate", "mean")
    lr = torch.rand(2, 1, 48, 40)
    torch.testing.assert_close(down(up(lr)), lr, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_replicating_is_the_pseudo_inverse_of_the_mean(scale: int) -> None:
    def matrix(operator: nn.Module, side: int) -> Tensor:
        images = torch.eye(side**2, dtype=torch.float64).reshape(side**2, 1, side, side)
        made: Tensor = operator(images)
        return made.flatten(1).T

    wanted = torch.linalg.pinv(matrix(BlockMean(scale=scale), 2 * scale))
    torch.testing.assert_close(matrix(Replicate(scale=scale), 2), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_both_start_equal_to_their_operators(scale: int) -> None:
    lr, hr = torch.rand(2, 1, 5, 6), torch.rand(2, 1, 5 * scale, 6 * scale)
    up, down = pair(scale, "bicubic", "bicubic")
    assert torch.equal(up(lr), Bicubic(scale=scale)(lr))
    assert torch.equal(down(hr), BicubicDown(scale=scale)(hr))
    up, down = pair(scale, "replicate", "mean")
    assert torch.equal(up(lr), functional.interpolate(lr, scale_factor=scale, mode="nearest"))
    torch.testing.assert_close(down(hr), functional.avg_pool2d(hr, scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_down_and_up_keeps_a_constant_and_a_slope_but_not_noise(scale: int) -> None:
    up, down = pair(scale, "bicubic", "bicubic")
    up, down = up.double(), down.double()
    constant = torch.full((1, 1, 7, 9), 0.3, dtype=torch.float64)
    torch.testing.assert_close(down(up(constant)), constant, rtol=0, atol=1e-6)
    y, x = torch.meshgrid(torch.arange(12.0).double(), torch.arange(15.0).double(), indexing="ij")
    slope = (0.02 * y + 0.03 * x)[None, None]
    inside = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    torch.testing.assert_close(down(up(slope))[inside], slope[inside], rtol=0, atol=1e-6)
    noise = torch.rand(1, 1, 32, 32, dtype=torch.float64)
    assert (down(up(noise)) - noise).std() > 0.1 * noise.std()  # the antialiasing takes fine detail out


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_down_and_up_loses_a_five_hundredth_of_what_is_smooth_at_most(scale: int) -> None:
    up, down = pair(scale, "bicubic", "bicubic")
    wave = torch.sin(torch.arange(64.0) * 2 * torch.pi / 16)  # 16 pixels of LR a period
    lr = (wave[:, None] * wave)[None, None]
    assert 1e-4 < (down(up(lr)) - lr)[..., 8:-8, 8:-8].abs().max() < 2e-3


# The fixed operator downwards


def test_the_taps_of_halving_and_quartering_are_those_of_matlab() -> None:
    half = [-0.01171875, -0.03515625, 0.11328125, 0.43359375]
    quarter = [-0.001708984375, -0.010986328125, -0.018310546875, -0.011962890625]
    quarter += [0.022705078125, 0.097412109375, 0.181884765625, 0.240966796875]
    assert BicubicDown(scale=2).weight.tolist() == [*half, *reversed(half)]
    assert BicubicDown(scale=4).weight.tolist() == [*quarter, *reversed(quarter)]
    assert BicubicDown(scale=1).weight.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("scale", "wanted"),
    [
        (
            2,
            [
                [4.04296875, 6.08203125, 8.10546875, 10.14453125],
                [20.35546875, 22.39453125, 24.41796875, 26.45703125],
                [36.54296875, 38.58203125, 40.60546875, 42.64453125],
                [52.85546875, 54.89453125, 56.91796875, 58.95703125],
            ],
        ),
        (4, [[12.3837890625, 16.6318359375], [46.3681640625, 50.6162109375]]),
    ],
)
def test_shrinking_is_that_of_matlab_at_every_pixel(scale: int, wanted: list[list[float]]) -> None:
    image = torch.arange(64.0, dtype=torch.float64).reshape(1, 1, 8, 8)
    assert BicubicDown(scale=scale)(image)[0, 0].tolist() == wanted


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_shrinking_commutes_with_flips_and_turns(scale: int) -> None:
    down, hr = BicubicDown(scale=scale).double(), torch.rand(1, 2, 3 * scale, 5 * scale, dtype=torch.float64)
    torch.testing.assert_close(down(hr.flip(-1)), down(hr).flip(-1), rtol=0, atol=1e-12)
    torch.testing.assert_close(down(hr.transpose(-1, -2)), down(hr).transpose(-1, -2), rtol=0, atol=1e-12)


def test_shrinking_keeps_float32_under_autocast_and_its_buffer_out_of_the_state_dict() -> None:
    down, hr = BicubicDown(scale=2), torch.rand(1, 1, 8, 8)
    exact = down(hr)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = down(hr)
    assert torch.equal(mixed, exact)
    assert not down.state_dict()


# The networks


def test_the_way_up_is_an_edsr_that_adds_to_the_enlarged_image() -> None:
    up = lively(Up(scale=2, channels=2, width=4, blocks=2, skip="replicate")).double()
    trunk = EDSR(scale=2, channels=2, width=4, blocks=2, global_residual="none").double()
    trunk.load_state_dict({name.removeprefix("detail."): tensor for name, tensor in up.state_dict().items()})
    lr = torch.rand(2, 2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(up(lr), Replicate(scale=2)(lr) + trunk(lr), rtol=0, atol=1e-12)


def by_formula(weights: dict[str, Tensor], hr: Tensor, *, scale: int, blocks: int) -> Tensor:
    def conv(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    x = first = conv("conv_first", functional.pixel_unshuffle(hr, scale))
    for i in range(blocks):
        x = x + conv(f"body.{i}.conv2", conv(f"body.{i}.conv1", x).clamp(min=0))
    return conv("conv_last", first + conv("conv_after_body", x))


@pytest.mark.parametrize("skip", ["bicubic", "mean"])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_way_down_is_its_formula(scale: int, skip: Literal["bicubic", "mean"]) -> None:
    down = lively(Down(scale=scale, channels=2, width=4, blocks=2, skip=skip)).double()
    hr = torch.rand(2, 2, 5 * scale, 3 * scale, dtype=torch.float64)
    detail = by_formula(down.state_dict(), hr, scale=scale, blocks=2)
    shrunk = BicubicDown(scale=scale)(hr) if skip == "bicubic" else functional.avg_pool2d(hr, scale)
    assert detail.abs().max() > 0.01
    torch.testing.assert_close(down(hr), shrunk + detail, rtol=0, atol=1e-7)


def test_only_the_last_convolutions_start_at_zero() -> None:
    up, down = pair(2, "bicubic", "bicubic")
    for network, last in ((up, "detail.conv_last"), (down, "conv_last")):
        zeros = {name for name, tensor in network.named_parameters() if not tensor.any()}
        assert zeros == {f"{last}.weight", f"{last}.bias"}


def test_neither_normalises_squashes_or_clamps() -> None:
    for network in (lively(Up(width=4, blocks=1)), lively(Down(width=4, blocks=1))):
        kinds = {type(module) for module in network.modules() if not list(module.children())}
        fixed = {Bicubic, BicubicDown}
        assert kinds - fixed <= {nn.Conv2d, nn.ReLU, nn.PixelShuffle, nn.Identity}
        image = 200 * torch.randn(1, 1, 16, 16)
        assert network(image).abs().max() > 100


def test_a_gradient_reaches_every_parameter_of_both_around_the_cycle() -> None:
    up, down = pair(2, "bicubic", "bicubic")
    lively(up)
    lively(down)
    lr = torch.rand(1, 1, 8, 8)
    (down(up(lr)) - lr).abs().mean().backward()
    for network in (up, down):
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("argument", "value"), [("scale", 4), ("channels", 2), ("width", 3), ("blocks", 2), ("skip", "mean")]
)
def test_every_argument_of_the_way_down_changes_the_state_dict_or_the_output(argument: str, value: int | str) -> None:
    arguments = {"scale": 2, "channels": 1, "width": 4, "blocks": 1}
    before, after = Down(**arguments), Down(**{**arguments, argument: value})  # type: ignore[arg-type]
    shapes = [{key: tensor.shape for key, tensor in one.state_dict().items()} for one in (before, after)]
    hr = torch.rand(1, 1, 8, 8)
    assert shapes[0] != shapes[1] or (before(hr) - after(hr)).abs().max() > 1e-3


def test_the_way_down_takes_any_multiple_of_the_scale_and_refuses_the_rest() -> None:
    network = Down(scale=3, width=4, blocks=1)
    assert network.multiple_of == network.scale == 3
    for size in ((3, 3), (3, 9), (12, 6)):
        assert network(torch.rand(2, 1, *size)).shape == (2, 1, size[0] // 3, size[1] // 3)
    refuse = "^HR size must be a multiple of 3 pixels to shrink by 3, got 6×7; crop it$"
    for one in (network, BlockMean(scale=3), BicubicDown(scale=3)):
        with pytest.raises(ValueError, match=refuse):
            one(torch.rand(1, 1, 6, 7))


def test_the_way_down_is_exported_for_any_size() -> None:
    network, free = lively(Down(scale=2, width=4, blocks=1)), torch.export.Dim.AUTO
    exported = torch.export.export(network, (torch.rand(1, 1, 20, 24),), dynamic_shapes=({2: free, 3: free},)).module()
    hr = torch.rand(1, 1, 16, 38)
    torch.testing.assert_close(exported(hr), network(hr), rtol=0, atol=1e-6)


@pytest.mark.parametrize("network", [Up, Down])
def test_counts_below_one_and_unknown_words_are_refused(network: type[Up | Down]) -> None:
    for argument in ("scale", "channels", "width", "blocks"):
        with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
            network(**{argument: 0})  # type: ignore[arg-type]
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="skip(?s:.*)odd"):
        network(skip="odd")  # type: ignore[arg-type]
