"""The first and the last convolutions of a network: where a range of intensities, or a colour, can be folded in."""

from collections.abc import Mapping

from torch import Tensor

from coresr_models.build import ModelSpec

HEADS: Mapping[str, tuple[str, ...]] = {
    "edsr": ("conv_first",),
    "nafnet": ("intro",),
    "plksr": ("feats.0",),
    "rcan": ("head.0",),
    "realplksr": ("feats.0",),
    "rrdbnet": ("conv_first",),
    "span": ("conv_1.eval_conv", "conv_1.conv.0", "conv_1.sk"),
    "swinir": ("conv_first",),
}
"""Linear layers that see the image itself."""
TAILS: Mapping[str, tuple[str, ...]] = {
    "edsr": ("conv_last",),
    "nafnet": ("up.0",),
    "rcan": ("tail.1",),
    "rrdbnet": ("conv_last",),
    "span": ("upsampler.0",),
    "swinir": ("conv_last", "upsample.0"),
}
"""The layer whose output is the image: the first of these that there is; of the PLKSRs the last of `feats`."""


def tail(name: str, state: Mapping[str, Tensor]) -> str:
    """The name of the last convolution of a network of `MODELS`."""
    if name in {"plksr", "realplksr"}:
        last = max(int(key.split(".")[1]) for key in state if key.count(".") == 2 and key.endswith(".weight"))
        return f"feats.{last}"
    return next(layer for layer in TAILS[name] if f"{layer}.weight" in state)


def with_range(spec: ModelSpec, state: Mapping[str, Tensor], intensity: float) -> dict[str, Tensor]:
    """Weights for images in [0, 1] from weights for images in [0, `intensity`]: the same network but for rounding.

    ValueError for a network that brings images to the range of its weights itself.
    """
    if spec.arguments.get("normalise"):
        raise ValueError(
            f"range must be 1 for a {spec.name} that multiplies by 255 itself, got {intensity}; leave it out"
        )
    found, last = dict(state), tail(spec.name, state)
    for layer in HEADS[spec.name]:
        if f"{layer}.weight" in found:
            found[f"{layer}.weight"] = found[f"{layer}.weight"] * intensity
    for part in ("weight", "bias"):
        found[f"{last}.{part}"] = found[f"{last}.{part}"] / intensity
    return found


def in_colour(spec: ModelSpec, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights for three equal channels from weights for one: the same image in each, but for rounding."""
    found, last = dict(state), tail(spec.name, state)
    (head,) = HEADS[spec.name]
    found[f"{head}.weight"] = found[f"{head}.weight"].repeat(1, 3, 1, 1) / 3
    found[f"{last}.weight"] = found[f"{last}.weight"].repeat(3, 1, 1, 1)
    found[f"{last}.bias"] = found[f"{last}.bias"].repeat(3)
    return found
