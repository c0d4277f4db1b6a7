"""`interpolate PSNR GAN OUT`: a network between one trained for fidelity and the GAN that was trained on from it."""

from argparse import Namespace
from pathlib import Path

from coresr_models.checkpoint import load, save
from coresr_models.cli import Commands, UsageError


def add(commands: Commands) -> None:
    """Declare the command."""
    mix = commands.add_parser("interpolate", help="mix the weights of two checkpoints of the same network")
    mix.add_argument("psnr", type=Path, metavar="PSNR", help="the checkpoint trained for fidelity")
    mix.add_argument("gan", type=Path, metavar="GAN", help="the checkpoint trained on from it with a discriminator")
    mix.add_argument("output", type=Path, metavar="OUT", help="a .safetensors to write")
    mix.add_argument("--alpha", type=float, default=0.8, help="0 is PSNR, 1 is GAN (default 0.8)")
    mix.set_defaults(command=_interpolate)


def _interpolate(options: Namespace) -> None:
    from coresr_models.interpolate import interpolated

    if options.output.suffix.lower() != ".safetensors":
        raise UsageError(f"OUT must end in .safetensors, got {options.output}")
    if not 0 <= options.alpha <= 1:
        raise UsageError(f"--alpha must be from 0 to 1, got {options.alpha}")
    if options.output.exists():
        raise FileExistsError(f"OUT must not be there yet, got {options.output}; name another file or remove it")
    mixed = interpolated(load(options.psnr), load(options.gan), alpha=options.alpha)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    save(options.output, mixed.model, mixed.spec, mixed.provenance)
    print(f"wrote      {options.output}: {1 - options.alpha:g} × {options.psnr} + {options.alpha:g} × {options.gan}")
