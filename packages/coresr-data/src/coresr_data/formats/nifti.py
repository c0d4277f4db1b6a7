"""NIfTI volumes: `.nii`, and `.nii.gz` read from front to back.

The header is the one of https://nifti.nimh.nih.gov (nifti1.h, nifti2.h), parsed by nibabel; x varies fastest.
"""

import gzip
import re
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from coresr_data.formats.extras import extra
from coresr_data.formats.pieces import (
    RefusedError,
    raw_pieces,
    refusals,
    refuse_absent,
    refuse_dtype,
    refuse_length,
    refuse_ratio,
    refuse_shape,
    streamed_pieces,
    volume_of,
    whole_levels,
)
from coresr_data.formats.rescale import rescale
from coresr_data.formats.voxels import cubic
from coresr_data.volume import Levels, Volume, Voxel

KIND = "NIfTI file"
MICROMETRES = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
NIFTI1_SIZE, NIFTI2_SIZE = 348, 540  # bytes of header, which are its first number


def open_nifti(path: Path) -> Volume:
    """The slices a[:, :, i] of a 3-D file as `(y, x)`, of a 2-D one its only slice; a 4-D one must hold one volume.

    Slope and intercept are applied: see `rescale`. The voxel is known where the header gives a unit and three sides.
    Axes stay in the order of the file: its orientation in space is not applied. Going through a `.nii.gz` in order
    decodes it once; going back starts over. ValueError, naming the file, for whatever is not a readable grey NIfTI
    file.
    """
    nibabel = extra("nibabel", "nifti")
    refuse_absent(path, KIND)
    with refusals(path, KIND):
        header = _header(nibabel, path)
        dtype, start = header.get_data_dtype(), header.get_data_offset()
        depth, height, width = shape = _shape(header)
        refuse_shape(shape)
        refuse_dtype(dtype)
        length = height * width * dtype.itemsize
        if start < header["sizeof_hdr"]:
            raise RefusedError(f"say where its levels start, got byte {start}; replace it")
        if _packed(path):
            refuse_ratio(path.stat().st_size, start + depth * length)
            pieces = streamed_pieces(lambda: _opened(path), start=start, length=length, count=depth)
        else:
            refuse_length(path, start + depth * length)
            pieces = raw_pieces(path, start=start, length=length)
        slope, intercept = header.get_slope_inter()
        scaled = rescale(dtype.newbyteorder("="), slope or 1.0, intercept or 0.0)

        def read(index: int) -> Levels:
            return scaled(whole_levels(pieces(index), (height, width), dtype))

        core = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE) or path.name
        return volume_of(
            path, kind=KIND, core=core, shape=shape, dtype=scaled.dtype, read=read, voxel_um=_voxel(header)
        )


def _packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _opened(path: Path) -> gzip.GzipFile | BufferedReader:
    return gzip.open(path) if _packed(path) else path.open("rb")


def _header(nibabel: Any, path: Path) -> Any:
    with _opened(path) as file:
        data = file.read(NIFTI2_SIZE)
    size = {int.from_bytes(data[:4], order) for order in ("little", "big")}
    if len(data) < NIFTI1_SIZE or not size & {NIFTI1_SIZE, NIFTI2_SIZE}:
        raise RefusedError(f"begin with a NIfTI header, got {data[:8]!r}; replace it")
    if NIFTI2_SIZE in size:
        header = nibabel.Nifti2Header(data, check=False)
    else:
        header = nibabel.Nifti1Header(data[:NIFTI1_SIZE], check=False)
    if header["magic"].item()[:3] not in (b"n+1", b"n+2"):
        raise RefusedError(f"hold header and levels in one file, got magic {header['magic'].item()!r}; save it as .nii")
    return header


def _shape(header: Any) -> tuple[int, int, int]:
    """(z, y, x)."""
    shape = tuple(int(side) for side in header.get_data_shape())
    if len(shape) < 2 or any(side != 1 for side in shape[3:]):
        raise RefusedError(f"hold one 2-D or 3-D volume, got shape {'×'.join(map(str, shape))}; save one volume a file")
    return (shape[2] if len(shape) > 2 else 1, shape[1], shape[0])


def _voxel(header: Any) -> Voxel | None:
    unit = MICROMETRES.get(header.get_xyzt_units()[0])
    # the shortest decimal that is this float32: 0.00223 and not 0.0022299999836832285
    sides = [float(str(side)) * unit for side in header.get_zooms()[:3]] if unit else []
    if not sides or not all(0 < side < np.inf for side in sides):
        return None
    x, y, *z = sides
    return (z[0], y, x) if z else cubic((y, x))
