r"""One self-contained HTML page of a store, without network or script: what a geologist looks at before training.

Names come from strangers' files: the page escapes everything, and what does not print is shown as `\x1b`.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from coresr_data import __version__
from coresr_data.inspection import scales_of
from coresr_data.inspection.cautions import cautions
from coresr_data.inspection.figures import COLOURS, OTHER
from coresr_data.inspection.looking import Seen, look, spread
from coresr_data.inspection.panels import LOOKED_AT, PICTURES, Greys, core_panel, patches_panel
from coresr_data.store import DRAWN, Core, Store
from coresr_data.store.aside import write_whole

MOST_CORES = 6
"""Cores that are shown; of more, those evenly spread in the order of the store."""
MOST_ROWS = 200
"""Cores that the table lists."""


def page(store: Store, out: Path) -> None:
    """Write the page at `out`, whole or not at all; of a large store a few slices are read.

    Equal stores of one name make equal bytes.
    """
    write_whole(out, render(store))


def render(store: Store) -> str:
    """The page as text, which UTF-8 can hold."""
    m = store.manifest
    shown = spread(range(len(m.cores)), MOST_CORES)
    seen = [look(store, m.cores[place], most_pixels=LOOKED_AT) for place in shown]
    greys = Greys(store)
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True)
    environment.loader = PackageLoader("coresr_data.inspection")
    environment.filters["level"] = lambda value: f"{value:.10g}".replace("-", "−")
    return environment.get_template("inspect.html").render(
        version=__version__,
        name=store.path.resolve().name,
        identity=store.sha256,
        manifest=m,
        scales=scales_of(store),
        totals=_totals(m.cores),
        cautions=cautions(store, seen),
        split=_split_words(m.split),
        rows=[_row(core, next((one for one in seen if one.core is core), None)) for core in m.cores[:MOST_ROWS]],
        hidden=max(len(m.cores) - MOST_ROWS, 0),
        cores=[core_panel(store, one, greys, pictures=PICTURES if len(seen) <= 2 else PICTURES // 2) for one in seen],
        left=len(m.cores) - len(seen),
        patches=[found for scale in m.scales if (found := patches_panel(store.at(scale), greys))],
        made=list(_made(m.degradation_parameters)),
        drawn=[found for scale in m.scales if (found := _drawn(store, scale))],
        colours=COLOURS,
        other=OTHER,
    )


# The store as a whole


def _totals(cores: Sequence[Core]) -> dict[str, Any]:
    splits = Counter(one.split for core in cores for one in core.slices)
    return {
        "slices": splits.total(),
        "cores": len({core.name for core in cores}),
        "splits": splits.most_common(),
        "paired": sum(set(core.images) == {"hr", "lr"} for core in cores),
        "folders": len(cores),
    }


def _row(core: Core, seen: Seen | None) -> dict[str, Any]:
    splits = Counter(one.split for one in core.slices)
    parts = [] if seen is None else [part for part in seen.parts if part.pixels]
    return {
        "name": core.name,
        "images": " and ".join(image.upper() for image in core.images),
        "size": (core.height, core.width),
        "voxel": core.voxel_um,
        "splits": [splits.get(name, 0) for name in COLOURS],
        "levels": (min(p.low for p in parts), max(p.high for p in parts)) if parts else None,
        "rock": seen.rock if seen is not None and core.masked else None,
    }


def _split_words(split: Mapping[str, Any]) -> list[str]:
    parts = split.get("parts", "not said")
    if isinstance(parts, list):
        words = ["train/valid/test by depth in shares of " + "/".join(f"{part:g}" for part in parts)]
    elif isinstance(parts, Mapping):
        words = [
            f"{name}: slices {part[0]} to {part[1]}" if isinstance(part[0], int) else f"{name}: {', '.join(part)}"
            for name, part in parts.items()
        ]
    else:
        words = [{"folders": "as the folders say", "none": "none: every slice is for training"}.get(parts, str(parts))]
    gaps = {(core["gap"], core["measured"]) for core in split.get("cores", ()) if core["gap"] is not None}
    if len(gaps) == 1:
        gap, measured = gaps.pop()
        words.append(f"at least {gap} slice numbers between splits" + (", as measured" if measured else ""))
    return words


def _made(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How LR came about, as lines of a table: steps and pairs in words, anything else by its name."""
    for name, value in parameters.items():
        if name == "steps":
            for scale, steps in value.items():
                yield f"steps at ×{scale}", ", then ".join(_step_words(step) for step in steps)
        elif name == "pairs":
            for core, pair in list(value.items())[:MOST_ROWS]:
                yield f"pair {core}", _pair_words(pair)
        else:
            yield name.replace("_", " "), value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pair_words(pair: Mapping[str, Any]) -> str:
    words = []
    for scale, found in pair.get("registration", {}).items():
        shift = ""
        if "shift_y" in found:
            shift = (
                f" LR lies {found['shift_y']:+.2f} LR pixels down and {found['shift_x']:+.2f} to the right of its HR."
            )
        words.append(f"×{scale} {found['verdict']}, {found['pairs']} pairs looked at.{shift}")
    if pair["hr_slices_per_lr_slice"] > 1:
        words.append(f"Of {pair['hr_slices_per_lr_slice']} HR slices to one of LR the middle one is kept.")
    if pair["hr_voxels_off_centre"]:
        words.append(f"It lies {pair['hr_voxels_off_centre']:g} HR voxels below the middle of its LR slice.")
    return " ".join(words) or "as published"


def _step_words(step: Mapping[str, Any]) -> str:
    figures = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in step.items() if name != "step")
    return f"{step['step']} ({figures})" if figures else str(step["step"])


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# What was drawn


def _drawn(store: Store, scale: int) -> dict[str, Any] | None:
    """The parameters that the degradation drew for one scale, over all slices of the cores that tell them."""
    steps: dict[tuple[str, str], list[Any]] = {}
    slices = 0
    for core in store.manifest.cores[:MOST_ROWS]:
        file = store.path / core.folder / DRAWN.format(scale=scale)
        if not file.is_file():
            continue
        for made in json.loads(file.read_text(encoding="utf-8")):
            slices += 1
            for step in made:
                for name, value in step.items():
                    if name != "step":
                        steps.setdefault((str(step.get("step", "")), name), []).append(value)
    if not slices:
        return None
    rows = [{"step": step, "name": name, **_summary(values)} for (step, name), values in steps.items()]
    return {"scale": scale, "slices": slices, "rows": rows}


def _summary(values: Sequence[Any]) -> dict[str, Any]:
    """Numbers by their range and mean, anything else by how often each value was drawn."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        if min(values) == max(values):
            return {"n": len(values), "words": f"{values[0]:.4g}, always"}
        mean = sum(values) / len(values)
        return {"n": len(values), "words": f"{min(values):.4g} to {max(values):.4g}, mean {mean:.4g}"}
    counts = Counter(value if isinstance(value, str) else json.dumps(value) for value in values)
    words = ", ".join(f"{value} {count}×" for value, count in counts.most_common(12))
    return {"n": len(values), "words": words + (f" and {len(counts) - 12} more" if len(counts) > 12 else "")}


def _finalize(value: object) -> object:
    """Each value on its way into the page: what does not print (controls, direction marks, lone bytes) as escapes."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in value)
    return value
