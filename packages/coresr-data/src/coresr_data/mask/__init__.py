"""Where in a slice there is rock: round fields of view, cores in air and holders, masks that people drew.

True is rock. A mask `(h, w)` lies on HR pixels, before anything is cropped.
"""

import math
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from coresr_data.formats import open_volume
from coresr_data.mask.disk import Mask, fit_disk, hull
from coresr_data.volume import Levels, Volume

KINDS = ("auto", "rock", "none")
"""What `masks_for` knows besides the path of a mask."""
RIM = 2
"""Pixels taken off the edge of what was found: reconstructions blend padding, and optics air, into about two."""
LEAST = 0.005
"""Share of the frame that padding takes up at least: less is a dead pixel, or a pore that a corner cuts."""
SAMPLED = 2**20
"""Pixels of a slice that a threshold is found from, at most about this many."""
IN_MEMORY = 2**30
"""Bytes of masks that are held in memory; more lie in a temporary file."""


def masks_for(mask: str | Path, volume: Volume) -> Mask | None:
    """The masks of a volume, `(n, h, w)` or `(1, h, w)` for all its slices; None where all of it counts as rock.

    `mask` is `auto` (the field of view, if the frame is padded), `rock` (the rock in air and holder, slice by slice
    with one threshold), `none`, or the path of a mask.
    """
    if mask == "none":
        return None
    if mask == "auto":
        field = field_of_view(volume)
        return None if field is None else field[None]
    if mask != "rock":
        return from_file(Path(mask), (len(volume), *volume.size))
    level = rock_level(volume)
    masks = _held((len(volume), *volume.size))
    for index in range(len(volume)):
        masks[index] = rock(volume[index], level=level)
    return masks


# Padding


def field_of_view(volume: Volume, *, slices: int = 9, rim: int = RIM) -> Mask | None:
    """What lies within the padding of a reconstruction, `(h, w)` for all slices; None for a full frame.

    Padding is one and the same grey level in each of `slices` slices, evenly spread over depth, and joined to a
    corner of the frame; what it leaves is convex, or it holds all four corners and leaves one or two pieces. A pore
    that a corner cuts does neither, even where it is clipped to one level. A round field becomes the disk that fits
    it, so that dark pores at its edge stay inside. `rim` pixels are taken off along the padding. Padding with noise
    in it is not constant: see `rock`.
    """
    field = _without_specks(~_padding(volume, slices))
    if (~field).mean() < LEAST:
        return None
    if (disk := fit_disk(field)) is not None:
        return disk.pixels(volume.size, rim=rim)
    framed = not field[_CORNERS].any() and np.count_nonzero(_largest(field)) > 0.4 * np.count_nonzero(field)
    return _eroded(field, rim) if framed or _is_convex(field) else None


_CORNERS = (np.array([0, 0, -1, -1]), np.array([0, -1, 0, -1]))


def _padding(volume: Volume, slices: int) -> Mask:
    """`(h, w)`, True where all slices looked at hold the level of a corner, joined to it: of four such, the largest."""
    looked = _spread(len(volume), slices)
    first = volume[looked[0]]
    constant: Mask = np.ones(volume.size, np.bool_)
    for index in looked[1:]:
        constant &= volume[index] == first
    found = np.zeros(volume.size, np.bool_)
    for level in np.unique(first[_CORNERS]):
        labels, _ = _labels(constant & (first == level))
        touched = np.unique(labels[_CORNERS])
        joined = np.isin(labels, touched[touched > 0])
        if np.count_nonzero(joined) > np.count_nonzero(found):
            found = joined
    return found


def _spread(n: int, most: int) -> list[int]:
    """Indices of up to `most` of `n` slices, evenly spread, the first and the last among them."""
    if most < 1:
        raise ValueError(f"slices must be 1 or more, got {most}")
    return sorted({round(index) for index in np.linspace(0, n - 1, min(most, n))})


def _is_convex(field: Mask) -> bool:
    """Whether at most a tenth of what the field leaves of the frame lies within the field's convex hull."""
    corners = [(int(x), int(y)) for y, x in hull(field)]
    if len(corners) < 3:
        return False
    within = Image.new("1", (field.shape[1], field.shape[0]))
    ImageDraw.Draw(within).polygon(corners, fill=1)
    outside = ~field
    return bool(np.count_nonzero(outside & np.asarray(within)) <= 0.1 * np.count_nonzero(outside))


# Rock in air


def rock(levels: Levels, *, level: float | None = None, sigma: float = 2.0, rim: int = RIM) -> Mask:
    """The rock in a slice `(h, w)` with air and holder: its largest bright piece, pores filled, less `rim` pixels.

    Brighter than `level` after a Gaussian blur of `sigma` pixels; `level` is Otsu's threshold of the blurred slice
    unless given. Pores open to the air are rock where a disk of a twentieth of the slice's shorter side does not fit
    into them. A holder is left out only where it is darker than `level`, as plastic beside rock is, or apart from the
    rock and smaller: look at the masks. ValueError where the slice is of one level.
    """
    blurred = _blurred(levels, sigma)
    found = _largest(blurred > (otsu(blurred) if level is None else level))
    return _eroded(ndimage.binary_fill_holes(_closed(found, min(levels.shape) / 20)), rim)


