"""Run any network on any size: padded to what it needs, tile by tile, over eight orientations.

Everything here takes a plain callable from LR `(b, c, h, w)` to SR `(b, c, scale·h, scale·w)`.
"""

from coresr_eval.inference.ensemble import self_ensemble
from coresr_eval.inference.tiles import Source, Tiles, Upscale, tiled

__all__ = ["Source", "Tiles", "Upscale", "self_ensemble", "tiled"]
