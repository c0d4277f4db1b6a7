"""Synthetic cores: four rocks grown in 3-D, then passed through a scanner; the embedded default data.

Every phase is painted with sub-voxel coverage from the distance to its surface, so edges are sharp and
anti-aliased before the scanner blurs them. Lengths of a rock are micrometres, lengths inside a function voxels
(isotropic), grey levels those of 8-bit images. Bedding, where a rock has it, lies across y.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from coresr_data.formats.images import write_slice
from coresr_data.patches import keyed
from coresr_data.store import written_aside

__all__ = ["ROCKS", "Rock", "phantom", "write_phantom"]

Volume: TypeAlias = NDArray[np.floating]  # (z, y, x), float32
Shape: TypeAlias = tuple[int, int, int]
Length: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rock:
    """One rock and the scanner it was seen with.

    `name` is the core's folder and part of its random key. `grow` paints the rock as grey levels `(z, y, x)`.
    """

    name: str
    grow: Callable[["Rock", Generator, Shape], Volume]
    voxel_um: float  # edge of a voxel, micrometres
    grain_um: float  # mean distance between grain centres (coal: between cleats), micrometres
    porosity: float  # fraction of the volume open, before clay and cement take their part (coal: in cleats)
    pore: float  # grey level of open pores
    matrix: float  # grey level of the most common solid
    heavy: float  # grey level of the densest mineral
    psf: float  # standard deviation of the scanner's point spread, voxels
    noise: float  # standard deviation of the noise in the matrix, grey levels
    rings: float  # typical height of a ring artefact, grey levels
    cupping: float  # beam hardening: the rim is brighter than the axis by this fraction


class Grains(NamedTuple):
    """A Voronoi packing, each array `(z, y, x)`: own and next grain's number, distances in voxels."""

    own: NDArray[np.int32]
    other: NDArray[np.int32]
    radius: Volume  # to the own grain's centre
    seam: Volume  # to the wall that both grains share
    total: int  # of the centres


def _field(rng: Generator, shape: Shape, length: float | Length) -> Volume:
    """Gaussian random field of mean 0 and variance 1, covariance exp(-r²/4 length²), not periodic."""
    lengths = length if isinstance(length, tuple) else (length, length, length)
    grid = [np.arange(-3 * sigma, count + 3 * sigma, sigma) for count, sigma in zip(shape, lengths, strict=True)]
    field: Volume = rng.standard_normal([len(nodes) for nodes in grid], dtype=np.float32)
    for count, sigma, nodes in zip(shape, lengths, grid, strict=True):
        away = (np.arange(count)[:, None] - nodes) / sigma
        weights = np.where(np.abs(away) < 3.5, np.exp(-0.5 * away**2), 0)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        # Sparse, for a dense product would round otherwise with another number of threads.
        spread = csr_array(weights.astype(np.float32)) @ field.reshape(len(nodes), -1)
        field = np.ascontiguousarray(np.moveaxis(spread.reshape(count, *field.shape[1:]), 0, -1))
    return field


def _sheet(field: Volume, length: float) -> Volume:
    """Distance in voxels to the field's zero surface, from its mean slope: curved sheets, hence cracks."""
    return np.abs(field) * (2**0.5 * length)


def _inside(distance: Volume) -> Volume:
    """Share of a voxel, 0 to 1, within a surface whose signed distance (positive inside) is given in voxels."""
    share: Volume = np.clip(distance + 0.5, 0, 1)
    return share


def _open(distance: Volume, porosity: float) -> Volume:
    """The signed distance moved so that the given fraction of the volume is positive, that is open."""
    return distance - np.float32(np.quantile(distance[:, ::2, ::2], 1 - porosity))


def _paint(volume: Volume, coverage: Volume, grey: Volume | float) -> None:
    volume += coverage * (grey - volume)


