"""The options that every command takes which opens a volume of any format."""

from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import Any

from coresr_data.formats.raw import EXAMPLE, RawHeader, raw_header
from coresr_data.intensity import Window, checked


def add_opening(parser: ArgumentParser, *, several: bool = False) -> None:
    """Declare `--raw` and `--variable`; of `several` volumes each raw one has a header of its own."""
    said, each = ("append", "; once for each raw file, in their order") if several else ("store", "")
    parser.add_argument(
        "--raw", action=said, type=_raw, metavar="HEADER", help=f"what a raw file holds, as {EXAMPLE}{each}"
    )
    parser.add_argument("--variable", metavar="NAME", help="the array in .npz and .mat files")


def add_window(parser: ArgumentParser, help_: str) -> None:
    """Declare `--window`, a pair of floats of which the first is smaller, or None."""
    parser.add_argument("--window", type=float, nargs=2, action=_Window, metavar=("LOW", "HIGH"), help=help_)


class _Window(Action):
    def __call__(
        self,
        parser: ArgumentParser,
        namespace: Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Take what `intensity.checked` lets through."""
        try:
            setattr(namespace, self.dest, checked(Window(*map(float, values or ()))))
        except ValueError as error:
            parser.error(f"argument {option_string}: {error}")


def _raw(text: str) -> RawHeader:
    try:
        return raw_header(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
