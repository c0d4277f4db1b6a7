"""The arrays of a store as a run reads them: patches of a split, and whole slices for scoring."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from coresr_data.datasets.operators import Operators
from coresr_data.degrade.operators import Chain
from coresr_data.intensity import to_unit
from coresr_data.patches import Draw, draw, plan
from coresr_data.resize import Separable
from coresr_data.store import HR, LR, MASK, Core, Store, refuse_change, stamp_of
from coresr_data.volume import Levels, Stamp


class Arrays:
    """Arrays of a store, mapped at first use in each process. ValueError once their file is not what it was."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._maps: dict[tuple[str, str], tuple[str, Stamp | None, Levels]] = {}

    def __call__(self, core: Core, name: str) -> Levels:
        """One of `manifest.arrays(core)`, looked at again before every use."""
        key = core.folder, name
        if key not in self._maps:
            file = self._store.path / core.folder / name
            stamp = self._store.stamps.get(file) or stamp_of(file)
            self._maps[key] = str(file), stamp, np.asarray(self._store.map(core, name))  # memmap's own slices are slow
        path, stamp, array = self._maps[key]
        refuse_change(path, stamp)
        return array

    def __getstate__(self) -> dict[str, object]:
        # a worker process maps the files itself: a pickled memory map would carry all its pixels
        return {**self.__dict__, "_maps": {}}


class Cuts:
    """Where the patches of some slices lie, and their grey levels; `scale` is between places, in LR pixels, and HR.

    `patch` is the side in HR pixels and a multiple of the scale, `rock` the share of a patch that should lie inside the
    mask, where there is one (ValueError otherwise).
    """

    def __init__(self, store: Store, rows: list[tuple[Core, int]], *, patch: int, scale: int, rock: float) -> None:
        if patch % scale:
            raise ValueError(f"patch must be a multiple of scale {scale} in HR pixels, got {patch}")
        if not 0 <= rock <= 1:
            raise ValueError(f"rock must be a share from 0 to 1, got {rock}")
        sizes = np.array([(core.height // scale, core.width // scale) for core, _ in rows], dtype=np.int64)
        shares = np.array([core.slices[row].rock if core.masked else 1.0 for core, row in rows])
        self.rows, self.scale, self.rock, self.arrays = rows, scale, rock, Arrays(store)
        self._lr = LR.format(scale=scale)
        self.plan = plan(sizes[:, 0], sizes[:, 1], patch // scale, shares)
        self._looks = self._rock if any(core.masked for core, _ in rows) and rock > 0 else None

    def draw(self, seed: int, number: int, stream: str = "") -> Draw:
        """Where sample `number` is cut."""
        return draw(self.plan, seed, number, stream=stream, rock=self._looks, least=self.rock)

    def lr(self, place: Draw) -> Levels:
        """LR `(patch / scale, patch / scale)` at a place, as the file holds it."""
        core, row = self.rows[place.image]
        return _square(self.arrays(core, self._lr), row, place.y, place.x, self.plan.size)

    def hr(self, place: Draw) -> Levels:
        """HR `(patch, patch)` of the same place."""
        core, row = self.rows[place.image]
        s = self.scale
        return _square(self.arrays(core, HR), row, s * place.y, s * place.x, s * self.plan.size)

    def _rock(self, image: int, y: int, x: int) -> float:
        core, row = self.rows[image]
        if not core.masked or core.slices[row].rock == 1:
            return 1.0
        mask = self.arrays(core, MASK)
        s = self.scale
        inside = _square(mask, row if len(mask) > 1 else 0, s * y, s * x, s * self.plan.size)
        return np.count_nonzero(inside) / inside.size


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSlice:
    """One slice of a store: `lr` (h, w) and `hr` (scale·h, scale·w), float32 in [0, 1]."""

    core: str
    number: int
    lr: Tensor
    hr: Tensor
    mask: Tensor | None = None
    """(scale·h, scale·w) bool, True where there is rock; None where the core has no mask."""
    operator: Separable | Chain | None = None
    """How LR was made of HR; None where that is not known, or nobody asked. See `Operators`."""


def whole_slices(store: Store, split: str, *, most: int | None = None, operators: bool = False) -> Iterator[WholeSlice]:
    """Every pair of a split in the order of the manifest, read as asked for; or `most` of them, evenly spread.

    With their `operators`, which take some milliseconds and megabytes each.
    """
    window, rows, arrays = store.manifest.window, store.rows(split), Arrays(store)
    if most is not None and most < len(rows):
        rows = [rows[round((i + 0.5) * len(rows) / most - 0.5)] for i in range(most)]
    lr, operator_of = LR.format(scale=store.scale), Operators(store)
    for core, row in rows:
        mask = arrays(core, MASK) if core.masked else None
        yield WholeSlice(
            core=core.name,
            number=core.slices[row].number,
            lr=tensor(to_unit(arrays(core, lr)[row], window))[0],
            hr=tensor(to_unit(arrays(core, HR)[row], window))[0],
            mask=None if mask is None else torch.from_numpy(mask[row if len(mask) > 1 else 0].copy()),
            operator=operator_of(core, row) if operators else None,
        )


def tensor(image: NDArray[np.float32]) -> Tensor:
    """`(h, w)` → `(1, h, w)`."""
    return torch.from_numpy(np.ascontiguousarray(image)[None])


def _square(array: Levels, row: int, y: int, x: int, size: int) -> Levels:
    return array[row, y : y + size, x : x + size]
