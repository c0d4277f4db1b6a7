"""The networks that the tests over the whole mapping try."""

import torch
from torch import Tensor

from coresr_models.build import Argument, ModelSpec, Network, build


def lively(spec: ModelSpec) -> Network:
    """A network in which nothing is zero, as after training."""
    network = build(spec).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def image(spec: ModelSpec, *, height: int = 5, width: int = 7, batch: int = 1) -> Tensor:
    """Random LR whose sides are these multiples of what the network needs."""
    multiple = build(spec).multiple_of
    channels = spec.arguments.get("channels", 1)
    assert isinstance(channels, int)
    return torch.rand(batch, channels, multiple * height, multiple * width)


def normalised(name: str) -> ModelSpec:
    """A small one that sees images of another mean and standard deviation."""
    return ModelSpec(name=name, arguments=SMALL[name], mean=0.4, std=0.2)


SMALL: dict[str, dict[str, Argument]] = {
    "cyclegan": {"width": 6, "blocks": 1},
    "edsr": {"width": 6, "blocks": 2},
    "nafnet": {"width": 6, "blocks": 2},
    "plksr": {"width": 8, "blocks": 2, "kernel": 5},
    "rcan": {"channels": 3, "width": 8, "groups": 2, "blocks": 1, "reduction": 1},
    "realplksr": {"width": 16, "blocks": 2, "kernel": 5},
    "rrdbnet": {"width": 6, "blocks": 1, "growth": 3},
    "span": {"channels": 3, "width": 6, "blocks": 1},
    "srcnn": {"width": 8, "middle_width": 6},
    "swinir": {"width": 8, "stages": 1, "depth": 2, "heads": 2, "window": 4},
    "unet": {"width": 8, "depth": 2, "attention": "se"},
}
"""Small ones, so that all tests over the mapping run in seconds."""

ALTERNATIVES: dict[str, dict[str, Argument]] = {
    "cyclegan": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "blocks": 2,
        "tail": "direct",
        "skip": "replicate",
    },
    "edsr": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "blocks": 3,
        "residual_scale": 0.3,
        "tail": "direct",
        "global_residual": "none",
    },
    "nafnet": {"scale": 3, "channels": 2, "width": 4, "blocks": 1, "global_residual": "none"},
    "plksr": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "blocks": 1,
        "kernel": 3,
        "split": 0.5,
        "attention": False,
        "global_residual": "none",
    },
    "rcan": {
        "scale": 3,
        "channels": 1,
        "width": 4,
        "groups": 1,
        "blocks": 2,
        "reduction": 2,
        "tail": "direct",
        "normalise": True,
        "global_residual": "none",
    },
    "realplksr": {
        "scale": 3,
        "channels": 2,
        "width": 24,
        "blocks": 1,
        "kernel": 3,
        "split": 0.5,
        "attention": False,
        "norm": "group",
        "global_residual": "none",
    },
    "rrdbnet": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "blocks": 2,
        "growth": 2,
        "global_residual": "none",
    },
    "span": {
        "scale": 3,
        "channels": 1,
        "width": 4,
        "blocks": 2,
        "merged": True,
        "normalise": True,
        "global_residual": "none",
    },
    "srcnn": {
        "scale": 3,
        "channels": 2,
        "width": 4,
        "middle_width": 3,
        "middle_kernel": 5,
        "global_residual": "none",
    },
    "swinir": {
        "scale": 3,
        "channels": 2,
        "width": 6,
        "stages": 2,
        "depth": 3,
        "heads": 4,
        "window": 2,
        "mlp_ratio": 1.5,
        "tail": "staged",
        "global_residual": "none",
    },
    "unet": {
        "scale": 3,
        "channels": 2,
        "depth": 1,
        "width": 4,
        "max_width": 16,
        "norm": "group",
        "block": "residual",
        "attention": "none",
        "attention_at": "skip",
        "tail": "shuffle",
        "global_residual": "none",
    },
}
"""For each constructor argument another value than in SMALL or the default."""

MORE: list[tuple[str, dict[str, Argument]]] = [
    ("cyclegan", {"scale": 1}),
    ("cyclegan", {"scale": 4, "skip": "replicate"}),
    ("cyclegan", {"scale": 8, "tail": "direct"}),
    ("edsr", {"scale": 1}),
    ("edsr", {"scale": 4}),
    ("edsr", {"scale": 8, "blocks": 1}),
    ("edsr", {"scale": 6, "tail": "direct"}),
    ("nafnet", {"scale": 1}),
    ("nafnet", {"scale": 4}),
    ("nafnet", {"scale": 8, "blocks": 1}),
    ("plksr", {"scale": 1}),
    ("plksr", {"scale": 4, "global_residual": "none"}),
    ("plksr", {"scale": 8, "split": 1.0}),
    ("rcan", {"scale": 1, "groups": 1}),
    ("rcan", {"scale": 4, "normalise": True, "global_residual": "none"}),
    ("rcan", {"scale": 8, "channels": 1, "groups": 1}),
    ("realplksr", {"scale": 1}),
    ("realplksr", {"scale": 4, "norm": "group", "attention": False, "global_residual": "none"}),
    ("realplksr", {"scale": 8, "blocks": 1}),
    ("rrdbnet", {"scale": 1}),
    ("rrdbnet", {"scale": 4}),
    ("rrdbnet", {"scale": 8}),
    ("span", {"scale": 1}),
    ("span", {"scale": 4, "merged": True, "global_residual": "none"}),
    ("span", {"scale": 8, "channels": 1}),
    ("srcnn", {"scale": 1}),
    ("srcnn", {"scale": 4, "middle_kernel": 3}),
    ("srcnn", {"scale": 8}),
    ("swinir", {"channels": 3, "global_residual": "none"}),
    ("unet", {"attention": "none", "norm": "batch"}),
    ("unet", {"attention": "none", "norm": "batch", "block": "residual"}),
    ("swinir", {"scale": 1}),
    ("swinir", {"scale": 4, "tail": "staged", "global_residual": "none"}),
    ("swinir", {"scale": 8, "depth": 1}),
    ("swinir", {"window": 3}),
    ("unet", {"attention": "none", "scale": 1}),
    ("unet", {"attention": "none", "scale": 4}),
    ("unet", {"attention": "none", "depth": 3}),
    ("unet", {"attention": "none", "tail": "shuffle", "scale": 3}),
    ("unet", {"attention": "none", "tail": "shuffle", "scale": 4, "global_residual": "none"}),
    ("unet", {"attention": "none", "block": "residual"}),
    ("unet", {"attention": "none", "norm": "instance"}),
    ("unet", {"attention": "scse", "attention_at": "skip", "norm": "group", "block": "residual"}),
    ("unet", {"attention": "cbam", "attention_at": "bottleneck"}),
    ("unet", {"attention": "cbam", "tail": "shuffle", "block": "residual"}),
]
"""Beyond one change at a time."""

STATED_REACH: dict[str, float] = {"plksr": 0.8, "realplksr": 0.8}
"""The least measured share of the stated receptive field, 1 unless named: the skip rounds it up."""
