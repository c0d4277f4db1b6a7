"""What a store holds, in words."""

from collections.abc import Iterator, Sequence

from coresr_data.inspection.cautions import cautions
from coresr_data.inspection.looking import Part, Seen, look
from coresr_data.store import Store
from coresr_data.volume import Voxel

MOST_PIXELS = 2**28
"""Pixels of each split that are looked at, in all cores together: a second or two of reading."""


def describe(store: Store) -> Iterator[str]:
    """Scale, grey scale, voxels, cores, splits and what was left out, line by line, and cautions last."""
    m = store.manifest
    seen = [look(store, core, most_pixels=max(1, MOST_PIXELS // len(m.cores))) for core in m.cores]
    yield f"store      {store.path} ({scales_of(store)}, {m.degradation} LR, identity {store.sha256[:12]})"
    yield f"grey       {m.grey}"
    voxels = {core.voxel_um for core in m.cores}
    common = voxels.pop() if len(voxels) == 1 else None
    yield f"voxel      {'HR differs between cores' if voxels else voxel_words(common, m.scales)}"
    for one in seen:
        yield from _core_lines(store, one, voxel=bool(voxels))
    for source, why in m.skipped:
        yield f"skipped    {source}: {why}"
    for caution in cautions(store, seen):
        yield f"caution    {caution}"


def _core_lines(store: Store, seen: Seen, *, voxel: bool) -> Iterator[str]:
    core = seen.core
    images = [f"HR {core.height}×{core.width}"] if "hr" in core.images else []
    images += [f"LR {core.height // s}×{core.width // s}" for s in store.manifest.scales if "lr" in core.images]
    if any(core.cropped):
        images.append(f"cropped by {core.cropped[0]} rows and {core.cropped[1]} columns")
    if voxel:
        images.append(f"voxel {voxel_words(core.voxel_um, store.manifest.scales)}")
    if core.masked:
        images.append(f"{seen.rock:.1%} inside the mask")
    yield f"core       {core.name}: {', '.join(images)}"
    before: Part | None = None
    for part in sorted(seen.parts, key=lambda part: part.numbers[0]):
        looked = "" if len(part.looked_at) == len(part.rows) else f" in {len(part.looked_at)} of them"
        looked += f" at every {part.every}th line" if part.every > 1 else ""
        gap = "" if before is None else gap_words(before.numbers, part.numbers)
        yield (
            f"  {part.split:<8} {len(part.rows):>5} slices, numbers {part.numbers[0]}–{part.numbers[-1]}, "
            f"{seen.image.upper()} levels {part.low:.10g}–{part.high:.10g}, mean {part.mean:.1f}{looked}{gap}"
        )
        before = part


def gap_words(above: Sequence[int], below: Sequence[int]) -> str:
    """How many slice numbers lie between two splits, where the numbers of one end before those of the other begin."""
    between = below[0] - above[-1] - 1
    return f", after a gap of {between}" if between >= 0 else ", between the others"


def scales_of(store: Store) -> str:
    """`×2/×4`."""
    return "/".join(f"×{scale}" for scale in store.manifest.scales)


def voxel_words(voxel: Voxel | None, scales: Sequence[int]) -> str:
    """Sides of the HR and LR voxels; LR is larger within a slice alone."""
    if voxel is None:
        return "HR not said"
    z, y, x = voxel
    if z == y == x:
        lr = [f"{scale * x:g} µm" for scale in scales]
        order = ""
    else:
        lr = [f"{z:g}×{scale * y:g}×{scale * x:g} µm" for scale in scales]
        order = " along z, y and x"
    hr = f"{x:g}" if z == y == x else f"{z:g}×{y:g}×{x:g}"
    return f"HR {hr} µm, LR {'/'.join(lr)}{order}"
