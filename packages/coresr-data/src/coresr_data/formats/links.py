"""Links among the files that people give: followed where they stay inside, on request where they leave."""

import os
from pathlib import Path


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
