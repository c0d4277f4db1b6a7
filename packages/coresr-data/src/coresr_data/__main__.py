"""`python -m coresr_data {phantom,prepare,inspect,check,degrade,fit-scanner}`: from slices to a store and back."""

from collections.abc import Sequence

from coresr_data.cli import Parser, run
from coresr_data.commands import check, degrade, fit_scanner, inspect, phantom, prepare


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = Parser(prog="python -m coresr_data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (phantom, prepare, inspect, check, degrade, fit_scanner):
        command.add(commands)
    options = parser.parse_args(arguments)
    options.command(options)


if __name__ == "__main__":
    run(main)
