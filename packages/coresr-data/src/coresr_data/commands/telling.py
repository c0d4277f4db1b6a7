"""What a person should hear of how a store was just prepared; what it holds, `inspection` says."""

from collections.abc import Iterator
from typing import Any

from coresr_data.store import Store


def tell(store: Store, layout: str) -> Iterator[str]:
    """What was found, how it was split and with which gap, and how scanned pairs lie."""
    m = store.manifest
    cores = m.split["cores"]
    yield f"found      {layout}: {_count(len(cores), 'core')}, {_count(sum(core['found'] for core in cores), 'slice')}"
    for core in cores:
        yield f"split      {core['core']}: {core['kept']} of {core['found']} slices kept{_gap(core)}"
    for core, pair in m.degradation_parameters.get("pairs", {}).items():
        yield from _pairs(core, pair)


def _gap(core: dict[str, Any]) -> str:
    likeness = ", ".join(f"{one['likeness']:.2f}" for one in core["borders"])
    borders = f"; slices at the borders correlate {likeness}" if likeness else ""
    if core["gap"] is None:
        return borders
    return f", {'measured' if core['measured'] else 'given'} gap {_count(core['gap'], 'slice number')}{borders}"


def _pairs(core: str, pair: dict[str, Any]) -> Iterator[str]:
    each = pair["hr_slices_per_lr_slice"]
    if each > 1:
        off = ", which is half an HR voxel below its middle" if pair["hr_voxels_off_centre"] else ""
        yield f"pairs      {core}: LR slice i with HR slice {each}·i + {each // 2}{off}"
    if did := pair.get("cropped"):
        off, left = (", ".join(f"{one:+.2f}" for one in did[key]) for key in ("shift_lr_voxels", "remaining_lr_voxels"))
        yield f"pairs      {core}: LR lay {off} LR voxels off HR along its last axes; cropped, {left} are left"
    for scale, found in pair.get("registration", {}).items():
        if found["pairs"]:
            yield (
                f"pairs      {core} ×{scale}: {found['verdict']}, LR lies {found['shift_y']:+.2f} pixels down and "
                f"{found['shift_x']:+.2f} right of HR ({_count(found['pairs'], 'pair')} looked at)"
            )


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
