"""Is this the run that began? What must be the same when it goes on, and what need not."""

from collections.abc import Collection, Mapping
from typing import Any

from coresr_train.settings import ConfigError

OPERATIONAL = (
    "allow_change",
    "data.store",  # its digest counts
    "data.workers",
    "expect_processes",
    "keep",
    "out",
    "resume",
    "save_every",
    "tracking",
)
"""Settings, or groups of them, that change nothing of what is learnt; all others are what the run is."""


def changes(began: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Setting → (as the run began, as it is now), of all that make the run what it is and differ."""
    before, after = flat(began), flat(now)
    return {
        name: (before.get(name), after.get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and not is_operational(name)
    }


def refuse(found: Mapping[str, tuple[Any, Any]], allowed: Collection[str]) -> None:
    """ConfigError with the whole difference, but for the settings that are allowed to change."""
    problems = [
        f"{name} must be {before} as the run began, got {now}"
        for name, (before, now) in found.items()
        if name not in allowed
    ]
    if problems:
        names = " ".join(name for name in found if name not in allowed)
        raise ConfigError(f"{'; '.join(problems)}; put them back, or resume with --allow-change {names}")


def is_operational(name: str) -> bool:
    """Whether a setting may differ freely."""
    return any(name == one or name.startswith(f"{one}.") for one in OPERATIONAL)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by their dotted names, tuples as the lists that files make of them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) else {name: _plain(value)}
    return found


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
