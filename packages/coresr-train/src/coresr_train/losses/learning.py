"""`RockFeatures` learn without labels: from what was done to a patch, and from what it was before.

Cells of a patch are smoothed, as SR smooths, some with noise on top, and the others left as they are. From the
coarsest features, one place of which is 8×8 pixels, the network tells for each place how much was taken out and put
in, and restores the patch. The first makes features of the strength of texture, whatever its phase: for them a
blurred image is further from HR than one with a wrong texture as strong, where L1 says the opposite. The second keeps
what is where: without it, another place of a sandstone would be nearer than the same one blurred.
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from coresr_train.losses.pixels import Image
from coresr_train.losses.rock import WIDTHS, RockFeatures
from coresr_train.tracking.record import write_whole

CELL = 16
"""Pixels a side of what is degraded or not."""
PLACE = 8
"""Pixels a side of what one place of the coarsest features stands for."""
SHARE = 0.6
"""Of the cells, those that are degraded."""
NOISY = 0.3
"""Of the patches, those with noise: with more of them, distances are more of noise and less of sharpness."""
NOISE = 0.45
"""The strongest, in standard deviations of the grey levels."""
FAINT = 0.04
"""What is too little to tell, in standard deviations of the grey levels."""
RESTORING = 0.5
"""The weight of restoring beside telling."""
RATE = 2e-3
SMALLEST = 32
"""Pixels a side of a patch to learn from."""
SURVEY = 64
"""Patches from which mean, deviation and gains are taken."""


def learn(
    patch: Callable[[int], Float[Tensor, "1 p p"]], *, steps: int, batch: int, seed: int, device: torch.device
) -> RockFeatures:
    """Features of the rock of `patch(k)`, HR in [0, 1]; the same in every bit for the same arguments, threads and CPU.

    1000 steps of 8 patches of 96 pixels take 17 s of a core and are enough, 300 of 16 take 10 s and are almost as good.
    On slices of a sandstone that it never saw, a ×4 bicubic image is 1.2 times as far from HR as the same image with a
    wrong texture as strong as the missing one (shales: 1.5), where in L1 it is 0.7 times as far.

    What lies beyond a multiple of 16 pixels is cut off. torch's own random numbers stay as they are. ValueError for
    patches that are not grey, below 32 pixels, or of one grey level throughout.
    """
    with torch.autocast("cpu", enabled=False), torch.autocast(device.type, enabled=False), torch.enable_grad():
        known = _patches(patch, range(SURVEY))
        deviation, mean = torch.std_mean(known)
        if not deviation > 0:
            raise ValueError(f"patches of rock must have more than one grey level, got {float(mean):g} alone")
        generator = torch.Generator().manual_seed(seed)
        pupil = _drawn(generator).to(device)
        optimizer = torch.optim.Adam(pupil.parameters(), RATE)
        for step in range(steps):
            hr = (_patches(patch, range(step * batch, (step + 1) * batch)) - mean) / deviation
            shown, told = degraded(hr, generator)
            loss = pupil(shown.to(device), told.to(device), hr.to(device))
            optimizer.param_groups[0]["lr"] = RATE * _share(step, steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network = pupil.features.cpu().requires_grad_(False).eval()
        network.mean.fill_(mean)
        network.std.fill_(deviation)
        network.gains.copy_(_gains(network, known))
        return network


def save_rock(path: Path, network: RockFeatures, about: Mapping[str, Any]) -> None:
    """One safetensors file, which appears whole or not at all, with `about`: JSON that says what it learnt from."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_whole(path, safetensors.torch.save(tensors, {"rock": json.dumps(dict(about), allow_nan=False)}))


