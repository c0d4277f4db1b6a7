"""`python -m coresr_data {phantom,prepare,inspect}`: from slices to a store, and what a store holds."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from coresr_data.cli import Parser, UsageError, run
from coresr_data.degrade import DEGRADATIONS
from coresr_data.intensity import Window
from coresr_data.layouts import LAYOUTS, prepare
from coresr_data.split import SPLITS, Fractions, Ranges
from coresr_data.store import Core, Store, open_store

FILLED = 0.25
"""Share of the window that grey levels should span; 12 bit in 16 spans a sixteenth, and PSNR reads 24 dB too high."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    options = _parser().parse_args(arguments)
    options.command(options)


def _parser() -> Parser:
    parser = Parser(prog="python -m coresr_data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    phantom = commands.add_parser("phantom", help="make synthetic cores, one folder of 8-bit slices each")
    phantom.add_argument("out", type=Path, metavar="OUT")
    phantom.add_argument("--cores", type=int, default=4, help="number of cores (default 4, each another rock)")
    phantom.add_argument("--slices", type=int, default=24, help="slices per core (default 24)")
    phantom.add_argument("--size", type=int, default=256, help="height and width in pixels (default 256)")
    phantom.add_argument("--seed", type=int, default=0)
    phantom.set_defaults(command=_phantom)

    ready = commands.add_parser("prepare", help="split a folder of slices by depth and write a store")
    ready.add_argument(
        "source",
        type=Path,
        metavar="SLICES",
        help="a folder of PNG or TIFF slices, or one such folder per core",
    )
    ready.add_argument("store", type=Path, metavar="STORE", help="the new folder to write")
    ready.add_argument("--scale", type=int, required=True, help="HR size over LR size")
    ready.add_argument("--layout", choices=LAYOUTS, default="auto")
    ready.add_argument(
        "--degradation",
        choices=sorted(DEGRADATIONS),
        default="bicubic",
        help="how LR is made (default: MATLAB's bicubic)",
    )
    ready.add_argument(
        "--split",
        type=_fractions,
        metavar="A/B/C",
        help="shares of depth for train/valid/test (default 0.7/0.15/0.15)",
    )
    for name in SPLITS:
        ready.add_argument(
            f"--{name}",
            type=_range,
            metavar="FIRST:LAST",
            help="slice numbers as in the file names, both ends included",
        )
    ready.add_argument("--gap", type=int, default=2, help="slice numbers that must lie between two splits (default 2)")
    ready.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="grey levels that become 0 and 1 (default: the dtype's range)",
    )
    ready.add_argument("--voxel-um", type=float, help="side of a voxel of SLICES in micrometres")
    ready.set_defaults(command=_prepare)

    look = commands.add_parser("inspect", help="print what a store holds")
    look.add_argument("store", type=Path, metavar="STORE")
    look.set_defaults(command=_inspect)
    return parser


def _fractions(text: str) -> Fractions:
    try:
        train, valid, test = (float(part) for part in text.split("/"))
    except ValueError:
        raise ArgumentTypeError(f"must be three shares of depth like 0.7/0.15/0.15, got {text}") from None
    return train, valid, test


def _range(text: str) -> tuple[int, int]:
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError:
        raise ArgumentTypeError(f"must be two slice numbers like 0:250, got {text}") from None
    return first, last


def _phantom(options: Namespace) -> None:
    from coresr_data.phantom import write_phantom

    folders = write_phantom(
        options.out, cores=options.cores, slices=options.slices, size=options.size, seed=options.seed
    )
    names = ", ".join(folder.name for folder in folders)
    print(f"{options.out}: {len(folders)} cores ({names}), {options.slices} slices of {options.size}² each")


def _prepare(options: Namespace) -> None:
    ranges: Ranges = {name: getattr(options, name) for name in SPLITS if getattr(options, name)}
    if ranges and options.split:
        raise UsageError(
            "split must be fractions (--split) or slice numbers (--train --valid --test), got both; drop one"
        )
    store = prepare(
        options.source,
        options.store,
        scale=options.scale,
        split=ranges or options.split or (0.7, 0.15, 0.15),
        gap=options.gap,
        degradation=options.degradation,
        window=Window(*options.window) if options.window else None,
        voxel_um=options.voxel_um,
        layout=options.layout,
    )
    describe(store)


def _inspect(options: Namespace) -> None:
    describe(open_store(options.store))


def describe(store: Store) -> None:
    """Print scale, grey scale, splits and cores of a store, and what looks wrong with them."""
    m = store.manifest
    voxel = f"{m.voxel_um:g} µm" if m.voxel_um else "not said"
    print(f"store      {store.path} (×{m.scale}, {m.degradation} LR, identity {store.sha256[:12]})")
    print(f"grey       {m.grey}")
    print(f"voxel      HR {voxel}" + (f", LR {m.voxel_um * m.scale:g} µm" if m.voxel_um else ""))
    ends = [level for core in m.cores for level in _describe_core(store, core)]
    low, high = min(ends), max(ends)
    if high - low < FILLED * (m.window.high - m.window.low):
        print(
            f"caution    the levels {low}–{high} fill little of the window, so PSNR will read high; "
            f"prepare again with --window {low} {high}, or what the scanner's range is"
        )


def _describe_core(store: Store, core: Core) -> tuple[float, float]:
    """Print a core and its splits; its lowest and highest HR level."""
    scale, hr, ends = store.manifest.scale, store.hr(core), []
    cut = f", cropped by {core.cropped[0]} rows and {core.cropped[1]} columns" if any(core.cropped) else ""
    sizes = f"HR {scale * core.height}×{scale * core.width}, LR {core.height}×{core.width}"
    print(f"core       {core.name}: {sizes}{cut}")
    for split in SPLITS:
        rows = [row for row, s in enumerate(core.slices) if s.split == split]
        if rows:
            numbers = [core.slices[row].number for row in rows]
            # slice by slice: a split may be larger than memory
            low, high = min(hr[row].min() for row in rows), max(hr[row].max() for row in rows)
            mean = sum(float(hr[row].mean(dtype=np.float64)) for row in rows) / len(rows)
            ends += [low.item(), high.item()]
            print(
                f"  {split:<8} {len(rows):>5} slices, numbers {min(numbers)}–{max(numbers)}, "
                f"HR levels {low}–{high}, mean {mean:.1f}"
            )
    return min(ends), max(ends)


if __name__ == "__main__":
    run(main)
