"""Critics: published sizes and keys, what each logit sees, which sizes are legal, and spectral norms."""

import copy
from collections import OrderedDict
from itertools import pairwise

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

from coresr_models.build import Argument, ModelSpec
from coresr_models.discriminators import (
    CRITICS,
    Critic,
    PatchGAN,
    SpectralConv2d,
    UNetDiscriminatorSN,
    VGGStyleDiscriminator,
    build_critic,
)

SMALL: dict[str, dict[str, Argument]] = {
    "patchgan": {"width": 4, "layers": 2},
    "unet_sn": {"width": 4},
    "vgg": {"width": 4, "size": 32},
}
ALTERNATIVES: dict[str, dict[str, Argument]] = {
    "patchgan": {"channels": 2, "width": 3, "layers": 1, "norm": "none"},
    "unet_sn": {"channels": 2, "width": 3},
    "vgg": {"channels": 2, "width": 3, "size": 16},
}
NORMS = ("none", "instance", "batch", "spectral")


def small(name: str, **changes: Argument) -> Critic:
    return build_critic(ModelSpec(name=name, arguments={**SMALL[name], **changes}))


def parameters(critic: nn.Module) -> int:
    return sum(parameter.numel() for parameter in critic.parameters())


# Sizes and keys


@pytest.mark.parametrize(
    ("critic", "arguments", "count"),
    [
        (UNetDiscriminatorSN, {"channels": 3}, 4_376_897),
        (UNetDiscriminatorSN, {}, 4_375_745),
        (VGGStyleDiscriminator, {"channels": 3}, 14_499_401),
        (VGGStyleDiscriminator, {}, 14_498_249),
        (VGGStyleDiscriminator, {"channels": 3, "size": 256}, 21_055_049),
        (PatchGAN, {"channels": 3}, 2_764_737),  # pytorch-CycleGAN-and-pix2pix prints 2.765 M
        (PatchGAN, {}, 2_762_689),
    ],
)
def test_it_has_as_many_parameters_as_published(critic: type[Critic], arguments: dict[str, int], count: int) -> None:
    with torch.device("meta"):
        assert parameters(critic(**arguments)) == count  # type: ignore[arg-type]  # integers alone


def test_the_small_unet_of_the_tiny_run_has_its_size() -> None:
    assert parameters(UNetDiscriminatorSN(width=8)) == 68_505


def test_the_keys_are_those_of_real_esrgan() -> None:
    wanted = {"conv0.weight", "conv0.bias", "conv9.weight", "conv9.bias"}
    wanted |= {f"conv{i}.weight_{kind}" for i in range(1, 9) for kind in ("orig", "u", "v")}
    assert set(UNetDiscriminatorSN(width=2).state_dict()) == wanted


def test_the_keys_are_those_of_basicsr() -> None:
    statistics = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted = ["conv0_0.weight", "conv0_0.bias", "conv0_1.weight", *(f"bn0_1.{one}" for one in statistics)]
    for level in range(1, 5):
        for half in (0, 1):
            wanted += [f"conv{level}_{half}.weight", *(f"bn{level}_{half}.{one}" for one in statistics)]
    wanted += ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]
    assert list(VGGStyleDiscriminator(width=2).state_dict()) == wanted


def test_the_keys_are_those_of_cyclegan() -> None:
    layers = [f"model.{i}.{kind}" for i in (0, 2, 5, 8, 11) for kind in ("weight", "bias")]
    for norm in ("instance", "none"):
        assert list(PatchGAN(width=2, norm=norm).state_dict()) == layers
    batch = PatchGAN(width=2, norm="batch").state_dict()
    without = {"model.2.bias", "model.5.bias", "model.8.bias"}  # its own offset makes them idle
    assert {name for name in batch if name.split(".")[1] in {"0", "2", "5", "8", "11"}} == set(layers) - without
    assert {name.split(".")[1] for name in batch} - {"0", "2", "5", "8", "11"} == {"3", "6", "9"}
    spectral = set(PatchGAN(width=2, norm="spectral").state_dict())
    assert {name for name in spectral if "weight_" in name} == {
        f"model.{i}.weight_{kind}" for i in (2, 5, 8) for kind in ("orig", "u", "v")
    }


