"""The disk that a round field of view is, from its pixels."""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A round field of view: the pixels whose centres lie within `radius` of `(y, x)`, all in pixels."""

    y: float
    x: float
    radius: float
    misfit: float
    """Share of its pixels that the field it was fitted to does not hold: pores of the padding's level at its edge."""

    def pixels(self, size: tuple[int, int], *, rim: float = 0) -> Mask:
        """`(h, w)`, True within the disk less its rim."""
        y, x = np.ogrid[: size[0], : size[1]]
        return np.asarray((y - self.y) ** 2 + (x - self.x) ** 2 <= max(self.radius - rim, 0) ** 2)


def fit_disk(field: Mask) -> Disk | None:
    """The disk that a field of view is, by least squares on its outermost pixels; None where it is none.

    The frame may cut the disk, and pores may open to its outside. It is one where at most a thousandth of the field
    lies over a pixel outside, and the field comes within 1.5 pixels of three fifths of the circle's part in the frame.
    Source of the fit: Kåsa, IEEE Transactions on Instrumentation and Measurement 25, 1976.
    """
    height, width = field.shape
    points = _outline(field)
    near = _most_on_a_circle(points)
    if np.count_nonzero(near) < 12:
        return None
    y, x, _ = _circle(points[near])
    # centres of edge pixels lie up to a pixel inside the circle, the outermost of them on it
    radius = float(np.quantile(np.hypot(points[near, 0] - y, points[near, 1] - x), 0.95))
    pixels = Disk(y=y, x=x, radius=radius, misfit=0).pixels((height, width))
    misfit = float(np.count_nonzero(pixels & ~field)) / max(float(np.count_nonzero(pixels)), 1.0)
    disk = Disk(y=y, x=x, radius=radius, misfit=misfit)
    over = np.count_nonzero(field & ~disk.pixels((height, width), rim=-1))
    return disk if over <= field.sum() / 1000 and _met(disk, field) >= 0.6 else None


def _most_on_a_circle(points: NDArray[np.float64]) -> Mask:
    """Which of the points lie within a pixel of that circle through three of them which most lie on."""
    best = np.zeros(len(points), np.bool_)
    if len(points) < 3:
        return best
    spread = points[np.unique(np.linspace(0, len(points) - 1, 16).round().astype(int))]
    for three in combinations(spread, 3):
        y, x, radius = _circle(np.stack(three))
        near = np.abs(np.hypot(points[:, 0] - y, points[:, 1] - x) - radius) <= 1
        if np.count_nonzero(near) > np.count_nonzero(best):
            best = near
    return best


def _circle(points: NDArray[np.float64]) -> tuple[float, float, float]:
    """The y, x and radius of the circle that fits points `(k, 2)`, three or more, by least squares."""
    columns = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    (y, x, rest), *_ = np.linalg.lstsq(columns, (points**2).sum(axis=1), rcond=None)
    return float(y), float(x), math.sqrt(max(rest + y**2 + x**2, 0))


def _met(disk: Disk, field: Mask) -> float:
    """The share of the circle's part in the frame that the field reaches, 1.5 pixels inside it."""
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    y = np.rint(disk.y + (disk.radius - 1.5) * np.sin(angles)).astype(int)
    x = np.rint(disk.x + (disk.radius - 1.5) * np.cos(angles)).astype(int)
    seen = (y >= 0) & (y < field.shape[0]) & (x >= 0) & (x < field.shape[1])
    return float(field[y[seen], x[seen]].mean()) if seen.any() else 0.0


def hull(field: Mask) -> NDArray[np.int64]:
    """The corners `(k, 2)` of the convex hull of a field's pixel centres as (y, x), in order; none for a line."""
    points = _ends(field)
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except (QhullError, ValueError):
        return np.empty((0, 2), np.int64)


def _outline(field: Mask) -> NDArray[np.float64]:
    """The first and last pixel of a field in each row and column, `(k, 2)` as (y, x), but for those at the frame."""
    points = np.unique(np.concatenate([_ends(field), _ends(field.T)[:, ::-1]]), axis=0)
    last = np.array(field.shape) - 1
    return points[((points > 0) & (points < last)).all(axis=1)].astype(np.float64)


def _ends(field: Mask) -> NDArray[np.int64]:
    """The first and last pixel of a field in each row that has one, `(k, 2)` as (y, x)."""
    rows = np.flatnonzero(field.any(axis=1))
    first = field[rows].argmax(axis=1)
    last = field.shape[1] - 1 - field[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
