"""`score MODEL …`: how good models are on a split of a store, or other programs' images, beside bicubic."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from coresr_eval.cli import Commands, UsageError, whole
from coresr_eval.conventions import CONVENTIONS

REMEDY = "in the checkout of coresr: pip install ./packages/coresr-data ./packages/coresr-models"
"""They are on no index, so that pip finds them by their paths alone."""


class MissingPackageError(ValueError):
    """A command asks for packages that stand beside this one."""

    exit_code = 69


def add(commands: Commands) -> None:
    """Declare the command."""
    judge = commands.add_parser("score", help="score models, or other programs' images, beside bicubic")
    judge.add_argument(
        "models",
        nargs="+",
        metavar="[NAME=]MODEL",
        help="a run folder (its best), a .safetensors file, the word bicubic, or, with --hr, a folder of SR images; "
        "several stand in one table",
    )
    judge.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="for scores.csv, summary.json, index.html"
    )
    judge.add_argument("--data", type=Path, metavar="STORE", help="whose slices are scored")
    judge.add_argument("--split", help="of the store (default test)")
    judge.add_argument("--scale", type=whole(1), help="for bicubic, where the store holds several scales")
    judge.add_argument(
        "--rock",
        action="append",
        metavar="NAME=CORE[,CORE…]",
        help="for a table by rock: which cores of the store are of one; give it once a rock. A CORE may be a pattern",
    )
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
    judge.add_argument(
        "--back-project",
        action="store_true",
        help="replace each model's image by the nearest that, degraded as its LR was, gives it back",
    )
    judge.add_argument("--tile", type=whole(1), help="side of a tile in LR pixels, where memory is short (default 512)")
    judge.set_defaults(command=_score)


def _score(options: Namespace) -> None:
    if (options.data is None) == (options.hr is None):
        raise UsageError("score must be given --data STORE, or --hr and --lr with a folder of images; give one of both")
    if options.data is None:
        from coresr_eval.commands.folders import score_folders  # here: only what this needs is loaded

        if options.lr is None:
            raise UsageError("--lr must name the LR images beside --hr, got none: bicubic is made of them")
        of_stores = ("split", "scale", "rock", "self_ensemble", "back_project", "tile")
        _refuse_unused(options, "a folder of images", of_stores)
        score_folders(options)
        return
    _refuse_unused(options, "a store", ("lr", "window"))
    try:
        from coresr_eval.commands.stores import score_store  # here: two folders of images need no networks
    except ImportError as missing:
        raise MissingPackageError(
            f"--data must have coresr-data and coresr-models, got {missing}; {REMEDY}"
        ) from missing
    score_store(options)


def _refuse_unused(options: Namespace, what: str, names: Sequence[str]) -> None:
    for name in names:
        if getattr(options, name) not in (None, False):
            raise UsageError(f"--{name.replace('_', '-')} must be left out where {what} is scored: it says that itself")
