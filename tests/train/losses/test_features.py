from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from coresr_train.losses.eye import Eye
from coresr_train.losses.features import EYES, efficientnet_lite0, perceptual, vgg19, vgg19_esrgan, vgg19_realesrgan
from coresr_train.settings import Loss
from tests.train.losses.examples import CONVOLUTIONS, pair, vgg_tensors

CPU = torch.device("cpu")
Features = Literal["vgg19", "vgg19_esrgan", "vgg19_realesrgan"]


def vgg_by_hand(name: str, image: Tensor, after: dict[str, bool]) -> list[Tensor]:
    """Features in float64 of grey `image`; `after` names convolutions as stage_number, and whether past their ReLU."""
    tensors = {key: value.double() for key, value in vgg_tensors(name).items()}
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).double()
    x = (image.double().repeat(1, 3, 1, 1) - mean[:, None, None]) / std[:, None, None]
    found, stage, number, previous = [], 1, 0, -2
    for key in CONVOLUTIONS[name]:
        if key - previous == 3:  # a ReLU and a pooling lie between
            x, stage, number = functional.max_pool2d(x, 2), stage + 1, 0
        previous, number = key, number + 1
        x = functional.conv2d(x, tensors[f"features.{key}.weight"], tensors[f"features.{key}.bias"], padding=1)
        place = f"{stage}_{number}"
        if after.get(place) is False:
            found.append(x)
        x = x.clamp(min=0)
        if after.get(place) is True:
            found.append(x)
    return found


def test_vgg19_sees_relu2_2_relu3_3_and_conv5_4_before_its_activation(vgg_files: dict[str, Path]) -> None:
    sr, _ = pair(32)
    found = vgg19(str(vgg_files["vgg19"]), CPU)(sr)
    expected = vgg_by_hand("vgg19", sr, {"2_2": True, "3_3": True, "5_4": False})
    assert [tuple(one.shape) for one in found] == [(2, 128, 16, 16), (2, 256, 8, 8), (2, 512, 2, 2)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)
    assert found[2].min() < 0 <= min(found[0].min(), found[1].min())


def lite0_by_hand(tensors: dict[str, Tensor], grey: Tensor) -> list[Tensor]:
    """The ends of stages 1, 2 and 5 in float64, with batch norms of their own."""
    t = {name: value.double() for name, value in tensors.items()}

    def layer(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = t[f"{conv}.weight"]
        kernel = weight.shape[-1]
        # TensorFlow's SAME, in its own words: by the rest of the side, the smaller half before
        missing = [max(kernel - (side % stride or stride), 0) for side in (x.shape[3], x.shape[2])]
        x = functional.pad(x, [part for one in missing for part in (one // 2, one - one // 2)])
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        x = functional.conv2d(x, weight, stride=stride, groups=groups)
        moments = (t[f"{norm}.running_mean"], t[f"{norm}.running_var"])
        return functional.batch_norm(x, *moments, t[f"{norm}.weight"], t[f"{norm}.bias"], eps=1e-3)

    x = layer((grey.double().repeat(1, 3, 1, 1) * 255 - 127) / 128, "_conv_stem", "_bn0", 2).clamp(0, 6)
    found = []
    for block, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1)):
        name, before = f"_blocks.{block}", x
        if block:
            x = layer(x, f"{name}._expand_conv", f"{name}._bn0").clamp(0, 6)
        x = layer(x, f"{name}._depthwise_conv", f"{name}._bn1", stride).clamp(0, 6)
        x = layer(x, f"{name}._project_conv", f"{name}._bn2")
        x = x + before if x.shape == before.shape else x
        if block in {0, 2, 10}:
            found.append(x)
    return found


@pytest.mark.usefixtures("packages")
def test_efficientnet_lite0_sees_what_its_layers_say_one_by_one(lite0_tensors: dict[str, Tensor]) -> None:
    image = torch.rand(2, 1, 45, 32)
    found = efficientnet_lite0("", CPU)(image)
    assert [tuple(one.shape) for one in found] == [(2, 16, 23, 16), (2, 24, 12, 8), (2, 112, 3, 2)]
    for ours, theirs in zip(found, lite0_by_hand(lite0_tensors, image), strict=True):
        torch.testing.assert_close(ours, theirs.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("features", "taps", "weights"),
    [
        ("vgg19", {"2_2": True, "3_3": True, "5_4": False}, (1, 1, 1)),
        ("vgg19_esrgan", {"5_4": False}, (1,)),
        (
            "vgg19_realesrgan",
            {"1_2": False, "2_2": False, "3_4": False, "4_4": False, "5_4": False},
            (0.1, 0.1, 1, 1, 1),
        ),
    ],
)
def test_perceptual_and_its_gradient_are_the_weighted_l1_of_the_published_features(
    vgg_files: dict[str, Path], features: Features, taps: dict[str, bool], weights: tuple[float, ...]
) -> None:
    sr, hr = pair(32)
    loss = Loss(perceptual=1.0, features=features, feature_weights=str(vgg_files["vgg19"]))
    ours = perceptual(loss, CPU)(sr, hr)
    both = zip(weights, vgg_by_hand("vgg19", sr, taps), vgg_by_hand("vgg19", hr, taps), strict=True)
    terms = torch.stack([weight * functional.l1_loss(one, other) for weight, one, other in both])
    assert (terms > 1e-3 * terms.sum()).all()  # none is lost in the tolerance
    torch.testing.assert_close(ours, terms.sum().float(), rtol=1e-5, atol=0)
    slopes = [torch.autograd.grad(one, sr)[0] for one in (ours, terms.sum())]
    assert functional.cosine_similarity(slopes[0].flatten(), slopes[1].flatten(), dim=0) > 0.9999


@pytest.mark.parametrize("eye", [vgg19, vgg19_esrgan, vgg19_realesrgan])
def test_features_before_an_activation_are_not_overwritten_by_it(
    vgg_files: dict[str, Path], eye: Callable[[str, torch.device], Eye]
) -> None:
    # 32 pixels, so that no pooling comes between
    tapped, after = (
        eye(str(vgg_files["vgg19"]), CPU),
        vgg_by_hand("vgg19", torch.full((1, 1, 32, 32), 0.3), {"5_4": True}),
    )
    last = tapped(torch.full((1, 1, 32, 32), 0.3))[-1]
    assert (last < 0).any()
    torch.testing.assert_close(last.clamp(min=0), after[-1].float(), rtol=1e-4, atol=1e-4)


def test_every_name_of_the_settings_has_an_eye() -> None:
    assert set(EYES) == set(get_args(get_type_hints(Loss)["features"]))


def test_grey_is_three_equal_channels_and_other_numbers_of_channels_are_refused(vgg_files: dict[str, Path]) -> None:
    eye = vgg19(str(vgg_files["vgg19"]), CPU)
    grey = torch.rand(1, 1, 16, 16)
    for one, three in zip(eye(grey), eye(grey.repeat(1, 3, 1, 1)), strict=True):
        torch.testing.assert_close(one, three, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="1 or 3 channels.*got 2"):
        eye(torch.rand(1, 2, 16, 16))
