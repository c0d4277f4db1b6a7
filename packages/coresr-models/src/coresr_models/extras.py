"""Libraries that only some commands need: imported when they are, missed in one clear line."""

from importlib import import_module
from typing import Any


class MissingExtraError(ImportError, ValueError):
    """A library is needed that is not installed; a ValueError too, so that command lines say it in one line."""

    exit_code = 69


def extra(module: str, name: str) -> Any:
    """The library `module` of the extra `name`; MissingExtraError, naming the extra, where it cannot be imported.

    >>> extra("json", "macs").loads("[1]")
    [1]
    """
    try:
        return import_module(module)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name in {module, module.partition(".")[0]}
        raise MissingExtraError(
            f'this must have {module}, got {"none" if absent else error}; pip install "coresr-models[{name}]"'
        ) from error
