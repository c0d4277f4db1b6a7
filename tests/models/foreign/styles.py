"""State dicts as other programs write them: ours renamed, for each key style."""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from coresr_models.build import Argument, ModelSpec, Network, build

State = dict[str, Tensor]


def lively(name: str, **arguments: Argument) -> Network:
    """A network of the papers' own form in which nothing is zero."""
    network = build(ModelSpec(name=name, arguments={"global_residual": "none", **arguments})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
    return network


def renamed(state: Mapping[str, Tensor], *rules: tuple[str, str]) -> State:
    """Every rule on every name."""
    found = {}
    for name, tensor in state.items():
        for pattern, new in rules:
            name = re.sub(pattern, new, name)  # noqa: PLW2901 - one rule after the other
        found[name] = tensor
    return found


def original_edsr(state: State) -> State:
    blocks = len({name.split(".")[1] for name in state if name.startswith("body.")})
    return renamed(
        state,
        (r"^body\.(\d+)\.conv1", r"body.\1.body.0"),
        (r"^body\.(\d+)\.conv2", r"body.\1.body.2"),
        (r"^conv_after_body", f"body.{blocks}"),
        (r"^conv_first", "head.0"),
        (r"^upsample\.", "tail.0."),
        (r"^conv_last", "tail.1"),
    )


def zero_mean_edsr(state: State) -> State:
    shift = {"weight": torch.ones(1, 1, 1, 1), "bias": torch.zeros(1)}
    means = {f"{name}.{part}": tensor for name in ("sub_mean", "add_mean") for part, tensor in shift.items()}
    return {**original_edsr(state), **means}


def basicsr_rcan(state: State) -> State:
    """For two groups of one block."""
    found = renamed(
        {name: tensor for name, tensor in state.items() if "_mean" not in name},
        (r"^head\.0", "conv_first"),
        (r"^body\.2\.", "conv_after_body."),
        (r"^body\.(\d)\.body\.1\.", r"body.\1.conv."),
        (r"^body\.(\d)\.body\.0\.body\.3\.conv_du\.0", r"body.\1.residual_group.0.rcab.3.attention.1"),
        (r"^body\.(\d)\.body\.0\.body\.3\.conv_du\.2", r"body.\1.residual_group.0.rcab.3.attention.3"),
        (r"^body\.(\d)\.body\.0\.body\.", r"body.\1.residual_group.0.rcab."),
        (r"^tail\.0", "upsample"),
        (r"^tail\.1", "conv_last"),
    )
    assert {"body.1.conv.bias", "body.0.residual_group.0.rcab.3.attention.3.weight", "upsample.0.weight"} <= set(found)
    return found


def middle_rrdbnet(state: State) -> State:
    return renamed(
        state,
        (r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2"),
        (r"^conv_body", "trunk_conv"),
        (r"^conv_up", "upconv"),
        (r"^conv_hr", "HRconv"),
    )


def old_rrdbnet(state: State) -> State:
    blocks = len({name.split(".")[1] for name in state if name.startswith("body.")})
    ups = len([name for name in state if re.fullmatch(r"conv_up\d\.weight", name)])
    return renamed(
        state,
        (r"^conv_first", "model.0"),
        (r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0"),
        (r"^conv_body", f"model.1.sub.{blocks}"),
        *((rf"^conv_up{number}", f"model.{3 * number}") for number in range(1, ups + 1)),
        (r"^conv_hr", f"model.{3 * ups + 2}"),
        (r"^conv_last", f"model.{3 * ups + 4}"),
    )


def official_swinir(state: State) -> State:
    """With the masks of shifted blocks that the official code keeps."""
    masks = {
        name.replace("attn.relative_position_index", "attn_mask"): torch.zeros(4, 16, 16)
        for name in state
        if name.endswith("blocks.1.attn.relative_position_index")
    }
    assert masks
    return {**state, **masks}


def without_no_norm(state: State) -> State:
    return {name: tensor for name, tensor in state.items() if name != "no_norm"}


def unchanged(state: State) -> State:
    return dict(state)


SWIN: dict[str, Argument] = {"width": 8, "stages": 2, "depth": 2, "heads": 2, "window": 4}
STYLES: list[tuple[str, str, dict[str, Argument], Callable[[State], State]]] = [
    ("EDSR of BasicSR", "edsr", {"width": 6, "blocks": 2, "scale": 4}, unchanged),
    ("EDSR of BasicSR", "edsr", {"width": 6, "blocks": 12, "scale": 3, "channels": 3}, unchanged),
    ("EDSR of BasicSR", "edsr", {"width": 6, "blocks": 1, "scale": 1}, unchanged),
    ("EDSR of EDSR-PyTorch", "edsr", {"width": 6, "blocks": 11, "scale": 4}, original_edsr),
    ("EDSR of EDSR-PyTorch", "edsr", {"width": 6, "blocks": 2}, zero_mean_edsr),
    ("RCAN", "rcan", {"width": 8, "groups": 2, "blocks": 3, "reduction": 4, "scale": 4}, unchanged),
    (
        "RCAN",
        "rcan",
        {"width": 8, "groups": 1, "blocks": 1, "reduction": 8, "channels": 3, "normalise": True},
        unchanged,
    ),
    ("RCAN of BasicSR", "rcan", {"width": 8, "groups": 2, "blocks": 1, "reduction": 2}, basicsr_rcan),
    (
        "RCAN of BasicSR",
        "rcan",
        {"width": 8, "groups": 2, "blocks": 1, "reduction": 2, "channels": 3, "normalise": True, "scale": 3},
        basicsr_rcan,
    ),
    ("SPAN", "span", {"width": 6, "scale": 4}, unchanged),
    ("SPAN", "span", {"width": 6, "blocks": 2}, without_no_norm),
    ("SPAN", "span", {"width": 6, "channels": 3, "normalise": True, "scale": 3}, unchanged),
    ("SPAN, merged", "span", {"width": 6, "merged": True}, unchanged),
    ("PLKSR", "plksr", {"width": 8, "blocks": 11, "kernel": 5, "split": 0.5, "scale": 3}, unchanged),
    ("PLKSR", "plksr", {"width": 8, "blocks": 2, "kernel": 7, "attention": False, "channels": 3}, unchanged),
    ("RealPLKSR", "realplksr", {"width": 8, "blocks": 2, "kernel": 5}, unchanged),
    ("RealPLKSR", "realplksr", {"width": 8, "blocks": 3, "kernel": 3, "norm": "layer", "scale": 4}, unchanged),
    ("SwinIR", "swinir", SWIN, official_swinir),
    ("SwinIR", "swinir", {**SWIN, "tail": "staged", "scale": 4, "channels": 3}, official_swinir),
    ("SwinIR", "swinir", {**SWIN, "depth": 4, "stages": 1, "mlp_ratio": 1.5, "heads": 4, "scale": 3}, unchanged),
    ("RRDBNet of BasicSR", "rrdbnet", {"width": 6, "blocks": 2, "growth": 3, "scale": 4}, unchanged),
    ("RRDBNet of BasicSR", "rrdbnet", {"width": 6, "blocks": 1, "growth": 3, "channels": 3}, unchanged),
    ("RRDBNet of BasicSR", "rrdbnet", {"width": 6, "blocks": 1, "growth": 3, "scale": 1}, unchanged),
    ("RRDBNet of ESRGAN", "rrdbnet", {"width": 6, "blocks": 2, "growth": 3, "scale": 4}, middle_rrdbnet),
    ("RRDBNet of the first ESRGAN", "rrdbnet", {"width": 6, "blocks": 2, "growth": 3, "scale": 4}, old_rrdbnet),
    ("RRDBNet of the first ESRGAN", "rrdbnet", {"width": 6, "blocks": 11, "growth": 2, "scale": 8}, old_rrdbnet),
    ("NAFNet of NAFSSR", "nafnet", {"width": 6, "blocks": 11, "scale": 4}, unchanged),
]
"""What it is called, its name here, the arguments of an example, and how its keys differ from ours."""
