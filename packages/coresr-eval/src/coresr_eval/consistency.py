"""Does the SR still say what the LR said? Degraded again, its grey level, its histogram, and the detail it invented.

All take `(b, c, h, w)`, compute in float64 whatever they are given, and refuse numbers that are not finite. Only
`histogram_distance` and `hallucination_error` need an HR; the others hold for a scan without one.

An operator A is a linear callable from HR size to LR size, `(b, c, h, w)` each, and must be the one that made the LR:
on a real scan an operator that only resembles the scanner is measured along. `pinv` is its Moore-Penrose inverse A⁺
from LR to HR size; an ordinary up-sampler in its place would count as invented what the LR does say. An image splits
into A⁺A x, which its LR determines, and N x = x - A⁺A x, which no LR can show, for A N x = 0 (the range-null space
decomposition of Wang et al. 2023, DDNM). The two are orthogonal. With a truncated or damped A⁺ what A all but wipes
out counts as not shown, too. N x is neither right nor wrong by itself: it is what a network adds from experience.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from coresr_eval.fidelity import psnr

Operator = Callable[[Tensor], Tensor]

ROUNDING = 1e-6
"""Detail this small beside the image's largest grey value is taken for rounding, and as none."""


# Against the LR


def lr_psnr(sr: Tensor, lr: Tensor, operator: Operator, *, data_range: float, shave: int = 0) -> Tensor:
    """PSNR in dB of A·SR against LR, `(b,)`; infinite where they are equal. `shave` counts LR pixels.

    LR rounded to whole grey levels holds even the true HR to 10 log10(12 · data_range²) dB with the range in levels:
    58.9 dB at 8 bits, 57.4 where both passes of bicubic ×2 round, 53 to 56 where the LR was clipped beside white grains
    (a sandstone). Differences above that are no merit. An LR with noise holds it to the PSNR of that noise, and an SR
    that comes closer has kept the noise.
    Raises ValueError where A answers another size than LR's.
    """
    _check(sr, "SR")
    _check(lr, "LR")
    return psnr(_sized(operator(sr.detach().double()), lr.shape, "operator"), lr, data_range=data_range, shave=shave)


def drift(sr: Tensor, lr: Tensor) -> Tensor:
    """Mean of SR less mean of LR of each image, `(b,)`: how far the grey level as a whole has moved.

    LR may be of any size: of an HR it says whether thresholds fixed on it still hold.
    """
    _check(sr, "SR")
    _check(lr, "LR")
    if sr.shape[:2] != lr.shape[:2]:
        raise ValueError(f"SR and LR must be as many images, got {tuple(sr.shape)} and {tuple(lr.shape)}")
    return sr.detach().double().mean(dim=(1, 2, 3)) - lr.detach().double().mean(dim=(1, 2, 3))


def local_drift(sr: Tensor, lr: Tensor, *, block: int = 16) -> Tensor:
    """How unevenly the grey level has moved: standard deviation over blocks of (mean of SR - mean of LR), `(b,)`.

    Blocks are `block` LR pixels square; a rest narrower than a block is left out. No operator is needed, for any of
    them leaves the mean of so large a block nearly alone: a true HR reads below 0.1 of 255 grey levels (against its
    own bicubic LR in 8 bits, sandstone and shales); independent LR noise of σ adds σ / block. Where this is large
    one threshold no longer suits the whole slice, and porosity drifts from place to place.
    """
    _check(sr, "SR")
    _check(lr, "LR")
    scale = sr.shape[-1] // lr.shape[-1]
    if sr.shape != (*lr.shape[:2], scale * lr.shape[-2], scale * lr.shape[-1]):
        raise ValueError(f"SR must be a whole multiple of LR's size, got {tuple(sr.shape)} and {tuple(lr.shape)}")
    if not 1 <= block <= min(lr.shape[-2:]):
        raise ValueError(f"block must fit into LR's {lr.shape[-2]}×{lr.shape[-1]} pixels, got {block}")
    moved = avg_pool2d(sr.detach().double(), scale * block) - avg_pool2d(lr.detach().double(), block)
    return moved.flatten(1).std(dim=1, correction=0)


# Against the HR


def histogram_distance(sr: Tensor, hr: Tensor, *, data_range: float) -> Tensor:
    """Mean shift of grey level that would turn SR's histogram into HR's, as a share of `data_range`, `(b,)`.

    The Wasserstein-1 distance of the two images' grey values, from the sorted values themselves without bins: images
    may differ in size, and need not show the same place. Rounding HR to whole levels alone is worth up to a quarter of
    a level. Against an LR this is no error: averaging narrows a histogram.
    """
    _check(sr, "SR")
    _check(hr, "HR")
    if sr.shape[:2] != hr.shape[:2]:
        raise ValueError(f"SR and HR must be as many images, got {tuple(sr.shape)} and {tuple(hr.shape)}")
    if not (data_range > 0 and np.isfinite(data_range)):
        raise ValueError(f"data_range must be positive, got {data_range}")
    ours, theirs = (np.sort(x.detach().double().flatten(1).cpu().numpy(), axis=1) for x in (sr, hr))
    distances = [_wasserstein(a, b) / data_range for a, b in zip(ours, theirs, strict=True)]
    return torch.tensor(distances, dtype=torch.float64, device=sr.device)


