"""A scanner as it was fitted to a real pair: its figures, its recipe, and the JSON file that holds them."""

import json
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from coresr_data.degrade.recipes import DEGRADATIONS, Recipe, Steps
from coresr_data.degrade.scanner import Drift, Noise
from coresr_data.degrade.steps import Bin, Blur
from coresr_data.store.aside import write_whole

SCHEMA = 1
KIND = "coresr scanner fit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How near an LR made from HR comes to the real one, on slices that the fit did not see; grey levels on [0, 1]."""

    residual_std: float
    """Standard deviation of made minus real."""
    psnr: float
    """dB, with 1 as the range."""
    explained: float
    """Share of the variance of the real LR; below 0 where its mean alone would be nearer."""
    spectrum_db: float
    """Root mean square difference of the radial power spectra, up to the LR sampling limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerFit:
    """PSF, grey match and noise of the LR scanner, as HR was seen through it.

    LR = gain · (HR shifted, blurred by a Gaussian and binned) + offset + noise. The shift is the pair's, not the
    scanner's.
    """

    scale: int
    sigma: tuple[float, ...]
    """Of the PSF along (y, x), or (z, y, x) where an LR slice is the mean of `scale` HR ones; HR pixels."""
    shift: tuple[float, ...]
    """Along the same axes, LR pixels; positive where LR shows things further down, or to the right, than HR does."""
    gain: float
    offset: float
    """On [0, 1] of LR."""
    grey_needed: bool
    """Without gain and offset the residual on the part held out grows by more than a twentieth."""
    noise: Noise
    """On [0, 1] of LR, and what the model misses with it. No Poisson part where none can be told from the rest."""
    correlation_z: float | None
    """As the noise's `correlation`, along depth and in LR slices; slices are degraded one by one and do without it."""
    held_out: str
    """Which part of the pair the matches were measured on."""
    bicubic: Match
    """The assumption that LR is MATLAB's bicubic of HR, as it stands."""
    bicubic_matched: Match
    """The same with the shift, the gain and the offset that suit it best."""
    fit: Match
    fit_with_noise: Match
    """A draw of the fitted noise added: its residual is that of two noises, its spectrum should be the real one's."""

    @property
    def gain_db(self) -> float:
        """PSNR over the bicubic assumption at its best: what the PSF alone explains."""
        return self.fit.psnr - self.bicubic_matched.psnr


def steps_of(fit: ScannerFit, *, grey: bool = False) -> Steps:
    """Blur, bin and noise for slices; `grey` adds the gain and offset that turn HR's grey levels into LR's.

    Without it the noise is brought to HR's grey levels. The shift stays out, for an LR patch covers its HR exactly.
    """
    blurred = (Blur(sigma_y=fit.sigma[-2], sigma_x=fit.sigma[-1]), Bin())
    if grey:
        return (*blurred, Drift(gain=fit.gain, offset=fit.offset), fit.noise)
    # a² + p · (gain · s + offset), the variance in LR's grey levels at a signal of s in HR's, over gain²
    constant = max(fit.noise.gaussian**2 + fit.noise.poisson * fit.offset, 0.0)
    noise = replace(fit.noise, gaussian=constant**0.5 / fit.gain, poisson=fit.noise.poisson / fit.gain)
    return (*blurred, noise)


def recipe_of(degradation: str, *, scale: int) -> Recipe:
    """A recipe by its name in `DEGRADATIONS`, or by the path of a scanner's JSON file, which is for one scale only."""
    if degradation in DEGRADATIONS:
        return DEGRADATIONS[degradation]
    if not degradation.endswith(".json"):
        raise ValueError(
            f"degradation must be one of {', '.join(DEGRADATIONS)}, or a scanner.json of fit-scanner, got {degradation}"
        )
    fit = load_fit(Path(degradation))
    if fit.scale != scale:
        raise ValueError(f"scale must be {fit.scale}, the one that {degradation} was fitted at, got {scale}")
    steps = steps_of(fit)
    return lambda _: steps


def save_fit(fit: ScannerFit, path: Path) -> None:
    """Write the figures as JSON, whole or not at all; FileExistsError where there is such a file."""
    if path.exists():
        raise FileExistsError(f"out must be a new file, got {path}; remove it or name another")
    write_whole(path, json.dumps({"kind": KIND, "schema": SCHEMA, **asdict(fit)}, indent=1, allow_nan=False) + "\n")


def load_fit(path: Path) -> ScannerFit:
    """Read such a file; FileNotFoundError without it, ValueError where it is another or not whole."""
    if not path.is_file():
        raise FileNotFoundError(f"scanner must be a JSON file of fit-scanner, got {path}, which is not there")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if (found := (values.pop("kind"), values.pop("schema"))) != (KIND, SCHEMA):
            raise ValueError(f"{found[0]} of schema {found[1]}")  # noqa: TRY301, one message for whatever it is instead
        fit = _read(values)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be a whole file of fit-scanner, got {error}; fit the scanner again") from error
    return fit


def _read(values: dict[str, Any]) -> ScannerFit:
    matches = ("bicubic", "bicubic_matched", "fit", "fit_with_noise")
    read: dict[str, Any] = {name: Match(**values[name]) for name in matches}
    read |= {"noise": Noise(**values["noise"]), "sigma": tuple(values["sigma"]), "shift": tuple(values["shift"])}
    fit = ScannerFit(**{**values, **read})
    if not (isinstance(fit.scale, int) and fit.scale >= 2 and fit.gain > 0 and isfinite(fit.gain + fit.offset)):
        raise ValueError(f"scale {fit.scale}, gain {fit.gain}, offset {fit.offset}")
    if not len(fit.sigma) == len(fit.shift) in (2, 3):
        raise ValueError(f"sigma {fit.sigma}, shift {fit.shift}")
    steps_of(fit)  # refuses figures that are no blur or no noise
    return fit
