"""Every file below a folder that may hold slices; links are held to the rules, and folders of them never entered."""

import os
from collections.abc import Iterator
from pathlib import Path

from coresr_data.checking.problems import said
from coresr_data.formats import kind_of
from coresr_data.formats.links import refuse_link

Found = tuple[Path, str | None]
"""A path, and what is wrong with it, if anything."""


def walk(root: Path, *, external_links: bool = False) -> Iterator[Found]:
    """Files, Zarr folders, and whatever must not be there, by name; what is hidden is passed over.

    A link to a file must stay below `root` unless `external_links`. A link to a folder is said and not followed, so
    that no circle of links is walked.
    """
    if not root.is_dir() or _is_zarr(root):
        yield root, None
        return
    yield from _folder(root, root, external_links)


def _folder(folder: Path, root: Path, external_links: bool) -> Iterator[Found]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield folder, said(error)
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if path.is_symlink():
            yield path, _wrong_link(path, root, external_links)
        elif path.is_dir():
            if _is_zarr(path):
                yield path, None
            else:
                yield from _folder(path, root, external_links)
        elif path.is_file():
            yield path, None
        else:
            yield path, "it must be a file or a folder, got a pipe, socket or device; remove it"


def _wrong_link(path: Path, root: Path, external_links: bool) -> str | None:
    try:
        refuse_link(path, root, external_links=external_links)
    except (OSError, ValueError) as error:
        return said(error)
    if path.is_dir():
        return f"link must lead to a file, got the folder {os.path.realpath(path)}; copy it, or check it by itself"
    return None


def _is_zarr(folder: Path) -> bool:
    try:
        return kind_of(folder) == "zarr"
    except OSError:
        return False
