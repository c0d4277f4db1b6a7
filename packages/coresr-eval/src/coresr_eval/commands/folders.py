"""Two folders of images and no network: another program's SR against HR, beside bicubic of LR."""

import re
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile
from torch import Tensor

from coresr_eval.cli import UsageError
from coresr_eval.commands.publishing import publish, spread
from coresr_eval.conventions import under
from coresr_eval.grounds import Ground, ground
from coresr_eval.protocol import Pair, Protocol, Scored, score_image

SUFFIXES = (".bmp", ".npy", ".png", ".tif", ".tiff")
_TOLD = re.compile(r"(?:[-_ ]|(?<=\d))(x[2-9]|lr|hr|sr)$", re.IGNORECASE)
CORE = "slices"
"""What the one core of a folder is called, which nobody named."""
GROUND = 16
"""Images whose HR says where the pores are."""
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339  # TIFF 6.0, section 8; the first also EXIF's
_BOMB = Image.DecompressionBombError
_BORDER = 4  # LR pixels mirrored around an image: bicubic reaches two


class Folder:
    """The images of a folder, told apart by their names without what says only that they are SR, HR or LR."""

    def __init__(self, path: Path) -> None:
        """FileNotFoundError without images, ValueError where two have one name."""
        if not path.is_dir():
            raise FileNotFoundError(
                f"{path} must be a folder of images, got {'a file' if path.exists() else 'nothing'}"
            )
        files = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
        ]
        if not files:
            raise FileNotFoundError(f"{path} must hold images ({', '.join(SUFFIXES)}), got none")
        self.path, self.files = path, {stem(file): file for file in files}
        if len(self.files) < len(files):
            twice = next(one.name for one in files if self.files[stem(one)] != one)
            raise ValueError(
                f"images of {path} must have names of their own, got {twice} twice; x2, SR and the like are left out"
            )

    def read(self, name: str) -> NDArray[Any]:
        """An image's grey levels `(h, w)` in its own dtype; ValueError for colours, several pages, other numbers."""
        return read(self.files[name])


def stem(file: Path) -> str:
    """The name without suffix and without `x2`, `_SR` and the like at its end."""
    return _TOLD.sub("", file.stem) or file.stem


def read(file: Path) -> NDArray[Any]:
    """Grey levels `(h, w)`: 8-bit and 16-bit integers and floats; three equal channels are one.

    ValueError, naming the file, for what cannot be read, or could be read in more than one way.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            levels = np.load(file, allow_pickle=False) if file.suffix.lower() == ".npy" else _decoded(file)
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, _BOMB, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{file} must be a readable image, got {error or type(error).__name__}") from error
    if not isinstance(levels, np.ndarray):
        raise ValueError(f"{file} must be one array, got an archive; save the array by itself")  # noqa: TRY004 - of a file
    if levels.ndim == 3 and levels.shape[-1] in {3, 4} and (levels[..., :3] == levels[..., :1]).all():
        levels = levels[..., 0]
    if levels.ndim != 2 or not levels.size or levels.dtype.kind not in "uif" or not np.isfinite(levels).all():
        said = f"{'×'.join(map(str, levels.shape))} {levels.dtype}"
        raise ValueError(f"{file} must be one grey image of finite levels, got {said}; write slices one by one")
    native: NDArray[Any] = levels.astype(levels.dtype.newbyteorder("="), copy=False)
    return native


def _decoded(file: Path) -> NDArray[Any]:
    with Image.open(file) as image:
        if (pages := getattr(image, "n_frames", 1)) != 1:
            raise ValueError(f"{pages} pages")
        if image.mode not in {"L", "I", "I;16", "I;16B", "F", "RGB", "RGBA"}:
            raise ValueError(f"mode {image.mode}")
        if image.getexif().get(_ORIENTATION, 1) != 1:
            raise ValueError("an image that is to be turned when it is shown; turn it")
        levels = np.asarray(image)
        return _as_tagged(levels, image) if isinstance(image, TiffImageFile) else levels


def _as_tagged(levels: NDArray[Any], image: TiffImageFile) -> NDArray[Any]:
    """Levels of the type that the file says, which Pillow widens, or takes for another."""
    tags = image.tag_v2
    bits, kind = tags.get(_BITS, (1,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0]
    if tags.get(_PHOTOMETRIC, 1) == 0:
        raise ValueError("levels of which 0 is white; invert them")
    if kind == 2 and bits == 16:
        return levels.astype(np.int16)
    if kind != 3 and (bits > 16 or kind == 2):
        raise ValueError(f"{'signed' if kind == 2 else 'unsigned'} integers of {bits} bits; write .npy")
    return levels


def common(folders: Mapping[str, Folder]) -> Sequence[str]:
    """The names that all folders hold; ValueError where one holds others."""
    (first, one), *others = folders.items()
    for what, other in others:
        if odd := sorted(set(one.files) ^ set(other.files)):
            raise ValueError(
                f"{first} and {what} must hold images of the same names, got {odd[0]!r} in one of {one.path} and "
                f"{other.path} only ({len(odd)} in all); x2, SR and the like at the end do not count"
            )
    return sorted(one.files)


def window_of(levels: NDArray[Any], given: Sequence[float] | None) -> tuple[float, float]:
    """The grey levels that are 0 and 1: those given, else all of the dtype; UsageError for floats, wide integers."""
    if given is not None:
        low, high = given
        if not low < high:
            raise UsageError(f"--window must be LOW HIGH with LOW below HIGH, got {low:g} {high:g}")
        return low, high
    if levels.dtype.kind == "f" or levels.dtype.itemsize > 2:
        raise UsageError(f"--window must say which levels are 0 and 1 where images are {levels.dtype}, got none")
    limits = np.iinfo(levels.dtype)
    return float(limits.min), float(limits.max)


def bicubic(lr: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    """MATLAB's bicubic enlargement (Keys, a = −1/2, mirrored borders) by Pillow, which would shorten border kernels."""
    wide = np.pad(lr, _BORDER, mode="symmetric")
    size = (scale * wide.shape[1], scale * wide.shape[0])
    large = np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BICUBIC))
    inside = slice(scale * _BORDER, -scale * _BORDER)
    return large[inside, inside]


