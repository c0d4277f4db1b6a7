"""Where the weights of networks that are never trained here come from: safetensors files, the Hub, installed packages.

Nothing unknown is unpickled. Two packages ship their weights as pickles only; these are read if every byte is the one
that was looked at when this was written (SHA-256), and then by torch's restricted unpickler from those very bytes.
"""

import hashlib
import io
import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Names of the tensors that are wanted, and their shapes."""


class MissingWeightsError(ValueError):
    """Weights that are neither here nor to be fetched."""

    exit_code = 69


class UnsafeWeightsError(ValueError):
    """A weight file of a format that can run code when it is read."""

    exit_code = 77


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A weight file that a package ships: it is found, never imported."""

    module: str
    file: str
    """Within the package."""
    sha256: str
    install: str
    """The command that installs it."""


def from_file(path: Path, wanted: Shapes) -> dict[str, Tensor]:
    """The wanted tensors of a safetensors file, in float32; no other is read.

    FileNotFoundError without a file, UnsafeWeightsError for a pickle, ValueError for what is no safetensors file or
    lacks a tensor, or where one has another shape or is not finite.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"feature weights must be a safetensors file, got {path}, which is not there")
    try:
        with safe_open(path, framework="pt") as file:
            missing = wanted.keys() - set(file.keys())
            if missing:
                raise ValueError(f"{path} must hold {min(missing)}, got none; {len(missing)} of {len(wanted)} lack")
            for name, shape in wanted.items():
                _refuse_shape(name, tuple(file.get_slice(name).get_shape()), shape, path)
            return {name: _finite(name, file.get_tensor(name), path) for name in wanted}
    except SafetensorError as error:
        if _is_pickle(path):
            raise UnsafeWeightsError(
                f"feature weights must be a safetensors file, got {path}, a pickle, which can run code; "
                "fetch model.safetensors of the same network instead"
            ) from None
        raise ValueError(f"feature weights must be a safetensors file, got {path}: {error}") from error


def from_hub(repository: str, setting: str) -> Path:
    """`model.safetensors` of a repository on the Hugging Face Hub: of the cache where it is there, else fetched.

    MissingWeightsError, naming the file and the setting that takes one, where it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    file = "model.safetensors"
    try:
        # asked first, for the Hub is asked six times over half a minute where there is no network
        return Path(hf_hub_download(repository, file, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(hf_hub_download(repository, file))
    except Exception as error:  # a download fails in as many ways as there are layers below it
        raise MissingWeightsError(
            f"{file} of https://huggingface.co/{repository} must be in the cache or within reach, got neither "
            f"({type(error).__name__}); fetch that file where there is a network, and name it by "
            f"--{setting.replace('_', '-')}"
        ) from error


def from_package(one: Packaged, wanted: Shapes) -> dict[str, Tensor]:
    """The wanted tensors of an installed package's weight file, in float32.

    MissingWeightsError where it is not installed; UnsafeWeightsError where its file is another than is known.
    """
    found = find_spec(one.module)
    places = (found and found.submodule_search_locations) or ()
    path = next((path for place in places if (path := Path(place) / one.file).is_file()), None)
    if path is None:
        raise MissingWeightsError(f"weights must be those of the package {one.module}, got none; {one.install}")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != one.sha256:
        raise UnsafeWeightsError(
            f"{path} must have the SHA-256 {one.sha256}, got {digest}: a pickle that nobody looked at is not read; "
            f"{one.install}"
        )
    tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for name, shape in wanted.items():
        _refuse_shape(name, tuple(tensors[name].shape), shape, path)
    return {name: _finite(name, tensors[name], path) for name in wanted}


def _refuse_shape(name: str, got: tuple[int, ...], wanted: tuple[int, ...], path: Path) -> None:
    if got != wanted:
        raise ValueError(f"{name} must have the shape {wanted}, got {got} in {path}")


def _finite(name: str, tensor: Tensor, path: Path) -> Tensor:
    if not tensor.is_floating_point() or not math.isfinite(float(tensor.sum(dtype=torch.float64))):
        raise ValueError(f"{name} must hold finite numbers, got others in {path}")
    return tensor.float()


def _is_pickle(path: Path) -> bool:
    """Of what torch ever wrote, a zip, a tar or a bare pickle; or of the oldest kind of pickle, which is text."""
    with path.open("rb") as file:
        head = file.read(4096)
    if head[:2] == b"PK" or head[:1] == b"\x80" or head[257:262] == b"ustar":
        return True
    try:
        return any(operation.name in {"GLOBAL", "INST"} for operation, _, _ in pickletools.genops(head))
    except (ValueError, IndexError, OverflowError):  # neither a pickle so far nor one that is cut
        return False
