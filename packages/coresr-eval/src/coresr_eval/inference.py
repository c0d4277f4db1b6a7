"""Run any network on any size: it pads to what the network needs, and works tile by tile where the image is large.

Everything here takes a plain callable from LR `(b, c, h, w)` to SR `(b, c, scale·h, scale·w)`.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Upscale = Callable[[Tensor], Tensor]


def tiled(
    upscale: Upscale, lr: Tensor, *, scale: int, multiple_of: int = 1, receptive_field: int | None, tile: int = 512
) -> Tensor:
    """The same image as `upscale(lr)`, in memory bounded by `tile` LR pixels a side.

    Each tile is computed with `receptive_field` more LR pixels on every side and cropped, so the seams are exact.
    Pass None for a network whose statistics span the image: it is then run whole. Sizes are padded at the far edges to
    `multiple_of`, by reflection where the image is large enough, and cropped again. `lr` is (b, c, h, w).
    """
    if lr.ndim != 4:
        raise ValueError(f"lr must be (b, c, h, w), got {tuple(lr.shape)}")
    if tile < 1:
        raise ValueError(f"tile must be 1 LR pixel or more, got {tile}")
    height, width = lr.shape[-2:]
    padded = _padded(lr, multiple_of)
    if receptive_field is None or max(padded.shape[-2:]) <= tile:
        return _upscaled(upscale, padded, scale)[..., : scale * height, : scale * width]
    step = _up(tile, multiple_of)
    halo = _up(receptive_field, multiple_of)
    sr = lr.new_empty(*lr.shape[:2], scale * padded.shape[-2], scale * padded.shape[-1])
    for y in range(0, padded.shape[-2], step):
        for x in range(0, padded.shape[-1], step):
            top, left = max(0, y - halo), max(0, x - halo)
            part = _upscaled(upscale, padded[..., top : y + step + halo, left : x + step + halo], scale)
            inside = part[..., scale * (y - top) :, scale * (x - left) :][..., : scale * step, : scale * step]
            sr[..., scale * y : scale * y + inside.shape[-2], scale * x : scale * x + inside.shape[-1]] = inside
    return sr[..., : scale * height, : scale * width]


def _upscaled(upscale: Upscale, lr: Tensor, scale: int) -> Tensor:
    """`upscale(lr)`, whose size is checked: the crops would hide another scale."""
    sr = upscale(lr)
    wanted = (*lr.shape[:2], scale * lr.shape[-2], scale * lr.shape[-1])
    if sr.shape != wanted:
        raise ValueError(f"the network's output must be {wanted} at scale {scale}, got {tuple(sr.shape)}")
    return sr


def _padded(lr: Tensor, multiple_of: int) -> Tensor:
    height, width = lr.shape[-2:]
    bottom, right = -height % multiple_of, -width % multiple_of
    if bottom == right == 0:
        return lr
    mode = "reflect" if bottom < height and right < width else "replicate"
    return functional.pad(lr, (0, right, 0, bottom), mode)


def _up(size: int, multiple_of: int) -> int:
    return -(-size // multiple_of) * multiple_of
