"""`python -m coresr_models {list,convert,interpolate,export}`: the networks, and their files to and from others."""

from collections.abc import Sequence

from coresr_models.cli import Parser, run
from coresr_models.commands import convert, export, interpolate, listing


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = Parser(prog="python -m coresr_models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (listing, convert, interpolate, export):
        command.add(commands)
    options = parser.parse_args(arguments)
    options.command(options)


if __name__ == "__main__":
    run(main)
