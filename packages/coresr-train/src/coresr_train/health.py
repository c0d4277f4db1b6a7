"""Games that are over: a critic that wins everything, or answers the same to all, teaches a generator nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

WON = 0.98
"""Accuracy of a critic from which on hardly an image teaches the generator anything."""
DEAD = 1e-2
"""Standard deviation of logits, of which all objectives ask for about 1 between HR and SR: one that had died on a
sandstone read 0.006, being right of 50.3 %, and one that was learnt from 0.1 to 4."""
ROWS = 10
"""Logged rows in a row, each a mean over ten steps: a critic that is a little ahead for a moment is none of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """Something that has been wrong for `ROWS` logged rows."""

    critic: str
    """The phase, and which of its critics: "d", "d_hr"."""
    what: str
    """In words, with the remedy."""


class HealthState(TypedDict):
    """What a run that goes on must know again, as plain JSON."""

    rows: dict[str, int]


class Health:
    """Watches what is logged of critics: their `accuracy` and the `spread` of their logits."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def look(self, means: Mapping[str, float]) -> list[Collapse]:
        """What has been wrong for `ROWS` logged rows with this one, each named once until it has been right again.

        >>> health = Health()
        >>> [len(health.look({"d/accuracy": 1.0, "d/spread": 4.0})) for row in range(12)]
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
        """
        found = []
        for name, value in means.items():
            phase, _, figure = name.partition("/")
            kind, _, side = figure.partition("_")
            wrong = {"accuracy": value >= WON, "spread": value <= DEAD}.get(kind)
            if wrong is None:
                continue
            self._rows[name] = self._rows.get(name, 0) + 1 if wrong else 0
            if self._rows[name] == ROWS:
                found.append(Collapse(critic=f"{phase}_{side}" if side else phase, what=_said(kind, value)))
        return found

    def state(self) -> HealthState:
        """For how many rows what has been wrong."""
        return {"rows": dict(self._rows)}

    def restore(self, state: HealthState) -> None:
        """Go on as the one whose state this is."""
        self._rows = dict(state["rows"])


def _said(kind: str, value: float) -> str:
    if kind == "accuracy":
        return (
            f"the critic is right of {100 * value:.1f} % and has won: the generator learns next to nothing from it; "
            "lower gan.rate, raise gan.every, or take a smaller critic"
        )
    return (
        f"the critic's logits spread by {value:.1e} and tell nothing apart: the generator learns nothing from it; "
        "raise gan.rate, or give it a gan.head_start"
    )
