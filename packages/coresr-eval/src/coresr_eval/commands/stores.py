"""A model on a split of a store: its slices, and what a reader must know of them."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from coresr_data import Separable, Store, open_store, to_unit, whole_slices
from coresr_data.store import Core
from coresr_eval.commands.loading import TILE, Model, find_model
from coresr_eval.commands.publishing import publish, spread
from coresr_eval.conventions import under
from coresr_eval.grounds import Ground, ground
from coresr_eval.protocol import Pair, Protocol, scorable, score

GROUND = 16
"""Slices of a core whose HR says where its pores are."""
SEEN = {
    "train": "These slices are the ones it was trained on: the scores say nothing about others.",
    "valid": "Its weights were chosen on these slices: the scores flatter it a little.",
}


def score_store(options: Namespace) -> None:
    """Score the model of the options on a split of their store, beside bicubic."""
    store, split = open_store(options.data), options.split or "test"
    manifest = store.manifest
    only = manifest.scales[0] if len(manifest.scales) == 1 else None
    model = find_model(
        options.model, options.scale or only, tile=options.tile or TILE, self_ensemble=options.self_ensemble
    )
    store = store.at(model.scale)
    plain = Protocol(
        scale=model.scale,
        shave=model.scale,
        degradation=manifest.degradation,
        grey=manifest.grey,
        self_ensemble=options.self_ensemble,
        tile=options.tile,
    )
    protocol = under(plain, options.convention)
    rows = store.rows(split)
    seen = [row for row in rows if scorable(_mask(store, *row), protocol)]
    if not seen:
        raise ValueError(f"split {split} must show rock, got {len(rows)} slices without a piece inside their masks")
    grounds, untold = _grounds(store, seen, options.pore)
    models = {"bicubic": find_model("bicubic", model.scale).upscale, model.name: model.upscale}
    publish(
        score(models, _pairs(store, split, protocol), protocol),
        options.out,
        number=len(seen),
        name=model.name,
        protocol=protocol,
        grounds=grounds,
        title=f"{model.name} on {split} of {options.data.resolve().name}",
        notes=[*_notes(model, store, split), *_left_out(len(rows) - len(seen), len(rows)), *untold],
        identity=store.sha256,
    )


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
        for core, row in (own[at] for at in sorted(spread(GROUND, len(own)))):
            mask, levels = _mask(store, core, row), to_unit(np.asarray(store.hr(core)[row]), window)
            hr.append(levels.ravel() if mask is None else levels[mask.numpy()])
        sides = {core.voxel_um and core.voxel_um[1:] for core, _ in own}
        voxel_um = sides.pop() if len(sides) == 1 else None
        low, high = min(one.min() for one in hr), max(one.max() for one in hr)
        if low == high or not (threshold is None or low <= threshold < high):
            what = "has one grey level only" if low == high else "has no level on one side of --pore"
            untold.append(f"Nothing is said of the pores of {name}, which {what}.")
            continue
        found[name] = ground(hr, voxel_um, threshold=threshold)
    return found, untold


def _notes(model: Model, store: Store, split: str) -> list[str]:
    """What a reader must know to believe the page."""
    notes = []
    if model.checkpoint is not None:
        arguments = ", ".join(f"{key} {value}" for key, value in model.checkpoint.spec.arguments.items())
        notes.append(f"{model.name} is {model.checkpoint.spec.name} ({arguments}).")
        trained = model.checkpoint.provenance.get("data", {}).get("sha256")
        if trained is None:
            notes.append("Its file does not say what it was trained on.")
        elif trained != store.sha256:
            notes.append("It was trained on another store, which may hold the same rock.")
        else:
            notes.append(f"It was trained on this store. {SEEN.get(split, '')}".strip())
    notes.append(f"{_divided(store)} This is its {split} part.")
    notes.append(f"The store's identity (sha256 of its manifest, sources included) is {store.sha256}.")
    return notes


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
