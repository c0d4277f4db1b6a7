"""A model by what the user calls it, ready to run. Needs coresr-data and coresr-models: `coresr-eval[cli]`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from coresr_data import Window
from coresr_data.intensity import default_window
from coresr_eval.cli import UsageError
from coresr_eval.inference import self_ensemble as ensemble
from coresr_eval.inference import tiled
from coresr_models import Checkpoint, complete, load
from coresr_models.blocks import Bicubic

MODEL = "a run folder (its best), a .safetensors file, or the word bicubic"
"""What MODEL may be, for the help."""
TILE = 512
"""Side of a tile in LR pixels, unless told."""


class Model(NamedTuple):
    """A model, ready to run."""

    name: str
    """What it was asked for by."""
    upscale: Callable[[Tensor], Tensor]
    scale: int
    checkpoint: Checkpoint | None


def find_model(name: str, scale: int | None, *, tile: int = TILE, self_ensemble: bool = False) -> Model:
    """The model called `name` in float32, on a GPU where there is one; ValueError for another scale or colours.

    Bicubic turns with its image: an ensemble of it is bicubic.
    """
    if name == "bicubic":
        if scale is None:
            raise UsageError("scale must be given for bicubic, got none; add --scale")
        bicubic = Bicubic(scale=scale).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Model(name, bicubic, scale, None)  # in the order of the networks, whose skip then has the same bits
    path = Path(name)
    checkpoint = load(path / "best.safetensors" if path.is_dir() else path)
    network, channels = checkpoint.model, complete(checkpoint.spec).arguments["channels"]
    if scale not in (None, network.scale):
        raise ValueError(f"model {name} must be of scale {scale}, got {network.scale}; train or name another")
    if channels != 1:
        raise ValueError(f"model {name} must be of one channel, got {channels}; slices are grey")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.allow_tf32 = False  # TF32 keeps 10 bits: scores are of the float32 network
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster, and the same image

    run = ensemble(network) if self_ensemble else network

    def upscale(lr: Tensor) -> Tensor:
        sr = tiled(
            run,
            lr.to(device),
            scale=network.scale,
            multiple_of=network.multiple_of,
            receptive_field=network.receptive_field,
            tile=tile,
        )
        return sr.to(lr.device)

    return Model(name, upscale, network.scale, checkpoint)


def model_window(model: Model, dtype: np.dtype[Any]) -> Window:
    """The window that the model was trained under; without a record, the whole range of the dtype."""
    data = model.checkpoint.provenance.get("data", {}) if model.checkpoint else {}
    if "window" not in data:
        return default_window(dtype)
    if data["dtype"] != str(dtype):
        raise UsageError(
            f"IN must hold {data['dtype']} levels as the model's training slices, got {dtype}; "
            "say which of its levels are 0 and 1 with --window LOW HIGH"
        )
    return Window(*data["window"])
