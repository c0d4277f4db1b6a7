"""Pairs whose shift, scale and turn are known."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coresr_data.resize import imresize

Float = NDArray[np.float64]


def grains(shape: tuple[int, ...], seed: int = 0) -> Float:
    """Two phases with soft edges and some noise, about 8 pixels a grain, grey levels 0–255."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=shape), 4, mode="wrap")
    soft = ndimage.gaussian_filter((field > 0).astype(float), 0.8, mode="wrap")
    return np.asarray(60 + 120 * soft + rng.normal(0, 4, shape))


def pair(image: Float, scale: int, shift: tuple[int, int], noise: float = 0, seed: int = 1) -> tuple[Float, Float]:
    """LR and HR cut `shift` HR pixels apart from one image: no interpolation, so the shift is exact."""
    margin = max(map(abs, shift))
    side = (min(image.shape) - 2 * margin) // scale * scale
    y, x = margin - shift[0], margin - shift[1]
    lr = imresize(image[y : y + side, x : x + side].astype(float), 1 / scale)
    hr = image[margin : margin + side, margin : margin + side]
    return lr + np.random.default_rng(seed).normal(0, noise, lr.shape), hr


def turned(image: Float, scale: int, ratio: float, degrees: float) -> tuple[Float, Float]:
    """An LR whose pixels are `ratio` HR pixels wide and which is turned counter-clockwise as displayed."""
    n = min(image.shape) // (scale + 1)
    hr = image[: scale * n, : scale * n]
    y, x = np.mgrid[:n, :n] - (n - 1) / 2
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    middle = (scale * n - 1) / 2
    places = [ratio * (cosine * y + sine * x) + middle, ratio * (-sine * y + cosine * x) + middle]
    return np.asarray(ndimage.map_coordinates(ndimage.gaussian_filter(image, scale / 2.5), places)), hr
