"""Which models differ, on the same images: intervals, p-values, verdicts, letters."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from coresr_eval.statistics.comparison import Comparison, Difference, Row, Verdict
from coresr_eval.statistics.multiplicity import holm, letters
from coresr_eval.statistics.variance import Estimate, Floats, between_cores, between_seeds, within_cores

BASELINE = "bicubic"
"""The model without seeds that every comparison holds."""


def compare(
    models: Mapping[str, Floats],
    images: Sequence[tuple[str, int]],
    *,
    metric: str = "psnr",
    unit: str = "dB",
    higher_is_better: bool = True,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    margin: float = 0.05,
    level: float = 0.95,
) -> Comparison:
    """Which of `models` differ. Each is `(runs, n)`: a row per run (seed) of one recipe, a column per image.

    `images` are the (core, slice) of the columns. Of a model with one run only this file is judged, for the variance
    between its seeds is unknown; bicubic has none. How: see `variance`. `bounds` are the least and the greatest value
    that the metric can have: a row's interval of the mean, which is symmetric, is cut off there, differences and
    gains are not. Raises ValueError without a model beside bicubic, for shapes that differ, an image twice, scores that
    are not finite, the same run twice in one model.

    >>> images = [(core, number) for core in "abcd" for number in range(3)]
    >>> noise = np.random.default_rng(0).normal(size=(3, 12))
    >>> better, as_good = (noise[:1] + 1 + noise[i : i + 1] / 10 for i in (1, 2))
    >>> compared = compare({"bicubic": noise[:1], "better": better, "as good": as_good}, images)
    >>> [(row.model, row.letters) for row in compared.rows]
    [('as good', 'a'), ('better', 'a'), ('bicubic', 'b')]
    """
    _check(models, images)
    names = sorted(models, key=lambda name: float(models[name].mean()), reverse=higher_is_better)
    couples = list(combinations(names, 2))
    estimates = [_between(models[one], models[other], images) for one, other in couples]
    corrected = holm([found.p for found in estimates])
    pairs = tuple(
        _difference(couple, found, p, models=models, images=images, margin=margin, level=level)
        for couple, found, p in zip(couples, estimates, corrected, strict=True)
    )
    marks = letters(names, {frozenset((pair.one, pair.other)) for pair in pairs if pair.verdict == "different"})
    return Comparison(
        metric=metric,
        unit=unit,
        higher_is_better=higher_is_better,
        level=level,
        margin=margin,
        n=len(images),
        cores=tuple(sorted({core for core, _ in images})),
        rows=tuple(
            _row(name, models, images, level=level, mark=mark, bounds=bounds)
            for name, mark in zip(names, marks, strict=True)
        ),
        pairs=pairs,
        notes=tuple(_notes(models, images, level, f"{margin:g} {unit}".strip() if margin else "")),
    )


def _check(models: Mapping[str, Floats], images: Sequence[tuple[str, int]]) -> None:
    if BASELINE not in models or len(models) < 2:
        raise ValueError(f"models must be {BASELINE} and one at least beside it, got {list(models)}")
    if not images or len(set(images)) != len(images):
        raise ValueError(f"images must be one at least and each once, got {len(images)}, {len(set(images))} different")
    for name, scores in models.items():
        if scores.ndim != 2 or not len(scores) or scores.shape[1] != len(images):
            raise ValueError(f"scores of {name!r} must be (runs, {len(images)}), got {scores.shape}")
        if not np.isfinite(scores).all():
            raise ValueError(f"scores of {name!r} must be finite, got {scores[~np.isfinite(scores)][0]}")
        if len(np.unique(scores, axis=0)) != len(scores):
            raise ValueError(f"runs of {name!r} must be of different seeds, got the same scores twice; name each once")
    if len(models[BASELINE]) != 1:
        raise ValueError(f"{BASELINE} must be one run, for it has no seeds, got {len(models[BASELINE])}")


def _between(one: Floats, other: Floats, images: Sequence[tuple[str, int]]) -> Estimate:
    """The difference of two models on these cores, paired by image."""
    apart = one.mean(axis=0) - other.mean(axis=0)
    return Estimate(value=float(apart.mean()), sources=(within_cores(apart, images), *between_seeds(one, other)))


def _difference(
    couple: tuple[str, str],
    found: Estimate,
    p_holm: float,
    *,
    models: Mapping[str, Floats],
    images: Sequence[tuple[str, int]],
    margin: float,
    level: float,
) -> Difference:
    one, other = couple
    low, high = found.interval(level)
    apart = models[one].mean(axis=0) - models[other].mean(axis=0)
    sources = (between_cores(apart, images), *between_seeds(models[one], models[other]))
    core_low, core_high = Estimate(value=found.value, sources=sources).interval(level)
    verdict: Verdict = "different" if p_holm <= 1 - level else "not distinguishable"
    if -margin < low and high < margin:  # significant or not: a difference that is real may still not matter
        verdict = "equivalent"
    return Difference(
        one=one,
        other=other,
        difference=found.value,
        low=low,
        high=high,
        core_low=core_low,
        core_high=core_high,
        p=found.p,
        p_holm=p_holm,
        verdict=verdict,
        about=_about(couple, models),
    )


def _about(couple: tuple[str, str], models: Mapping[str, Floats]) -> str:
    single = [name for name in couple if len(models[name]) == 1 and name != BASELINE]
    if not single:
        return "these recipes" if BASELINE not in couple else "this recipe"
    files = "these two files" if len(single) == 2 else f"this one file of {single[0]}"
    return f"{files} only, not the recipe: the variance between seeds is unknown"


def _row(
    name: str,
    models: Mapping[str, Floats],
    images: Sequence[tuple[str, int]],
    *,
    level: float,
    mark: str,
    bounds: tuple[float, float],
) -> Row:
    scores, bicubic = models[name], models[BASELINE]
    sources = (within_cores(scores.mean(axis=0), images), *between_seeds(scores))
    mean = Estimate(value=float(scores.mean()), sources=sources)
    gain = _between(scores, bicubic, images)
    low, high = mean.interval(level)
    gain_low, gain_high = (0.0, 0.0) if name == BASELINE else gain.interval(level)
    return Row(
        model=name,
        runs=len(scores),
        n=scores.shape[1],
        mean=mean.value,
        low=max(low, bounds[0]),
        high=min(high, bounds[1]),
        gain=gain.value,
        gain_low=gain_low,
        gain_high=gain_high,
        letters=mark,
    )


def _notes(models: Mapping[str, Floats], images: Sequence[tuple[str, int]], level: float, margin: str) -> Iterator[str]:
    cores, share = sorted({core for core, _ in images}), f"{100 * level:g} %"
    seeds = " and other seeds" if any(len(runs) > 1 for runs in models.values()) else ""
    lonely = any(sum(core == one for core, _ in images) == 1 for one in cores)
    if len(images) == 1:
        yield "There is one image: nothing can be said of how well these numbers are known."
    elif len(cores) == 1:
        yield f"All images are of core {cores[0]}: verdicts and {share} intervals are about this core only{seeds}."
    elif lonely:
        yield f"A core with one slice says nothing of its others: {share} intervals are over {len(cores)} cores{seeds}."
    else:
        yield (
            f"Verdicts and {share} intervals are about these {len(cores)} cores; they cover other slices{seeds}. "
            "How large a difference may be on other cores of this kind is a second interval, as wide as cores differ."
        )
    yield (
        "Slices closer to one another than the grains are large are nearly the same image: then the intervals over "
        "slices are too narrow."
    )
    single = [name for name, runs in models.items() if len(runs) == 1 and name != BASELINE]
    if single:
        yield (
            f"{', '.join(single)}: one run. What is said of it is about this file and not about its recipe, for how "
            "much seeds differ is unknown; train it again with other seeds and give them the same name."
        )
    twice = [name for name, runs in models.items() if len(runs) == 2]
    if twice:
        yield f"{', '.join(twice)}: two runs say little of how much seeds differ; a third makes intervals far narrower."
    yield (
        f"Models that share a letter were not shown to be different; over all pairs together, the probability of one "
        f"false “different” is at most {100 * (1 - level):g} % (Holm)."
    )
    if margin:
        yield (
            f"“Equivalent” means that the whole {share} interval of a difference lies within ±{margin}, pair by pair; "
            "“not distinguishable” is no proof that two models are equal."
        )
