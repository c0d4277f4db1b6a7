r"""Scores on disk: rows as CSV and JSON, and one self-contained HTML page without network or script.

Names come from strangers' files, so each output disarms them: CSV cells never begin a formula, what does not
print is shown as `\x1b`, the page escapes everything, and the home folder is written `~`.
"""

import base64
import csv
import io
import json
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from unicodedata import normalize

import numpy as np
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

from coresr_eval import __version__
from coresr_eval.protocol import Score

Colours = NDArray[np.uint8]
_FORMULA = ("=", "+", "-", "@", "'")  # the quote too, so that reading is always removing one leading quote
_LEVELS = 255  # errors and grey windows are told in grey levels of 8 bits, whatever the source had
_CLIPPED = 0.005  # share of pixels beyond the end of a colour scale: one hot pixel must not darken a map
_STOPS = (0x000000, 0x232057, 0x792780, 0xD62B5E, 0xF5763B, 0xFDBA48, 0xFFF7C1)  # CIE L* rises by 16 a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """What the page shows of one slice: finite float `(y, x)` arrays in [0, 1].

    `bicubic`, `sr` and `hr` are of one size and `lr` is 1/scale of it; ValueError otherwise.
    """

    core: str
    slice: int
    lr: NDArray[np.floating]
    bicubic: NDArray[np.floating]
    sr: NDArray[np.floating]
    hr: NDArray[np.floating]

    def __post_init__(self) -> None:
        where = f"of core {_printable(self.core)} slice {self.slice}"
        size = self.hr.shape
        for name in ("hr", "sr", "bicubic", "lr"):
            image = getattr(self, name)
            if image.ndim != 2 or not image.size or not np.isfinite(image).all():
                raise ValueError(f"{name} {where} must be finite and (y, x), got shape {image.shape}")
            if name != "lr" and image.shape != size:
                raise ValueError(f"{name} {where} must be {size} as its hr, got {image.shape}")
        scale = size[0] // self.lr.shape[0]
        if size != (scale * self.lr.shape[0], scale * self.lr.shape[1]):
            raise ValueError(f"lr {where} must be {size} over a whole scale, got {self.lr.shape}")


def summary(protocol: Mapping[str, object], scores: Sequence[Score]) -> dict[str, Any]:
    """What `summary.json` holds: the protocol, a row per model over all images, and the same rows per core.

    `psnr` and `gain_db` are in dB. The gain is the mean over images of PSNR minus bicubic's PSNR of the same
    image: 0 where both are infinite, None where infinite gains and losses meet. Bicubic's row comes first.
    ValueError without scores, for an image without bicubic, for a score given twice.
    """
    if not scores:
        raise ValueError("scores must be of one image at least, got none")
    if (n := len({(score.model, score.core, score.slice) for score in scores})) != len(scores):
        raise ValueError(f"scores must be one per model and image, got {len(scores)} for {n}")
    cores = dict.fromkeys(score.core for score in scores)
    per_core = {core: _rows([score for score in scores if score.core == core]) for core in cores}
    return {"protocol": dict(protocol), "rows": _rows(scores), "per_core": per_core}


def _rows(scores: Sequence[Score]) -> list[dict[str, object]]:
    bicubic = {(score.core, score.slice): score.psnr for score in scores if score.model == "bicubic"}
    rows: list[dict[str, object]] = []
    for model in dict.fromkeys(["bicubic", *(score.model for score in scores)]):
        ours = [score for score in scores if score.model == model]
        gains = []
        for score in ours:
            if (base := bicubic.get((score.core, score.slice))) is None:
                where = f"{_printable(score.core)} slice {score.slice}"
                raise ValueError(f"scores of core {where} must include bicubic, got {_printable(model)}")
            gains.append(0.0 if score.psnr == base else score.psnr - base)  # inf - inf is no gain either
        psnr, ssim = fmean(score.psnr for score in ours), fmean(score.ssim for score in ours)
        row: dict[str, object] = {"model": model, "n": len(ours), "psnr": psnr, "ssim": ssim}
        if model != "bicubic":
            row["gain_db"] = None if {math.inf, -math.inf} <= set(gains) else fmean(gains)
        rows.append(row)
    return rows


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """CSV `model,core,slice,psnr,ssim`: PSNR in dB with 6 decimals (`inf` if perfect), SSIM with 8.

    A name that a spreadsheet could take for a formula gets a leading `'`, as does one that begins with it.
    """
    text, head = io.StringIO(), ("model", "core", "slice", "psnr", "ssim")
    rows = [(_cell(s.model), _cell(s.core), s.slice, f"{s.psnr:.6f}", f"{s.ssim:.8f}") for s in scores]
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_whole(path, text.getvalue().encode())


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """JSON in the order given. Infinite numbers become `"inf"` and `"-inf"`, which `float` reads.

    Raises ValueError for NaN and TypeError for what JSON does not know.
    """
    write_whole(path, (json.dumps(_finite(value), indent=2, allow_nan=False) + "\n").encode())


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {_homeless(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return str(float(value))
    return _homeless(value) if isinstance(value, str) else value


def write_page(
    path: Path, *, title: str, summary: Mapping[str, object], crops: Sequence[Crop], notes: Sequence[str] = ()
) -> None:
    """One HTML page: verdict, tables, crops, protocol. `summary` is what the function of that name answers.

    All error maps of the page share one colour scale, from 0 to a whole number of grey levels of 255 that at
    most 0.5 % of their pixels exceed. Equal arguments make equal bytes.
    """
    errors = [np.abs(image - crop.hr) for crop in crops for image in (crop.bicubic, crop.sr)]
    pixels = np.concatenate([error.ravel() for error in errors]) if errors else np.zeros(1)
    top = max(1, math.ceil(float(np.quantile(pixels, 1 - _CLIPPED)) * _LEVELS))
    bar = png_data_uri(np.linspace(0, 1, 256)[None], colours=_ramp())
    error = {"top": top, "beyond": float((pixels * _LEVELS > top).mean()), "bar": bar}
    shown = [_shown(crop, top) for crop in crops]
    page = render("scores.html", title=title, summary=summary, crops=shown, error=error, notes=notes)
    write_whole(path, page.encode())


def _shown(crop: Crop, top: int) -> dict[str, object]:
    low = min(math.floor(float(np.quantile(crop.hr, _CLIPPED)) * _LEVELS), _LEVELS - 1)
    high = max(math.ceil(float(np.quantile(crop.hr, 1 - _CLIPPED)) * _LEVELS), low + 1)
    panels: list[dict[str, object]] = []
    for name, image in (("lr", crop.lr), ("bicubic", crop.bicubic), ("sr", crop.sr), ("hr", crop.hr)):
        picture = png_data_uri(image, window=(low / _LEVELS, high / _LEVELS))
        panels.append({"name": name, "of": name, "picture": picture, "shape": image.shape})
    for name, image in (("bicubic", crop.bicubic), ("sr", crop.sr)):
        error = np.abs(image - crop.hr)
        picture = png_data_uri(error, window=(0, top / _LEVELS), colours=_ramp())
        panels.append({"name": f"error-{name}", "of": name, "picture": picture, "mean": _LEVELS * float(error.mean())})
    return {"core": crop.core, "slice": crop.slice, "low": low, "high": high, "panels": panels}


def render(template: str, *, templates: Path | None = None, **values: object) -> str:
    """A template of this package, or of the folder `templates` (which wins), with `values` filled in.

    Everything is escaped, a missing value raises `jinja2.UndefinedError`, and the text is encodable as UTF-8.
    """
    folders = [] if templates is None else [FileSystemLoader(templates)]
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True)
    environment.loader = ChoiceLoader([*folders, PackageLoader("coresr_eval")])
    environment.filters["decimals"] = _decimals
    environment.globals["version"] = __version__
    return environment.get_template(template).render(values)


def png_data_uri(
    image: NDArray[np.floating], *, window: tuple[float, float] = (0, 1), colours: Colours | None = None
) -> str:
    """A `(y, x)` image as an 8-bit PNG in a data URI, grey or through 256 `colours` `(256, 3)`.

    `window` is black and white (first and last colour); values outside are shown as its ends. ValueError for
    another number of axes, values that are not finite and an empty window.
    """
    low, high = window
    if image.ndim != 2 or not np.isfinite(image).all() or not low < high:
        raise ValueError(f"image must be (y, x), finite, its window not empty, got {image.shape} in {window}")
    share = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
    picture = Image.fromarray(np.rint(share * 255).astype(np.uint8))
    if colours is not None:
        picture.putpalette(colours.tobytes())
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def write_whole(path: Path, data: bytes) -> None:
    """The file appears whole or not at all: written aside in its folder, flushed, renamed over an old one.

    Its mode is 0666 less the umask. OSError where the folder cannot be written.
    """
    aside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        # os.open and not tempfile, which writes 0600: the kernel takes the umask off by itself
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:  # noqa: PTH123 - with a mode
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):  # the name itself is durable only with its folder
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _ramp() -> Colours:
    """256 colours `(256, 3)` in even steps of lightness: equal differences look equal, in grey print too."""
    at, stops = np.linspace(0, 1, 256), np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(at, stops, [stop >> shift & 255 for stop in _STOPS]) for shift in (16, 8, 0)]
    colours: Colours = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def _homeless(text: str) -> str:
    """The text with the home folder as `~`: who made a report where is not its subject."""
    home = os.path.expanduser("~")  # noqa: PTH111 - unlike Path.home, never raises
    # not after a letter, digit, `/` or `+`: there it is the middle of a longer path, or of base64
    return re.sub(rf"(?<![\w./+-]){re.escape(home)}(?![\w.-])", "~", text) if len(home) > 1 else text


def _printable(text: str) -> str:
    """The text with all that does not print (controls, direction marks, surrogates) as Python escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in _homeless(text))


def _cell(text: str) -> str:
    text = _printable(text)
    return "'" + text if normalize("NFKC", text).lstrip().startswith(_FORMULA) else text


def _finalize(value: object) -> object:
    """Each value on its way into a template; Markup (`super()`, macros) has been through it."""
    return _printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _decimals(value: float | str | None, digits: int, *, signed: bool = False) -> str:
    """A number for reading: `−1.20`, `∞`, and `–` for none. Takes the texts of `write_json` too."""
    text = "–" if value is None else f"{float(value):{'+' if signed else ''}.{digits}f}"
    return text.replace("inf", "∞").replace("-", "−")
