"""`prepare SRC STORE`: from what people have to a store."""

import math
import re
from argparse import ArgumentTypeError, Namespace
from pathlib import Path

from coresr_data.cli import Commands, Parser, UsageError, whole
from coresr_data.commands.inspect import describe
from coresr_data.commands.opening import add_opening, add_window
from coresr_data.commands.telling import tell
from coresr_data.degrade.recipes import DEGRADATIONS
from coresr_data.layouts import LAYOUTS, recognised
from coresr_data.mask import KINDS
from coresr_data.packing import prepare
from coresr_data.split import SPLITS, Fractions, Gap, Micrometres, Split
from coresr_data.volume import AXES


def add(commands: Commands) -> None:
    """Declare the command."""
    ready = commands.add_parser("prepare", help="split what people have without leakage, make LR, and write a store")
    ready.add_argument("source", type=Path, metavar="SRC", help="a folder of slices, cores or pairs, or a volume")
    ready.add_argument("store", type=Path, metavar="STORE", help="the new folder to write")
    ready.add_argument(
        "--scale", type=_scales, required=True, metavar="N", help="HR size over LR size; several with commas: 2,4"
    )
    layouts = "; ".join(f"{name}: {words}" for name, words in LAYOUTS.items())
    ready.add_argument("--layout", choices=LAYOUTS, default="auto", help=layouts)
    ready.add_argument("--rock", type=_names, default=(), metavar="R", help="of a published set: sandstone,coal")
    ready.add_argument(
        "--degradation",
        type=_degradation,
        metavar="D",
        help=f"how LR is made: {', '.join(DEGRADATIONS)}, or a scanner.json of fit-scanner "
        "(default: MATLAB's bicubic; of a published set default or unknown, as it holds them)",
    )
    ready.add_argument("--seed", type=int, default=0, help="of what a degradation draws (default 0)")
    _add_split(ready)
    _add_reading(ready)
    ready.set_defaults(command=_prepare)


def _add_split(ready: Parser) -> None:
    ready.add_argument(
        "--split",
        type=_split,
        metavar="A/B/C",
        help="shares of depth for train/valid/test (default 0.7/0.15/0.15), or none: everything is train",
    )
    for name in SPLITS:
        ready.add_argument(
            f"--{name}",
            type=_part,
            metavar="FIRST:LAST",
            help="slice numbers as in the file names, both ends included; or cores by name: coal,sand*",
        )
    ready.add_argument(
        "--gap",
        type=_gap,
        help="what must lie between two splits: a number of slices, or 50um (default: measured, as far as slices of a "
        "core show the same rock)",
    )
    ready.add_argument(
        "--accept-similar", action="store_true", help="let splits show the same rock, and record how much"
    )


def _add_reading(ready: Parser) -> None:
    ready.add_argument("--axis", choices=AXES, default="z", help="the axis that is cut into slices (default z)")
    add_window(ready, "grey levels that become 0 and 1 (default: the dtype's range)")
    ready.add_argument("--voxel-um", type=_side, help="side of an HR voxel in micrometres, where the files do not say")
    ready.add_argument(
        "--mask",
        default="auto",
        metavar="M",
        help=f"where there is rock: {', '.join(KINDS)} or a file (default auto: what a round field of view leaves)",
    )
    ready.add_argument("--several-sizes", action="store_true", help="accept slices of several sizes in a core")
    ready.add_argument("--skip-bad", action="store_true", help="leave bad slices out, and record why")
    ready.add_argument("--accept-shift", action="store_true", help="accept scanned LR that does not lie on its HR")
    ready.add_argument(
        "--register", action="store_true", help="crop a scan pair by whole HR voxels until LR lies on HR"
    )
    ready.add_argument("--allow-external-links", action="store_true", help="follow links out of SRC")
    add_opening(ready)


def _scales(text: str) -> tuple[int, ...]:
    try:
        return tuple(whole(2)(part) for part in text.split(","))
    except ArgumentTypeError:
        raise ArgumentTypeError(f"must be a whole number of 2 or more, or several like 2,4, got {text}") from None


def _side(text: str) -> float:
    try:
        side = float(text)
    except ValueError:
        side = 0.0
    if not 0 < side < math.inf:
        raise ArgumentTypeError(f"must be a number of micrometres above 0, got {text}")
    return side


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


def _degradation(text: str) -> str:
    if text not in DEGRADATIONS and not text.endswith(".json"):
        raise ArgumentTypeError(f"must be one of {', '.join(DEGRADATIONS)} or a scanner.json, got {text}")
    return text


def _split(text: str) -> Split:
    if text == "none":
        return "none"
    try:
        train, valid, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise ArgumentTypeError(f"must be three shares of depth like 0.7/0.15/0.15, or none, got {text}") from None
    shares: Fractions = (train, valid, test)
    return shares


def _part(text: str) -> tuple[int, int] | tuple[str, ...]:
    """Slice numbers, or names of cores; what looks like numbers must be `FIRST:LAST`."""
    if range_ := re.fullmatch(r"(-?\d+):(-?\d+)", text):
        return int(range_[1]), int(range_[2])
    if not _names(text) or re.fullmatch(r"[\d\s.:–-]*[.:–-][\d\s.:–-]*", text):
        raise ArgumentTypeError(f"must be two slice numbers like 0:250, or names of cores, got {text}")
    return _names(text)


def _gap(text: str) -> Gap:
    length = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?[uµμ]m", text)
    try:
        return Micrometres(float(length[1])) if length else int(text)
    except ValueError:
        raise ArgumentTypeError(f"must be a number of slices like 4, or a length like 50um, got {text}") from None


def _prepare(options: Namespace) -> None:
    parts = {name: getattr(options, name) for name in SPLITS if getattr(options, name)}
    if parts and options.split:
        raise UsageError("split must be shares (--split) or parts (--train --valid --test), got both; drop one")
    if len({isinstance(part[0], int) for part in parts.values()}) > 1:
        raise UsageError("parts must all be slice numbers, or all names of cores, got both; choose one")
    layout = recognised(options.source) if options.layout == "auto" else options.layout
    store = prepare(
        options.source,
        options.store,
        scale=options.scale,
        layout=layout,
        rock=options.rock,
        degradation=options.degradation,
        seed=options.seed,
        split=parts or options.split,
        gap=options.gap,
        axis=options.axis,
        window=options.window,
        voxel_um=options.voxel_um,
        mask=options.mask,
        several_sizes=options.several_sizes,
        skip_bad=options.skip_bad,
        accept_similar=options.accept_similar,
        accept_shift=options.accept_shift,
        register=options.register,
        external_links=options.allow_external_links,
        raw=options.raw,
        variable=options.variable,
    )
    for line in tell(store, layout):
        print(line)
    describe(store)