def _wasserstein(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The integral of |F_a⁻¹(q) - F_b⁻¹(q)| over q of two sorted samples; both inverses are steps."""
    if len(a) == len(b):
        return float(np.abs(a - b).mean())
    # where either steps, in units of q = 1 / (len(a) len(b)); a stable sort merges the two in one pass
    ends = np.concatenate([np.arange(1, len(a) + 1) * len(b), np.arange(1, len(b) + 1) * len(a)])
    ends.sort(kind="stable")
    steps = np.diff(ends, prepend=0)
    return float((np.abs(a[(ends - 1) // len(b)] - b[(ends - 1) // len(a)]) * steps).sum() / ends[-1])


def back_project(sr: Tensor, lr: Tensor, operator: Operator, pinv: Operator) -> Tensor:
    """SR + A⁺(LR - A·SR), `(b, c, h, w)` in float64: the closest image to SR that degrades to LR exactly.

    The orthogonal projection onto {x : A x = LR}: N·SR stays as it is, and no image of that set, the true HR of an LR
    in floats among them, is farther from the result than from SR. It is one step of DDNM without noise. Nothing is
    clipped: the result may leave [0, 1], and clipped it is consistent no more. With a truncated A⁺ only what that
    inverts is set.

    It believes LR to the last digit. Rounding of LR to 8 bits, 0.29 levels RMS, is enforced as if it were rock, and
    comes back as 0.38 levels in SR under bicubic ×2; so is noise. Where A is not how LR was made, as on a scan, the
    difference between the two comes back as structure.
    Raises ValueError where A does not answer LR's size, or `pinv` SR's.
    """
    _check(sr, "SR")
    _check(lr, "LR")
    image, wanted = sr.detach().double(), lr.detach().double()
    missing = wanted - _sized(operator(image), wanted.shape, "operator")
    return image + _sized(pinv(missing), image.shape, "pseudo-inverse")


# What the LR cannot support


def hallucination(sr: Tensor, operator: Operator, pinv: Operator) -> Tensor:
    """N·SR, the detail in SR that its LR can neither support nor refute, `(b, c, h, w)`, in grey levels with sign.

    The part of SR that does contradict the LR is A⁺(A·SR - LR), of which `lr_psnr` tells. MATLAB's bicubic has none
    under its own degradation. Of `sr - hr` this is the invented detail that is wrong.
    Raises ValueError where `pinv` does not lead back to SR's size.
    """
    _check(sr, "SR")
    image = sr.detach().double()
    return image - _sized(pinv(operator(image)), image.shape, "pseudo-inverse")


def hallucination_map(sr: Tensor, operator: Operator, pinv: Operator, *, window: int = 15) -> Tensor:
    """Where SR's detail is its own: root mean square of N·SR around each pixel, `(b, c, h, w)`, in grey levels.

    Around a pixel are the `window` × `window` pixels (odd) centred on it, those inside the image. Of `sr - hr` it maps
    where invented detail is wrong.
    """
    if window % 2 == 0 or not 1 <= window <= min(sr.shape[-2:]):
        raise ValueError(f"window must be odd and fit into {sr.shape[-2]}×{sr.shape[-1]} pixels, got {window}")
    energy = hallucination(sr, operator, pinv).square()
    reach = window // 2
    for size, padding in (((window, 1), (reach, 0)), ((1, window), (0, reach))):
        energy = avg_pool2d(energy, size, stride=1, padding=padding, count_include_pad=False)
    return energy.sqrt()


def hallucination_share(sr: Tensor, operator: Operator, pinv: Operator) -> Tensor:
    """Share of SR's variance that its LR cannot support, ‖N·SR‖² / ‖SR - mean‖², `(b,)`; 0 for a flat image.

    Compare with HR's own: less is soft, more is invention or noise.
    """
    detail = _energy(hallucination(sr, operator, pinv), sr)
    image = sr.detach().double()
    contrast = _energy(image - image.mean(dim=(1, 2, 3), keepdim=True), sr)
    return torch.where(contrast > 0, detail / contrast, torch.zeros_like(detail))


def hallucination_error(sr: Tensor, hr: Tensor, operator: Operator, pinv: Operator) -> Tensor:
    """How wrong is the detail that SR adds? ‖N(SR - HR)‖² / ‖N·HR‖², `(b,)`.

    0: all of it is right. 1: no better than adding none, as A⁺·LR does, and bicubic. Above 1: it would have been
    better to add none; as much detail as HR's in unrelated places is 2. Noise in HR cannot be known, and keeps even the
    best network off 0 by the share of noise in N·HR. Infinite where HR has no such detail and SR has, 0 where neither.
    """
    _check(hr, "HR")
    if sr.shape != hr.shape:
        raise ValueError(f"SR and HR must be of one shape, got {tuple(sr.shape)} and {tuple(hr.shape)}")
    there = _energy(hallucination(hr, operator, pinv), hr)
    wrong = _energy(hallucination(sr.detach().double() - hr.detach().double(), operator, pinv), hr)
    return torch.where((wrong == 0) & (there == 0), torch.zeros_like(wrong), wrong / there)


def _energy(detail: Tensor, image: Tensor) -> Tensor:
    """Sum of squares of each image's detail; 0 where that is rounding beside the grey values of `image`."""
    energy = detail.square().sum(dim=(1, 2, 3))
    least = (ROUNDING * image.detach().double().abs().amax(dim=(1, 2, 3))).square() * detail[0].numel()
    return torch.where(energy > least, energy, torch.zeros_like(energy))


def _sized(answer: Tensor, shape: torch.Size, what: str) -> Tensor:
    if answer.shape != shape:
        raise ValueError(
            f"the {what} must answer {tuple(shape)}, got {tuple(answer.shape)}; was it made for this size?"
        )
    return answer


def _check(image: Tensor, what: str) -> None:
    if image.ndim != 4 or 0 in image.shape:
        raise ValueError(f"{what} must be (b, c, h, w) with something in it, got {tuple(image.shape)}")
    if not image.isfinite().all():
        raise ValueError(f"{what} must be finite, got {int((~image.isfinite()).sum())} bad pixels")
