"""EDSR and RCAN, each of its authors and of BasicSR."""

import torch
from torch import Tensor

from coresr_models.blocks import RGB_MEAN
from coresr_models.foreign.shapes import Recognised, State, count, recognised, refuse_mean, renamed, staged_scale

RANGE = 255
"""Of the images that published RGB weights of RCAN are trained on."""


def edsr(state: State) -> Recognised | None:
    """BasicSR: conv_first, body.i.conv1 and .conv2, conv_after_body, upsample.0 (.2), conv_last."""
    if not {"conv_first.weight", "body.0.conv1.weight", "conv_after_body.weight", "conv_last.weight"} <= state.keys():
        return None
    return _found_edsr("EDSR of BasicSR", dict(state))


def original_edsr(state: State) -> Recognised | None:
    """EDSR-PyTorch: head.0, body.i.body.0 and .2, body.N, tail.0.0 (.2), tail.1, perhaps sub_mean and add_mean."""
    if not {"head.0.weight", "body.0.body.0.weight", "body.0.body.2.weight"} <= state.keys():
        return None
    refuse_mean(state)
    blocks = count(state, r"body\.(\d+)\.body\.0\.weight")
    state_of_ours = renamed(
        {name: tensor for name, tensor in state.items() if not name.startswith(("sub_mean.", "add_mean."))},
        (r"head\.0\.", "conv_first."),
        (rf"body\.{blocks}\.", "conv_after_body."),
        (r"body\.(\d+)\.body\.0\.", r"body.\1.conv1."),
        (r"body\.(\d+)\.body\.2\.", r"body.\1.conv2."),
        (r"tail\.0\.", "upsample."),
        (r"tail\.1\.", "conv_last."),
    )
    return _found_edsr("EDSR of EDSR-PyTorch", state_of_ours)


def _found_edsr(called: str, state: dict[str, Tensor]) -> Recognised:
    width, channels = state["conv_first.weight"].shape[:2]
    scaling = 0.1 if width >= 256 else 1.0
    return recognised(
        called,
        "edsr",
        state,
        assumed=(f"residual_scale {scaling}, as the paper sets for width {width}", "no mean colour is subtracted"),
        scale=staged_scale(state, "upsample", width),
        channels=channels,
        width=width,
        blocks=count(state, r"body\.(\d+)\.conv1\.weight"),
        residual_scale=scaling,
    )


def rcan(state: State) -> Recognised | None:
    """RCAN: head.0, body.g.body.b.body.{0,2}, .3.conv_du.{0,2}, body.g.body.B, body.R, tail.0.0 (.2), tail.1."""
    if "body.0.body.0.body.3.conv_du.0.weight" not in state:
        return None
    return _found_rcan("RCAN", dict(state), normalise="sub_mean.bias" in state, assumed=())


def basicsr_rcan(state: State) -> Recognised | None:
    """BasicSR: conv_first, body.g.residual_group.b.rcab.{0,2}, .3.attention.{1,3}, body.g.conv, and EDSR's others."""
    if "body.0.residual_group.0.rcab.0.weight" not in state:
        return None
    groups = count(state, r"body\.(\d+)\.conv\.weight")
    blocks = count(state, r"body\.0\.residual_group\.(\d+)\.rcab\.0\.weight")
    state_of_ours = renamed(
        state,
        (r"conv_first\.", "head.0."),
        (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.1\.", r"body.\1.body.\2.body.3.conv_du.0."),
        (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.3\.attention\.3\.", r"body.\1.body.\2.body.3.conv_du.2."),
        (r"body\.(\d+)\.residual_group\.(\d+)\.rcab\.", r"body.\1.body.\2.body."),
        (r"body\.(\d+)\.conv\.", rf"body.\1.body.{blocks}."),
        (r"conv_after_body\.", f"body.{groups}."),
        (r"upsample\.", "tail.0."),
        (r"conv_last\.", "tail.1."),
    )
    colour = state_of_ours["head.0.weight"].shape[1] == 3
    if colour:
        for name, sign in (("sub_mean", -1), ("add_mean", 1)):
            state_of_ours[f"{name}.weight"] = torch.eye(3)[:, :, None, None]
            state_of_ours[f"{name}.bias"] = sign * RANGE * torch.tensor(RGB_MEAN)
    assumed = ("DIV2K's mean colour and a range of 255, as BasicSR sets",) if colour else ()
    return _found_rcan("RCAN of BasicSR", state_of_ours, normalise=colour, assumed=assumed)


def _found_rcan(called: str, state: dict[str, Tensor], *, normalise: bool, assumed: tuple[str, ...]) -> Recognised:
    width, channels = state["head.0.weight"].shape[:2]
    if normalise and channels != 3:
        refuse_mean(state)
        normalise = False
    if not normalise:
        state = {name: tensor for name, tensor in state.items() if not name.startswith(("sub_mean.", "add_mean."))}
    return recognised(
        called,
        "rcan",
        state,
        assumed=assumed,
        scale=staged_scale(state, "tail.0", width),
        channels=channels,
        width=width,
        groups=count(state, r"body\.(\d+)\.body\.0\.body\.0\.weight"),
        blocks=count(state, r"body\.0\.body\.(\d+)\.body\.0\.weight"),
        reduction=width // state["body.0.body.0.body.3.conv_du.0.weight"].shape[0],
        normalise=normalise,
    )
