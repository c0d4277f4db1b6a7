"""The optimizer, and the learning rate as a pure function of its step."""

import math

import torch
from torch import nn

from coresr_train.presets import Optim

EPSILON = 1e-6
"""Adam's ε. Under torch's 1e-8 the rounding of almost-zero gradients decides the step of almost-dead channels, and two
processes drift apart by 1e-5 in 20 steps; the scores are the same."""


def adamw(network: nn.Module, optim: Optim) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over all parameters of `network`."""
    return torch.optim.AdamW(network.parameters(), lr=optim.learning_rate, weight_decay=optim.weight_decay, eps=EPSILON)


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
