"""A store as training patches and as whole slices for scoring."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from coresr_data.intensity import to_unit
from coresr_data.patches import draw, keyed, plan, turned
from coresr_data.store import Store


class Paired(Dataset[dict[str, Tensor]]):
    """Aligned training patches: item `k` is sample `k` of an endless run, `{"lr": (1, p/s, p/s), "hr": (1, p, p)}`.

    `patch` is the side in HR pixels and a multiple of the scale (ValueError otherwise). `augment` draws one of the
    eight flips and rotations, `noise_std` adds Gaussian noise of that standard deviation (on [0, 1]) to LR alone.
    """

    def __init__(
        self,
        store: Store,
        *,
        split: str = "train",
        patch: int,
        seed: int = 0,
        augment: bool = True,
        noise_std: float = 0.0,
    ) -> None:
        scale = store.manifest.scale
        if patch % scale:
            raise ValueError(f"patch must be a multiple of scale {scale} in HR pixels, got {patch}")
        if not 0 <= noise_std < np.inf:
            raise ValueError(f"noise_std must be 0 or more, got {noise_std}")
        self.store, self.seed, self.augment, self.noise_std = store, seed, augment, noise_std
        self.rows = store.rows(split)
        sizes = np.array([(core.height, core.width) for core, _ in self.rows], dtype=np.int64)
        self.plan = plan(sizes[:, 0], sizes[:, 1], patch // scale)
        self._maps: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}

    @property
    def epoch(self) -> int:
        """Samples in one epoch: as many as fit into the split's slices without overlap."""
        return self.plan.epoch

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        place = draw(self.plan, self.seed, number)
        core, row = self.rows[place.image]
        if core.name not in self._maps:
            self._maps[core.name] = self.store.lr(core), self.store.hr(core)
        lr, hr = self._maps[core.name]
        window, scale, size = self.store.manifest.window, self.store.manifest.scale, self.plan.size
        low = to_unit(_cut(lr, row, place.y, place.x, size), window)
        high = to_unit(_cut(hr, row, scale * place.y, scale * place.x, scale * size), window)
        if self.noise_std:
            normal = keyed("noise", self.seed, place.epoch, place.item).standard_normal(low.shape, np.float32)
            low = low + np.float32(self.noise_std) * normal
        if self.augment:
            low, high = turned(low, place.symmetry), turned(high, place.symmetry)
        return {"lr": _tensor(low), "hr": _tensor(high)}

    def __getstate__(self) -> dict[str, object]:
        # a worker process maps the files itself: a pickled memory map would carry all its pixels
        return {**self.__dict__, "_maps": {}}


class StepBatches(Sampler[list[int]]):
    """The sample numbers of each optimizer step, endlessly: step t holds samples t·batch to (t + 1)·batch - 1.

    `batch` is the global batch, which must divide by `processes`; process `rank`, counted from 0, takes its own
    contiguous share of it, so that the number of processes changes nothing. ValueError for numbers that do not fit.
    """

    def __init__(self, *, batch: int, rank: int = 0, processes: int = 1, first_step: int = 0) -> None:
        if not 0 <= rank < processes:
            raise ValueError(f"rank must be from 0 to below the number of processes, {processes}, got {rank}")
        if first_step < 0:
            raise ValueError(f"first_step must be 0 or more, got {first_step}")
        if batch < 1 or batch % processes:
            raise ValueError(f"batch must be a positive multiple of the {processes} processes, got {batch}")
        self.batch, self.share, self.rank, self.first_step = batch, batch // processes, rank, first_step

    def __iter__(self) -> Iterator[list[int]]:
        for step in count(self.first_step):
            first = step * self.batch + self.rank * self.share
            yield list(range(first, first + self.share))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSlice:
    """One slice of a store: `lr` (h, w) and `hr` (scale·h, scale·w), float32 in [0, 1]."""

    core: str
    number: int
    lr: Tensor
    hr: Tensor


def whole_slices(store: Store, split: str, *, most: int | None = None) -> Iterator[WholeSlice]:
    """Every slice of a split in the order of the manifest, read as asked for; or `most` of them, evenly spread."""
    window, rows = store.manifest.window, store.rows(split)
    if most is not None and most < len(rows):
        rows = [rows[round((i + 0.5) * len(rows) / most - 0.5)] for i in range(most)]
    for core, row in rows:
        yield WholeSlice(
            core=core.name,
            number=core.slices[row].number,
            lr=_tensor(to_unit(store.lr(core)[row], window))[0],
            hr=_tensor(to_unit(store.hr(core)[row], window))[0],
        )


def _cut(array: NDArray[Any], row: int, y: int, x: int, size: int) -> NDArray[Any]:
    return np.asarray(array[row, y : y + size, x : x + size])


def _tensor(image: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None]
