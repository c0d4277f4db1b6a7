"""Write one core of a store: crop, degrade, mask, hash; slice by slice, so that a core may be larger than memory."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coresr_data.checking.examining import digest
from coresr_data.degrade import apply, as_json
from coresr_data.degrade.recipes import Recipe, Steps
from coresr_data.intensity import Window
from coresr_data.layouts.skipping import refuse_constant
from coresr_data.layouts.sources import Source
from coresr_data.patches import keyed
from coresr_data.split.similar import SIDE, Frame, Thumbs, frame_of, look, thumbnail
from coresr_data.store import DRAWN, HR, LR, MASK, Core, Slice, create_array, digest_of
from coresr_data.volume import Levels, Voxel

Masks = NDArray[np.bool_] | None
"""`(n, h, w)` or `(1, h, w)` for all slices, on HR pixels; None where all of it counts as rock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What becomes one folder of a store."""

    source: Source
    splits: tuple[str | None, ...]
    """Of every slice of the source; those of none are not read."""
    masks: Masks
    field: NDArray[np.bool_] | None
    """`(h, w)`, where slices are compared with one another."""
    voxel_um: Voxel | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """How LR is made, one way for all slices of a store."""

    recipes: Mapping[int, Recipe]
    """By scale."""
    window: Window | None
    seed: int = 0

    def lr(self, levels: Levels, core: str, number: int, scale: int) -> tuple[Levels, Steps, bool]:
        """The LR of a slice, the steps it was made by, and whether any of their figures was drawn."""
        rng = keyed("degradation", self.seed, core, number, scale)
        before = str(rng.bit_generator.state)
        steps = self.recipes[scale](rng)
        drawn = str(rng.bit_generator.state) != before
        noise = keyed("degradation noise", self.seed, core, number, scale)
        return apply(levels, steps, scale=scale, window=self.window, rng=noise), steps, drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A core as it was written."""

    core: Core
    frame: Frame
    thumbs: Thumbs
    """`(n, 1024)`, of HR, or of LR where there is no HR."""
    fixed: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """By scale, the steps that made the LR of every slice, where nothing was drawn."""


def write_core(store: Path, part: Part, *, folder: str, scales: Sequence[int], making: Making) -> Written:
    """Write the arrays of a core into `store/folder`; ValueError for a slice that is refused, by its name."""
    source = part.source
    kept = [index for index, split in enumerate(part.splits) if split is not None]
    height, width = hr_size(source, scales)
    arrays = _create(store / folder, source, scales, (len(kept), height, width))
    shown = arrays[min(arrays)]
    frame = frame_of(shown.shape[1:], None if part.field is None else part.field[:height, :width])
    digests, thumbs, steps = [], np.zeros((len(kept), SIDE * SIDE), np.float32), _Steps(scales)
    for row, index in enumerate(kept):
        levels = source.slices[index]
        refuse_constant(levels, str(source.slices.source(index)))
        digests.append(digest(levels))
        for scale, array in arrays.items():
            if scale == 1 or source.hr is None:
                array[row] = levels[: array.shape[1], : array.shape[2]]
            elif scale in source.lr:
                array[row] = source.lr[scale][index]
            else:
                array[row], made, drawn = making.lr(shown[row], source.core, source.slices.numbers[index], scale)
                steps.add(scale, made, drawn=drawn)
        thumbs[row] = thumbnail(look(shown[row], frame))
    rock = _write_masks(store / folder, part, kept, (height, width))
    fixed = steps.write(store / folder)
    _flush(*arrays.values())
    core = Core(
        name=source.core,
        folder=folder,
        height=height,
        width=width,
        cropped=(source.hr.size[0] - height, source.hr.size[1] - width) if source.hr else (0, 0),
        voxel_um=part.voxel_um,
        slices=tuple(
            Slice(
                number=source.slices.numbers[index],
                split=str(part.splits[index]),
                source=f"{source.core}/{source.slices.names[index]}",
                sha256=digest,
                rock=share,
            )
            for index, digest, share in zip(kept, digests, rock, strict=True)
        ),
        images=source.images,
        masked=part.masks is not None,
        sha256={path.name: digest_of(path) for path in sorted((store / folder).iterdir())},
    )
    return Written(core=core, frame=frame, thumbs=thumbs, fixed=fixed)


def hr_size(source: Source, scales: Sequence[int]) -> tuple[int, int]:
    """HR height and width, cropped to multiples of every scale; of LR alone what HR would have."""
    if source.hr is None:
        scale = next(iter(source.lr))
        return scale * source.slices.size[0], scale * source.slices.size[1]
    whole = math.lcm(*scales)
    return source.hr.size[0] // whole * whole, source.hr.size[1] // whole * whole


def _create(folder: Path, source: Source, scales: Sequence[int], shape: tuple[int, int, int]) -> dict[int, Levels]:
    """Scale → a new array, HR at scale 1."""
    folder.mkdir()
    names = {1: HR} if "hr" in source.images else {}
    names |= {scale: LR.format(scale=scale) for scale in scales} if "lr" in source.images else {}
    n, height, width = shape
    return {
        scale: create_array(folder / name, (n, height // scale, width // scale), str(source.slices.dtype))
        for scale, name in names.items()
    }


class _Steps:
    """What LR was made by, slice by slice, for each scale."""

    def __init__(self, scales: Sequence[int]) -> None:
        self._made: dict[int, list[list[dict[str, Any]]]] = {scale: [] for scale in scales}
        self._drawn: set[int] = set()

    def add(self, scale: int, steps: Steps, *, drawn: bool) -> None:
        self._made[scale].append(as_json(steps))
        if drawn:
            self._drawn.add(scale)

    def write(self, folder: Path) -> dict[int, list[dict[str, Any]]]:
        """Write what was drawn; scale → the steps where nothing was."""
        for scale in self._drawn:
            text = json.dumps(self._made[scale], indent=1, allow_nan=False)
            (folder / DRAWN.format(scale=scale)).write_text(text + "\n", encoding="utf-8")
        return {scale: made[0] for scale, made in self._made.items() if made and scale not in self._drawn}


def _write_masks(folder: Path, part: Part, kept: Sequence[int], size: tuple[int, int]) -> list[float]:
    """Write the masks of the slices kept, and say what share of each is rock."""
    if part.masks is None:
        return [1.0] * len(kept)
    rows = [0] if len(part.masks) == 1 else kept
    written = create_array(folder / MASK, (len(rows), *size), "bool")
    for row, index in enumerate(rows):
        written[row] = part.masks[index][: size[0], : size[1]]
    _flush(written)
    shares = [float(mask.mean()) for mask in written]
    return shares * len(kept) if len(rows) == 1 else shares


def _flush(*arrays: Levels) -> None:
    """Bring mapped arrays to their files, which are hashed next."""
    for array in arrays:
        if isinstance(array, np.memmap):
            array.flush()
