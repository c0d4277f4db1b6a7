r"""How well a mean over images is known: from how much slices of a core, cores, and seeds differ.

Slices of one core are not independent, nor are all images of one trained network, and there are few units of either:
three seeds, four cores. Permuting three seeds against three has a smallest p of 0.1, flipping the signs of four cores
one of 0.125, a bootstrap of four cores stays between the least and the greatest. Student's t is valid and has power.
Two questions are told apart:

- *On these cores*, is the difference of two recipes more than slices and seeds explain? V = V_slices + V_seeds,
  V_slices from parts in depth of each core. Verdicts are about this.
- *On other cores of this kind*, how large may it be? V = V_cores + V_seeds, V_cores from the differences core by core.
  With four rocks that gain unequally this interval is wide however surely a model is better on every one of them.

Both are paired: how difficult an image is cancels. V_seeds is from the means of the runs of each model. The interval is
the difference ± √Σ tᵢ² Vᵢ, each tᵢ Student's quantile at the degrees of freedom of its own source (Banerjee 1960,
Sankhyā 22, 357–358): P(Z² ≤ x) is concave in x, so a mixture of sources does no worse than each source alone, whatever
their true sizes and however they depend on one another; what is in two sources is counted twice, on the side of
caution. V_seeds is the sum of two models'; its degrees are Welch's (Satterthwaite 1946, Biometrics Bulletin 2(6),
110–114) where both have as many runs, else each is a source of its own, for Welch's test rejects up to 12 % at 5 % for
two runs against ten.

Simulated (`python -m bench.seeds --nulls 500`; four equal recipes of three runs, four cores of six slices; seeds that
differ everywhere, core by core, both, and unequally; 500 comparisons each): after Holm some pair was called different
in 3 % of them at most, at a level of 5 %. Satterthwaite's degrees for the whole sum, as in Clark's min F′ (1973, J.
Verbal Learning and Verbal Behavior 12, 335–359), have more power but rejected up to 22 % of nulls with two cores.

Assumed is that runs, parts and differences per core are near normal; their variances may differ (Ibragimov and Müller
2010, J. Business & Economic Statistics 28(4), 453–468: t over few groups keeps a level of 5 %).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Units = NDArray[np.int64]
PARTS = 8
"""Into how many parts in depth one core is cut: few and long, so that neighbours across a cut weigh little."""
_LEAST_P, _GREATEST_P = 1e-100, 1 - 1e-9  # beyond them a p-value is called 0 and 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source of variance of a mean."""

    variance: float
    """Of the mean, in the metric's unit squared; infinite where a single unit says nothing."""
    degrees: float
    """Degrees of freedom that this variance was estimated with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean and how well it is known."""

    value: float
    sources: tuple[Source, ...]

    def interval(self, level: float) -> tuple[float, float]:
        """The interval of this confidence; from −∞ to ∞ where a variance is unknown."""
        half = self._half(1 - level)
        return self.value - half, self.value + half

    @property
    def p(self) -> float:
        """Two-sided p-value of "the mean is 0": 1 less the confidence of the interval that ends at 0."""
        size = abs(self.value)
        if size <= self._half(_GREATEST_P):
            return 1.0
        if size > self._half(_LEAST_P):
            return 0.0
        ends = math.log(_LEAST_P), math.log(_GREATEST_P)
        return math.exp(brentq(lambda log: math.log(self._half(math.exp(log)) / size), *ends))

    def _half(self, p: float) -> float:
        """Half the width of the interval of confidence 1 − p."""
        return math.sqrt(math.fsum(float(stdtrit(one.degrees, p / 2)) ** 2 * one.variance for one in self.sources))


def between_units(values: Floats, units: Units) -> Source:
    """What units (cores, or parts of one) add to the variance of the mean of `values` `(n,)`; `units` `(n,)` from 0.

    Jackknife, one unit left out at a time; for units of one size the variance of their means over their number, with
    one degree of freedom less than units. For unequal sizes the degrees are Bell and McCaffrey's, for means of units
    of equal variance.
    """
    sizes = np.bincount(units)
    if len(sizes) == 1:
        return Source(variance=math.inf, degrees=1.0)
    shares = sizes / len(units)
    centred = np.eye(len(sizes)) - shares  # row c takes means of units to that of unit c less the mean over images
    left_out = (1 - 1 / len(sizes)) * (shares / (1 - shares)) ** 2
    form = centred.T @ (left_out[:, None] * centred)
    apart = centred @ (np.bincount(units, weights=values) / sizes)
    degrees = np.trace(form) ** 2 / np.sum(form**2)
    return Source(variance=float(left_out @ apart**2), degrees=float(degrees))


def within_cores(values: Floats, images: Sequence[tuple[str, int]]) -> Source:
    """What slices add to the variance of the mean of `values` `(n,)` while the (core, slice) `images` keep their cores.

    Of a mean stratified by core, from parts in depth of each, with Satterthwaite's degrees (Cochran 1977, Sampling
    Techniques, eq. 5.16). Where a core has one slice, which says nothing of others, the cores are the units instead.
    """
    cores = [core for core, _ in images]
    found = []
    for core in dict.fromkeys(cores):
        members = np.array([i for i, of in enumerate(cores) if of == core])
        source = between_units(values[members], parts_of([images[i][1] for i in members]))
        found.append(Source(variance=(len(members) / len(images)) ** 2 * source.variance, degrees=source.degrees))
    if any(math.isinf(source.variance) for source in found):
        return between_cores(values, images)
    return _together(found)


def between_cores(values: Floats, images: Sequence[tuple[str, int]]) -> Source:
    """What cores add to the variance of the mean of `values` `(n,)`: unknown where there is one."""
    return between_units(values, np.unique([core for core, _ in images], return_inverse=True)[1])


def between_seeds(*models: Floats) -> tuple[Source, ...]:
    """What the seeds of one or two models, each `(runs, n)`, add to the variance of their mean, or of their difference.

    Of a single run nothing is known, and nothing is added.
    """
    several = [scores for scores in models if len(scores) > 1]
    known = [Source(variance=_of_mean(scores), degrees=len(scores) - 1.0) for scores in several]
    if len({len(scores) for scores in several}) == len(several):
        return tuple(known)
    return (_together(known),)


def _together(sources: Sequence[Source]) -> Source:
    """The sum of independent sources as one, with Satterthwaite's degrees of freedom."""
    variance = math.fsum(one.variance for one in sources)
    spread = math.fsum(one.variance**2 / one.degrees for one in sources)
    return Source(variance=variance, degrees=variance**2 / spread if spread else 1.0)


def _of_mean(scores: Floats) -> float:
    return float(np.var(scores.mean(axis=1), ddof=1)) / len(scores)


def parts_of(slices: Sequence[int]) -> Units:
    """To which of at most `PARTS` runs of consecutive slices each slice of one core belongs, `(n,)` from 0."""
    parts = np.empty(len(slices), dtype=np.int64)
    for part, members in enumerate(np.array_split(np.argsort(slices, kind="stable"), min(PARTS, len(slices)))):
        parts[members] = part
    return parts
