"""Libraries that only some formats need: imported when a file of theirs is opened, missed in one clear line."""

from importlib import import_module
from typing import Any

NAMES = {
    "dicom": "DICOM",
    "matlab": "MATLAB 7.3",
    "nifti": "NIfTI",
    "nrrd": "NRRD",
    "tiff": "compressed TIFF",
    "zarr": "Zarr",
}
"""What each extra of coresr-data reads."""


class MissingExtraError(ImportError, ValueError):
    """A library is needed that is not installed; a ValueError too, so that command lines say it in one line."""

    exit_code = 69


def extra(module: str, name: str) -> Any:
    """The library `module` of the extra `name`; MissingExtraError, naming the extra, where it cannot be imported.

    >>> extra("json", "nifti").loads("[1]")
    [1]
    """
    try:
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        raise MissingExtraError(
            f"reading {NAMES[name]} must have {module}, got {'none' if absent else error}; "
            f'pip install "coresr-data[{name}]"'
        ) from error
