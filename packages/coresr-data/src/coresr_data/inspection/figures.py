"""Pictures and charts of a store for a page: data URIs and inline SVG, the same bytes for the same arguments.

Charts hold numbers and words of this file alone, never a name from outside. Their colours are variables of the page,
so that they follow it into the dark and onto paper.
"""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from coresr_data.volume import Levels

Picture = NDArray[np.uint8]

# Okabe and Ito's colours, told apart by colour-blind readers too; their lightness differs, and test is hatched besides
COLOURS = {"train": "#0072b2", "valid": "#e69f00", "test": "#cc79a7"}
OTHER = "#009e73"
OUTLINE = (230, 159, 0)
# colours that stand for variables of the page
_VARIABLES = {"#010101": "--ink", "#020202": "--soft", "#030303": "--rule", "#040404": "--page", "#050505": "--panel"}
_INK, _SOFT, _RULE, _PAGE, _PANEL = _VARIABLES
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _SOFT,
    "axes.linewidth": 0.6,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 1.2,
}
MOST_RUNS = 400
"""Stretches of slices of one split that are drawn one by one; more are drawn column by column."""
_WIDTH = 9.6  # inches of 72 SVG points


def strip(numbers: Sequence[int], splits: Sequence[str], *, z_um: float | None) -> str:
    """A core from its first to its last slice number, each slice in the colour of its split, as SVG.

    What lies between slices of one split is paler, where no other split lies there too. A second axis says the depth
    below slice 0 where the distance of slices is known. Slices drawn narrower than the eye sees are widened.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "strip"}):
        figure = Figure(figsize=(_WIDTH, 0.95 if z_um is None else 1.25))
        axes = figure.add_axes((0.03, 0.42 if z_um is None else 0.33, 0.94, 0.5 if z_um is None else 0.33))
        first, last = min(numbers) - 0.5, max(numbers) + 0.5
        narrowest = (last - first) / 250
        axes.broken_barh([(first, last - first)], (0, 1), facecolor=_PANEL, edgecolor=_RULE, linewidth=0.6)
        for split, start, end in _spans(numbers, splits):
            axes.broken_barh(
                [(start, end - start)], (0, 1), facecolor=COLOURS.get(split, OTHER), alpha=0.2, linewidth=0
            )
        for split, start, end in _runs(numbers, splits):
            middle, width = (start + end) / 2, max(end - start, narrowest)
            hatch: dict[str, Any] = {"hatch": "////", "edgecolor": _PAGE} if split == "test" else {}
            colour = COLOURS.get(split, OTHER)
            axes.broken_barh([(middle - width / 2, width)], (0, 1), facecolor=colour, linewidth=0, **hatch)
        axes.set_xlim(first - narrowest / 2, last + narrowest / 2)
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))
        axes.set_xlabel("slice number", labelpad=1)
        axes.spines[:].set_visible(False)
        if z_um is not None:
            unit, um = ("mm", 1000.0) if (last - first) * z_um >= 2000 else ("µm", 1.0)
            depth = axes.secondary_xaxis("top", functions=_scaled(z_um / um))
            depth.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
            depth.set_xlabel(f"depth below slice 0 ({unit})", labelpad=3)
            depth.spines[:].set_visible(False)
        return _svg(figure, "Splits along depth, by slice number")


def _scaled(factor: float) -> Any:
    """The function that matplotlib scales an axis by, and its inverse."""
    return lambda number: number * factor, lambda depth: depth / factor


def _spans(numbers: Sequence[int], splits: Sequence[str]) -> list[tuple[str, float, float]]:
    """Split and ends of each stretch that slices of one split alone lie in, in order."""
    ordered = sorted(zip(numbers, splits, strict=True))
    groups = [(split, [n for n, _ in group]) for split, group in groupby(ordered, key=lambda one: one[1])]
    return [(split, found[0] - 0.5, found[-1] + 0.5) for split, found in groups] if len(groups) <= MOST_RUNS else []


def _runs(numbers: Sequence[int], splits: Sequence[str]) -> list[tuple[str, float, float]]:
    """Split and ends of each stretch of slice numbers one after the other, in order."""
    ordered = sorted(zip(numbers, splits, strict=True))
    places = enumerate(ordered)
    runs = []
    for (split, _), group in groupby(places, key=lambda place: (place[1][1], place[1][0] - place[0])):
        found = [number for _, (number, _) in group]
        runs.append((split, found[0] - 0.5, found[-1] + 0.5))
    if len(runs) <= MOST_RUNS:
        return runs
    width = (ordered[-1][0] - ordered[0][0] + 1) / MOST_RUNS
    columns = {int((number - ordered[0][0]) / width): split for number, split in ordered}
    start = ordered[0][0] - 0.5
    return [(split, start + column * width, start + (column + 1) * width) for column, split in columns.items()]


def histogram(
    shares: Mapping[str, NDArray[np.floating]], edges: NDArray[np.floating], *, window: tuple[float, float], unit: str
) -> str:
    """How often levels occur, as SVG: the first of `shares` (per bin, sum 1) as an area, others as lines.

    The ends of the window are marked where they lie on the axis. A bin far above the others is cut, and says its share.
    """
    with mpl.rc_context({**_STYLE, "svg.hashsalt": "histogram"}):
        figure = Figure(figsize=(_WIDTH, 2.3))
        axes = figure.add_axes((0.065, 0.2, 0.92, 0.68))
        top = _top(shares)
        styles: list[dict[str, Any]] = [{"fill": True, "color": _SOFT, "alpha": 0.45, "linewidth": 0}]
        styles.append({"fill": False, "color": _INK, "linewidth": 1.1})
        for (name, share), style in zip(shares.items(), styles, strict=False):
            axes.stairs(100 * share, edges, label=name, **style)
            for place in np.flatnonzero(share > top):
                text = f"{100 * share[place]:.1f} %"
                axes.annotate(
                    text, ((edges[place] + edges[place + 1]) / 2, 100 * top), (0, 2), textcoords="offset points",
                    ha="center", color=_INK, annotation_clip=False,
                )  # fmt: skip
        left, right = axis_ends(edges, window)
        for level, becomes in zip(window, ("0", "1"), strict=True):
            if left <= level <= right:
                axes.axvline(level, color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))
                inward = 3 if level < (left + right) / 2 else -3
                axes.annotate(
                    f"becomes {becomes}", (level, 0.97), (inward, 0), xycoords=("data", "axes fraction"),
                    textcoords="offset points", ha="left" if inward > 0 else "right", va="top", color=_INK,
                )  # fmt: skip
        axes.set_xlim(left, right)
        axes.set_ylim(0, 100 * top)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel(f"grey level ({unit})")
        axes.set_ylabel("% of pixels")
        return _svg(figure, "How often each grey level occurs")


def _top(shares: Mapping[str, NDArray[np.floating]]) -> float:
    """The upper end of the axis: a fifth above the highest bin, or above the fourth where one towers over all."""
    ordered = np.sort(np.concatenate(list(shares.values())))[::-1]
    fourth = ordered[min(3, len(ordered) - 1)]
    highest = ordered[0] if ordered[0] <= 3 * fourth or fourth == 0 else fourth
    return 1.2 * float(highest)


def axis_ends(edges: NDArray[np.floating], window: tuple[float, float]) -> tuple[float, float]:
    """The levels that the axis shows: those there are, and the whole window where that is not far wider."""
    low, high = float(edges[0]), float(edges[-1])
    if high - low >= 0.25 * (window[1] - window[0]):
        low, high = min(low, window[0]), max(high, window[1])
    margin = 0.01 * (high - low)
    return low - margin, high + margin


def _svg(figure: Figure, label: str) -> str:
    """The figure as one `svg` element for a page: its colours and font are the page's, no ids but those it uses."""
    FigureCanvasSVG(figure)
    data = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(data, format="svg", metadata=nothing, transparent=True)
    text = data.getvalue().decode()
    text = text[text.index("<svg") :].strip()
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family:[^;\"]*;? ?", "", text)
    text = re.sub(r"<svg [^>]*viewBox=\"([^\"]*)\"[^>]*>", rf'<svg viewBox="\1" role="img" aria-label="{label}">', text)
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r"(?:url\(|href=\")#(\w+)", text))
    text = re.sub(r" id=\"([^\"]*)\"", lambda found: found.group(0) if found.group(1) in used else "", text)
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    return re.sub(r"\s*\n\s*", " ", text)


