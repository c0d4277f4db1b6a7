"""The names that spandrel imports for networks which are not tested here."""

from enum import Enum
from typing import NoReturn


class InterpolationMode(Enum):
    """As in torchvision."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


def rotate(*_: object, **__: object) -> NoReturn:
    """Nothing here is rotated."""
    raise NotImplementedError("torchvision must be installed to rotate, got its stand-in")


def normalize(*_: object, **__: object) -> NoReturn:
    """Nothing here is normalised."""
    raise NotImplementedError("torchvision must be installed to normalise, got its stand-in")
