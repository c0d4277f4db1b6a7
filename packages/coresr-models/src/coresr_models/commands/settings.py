"""Arguments of networks on the command line: `--set width=64`."""

import inspect
from argparse import ArgumentParser
from collections.abc import Sequence

from coresr_models.build import MODELS, Argument
from coresr_models.cli import UsageError


def add_set(parser: ArgumentParser, why: str) -> None:
    """Declare the option."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=why, dest="settings")


def settings(name: str, texts: Sequence[str]) -> dict[str, Argument]:
    """What `--set` says of the arguments that the network `name` has, each of the type of its default."""
    parameters = inspect.signature(MODELS[name]).parameters
    found: dict[str, Argument] = {}
    for text in texts:
        argument, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set must be NAME=VALUE, got {text}")
        if argument in parameters:
            found[argument] = _typed(argument, value, type(parameters[argument].default))
    return found


def _typed(argument: str, value: str, kind: type[Argument]) -> Argument:
    if kind is bool:
        if value not in {"true", "false"}:
            raise UsageError(f"{argument} must be true or false, got {value}")
        return value == "true"
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"{argument} must be of type {kind.__name__}, got {value}") from None
