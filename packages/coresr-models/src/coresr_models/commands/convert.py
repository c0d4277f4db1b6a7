"""`convert IN OUT`: a foreign weight file becomes one of ours, which rebuilds its network by itself."""

from argparse import Namespace
from pathlib import Path

from coresr_models.build import ModelSpec
from coresr_models.checkpoint import fit, save, sha256
from coresr_models.cli import Commands, UsageError
from coresr_models.commands.settings import add_set, settings
from coresr_models.foreign import Recognised, recognise
from coresr_models.foreign.edges import with_range
from coresr_models.foreign.reading import read_foreign


def add(commands: Commands) -> None:
    """Declare the command."""
    turn = commands.add_parser(
        "convert", help="turn a .pth of BasicSR, ESRGAN, SwinIR, RCAN … into a coresr checkpoint"
    )
    turn.add_argument("input", type=Path, metavar="IN", help="a .pth or a .safetensors of another program")
    turn.add_argument("output", type=Path, metavar="OUT", help="a .safetensors to write")
    turn.add_argument(
        "--range", type=float, default=1.0, help="IN works on images from 0 to this, 255 say; folded into its weights"
    )
    turn.add_argument("--licence", help="of the weights, as SPDX names it; kept in OUT")
    add_set(turn, "an argument that no shape tells: residual_scale=0.1, say")
    turn.set_defaults(command=_convert)


def _convert(options: Namespace) -> None:
    if options.output.suffix.lower() != ".safetensors":
        raise UsageError(f"OUT must end in .safetensors, got {options.output}")
    if not 0 < options.range < 1e6:
        raise UsageError(f"--range must be above 0, the intensity of white, got {options.range}")
    if options.output.exists():
        raise FileExistsError(f"OUT must not be there yet, got {options.output}; name another file or remove it")
    found = _recognised(options)
    network = fit(options.input, found.spec, found.tensors)
    origin = {"file": options.input.name, "sha256": sha256(options.input), "format": found.format}
    provenance: dict[str, object] = {"origin": {**origin, "range": options.range, "assumed": list(found.assumed)}}
    if options.licence:
        provenance["licence"] = options.licence
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save(options.output, network, found.spec, provenance)
    print(f"read       {options.input}: {found.format}, {len(found.tensors)} tensors")
    print(f"network    {found.spec.name} " + " ".join(f"{key}={value}" for key, value in found.spec.arguments.items()))
    for one in found.assumed:
        print(f"assumed    {one}")
    if "licence" not in provenance:
        print("licence    unknown; say it with --licence")
    print(f"wrote      {options.output}")


def _recognised(options: Namespace) -> Recognised:
    """What IN is, with what the command line says of it."""
    try:
        found = recognise(read_foreign(options.input))
        given = settings(found.spec.name, options.settings)
        if len(given) < len(options.settings):
            raise UsageError(f"--set must name arguments of {found.spec.name}, got {' '.join(options.settings)}")
        spec = ModelSpec(name=found.spec.name, arguments={**found.spec.arguments, **given})
        tensors = found.tensors if options.range == 1 else with_range(spec, found.tensors, options.range)
    except ValueError as error:
        if str(options.input) in str(error) or isinstance(error, UsageError):
            raise
        raise ValueError(f"{options.input}: {error}") from error
    assumed = tuple(one for one in found.assumed if one.partition(" ")[0] not in given)
    return Recognised(format=found.format, spec=spec, tensors=tensors, assumed=assumed)
