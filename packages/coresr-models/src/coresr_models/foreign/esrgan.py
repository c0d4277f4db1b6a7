"""RRDBNet under the keys of all three ages of ESRGAN."""

import math
import re

from torch import Tensor

from coresr_models.foreign.shapes import Recognised, State, count, recognised, renamed


def rrdbnet(state: State) -> Recognised | None:
    """BasicSR and Real-ESRGAN: conv_first, body.i.rdbj.convk, conv_body, conv_up1, conv_up2, conv_hr, conv_last."""
    if "body.0.rdb1.conv1.weight" not in state:
        return None
    return _found_rrdbnet("RRDBNet of BasicSR", dict(state))


def middle_rrdbnet(state: State) -> Recognised | None:
    """ESRGAN: conv_first, RRDB_trunk.i.RDBj.convk, trunk_conv, upconv1, upconv2, HRconv, conv_last."""
    if "RRDB_trunk.0.RDB1.conv1.weight" not in state:
        return None
    state_of_ours = renamed(
        state,
        (r"RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
        (r"trunk_conv\.", "conv_body."),
        (r"upconv(\d)\.", r"conv_up\1."),
        (r"HRconv\.", "conv_hr."),
    )
    return _found_rrdbnet("RRDBNet of ESRGAN", state_of_ours)


def old_rrdbnet(state: State) -> Recognised | None:
    """The first ESRGAN: model.0, model.1.sub.i.RDBj.convk.0, model.1.sub.N, then the tail by number, as model.3."""
    if "model.1.sub.0.RDB1.conv1.0.weight" not in state:
        return None
    blocks = count(state, r"model\.1\.sub\.(\d+)\.RDB1\.conv1\.0\.weight")
    _, *ups, hr, last = sorted(
        int(match[1]) for name in state if (match := re.fullmatch(r"model\.(\d+)\.weight", name))
    )
    state_of_ours = renamed(
        state,
        (r"model\.0\.", "conv_first."),
        (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
        (rf"model\.1\.sub\.{blocks}\.", "conv_body."),
        *((rf"model\.{up}\.", f"conv_up{number}.") for number, up in enumerate(ups, start=1)),
        (rf"model\.{hr}\.", "conv_hr."),
        (rf"model\.{last}\.", "conv_last."),
    )
    return _found_rrdbnet("RRDBNet of the first ESRGAN", state_of_ours)


def _found_rrdbnet(called: str, state: dict[str, Tensor]) -> Recognised:
    channels = state["conv_last.weight"].shape[0]
    width, inputs = state["conv_first.weight"].shape[:2]
    unshuffled = math.isqrt(inputs // channels)
    enlarged = 2 ** (count(state, r"conv_up(\d+)\.weight") - 1)  # from 1
    if enlarged % unshuffled or inputs != channels * unshuffled**2:
        raise ValueError(f"RRDBNet must unshuffle whole blocks of pixels, got {inputs} channels in, {channels} out")
    return recognised(
        called,
        "rrdbnet",
        state,
        assumed=("each step of the tail doubles the size",),
        scale=enlarged // unshuffled,
        channels=channels,
        width=width,
        blocks=count(state, r"body\.(\d+)\.rdb1\.conv1\.weight"),
        growth=state["body.0.rdb1.conv1.weight"].shape[0],
    )
