"""`score MODEL`: how good a model is on a split of a store, or another program's images, beside bicubic."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from coresr_eval.cli import Commands, UsageError
from coresr_eval.conventions import CONVENTIONS


class MissingPackageError(ValueError):
    """A command asks for packages that stand beside this one."""

    exit_code = 69


def add(commands: Commands) -> None:
    """Declare the command."""
    judge = commands.add_parser("score", help="score a model, or another program's images, beside bicubic")
    judge.add_argument(
        "model",
        metavar="MODEL",
        help="a run folder (its best), a .safetensors file, the word bicubic, or, with --hr, a folder of SR images",
    )
    judge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for scores.csv, summary.json, index.html"
    )
    judge.add_argument("--data", type=Path, metavar="STORE", help="whose slices are scored")
    judge.add_argument("--split", help="of the store (default test)")
    judge.add_argument("--scale", type=int, help="for bicubic, where the store holds several scales")
    judge.add_argument("--hr", type=Path, metavar="DIR", help="without a store: HR images of the same names")
    judge.add_argument("--lr", type=Path, metavar="DIR", help="without a store: LR images, which bicubic enlarges")
    judge.add_argument(
        "--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help="without a store: levels that are 0 and 1"
    )
    judge.add_argument(
        "--pore", type=float, metavar="LEVEL", help="grey level up to which HR is pore (default Otsu's, core by core)"
    )
    judge.add_argument("--convention", choices=CONVENTIONS, default="coresr", help="how a paper or a program scores")
    judge.add_argument("--self-ensemble", action="store_true", help="mean over eight flips and turns: 8 times the work")
    judge.add_argument("--tile", type=int, help="side of a tile in LR pixels, where memory is short (default 512)")
    judge.set_defaults(command=_score)


def _score(options: Namespace) -> None:
    if (options.data is None) == (options.hr is None):
        raise UsageError("score must be given --data STORE, or --hr and --lr with a folder of images; give one of both")
    if options.data is None:
        from coresr_eval.commands.folders import score_folders  # here: only what this needs is loaded

        if options.lr is None:
            raise UsageError("--lr must name the LR images beside --hr, got none: bicubic is made of them")
        _refuse_unused(options, "a folder of images", ("split", "scale", "self_ensemble", "tile"))
        score_folders(options)
        return
    _refuse_unused(options, "a store", ("lr", "window"))
    try:
        from coresr_eval.commands.stores import score_store  # here: two folders of images need no networks
    except ImportError as missing:
        raise MissingPackageError(
            f'--data must have its packages, got {missing}; pip install "coresr-eval[cli]"'
        ) from missing
    score_store(options)


def _refuse_unused(options: Namespace, what: str, names: Sequence[str]) -> None:
    for name in names:
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} must be left out where {what} is scored: it says that itself")
