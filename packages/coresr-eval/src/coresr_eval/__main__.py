"""`python -m coresr_eval {score,upscale,compare}`: how good a model is, its images, and which of several is better."""

from argparse import REMAINDER, Namespace
from collections.abc import Sequence
from importlib.util import find_spec

from coresr_eval.cli import Parser, run
from coresr_eval.commands import comparing, scoring
from coresr_eval.commands.scoring import REMEDY, MissingPackageError

COMPLETE = all(find_spec(name) for name in ("coresr_data", "coresr_models"))
if COMPLETE:
    from coresr_eval.commands import upscaling


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command."""
    parser = Parser(prog="python -m coresr_eval", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    scoring.add(commands)
    comparing.add(commands)
    if COMPLETE:
        upscaling.add(commands)
    else:
        help_ = "needs coresr-data and coresr-models"
        absent = commands.add_parser("upscale", help=help_, add_help=False, prefix_chars="+")  # so that flags are taken
        absent.add_argument("arguments", nargs=REMAINDER)
        absent.set_defaults(command=_refuse)
    options = parser.parse_args(arguments)
    options.command(options)


def _refuse(_: Namespace) -> None:
    raise MissingPackageError(f"upscale must have coresr-data and coresr-models, got none; {REMEDY}")


if __name__ == "__main__":
    run(main)
