"""Run any network on any size: padded to what it needs, tile by tile, over eight orientations, true to its LR.

Everything here takes a plain callable from LR `(b, c, h, w)` to SR `(b, c, scale·h, scale·w)`.
"""

from coresr_eval.inference.ensemble import self_ensemble
from coresr_eval.inference.projecting import Operators, back_projected
from coresr_eval.inference.regions import Source
from coresr_eval.inference.tiles import Tiles, Upscale, tiled

__all__ = ["Operators", "Source", "Tiles", "Upscale", "back_projected", "self_ensemble", "tiled"]
