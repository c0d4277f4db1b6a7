"""Averaged weights: what is validated and saved."""

import math

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

POWER = 0.75

Tensors = list[Tensor] | tuple[Tensor, ...]


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of parameters and buffers, updated after each step by `update_parameters`.

    Its decay warms up, min(decay, 1 - (1 + t)^-0.75) at update t (the first, t = 0, copies), so that a short run is
    not ruled by its first weights. Integer buffers are copied. ValueError for a decay outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema_decay must be in [0, 1), got {decay}")

    @torch.no_grad()
    def average(averages: Tensors, current: Tensors, updates: Tensor | int) -> None:
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, current, 1 - warmed_up(decay, int(updates)))
        else:
            torch._foreach_copy_(averages, current)

    averages = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
    averages.n_averaged = averages.n_averaged.cpu()  # asked at every step, which would wait for a GPU
    return averages


def warmed_up(decay: float, update: int) -> float:
    """The decay of update t, from 0.

    >>> round(warmed_up(0.999, 1), 6), round(warmed_up(0.999, 100), 6), warmed_up(0.999, 10_000)
    (0.405396, 0.968612, 0.999)
    """
    return min(decay, 1 - math.pow(1 + update, -POWER))
