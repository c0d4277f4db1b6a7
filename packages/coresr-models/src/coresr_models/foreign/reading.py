"""Tensors out of a foreign weight file: safetensors after our own look at it, a pickle through a guarded program."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor

from coresr_models import unpickle
from coresr_models.header import UnsafeFileError, read, refuse_pickle

PATIENCE = 60
"""Seconds beyond the processor time that the program may take: torch's import on a loaded machine."""


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors of a file of unknown origin, by name.

    FileNotFoundError without a file, UnsafeFileError for one that holds more than tensors, ValueError for a damaged
    one. There is no second, laxer way.
    """
    if not path.is_file():
        raise FileNotFoundError(f"weights must be in a file, got {path}, which is not there")
    try:
        refuse_pickle(path)
    except UnsafeFileError:
        return _unpickled(path)
    return read(path)[0]


def _unpickled(path: Path) -> dict[str, Tensor]:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "tensors.safetensors"
        # -I: neither the current folder nor PYTHONPATH can bring code in
        program = [sys.executable, "-I", "-W", "ignore", unpickle.__file__, str(path.resolve()), str(out)]
        environment = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TEMP") if name in os.environ}
        try:
            done = subprocess.run(
                program,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=unpickle.SECONDS + PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"weights {path} must be read within {unpickle.SECONDS} s, got no end of it") from None
        if done.returncode == 0:
            return read(out)[0]
    said = done.stderr.decode(errors="replace").strip().splitlines() or [f"no word, exit code {done.returncode}"]
    why = " ".join(line.strip() for line in said[:3])[:300]
    if done.returncode == unpickle.UNSAFE:
        raise UnsafeFileError(f"weights {path} must hold tensors alone, got {why}; ask its author for safetensors")
    raise ValueError(f"weights {path} must be a whole file of torch, got {why}; copy it again")