def _grains(rng: Generator, shape: Shape, spacing: float, *, warp: float, flat: float = 1.0) -> Grains:
    """Grains `spacing` voxels apart, walls bent by `warp` voxels, thinner along y by the factor `flat`."""
    stretch = np.array([1.0, flat, 1.0])
    low, high = np.full(3, -1.5 * spacing), (np.array(shape) * stretch) + 1.5 * spacing
    centres = rng.uniform(low, high, (int(3 * np.prod(high - low) / spacing**3), 3))
    # A centre yields to an earlier one that is near: sizes become even, as wind and water sort them.
    close = cKDTree(centres).query_pairs(0.72 * spacing, output_type="ndarray")
    centres = np.delete(centres, np.unique(close.max(axis=1)), axis=0)
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(np.float32)
    for axis in range(3):
        points[..., axis] += warp * _field(rng, shape, 0.3 * spacing) + 0.1 * warp * _field(rng, shape, 2.5)
    points *= stretch.astype(np.float32)
    near = np.empty((2, *shape), np.int32)
    radius, seam = np.empty((2, *shape), np.float32)
    tree = cKDTree(centres)
    for z in range(shape[0]):  # plane by plane, for the tree answers in wide numbers
        distance, index = tree.query(points[z], k=2, workers=-1)
        near[:, z], radius[z] = np.moveaxis(index, -1, 0), distance[..., 0]
        gap = np.linalg.norm(centres[index[..., 1]] - centres[index[..., 0]], axis=-1)
        seam[z] = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * gap)
    return Grains(near[0], near[1], radius, seam, len(centres))


def _per_grain(grains: Grains, values: NDArray[np.floating | np.bool_]) -> Volume:
    """One value per grain spread over the volume, mixed in the voxels that a wall cuts."""
    values = values.astype(np.float32)
    return values[grains.other] + _inside(grains.seam) * (values[grains.own] - values[grains.other])


def _sandstone(rock: Rock, rng: Generator, shape: Shape) -> Volume:
    """Well-sorted rounded grains of quartz, feldspar and rock fragments, clay coats and fills, heavy minerals."""
    spacing = rock.grain_um / rock.voxel_um
    grains = _grains(rng, shape, spacing, warp=0.07 * spacing)
    kind = rng.choice(4, grains.total, p=[0.7, 0.14, 0.1, 0.06])  # quartz, feldspar, rock fragment, dissolved
    volume = _per_grain(grains, rock.matrix + np.array([0.0, 24.0, 6.0, 0.0])[kind])
    mottle = _field(rng, shape, 0.9)
    patchy = _field(rng, shape, 0.25 * spacing)
    cleavage = _sheet(_field(rng, shape, (6.0, 2.0, 9.0)), 2.0)
    volume += 15 * mottle * _per_grain(grains, kind == 2)
    leached = _inside(2 * patchy - 0.4) * _per_grain(grains, kind == 1)
    _paint(volume, _inside(0.2 - cleavage) * leached, rock.pore + 20)
    crack = _sheet(_field(rng, shape, 0.3 * spacing), 0.3 * spacing)
    cracked = _per_grain(grains, rng.random(grains.total) < 0.25)
    _paint(volume, _inside(0.2 - crack) * cracked, rock.pore)
    _paint(volume, _inside(6 * (_field(rng, shape, 1.2) - 3.1)), rock.pore + 10)  # fluid inclusions
    # Pores open where grain balls leave the corners of their cells free; seams are the narrow throats between.
    edge: Volume = grains.radius - _per_grain(grains, rng.normal(0, 0.06 * spacing, grains.total))
    edge = _open(edge + 0.5 * _field(rng, shape, 1.5), rock.porosity)
    edge = np.maximum(edge, 1.1 * _field(rng, shape, 0.3 * spacing) - 0.3 - grains.seam)
    rim = np.clip(1.2 + 1.3 * _field(rng, shape, 0.5 * spacing), 0, 3)
    clay = _inside(2 * _field(rng, shape, 0.35 * spacing) - 0.9)
    sponge = _inside(1.2 * mottle + 0.1)
    opened = _inside(edge)
    _paint(volume, opened, rock.pore)
    _paint(volume, np.maximum(opened - _inside(edge - rim), clay * opened * sponge), rock.matrix - 20)
    dissolved = _per_grain(grains, kind == 3) * _inside(2 * patchy + 1)
    _paint(volume, dissolved * _inside(0.4 - 1.3 * mottle), rock.pore)
    _paint(volume, _inside(4 * (_field(rng, shape, 2.0) + 0.5 * patchy - 3.1)), rock.heavy)
    return volume


