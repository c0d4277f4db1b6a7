"""Folders of slice images: PNG, TIFF, BMP and JPEG files, one slice each.

A file passes a gate first: opened by its content, a list of allowed formats and pixel modes, one frame, and never a
conversion that could change a grey level. A JPEG is lossy: its levels arrive as they were saved, not as they were
scanned.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from coresr_data.formats import page as tiff_page
from coresr_data.formats import picture
from coresr_data.formats.links import called, refuse_link
from coresr_data.formats.numbering import by_stem, numbers_of
from coresr_data.formats.pieces import RefusedError, refusals
from coresr_data.formats.voxels import Pixel, png_options, tiff_options
from coresr_data.volume import Levels, Volume, Voxel, refuse_bad_levels, stamped

SUFFIXES = (".png", ".tif", ".tiff")
"""Of the files that `write_slice` writes."""
READ_SUFFIXES = (*SUFFIXES, ".bmp", ".jpg", ".jpeg")
SAME_VOXEL = 1e-3
"""Relative difference of voxel sizes that rounding may make: PNG holds whole pixels a metre."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an image file says before it is decoded."""

    size: tuple[int, int]
    """Height and width."""
    dtype: np.dtype[np.generic]
    voxel_um: Voxel | None
    """Where slices do not say their distance and pixels are square, that of a cube."""


def open_slices(folder: Path, *, external_links: bool = False) -> Volume:
    """The slices of one core in `folder`, ordered by the number in their names.

    FileNotFoundError without folder or images; ValueError where `numbers_of` tells no order, two slices share a name, a
    link leaves the folder and `external_links` does not allow it, or, when it is read, a size, dtype or voxel differs
    from the first slice's. Of the files, the first one's header is read before a slice is asked for.
    """
    slices = _by_number(folder, external_links=external_links)
    return of_images(called(folder), slices, [look(slices[0][1])])


def open_sizes(folder: Path, *, external_links: bool = False) -> list[Volume]:
    """The slices of one core in `folder`, one volume per size, by number of the first slice: headers are read alone.

    The volumes share the core's name and keep the numbers that their slices have in the folder. Raises what
    `open_slices` does.
    """
    by_size: dict[tuple[int, int], list[tuple[int, Path]]] = {}
    headers: dict[tuple[int, int], list[Header]] = {}
    for number, path in _by_number(folder, external_links=external_links):
        header = look(path)
        headers.setdefault(header.size, []).append(header)
        by_size.setdefault(header.size, []).append((number, path))
    return [of_images(called(folder), slices, headers[size]) for size, slices in by_size.items()]


def open_image(path: Path) -> Volume:
    """A single image file as a volume of one slice."""
    return of_images(path.stem, [(0, path)], [look(path)])


def of_images(
    core: str, slices: Sequence[tuple[int, Path]], headers: Sequence[Header], *, folders: bool = False
) -> Volume:
    """Numbered image files as the slices of one core, in this order; `folders` keeps the folder of each in its name.

    `headers` are those that were read so far, of the first slice at least, which says size and dtype; the voxel is the
    one that most of them say. ValueError, when it is read, for a slice that differs in any of these.
    """
    paths = tuple(path for _, path in slices)
    voxels = Counter(header.voxel_um for header in headers if header.voxel_um).most_common(1)
    voxel_um = voxels[0][0] if voxels else None
    return Volume(
        core=core,
        numbers=tuple(number for number, _ in slices),
        names=tuple(f"{path.parent.name}/{path.name}" if folders else path.name for path in paths),
        size=headers[0].size,
        dtype=headers[0].dtype,
        read=_reader(paths, voxel_um),
        sources=paths,
        voxel_um=voxel_um,
        stamps=stamped(paths),
    )


def image_paths(folder: Path) -> list[Path]:
    """The image files directly in `folder` and the links to them, by name; hidden files are passed over."""
    return sorted(
        p
        for p in folder.iterdir()
        if p.suffix.lower() in READ_SUFFIXES
        and not p.name.startswith(".")
        and (p.is_file() or (p.is_symlink() and not p.is_dir()))
    )


def look(path: Path) -> Header:
    """Size, dtype and voxel of an image file from its header; ValueError where `read_slice` would refuse that."""
    return _through_the_gate(path, decode=False)[0]


def read_slice(path: Path) -> Levels:
    """One grey slice `(y, x)` in the file's own dtype: PNG, TIFF, BMP or JPEG, 8, 16, 32 bit or float.

    An RGB image is accepted if its channels are equal, an alpha channel if it is the same everywhere. ValueError,
    naming the file, for anything else: unreadable or truncated files, colour, palettes, several frames, an EXIF
    rotation, NaN or infinite pixels, and images that promise more than can be decoded whole.
    """
    levels = _through_the_gate(path, decode=True)[1]
    refuse_bad_levels(levels, str(path))
    return levels


