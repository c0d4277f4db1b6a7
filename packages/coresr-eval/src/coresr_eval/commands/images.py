"""Folders of grey images of any program: told apart by their names, read without being taken for what they are not."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

SUFFIXES = (".bmp", ".npy", ".png", ".tif", ".tiff")
_TOLD = re.compile(r"(?:[-_ ]|(?<=\d))(x[2-9]|lr|hr|sr)$", re.IGNORECASE)
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339  # TIFF 6.0, section 8; the first also EXIF's
_BOMB = Image.DecompressionBombError


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