def scale_of(hr: NDArray[Any], lr: NDArray[Any], name: str) -> int:
    """HR size over LR size; ValueError where that is no whole number above 1, the same along both axes."""
    scale = int(hr.shape[0] // lr.shape[0])
    if scale < 2 or hr.shape != (scale * lr.shape[0], scale * lr.shape[1]):
        sizes = " and ".join(f"{one.shape[0]}×{one.shape[1]}" for one in (hr, lr))
        raise ValueError(f"HR and LR of {name!r} must be a whole scale of 2 or more apart, got {sizes}")
    return scale


def score_folders(options: Namespace) -> None:
    """Score the folder of SR images that the options name against HR, beside bicubic of LR."""
    sr, hr, lr = (Folder(Path(path)) for path in (options.model, options.hr, options.lr))
    name = sr.path.resolve().name
    if name == "bicubic":
        raise ValueError(f"folder {sr.path} must not be named bicubic like the baseline beside it; rename it")
    images = Images(sr, hr, lr, window=options.window)
    plain = Protocol(scale=images.scale, shave=images.scale, degradation="LR as given", grey=images.grey)
    protocol = under(plain, options.convention)
    grounds, notes = _grounds(images, options.pore)
    if images.dtype.kind != "f":
        notes += [f"{name} is a folder of {images.dtype} images: what wrote them has rounded and clipped its output."]
    publish(
        images.scored(name, protocol),
        options.out,
        number=len(images.names),
        name=name,
        protocol=protocol,
        grounds=grounds,
        title=f"{name} against {hr.path.resolve().name}",
        notes=[
            *notes,
            (
                "All images are taken for slices of one core, and compared as a whole, with what lies outside a round "
                "field of view: crop such images first, or make a store of them."
            ),
        ],
    )


def _grounds(images: "Images", pore: float | None) -> tuple[dict[str, Ground], list[str]]:
    """Of the one core, from HR images spread over the folder; and why it has none."""
    names = [images.names[at] for at in sorted(spread(GROUND, len(images.names)))]
    hr = [images.unit(images.hr, name).ravel() for name in names]
    threshold = None if pore is None else (pore - images.low) / (images.high - images.low)
    low, high = min(one.min() for one in hr), max(one.max() for one in hr)
    if low == high or not (threshold is None or low <= threshold < high):
        what = "has one grey level only" if low == high else "has no level on one side of --pore"
        return {}, [f"Nothing is said of the pores of HR, which {what}."]
    return {images.core: ground(hr, threshold=threshold)}, []


class Images:
    """Three folders whose images belong together by name."""

    def __init__(self, sr: Folder, hr: Folder, lr: Folder, *, window: Sequence[float] | None) -> None:
        """ValueError where a folder holds other names, or the first images are no whole scale apart."""
        self.names = common({"SR": sr, "HR": hr, "LR": lr})
        first = hr.read(self.names[0])
        self.sr, self.hr, self.lr, self.dtype, self.core = sr, hr, lr, first.dtype, CORE
        self.low, self.high = window_of(first, window)
        self.scale = scale_of(first, lr.read(self.names[0]), self.names[0])

    @property
    def grey(self) -> str:
        """Dtype and window in words, as a store says it."""
        return f"{self.dtype}, {self.low:g} → 0, {self.high:g} → 1"

    def unit(self, folder: Folder, name: str) -> NDArray[np.float32]:
        """An image in [0, 1]; ValueError where it is of another dtype than HR."""
        levels = folder.read(name)
        if levels.dtype != self.dtype:
            raise ValueError(
                f"all images must be {self.dtype} as those of {self.hr.path}, got {levels.dtype}: {folder.files[name]}"
            )
        return ((levels.astype(np.float64) - self.low) / (self.high - self.low)).astype(np.float32)

    def scored(self, model: str, protocol: Protocol) -> Iterator[Scored]:
        """Each image with its scores and bicubic's."""
        for number, name in zip(_numbers(self.names), self.names, strict=True):
            lr, hr, sr = (self.unit(folder, name) for folder in (self.lr, self.hr, self.sr))
            if scale_of(hr, lr, name) != self.scale:
                raise ValueError(
                    f"all images must be of scale {self.scale} as {self.names[0]!r}, got another: {name!r}"
                )
            pair = Pair(core=self.core, slice=number, lr=_tensor(lr), hr=_tensor(hr))
            images = {"bicubic": _tensor(bicubic(lr, self.scale)), model: _tensor(sr)}
            scores = tuple(score_image(of, image, pair, protocol) for of, image in images.items())
            yield Scored(pair=pair, images=images, scores=scores)


def _numbers(names: Sequence[str]) -> Sequence[int]:
    """The last number in each name; the place in the list where two would have the same, or one has none."""
    found = [re.findall(r"\d+", name) for name in names]
    numbers = [int(one[-1]) for one in found if one]
    return numbers if len(set(numbers)) == len(names) else range(len(names))


def _tensor(image: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))
