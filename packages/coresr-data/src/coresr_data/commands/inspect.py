"""`inspect STORE`: what a store holds, in words and as a page."""

from argparse import Namespace
from pathlib import Path

from coresr_data import inspection
from coresr_data.cli import Commands, UsageError
from coresr_data.formats.extras import MissingExtraError
from coresr_data.store import Store, open_store


def add(commands: Commands) -> None:
    """Declare the command."""
    look = commands.add_parser("inspect", help="print what a store holds, or show it on a page")
    look.add_argument("store", type=Path, metavar="STORE")
    look.add_argument("--html", type=Path, metavar="OUT", help="write a page with slices, histograms and patches, too")
    look.set_defaults(command=_inspect)


def _inspect(options: Namespace) -> None:
    if options.html is not None and options.html.suffix.lower() not in {".html", ".htm"}:
        raise UsageError(f"out must end in .html, got {options.html}; name a page")
    store = open_store(options.store)
    describe(store)
    if options.html is not None:
        _page(store, options.html)
        print(f"wrote      {options.html}")


def describe(store: Store) -> None:
    """Print what a store holds."""
    for line in inspection.describe(store):
        print(line)


def _page(store: Store, out: Path) -> None:
    try:
        from coresr_data.inspection.page import page
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in {"jinja2", "matplotlib"}:
            raise
        raise MissingExtraError(
            f'a page must have {error.name} to be made, got none; pip install "coresr-data[html]"'
        ) from error
    page(store, out)
