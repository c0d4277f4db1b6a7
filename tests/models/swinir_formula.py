"""SwinIR once more, as plain formulas on a state dict."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from coresr_models.swinir import pixels_apart


def attention_by_formula(weights: dict[str, Tensor], x: Tensor, window: int, apart: Tensor | None) -> Tensor:
    """One window (n, c), pixel by pixel and head by head, with the additive mask of -100 of the official code."""
    table = weights["relative_position_bias_table"]
    q, k, v = (x @ weights["qkv.weight"].T + weights["qkv.bias"]).chunk(3, dim=1)
    n, c = x.shape
    size = c // table.shape[1]
    out = torch.zeros_like(x)
    for head in range(table.shape[1]):
        part = slice(head * size, (head + 1) * size)
        for i in range(n):
            logits = torch.zeros(n, dtype=x.dtype)
            for j in range(n):
                down, right = i // window - j // window, i % window - j % window
                logits[j] = (q[i, part] * k[j, part]).sum() / math.sqrt(size)
                logits[j] += table[(down + window - 1) * (2 * window - 1) + right + window - 1, head]
                if apart is not None and apart[i, j]:
                    logits[j] -= 100
            share = (logits - logits.max()).exp()
            out[i, part] = ((share / share.sum())[:, None] * v[:, part]).sum(dim=0)
    return out @ weights["proj.weight"].T + weights["proj.bias"]


def block_by_formula(weights: dict[str, Tensor], x: Tensor, window: int, shift: int) -> Tensor:
    def normal(name: str, x: Tensor) -> Tensor:
        off = x - x.mean(dim=-1, keepdim=True)
        even = off / (off.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt()
        return even * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    attention = {key[len("attn.") :]: value for key, value in weights.items() if key.startswith("attn.")}
    _, height, width, _ = x.shape
    apart = pixels_apart(torch.empty(1, 1, height, width), window)
    rolled = normal("norm1", x).roll((-shift, -shift), dims=(1, 2))
    seen = torch.empty_like(x)
    for y in range(height // window):
        for z in range(width // window):
            cut = (0, slice(y * window, (y + 1) * window), slice(z * window, (z + 1) * window))
            flat = rolled[cut].flatten(0, 1)
            one = attention_by_formula(attention, flat, window, apart[y, z] if shift else None)
            seen[cut] = one.unflatten(0, (window, window))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    x = x + seen.roll((shift, shift), dims=(1, 2))
    inside = normal("norm2", x) @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"]
    gelu = inside * 0.5 * (1 + torch.erf(inside / math.sqrt(2)))
    return x + gelu @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]


def by_formula(weights: dict[str, Tensor], lr: Tensor, *, tail: str) -> Tensor:
    """The network of `TINY` at scale 2, without what the skip or the mean colour adds."""

    def conv(name: str, x: Tensor) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def normal(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, (8,), weights[f"{name}.weight"], weights[f"{name}.bias"])

    first = conv("conv_first", lr)
    x = normal("patch_embed.norm", first.movedim(1, 3))
    for i in range(2):
        seen = x
        for j in range(3):
            prefix = f"layers.{i}.residual_group.blocks.{j}."
            part = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
            seen = block_by_formula(part, seen, 4, 2 if j % 2 else 0)
        x = x + conv(f"layers.{i}.conv", seen.movedim(3, 1)).movedim(1, 3)
    x = first + conv("conv_after_body", normal("norm", x).movedim(3, 1))
    if tail == "direct":
        return functional.pixel_shuffle(conv("upsample.0", x), 2)
    x = conv("conv_before_upsample.0", x)
    x = torch.where(x > 0, x, 0.01 * x)
    return conv("conv_last", functional.pixel_shuffle(conv("upsample.0", x), 2))
