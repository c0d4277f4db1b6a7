"""Leave out what cannot be used, on request, and say why: unreadable, constant and wrongly sized slices."""

import os
from dataclasses import replace
from pathlib import Path

from coresr_data.formats.images import Header, image_paths, look, of_images
from coresr_data.formats.links import called, refuse_link
from coresr_data.formats.numbering import by_stem, numbers_of, unlike
from coresr_data.layouts.sources import Source, only
from coresr_data.volume import Levels, printable

Reason = tuple[str, str]
"""What was left out, and why."""


def open_readable(folder: Path, *, several_sizes: bool = False, external_links: bool = False) -> list[Source]:
    """The slices of a folder whose headers can be read, of the size and dtype that most have, or of each.

    A name that holds more or fewer numbers than most is left out. FileNotFoundError where nothing is left, ValueError
    where two slices share a name or a number: which of them is good, nobody said.
    """
    core, paths = called(folder), image_paths(folder)
    by_stem(paths)
    skipped = [(_named(core, path.name), _reason(reason, folder)) for path, reason in unlike(paths).items()]
    ordered = [path for path in paths if path not in unlike(paths)]
    kinds: dict[str, list[tuple[int, Path]]] = {}
    headers: dict[Path, Header] = {}
    for number, path in sorted(zip(numbers_of(ordered), ordered, strict=True)):
        try:
            refuse_link(path, folder, external_links=external_links)
            header = headers[path] = look(path)
        except (OSError, ValueError) as error:
            skipped.append((_named(core, path.name), _reason(str(error), folder)))
            continue
        kinds.setdefault(f"{header.size[0]}×{header.size[1]} {header.dtype}", []).append((number, path))
    if not kinds:
        raise FileNotFoundError(
            f"folder must hold slices that can be read, got {folder} with none; name another folder"
        )
    most = max(kinds, key=lambda kind: len(kinds[kind]))
    for kind, slices in kinds.items():
        if not several_sizes and kind != most:
            skipped += [(_named(core, path.name), f"{kind}, most are {most}") for _, path in slices]
    kept = list(kinds.values()) if several_sizes else [kinds[most]]
    volumes = [of_images(core, slices, [headers[path] for _, path in slices]) for slices in kept]
    sources = [Source(core=volume.core, hr=volume) for volume in volumes]
    return [replace(sources[0], skipped=tuple(skipped)), *sources[1:]]


def without_bad(source: Source) -> Source:
    """The source less every slice, or pair, that cannot be read or holds one grey level alone. Reads all of them once.

    ValueError where none is left.
    """
    volumes = [volume for volume in (source.hr, *source.lr.values()) if volume is not None]
    kept, skipped = [], list(source.skipped)
    for index in range(len(source.slices)):
        try:
            for volume in volumes:
                refuse_constant(volume[index], volume.names[index])
            kept.append(index)
        except (OSError, ValueError) as error:
            name = _named(source.core, source.slices.names[index])
            skipped.append((name, _reason(str(error), source.slices.source(index).parent)))
    if not kept:
        raise ValueError(f"core {source.core} must hold a slice that can be used, got none: {skipped[-1][1]}")
    return replace(only(source, kept), skipped=tuple(skipped))


def refuse_constant(levels: Levels, name: str) -> None:
    """ValueError for a slice of one grey level."""
    if levels.min() == levels.max():
        raise ValueError(
            f"slice {name} must hold rock, got grey level {levels.flat[0]} alone; remove it, or say --skip-bad"
        )


def _named(core: str, name: str) -> str:
    return printable(f"{core}/{name}")


def _reason(error: str, folder: Path) -> str:
    """What is wrong, without the remedy and without where the files lay."""
    said = error.rpartition("; ")
    return printable(said[0] or said[2]).replace(f"{printable(str(folder))}{os.sep}", "")