def write_slice(path: Path, levels: Levels, *, voxel_um: Pixel | None = None) -> None:
    """Write `(y, x)` levels whole or not at all: PNG (uint8, uint16) or TIFF (float32 too), by the suffix of `path`.

    `voxel_um` is the sides of a pixel along y and x; ImageJ finds them in a TIFF.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"output must end in {', '.join(SUFFIXES)}, got {path}")
    if levels.ndim != 2:
        raise ValueError(f"levels must be (y, x), got shape {levels.shape} for {path}")
    if suffix == ".png" and levels.dtype not in (np.uint8, np.uint16):
        raise ValueError(
            f"output must be a TIFF for {levels.dtype} levels, got {path}; PNG holds 8 and 16 bit integers only"
        )
    options: dict[str, Any] = {}
    if voxel_um is not None:
        options = png_options(voxel_um) if suffix == ".png" else {**tiff_options(voxel_um), "metadata": None}
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]  # names may be as long as the file system allows
    aside = path.with_name(f".{digest}.tmp{suffix}")
    try:
        if suffix == ".png":
            Image.fromarray(levels).save(aside, **options)
        else:
            tifffile.imwrite(aside, levels, compression="zlib", photometric="minisblack", **options)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _reader(paths: Sequence[Path], voxel_um: Voxel | None) -> Callable[[int], Levels]:
    """Reads the i-th of the files, which must not say another voxel."""

    def read(index: int) -> Levels:
        header, levels = _through_the_gate(paths[index], decode=True)
        found = header.voxel_um
        if found and voxel_um and not np.allclose(found, voxel_um, rtol=SAME_VOXEL, atol=0):
            raise ValueError(
                f"slice {paths[index]} must have voxels of {_um(voxel_um)} like most of its core, "
                f"got {_um(found)}; resample it, or keep it in a folder of its own"
            )
        return levels

    return read


def _by_number(folder: Path, *, external_links: bool) -> list[tuple[int, Path]]:
    """Slice numbers and paths, ascending."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"slices must be a folder, got {folder}, which is {'a file' if folder.exists() else 'not there'}"
        )
    paths = image_paths(folder)
    if not paths:
        raise FileNotFoundError(
            f"folder must hold PNG, TIFF, BMP or JPEG slices, got {folder} with none; name another folder"
        )
    for path in paths:
        refuse_link(path, folder, external_links=external_links)
    by_stem(paths)
    return sorted(zip(numbers_of(paths), paths, strict=True))


def _through_the_gate(path: Path, *, decode: bool) -> tuple[Header, Levels]:
    """What the header says, and the levels if asked for, else none."""
    if not path.is_file():
        raise FileNotFoundError(f"slice must be an image file, got {path}, which is not there")
    with refusals(path, "slice"):
        with path.open("rb") as file:
            start = file.read(4)
        if start in tiff_page.MAGIC:
            return _tiff(path, decode=decode)
        kinds = [kind for magic, kind in picture.MAGIC.items() if start.startswith(magic)]
        if not kinds:
            raise RefusedError("be a readable PNG, TIFF, BMP or JPEG image, got another kind of file; replace it")
        with picture.opened(path, kinds[0]) as image:
            size, dtype = picture.shape_of(image)
            header = Header(size=size, dtype=dtype, voxel_um=picture.voxel_of(image))
            return header, picture.levels_of(image) if decode else np.empty((0, 0), dtype)


def _tiff(path: Path, *, decode: bool) -> tuple[Header, Levels]:
    if (count := len(tiff_page.directories(path))) != 1:
        raise RefusedError(f"be a single-page TIFF, got {count} pages; write one file per slice")
    with tiff_page.opened(path) as tiff:
        first = tiff.pages.first
        tiff_page.refuse_page(first, path.stat().st_size)
        size = (int(first.imagelength), int(first.imagewidth))
        if (depth := tiff_page.slices_in(first)) != 1:
            raise RefusedError(f"be a single image, got a stack {(depth, *size)}; write one file per slice")
        header = Header(size=size, dtype=np.dtype(first.dtype), voxel_um=tiff_page.page_voxel(first))
        return header, tiff_page.page_levels(first, path, frame=0) if decode else np.empty((0, 0), first.dtype)


def _um(voxel: Voxel) -> str:
    return "×".join(f"{side:g}" for side in voxel) + " µm"
