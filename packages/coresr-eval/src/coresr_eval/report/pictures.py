"""Crops of slices, and pictures that travel inside the page."""

import base64
import io
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coresr_eval.report.words import LEVELS, printable

Colours = NDArray[np.uint8]
_STOPS = (0x000000, 0x232057, 0x792780, 0xD62B5E, 0xF5763B, 0xFDBA48, 0xFFF7C1)  # CIE L* rises by 16 a step
_CLIPPED = 0.005  # share of pixels beyond the end of a scale: one hot pixel must not darken a map
_STEP = 3  # of 255 between greys shown: about one of lightness (CIE L*), unseen; a divisor, for PNG packs even steps
_STEPS = 64  # colours of maps


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """What the page shows of one slice: finite float `(y, x)` arrays in [0, 1].

    All are of one size, and `lr` is 1/scale of it; ValueError otherwise.
    """

    core: str
    slice: int
    lr: NDArray[np.floating]
    hr: NDArray[np.floating]
    images: Mapping[str, NDArray[np.floating]]
    """Bicubic's, then those of models, by name."""
    beyond: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    """Of some of these models the detail that LR does not determine, in grey: `consistency.hallucination`."""

    def __post_init__(self) -> None:
        where = f"of core {printable(self.core)} slice {self.slice}"
        beyond = {f"detail of {name} beyond lr": image for name, image in self.beyond.items()}
        for name, image in {"hr": self.hr, **self.images, **beyond, "lr": self.lr}.items():
            if image.ndim != 2 or not image.size or not np.isfinite(image).all():
                raise ValueError(f"{printable(name)} {where} must be finite and (y, x), got shape {image.shape}")
            if name != "lr" and image.shape != self.hr.shape:
                raise ValueError(f"{printable(name)} {where} must be {self.hr.shape} as its hr, got {image.shape}")
        if self.hr.shape != (self.scale * self.lr.shape[0], self.scale * self.lr.shape[1]):
            raise ValueError(f"lr {where} must be {self.hr.shape} over a whole scale, got {self.lr.shape}")

    @property
    def scale(self) -> int:
        """HR size over LR size."""
        return int(self.hr.shape[0] // self.lr.shape[0])

    def errors(self) -> dict[str, NDArray[np.float64]]:
        """By model the difference from HR, root mean square within each LR pixel, `(y, x)` of `lr`.

        Per LR pixel, since the noise of HR, which no model can meet, would hide the structures in anything finer.
        """
        return {name: self._per_lr_pixel(image - self.hr) for name, image in self.images.items()}

    def unsupported(self) -> dict[str, NDArray[np.float64]]:
        """By model the detail that LR does not determine, likewise."""
        return {name: self._per_lr_pixel(image) for name, image in self.beyond.items()}

    def _per_lr_pixel(self, image: NDArray[np.floating]) -> NDArray[np.float64]:
        (height, width), scale = self.lr.shape, self.scale
        squares = np.square(image.astype(np.float64)).reshape(height, scale, width, scale)
        found: NDArray[np.float64] = np.sqrt(squares.mean(axis=(1, 3)))
        return found


def shown(crops: Sequence[Crop]) -> tuple[list[dict[str, object]], dict[str, object]]:
    """What the template shows of the crops, and of the one colour scale that all their maps share.

    It ends at a whole number of grey levels that at most 0.5 % of the maps' pixels exceed.
    """
    maps = [image for crop in crops for found in (crop.errors(), crop.unsupported()) for image in found.values()]
    pixels = np.concatenate([image.ravel() for image in maps] or [np.zeros(1)])
    top = max(1, math.ceil(float(np.quantile(pixels, 1 - _CLIPPED)) * LEVELS))
    bar = png_data_uri(np.linspace(0, 1, _STEPS)[None], colours=ramp(_STEPS))
    scale = {"top": top, "beyond": float((pixels * LEVELS > top).mean()), "bar": bar}
    return [_shown(crop, top) for crop in crops], scale


def _shown(crop: Crop, top: int) -> dict[str, object]:
    low = min(math.floor(float(np.quantile(crop.hr, _CLIPPED)) * LEVELS), LEVELS - 1)
    high = max(math.ceil(float(np.quantile(crop.hr, 1 - _CLIPPED)) * LEVELS), low + 1)
    return {
        "core": crop.core,
        "slice": crop.slice,
        "low": low,
        "high": high,
        "pictures": [
            {"name": name, "picture": png_data_uri(image, window=(low / LEVELS, high / LEVELS)), "shape": image.shape}
            for name, image in {"LR": crop.lr, **crop.images, "HR": crop.hr}.items()
        ],
        "errors": [_map(name, image, top) for name, image in crop.errors().items()],
        "unsupported": [_map(name, image, top) for name, image in crop.unsupported().items()],
    }


def _map(name: str, image: NDArray[np.float64], top: int) -> dict[str, object]:
    picture = png_data_uri(image, window=(0, top / LEVELS), colours=ramp(_STEPS))
    rms = LEVELS * float(np.sqrt(np.square(image).mean()))
    return {"name": name, "picture": picture, "shape": image.shape, "rms": rms}


def png_data_uri(
    image: NDArray[np.floating], *, window: tuple[float, float] = (0, 1), colours: Colours | None = None
) -> str:
    """A `(y, x)` image as an 8-bit PNG in a data URI, in 86 greys or through `colours` `(n, 3)`, n at most 256.

    `window` is black and white (first and last colour); values outside are shown as its ends. ValueError for
    another number of axes, values that are not finite and an empty window.
    """
    low, high = window
    if image.ndim != 2 or not np.isfinite(image).all() or not low < high:
        raise ValueError(f"image must be (y, x), finite, its window not empty, got {image.shape} in {window}")
    steps = 255 // _STEP if colours is None else len(colours) - 1
    level = np.rint(np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * steps)
    picture = Image.fromarray((level * _STEP if colours is None else level).astype(np.uint8))
    if colours is not None:
        picture.putpalette(colours.tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG", compress_level=9, compress_type=zlib.Z_FILTERED)  # rock is noise: nothing repeats
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def ramp(steps: int = 256) -> Colours:
    """Colours `(steps, 3)` in even steps of lightness: equal differences look equal, in grey print too."""
    at, stops = np.linspace(0, 1, steps), np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(at, stops, [stop >> shift & 255 for stop in _STOPS]) for shift in (16, 8, 0)]
    colours: Colours = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours
