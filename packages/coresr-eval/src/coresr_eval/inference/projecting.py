"""SR that gives its LR back: `consistency.back_project` for networks, under an operator known for every size."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from coresr_eval.consistency import Operator, back_project

Upscale = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """How LR was made, for images of any size."""

    at: Callable[[int, int], tuple[Operator, Operator]]
    """From the height and width of SR to A, which degrades such an image, and its pseudo-inverse A⁺."""
    reach: int
    """LR pixels to each side that A and A⁺ together see; tiles need so much more halo.

    A⁺ of a kernel that overlaps itself sees the whole image, ever more weakly: of MATLAB's bicubic, triangle and
    lanczos2 a third as much with every LR pixel (half as much of lanczos3), whatever the scale. Cut off at 16 LR
    pixels bicubic's tiles differ from the whole by 4e-8 of the grey range at most along either axis, as float32 rounds.
    A mean of blocks needs 0.
    """


def back_projected(upscale: Upscale, operators: Operators) -> Upscale:
    """`upscale`, its answer moved to the closest image that degrades to its LR exactly: a callable like it.

    Exact to the rounding of the answer's dtype, unclipped, without gradients, for a whole image; with
    `tiled(…, operators=operators)` tile by tile. What that means for an LR of whole grey levels, of noise or of a scan:
    `consistency.back_project`. Bicubic's answer becomes A⁺·LR under its own degradation.
    """
    return lambda lr: project(upscale(lr), lr, operators)


def project(sr: Tensor, lr: Tensor, operators: Operators) -> Tensor:
    """`consistency.back_project` in the dtype of SR, with the operator of its size."""
    return back_project(sr, lr, *operators.at(sr.shape[-2], sr.shape[-1])).to(sr.dtype)
