"""`accelerate launch -m coresr_train [PRESET] [--config run.toml] [--group.field value …]`."""

import sys

from coresr_data.cli import run as guarded
from coresr_train.config import parse
from coresr_train.run import train


def main() -> None:
    """Train as the command line says."""
    preset, run = parse(sys.argv[1:])
    train(run, preset)


if __name__ == "__main__":
    guarded(main)