# Spectral normalisation


@pytest.mark.parametrize("bias", [False, True])
def test_a_spectral_convolution_is_that_of_torch_in_training_and_evaluation(bias: bool) -> None:
    ours = SpectralConv2d(3, 5, 4, stride=2, bias=bias)
    theirs = spectral_norm(nn.Conv2d(3, 5, 4, stride=2, padding=1, bias=bias))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    for step in range(6):
        for one in (ours, theirs):
            one.train(step % 3 != 2)
            one.zero_grad()
        image = torch.rand(2, 3, 8, 8)
        answers = ours(image), theirs(image)
        torch.testing.assert_close(answers[0], answers[1], rtol=0, atol=1e-6)
        for answer in answers:
            torch.autograd.backward(answer.square().sum())
        assert ours.weight_orig.grad is not None
        torch.testing.assert_close(ours.weight_orig.grad, theirs.weight_orig.grad, rtol=1e-5, atol=1e-5)
        for name, tensor in ours.state_dict().items():
            torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "changes"), [("unet_sn", {}), ("patchgan", {"norm": "spectral"})])
def test_after_twenty_steps_no_effective_weight_stretches_more_than_a_twentieth(
    name: str, changes: dict[str, Argument]
) -> None:
    critic = small(name, width=8, **changes).train()
    for _ in range(20):
        critic(torch.rand(1, 1, 16, 16))
    normed = [module for module in critic.modules() if isinstance(module, SpectralConv2d)]
    assert len(normed) == {"unet_sn": 8, "patchgan": 2}[name]
    for module in normed:
        matrix = module.weight_orig.flatten(1)
        top = torch.linalg.matrix_norm(matrix / (module.weight_u @ matrix @ module.weight_v), 2)
        assert 0.95 < top <= 1.05


def test_a_fresh_critic_is_normalised_before_any_step() -> None:
    for module in small("unet_sn", width=8).eval().modules():
        if isinstance(module, SpectralConv2d):
            matrix = module.weight_orig.flatten(1)
            assert 0.8 < module.weight_u @ matrix @ module.weight_v / torch.linalg.matrix_norm(matrix, 2) < 1.0001


def test_evaluation_changes_no_spectral_vector_and_training_does() -> None:
    critic = small("unet_sn")
    before = copy.deepcopy(critic.state_dict())
    critic.eval()(torch.rand(1, 1, 8, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in critic.state_dict().items())
    critic.train()(torch.rand(1, 1, 8, 8))
    changed = {name for name, tensor in critic.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"conv{i}.weight_{kind}" for i in range(1, 9) for kind in ("u", "v")}


def test_autocast_leaves_the_spectral_norm_in_float32() -> None:
    exact, mixed = (SpectralConv2d(16, 16, 3, bias=False) for _ in range(2))
    mixed.load_state_dict(exact.state_dict())
    image = torch.rand(1, 16, 8, 8)
    exact(image)
    with torch.autocast("cpu", torch.bfloat16):
        assert mixed(image).dtype == torch.bfloat16
    assert all(torch.equal(tensor, mixed.state_dict()[name]) for name, tensor in exact.state_dict().items())


def test_real_and_made_images_are_judged_one_after_the_other_before_one_backward() -> None:
    critic = small("unet_sn").train()
    real, made = critic(torch.rand(1, 1, 8, 8)), critic(torch.rand(1, 1, 8, 8))
    torch.autograd.backward(functional.softplus(-real).mean() + functional.softplus(made).mean())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in critic.parameters())


def test_a_critic_is_copied_in_the_middle_of_training() -> None:
    for name in CRITICS:
        critic = small(name).train()
        image = torch.rand(2, 1, 32, 32)
        critic(image).sum().backward()
        torch.testing.assert_close(copy.deepcopy(critic)(image), critic(image), rtol=0, atol=1e-6)


# What they compute, written once more with torch's own layers


