"""The network behind LPIPS: of the package lpips, which is no dependency, for it brings torchvision."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""Two float32 `(b, 3, h, w)` in [-1, 1] → one number per image."""
ALEX_SIDE = 31
"""Pixels below which nothing is left of an image after AlexNet's second pooling."""
_REMEDY = "pip install lpips and the torchvision of your torch, or give a distance"


class MissingExtraError(ImportError, ValueError):
    """A library is needed that is not installed; a ValueError too, so that command lines say it in one line."""

    exit_code = 69


@cache
def alex(device: torch.device) -> Distance:
    """LPIPS 0.1 on AlexNet, the variant to report by (Zhang et al. 2018); its trunk is fetched on first use."""
    try:
        network: Any = import_module("lpips").LPIPS(net="alex", verbose=False)
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"LPIPS must have the package lpips, got no {error.name}; {_REMEDY}") from error
    except Exception as error:  # a torchvision of another torch raises what it likes, a fetch OSError
        raise MissingExtraError(f"LPIPS must have lpips and its weights, got {error}; {_REMEDY}") from error
    distance: Distance = network.to(device).eval().requires_grad_(requires_grad=False)
    return distance
