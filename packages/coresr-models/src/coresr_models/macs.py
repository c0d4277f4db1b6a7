"""How many multiply-adds a network makes: counted by torch on tensors without data, and by fvcore.

A multiply-add counts once, as in the tables of the field. Convolutions, linear layers, matrix products and attention
count; activations, normalisation and resizing do not, as in torch's own counter. fvcore is the
extra `coresr-models[macs]`.
"""

import warnings
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from coresr_models.build import Network
from coresr_models.extras import extra


def macs_on_meta(network: Network, *, channels: int, height: int, width: int) -> int:
    """Multiply-adds for one LR image, by torch's counter, of a network on the meta device: nothing is computed.

    Sides are rounded up to multiples of `network.multiple_of`, as `coresr_eval.inference.tiled` pads them.
    """
    sides = [-(-side // network.multiple_of) * network.multiple_of for side in (height, width)]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, channels, *sides, device="meta"))
    flops: int = counter.get_total_flops()
    return flops // 2  # it counts the multiplication and the addition


def macs(model: nn.Module, lr: tuple[int, int, int, int]) -> int:
    """Multiply-adds of one forward pass in eval mode on an image of shape `lr`, (b, c, h, w), which is computed."""
    counting, handles = extra("fvcore.nn", "macs"), extra("fvcore.nn.jit_handles", "macs")
    was = model.training
    counted = counting.FlopCountAnalysis(model.eval(), torch.zeros(lr))
    # fvcore's own list lacks attention, and prices what multiplies no weights
    counted.clear_op_handles()
    counted.set_op_handle(
        **{f"aten::{name}": getattr(handles, f"{name}_flop_jit") for name in ("addmm", "bmm", "linear")}
    )
    counted.set_op_handle("aten::_convolution", handles.conv_flop_jit)
    counted.set_op_handle("aten::matmul", _product, "aten::mm", _product, "aten::mv", _product)
    counted.set_op_handle("aten::einsum", _einsum)
    counted.set_op_handle("aten::scaled_dot_product_attention", _attention)
    counted.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False).tracer_warnings("none")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # fvcore's way of tracing is deprecated in torch
        total: int = counted.total()
    model.train(was)
    return total


def macs_at(network: Network, *, channels: int, height: int, width: int) -> int:
    """What `macs_on_meta` says, by fvcore on two small images: each operation is a sum over pixels, or constant."""
    multiple = network.multiple_of
    side = 2 * multiple
    small, double = (macs(network, (1, channels, side, wide)) for wide in (side, 2 * side))
    pixels = prod(-(-one // multiple) * multiple for one in (height, width))
    per_square = double - small
    constant = small - per_square
    return constant + per_square * pixels // side**2


def _product(inputs: list[Any], outputs: list[Any]) -> dict[str, int]:
    """Each element sums as many terms as the last axis of the first factor is long; torch counts no vectors."""
    first, second = (value.type().sizes() for value in inputs)
    return {"product": prod(outputs[0].type().sizes()) * first[-1] if len(second) > 1 else 0}


def _einsum(inputs: list[Any], _outputs: list[Any]) -> dict[str, int]:
    """Two factors: one multiply-add for each combination of all indices. fvcore goes through a rounded text."""
    letters = inputs[0].toIValue().replace(" ", "").partition("->")[0].split(",")
    shapes = [value.type().sizes() for value in inputs[1].node().inputs()]
    sizes = {
        one: size for names, shape in zip(letters, shapes, strict=True) for one, size in zip(names, shape, strict=True)
    }
    return {"einsum": prod(sizes.values())}


def _attention(inputs: list[Any], _outputs: list[Any]) -> dict[str, int]:
    """Both products, q kᵀ and that with v; fvcore itself counts none of it."""
    (*batch, n, d), (*_, m, _), (*_, v) = (value.type().sizes() for value in inputs[:3])
    return {"attention": prod(batch) * n * m * (d + v)}
