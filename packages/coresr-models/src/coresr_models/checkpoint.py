"""One safetensors file: weights, the spec that rebuilds the network, and where they came from.

The metadata key `coresr` holds JSON: `{"schema", "model": {"name", "arguments", "mean", "std"}, "provenance": {…}}`;
files older than 0.2.1 have no mean and std, which are then 0 and 1. Nothing is ever unpickled. Provenance is free
JSON; these keys mean the same in every file:

`run`, `data`, `protocol`, `valid`, `machine`, `versions`: as coresr-train writes them
`licence`: of the weights, as text, an SPDX identifier where there is one
`scale_lineage`: `[{"scale": 2, "sha256": …}, …]`, the files that the weights were initialised from, oldest first
`origin`: for weights of others, `{"file", "sha256", "format"}`
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from coresr_models.build import ModelSpec, Network, build, complete
from coresr_models.header import read, strict_json

SCHEMA = 1
KEY = "coresr"
CONSTANTS = 1 << 20
"""Elements that a network may hold beyond those of its file: its fixed up-sampling kernels, masks and indices."""

MAX_NUMBER = 4096
"""In the arguments of a network: beyond it even to count what it would hold takes long."""
MAX_SCALE = 64
"""Beyond it the kernel of the bicubic skip alone would take much memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A loaded network in eval mode, and what its file said of it."""

    model: Network
    spec: ModelSpec
    provenance: dict[str, Any]


def save(path: Path, model: Network, spec: ModelSpec, provenance: dict[str, Any]) -> None:
    """Write the weights of `model` with the spec that built it; the file appears whole or not at all.

    `provenance` is JSON, see above; ValueError where `licence` or `scale_lineage` is not what it says there,
    or for what `load` would refuse: an argument above MAX_NUMBER or MAX_SCALE, a network of another spec, weights that
    are not finite.
    """
    _check_provenance(provenance)
    _check_numbers(spec)
    about = {"schema": SCHEMA, "model": asdict(complete(spec)), "provenance": provenance}
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    _check_weights(spec, tensors)
    write_whole(path, safetensors.torch.save(tensors, {KEY: json.dumps(about, allow_nan=False)}))


def load(path: Path) -> Checkpoint:
    """Rebuild a network from its file alone.

    FileNotFoundError without a file, UnsafeFileError for a pickle, ValueError for a file that is damaged, not
    coresr's, or holds weights of another shape or ones that are not finite. A network that is larger than its file
    is refused before any memory is taken for it.
    """
    tensors, metadata = read(path)
    try:
        about = strict_json(metadata.get(KEY, "null"))
    except ValueError as error:
        raise ValueError(f"checkpoint {path} must hold JSON as its metadata, got {error}; copy it again") from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise ValueError(f"checkpoint {path} must hold a coresr model of schema {SCHEMA}, got {_say(about)}")
    try:
        model = about["model"]
        spec = ModelSpec(
            name=model["name"],
            arguments=dict(model["arguments"]),
            mean=model.get("mean", 0.0),
            std=model.get("std", 1.0),
        )
        provenance = dict(about["provenance"])
        complete(spec)
        _check_numbers(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} must describe a network that can be built, got {error}") from error
    return Checkpoint(model=fit(path, spec, tensors), spec=spec, provenance=provenance)


def fit(path: Path, spec: ModelSpec, tensors: Mapping[str, Tensor]) -> Network:
    """The network of a spec with these weights of the file `path`, in eval mode; ValueError as `load` says."""
    try:
        with torch.device("meta"), _no_larger_than(tensors):
            expected = build(spec).state_dict()
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"checkpoint {path} must describe a network that can be built, got {error}") from error
    problems = [*_misfits(expected, tensors)]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(
            f"checkpoint {path} must hold the weights of its own spec, got {'; '.join(problems[:5])}{more}; "
            "copy it again, or convert it if it is of another program"
        )
    model = build(spec)
    constants = {name: tensor.clone() for name, tensor in model.state_dict().items() if not tensor.is_floating_point()}
    model.load_state_dict(tensors)
    changed = [name for name, tensor in constants.items() if not torch.equal(tensor, tensors[name].to(tensor.dtype))]
    if changed:  # nobody trains an index
        raise ValueError(f"checkpoint {path} must hold the constants of its network, got others in {changed[0]}")
    # as loaded, for a float64 of the file may be infinite in float32
    if bad := _not_finite(model.state_dict()):
        raise ValueError(f"checkpoint {path} must hold finite weights, got NaN or infinity in {', '.join(bad)}")
    return model.eval()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all, also across a power cut."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    if os.name == "posix":  # the new name is on disk only with its folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _no_larger_than(tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Within, a module that registers more tensors or elements than a file holds, and CONSTANTS, is a ValueError.

    The arguments of a hostile spec cost a loop or an allocation each; counting while it is built ends both early.
    """
    left = {
        "tensors": len(tensors) + 1000,
        "elements": sum(tensor.numel() for tensor in tensors.values()) + CONSTANTS,
    }
    thread = threading.get_ident()

    def count(_module: nn.Module, _name: str, tensor: Tensor | None) -> None:
        if tensor is None or threading.get_ident() != thread:
            return
        left["tensors"] -= 1
        left["elements"] -= tensor.numel()
        for what, rest in left.items():
            if rest < 0:
                raise ValueError(f"arguments of a network with more {what} than the file")

    hooks = (register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _misfits(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> Iterator[str]:
    """What is wrong with the tensors of a file, as phrases."""
    for name, tensor in expected.items():
        if name not in found:
            yield f"no {name}"
        elif found[name].shape != tensor.shape:
            yield f"{name} of shape {tuple(found[name].shape)} where the network has {tuple(tensor.shape)}"
        elif found[name].is_floating_point() != tensor.is_floating_point():
            yield f"{name} of {found[name].dtype} where the network has {tensor.dtype}"
    yield from (f"{name}, which the network has not" for name in found if name not in expected)


def _check_weights(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> None:
    with torch.device("meta"):
        expected = build(spec).state_dict()
    problems = [*_misfits(expected, tensors)]
    if problems:
        raise ValueError(
            f"model must be the network of its spec, {spec.name}, got {'; '.join(problems[:5])}; "
            "save what build(spec) made, without the wrapper of a compiler or of several processes"
        )
    if bad := _not_finite(tensors):
        raise ValueError(f"weights must be finite to be saved, got NaN or infinity in {', '.join(bad[:5])}")


def _not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    return [name for name, tensor in tensors.items() if not tensor.isfinite().all()]


def _check_numbers(spec: ModelSpec) -> None:
    for name, value in spec.arguments.items():
        numbers = [value] if isinstance(value, int) else re.findall(r"\d+", value) if isinstance(value, str) else []
        most = MAX_SCALE if name == "scale" else MAX_NUMBER
        if any(abs(int(number)) > most for number in numbers):
            raise ValueError(f"{spec.name} {name} must be of at most {most} in a checkpoint, got {value!r:.50}")


def _check_provenance(provenance: Mapping[str, Any]) -> None:
    licence, lineage = provenance.get("licence"), provenance.get("scale_lineage", [])
    if licence is not None and not isinstance(licence, str):
        raise ValueError(f"licence must be text, got {licence!r}; name it as SPDX does")
    if not isinstance(lineage, list) or not all(
        isinstance(one, dict) and isinstance(one.get("scale"), int) and isinstance(one.get("sha256"), str)
        for one in lineage
    ):
        raise ValueError(f"scale_lineage must be a list of scale and sha256, oldest first, got {lineage!r}")


def _say(about: object) -> str:
    return f"schema {about.get('schema')}" if isinstance(about, dict) else "no coresr metadata"
