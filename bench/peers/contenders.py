"""Every way to get an aligned training pair that `throughput` times, each a function of the sample number.

BasicSR's PairedImageDataset always decodes in colour, and no option of it reads one grey channel. Its two nearest
ways are timed: three equal channels, and `color: y`, which mixes them to one after the crop. A third is not BasicSR as
released: its decoder told to read grey, which says how much of the difference the three channels make. And a fourth
reads files of three equal channels, which is how DeepRock-SR is published.
"""

import contextlib
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from coresr_data import Paired, Store, open_store
from coresr_data.patches import keyed
from coresr_data.volume import Levels

Pair = tuple[Tensor, Tensor]
"""LR and HR, (channels, h, w)."""
Load = Callable[[int], Pair]

SCALE, PATCH = 2, 192
NOISE_STD = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The same slices for everybody, `hr` and `lr`, of one channel and (`hr_rgb`, `lr_rgb`) of three equal ones."""

    folder: Path

    def store(self) -> Store:
        """What coresr_data reads, and what the images were made from."""
        return open_store(self.folder / "store")

    def at(self, image: str, backend: str) -> Path:
        """The folder of PNG slices, or BasicSR's LMDB of them."""
        return self.folder / (image if backend == "PNG" else f"{image}.lmdb")

    def mib(self) -> dict[str, float]:
        """What each takes on disk."""
        kinds = {f"{backend}{kind}": (backend, kind) for kind in ("", "_rgb") for backend in ("PNG", "LMDB")}
        sizes = {name: _mib(self.at(f"hr{k}", b)) + _mib(self.at(f"lr{k}", b)) for name, (b, k) in kinds.items()}
        return {"store": _mib(self.folder / "store"), **sizes}


def _mib(folder: Path) -> float:
    # blocks and not sizes, for an LMDB file has holes
    return sum(512 * file.stat().st_blocks for file in folder.rglob("*") if file.is_file()) / 2**20


def write_files(folder: Path) -> Files:
    """Write the levels of `FOLDER/store` as PNG slices, and those as LMDBs by BasicSR's own tool at its defaults."""
    files = Files(folder=folder)
    store = files.store()
    core = store.manifest.cores[0]
    make_lmdb = basicsr("basicsr.utils.lmdb_util").make_lmdb_from_imgs
    keys = [f"{number:04d}" for number in range(len(core.slices))]
    for image, array in (("hr", store.hr(core)), ("lr", store.lr(core))):
        for name, channels in ((image, 1), (f"{image}_rgb", 3)):
            pngs = files.at(name, "PNG")
            pngs.mkdir()
            for key, levels in zip(keys, array, strict=True):
                Image.fromarray(np.dstack([levels] * channels).squeeze()).save(pngs / f"{key}.png")
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                make_lmdb(str(pngs), str(files.at(name, "LMDB")), [f"{key}.png" for key in keys], keys)
    return files


def ours(files: Files, *, noise_std: float = 0.0) -> Load:
    """coresr_data's Paired over the whole store."""
    patches = Paired(files.store(), patch=PATCH, noise_std=noise_std)

    def load(number: int) -> Pair:
        sample = patches[number]
        return sample["lr"], sample["hr"]

    return load


def pillow_loop(files: Files) -> Load:
    """What one writes first: decode both PNGs, crop, turn, convert."""
    paths = [(path, files.at("hr", "PNG") / path.name) for path in sorted(files.at("lr", "PNG").iterdir())]
    rng = random.Random(0)  # noqa: S311 - no secret

    def load(number: int) -> Pair:
        lr_path, hr_path = paths[number % len(paths)]
        with Image.open(lr_path) as opened:
            lr = np.asarray(opened)
        with Image.open(hr_path) as opened:
            hr = np.asarray(opened)
        size = PATCH // SCALE
        y, x = rng.randint(0, lr.shape[0] - size), rng.randint(0, lr.shape[1] - size)
        lr = lr[y : y + size, x : x + size]
        hr = hr[SCALE * y : SCALE * y + PATCH, SCALE * x : SCALE * x + PATCH]
        quarter, flip = rng.randrange(4), rng.random() < 0.5
        return _as_tensor(lr, quarter, flip), _as_tensor(hr, quarter, flip)

    return load


def _as_tensor(levels: Levels, quarter: int, flip: bool) -> Tensor:
    levels = np.rot90(levels, quarter)
    levels = levels[:, ::-1] if flip else levels
    return torch.from_numpy(levels.astype(np.float32) / 255)[None]


def paired_image_dataset(files: Files, *, backend: str, y: bool = False, kind: str = "", grey: bool = False) -> Load:
    """BasicSR's own loader with flips and rotations, its backend `PNG` (disk) or `LMDB`, its images `kind`.

    `grey` changes its decoder, in this process, to read one channel.
    """
    module = basicsr("basicsr.data.paired_image_dataset")
    options: dict[str, Any] = {
        "dataroot_gt": str(files.at(f"hr{kind}", backend)),
        "dataroot_lq": str(files.at(f"lr{kind}", backend)),
        "io_backend": {"type": "disk" if backend == "PNG" else "lmdb"},
        "gt_size": PATCH,
        "scale": SCALE,
        "use_hflip": True,
        "use_rot": True,
        "phase": "train",
        **({"color": "y"} if y else {}),
    }
    dataset = module.PairedImageDataset(options)
    shuffled = keyed("peers").permutation(len(dataset)).tolist()
    random.seed(0)  # BasicSR draws its crops from Python's own generator
    if grey:
        released = module.imfrombytes
        module.imfrombytes = lambda content, float32: released(content, "grayscale", float32)[..., None]

    def load(number: int) -> Pair:
        sample = dataset[shuffled[number % len(shuffled)]]
        return sample["lq"], sample["gt"]

    return load


def basicsr(name: str) -> Any:
    """A module of BasicSR, whose last release asks for a module that torchvision has since renamed."""
    old = "torchvision.transforms.functional_tensor"
    if old not in sys.modules:
        sys.modules[old] = import_module("torchvision.transforms._functional_tensor")
    return import_module(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to load a pair, and how its values become grey levels again: `level = gain · value + offset`."""

    name: str
    make: Callable[[Files], Load]
    gain: float = 255.0
    offset: float = 0.0
    noise_std: float = 0.0
    """Of the noise that it adds to LR, on [0, 1]."""
    young: bool = False
    """Whether its process manages memory as one that has just begun: see `workers`."""

    @property
    def ours(self) -> bool:
        """Whether it is coresr_data's."""
        return self.name.startswith("coresr-data")


def _of_basicsr(backend: str) -> list[Contender]:
    make, name = partial(paired_image_dataset, backend=backend), f"BasicSR {backend}"
    # ITU-R BT.601, as BasicSR's `color: y` has it: 255 · value = 16 + 219 · level / 255
    gain, offset = 255 * 255 / 219, -16 * 255 / 219
    return [
        Contender(name=name, make=make),
        Contender(name=f"{name}, color: y", make=partial(make, y=True), gain=gain, offset=offset),
        Contender(name=f"{name}, changed to grey", make=partial(make, grey=True)),
        Contender(name=f"{name}, RGB files", make=partial(make, kind="_rgb")),
        Contender(name=f"{name}, young process", make=make, young=True),
    ]


CONTENDERS = [
    Contender(name="coresr-data", make=ours),
    Contender(name="coresr-data with noise", make=partial(ours, noise_std=NOISE_STD), noise_std=NOISE_STD),
    Contender(name="Pillow loop", make=pillow_loop),
    *_of_basicsr("PNG"),
    *_of_basicsr("LMDB"),
]
