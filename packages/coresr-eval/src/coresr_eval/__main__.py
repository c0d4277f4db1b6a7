"""`python -m coresr_eval {score,upscale}`: how good a model is, and its image of a slice. Needs `coresr-eval[cli]`."""

import sys
from collections.abc import Sequence

from coresr_eval.cli import Parser, run

try:
    from coresr_eval.commands import scoring, upscaling
except ImportError as missing:  # the metrics do without them, the command line cannot
    print(f"coresr: error: {missing}; install coresr-data and coresr-models beside coresr-eval", file=sys.stderr)
    raise SystemExit(69) from missing


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = Parser(prog="python -m coresr_eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (scoring, upscaling):
        command.add(commands)
    options = parser.parse_args(arguments)
    options.command(options)


if __name__ == "__main__":
    run(main)
