"""Network interpolation: weights between two trained networks (ESRGAN: Wang et al. 2018, arXiv 1809.00219, 3.4).

Between a network trained for PSNR and the GAN that was trained on from it, alpha trades fidelity for texture. It
means nothing between networks that were trained apart.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from coresr_models.build import build, complete
from coresr_models.checkpoint import Checkpoint

SHARED = ("data", "licence", "protocol", "scale_lineage")
"""What provenance says of a network, whichever of the two it was."""


def interpolate(first: Mapping[str, Tensor], second: Mapping[str, Tensor], *, alpha: float) -> dict[str, Tensor]:
    """(1 - alpha) · first + alpha · second, for every floating-point tensor of two state dicts.

    At alpha 0 and 1 the end itself, to the bit. Computed in float64, answered in the dtype of the tensors. Others
    (indices, counts) are those of the nearer end. ValueError unless 0 ≤ alpha ≤ 1 and names, shapes and dtypes agree.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be from 0 (the first network) to 1 (the second), got {alpha}")
    if odd := sorted(first.keys() ^ second.keys()):
        raise ValueError(f"both networks must have the same tensors, got {', '.join(odd)} in one alone")
    for name in first:
        kinds = [(tuple(one[name].shape), one[name].dtype) for one in (first, second)]
        if kinds[0] != kinds[1]:
            raise ValueError(f"{name} must be alike in both networks, got {kinds[0]} and {kinds[1]}")
    return {name: _between(first[name], second[name], alpha) for name in first}


def interpolated(first: Checkpoint, second: Checkpoint, *, alpha: float) -> Checkpoint:
    """The network between two of the same spec, in eval mode.

    Its provenance holds theirs and alpha, and of SHARED what both have alike: without the window of the data, an image
    would be read under another. ValueError for different specs.
    """
    specs = complete(first.spec), complete(second.spec)
    if specs[0] != specs[1]:
        raise ValueError(f"both networks must be of the same spec, got {specs[0]} and {specs[1]}")
    model = build(specs[0])
    model.load_state_dict(interpolate(first.model.state_dict(), second.model.state_dict(), alpha=alpha))
    origin = {"alpha": alpha, "first": first.provenance, "second": second.provenance}
    alike: dict[str, object] = {
        name: first.provenance[name]
        for name in SHARED
        if name in first.provenance and first.provenance[name] == second.provenance.get(name)
    }
    return replace(first, model=model.eval(), spec=specs[0], provenance={"interpolated": origin, **alike})


def _between(first: Tensor, second: Tensor, alpha: float) -> Tensor:
    if not first.is_floating_point() or alpha in (0, 1):
        # the formula would turn -0 into 0 at the ends, and infinity at the other end into NaN
        return (first if alpha < 0.5 else second).clone()
    return torch.lerp(first.double(), second.double(), alpha).to(first.dtype)
