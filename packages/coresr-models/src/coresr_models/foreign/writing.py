"""Weights for programs that rebuild a network from keys and shapes alone: what they can and cannot read."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from coresr_models.build import Argument, ModelSpec, Network, complete
from coresr_models.foreign.edges import in_colour
from coresr_models.swinir import pixels_apart

MASKED = 64
"""Pixels a side of the image that the masks of an exported SwinIR are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A program, and for each network that it has the arguments that it takes for granted."""

    name: str
    networks: Mapping[str, Mapping[str, tuple[Argument, ...]]]


PLK = {"channels": (1, 3)}
SPANDREL = Reader(
    name="spandrel",
    networks={
        "plksr": PLK,
        "rcan": {"tail": ("staged",)},
        "realplksr": PLK,
        "rrdbnet": {"growth": (32,), "scale": (1, 2, 4)},
        "span": {"blocks": (6,), "merged": (False,)},
        "swinir": {"window": (8,)},  # 7 is to it a network for JPEGs of another range
    },
)
BASICSR = Reader(
    name="BasicSR",
    networks={
        "edsr": {"tail": ("staged",)},
        "nafnet": {},
        "plksr": PLK,
        "rcan": {"tail": ("staged",)},
        "realplksr": PLK,
        "rrdbnet": {"scale": (1, 2, 4)},
        "span": {"blocks": (6,), "merged": (False,)},
        "swinir": {},
    },
)
"""And the projects built on it that each network comes from, under whose keys the weights are."""


def foreign_state(model: Network, spec: ModelSpec, reader: Reader) -> dict[str, Tensor]:
    """The weights as `reader` wants them; ValueError names what it would misread.

    A PLKSR of one channel becomes one of three equal channels, which is all that its readers know. A SwinIR gets the
    masks that official files hold.
    """
    arguments = complete(spec).arguments
    if spec.name not in reader.networks:
        raise ValueError(
            f"network must be one of {', '.join(reader.networks)} for {reader.name}, got {spec.name}; "
            "export it to .onnx, which holds any"
        )
    if (spec.mean, spec.std) != (0, 1):  # a mean folded into a bias would be wrong at borders, which are padded with 0
        raise ValueError(
            f"{spec.name} must have mean 0 and std 1 for {reader.name}, got {spec.mean} and {spec.std}, which it would "
            "leave out; export it to .onnx, or train it without"
        )
    if arguments["global_residual"] != "none":
        raise ValueError(
            f"{spec.name} must have global_residual=none for {reader.name}, got {arguments['global_residual']}, which "
            "it would leave out; export it to .onnx, or train it with none"
        )
    for name, known in reader.networks[spec.name].items():
        if arguments[name] not in known:
            wanted = " or ".join(map(str, known))
            raise ValueError(
                f"{spec.name} {name} must be {wanted} for {reader.name}, got {arguments[name]}; export it to .onnx"
            )
    state = {name: tensor.detach().contiguous().cpu().clone() for name, tensor in model.state_dict().items()}
    if spec.name == "swinir":
        state |= _masks(spec)
    colourless = spec.name in {"plksr", "realplksr"} and arguments["channels"] == 1
    return in_colour(spec, state) if colourless else state


def _masks(spec: ModelSpec) -> dict[str, Tensor]:
    """The mask of every shifted block, for the square image that readers take a file without for: 64 pixels a side.

    Official files hold them for the size that was trained on; at other sizes they are made anew.
    """
    arguments = complete(spec).arguments
    stages, depth, window = (int(arguments[name]) for name in ("stages", "depth", "window"))
    side = max(1, MASKED // window) * window
    apart = rearrange(pixels_apart(torch.empty(1, 1, side, side), window), "y x n m -> (y x) n m")
    mask = torch.where(apart, -100.0, 0.0)
    blocks = [
        f"layers.{stage}.residual_group.blocks.{block}" for stage in range(stages) for block in range(1, depth, 2)
    ]
    return {f"{block}.attn_mask": mask.clone() for block in blocks}
