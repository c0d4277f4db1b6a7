"""What is done to a pair after it was cut: pure steps on float32 images, the same place of LR and HR always together.

Whatever a step draws is keyed by the step's own name beside seed, epoch and item, so that switching one on changes
nothing of what another one draws.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtri

from coresr_data.patches import keyed
from coresr_data.resize import imresize
from coresr_data.volume import Levels

Image = NDArray[np.float32]
Key = tuple[int, int, int]
"""Seed, epoch and item."""

CUT = 0.7
"""Side of CutBlur's rectangle over the side of the patch."""
RIM = 2
"""LR pixels at the edge of a patch whose bicubic kernel reaches beyond it."""

SYMMETRIES = (
    (False, 1, 1),
    (True, -1, 1),
    (False, -1, -1),
    (True, 1, -1),
    (False, 1, -1),
    (True, -1, -1),
    (False, -1, 1),
    (True, 1, 1),
)
"""Whether rows become columns, and the steps along the rows and the columns that are then there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How much of each step there is; ValueError for an amount that is none."""

    augment: bool = True
    """One of the eight flips and rotations, on both images."""
    noise_std: float = 0.0
    """Standard deviation of Gaussian noise on LR, on [0, 1]."""
    jitter: float = 0.0
    """Both images become gain·image + offset, gain in [1 - jitter, 1 + jitter], offset in [-jitter, jitter]."""
    cutblur: float = 0.0
    """The probability of CutBlur."""
    mixup: float = 0.0
    """The a of Beta(a, a), which draws how much of a second sample is blended in; 0 for none."""

    def __post_init__(self) -> None:
        ends = {"noise_std": math.inf, "jitter": 1.0, "cutblur": 1.0, "mixup": math.inf}
        for name, most in ends.items():
            value = getattr(self, name)
            if not (0 <= value < most or value == most == 1):
                raise ValueError(f"{name} must be 0 or more{'' if most == math.inf else ' and at most 1'}, got {value}")


def turned(image: NDArray[Any], symmetry: int) -> NDArray[Any]:
    """One of the square's eight symmetries on the last two axes: `symmetry % 4` quarter turns, from 4 on a flip."""
    swapped, y, x = SYMMETRIES[symmetry]
    return (image.swapaxes(-2, -1) if swapped else image)[..., ::y, ::x]


def turned_copy(levels: Levels, symmetry: int) -> Levels:
    """A contiguous copy of grey levels `(h, w)` under one of the symmetries: `turned` in a third of its time.

    Grey levels of 8 bits are a quarter of the bytes of their image. They are copied row by row before rows become
    columns, for in a slice whose width is a power of two all rows of a column compete for the same few lines of the
    processor's cache. Columns are reversed by torch, which NumPy does element by element.
    """
    swapped, y, x = SYMMETRIES[symmetry]
    if swapped:
        return np.ascontiguousarray(turned(levels.copy(), symmetry))
    copied = levels[::y].copy()
    if x == 1:
        return copied
    bits = copied.view(f"i{copied.itemsize}")  # torch knows no big endian, nor all unsigned integers
    return torch.from_numpy(bits).flip(-1).numpy().view(copied.dtype)


def augmented(low: Image, high: Image, key: Key, symmetry: int, steps: Augmentation) -> tuple[Image, Image]:
    """LR and HR after CutBlur, jitter and noise; both were turned by `symmetry` before, and what is drawn is, too."""
    if steps.cutblur and (inside := cut(keyed("cutblur", *key), len(low), steps.cutblur)) is not None:
        low = cutblurred(low, high, turned(inside, symmetry))
    if steps.jitter:
        gain, offset = grey_jitter(keyed("jitter", *key), steps.jitter)
        low, high = gain * low + offset, gain * high + offset
    return noisy(low, steps.noise_std, key, symmetry), high


def noisy(low: Image, std: float, key: Key, symmetry: int) -> Image:
    """LR with Gaussian noise, drawn for the patch as it lies in its slice and turned with it; not clipped."""
    if std == 0:
        return low
    noise: Image = np.float32(std) * turned(normal(keyed("noise", *key), low.shape), symmetry)
    return low + noise


def normal(rng: Generator, shape: tuple[int, ...]) -> Image:
    """Standard normal numbers from raw bits, the same under every NumPy and in a sixth of `standard_normal`'s time.

    Each is one of 65536 quantiles, none beyond 4.3; their variance is 1.
    """
    count = math.prod(shape)
    bits = rng.bit_generator.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")
    return quantiles().take(bits[:count]).reshape(shape)


@lru_cache(maxsize=1)
def quantiles() -> Image:
    """Of the standard normal distribution at the middles of 65536 equal shares, float32."""
    exact = ndtri((np.arange(65536) + 0.5) / 65536)
    table: Image = (exact / exact.std()).astype(np.float32)
    return table


def grey_jitter(rng: Generator, jitter: float) -> tuple[np.float32, np.float32]:
    """Gain in [1 - jitter, 1 + jitter] and offset in [-jitter, jitter], for both images; nothing is clipped after."""
    gain, offset = rng.uniform(-jitter, jitter, 2)
    return np.float32(1 + gain), np.float32(offset)


def cut(rng: Generator, side: int, probability: float) -> NDArray[np.bool_] | None:
    """CutBlur's square in an LR patch, True inside, with this probability, else None; RIM pixels from every edge.

    ValueError for a patch that is nothing but rim.
    """
    if side <= 2 * RIM:
        raise ValueError(f"LR patch must be more than {2 * RIM} pixels for cutblur, got {side}; make the patch larger")
    chance, y, x = rng.random(3)
    if chance >= probability:
        return None
    length = min(round(CUT * side), side - 2 * RIM)
    places = side - 2 * RIM - length + 1
    first_y, first_x = RIM + int(y * places), RIM + int(x * places)
    inside = np.zeros((side, side), bool)
    inside[first_y : first_y + length, first_x : first_x + length] = True
    return inside


def cutblurred(low: Image, high: Image, inside: NDArray[np.bool_]) -> Image:
    """LR with the bicubically shrunk HR inside the square: a network learns where there is something to undo.

    Yoo et al. 2020, "Rethinking Data Augmentation for Image Super-resolution", exchange the square between HR and
    upsampled LR; the networks here take LR as it is, so the exchange is made at LR's size. Where LR is the bicubic
    of HR already, as in stores of that degradation, only its rounding to grey levels changes: this step is for scanned
    and unknown LR.
    """
    shrunk = imresize(high.astype(np.float64), len(low) / len(high))
    return np.where(inside, shrunk.astype(np.float32), low)


def partner(key: Key, epoch: int, a: float) -> tuple[int, np.float32]:
    """For mixup: which place in an epoch of that many samples the second sample has, and λ, the first one's share."""
    rng = keyed("mixup", *key)
    return int(rng.bit_generator.random_raw() % epoch), np.float32(rng.beta(a, a))


def mixed(one: Image, other: Image, share: np.float32) -> Image:
    """λ·one + (1 - λ)·other (Zhang et al. 2018, "mixup", on the pair as Yoo et al. 2020 do)."""
    return share * one + (np.float32(1) - share) * other
