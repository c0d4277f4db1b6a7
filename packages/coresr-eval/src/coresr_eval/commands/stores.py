"""A model on a split of a store: its slices, and what a reader must know of them."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

import numpy as np

from coresr_data import Separable, Store, open_store, to_unit, whole_slices
from coresr_data.store import Core
from coresr_eval.analysis import Ground, ground
from coresr_eval.commands.loading import TILE, Model, find_model
from coresr_eval.commands.publishing import publish, spread
from coresr_eval.conventions import under
from coresr_eval.protocol import Pair, Protocol, score

GROUND = 16
"""Slices of a core whose HR says where its pores are."""
SEEN = {
    "train": "These slices are the ones it was trained on: the scores say nothing about others.",
    "valid": "Its weights were chosen on these slices: the scores flatter it a little.",
}


def score_store(options: Namespace) -> None:
    """Score the model of the options on a split of their store, beside bicubic."""
    store = open_store(options.data)
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
    rows = store.rows(options.split)
    models = {"bicubic": find_model("bicubic", model.scale).upscale, model.name: model.upscale}
    publish(
        score(models, _pairs(store, options.split), protocol),
        options.out,
        number=len(rows),
        name=model.name,
        protocol=protocol,
        grounds=_grounds(store, rows, options.pore),
        title=f"{model.name} on {options.split} of {options.data.resolve().name}",
        notes=_notes(model, store, options.split),
        identity=store.sha256,
    )


def _pairs(store: Store, split: str) -> Iterator[Pair]:
    for one in whole_slices(store, split):
        operator = one.operator
        yield Pair(
            core=one.core,
            slice=one.number,
            lr=one.lr,
            hr=one.hr,
            mask=one.mask,
            operator=None if operator is None else operator.forward,
            pinv=operator.pinv if isinstance(operator, Separable) else None,  # others invert by iteration, in seconds
        )


def _grounds(store: Store, rows: Sequence[tuple[Core, int]], pore: float | None) -> dict[str, Ground]:
    """By core, from HR slices of the split; a core whose slices are flat has none."""
    found, window = {}, store.manifest.window
    threshold = None if pore is None else float(to_unit(np.array([pore]), window)[0])
    for core in {core.name: core for core, _ in rows}.values():
        own = [row for other, row in rows if other.folder == core.folder]
        hr = [to_unit(store.hr(core)[own[at]], window) for at in sorted(spread(GROUND, len(own)))]
        if min(one.min() for one in hr) < max(one.max() for one in hr):
            sides = core.voxel_um and set(core.voxel_um[1:])
            voxel_um = sides.pop() if sides and len(sides) == 1 else None
            found[core.name] = ground(hr, voxel_um, threshold=threshold)
    return found


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
