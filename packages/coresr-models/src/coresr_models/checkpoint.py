"""One safetensors file: weights, the spec that rebuilds the network, and where they came from.

The metadata key `coresr` holds JSON: `{"schema", "model": {"name", "arguments"}, "provenance": {…}}`. Nothing is
ever unpickled.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open

from coresr_models.build import ModelSpec, Network, build, complete

SCHEMA = 1
KEY = "coresr"
PICKLED = (".pth", ".pt", ".ckpt", ".bin", ".pkl")


class UnsafeFileError(ValueError):
    """A weight file whose format can execute code when it is read."""

    exit_code = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded network in eval mode, and what its file said of it."""

    model: Network
    spec: ModelSpec
    provenance: dict[str, Any]


def save(path: Path, model: Network, spec: ModelSpec, provenance: dict[str, Any]) -> None:
    """Write the weights of `model` with the spec that built it; the file appears whole or not at all.

    `provenance` is JSON: run, data, protocol, scores, versions.
    """
    about = {"schema": SCHEMA, "model": asdict(complete(spec)), "provenance": provenance}
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    data = safetensors.torch.save(tensors, {KEY: json.dumps(about, allow_nan=False)})
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Rebuild a network from its file alone.

    FileNotFoundError without a file, UnsafeFileError for a pickle, ValueError for a file that is damaged, not
    coresr's, or holds weights of another shape or ones that are not finite.
    """
    if path.suffix.lower() in PICKLED:
        raise UnsafeFileError(
            f"checkpoint must be a .safetensors file, got {path}: reading a pickle can run code; "
            "convert it to safetensors where you trust it"
        )
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint must be a .safetensors file, got {path}, which is not there")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(KEY, "null"))
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint {path} must be a whole safetensors file, got {error}; copy it again") from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ValueError(f"checkpoint {path} must hold a coresr model of schema {SCHEMA}, got {_say(about)}")
    try:
        spec = ModelSpec(name=about["model"]["name"], arguments=dict(about["model"]["arguments"]))
        provenance = dict(about["provenance"])
        model = build(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} must describe a network that can be built, got {error}") from error
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"checkpoint {path} must hold the weights of its own spec, got {error}") from error
    # as loaded, for a float64 of the file may be infinite in float32
    bad = [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise ValueError(f"checkpoint {path} must hold finite weights, got NaN or infinity in {', '.join(bad)}")
    return Checkpoint(model=model.eval(), spec=spec, provenance=provenance)


def _say(about: object) -> str:
    return f"schema {about.get('schema')}" if isinstance(about, dict) else "no coresr metadata"
