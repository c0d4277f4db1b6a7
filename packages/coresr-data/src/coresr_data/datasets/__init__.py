"""A store as training samples: item `k` is sample `k` of an endless run, a pure function of the seed and `k`."""

from torch import Tensor
from torch.utils.data import Dataset

from coresr_data.augment import Augmentation, Image, augmented, mixed, noisy, partner, turned_copy
from coresr_data.datasets.reading import Cuts, tensor
from coresr_data.degrade import Recipe, apply_at
from coresr_data.intensity import Window, to_unit
from coresr_data.patches import Draw, keyed
from coresr_data.store import HR, Store
from coresr_data.volume import Levels


class Paired(Dataset[dict[str, Tensor]]):
    """Aligned patches of a store of pairs: `{"lr": (1, p/s, p/s), "hr": (1, p, p)}`, float32.

    `patch` is the side p in HR pixels and a multiple of the scale s. Where the store has masks, a slice gets patches by
    its share of rock, and each should lie on rock by the share `rock` at least. `augment` draws one of the eight flips
    and rotations; `noise_std`, `jitter`, `cutblur` and `mixup` are those of `augment.Augmentation`, and off. ValueError
    for what cannot be.
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
        jitter: float = 0.0,
        cutblur: float = 0.0,
        mixup: float = 0.0,
        rock: float = 0.5,
    ) -> None:
        self.store, self.seed, self.rows = store, seed, store.rows(split)
        self.cuts = Cuts(store, self.rows, patch=patch, scale=store.scale, rock=rock)
        self.plan = self.cuts.plan
        self.steps = Augmentation(augment=augment, noise_std=noise_std, jitter=jitter, cutblur=cutblur, mixup=mixup)

    @property
    def epoch(self) -> int:
        """Samples in one epoch: as many as fit into the split's slices without overlap."""
        return self.plan.epoch

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return _served(self, number)

    def levels(self, place: Draw) -> tuple[Levels, Levels]:
        """The grey levels of LR and HR at a place."""
        return self.cuts.lr(place), self.cuts.hr(place)


class Degraded(Dataset[dict[str, Tensor]]):
    """Pairs from HR alone: LR is made for each patch when it is asked for, by steps that `recipe` draws for it.

    As `Paired` otherwise, and at the same places. LR is what the same steps make of the whole slice at that place: HR
    is cut with the margin that the steps reach over, and only the true border of a slice is mirrored. `scale` is any
    that HR divides by, the store's where none is given.
    """

    def __init__(
        self,
        store: Store,
        recipe: Recipe,
        *,
        scale: int | None = None,
        split: str = "train",
        patch: int,
        seed: int = 0,
        augment: bool = True,
        noise_std: float = 0.0,
        jitter: float = 0.0,
        cutblur: float = 0.0,
        mixup: float = 0.0,
        rock: float = 0.5,
    ) -> None:
        self.store, self.recipe, self.seed, self.rows = store, recipe, seed, store.rows(split, "hr")
        scale = store.scale if scale is None else scale
        for height, width in {(core.height, core.width) for core, _ in self.rows}:
            if scale < 1 or height % scale or width % scale:
                raise ValueError(
                    f"HR size must be a multiple of scale {scale}, got {height}×{width} in {store.path}; "
                    "prepare a store with this scale"
                )
        self.cuts = Cuts(store, self.rows, patch=patch, scale=scale, rock=rock)
        self.plan = self.cuts.plan
        self.steps = Augmentation(augment=augment, noise_std=noise_std, jitter=jitter, cutblur=cutblur, mixup=mixup)

    @property
    def epoch(self) -> int:
        """Samples in one epoch: as many as fit into the split's slices without overlap."""
        return self.plan.epoch

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return _served(self, number)

    def levels(self, place: Draw) -> tuple[Levels, Levels]:
        """The grey levels of LR, made now, and HR at a place."""
        core, row = self.rows[place.image]
        rng = keyed("degradation", self.seed, place.epoch, place.item)
        lr = apply_at(
            self.cuts.arrays(core, HR)[row],
            self.recipe(rng),
            y=place.y,
            x=place.x,
            size=self.plan.size,
            scale=self.cuts.scale,
            window=self.store.manifest.window,
            rng=rng,
        )
        return lr, self.cuts.hr(place)


class Unpaired(Dataset[dict[str, Tensor]]):
    """LR and HR patches that have nothing to do with each other, from all cores that hold LR and all that hold HR.

    Sizes as in `Paired`, `patch` in HR pixels. Each side runs through epochs of its own; an epoch of the whole is the
    longer of them. The HR patches are those of `Paired` and `Degraded` on the same slices.
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
        rock: float = 0.5,
    ) -> None:
        self.store, self.seed = store, seed
        self.lr, self.hr = (
            Cuts(store, store.rows(split, image), patch=patch, scale=store.scale, rock=rock) for image in ("lr", "hr")
        )
        self.steps = Augmentation(augment=augment, noise_std=noise_std)

    @property
    def epoch(self) -> int:
        """Samples in one epoch: as many patches as fit without overlap into the LR or the HR slices, if more."""
        return max(self.lr.plan.epoch, self.hr.plan.epoch)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        low, high = self.lr.draw(self.seed, number, "lr"), self.hr.draw(self.seed, number)
        window, steps = self.store.manifest.window, self.steps
        turns = (low.symmetry, high.symmetry) if steps.augment else (0, 0)
        lr = _unit(self.lr.lr(low), turns[0], window)
        lr = noisy(lr, steps.noise_std, (self.seed, low.epoch, low.item), turns[0])
        return {"lr": tensor(lr), "hr": tensor(_unit(self.hr.hr(high), turns[1], window))}


def _served(pairs: Paired | Degraded, number: int) -> dict[str, Tensor]:
    place = pairs.cuts.draw(pairs.seed, number)
    low, high = _images(pairs, place)
    if pairs.steps.mixup:
        key = pairs.seed, place.epoch, place.item
        second, share = partner(key, pairs.epoch, pairs.steps.mixup)
        other = _images(pairs, pairs.cuts.draw(pairs.seed, place.epoch * pairs.epoch + second))
        low, high = mixed(low, other[0], share), mixed(high, other[1], share)
    return {"lr": tensor(low), "hr": tensor(high)}


def _images(pairs: Paired | Degraded, place: Draw) -> tuple[Image, Image]:
    symmetry, window = place.symmetry if pairs.steps.augment else 0, pairs.store.manifest.window
    low, high = (_unit(levels, symmetry, window) for levels in pairs.levels(place))
    return augmented(low, high, (pairs.seed, place.epoch, place.item), symmetry, pairs.steps)


def _unit(levels: Levels, symmetry: int, window: Window) -> Image:
    return to_unit(turned_copy(levels, symmetry), window)
