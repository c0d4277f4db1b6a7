"""Folders of images and no network: other programs' SR against HR, beside bicubic of LR."""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from coresr_eval.cli import UsageError
from coresr_eval.commands.images import Folder, common
from coresr_eval.commands.naming import told_apart
from coresr_eval.commands.publishing import publish, spread, titled
from coresr_eval.conventions import under
from coresr_eval.grounds import SLICES, Ground, ground_or_why
from coresr_eval.protocol import Pair, Protocol, Scored, score_image

CORE = "slices"
"""What the one core of a folder is called, which nobody named."""
_BORDER = 4  # LR pixels mirrored around an image: bicubic reaches two


def window_of(levels: NDArray[Any], given: Sequence[float] | None) -> tuple[float, float]:
    """The grey levels that are 0 and 1: those given, else all of the dtype; UsageError for floats, wide integers."""
    if given is not None:
        low, high = given
        if not low < high:
            raise UsageError(f"--window must be LOW HIGH with LOW below HIGH, got {low:g} {high:g}")
        return low, high
    if levels.dtype.kind == "f" or levels.dtype.itemsize > 2:
        raise UsageError(f"--window must say which levels are 0 and 1 where images are {levels.dtype}, got none")
    limits = np.iinfo(levels.dtype)
    return float(limits.min), float(limits.max)


def bicubic(lr: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """MATLAB's bicubic enlargement (Keys, a = −1/2, mirrored borders) by Pillow, which would shorten border kernels."""
    wide = np.pad(lr, _BORDER, mode="symmetric")
    size = (scale * wide.shape[1], scale * wide.shape[0])
    large = np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BICUBIC))
    inside = slice(scale * _BORDER, -scale * _BORDER)
    return large[inside, inside]


def scale_of(hr: NDArray[Any], lr: NDArray[Any], name: str) -> int:
    """HR size over LR size; ValueError where that is no whole number above 1, the same along both axes."""
    scale = int(hr.shape[0] // lr.shape[0])
    if scale < 2 or hr.shape != (scale * lr.shape[0], scale * lr.shape[1]):
        sizes = " and ".join(f"{one.shape[0]}×{one.shape[1]}" for one in (hr, lr))
        raise ValueError(f"HR and LR of {name!r} must be a whole scale of 2 or more apart, got {sizes}")
    return scale


def score_folders(options: Namespace) -> None:
    """Score the folders of SR images that the options name against HR, beside bicubic of LR."""
    if "bicubic" in options.models and Path("bicubic").is_dir():
        raise UsageError("the folder bicubic must be named as another, got the word for our own; write NAME=bicubic/")
    sr = {name: Folder(Path(place)) for name, place in told_apart(options.models).items()}
    images = Images(sr, Folder(options.hr), Folder(options.lr), window=options.window)
    plain = Protocol(scale=images.scale, shave=images.scale, degradation="LR as given", grey=images.grey)
    protocol = under(plain, options.convention)
    grounds, notes = _grounds(images, options.pore)
    if images.dtype.kind != "f":
        notes += [
            f"{name} is a folder of {images.dtype} images: what wrote them has rounded and clipped." for name in sr
        ]
    publish(
        images.scored(protocol),
        options.out,
        number=len(images.names),
        names=list(sr),
        protocol=protocol,
        grounds=grounds,
        title=f"{titled(list(sr))} against {images.hr.path.resolve().name}",
        notes=[
            *notes,
            (
                "All images are taken for slices of one core, and compared as a whole, with what lies outside a round "
                "field of view: crop such images first, or make a store of them."
            ),
        ],
    )


def _grounds(images: "Images", pore: float | None) -> tuple[dict[str, Ground], list[str]]:
    """Of the one core, from HR images spread over the folder; and why it has none."""
    names = [images.names[at] for at in sorted(spread(SLICES, len(images.names)))]
    threshold = None if pore is None else (pore - images.low) / (images.high - images.low)
    at = ground_or_why("HR", [images.unit(images.hr, name).ravel() for name in names], threshold=threshold)
    return ({}, [at]) if isinstance(at, str) else ({images.core: at}, [])


class Images:
    """Folders whose images belong together by name: HR, LR, and SR of each model by its name."""

    def __init__(self, sr: Mapping[str, Folder], hr: Folder, lr: Folder, *, window: Sequence[float] | None) -> None:
        """ValueError where a folder holds other names, or the first images are no whole scale apart."""
        self.names = common({"HR": hr, "LR": lr, **sr})
        first = hr.read(self.names[0])
        self.sr, self.hr, self.lr, self.dtype, self.core = sr, hr, lr, first.dtype, CORE
        self.low, self.high = window_of(first, window)
        self.scale = scale_of(first, lr.read(self.names[0]), self.names[0])

    @property
    def grey(self) -> str:
        """Dtype and window in words, as a store says it."""
        return f"{self.dtype}, {self.low:g} → 0, {self.high:g} → 1"

    def unit(self, folder: Folder, name: str) -> NDArray[np.float32]:
        """An image in [0, 1]; ValueError where it is of another dtype than HR."""
        levels = folder.read(name)
        if levels.dtype != self.dtype:
            raise ValueError(
                f"all images must be {self.dtype} as those of {self.hr.path}, got {levels.dtype}: {folder.files[name]}"
            )
        return ((levels.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)

    def scored(self, protocol: Protocol) -> Iterator[Scored]:
        """Each image with its scores and bicubic's."""
        for number, name in zip(_numbers(self.names), self.names, strict=True):
            lr, hr = (self.unit(folder, name) for folder in (self.lr, self.hr))
            if scale_of(hr, lr, name) != self.scale:
                raise ValueError(
                    f"all images must be of scale {self.scale} as {self.names[0]!r}, got another: {name!r}"
                )
            pair = Pair(core=self.core, slice=number, lr=_tensor(lr), hr=_tensor(hr))
            images = {"bicubic": _tensor(bicubic(lr, self.scale))}
            images |= {model: _tensor(self.unit(folder, name)) for model, folder in self.sr.items()}
            scores = tuple(score_image(of, image, pair, protocol) for of, image in images.items())
            yield Scored(pair=pair, images=images, scores=scores)


def _numbers(names: Sequence[str]) -> Sequence[int]:
    """The last number in each name; the place in the list where two would have the same, or one has none."""
    found = [re.findall(r"\d+", name) for name in names]
    numbers = [int(one[-1]) for one in found if one]
    return numbers if len(set(numbers)) == len(names) else range(len(names))


def _tensor(image: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))
