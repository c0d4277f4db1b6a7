"""From a trained network to one of a larger scale that starts where the old one can help (×2 → ×4).

EDSR (Lim et al. 2017, arXiv 1707.02921, section 3.2) trains ×3 and ×4 from ×2: faster, and to a better end. The new
network wants a new optimizer, new averaged weights, and about half the learning rate.
"""

import re
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor

from coresr_models.build import ModelSpec, Network, build, complete


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """What became of each tensor; JSON by `dataclasses.asdict`, for the provenance of a checkpoint."""

    source: ModelSpec
    target: ModelSpec
    origins: dict[str, str]
    """For each tensor of the new network one of

    - "copied": the old tensor of the same name and shape,
    - "from NAME": a further stage of the tail, started as NAME, the stage of the new network before it,
    - "replicated": planes of a pixel shuffle, each old one as often as its pixel is now found (nearest),
    - "resampled": the same where the scales are no multiples; the mean of two old planes halfway between them,
    - "zero": its architecture starts it at zero, so that the global residual alone answers first,
    - "fresh": initialised as without an old network.
    """
    dropped: tuple[str, ...]
    """Tensors of the old network of which nothing was taken."""


def transfer(network: Network, spec: ModelSpec, *, scale: int) -> tuple[Network, Transferred]:
    """The network of `spec` at a larger scale, on the CPU, with all that can be taken from `network`.

    `spec` is that of `network`, as a checkpoint holds it. What has kept its name and shape is copied. A tail of
    stages takes its further stages from those before. A tail of one step is zero where the architecture starts it
    so, for the sake of its global residual; otherwise its planes are replicated: if one scale is a multiple of the
    other, it starts with what it answered before, enlarged by nearest neighbour. Whatever depends on the scale in
    another way (RRDBNet's first layer on unshuffled pixels) is fresh.
    ValueError where `network` is not of `spec`, or `scale` is not larger.
    """
    source = complete(spec)
    old = network.state_dict()
    _check_fits(old, source)
    before = network.scale
    if scale <= before:
        raise ValueError(f"scale must be larger than that of the network, {before}, got {scale}; build it afresh")
    target = replace(source, arguments={**source.arguments, "scale": scale})
    new = build(target)
    tensors = new.state_dict()  # the network's own memory
    zeros = {name for name in tensors if _is_zero(_layer(name), tensors)}
    origins: dict[str, str] = {}
    for name, tensor in tensors.items():
        if name in old:
            origins[name] = _fill(tensor, old[name], (before, scale), zero=name in zeros)
        elif (stage := _stage_before(name, tensors)) is not None and origins[stage] != "fresh":
            origins[name] = f"from {stage}"
            tensor.copy_(tensors[stage])
        else:
            origins[name] = "fresh"
    taken = {name for name, origin in origins.items() if origin in ("copied", "replicated", "resampled")}
    dropped = tuple(name for name in old if name not in taken)
    return new, Transferred(source=source, target=target, origins=origins, dropped=dropped)


def _fill(new: Tensor, old: Tensor, scales: tuple[int, int], *, zero: bool) -> str:
    """Fill `new` from `old`, the tensor of the same name, and say how."""
    if old.shape == new.shape:
        new.copy_(old)
        return "copied"
    if zero:
        return "zero"
    # a tail of one step, or a stage that doubled and now trebles
    for s, t in (scales, (2, 3), (3, 2)):
        planes = old.shape[0] // s**2
        if old.shape == (planes * s**2, *new.shape[1:]) and new.shape[0] == planes * t**2:
            new.copy_(_resampled(old, s, t))
            return "resampled" if t % s else "replicated"
    return "fresh"


def _stage_before(name: str, new: dict[str, Tensor]) -> str | None:
    """The tensor whose name and shape are the same but for a lower last number: `upsample.0.weight` for 2."""
    match = re.fullmatch(r"(|.*\D)(\d+)(\.\w+)", name)
    if match is None:
        return None
    lower = (f"{match[1]}{number}{match[3]}" for number in reversed(range(int(match[2]))))
    return next((one for one in lower if one in new and new[one].shape == new[name].shape), None)


def _resampled(planes: Tensor, s: int, t: int) -> Tensor:
    """Weights (c · s², …) in front of a pixel shuffle by s → (c · t², …): each new pixel has the nearest old one."""
    shares = _nearest(s, t).to(planes)
    old = rearrange(planes, "(c a b) ... -> c a b ...", a=s, b=s)
    new = torch.einsum("pa, qb, cab... -> cpq...", shares, shares, old)
    return rearrange(new, "c p q ... -> (c p q) ...")


def _nearest(s: int, t: int) -> Tensor:
    """(t, s): which of s pixels along one side each of t has nearest, the mean of two that are equally near."""
    centres, wanted = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (s, t))
    away = (wanted[:, None] - centres).abs()
    nearest = (away < away.amin(dim=1, keepdim=True) + 1e-9).double()
    return nearest / nearest.sum(dim=1, keepdim=True)


def _check_fits(tensors: dict[str, Tensor], spec: ModelSpec) -> None:
    with torch.device("meta"):
        wanted = build(spec).state_dict()
    odd = {name for name in {*tensors, *wanted} if name not in tensors or name not in wanted}
    odd |= {name for name in tensors if name not in odd and tensors[name].shape != wanted[name].shape}
    if odd:
        raise ValueError(f"network must be that of its spec, {spec}, got another {', '.join(sorted(odd))}")


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def _is_zero(layer: str, tensors: dict[str, Tensor]) -> bool:
    return not any(tensor.any() for name, tensor in tensors.items() if _layer(name) == layer)