def _carbonate(rock: Rock, rng: Generator, shape: Shape) -> Volume:
    """Ooids and shells with micropores, rimmed and partly sealed by calcite crystals, then dissolved into vugs."""
    spacing = rock.grain_um / rock.voxel_um
    grains = _grains(rng, shape, spacing, warp=0.04 * spacing)
    crystals = _grains(rng, shape, 0.24 * spacing, warp=0.0)
    fine = _field(rng, shape, 0.8)
    radius = grains.radius - _per_grain(grains, rng.normal(0, 0.07 * spacing, grains.total))
    outside = _open(radius, rock.porosity)
    wall = float((radius - outside).flat[0])
    # Laminae coat a nucleus and are worn off some grains, which are plain lime mud then.
    coated = _per_grain(grains, rng.uniform(-6, 16, grains.total).clip(0)) * _inside(0.5 * (radius - 0.3 * wall))
    lamina = np.sin(radius * (2 * np.pi / 4.5) + 1.5 * _field(rng, shape, 0.2 * spacing))
    volume = _per_grain(grains, rock.matrix - rng.uniform(14, 34, grains.total)) + coated * lamina + 7 * fine
    shell = _per_grain(grains, rng.random(grains.total) < 0.2)
    hollow = _inside(0.62 * wall - radius) * shell
    _paint(volume, shell, rock.matrix - 12 + 3 * fine)
    _paint(volume, hollow, rock.matrix - 45 + 28 * fine)
    _paint(volume, shell * _inside(1.6 - np.abs(radius - 0.66 * wall)), rock.matrix + 12)
    leached = 0.5 * _field(rng, shape, 0.3 * spacing) + _per_grain(grains, rng.normal(0, 0.5, grains.total))
    _paint(volume, _inside(2 * (fine + leached - 1.7)), rock.pore + 10)
    # Cement: a rim of even thickness first, then whole crystals, so that what stays open has flat faces.
    sealed = _per_grain(crystals, rng.random(crystals.total) < 0.5)
    between = _inside(np.maximum(outside, 0.5 - grains.seam))
    rim = np.clip(2.0 + 0.6 * _field(rng, shape, 4.0), 0.8, 4)
    _paint(volume, between, rock.matrix + 8)
    _paint(volume, between * _inside(0.3 - crystals.seam) * 0.35, rock.pore)
    _paint(volume, _inside(outside - rim) * (1 - sealed), rock.pore)
    vug = 0.4 * spacing * (_field(rng, shape, 0.45 * spacing) - 1.75) + 0.7 * _field(rng, shape, 2.0)
    _paint(volume, _inside(vug), rock.pore)
    _paint(volume, _inside(5 * (_field(rng, shape, 1.6) - 3.6)), rock.heavy)
    return volume


def _siltstone(rock: Rock, rng: Generator, shape: Shape) -> Volume:
    """Silt grains in laminated clay, with mica flakes, organic streaks, pyrite and cracks along the bedding."""
    spacing = rock.grain_um / rock.voxel_um
    grains = _grains(rng, shape, spacing, warp=0.08 * spacing, flat=1.5)
    lamina = _field(rng, shape, (60.0, 4.0, 60.0)) + 0.6 * _field(rng, shape, (90.0, 14.0, 90.0))
    volume = rock.matrix - 28 - 9 * lamina + 9 * _field(rng, shape, (1.3, 0.7, 1.3))
    brighter = np.array([4.0, 22.0, 48.0, -34.0])  # than the matrix: quartz, feldspar, carbonate, clay clast
    minerals = rng.choice(brighter, grains.total, p=[0.6, 0.2, 0.13, 0.07])
    size = _per_grain(grains, rng.normal(0, 0.13 * spacing, grains.total)) + 0.1 * spacing * lamina
    silt = _inside(np.minimum(0.54 * spacing + size - grains.radius, grains.seam - 0.3))
    _paint(volume, silt, _per_grain(grains, rock.matrix + minerals))
    open_clay = (1 - silt) * _inside(3 * _open(_field(rng, shape, (1.0, 0.8, 1.0)), rock.porosity))
    _paint(volume, open_clay, rock.pore)
    _paint(volume, _inside(3 * (_field(rng, shape, (4.0, 0.7, 4.0)) - 2.3)), rock.matrix + 42)
    organic = _field(rng, shape, (8.0, 1.0, 8.0)) - 0.3 * lamina - 1.9
    _paint(volume, _inside(2.5 * organic), rock.pore + 12)
    _paint(volume, _inside(_fractures(rng, shape, 1, spacing=60.0, widest=0.9)), rock.pore - 8)
    cluster = 0.35 * _field(rng, shape, 9.0)
    _paint(volume, _inside(5 * (_field(rng, shape, 1.5) + cluster - 3.5)), rock.heavy)
    return volume


