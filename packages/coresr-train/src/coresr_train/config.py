"""A run from the command line and from TOML, and back; a typo is refused with the nearest name."""

import contextlib
import difflib
import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w
import tyro
from pydantic import ValidationError

from coresr_train import settings
from coresr_train.presets import PRESETS
from coresr_train.settings import LENGTHS, ConfigError, Run, check, with_one_length
from coresr_train.tracking.record import write_whole

PROGRAM = "python -m coresr_train"
LATEST = "latest"


def parse(arguments: Sequence[str]) -> tuple[str, Run]:
    """`[PRESET] [--config run.toml] [--group.field value …]` → the name of the run's preset or file, and the run.

    Flags win over the file, the file over the preset. A run that is resumed by its folder alone is read from there.
    ConfigError for anything unknown or of a wrong type.
    """
    rest = [part for one in arguments for part in (one.split("=", 1) if _takes_a_value(one) else [one])]
    named = rest.pop(0) if rest and not rest[0].startswith("-") else None
    name = named or "quick_x2"
    if name not in PRESETS:
        raise ConfigError(f"preset must be one that --help lists, got {name}{_nearest(name, PRESETS)}")
    base, file = PRESETS[name](), _config_file(rest, resumes=named is None)
    if file is not None:
        base, name = check(read_toml(file, base)), named or file.stem  # every argument of its network is a flag
    _check_flags(rest, base)
    return name, with_one_length(_from_flags(rest, base), base)


def _takes_a_value(argument: str) -> bool:
    return argument.startswith(("--config=", "--resume=", "--out="))


def _config_file(rest: list[str], *, resumes: bool) -> Path | None:
    """The TOML file that flags name, taken out of them; a bare `--resume` is given its value."""
    if "--resume" in rest:
        at = rest.index("--resume") + 1
        if at == len(rest) or rest[at].startswith("--"):
            rest.insert(at, LATEST)
    if "--config" in rest:
        at = rest.index("--config")
        if at + 1 == len(rest):
            raise ConfigError("--config must be followed by a TOML file, got nothing")
        file = Path(rest[at + 1])
        del rest[at : at + 2]
        return file
    if resumes and "--resume" in rest and "--out" in rest[:-1]:
        file = Path(rest[rest.index("--out") + 1]) / "run.toml"
        return file if file.is_file() else None
    return None


def read_toml(path: Path, base: Run) -> Run:
    """The run `base` with the fields that a TOML file names; ConfigError naming every one that is wrong.

    Another network than that of `base` starts from its own defaults, and a length in the file replaces that of `base`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"config must be a TOML file, got {path}, which is not there")
    try:
        return settings.read(_over(as_table(base), tomllib.loads(path.read_text(encoding="utf-8"))))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"config {path} must be TOML, got {error}") from error
    except ValidationError as error:
        known = {key.rpartition(".")[2]: key for key in _flat(asdict(base))}
        problems = [settings.said(one) + _nearest(str(one["loc"][-1]), known) for one in error.errors()]
        raise ConfigError(f"config {path} must be a run, got {'; '.join(problems)}") from error


def write_toml(path: Path, table: Mapping[str, object]) -> None:
    """Write every field that has a value, but for those of this start alone: the file is to start another run."""
    kept = {**table, "out": "", "resume": "", "allow_change": []}
    write_whole(path, tomli_w.dumps(kept).encode())


def as_table(run: Run) -> dict[str, object]:
    """The run as nested plain values, without the fields that have none: what TOML and JSON can hold."""
    return _without_none(asdict(run))


def _over(base: dict[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `table` in their places."""
    if table.get("name", base.get("name")) != base.get("name") or any(name in table for name in LENGTHS):
        base = {key: value for key, value in base.items() if key not in {"arguments", *LENGTHS}}
    return base | {
        key: _over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in table.items()
    }


def _from_flags(rest: Sequence[str], base: Run) -> Run:
    if "--help" in rest or "-h" in rest:
        print(f"usage: {PROGRAM} [PRESET] [--config run.toml] [--group.field value …]\n\npresets:")
        print("\n".join(f"  {name:20}{(preset.__doc__ or '').splitlines()[0]}" for name, preset in PRESETS.items()))
        return tyro.cli(Run, default=base, args=["--help"], prog=PROGRAM)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            return tyro.cli(Run, default=base, args=list(rest), prog=PROGRAM)
    except SystemExit:
        # tyro frames its message: a title, the line of dashes, the message, the line of dashes, more help
        message = "; ".join(re.split(r"\s*-{5,}\s*", said.getvalue())[1:2]) or said.getvalue()
        raise ConfigError(f"{' '.join(message.split())}; see {PROGRAM} --help") from None


def _check_flags(rest: Sequence[str], base: Run) -> None:
    known = {"help": None} | _flat(asdict(base))
    for flag in (one[2:].split("=")[0] for one in rest if one.startswith("--")):
        field = flag.replace("-", "_")
        group, _, last = field.rpartition(".")
        positive = f"{group}.{last.removeprefix('no_')}".lstrip(".")
        if field not in known and not (last.startswith("no_") and isinstance(known.get(positive), bool)):
            raise ConfigError(f"--{flag} must be a field of the run, got an unknown one{_nearest(field, known)}")


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0].replace('_', '-') if '.' in close[0] else close[0]}?" if close else ""