class ByTorch(nn.Module):
    """Real-ESRGAN's critic."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width, 8 * width, 4 * width, 2 * width, width, width, width, 1]
        for i, (inward, outward) in enumerate(pairwise(widths)):
            size, stride = (4, 2) if i in (1, 2, 3) else (3, 1)
            layer = nn.Conv2d(inward, outward, size, stride, 1, bias=i in (0, 9))
            self.add_module(f"conv{i}", layer if i in (0, 9) else spectral_norm(layer))

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for i in range(10):
            if i in (4, 5, 6):
                x = functional.interpolate(x, scale_factor=2, mode="bilinear")
            x = self.get_submodule(f"conv{i}")(x)
            if i < 9:
                x = torch.where(x > 0, x, 0.2 * x)
            if i < 3:
                kept.append(x)
            elif i in (4, 5, 6):
                x = x + kept.pop()
        return x


def test_weights_of_real_esrgan_fit_and_answer_the_same() -> None:
    theirs, ours = ByTorch(4), UNetDiscriminatorSN(width=4)
    ours.load_state_dict(theirs.state_dict())
    for training in (True, True, False):
        ours.train(training)
        theirs.train(training)
        image = torch.rand(2, 1, 16, 24)
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=1e-5)


def test_the_vgg_style_critic_is_its_layers_one_after_the_other() -> None:
    critic = VGGStyleDiscriminator(channels=2, width=4, size=32)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for level, (inward, outward) in enumerate(pairwise((2, 4, 8, 16))):
        layers[f"conv{level}_0"] = nn.Conv2d(inward, outward, 3, 1, 1, bias=level == 0)
        if level:
            layers[f"bn{level}_0"] = nn.BatchNorm2d(outward)
        layers[f"a{level}"] = nn.LeakyReLU(0.2)
        layers[f"conv{level}_1"] = nn.Conv2d(outward, outward, 4, 2, 1, bias=False)
        layers[f"bn{level}_1"] = nn.BatchNorm2d(outward)
        layers[f"b{level}"] = nn.LeakyReLU(0.2)
    layers |= {
        "flat": nn.Flatten(),
        "linear1": nn.Linear(256, 100),
        "c": nn.LeakyReLU(0.2),
        "linear2": nn.Linear(100, 1),
    }
    wanted = nn.Sequential(layers)
    wanted.load_state_dict(critic.state_dict())
    for training in (True, False):
        image = torch.rand(3, 2, 32, 32)
        torch.testing.assert_close(critic.train(training)(image), wanted.train(training)(image), rtol=0, atol=1e-6)


def test_the_vgg_style_critic_widens_eightfold_at_most() -> None:
    widths = [
        module.out_channels
        for name, module in VGGStyleDiscriminator(width=4, size=256).named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    assert widths == [4, 4, 8, 8, 16, 16, 32, 32, 32, 32, 32, 32]


@pytest.mark.parametrize("norm", NORMS)
def test_a_patchgan_normalises_as_it_says(norm: str) -> None:
    critic = PatchGAN(width=2, norm=norm)  # type: ignore[arg-type]
    kinds = [type(module) for module in critic.model]
    middle = {
        "none": [nn.Conv2d, nn.Identity],
        "instance": [nn.Conv2d, nn.InstanceNorm2d],
        "batch": [nn.Conv2d, nn.BatchNorm2d],
        "spectral": [SpectralConv2d, nn.Identity],
    }[norm]
    assert kinds == [nn.Conv2d, nn.LeakyReLU, *(3 * [*middle, nn.LeakyReLU]), nn.Conv2d]
    assert [module.negative_slope for module in critic.model if isinstance(module, nn.LeakyReLU)] == [0.2] * 4
    strides = [module.stride for module in critic.model if isinstance(module, nn.Conv2d | SpectralConv2d)]
    assert [stride if isinstance(stride, int) else stride[0] for stride in strides] == [2, 2, 2, 1, 1]


def test_a_patchgan_widens_eightfold_at_most() -> None:
    widths = [m.out_channels for m in PatchGAN(width=2, layers=5).model if isinstance(m, nn.Conv2d)]
    assert widths == [2, 4, 8, 16, 16, 16, 1]


# Sizes


@pytest.mark.parametrize(("layers", "window"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_a_logit_of_a_patchgan_sees_a_square_of_this_side(layers: int, window: int) -> None:
    critic = PatchGAN(width=1, layers=layers, norm="none").double()
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.copy_(torch.rand_like(parameter) + 0.1)
    image = torch.zeros(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    logits = critic(image)
    logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
    assert image.grad is not None
    seen = image.grad[0, 0] != 0
    assert int(seen.any(0).sum()) == int(seen.any(1).sum()) == window
    assert int(seen.sum()) == window**2


@pytest.mark.parametrize(
    ("layers", "side", "logits"),
    [(1, 32, 14), (1, 6, 1), (2, 32, 6), (2, 16, 2), (2, 12, 1), (3, 64, 6), (3, 32, 2), (3, 24, 1), (4, 48, 1)],
)
@pytest.mark.parametrize("norm", NORMS)
def test_a_patchgan_gives_this_map(layers: int, side: int, logits: int, norm: str) -> None:
    critic = PatchGAN(width=2, layers=layers, norm=norm).train()  # type: ignore[arg-type]
    assert critic(torch.rand(1, 1, side, side)).shape == (1, 1, logits, logits)
    assert critic(torch.rand(1, 1, side, 2 * side)).shape[2] == logits


@pytest.mark.parametrize(("layers", "smallest"), [(1, 6), (2, 12), (3, 24), (4, 48)])
def test_a_patchgan_refuses_less_than_one_square(layers: int, smallest: int) -> None:
    critic = PatchGAN(width=2, layers=layers)
    assert critic.smallest == smallest
    for size in ((smallest - 1, smallest), (smallest, smallest - 1), (1, 200)):
        with pytest.raises(
            ValueError,
            match=f"^image size must be {smallest} pixels or more for this PatchGAN, got {size[0]}×{size[1]}; take",
        ):
            critic(torch.rand(1, 1, *size))


@pytest.mark.parametrize("size", [(12, 16), (16, 20), (7, 8), (8, 4)])
def test_the_unet_refuses_what_is_no_multiple_of_eight(size: tuple[int, int]) -> None:
    with pytest.raises(
        ValueError, match=f"^image size must be a multiple of 8 pixels for the U-Net critic, got {size[0]}×{size[1]}; "
    ):
        small("unet_sn")(torch.rand(1, 1, *size))


@pytest.mark.parametrize("size", [(8, 8), (16, 40)])
def test_the_unet_gives_a_logit_for_each_pixel(size: tuple[int, int]) -> None:
    assert small("unet_sn")(torch.rand(2, 1, *size)).shape == (2, 1, *size)


@pytest.mark.parametrize("size", [8, 16, 64, 128, 256])
def test_the_vgg_style_critic_gives_one_logit_for_each_image_of_its_size(size: int) -> None:
    critic = VGGStyleDiscriminator(width=1, size=size)
    assert critic(torch.rand(2, 1, size, size)).shape == (2, 1)
    assert critic.smallest == critic.multiple_of == size
    for odd in ((size, size + 1), (size // 2, size), (2 * size, 2 * size)):
        with pytest.raises(
            ValueError, match=f"^image size must be {size}×{size} .* critic, got {odd[0]}×{odd[1]}; build it with"
        ):
            critic(torch.rand(1, 1, *odd))


@pytest.mark.parametrize("size", [0, 4, 12, 100, 129, -8])
def test_the_vgg_style_critic_is_refused_for_other_sizes(size: int) -> None:
    with pytest.raises(ValueError, match=f"^size must be a power of 2 from 8, got {size}; or take the critic unet_sn"):
        VGGStyleDiscriminator(size=size)


@pytest.mark.parametrize("name", CRITICS)
def test_the_smallest_image_and_the_multiple_are_as_stated(name: str) -> None:
    critic = small(name).eval()
    side = critic.smallest
    assert critic(torch.rand(1, 1, side, side)).isfinite().all()
    if name != "vgg":  # of one size
        assert critic(torch.rand(1, 1, side + critic.multiple_of, side)).isfinite().all()
    with pytest.raises(ValueError, match="^image size must be"):
        critic(torch.rand(1, 1, side - 1, side - 1))


# All of them


@pytest.mark.parametrize(("name", "argument"), [(name, one) for name in CRITICS for one in ALTERNATIVES[name]])
def test_every_argument_changes_the_state_dict_or_the_output(name: str, argument: str) -> None:
    before, after = small(name), small(name, **{argument: ALTERNATIVES[name][argument]})
    shapes = [{key: value.shape for key, value in one.state_dict().items()} for one in (before, after)]
    if shapes[0] != shapes[1]:
        return
    after.load_state_dict(before.state_dict())
    image = torch.rand(2, 1, 32, 32)
    assert (before(image) - after(image)).abs().max() > 1e-3


@pytest.mark.parametrize(("name", "norm"), [("unet_sn", ""), ("vgg", ""), *(("patchgan", norm) for norm in NORMS)])
def test_a_gradient_reaches_every_parameter_and_the_image(name: str, norm: str) -> None:
    critic = small(name, **({"norm": norm} if norm else {})).double()
    image = torch.rand(2, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    critic(image).square().sum().backward()
    assert image.grad is not None
    assert image.grad.any()
    idle = {"model.2.bias", "model.5.bias"} if norm == "instance" else set()  # the norm takes them out again
    for key, parameter in critic.named_parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.abs().max() > 1e-9) == (key not in idle), key


@pytest.mark.parametrize("name", CRITICS)
def test_logits_are_not_squashed(name: str) -> None:
    critic, image = small(name).eval(), torch.rand(2, 1, 32, 32)
    before = critic(image)
    with torch.no_grad():
        for parameter in list(critic.parameters())[-2:]:  # of the last layer
            parameter.mul_(1000)
    torch.testing.assert_close(critic(image), 1000 * before, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", CRITICS)
def test_bfloat16_autocast_stays_within_a_tenth(name: str) -> None:
    critic, image = small(name).eval(), torch.randn(2, 1, 32, 32)
    exact = critic(image)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = critic(image)
    assert mixed.dtype == torch.bfloat16
    assert (mixed.float() - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize("name", CRITICS)
def test_counts_below_one_and_unknown_words_are_refused(name: str) -> None:
    for argument in ("channels", "width"):
        with pytest.raises(ValueError, match=f"^{argument} must be 1 or more, got 0$"):
            small(name, **{argument: 0})
    with pytest.raises(ValueError, match="^layers must be 1 or more, got 0$"):
        small("patchgan", layers=0)
    # where pytest checks annotations, the annotation refuses it first
    with pytest.raises((ValueError, TypeCheckError), match="norm(?s:.*)odd"):
        small("patchgan", norm="odd")


def test_a_critic_is_built_from_its_name_and_arguments() -> None:
    assert list(CRITICS) == sorted(CRITICS)
    for name, kind in CRITICS.items():
        assert type(build_critic(ModelSpec(name=name, arguments={"width": 2}))) is kind


def test_an_unknown_critic_argument_or_type_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"^model must be one of patchgan, unet_sn, vgg, got pachgan; did you mean patch"
    ):
        build_critic(ModelSpec(name="pachgan"))
    with pytest.raises(
        ValueError, match=r"^argument of vgg must be one of \(.*size=128\), got sise; did you mean size\?$"
    ):
        build_critic(ModelSpec(name="vgg", arguments={"sise": 64}))
    with pytest.raises(ValueError, match=r"^patchgan layers must be of type int, got 2\.0$"):
        build_critic(ModelSpec(name="patchgan", arguments={"layers": 2.0}))
    with pytest.raises(ValueError, match="^model must be one of"):
        build_critic(ModelSpec(name="edsr"))


@pytest.mark.parametrize(("mean", "std"), [(0.4, 1.0), (0.0, 0.5)])
def test_a_critic_takes_no_mean_and_no_std(mean: float, std: float) -> None:
    with pytest.raises(ValueError, match=f"^critic must be without mean and std, got {mean} and {std}; they are the "):
        build_critic(ModelSpec(name="patchgan", mean=mean, std=std))
