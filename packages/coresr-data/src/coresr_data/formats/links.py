"""Links among the files that people give: followed where they stay inside, on request where they leave."""

import os
from pathlib import Path

from coresr_data.formats.pieces import RefusedError, refuse_absent


def called(path: Path) -> str:
    """The name of a file or folder as it was given: a link's own, and that of the folder one stands in for `.`."""
    return path.name if path.name not in {"", ".."} else path.resolve().name


def refuse_link(path: Path, folder: Path, *, external_links: bool = False) -> None:
    """Let a file pass, or a link to one inside `folder`, or with `external_links` to one anywhere.

    FileNotFoundError for a link to nowhere, ValueError for one that leaves the folder or leads back to itself.
    """
    if not path.is_symlink():
        return
    said = path.readlink()
    try:
        target = Path(os.path.realpath(path, strict=True))
    except FileNotFoundError:
        raise FileNotFoundError(f"link {path} must lead to a file, got {said}, which is not there; mend it") from None
    except OSError as error:  # a circle of links
        raise ValueError(f"link {path} must lead to a file, got {said}: {error.strerror}; mend it") from None
    if not external_links and not target.is_relative_to(folder.resolve()):
        raise ValueError(
            f"link {path} must stay inside {folder}, got {target}; copy the file, or say --allow-external-links"
        )


def data_file(name: str, header: Path) -> Path:
    """The file of levels that a header names, which must lie beside it; RefusedError for any other, and for several."""
    if (
        Path(name).parts != (Path(name).name,)
        or "\\" in name
        or "%" in name
        or name.split(maxsplit=1)[0].upper() == "LIST"
    ):
        raise RefusedError(f"name one data file beside it, got {name!r}; put it there and write its bare name")
    data = header.parent / name
    refuse_absent(data, f"data file of {header}")
    if not Path(os.path.realpath(data)).is_relative_to(header.parent.resolve()):
        raise RefusedError(f"name a data file beside it, got {name!r}, a link to elsewhere; copy the file")
    return data
