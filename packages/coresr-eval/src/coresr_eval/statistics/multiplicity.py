"""Many pairs at once: p-values corrected for their number, and letters that show which models are alike."""

from collections.abc import Collection, Sequence
from itertools import combinations
from string import ascii_letters


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """P-values corrected so that any false rejection is no more probable than the level, however they depend.

    The i-th smallest of m is multiplied by m − i + 1, made no smaller than the one before and at most 1 (Holm 1979,
    Scandinavian Journal of Statistics 6, 65–70). In the order given.

    >>> holm([0.03, 0.01, 0.5])
    (0.06, 0.03, 0.5)
    """
    corrected, least = [0.0] * len(p), 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, (len(p) - rank) * p[at]))
        corrected[at] = least
    return tuple(corrected)


def letters(names: Sequence[str], different: Collection[frozenset[str]]) -> tuple[str, ...]:
    """Compact letter display: two names share a letter exactly where their pair is not in `different`.

    A letter is a group of names no two of which are different, and the groups cover all pairs that are not (Gramm et
    al. 2007, Computational Statistics & Data Analysis 52, 725–736); grown greedily, in the order of `names`.

    >>> letters(["best", "middle", "worst"], [frozenset({"best", "worst"})])
    ('a', 'ab', 'b')
    """
    groups: list[list[str]] = []
    for one, other in combinations(names, 2):
        if frozenset((one, other)) in different or any(one in group and other in group for group in groups):
            continue
        group = [one, other]
        for name in names:
            if name not in group and not any(frozenset((name, member)) in different for member in group):
                group.append(name)
        groups.append(sorted(group, key=names.index))
    groups += [[name] for name in names if not any(name in group for group in groups)]
    groups.sort(key=lambda group: [names.index(name) for name in group])
    return tuple("".join(_letter(i) for i, group in enumerate(groups) if name in group) for name in names)


def _letter(number: int) -> str:
    return ascii_letters[number] if number < len(ascii_letters) else chr(0x100 + number - len(ascii_letters))
