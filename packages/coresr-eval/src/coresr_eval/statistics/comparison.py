"""What a comparison of models says, and how far it reaches. The numbers of `compare`, for tables and pages."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["different", "equivalent", "not distinguishable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model over all images; a model of several runs (seeds of one recipe) is the mean of its runs.

    Numbers are in the unit of the metric. An end of an interval is infinite, or the metric's own end, where there is no
    second unit to judge by (one image).
    """

    model: str
    """As the user named it; `bicubic` is the baseline and always among the rows."""
    runs: int
    """How many runs the name stands for, 1 at least."""
    n: int
    """Images, the same of every model."""
    mean: float
    """Over runs and images: of one run, what `score` printed."""
    low: float
    """Lower end of the interval of the mean, at `Comparison.level`: over other slices of these cores, and other seeds.
    It says how well the mean is known, and nothing of differences between models: those are paired. Cut off where the
    metric ends (no MAE is below 0, no SSIM above 1)."""
    high: float
    gain: float
    """Mean over images of the score minus bicubic's of the same image; 0 in bicubic's row."""
    gain_low: float
    """Lower end of the gain's interval, paired by image; 0 in bicubic's row."""
    gain_high: float
    letters: str
    """Compact letter display: `a`, `ab`, …; two models share a letter exactly where their pair is not "different"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One pair of models: `one` minus `other`, paired by image."""

    one: str
    """The one that stands first in the rows."""
    other: str
    difference: float
    """Of the means, in the unit of the metric."""
    low: float
    """Lower end of the interval of the difference at `Comparison.level`, over other slices of these cores and other
    seeds; of this pair alone, not corrected for many."""
    high: float
    core_low: float
    """Lower end over other cores of this kind and other seeds; infinite where there is one core. Far wider, where some
    rocks gain more than others; the verdict is not about it."""
    core_high: float
    p: float
    """Two-sided probability of a difference as large as this where there is none, from 0 to 1."""
    p_holm: float
    """The same, corrected by Holm over all pairs of the comparison; 1 at most."""
    verdict: Verdict
    """On these cores. "equivalent": the interval lies within ± margin. Else "different": `p_holm` is at most 1 − level.
    Else "not distinguishable": neither was shown at this sample size."""
    about: str
    """Whom the verdict is about, as half a sentence: "these recipes", or "these two files only, …" where each is one
    run, so that seeds are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Models beside each other on the same images under one protocol. `dataclasses.asdict` of it is `compare.json`."""

    metric: str
    """`psnr`, `ssim`, …: a column of `scores.csv`."""
    unit: str
    """`dB`, or empty."""
    higher_is_better: bool
    """Whether more of the metric is better: gains above 0 are good ones."""
    level: float
    """Confidence of the intervals, and 1 minus the share of comparisons with a false "different": 0.95."""
    margin: float
    """Differences smaller than this do not matter, in the unit of the metric; 0 where none was stated."""
    n: int
    """Images."""
    cores: tuple[str, ...]
    """The cores of these images."""
    rows: tuple[Row, ...]
    """The best mean first; bicubic where it falls."""
    pairs: tuple[Difference, ...]
    """All pairs of rows, in their order."""
    notes: tuple[str, ...]
    """Whole sentences that must stand beside the table: what the intervals cover, and what they do not."""
