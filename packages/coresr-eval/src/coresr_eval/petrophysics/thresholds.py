"""From grey levels to phases: thresholds are fixed on HR and applied unchanged to LR, bicubic, SR and HR.

Pores are dark: a pore is where the grey level is at most the threshold. Every function takes one array of any
shape or several of them (all the HR slices of a core), and the grey levels in whatever range all images share.
"""

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.filters import threshold_multiotsu

from coresr_eval.petrophysics.voxels import Floats, Pore

Images: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]]
_BINS = 2**16  # as many as a 16-bit image has levels
_AT_ONCE = 2**17  # voxels held in float64 together


def segment(image: ArrayLike, threshold: float) -> Pore:
    """True where `image` is pore: at or below the threshold.

    >>> segment([0.2, 0.5, 0.8], 0.5).tolist()
    [True, True, False]
    """
    array = finite(image)
    return np.asarray(array <= comparable(threshold, array))


def phases(image: ArrayLike, thresholds: Sequence[float]) -> NDArray[np.uint8]:
    """The number of each voxel's phase, 0 for the pore: how many of the rising `thresholds` its grey level exceeds.

    Where one phase meets another two grey levels away, the blur between them passes through the phases that lie
    between and paints a thin rim of those: Dice of a middle phase is low for that reason alone.

    >>> phases([0.2, 0.5, 0.8], (0.3, 0.6)).tolist()
    [0, 1, 2]
    """
    array = finite(image)
    if not 0 < len(thresholds) < 256 or list(thresholds) != sorted(set(thresholds)):
        raise ValueError(f"thresholds must be 1 to 255 rising numbers, got {list(thresholds)}")
    above = [array > comparable(threshold, array) for threshold in thresholds]
    return np.asarray(np.sum(above, axis=0), dtype=np.uint8)


def comparable(threshold: ArrayLike, image: NDArray[Any]) -> NDArray[np.floating]:
    """Thresholds in the precision of `image`: a comparison must not depend on the type that carries the number."""
    return np.atleast_1d(threshold).astype(np.result_type(image, np.float32))


def otsu(hr: Images) -> float:
    """The threshold that parts `hr` into two classes of least variance (Otsu 1979); ValueError where `hr` is flat.

    Exact for up to 2^16 grey levels, those of 8 and 16 bits, as integers or as floats: each gap between levels that
    occur is tried, and its middle returned, so that other images of two clear phases are parted between them
    (scikit-image's is the middle of one of 256 bins, often close to the darker phase). Of more levels, the gaps between
    2^16 bins from the least to the greatest are: the threshold is resolved to a bin, 1/65535 of that range, which a
    single voxel far off all others makes wide.
    """
    grey, counts = _levels(pooled(hr))
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    sums = np.cumsum(counts * grey)
    dark, bright = sums[:-1] / below, (sums[-1] - sums[:-1]) / above
    best = int(np.argmax(below * above * (bright - dark) ** 2))
    return float((grey[best] + grey[best + 1]) / 2)


def _levels(values: NDArray[Any]) -> tuple[Floats, Floats]:
    """The grey levels of `values` `(n,)`, rising, and how often each occurs; of too many, the means of their bins."""
    counts, sums, alone = np.zeros(_BINS), np.zeros(_BINS), np.full(_BINS, np.nan)
    single = True  # whether no bin holds two levels
    low, high = float(values.min()), float(values.max())
    for chunk in _chunks(values):
        part = chunk.astype(np.float64)
        bins = np.rint((part - low) / (high - low) * (_BINS - 1)).astype(np.int64)  # levels of 16 bits: each its own
        counts += np.bincount(bins, minlength=_BINS)
        sums += np.bincount(bins, weights=part, minlength=_BINS)
        if single:
            unseen = np.isnan(alone[bins])
            alone[bins[unseen]] = part[unseen]
            single = bool((alone[bins] == part).all())
    held = counts > 0
    if single:
        return alone[held], counts[held]
    known = _few(values)
    if known is None:
        return sums[held] / counts[held], counts[held]
    each = sum(np.bincount(np.searchsorted(known, chunk), minlength=known.size) for chunk in _chunks(values))
    return known.astype(np.float64), np.asarray(each, dtype=np.float64)


