"""The optimizer, and the learning rate as a pure function of its step."""

import math

import torch
from torch import nn

from coresr_train.presets import Optim


def adamw(network: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over all parameters of `network`."""
    weights, rate = network.parameters(), optim.learning_rate
    return torch.optim.AdamW(weights, lr=rate, weight_decay=optim.weight_decay, eps=optim.epsilon)


def warmup_cosine(step: int, *, peak: float, warmup: int, total: float) -> float:
    """Rise linearly over `warmup` steps to `peak`, then fall as half a cosine to 0 at step `total`.

    `step` counts from 0. Past the end it stays at 0.

    >>> [round(warmup_cosine(t, peak=1e-3, warmup=5, total=20), 8) for t in (0, 4, 5, 12)]
    [0.0002, 0.001, 0.001, 0.00055226]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = min((step - warmup) / max(total - warmup, 1), 1.0)
    return peak * (1 + math.cos(math.pi * progress)) / 2
