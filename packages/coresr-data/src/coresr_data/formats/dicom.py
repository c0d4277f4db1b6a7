"""DICOM: a folder with one series, or one file, by pydicom."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coresr_data.formats.dicom_file import KIND, Header, read_frame, read_header
from coresr_data.formats.extras import extra
from coresr_data.formats.links import called, refuse_link
from coresr_data.formats.pieces import refusals, volume_of
from coresr_data.volume import Volume, Voxel, stamped

SUFFIXES = (".dcm", ".dicom", ".ima")
MAGIC_AT, MAGIC = 128, b"DICM"
UNEVEN = 0.05  # of the usual distance between two slices, by which another may differ: files round it to 0.01 mm


def open_dicom(path: Path, *, external_links: bool = False) -> Volume:
    """The slices of the one series in a folder, or of one file, which may hold several frames.

    They are ordered by their positions along the normal of the slices, in the direction in which InstanceNumber
    ascends; where no positions are given by InstanceNumber. It is their number, too, but where it does not ascend from
    0, or skips numbers between slices that lie side by side: then they count from 0, for a number is a distance.
    The voxel is PixelSpacing and the distance of the positions (else SpacingBetweenSlices, else SliceThickness).

    Rescale slope and intercept are applied (see `rescale`), so CT arrives as Hounsfield units; PixelPaddingValue, a
    level outside of the field of view, stays as it is. ValueError, naming the file, for several series, uneven
    distances (a slice is missing), slices of different size, pixel type or rescaling, MONOCHROME1 (white is low),
    colour, enhanced multi-frame files, and pixels that pydicom cannot decode.
    """
    pydicom = extra("pydicom", "dicom")
    extra("pydicom.pixels", "dicom")
    if not path.exists():
        raise FileNotFoundError(f"DICOM series must be a folder or a file, got {path}, which is not there")
    paths = dicom_paths(path) if path.is_dir() else [path]
    if not paths:
        raise FileNotFoundError(f"folder must hold DICOM files, got {path} with none; name another folder")
    for file in paths if path.is_dir() else ():
        refuse_link(file, path, external_links=external_links)
    headers = [read_header(pydicom, file) for file in paths]
    _refuse_several_series(path, headers)
    if len(headers) == 1 and headers[0].frames > 1:
        return _of_frames(pydicom, headers[0])
    for header in headers:
        _refuse_other(header, headers[0])
    ordered, numbers, depth_mm = _ordered(path, headers)
    return Volume(
        core=called(path) if path.is_dir() else path.stem,
        numbers=numbers,
        names=tuple(header.path.name for header in ordered),
        size=ordered[0].size,
        dtype=ordered[0].scaled.dtype,
        read=lambda index: read_frame(pydicom, ordered[index], 0),
        sources=tuple(header.path for header in ordered),
        voxel_um=_voxel(ordered[0], depth_mm),
        stamps=stamped(header.path for header in ordered),
    )


def _of_frames(pydicom: Any, header: Header) -> Volume:
    with refusals(header.path, KIND):
        return volume_of(
            header.path,
            kind=KIND,
            core=header.path.stem,
            shape=(header.frames, *header.size),
            dtype=header.scaled.dtype,
            read=lambda index: read_frame(pydicom, header, index),
            voxel_um=_voxel(header, header.depth_mm),
        )


def dicom_paths(folder: Path) -> list[Path]:
    """The DICOM files directly in `folder`, by name: those of its suffixes, and those without one of its content.

    Hidden files and DICOMDIR, an index, are passed over.
    """
    return [
        p
        for p in sorted(folder.iterdir())
        if not p.name.startswith(".")
        and p.name.upper() != "DICOMDIR"
        and (p.is_file() or (p.is_symlink() and not p.is_dir()))
        and _is_dicom(p)
    ]


def _is_dicom(path: Path) -> bool:
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file() or (path.suffix and not path.suffix[1:].isdigit()):  # CT.1.2.840.113 is a usual name
        return False
    with path.open("rb") as file:
        file.seek(MAGIC_AT)
        return file.read(len(MAGIC)) == MAGIC


def _refuse_several_series(path: Path, headers: Sequence[Header]) -> None:
    series: dict[str, list[Header]] = {}
    for header in headers:
        series.setdefault(header.series, []).append(header)
    if len(series) > 1:
        held = "; ".join(f"{s[0].description} ({len(s)} files, {s[0].path.name} …)" for s in series.values())
        raise ValueError(
            f"folder {path} must hold one series, got {len(series)}: {held}; give each a folder of its own"
        )


def _refuse_other(header: Header, first: Header) -> None:
    """ValueError where two slices cannot lie in one volume."""
    if header.frames != 1:
        raise ValueError(
            f"{KIND} {header.path} must hold one frame like others of its folder, got {header.frames}; "
            "give it a folder of its own"
        )
    if header.image != first.image:
        said, wanted = (
            f"{h.size[0]}×{h.size[1]} {h.stored} × {h.scaled.slope:g} + {h.scaled.intercept:g}, pixels {h.pixel_mm} mm"
            for h in (header, first)
        )
        raise ValueError(
            f"{KIND} {header.path} must be {wanted}, like {first.path.name}, got {said}; "
            "remove it, or convert it to match"
        )


def _ordered(path: Path, headers: Sequence[Header]) -> tuple[list[Header], tuple[int, ...], float | None]:
    """The slices by depth, their numbers, and their distance in mm."""
    places = _places(path, headers)
    if places is None:
        ordered, depth_mm = _by_number(path, headers), headers[0].depth_mm
    else:
        order = np.argsort(places, kind="stable")
        ordered = [headers[index] for index in order]
        gaps = np.diff(places[order])
        _refuse_uneven(path, ordered, gaps)
        depth_mm = float(gaps.mean()) if len(gaps) else headers[0].depth_mm
    numbers = [header.number for header in ordered]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers) and all(a > b for a, b in pairwise(known)):
        ordered, known = ordered[::-1], known[::-1]
    most = 1 if places is not None else np.inf
    if len(known) == len(numbers) and all(0 < b - a <= most for a, b in pairwise(known)) and known[0] >= 0:
        return ordered, tuple(known), depth_mm
    return ordered, tuple(range(len(ordered))), depth_mm


def _places(path: Path, headers: Sequence[Header]) -> NDArray[np.float64] | None:
    """Where each slice lies along the normal in mm; None where no file says it."""
    placed = [(h.position, h.axes) for h in headers if h.position is not None and h.axes is not None]
    if not placed:
        return None
    if len(placed) < len(headers):
        raise ValueError(f"slices must all have a position, or none, got {len(placed)} of {len(headers)} in {path}")
    axes = placed[0][1]
    normal = np.cross(*axes)
    if not np.isclose(np.linalg.norm(normal), 1, atol=1e-3) or any(
        not np.allclose(other, axes, atol=1e-3) for _, other in placed
    ):
        raise ValueError(
            f"slices must be parallel, got several ImageOrientationPatient in {path}; sort them into folders"
        )
    return np.array([position @ normal for position, _ in placed])


def _by_number(path: Path, headers: Sequence[Header]) -> list[Header]:
    by_number = {header.number: header for header in headers}
    if len(by_number) < len(headers) or (len(headers) > 1 and None in by_number):
        raise ValueError(
            f"slices must have positions or instance numbers of their own, got neither in {path}; "
            "save them with one of these"
        )
    return sorted(headers, key=lambda header: header.number or 0)


def _refuse_uneven(path: Path, ordered: Sequence[Header], gaps: NDArray[np.float64]) -> None:
    if not len(gaps):
        return
    usual = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - usual)))
    if usual <= 0 or abs(gaps[worst] - usual) > UNEVEN * usual:
        raise ValueError(
            f"slices must lie evenly apart, got {gaps[worst]:g} mm between {ordered[worst].path.name} and "
            f"{ordered[worst + 1].path.name}, {usual:g} mm elsewhere, in {path}; "
            "add the missing slice, or give the slices on either side folders of their own"
        )


def _voxel(header: Header, depth_mm: float | None) -> Voxel | None:
    if header.pixel_mm is None or depth_mm is None:
        return None
    # rounded to a picometre, for the distance is a mean of differences
    z, y, x = (round(1000 * side, 6) for side in (depth_mm, *header.pixel_mm))
    return (z, y, x) if min(z, y, x) > 0 else None
