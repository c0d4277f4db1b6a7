"""The one place that reads a pickle: a program of its own that turns a foreign weight file into bare tensors.

`python -I unpickle.py IN OUT` reads with torch's restricted unpickler, under limits of memory and time, without a
network where the system lets a process give it up, and with Python's own doors shut. It imports nothing of
coresr_models; what it writes is read again as any file of unknown origin. Ends with 77 for what is more than tensors.
"""

import os
import pickle
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params-ema", "params", "model", "net")
PREFIXES = ("module.", "netG.", "_orig_mod.")
SAFE_TORCH = (2, 10)
"""Before it, its restricted unpickler itself could be made to run code (CVE-2025-32434, CVE-2026-24747)."""
SECONDS = 120
MEMORY = 2 << 30
"""Bytes, beside what the program holds once torch is imported and five times the file."""
MAX_ELEMENTS = 1_000_000_000
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SHUT = ("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename")
UNSAFE, BAD = 77, 65


class MoreThanTensorsError(ValueError):
    """A file that holds something else."""


def main(source: Path, out: Path) -> None:
    """Read, unwrap, and write as safetensors."""
    leave_the_network()
    import safetensors.torch
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < SAFE_TORCH:
        end(f"torch must be {'.'.join(map(str, SAFE_TORCH))} or later to read a pickle, got {torch.__version__}", 69)
    torch.set_num_threads(1)
    limit(MEMORY + 5 * source.stat().st_size)
    shut_the_doors(out)
    try:
        refuse_programs(source)
        content = torch.load(source, map_location="cpu", weights_only=True)
        tensors = flat(unwrapped(content))
        total = sum(tensor.numel() for tensor in tensors.values())
        if total > MAX_ELEMENTS:
            end(f"{total} elements, more than {MAX_ELEMENTS}", BAD)
        data = safetensors.torch.save(
            {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
        )
        out.write_bytes(data)
    except (pickle.UnpicklingError, MoreThanTensorsError) as error:
        end(wanted(str(error)), UNSAFE)
    except MemoryError:
        end("more memory than it may take", BAD)
    except Exception as error:  # noqa: BLE001 - a damaged pickle can raise anything
        end(f"{type(error).__name__}: {error}", BAD)


def leave_the_network() -> None:
    """Move into a network namespace that is empty; where the system refuses, the shut doors have to do."""
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        libc.unshare(CLONE_NEWUSER | CLONE_NEWNET)


def limit(memory: int) -> None:
    """Bound memory beyond what is held now, processor time, files; no core dumps."""
    try:
        import resource
    except ImportError:  # Windows
        return
    held = 0
    status = Path("/proc/self/statm")
    if status.exists():
        held = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, held + memory))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def shut_the_doors(out: Path) -> None:
    """From here on refuse sockets, programs, and every file to be written but `out`. Cannot be undone."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and (
            (isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
            or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        )
        if event.startswith(SHUT) or (writes and str(arguments[0]) not in {str(out), os.devnull}):
            raise PermissionError(f"{event} is refused while a foreign file is read")

    sys.addaudithook(refuse)


def refuse_programs(source: Path) -> None:
    """MoreThanTensorsError for the two forms that torch reads in other ways: TorchScript and the tar of its youth."""
    with source.open("rb") as file:
        head = file.read(512)
    if head[257:262] == b"ustar":
        raise MoreThanTensorsError("a tar archive, as torch wrote before 0.1.10")
    if head[:2] == b"PK":
        with zipfile.ZipFile(source) as archive:
            if any(name.endswith("constants.pkl") or "/code/" in name for name in archive.namelist()):
                raise MoreThanTensorsError("a TorchScript archive, which holds a program")


def wanted(said: str) -> str:
    """What a pickle asked for; torch's own words go on to advise reading it without restrictions."""
    asked = re.search(r"Unsupported (?:global|class|operand)[^.\n]*?([\w.]+)(?: was not|\n|$)", said)
    return f"a call of {asked[1]}" if asked else said if "weights_only" not in said else "objects of another kind"


def unwrapped(content: Any) -> Any:
    """The state dict within the wrappers that programs put around it; averaged weights before raw ones."""
    for _ in range(4):
        if not isinstance(content, dict):
            break
        inner = next((content[key] for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None and len(content) == 1:
            (only,) = content.values()
            inner = only if isinstance(only, dict) else None
        if inner is None:
            break
        content = inner
    return content


def flat(state: Any) -> dict[str, Any]:
    """Names to dense tensors, without the prefixes that all names share."""
    import torch

    if not isinstance(state, dict) or not state:
        raise MoreThanTensorsError(f"a {type(state).__name__} where names with tensors are expected")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise MoreThanTensorsError(f"{str(name)[:100]} is a {type(tensor).__name__}")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise MoreThanTensorsError(f"{name[:100]} is no dense tensor")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def end(why: str, code: int) -> None:
    """Say why, and stop."""
    print(why, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
