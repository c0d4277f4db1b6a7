"""SPAN, PLKSR, RealPLKSR, SwinIR and NAFSSR."""

import math

import torch

from coresr_models.build import Argument
from coresr_models.foreign.shapes import Recognised, State, count, recognised, shuffled_scale, staged_scale


def span(state: State) -> Recognised | None:
    """SPAN: conv_1.{sk,conv.0,conv.1,conv.2,eval_conv}, block_k.c1_r …, conv_cat, conv_2, upsampler.0, (no_norm)."""
    if not {"conv_cat.weight", "block_1.c1_r.eval_conv.weight", "upsampler.0.weight"} <= state.keys():
        return None
    merged = "conv_1.sk.weight" not in state
    channels = state["conv_1.eval_conv.weight"].shape[1]
    normalise = channels == 3 and "no_norm" not in state
    tensors = dict(state) if normalise else {"no_norm": torch.zeros(1), **state}
    planes, width = state["upsampler.0.weight"].shape[:2]
    return recognised(
        "SPAN, merged" if merged else "SPAN",
        "span",
        tensors,
        assumed=("DIV2K's mean colour and a range of 255, as SPAN sets",) if normalise else (),
        scale=shuffled_scale(planes, channels),
        channels=channels,
        width=width,
        blocks=count(state, r"block_(\d+)\.c1_r\.eval_conv\.weight") - 1,  # from 1
        merged=merged,
        normalise=normalise,
    )


def plksr(state: State) -> Recognised | None:
    """PLKSR and RealPLKSR: feats.0, feats.i.{channe_mixer or channel_mixer}.{0,2}, .lk.conv, .attn.f.0, .refine."""
    real = "feats.1.channel_mixer.0.weight" in state
    if not real and "feats.1.channe_mixer.0.weight" not in state:
        return None
    width, channels = state["feats.0.weight"].shape[:2]
    large = state["feats.1.lk.conv.weight"]
    last = count(state, r"feats\.(\d+)\.weight") - 1
    arguments: dict[str, Argument] = {
        "scale": shuffled_scale(state[f"feats.{last}.weight"].shape[0], channels),
        "channels": channels,
        "width": width,
        "blocks": count(state, r"feats\.(\d+)\.refine\.weight") - 1,  # from 1
        "kernel": large.shape[-1],
        "split": large.shape[0] / width,
        "attention": "feats.1.attn.f.0.weight" in state,
    }
    if real:
        arguments["norm"] = "layer" if "feats.1.layer_norm.weight" in state else "group"
    name = "realplksr" if real else "plksr"
    return recognised("RealPLKSR" if real else "PLKSR", name, dict(state), assumed=(), **arguments)


def swinir(state: State) -> Recognised | None:
    """The official SwinIR; `attn_mask` follows from the image size and is dropped."""
    block = "layers.0.residual_group.blocks.0."
    if f"{block}attn.qkv.weight" not in state:
        return None
    if "conv_up1.weight" in state or "upsample.0.weight" not in state:
        raise ValueError("SwinIR must end in pixelshuffle or pixelshuffledirect, got another task's; take RRDBNet")
    if "layers.0.conv.0.weight" in state:
        raise ValueError("SwinIR must have one convolution a stage, got three ('3conv'); take the medium size")
    width, channels = state["conv_first.weight"].shape[:2]
    table = state[f"{block}attn.relative_position_bias_table"]
    window = (math.isqrt(table.shape[0]) + 1) // 2
    staged = "conv_last.weight" in state
    scale = (
        staged_scale(state, "upsample", state["conv_before_upsample.0.weight"].shape[0])
        if staged
        else shuffled_scale(state["upsample.0.weight"].shape[0], channels)
    )
    return recognised(
        "SwinIR",
        "swinir",
        {name: tensor for name, tensor in state.items() if not name.endswith(".attn_mask")},
        assumed=("a range of 1, as every SwinIR but those against JPEG has",),
        scale=scale,
        channels=channels,
        width=width,
        stages=count(state, r"layers\.(\d+)\.conv\.weight"),
        depth=count(state, r"layers\.0\.residual_group\.blocks\.(\d+)\.attn\.qkv\.weight"),
        heads=table.shape[1],
        window=window,
        mlp_ratio=state[f"{block}mlp.fc1.weight"].shape[0] / width,
        tail="staged" if staged else "direct",
    )


def nafnet(state: State) -> Recognised | None:
    """NAFSSR for one image: intro, body.i.module.blk.{conv1 … gamma}, up.0."""
    if "body.0.module.blk.conv1.weight" not in state:
        return None
    width, channels = state["intro.weight"].shape[:2]
    return recognised(
        "NAFNet of NAFSSR",
        "nafnet",
        dict(state),
        scale=shuffled_scale(state["up.0.weight"].shape[0], channels),
        channels=channels,
        width=width,
        blocks=count(state, r"body\.(\d+)\.module\.blk\.conv1\.weight"),
    )
