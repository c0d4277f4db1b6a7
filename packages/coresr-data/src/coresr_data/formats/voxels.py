"""How large a pixel is: from the tags of TIFF and PNG to micrometres and back.

Programs that know nothing of micrometres write the resolution of a screen or a printer into the same tags. So inches
are never believed, and centimetres and metres only where they are no such figure.
"""

import html
import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from PIL.PngImagePlugin import PngInfo

from coresr_data.volume import Voxel

PRINTED = (72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 220, 240, 250, 300, 350, 360, 400, 600, 720, 1200, 2400, 4800)
"""Dots per inch that screens, printers and scanners have."""
MICROMETRES = {"nm": 1e-3, "micron": 1.0, "microns": 1.0, "um": 1.0, "micrometer": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
MICROMETRES |= {"nanometer": 1e-3, "micrometre": 1.0, "millimeter": 1e3, "millimetre": 1e3, "centimeter": 1e4}
INCH = 25400.0  # µm
TEXT = "voxel_um"
"""Keyword of the PNG text that says the sides along y and x in full: whole pixels a metre are too coarse."""
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
CENTIMETRE = 3
SMALLEST, LARGEST = 1e-3, 1e5  # µm; a PNG holds whole pixels a metre

Pixel = tuple[float, float]
"""Sides along y and x in micrometres."""


def cubic(pixel: Pixel | None, depth_um: float | None = None) -> Voxel | None:
    """The voxel of a slice whose file says the sides of its pixels, and perhaps the distance of its slices.

    Where it does not say the distance, square pixels are taken for those of a cube, as CT reconstructs them; of others
    nothing is known.
    """
    if pixel is None or not all(SMALLEST <= side <= LARGEST for side in pixel):
        return None
    y, x = pixel
    if depth_um is not None and SMALLEST <= depth_um <= LARGEST:
        return (depth_um, y, x)
    return (y, y, x) if math.isclose(y, x, rel_tol=1e-3) else None


def tiff_voxel(description: str, tags: Mapping[int, Any]) -> Voxel | None:
    """From the text of a TIFF's first page, ImageJ's or OME's, else from its resolution a centimetre; or None.

    `tags` holds the rationals of the resolution tags, pixels a unit, and the code of the unit.
    """
    if (pixels := re.search(r"<(?:\w+:)?Pixels\s[^>]*>", description)) is not None:
        return _ome_voxel(pixels[0])
    sides = [1 / ratio for tag in (Y_RESOLUTION, X_RESOLUTION) if (ratio := _ratio(tags.get(tag)))]
    if len(sides) != 2:
        return None
    y, x = sides
    if description.startswith("ImageJ="):
        said: dict[str, str] = dict(re.findall(r"^(\w+)=(.*)$", description, re.MULTILINE))
        unit = said.get("unit", "")
        z_unit, y_unit, x_unit = (micrometres(said.get(key, unit)) for key in ("zunit", "yunit", "unit"))
        if x_unit is None or y_unit is None or z_unit is None:
            return None
        spacing = _number(said.get("spacing"))
        return cubic((y * y_unit, x * x_unit), spacing and abs(spacing) * z_unit)
    if tags.get(RESOLUTION_UNIT) == CENTIMETRE and (y, x) != (1, 1):
        return cubic(_unless_printed((1e4 * y, 1e4 * x)))
    return None


def png_voxel(info: Mapping[str, Any]) -> Voxel | None:
    """From what Pillow found in a PNG: the text written by `png_options` where pHYs agrees, else pHYs in metres."""
    if "dpi" not in info:
        return None
    x, y = (round(dpi / 0.0254) for dpi in info["dpi"])  # the whole pixels a metre that the file holds
    if min(x, y) <= 1:
        return None
    said = [side for text in str(info.get(TEXT, "")).split() if (side := _number(text)) and side > 0]
    if [_per_metre(side) for side in said] == [y, x]:
        return cubic((said[0], said[1]))
    return cubic(_unless_printed((1e6 / y, 1e6 / x)))


def tiff_options(pixel: Pixel) -> dict[str, Any]:
    """What `tifffile.imwrite` needs so that ImageJ, and `tiff_voxel`, find these sides."""
    y, x = _writable(pixel)
    return {
        "description": "ImageJ=1.54f\nunit=micron\n",
        "resolution": (_rational(1 / x), _rational(1 / y)),
        "resolutionunit": "NONE",
    }


def png_options(pixel: Pixel) -> dict[str, Any]:
    """What Pillow's `save` needs so that everybody finds the rounded sides, and `png_voxel` the exact ones."""
    y, x = _writable(pixel)
    text = PngInfo()
    text.add_text(TEXT, f"{y!r} {x!r}")
    return {"dpi": (_per_metre(x) * 0.0254, _per_metre(y) * 0.0254), "pnginfo": text}


def micrometres(unit: str) -> float | None:
    """Of one such unit, in the spellings of ImageJ and OME; None for inches, pixels and what nobody knows."""
    plain = html.unescape(unit).strip().lower().replace("\\u00b5", "u").replace("µ", "u").replace("μ", "u")
    return MICROMETRES.get(plain)


def _ome_voxel(pixels: str) -> Voxel | None:
    said = dict(re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']", pixels))
    z, y, x = (
        size and unit and size * unit
        for size, unit in (
            (_number(said.get(f"PhysicalSize{axis}")), micrometres(said.get(f"PhysicalSize{axis}Unit", "µm")))
            for axis in "ZYX"
        )
    )
    return cubic((y, x), z) if y and x else None


def _unless_printed(pixel: Pixel) -> Pixel | None:
    dots = [INCH / side for side in pixel]
    return None if all(any(abs(dpi - known) < 0.03 for known in PRINTED) for dpi in dots) else pixel


def _writable(pixel: Pixel) -> Pixel:
    if not all(SMALLEST <= side <= LARGEST for side in pixel):
        raise ValueError(f"voxel_um must be two sides of {SMALLEST} to {LARGEST:.0f} µm, got {pixel}")
    return pixel


def _rational(ratio: float) -> tuple[int, int]:
    """The nearest of two numbers of 32 bits, as the tags hold them."""
    most = 2**32 - 1
    return Fraction(ratio).limit_denominator(min(most, int(most / ratio))).as_integer_ratio()


def _per_metre(side: float) -> int:
    return max(1, round(1e6 / side))


def _ratio(value: Any) -> float | None:
    """Of a rational tag, positive and finite."""
    try:
        over, under = value
        ratio = over / under
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return float(ratio) if ratio > 0 else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
