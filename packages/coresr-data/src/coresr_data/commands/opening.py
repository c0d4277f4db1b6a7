"""The options that every command takes which opens a volume of any format."""

from argparse import ArgumentParser, ArgumentTypeError

from coresr_data.formats.raw import EXAMPLE, RawHeader, raw_header


def add_opening(parser: ArgumentParser) -> None:
    """Declare `--raw` and `--variable`."""
    parser.add_argument("--raw", type=_raw, metavar="HEADER", help=f"what a raw file holds, as {EXAMPLE}")
    parser.add_argument("--variable", metavar="NAME", help="the array in .npz and .mat files")


def _raw(text: str) -> RawHeader:
    try:
        return raw_header(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
