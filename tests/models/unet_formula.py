"""The U-Net once more, as plain formulas on a state dict."""

import torch
from torch import Tensor
from torch.nn import functional

from coresr_models.unet_blocks import groups_of


def normalised(weights: dict[str, Tensor], name: str, x: Tensor, norm: str) -> Tensor:
    gain, shift = (weights[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
    if norm == "batch":
        mean, variance = (weights[f"{name}.running_{kind}"][:, None, None] for kind in ("mean", "var"))
        return (x - mean) / (variance + 1e-5).sqrt() * gain + shift
    groups = x.shape[1] if norm == "instance" else groups_of(x.shape[1])
    off = [part - part.mean(dim=(1, 2, 3), keepdim=True) for part in x.chunk(groups, dim=1)]
    even = [part / (part.square().mean(dim=(1, 2, 3), keepdim=True) + 1e-5).sqrt() for part in off]
    return torch.cat(even, dim=1) * gain + shift


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.2 * x)


def block_by_formula(weights: dict[str, Tensor], name: str, x: Tensor, *, norm: str, block: str) -> Tensor:
    body = f"{name}.body" if block == "residual" else name
    seen = x
    for conv, scaling in ((0, -1), (2, -1)) if norm == "none" else ((0, 1), (3, 4)):
        bias = weights.get(f"{body}.{conv}.bias")
        seen = functional.conv2d(seen, weights[f"{body}.{conv}.weight"], bias, padding=1)
        if norm != "none":
            seen = normalised(weights, f"{body}.{scaling}", seen, norm)
        if block == "plain" or conv == 0:
            seen = leaky(seen)
    if block == "plain":
        return seen
    skip = weights.get(f"{name}.skip.weight")
    past = x if skip is None else functional.conv2d(x, skip, weights[f"{name}.skip.bias"])
    return leaky((0.2 if norm == "none" else 1.0) * seen + past)


def by_formula(weights: dict[str, Tensor], x: Tensor, *, depth: int, norm: str, block: str = "plain") -> Tensor:
    def blocks(name: str, x: Tensor) -> Tensor:
        return block_by_formula(weights, name, x, norm=norm, block=block)

    levels = [blocks("encoder.0", x)]
    for i in range(1, depth + 1):
        tops = levels[-1].unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
        levels.append(blocks(f"encoder.{i}", tops))
    x = levels.pop()
    for i in reversed(range(depth)):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        x = functional.conv2d(x, weights[f"grow.{i}.weight"], weights[f"grow.{i}.bias"], padding=1)
        x = blocks(f"decoder.{i}", torch.cat([levels[i], x], dim=1))
    head = weights["head.weight"]
    return functional.conv2d(x, head, weights["head.bias"], padding=head.shape[-1] // 2)
