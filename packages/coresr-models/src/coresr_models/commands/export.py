"""`export MODEL OUT`: a checkpoint for others, in the format of OUT's suffix."""

import io
from argparse import Namespace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from coresr_models.build import complete
from coresr_models.checkpoint import Checkpoint, load, write_whole
from coresr_models.cli import Commands, UsageError
from coresr_models.foreign.writing import BASICSR, SPANDREL, foreign_state

FORMATS = {
    ".pth": "{'params': weights}, as BasicSR writes",
    ".safetensors": "weights that spandrel (chaiNNer, ComfyUI) recognises",
    ".onnx": "the whole network, any size of image",
}


def add(commands: Commands) -> None:
    """Declare the command."""
    give = commands.add_parser("export", help="write a checkpoint for BasicSR, spandrel or ONNX")
    give.add_argument("model", type=Path, metavar="MODEL", help="a .safetensors of coresr")
    told = "; ".join(f"{suffix}: {what}" for suffix, what in FORMATS.items())
    give.add_argument("output", type=Path, metavar="OUT", help=told)
    give.set_defaults(command=_export)


def _export(options: Namespace) -> None:
    suffix = options.output.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"OUT must end in {', '.join(FORMATS)}, got {options.output}")
    if options.output.exists():
        raise FileExistsError(f"OUT must not be there yet, got {options.output}; name another file or remove it")
    checkpoint = load(options.model)
    if suffix == ".onnx":
        from coresr_models.onnx import checked_onnx

        data, notes = checked_onnx(checkpoint)
    else:
        data, notes = _weights(checkpoint, suffix)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.output, data)
    for note in notes:
        print(f"note       {note}")
    print(f"wrote      {options.output}: {FORMATS[suffix]}")


def _weights(checkpoint: Checkpoint, suffix: str) -> tuple[bytes, list[str]]:
    state = foreign_state(checkpoint.model, checkpoint.spec, SPANDREL if suffix == ".safetensors" else BASICSR)
    notes = [f"licence {checkpoint.provenance['licence']}"] if "licence" in checkpoint.provenance else []
    arguments = complete(checkpoint.spec).arguments
    if checkpoint.spec.name == "edsr":
        notes.append(f"BasicSR's options: img_range 1, rgb_mean 0, res_scale {arguments['residual_scale']}")
    if arguments["channels"] == 1 and checkpoint.spec.name in {"plksr", "realplksr"}:
        notes.append("expanded to three channels, which must be equal")
    return (safetensors.torch.save(state) if suffix == ".safetensors" else _pickled(state)), notes


def _pickled(state: dict[str, Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save({"params": state}, file)
    return file.getvalue()