def reduced(levels: Levels, side: int) -> NDArray[np.float64]:
    """An image `(h, w)` as means of whole square blocks, no side of it longer than `side`; rows beyond are cut."""
    fewer = max(1, max(levels.shape) // (8 * side))  # of a huge slice a few pixels of every block are enough
    levels = levels[::fewer, ::fewer]
    block = -(-max(levels.shape) // side)
    height, width = (max(1, n // block) for n in levels.shape)
    cut = levels[: height * block, : width * block].astype(np.float64)
    return np.asarray(cut.reshape(height, min(block, levels.shape[0]), width, min(block, levels.shape[1])).mean((1, 3)))


def grey(levels: Levels, ends: tuple[float, float]) -> Picture:
    """Levels as 8 bits: `ends` are black and white, and what lies outside is shown as its end."""
    share = (levels.astype(np.float64) - ends[0]) / max(ends[1] - ends[0], 1e-30)
    return np.asarray(np.rint(255 * share.clip(0, 1)), np.uint8)


def outlined(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    """The grey picture `(h, w)` in colour `(h, w, 3)`, with a line of two pixels around the mask."""
    coloured: Picture = np.repeat(picture[..., None], 3, axis=2)
    edge = np.zeros_like(mask)
    for axis in (0, 1):
        change = np.diff(mask, axis=axis)
        ahead, behind = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        ahead[axis], behind[axis] = (1, 0), (0, 1)
        edge |= np.pad(change, ahead) | np.pad(change, behind)
    coloured[edge] = OUTLINE
    return coloured


def data_uri(picture: Picture, *, exact: bool = True) -> str:
    """A grey or coloured picture as a data URI: PNG, or a JPEG of high quality where it need not be exact."""
    data = io.BytesIO()
    if exact:
        Image.fromarray(picture).save(data, "PNG", optimize=True)
    else:
        Image.fromarray(picture).save(data, "JPEG", quality=85, subsampling=0, optimize=True)
    return f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(data.getvalue()).decode()}"