def _fractures(rng: Generator, shape: Shape, axis: int, *, spacing: float, widest: float) -> Volume:
    """Signed distance (positive inside) to near-parallel fractures across one axis, lens by lens, in voxels."""
    across = np.arange(shape[axis], dtype=np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    across = across + 1.2 * _field(rng, shape, 14.0) + 0.25 * _field(rng, shape, 2.0)
    planes = np.cumsum(rng.uniform(0.4, 1.6, int(shape[axis] / spacing) + 6) * spacing) - 2 * spacing
    after = np.clip(np.searchsorted(planes, across), 1, len(planes) - 1)
    distance = np.minimum(np.abs(across - planes[after - 1]), np.abs(planes[after] - across))
    aperture = np.minimum(0.7 * widest * _field(rng, shape, (20.0, 13.0, 20.0)) - 0.4, widest)
    opened: Volume = aperture - distance.astype(np.float32)
    return opened


def _coal(rock: Rock, rng: Generator, shape: Shape) -> Volume:
    """Bright and dull bands, fossil wood cells, cleats across the bedding, open or sealed by minerals."""
    spacing = rock.grain_um / rock.voxel_um
    band = _field(rng, shape, (70.0, 7.0, 70.0)) + 0.1 * _field(rng, shape, 5.0)
    dull = _inside(8 * (band - 0.2))
    volume = rock.matrix + 3 * _field(rng, shape, (40.0, 1.5, 40.0)) + 14 * dull
    volume += 16 * dull * _field(rng, shape, (2.5, 0.8, 2.5))
    cells = _grains(rng, shape, 6.5, warp=0.8, flat=1.3)
    wood = _inside(8 * (band - 0.7)) * _inside(4 * (_field(rng, shape, (40.0, 8.0, 22.0)) + 0.5))
    _paint(volume, wood, rock.matrix + 38)
    lumen = rock.pore + _per_grain(cells, rng.uniform(0, 25, cells.total))
    _paint(volume, wood * _inside(cells.seam - 0.9), lumen)
    macerals = _inside(3 * (_field(rng, shape, (5.0, 0.9, 5.0)) - 1.9))
    _paint(volume, macerals, rock.matrix + 34)
    sealed = _inside(2 * (_field(rng, shape, 25.0) + 0.3 * _field(rng, shape, 1.5) - 0.5))
    face = _fractures(rng, shape, 2, spacing=spacing, widest=2.2)
    butt = _fractures(rng, shape, 0, spacing=1.7 * spacing, widest=2.2)
    fracture = _inside(_open(np.maximum(face, butt), rock.porosity)) * (1 - 0.8 * wood)
    _paint(volume, fracture, rock.pore + sealed * (rock.heavy - 40 - rock.pore))
    _paint(volume, _inside(_fractures(rng, shape, 1, spacing=1.5 * spacing, widest=0.8)), rock.pore)
    _paint(volume, _inside(4 * (_field(rng, shape, (2.0, 1.2, 2.0)) + 0.3 * dull - 2.9)), rock.heavy)
    return volume


def _scan(rock: Rock, rng: Generator, volume: Volume) -> NDArray[np.uint8]:
    """Blur, beam hardening, rings and noise of one scanner; rounds to 8 bit, clipping at 0 and 255."""
    slices, height, width = volume.shape
    seen: Volume = gaussian_filter(volume, rock.psf, truncate=3.5)
    middle = (np.array([height, width]) - 1) / 2 + rng.normal(0, 0.02, 2) * width
    y, x = np.ogrid[:height, :width]
    radius = np.hypot(y - middle[0], x - middle[1])
    seen *= (1 + rock.cupping * ((radius / (0.5 * width)) ** 2 - 0.7)).astype(np.float32)
    # A faulty detector column makes one ring and stays faulty for some slices; cubing leaves few of them.
    columns = _field(rng, (slices, 1, width + height), (6.0, 1.0, 0.6))[:, 0]
    seen += rock.rings * 0.3 * (columns**3)[:, np.rint(radius).astype(int)]
    # Counted photons give variance in proportion to the signal, electronics a constant one, and the filter of
    # the reconstruction correlates neighbours.
    variance = rock.noise**2 * (0.4 + 0.6 * np.maximum(seen, 0) / rock.matrix)
    seen += np.sqrt(variance) * _field(rng, volume.shape, (0.4, 0.55, 0.55))
    grey: NDArray[np.uint8] = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    return grey


ROCKS: tuple[Rock, ...] = (
    Rock(
        name="sandstone", grow=_sandstone, voxel_um=6.0, grain_um=190.0, porosity=0.17,
        pore=34.0, matrix=128.0, heavy=238.0, psf=0.7, noise=4.0, rings=0.8, cupping=0.04,
    ),
    Rock(
        name="carbonate", grow=_carbonate, voxel_um=10.0, grain_um=320.0, porosity=0.34,
        pore=30.0, matrix=164.0, heavy=228.0, psf=0.75, noise=3.4, rings=0.6, cupping=0.06,
    ),
    Rock(
        name="siltstone", grow=_siltstone, voxel_um=3.0, grain_um=30.0, porosity=0.07,
        pore=42.0, matrix=122.0, heavy=240.0, psf=0.7, noise=3.0, rings=0.8, cupping=0.03,
    ),
    Rock(
        name="coal", grow=_coal, voxel_um=10.0, grain_um=300.0, porosity=0.03,
        pore=24.0, matrix=84.0, heavy=215.0, psf=0.7, noise=2.9, rings=0.5, cupping=0.08,
    ),
)  # fmt: skip


def _at_least(what: str, least: int, value: int) -> None:
    if value < least:
        raise ValueError(f"{what} must be at least {least}, got {value}; ask for {least} or more")


def phantom(rock: Rock, *, slices: int, size: int, seed: int) -> NDArray[np.uint8]:
    """One synthetic core `(z, y, x)` = `(slices, size, size)`, 8-bit grey levels, isotropic voxels.

    A pure function of its arguments; the rock enters the random key by its name. Raises ValueError for slices
    below 1 or size below 16.

    >>> phantom(ROCKS[0], slices=2, size=32, seed=0).shape
    (2, 32, 32)
    """
    _at_least("slices", 1, slices)
    _at_least("size", 16, size)
    rng = keyed("phantom", rock.name, slices, size, seed)
    return _scan(rock, rng, rock.grow(rock, rng, (slices, size, size)))


def write_phantom(
    out: Path, *, cores: int = 4, slices: int = 24, size: int = 256, spacing: int = 4, seed: int = 0
) -> list[Path]:
    """Write `OUT/<core>/0000.png 0004.png …`, 8-bit grey, and return the core folders; beyond four the rocks repeat.

    Cores are `slices · spacing` voxels deep and every `spacing`-th slice is written: 24 slices in a row would show
    one layer of grains, too alike to train on some and test on others. The folder appears whole or not at all.
    Raises FileExistsError where `out` holds anything, and ValueError for cores, slices or spacing below 1 or size
    below 16.
    """
    _at_least("cores", 1, cores)
    _at_least("slices", 1, slices)
    _at_least("spacing", 1, spacing)
    _at_least("size", 16, size)
    names = []
    with written_aside(out) as aside:
        for number in range(cores):
            again, which = divmod(number, len(ROCKS))
            rock = ROCKS[which]
            rock = replace(rock, name=f"{rock.name}-{again + 1}") if again else rock
            (aside / rock.name).mkdir()
            core = phantom(rock, slices=slices * spacing, size=size, seed=seed)
            for z in range(0, slices * spacing, spacing):
                write_slice(aside / rock.name / f"{z:04d}.png", core[z])
            names.append(rock.name)
    return [out / name for name in names]