def _few(values: NDArray[Any]) -> NDArray[Any] | None:
    """The levels of `values` `(n,)`, rising, unless they are more than there are bins."""
    known = values[:0]
    for chunk in _chunks(values):
        known = np.union1d(known, chunk)
        if known.size > _BINS:
            return None
    return known


def _chunks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, values.size, _AT_ONCE))


def multi_otsu(hr: Images, *, classes: int) -> tuple[float, ...]:
    """The `classes - 1` thresholds of Otsu's criterion for several phases, rising; the pore lies below the first.

    By scikit-image, on 256 bins: each is the middle of a bin. The time grows steeply with the number of classes: 3 take
    milliseconds, 5 take seconds (Liao et al. 2001).
    """
    values = pooled(hr)
    if not 2 <= classes <= 5:
        raise ValueError(f"classes must be 2 to 5, got {classes}")
    found = threshold_multiotsu(values, classes=classes)  # type: ignore[no-untyped-call]
    return tuple(float(threshold) for threshold in found)


def threshold_from_labels(hr: Images, labels: Images, pore: int) -> float:
    """The threshold under which the dark part of `hr` has the best Dice with `labels == pore`.

    `labels` are phase numbers on the grid of `hr`. Exact: each gap between grey levels that occur is tried, and its
    middle returned. Raises ValueError where the shapes differ or no voxel, or every voxel, is labelled `pore`.
    """
    values, phases = pooled(hr), _joined(labels)
    if phases.size != values.size or [a.shape for a in _listed(hr)] != [a.shape for a in _listed(labels)]:
        raise ValueError(
            f"labels must have the shape of hr, got {[a.shape for a in _listed(labels)]} "
            f"for {[a.shape for a in _listed(hr)]}"
        )
    is_pore = phases == pore
    if not 0 < np.count_nonzero(is_pore) < is_pore.size:
        raise ValueError(f"labels must hold {pore} in some voxels and not in all, got {np.unique(phases).tolist()}")
    levels, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    hits = np.cumsum(np.bincount(inverse, weights=is_pore))
    dice = 2 * hits / (np.cumsum(counts) + np.count_nonzero(is_pore))
    best = int(np.argmax(dice[:-1]))
    return float((float(levels[best]) + float(levels[best + 1])) / 2)


def around(hr: Images, threshold: float, *, span: float = 0.2, count: int = 64) -> Floats:
    """`count` thresholds over `threshold ± span`, in parts of the contrast between the two phases of `hr`.

    The contrast is the distance between the mean grey levels below and above the threshold, so that one span means
    the same in coal, whose grey levels lie close together, and in sandstone. ValueError where a phase is empty.
    """
    values = pooled(hr)
    dark = values <= comparable(threshold, values)
    if not 0 < np.count_nonzero(dark) < dark.size:
        raise ValueError(f"threshold must lie between {values.min():.4g} and {values.max():.4g}, got {threshold:.4g}")
    if count < 2 or not span > 0:
        raise ValueError(f"span must be positive and count at least 2, got {span} and {count}")
    reach = span * float(values[~dark].mean(dtype=np.float64) - values[dark].mean(dtype=np.float64))
    return np.linspace(threshold - reach, threshold + reach, count)


def pooled(images: Images) -> NDArray[Any]:
    """All grey levels of the images in one row; ValueError unless finite and of two levels at least."""
    values = finite(_joined(images))
    if values.size == 0 or values.min() == values.max():
        raise ValueError(
            f"hr must hold two grey levels or more, got {np.unique(values).tolist()}; a flat image has none"
        )
    return values


def finite(image: ArrayLike) -> NDArray[Any]:
    """`image` as an array; ValueError where a grey level is not a number."""
    array = np.asarray(image)
    if not np.isfinite(array).all():
        raise ValueError(f"grey levels must be finite, got {int((~np.isfinite(array)).sum())} that are not")
    return array


def _listed(images: Images) -> list[NDArray[Any]]:
    return [images] if isinstance(images, np.ndarray) else [np.asarray(image) for image in images]


def _joined(images: Images) -> NDArray[Any]:
    listed = _listed(images)
    if not listed:
        raise ValueError("images must be one array or more, got none")
    return np.concatenate([image.ravel() for image in listed]) if len(listed) > 1 else listed[0].ravel()
