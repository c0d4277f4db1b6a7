"""The options that every command takes which opens a volume of any format."""

from argparse import ArgumentParser, ArgumentTypeError

from coresr_data.formats.raw import EXAMPLE, RawHeader, raw_header


def add_opening(parser: ArgumentParser, *, several: bool = False) -> None:
    """Declare `--raw` and `--variable`; of `several` volumes each raw one has a header of its own."""
    said, each = ("append", "; once for each raw file, in their order") if several else ("store", "")
    parser.add_argument(
        "--raw", action=said, type=_raw, metavar="HEADER", help=f"what a raw file holds, as {EXAMPLE}{each}"
    )
    parser.add_argument("--variable", metavar="NAME", help="the array in .npz and .mat files")


def _raw(text: str) -> RawHeader:
    try:
        return raw_header(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