def rock_level(volume: Volume, *, slices: int = 9, sigma: float = 2.0) -> float:
    """One threshold between air and rock for a whole volume: Otsu's of `slices` slices together, evenly spread."""
    found = []
    for index in _spread(len(volume), slices):
        blurred = _blurred(volume[index], sigma)
        step = max(1, math.isqrt(blurred.size // SAMPLED))
        found.append(blurred[::step, ::step].ravel())
    levels = np.concatenate(found)
    if levels.min() == levels.max():
        raise ValueError(f"core {volume.core} must show rock and air to be told apart, got one level; use --mask none")
    return otsu(levels)


def otsu(levels: NDArray[np.floating], *, bins: int = 256) -> float:
    """The threshold between two classes of levels whose means differ most against the spread within them.

    Source: Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 1979. ValueError for one level alone.

    >>> otsu(np.array([1.0, 2.0, 1.5, 9.0, 8.0])) > 2.0
    True
    """
    if levels.size == 0 or levels.min() == levels.max():
        raise ValueError(f"levels must be two at least to lie on two sides of a threshold, got {levels.size} of one")
    counts, edges = np.histogram(levels, bins)
    middles = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()[:-1]
    above = levels.size - below
    sums = (counts * middles).cumsum()
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    best = np.flatnonzero(between == between.max())  # several where bins in the middle are empty
    return float(edges[1:-1][best].mean())


def _blurred(levels: Levels, sigma: float) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(levels.astype(np.float32), sigma, mode="nearest")
    return blurred


# From outside


def from_file(path: Path, shape: tuple[int, int, int]) -> Mask:
    """A mask that somebody drew, `(1, h, w)` or `(n, h, w)` for a volume of `shape`: what is not 0 is rock.

    An image, a folder of them, or a volume of any format. ValueError for another size, and where nothing is rock.
    """
    drawn = _array(path) if path.suffix.lower() == ".npy" else open_volume(path)
    n, size = len(drawn), tuple(drawn[0].shape) if len(drawn) else ()
    if n not in {1, shape[0]} or size != shape[1:]:
        raise ValueError(
            f"mask {path} must be 1 or {shape[0]} slices of {shape[1]}×{shape[2]} like the slices it is for, "
            f"got {n} of {'×'.join(map(str, size))}; draw it on those"
        )
    masks = _held((n, shape[1], shape[2]))
    for index in range(n):
        masks[index] = drawn[index] != 0
    if not masks.any():
        raise ValueError(f"mask {path} must hold rock, which is not 0, got 0 alone; name another mask")
    return masks


def _array(path: Path) -> Levels:
    """A NumPy file as slices: unlike grey levels, masks are often True and False."""
    if not path.is_file():
        raise FileNotFoundError(f"mask must be a file, got {path}, which is not there")
    try:
        array: Levels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"mask {path} must be a whole NumPy array, got {error}; replace it") from error
    if array.dtype.kind not in "biuf" or array.ndim not in {2, 3}:
        raise ValueError(f"mask {path} must be (h, w) or (n, h, w) numbers, got {array.shape} {array.dtype}")
    return array if array.ndim == 3 else array[None]


# Pieces of masks


def _labels(mask: Mask) -> tuple[NDArray[np.int32], int]:
    labels, count = ndimage.label(mask)
    return labels, int(count)


def _largest(mask: Mask) -> Mask:
    """The largest piece of a mask, joined along sides."""
    labels, count = _labels(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _closed(mask: Mask, reach: float) -> Mask:
    """The mask with what no disk of radius `reach` fits into; by distances, which cost the same for any radius."""
    if mask.all() or not mask.any():
        return mask
    near = ndimage.distance_transform_edt(~mask) <= reach
    return near if near.all() else np.asarray(ndimage.distance_transform_edt(near) > reach)


def _without_specks(mask: Mask) -> Mask:
    """The mask less the pieces that take up under a thousandth of the frame, as words burnt into padding do."""
    labels, count = _labels(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes >= mask.size / 1000)[labels])


def _eroded(mask: Mask, rim: int) -> Mask:
    """The mask less `rim` pixels along its edge, but not along the frame's."""
    if rim <= 0 or mask.all() or not mask.any():
        return mask
    return np.asarray(ndimage.distance_transform_edt(mask) > rim)


def _held(shape: tuple[int, int, int]) -> Mask:
    """An empty array of masks, in memory or, where it is large, in a temporary file."""
    if np.prod(shape, dtype=np.int64) <= IN_MEMORY:
        return np.zeros(shape, np.bool_)
    with TemporaryFile() as file:
        return np.memmap(file, np.bool_, "w+", shape=shape)
