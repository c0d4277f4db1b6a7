"""The charts of an analysis, ready for the page: spectra, agreement with HR by fineness, porosity over thresholds."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from coresr_eval.analysis import AGREES, Analysis, Pores
from coresr_eval.report import Chart, Curve

CORES = 4
"""Cores whose porosity is drawn; the page's table and `summary.json` hold the numbers of all."""
MODELS = 10
"""Models whose curves are drawn beside bicubic's, the first that were named: more names have no room beside them."""
T = TypeVar("T")
_CALLED = {"hr": "HR", "lr": "LR"}


def charts(analysis: Analysis, scale: int) -> list[Chart]:
    """What was analysed, drawn; nothing where no slice was."""
    if not analysis.slices:
        return []
    pores = list(analysis.pores().items())[:CORES]
    return [
        _power(analysis, scale),
        _agreement(analysis, scale),
        *(_porosity(analysis, core, of) for core, of in pores),
    ]


def drawn(found: Mapping[str, T]) -> dict[str, T]:
    """What is drawn of what was found by name: of all models HR, LR, bicubic and the first few."""
    others = [name for name in found if name not in {*_CALLED, "bicubic"}]
    return {name: of for name, of in found.items() if name not in others[MODELS:]}


def _power(analysis: Analysis, scale: int) -> Chart:
    frequency, hr = analysis.hr
    models = [Curve(name=name, x=of.frequency, y=of.power) for name, of in drawn(analysis.fineness()).items()]
    return Chart(
        title="Power by fineness",
        x_label="cycles per HR pixel",
        y_label="power (grey²)",
        curves=(Curve(name="HR", x=frequency, y=hr), *models),
        log_y=True,
        marks=((0.5 / scale, "the finest LR can hold"),),
        note="Below HR it is too soft there, above HR it has noise or invented detail. HR's noise counts as detail.",
    )


def _agreement(analysis: Analysis, scale: int) -> Chart:
    found = drawn(analysis.fineness())
    models = [Curve(name=name, x=of.frequency, y=of.correlation) for name, of in found.items()]
    ends = np.array([0.0, 0.5])
    said = ", ".join(f"{name} {of.resolution:.2f}" for name, of in found.items())
    return Chart(
        title="Agreement with HR by fineness",
        x_label="cycles per HR pixel",
        y_label="ring correlation with HR",
        curves=(*models, Curve(name=f"correlation {AGREES:g}", x=ends, y=np.full(2, AGREES))),
        marks=((0.5 / scale, "the finest LR can hold"),),
        note=f"Period in HR pixels down to which the images agree with HR (correlation {AGREES:g}): {said}.",
    )


def _porosity(analysis: Analysis, core: str, images: dict[str, Pores]) -> Chart:
    at, images = analysis.grounds[core], drawn(images)
    order = [*(name for name in ("hr", "lr") if name in images), *(name for name in images if name not in _CALLED)]
    ranges = ", ".join(f"{_CALLED.get(name, name)} {images[name].low:.3f}–{images[name].high:.3f}" for name in order)
    return Chart(
        title=f"Porosity of {core} against the threshold",
        x_label="threshold (grey, 0 to 1)",
        y_label="porosity",
        curves=tuple(Curve(name=_CALLED.get(name, name), x=at.thresholds, y=images[name].curve) for name in order),
        marks=((at.threshold, "fixed on HR"),),
        note=f"Over the sweep: {ranges}. The flatter a curve, the less the porosity depends on who sets the threshold.",
    )
