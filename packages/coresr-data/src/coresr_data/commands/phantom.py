"""`phantom OUT`: synthetic cores, to try things out."""

from argparse import Namespace
from pathlib import Path

from coresr_data.cli import Commands, whole


def add(commands: Commands) -> None:
    """Declare the command."""
    phantom = commands.add_parser("phantom", help="make synthetic cores, one folder of 8-bit slices each")
    phantom.add_argument("out", type=Path, metavar="OUT")
    phantom.add_argument("--cores", type=whole(1), default=4, help="number of cores (default 4, each another rock)")
    phantom.add_argument("--slices", type=whole(1), default=24, help="slices per core (default 24)")
    phantom.add_argument("--size", type=whole(16), default=256, help="height and width in pixels (default 256)")
    phantom.add_argument(
        "--spacing", type=whole(1), default=4, help="voxels from one written slice to the next (default 4)"
    )
    phantom.add_argument("--seed", type=int, default=0)
    phantom.set_defaults(command=_phantom)


def _phantom(options: Namespace) -> None:
    from coresr_data.phantom import write_phantom

    folders = write_phantom(
        options.out,
        cores=options.cores,
        slices=options.slices,
        size=options.size,
        spacing=options.spacing,
        seed=options.seed,
    )
    names = ", ".join(folder.name for folder in folders)
    print(f"{options.out}: {len(folders)} cores ({names}), {options.slices} slices of {options.size}² each")
