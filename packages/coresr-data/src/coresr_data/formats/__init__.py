"""What people's slices and volumes lie in: one file a format, each of which opens it as a `Volume`.

The libraries behind a format are imported when a file of its kind is opened.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coresr_data.volume import Volume

if TYPE_CHECKING:
    from coresr_data.formats.raw import RawHeader

Kind = Literal["slices", "zarr", "dicom", "tiff", "image", "npy", "npz", "matlab", "nrrd", "nifti", "metaimage", "raw"]
NAMED = ("npz", "matlab")
"""Kinds that hold arrays by name."""
STARTS: tuple[tuple[bytes, Kind], ...] = (
    *((magic, "tiff") for magic in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    *((magic, "image") for magic in (b"\x89PNG", b"BM", b"\xff\xd8\xff")),
    (b"\x93NUMPY", "npy"),
    (b"NRRD000", "nrrd"),
    (b"MATLAB 5.0", "matlab"),
    (b"MATLAB 7.3", "matlab"),
)
"""How files begin that show what they are."""
SUFFIXES: dict[str, Kind] = {
    ".npz": "npz",
    ".mat": "matlab",
    ".nhdr": "nrrd",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".mhd": "metaimage",
    ".mha": "metaimage",
    ".dcm": "dicom",
    ".raw": "raw",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".npy": "npy",
    ".nrrd": "nrrd",
    ".png": "image",
    ".bmp": "image",
    ".jpg": "image",
    ".jpeg": "image",
}
"""What a file is called that does not."""


def open_volume(
    path: Path, *, raw: "RawHeader | None" = None, variable: str | None = None, external_links: bool = False
) -> Volume:
    """The volume at `path`: a file, a Zarr folder, a folder of DICOM files, or one of slice images.

    `raw` says what a raw file holds, and makes one of any file; `variable` is the name of an array in an `.npz` or
    MATLAB file; `external_links` follows links out of a folder of files. A single image is a volume of one slice.
    FileNotFoundError where there is nothing, MissingExtraError where a library is needed, ValueError for whatever the
    format refuses.
    """
    if not path.exists():
        raise FileNotFoundError(f"volume must be a file or a folder, got {path}, which is not there")
    kind: Kind | None = "raw" if raw is not None else kind_of(path)
    if variable is not None and kind not in NAMED:
        raise ValueError(f"variable must be asked of .npz and .mat files, got {variable} of {path}; leave it out")
    if kind is None:
        raise ValueError(
            f"volume {path} must be one of {', '.join(SUFFIXES)}, got another kind of file; convert it, "
            "or say what it holds as raw levels: --raw 200x500x500:uint16:little"
        )
    if path.is_dir() and kind != "zarr":
        refuse_mixed(path)
    return _opener(kind, raw, variable, external_links=external_links)(path)


def looks_like_volume(path: Path) -> bool:
    """Whether `path` by itself holds slices one behind the other: no folder of images, no single image.

    Headers are read, and ValueError is raised for a TIFF that is refused.
    """
    kind = kind_of(path) if path.exists() else None
    if kind == "tiff":
        from coresr_data.formats.tiff import open_tiff

        return len(open_tiff(path)) > 1
    return kind not in (None, "slices", "image")


def refuse_mixed(folder: Path, *, remedy: str = "") -> None:
    """ValueError where slice images and a volume lie together in a folder: which is the data, nobody said."""
    from coresr_data.formats.images import image_paths

    images = image_paths(folder)
    files = set(folder.iterdir()).difference(images) if images else set()
    volumes = [path for path in sorted(files) if path.name[0] != "." and may_be_volume(path)]
    tiffs = [path for path in images if SUFFIXES[path.suffix.lower()] == "tiff"]
    if tiffs and may_be_volume(tiffs[0]):  # one is looked at: slices are thousands, and stacks among them are refused
        volumes, images = tiffs[:1], [path for path in images if not may_be_volume(path)]
    if images and volumes:
        raise ValueError(
            f"folder must hold slice images or a volume, got both in {folder}: {images[0].name} and "
            f"{volumes[0].name}; give each a folder of its own{remedy}"
        )


def may_be_volume(path: Path) -> bool:
    """Whether a file or folder looks like a volume; what cannot be opened is refused where it is read."""
    try:
        return (path.is_file() or path.is_dir()) and looks_like_volume(path)
    except (OSError, ValueError):
        return False


def kind_of(path: Path) -> Kind | None:
    """What `path` is, by its first bytes where they show it, else by its name; None where neither is known."""
    if path.is_dir():
        return _kind_of_folder(path)
    with path.open("rb") as file:
        start = file.read(132)
    for magic, kind in STARTS:
        if start.startswith(magic):
            return kind
    if start[128:132] == b"DICM":
        return "dicom"
    name = path.name.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if name.endswith(suffix)), None)


def _kind_of_folder(folder: Path) -> Kind:
    from coresr_data.formats.dicom import dicom_paths
    from coresr_data.formats.images import image_paths

    if any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs")):
        return "zarr"
    if any(path.suffix.lower() == ".dcm" for path in folder.iterdir()):
        return "dicom"
    return "dicom" if not image_paths(folder) and dicom_paths(folder) else "slices"


def _opener(
    kind: Kind, raw: "RawHeader | None", variable: str | None, *, external_links: bool
) -> Callable[[Path], Volume]:
    from coresr_data.formats import arrays, dicom, images, matlab, metaimage, nifti, nrrd, tiff, zarr
    from coresr_data.formats import raw as raw_format

    openers: dict[Kind, Callable[[Path], Volume]] = {
        "slices": partial(images.open_slices, external_links=external_links),
        "image": images.open_image,
        "tiff": tiff.open_tiff,
        "npy": arrays.open_npy,
        "npz": partial(arrays.open_npz, variable=variable),
        "matlab": partial(matlab.open_matlab, variable=variable),
        "nrrd": nrrd.open_nrrd,
        "nifti": nifti.open_nifti,
        "metaimage": metaimage.open_metaimage,
        "dicom": partial(dicom.open_dicom, external_links=external_links),
        "zarr": zarr.open_zarr,
        "raw": partial(raw_format.open_raw, header=raw) if raw else raw_format.refuse_without_header,
    }
    return openers[kind]
