"""`list [NAME …]`: the networks, what they weigh, what they cost at one size, and where they are from."""

import inspect
import json
import math
import re
import sys
from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict, dataclass

import torch

from coresr_models.build import MODELS, ModelSpec, build
from coresr_models.cli import Commands, UsageError, whole
from coresr_models.commands.settings import add_set, settings
from coresr_models.macs import macs_at, macs_on_meta

SIZE = (1280, 720)
"""Of the HR image that costs are told at in the field's tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network."""

    name: str
    parameters: int
    macs: int
    """Multiply-adds, for an HR image of the stated size."""
    multiple_of: int
    """LR pixels."""
    paper: str


def add(commands: Commands) -> None:
    """Declare the command."""
    show = commands.add_parser("list", help="print the networks with parameters, multiply-adds and papers")
    show.add_argument("names", nargs="*", metavar="NAME", help="of networks (default all)")
    show.add_argument("--scale", type=whole(1), default=2)
    show.add_argument("--channels", type=whole(1), default=1)
    show.add_argument("--size", type=_size, default=SIZE, metavar="WxH", help="of the HR image (default 1280x720)")
    add_set(show, "an argument of every network that has it: global_residual=none, say")
    show.add_argument("--check", action="store_true", help="count by fvcore, too, and stop where it differs; slow")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(command=_list)


def _list(options: Namespace) -> None:
    names = options.names or list(MODELS)
    for name in names:
        if name not in MODELS:
            raise UsageError(f"NAME must be one of {', '.join(MODELS)}, got {name}")
    for text in options.settings:
        if not any(settings(name, [text]) for name in names):
            raise UsageError(f"--set must name an argument of {', '.join(names)}, got {text}")
    given = {"scale": options.scale, "channels": options.channels}
    rows, refused = [], {}
    for name in names:
        spec = ModelSpec(name=name, arguments={**settings(name, options.settings), **given})
        try:
            rows.append(row(spec, options.size, check=options.check))
        except ValueError as error:
            if options.names:
                raise
            refused[name] = str(error)
    for name, why in refused.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    if options.json:
        print(json.dumps([asdict(one) for one in rows], indent=1))
        return
    print(f"{'name':<10} {'parameters':>12} {'GMACs':>10}  paper")
    for one in rows:
        print(f"{one.name:<10} {one.parameters:>12,} {one.macs / 1e9:>10.2f}  {one.paper}")
    width, height = options.size
    print(f"multiply-adds at {width}×{height} HR, ×{options.scale}, {options.channels} channels, LR padded as needed")


def row(spec: ModelSpec, size: tuple[int, int], *, check: bool = False) -> Row:
    """One network, built without memory for its weights; with `check`, RuntimeError where fvcore counts otherwise."""
    scale, channels = (int(spec.arguments[name]) for name in ("scale", "channels"))
    with torch.device("meta"):
        network = build(spec).eval()
    width, height = (math.ceil(side / scale) for side in size)
    counted = macs_on_meta(network, channels=channels, height=height, width=width)
    if check and (other := macs_at(build(spec), channels=channels, height=height, width=width)) != counted:
        raise RuntimeError(f"multiply-adds of {spec.name} must be {counted}, as torch counts, got {other} from fvcore")
    return Row(
        name=spec.name,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=counted,
        multiple_of=network.multiple_of,
        paper=paper(spec.name),
    )


def paper(name: str) -> str:
    """Author, year and arXiv number, as the first lines of the network's module, or its class, say them."""
    module = inspect.getmodule(MODELS[name])
    for documented in (module, MODELS[name]):
        found = re.search(r"\(([^()]*?\d{4}, arXiv [\d.]+)", inspect.getdoc(documented) or "")
        if found:
            return " ".join(found[1].split())
    return ""


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if match is None or "0" in match.groups():
        raise ArgumentTypeError(f"must be WIDTHxHEIGHT in pixels, got {text}")
    return int(match[1]), int(match[2])
