"""Models on a split of a store: its slices, and what a reader must know of them."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from coresr_data import Separable, Store, open_store, to_unit, whole_slices
from coresr_data.store import Core
from coresr_eval.cli import UsageError
from coresr_eval.commands.loading import TILE, Model, find_model
from coresr_eval.commands.naming import rocks_of, told_apart
from coresr_eval.commands.projecting import BICUBIC
from coresr_eval.commands.publishing import publish, spread, titled
from coresr_eval.conventions import under
from coresr_eval.grounds import SLICES, Ground, ground_or_why
from coresr_eval.protocol import Pair, Protocol, scorable, score
from coresr_models import Checkpoint

PROJECTED = (
    "Every image here, bicubic's too, is the nearest to what its model made that gives its LR back. LR consistency "
    "says nothing then, and the rounding of LR is in the images."
)
SEEN = {
    "train": "These slices are the ones it was trained on: the scores say nothing about others.",
    "valid": "Its weights were chosen on these slices: the scores flatter it a little.",
}


def score_store(options: Namespace) -> None:
    """Score the models of the options on a split of their store, beside bicubic."""
    places = told_apart(options.models)
    store, split = open_store(options.data), options.split or "test"
    models = _models(places, store.manifest.scales, options)
    store = store.at(models["bicubic"].scale)
    if options.back_project and store.manifest.degradation not in BICUBIC:
        raise UsageError(
            f"--back-project must have a store of bicubic LR, got {store.manifest.degradation}; leave it away: "
            "nobody would know the operator of another scan"
        )
    protocol = _protocol(store, options)
    rows = store.rows(split)
    seen = [row for row in rows if scorable(_mask(store, *row), protocol)]
    if not seen:
        raise ValueError(f"split {split} must show rock, got {len(rows)} slices without a piece inside their masks")
    rocks = rocks_of(options.rock, [core.name for core in store.manifest.cores]) if options.rock else None
    grounds, untold = _grounds(store, seen, options.pore)
    publish(
        score({name: model.upscale for name, model in models.items()}, _pairs(store, split, protocol), protocol),
        options.out,
        number=len(seen),
        names=list(places),
        protocol=protocol,
        grounds=grounds,
        title=f"{titled(list(places))} on {split} of {options.data.resolve().name}",
        notes=[*_notes(models, store, split, protocol), *_left_out(len(rows) - len(seen), len(rows)), *untold],
        rocks=rocks,
        identity=store.sha256,
    )


def _models(places: Mapping[str, str], scales: Sequence[int], options: Namespace) -> dict[str, Model]:
    """By name, bicubic first, of one scale, which is that of the options or the only one of the store, if any."""
    scale = options.scale or (scales[0] if len(scales) == 1 else None)
    models = {
        name: find_model(place, scale, tile=options.tile or TILE, self_ensemble=options.self_ensemble)
        for name, place in places.items()
    }
    found = {model.scale for model in models.values()}
    if len(found) > 1:
        said = ", ".join(f"{name} of ×{model.scale}" for name, model in models.items())
        raise ValueError(f"models must be of one scale, got {said}; score those of each scale into a DIR of its own")
    return {"bicubic": find_model("bicubic", found.pop() if found else scale), **models}


def _protocol(store: Store, options: Namespace) -> Protocol:
    scale = store.scale
    plain = Protocol(
        scale=scale,
        shave=scale,
        degradation=store.manifest.degradation,
        grey=store.manifest.grey,
        self_ensemble=options.self_ensemble,
        back_project=options.back_project,
        tile=options.tile,
    )
    return under(plain, options.convention)


def _mask(store: Store, core: Core, row: int) -> Tensor | None:
    return torch.from_numpy(np.array(store.mask(core)[row])) if core.masked else None


def _pairs(store: Store, split: str, protocol: Protocol) -> Iterator[Pair]:
    for one in whole_slices(store, split, operators=True):
        operator = one.operator
        if scorable(one.mask, protocol):
            yield Pair(
                core=one.core,
                slice=one.number,
                lr=one.lr,
                hr=one.hr,
                mask=one.mask,
                operator=None if operator is None else operator.forward,
                pinv=operator.pinv if isinstance(operator, Separable) else None,  # others invert by iteration
            )


def _left_out(number: int, of: int) -> list[str]:
    return [f"{number} of {of} slices are left out: next to nothing of them lies inside the mask."] if number else []


def _grounds(store: Store, rows: Sequence[tuple[Core, int]], pore: float | None) -> tuple[dict[str, Ground], list[str]]:
    """By core, from the rock on HR slices of the split, whatever their sizes; and why a core has none."""
    found, untold, window = {}, [], store.manifest.window
    threshold = None if pore is None else float(to_unit(np.array([pore], store.manifest.dtype), window)[0])
    for name in dict.fromkeys(core.name for core, _ in rows):
        own = [(core, row) for core, row in rows if core.name == name]
        hr = []
        for core, row in (own[at] for at in sorted(spread(SLICES, len(own)))):
            mask, levels = _mask(store, core, row), to_unit(np.asarray(store.hr(core)[row]), window)
            hr.append(levels.ravel() if mask is None else levels[mask.numpy()])
        sides = {core.voxel_um and core.voxel_um[1:] for core, _ in own}
        voxel_um = sides.pop() if len(sides) == 1 else None
        at = ground_or_why(name, hr, voxel_um, threshold=threshold)
        if isinstance(at, str):
            untold.append(at)
        else:
            found[name] = at
    return found, untold


def _notes(models: Mapping[str, Model], store: Store, split: str, protocol: Protocol) -> list[str]:
    """What a reader must know to believe the page."""
    notes = [PROJECTED] if protocol.back_project else []
    notes += [_origin(name, model.checkpoint, store, split) for name, model in models.items() if model.checkpoint]
    notes.append(f"{_divided(store)} This is its {split} part.")
    notes.append(f"The store's identity (sha256 of its manifest, sources included) is {store.sha256}.")
    return notes


def _origin(name: str, checkpoint: Checkpoint, store: Store, split: str) -> str:
    """What a network is, and whether it has seen these slices."""
    arguments = ", ".join(f"{key} {value}" for key, value in checkpoint.spec.arguments.items())
    trained = checkpoint.provenance.get("data", {}).get("sha256")
    if trained is None:
        seen = "Its file does not say what it was trained on."
    elif trained != store.sha256:
        seen = "It was trained on another store, which may hold the same rock."
    else:
        seen = f"It was trained on this store. {SEEN.get(split, '')}".strip()
    return f"{name} is {checkpoint.spec.name} ({arguments}). {seen}"


def _divided(store: Store) -> str:
    """How the store was split, as a sentence, and how alike the slices on both sides of a border are."""
    parts, cores = store.manifest.split["parts"], store.manifest.split["cores"]
    if parts == "none":
        return "The store was not split."
    if isinstance(parts, dict):
        how = "into " + "; ".join(f"{part} {_part(of)}" for part, of in parts.items())
    elif isinstance(parts, list):
        how = f"by depth in shares of {'/'.join(f'{share:g}' for share in parts)}"
    else:
        how = f"by its {parts}"
    likeness = [border["likeness"] for core in cores for border in core["borders"]]
    alike = f" Slices on both sides of a border correlate by {max(likeness):.2f} at most." if likeness else ""
    return f"The store was split {how}.{alike}"


def _part(of: Sequence[int | str]) -> str:
    return f"{of[0]}–{of[-1]}" if isinstance(of[0], int) else ", ".join(map(str, of))