def degraded(hr: Image, generator: torch.Generator) -> tuple[Image, Float[Tensor, "b 2 i j"]]:
    """Patches with degraded cells, and, for each of their places, how much was taken out and put in.

    Half of them are blurred by a Gaussian of σ 0.3 to 3 pixels, a third shrunk by 2 and a sixth by 4, and enlarged
    again. Both are told as log √(1 + (x / FAINT)²), x being the root mean square of what was taken out and the
    standard deviation of the noise.
    """
    images, side = hr.shape[0], hr.shape[-1]
    smooth = _blurred(hr, 0.3 * 10 ** torch.rand(images, generator=generator))
    for number, kind in enumerate(torch.randint(6, (images,), generator=generator).tolist()):
        if kind < 3:
            smooth[number : number + 1] = _shrunk(hr[number : number + 1], 4 if kind == 0 else 2)
    strength = NOISE * torch.rand(images, 1, 1, 1, generator=generator).square()
    strength = strength * (torch.rand(images, 1, 1, 1, generator=generator) < NOISY)
    noisy = smooth + strength * torch.randn(hr.shape, generator=generator)
    cells = (torch.rand(images, 1, side // CELL, side // CELL, generator=generator) < SHARE).float()
    here, places = (functional.interpolate(cells, scale_factor=CELL // size) for size in (1, PLACE))
    powers = torch.cat([functional.avg_pool2d((hr - smooth).square(), PLACE), strength.square().expand_as(places)], 1)
    return torch.lerp(hr, noisy, here), (1 + places * powers / FAINT**2).log() / 2


class _Pupil(nn.Module):
    """The features, and what is read off them while they are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.features = RockFeatures()
        self.tell = nn.Conv2d(WIDTHS[-1], 2, 1)
        self.restore = nn.Sequential(nn.Conv2d(WIDTHS[-1], PLACE**2, 1), nn.PixelShuffle(PLACE))

    def forward(self, shown: Image, told: Float[Tensor, "b 2 i j"], hr: Image) -> Float[Tensor, ""]:
        """How wrong it is."""
        found = self.features(shown)[-1]
        telling: Tensor = (self.tell(found) - told).abs().mean()
        restoring: Tensor = (self.restore(found) - hr).abs().mean()
        return telling + RESTORING * restoring


def _drawn(generator: torch.Generator) -> _Pupil:
    """He's initialisation, by a generator of its own."""
    with torch.device("meta"):
        pupil = _Pupil()
    pupil.to_empty(device="cpu")
    for part in pupil.modules():
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.kaiming_normal_(part.weight, a=0.2, generator=generator)
            nn.init.zeros_(part.bias)
    return pupil


def _patches(patch: Callable[[int], Tensor], numbers: range) -> Tensor:
    found = torch.stack([patch(number) for number in numbers]).float().cpu()
    side = found.shape[-1] // CELL * CELL
    if found.dim() != 4 or found.shape[1] != 1 or found.shape[2] != found.shape[3] or side < SMALLEST:
        raise ValueError(f"patches of rock must be (1, p, p) with p {SMALLEST} or more, got {tuple(found.shape[1:])}")
    return found[..., :side, :side]


def _share(step: int, steps: int) -> float:
    """Of the learning rate: up to 1 over a tenth of the steps, then down a cosine."""
    return min((step + 1) / (0.1 * steps), (1 + math.cos(math.pi * step / steps)) / 2)


def _blurred(images: Image, sigmas: Float[Tensor, " b"]) -> Image:
    """Each image by a Gaussian of its own; borders are mirrored."""
    radius = 9
    places = torch.arange(-radius, radius + 1)
    weights = (-(places**2) / (2 * sigmas[:, None] ** 2)).exp()
    weights = (weights / weights.sum(1, keepdim=True))[:, None, None, :]
    x = functional.pad(images.transpose(0, 1), (radius,) * 4, mode="reflect")
    across = functional.conv2d(x, weights, groups=len(sigmas))
    return functional.conv2d(across, weights.transpose(2, 3), groups=len(sigmas)).transpose(0, 1)


def _shrunk(images: Image, scale: int) -> Image:
    """And enlarged again, bicubically."""
    small = functional.interpolate(images, scale_factor=1 / scale, mode="bicubic", antialias=True)
    return functional.interpolate(small, scale_factor=scale, mode="bicubic")


def _gains(network: RockFeatures, hr: Image) -> Tensor:
    """What makes the taps' distances, all three alike, a third of L1 for patches that were shrunk by 2."""
    smooth = _shrunk(hr, 2)
    both = (network((images - network.mean) / network.std) for images in (hr, smooth))
    distances = torch.stack([(one - other).abs().mean() for one, other in zip(*both, strict=True)])
    return (hr - smooth).abs().mean() / (len(WIDTHS) * distances)
