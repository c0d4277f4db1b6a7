"""`accelerate launch -m coresr_train [PRESET] [--config run.toml] [--group.field value …]`."""

import sys
import warnings
from typing import TextIO

from coresr_data.cli import run as guarded
from coresr_train.config import parse
from coresr_train.run import train

_SHOWN = warnings.showwarning


def _say(  # noqa: PLR0917  # as the warnings module calls it
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ours is one line; another keeps its place in the code."""
    if category is UserWarning:
        print(f"coresr: warning: {message}", file=sys.stderr)
    else:
        _SHOWN(message, category, filename, lineno, file, line)


def main() -> None:
    """Train as the command line says."""
    warnings.showwarning = _say
    preset, run = parse(sys.argv[1:])
    train(run, preset)


if __name__ == "__main__":
    guarded(main)
