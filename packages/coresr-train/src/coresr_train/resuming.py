"""Finding where a run left off, and making sure that it is the same run."""

import tomllib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from coresr_train import checkpoints, config, identity, tracking
from coresr_train.checkpoints import Saved
from coresr_train.folder import EVENTS, METRICS, SETTINGS
from coresr_train.settings import ConfigError, Run


def resumed(
    run: Run, facts: Mapping[str, str], machine: Mapping[str, Any], accelerator: Accelerator
) -> tuple[Saved | None, list[dict[str, Any]]]:
    """The checkpoint to go on from, None for a start from nothing, and the changes that were allowed so far.

    What was recorded after it is cut off, for it will be recorded again. ConfigError where a setting or the data
    (`facts`) are not those that the run began with, ValueError for a damaged checkpoint that was asked for by name.
    """
    if not run.resume:
        return None, []
    out = Path(run.out)
    told: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            told[0] = _found(run, out)
        except (OSError, ValueError) as error:
            told[1] = error
    broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    saved = checkpoints.read(told[0]) if told[0] else None
    lineage = _compared(run, facts, saved, out)
    if accelerator.is_main_process and saved and saved.state["about"]["machine"] != machine:
        warnings.warn(
            f"resumed under {machine}, began under {saved.state['about']['machine']}: the data are the same, "
            "sums may differ in their last bits",
            stacklevel=2,
        )
    if accelerator.is_main_process:
        _cut(out, saved)
    accelerator.wait_for_everyone()
    return saved, lineage


def _found(run: Run, out: Path) -> Path | None:
    if run.resume == config.LATEST:
        newest = checkpoints.newest(out)
        return newest.folder if newest else None
    folder = Path(run.resume)
    if folder.parent.resolve() != (out / checkpoints.FOLDER).resolve():
        raise ConfigError(f"resume must be a checkpoint in {out / checkpoints.FOLDER}, got {folder}")
    return checkpoints.read(folder).folder


def _compared(run: Run, facts: Mapping[str, str], saved: Saved | None, out: Path) -> list[dict[str, Any]]:
    """The changes allowed so far and now, ConfigError for one that is not."""
    if saved is not None:
        about = saved.state["about"]
        began, now = {**about["run"], **about["facts"]}, {**config.as_table(run), **facts}
        lineage = list(about["lineage"])
    elif (out / SETTINGS).is_file():
        began, now = tomllib.loads((out / SETTINGS).read_text(encoding="utf-8")), config.as_table(run)
        lineage = []
    else:
        return []
    found = identity.changes(began, now)
    identity.refuse(found, run.allow_change)
    step = saved.step if saved else 0
    return [*lineage, {"step": step, "changed": found}] if found else lineage


def _cut(out: Path, saved: Saved | None) -> None:
    step = saved.step if saved else 0
    checkpoints.rewind(out, step)

    again = "valid" if saved and saved.state["unvalidated"] else ""
    for name in (METRICS, EVENTS):
        tracking.truncate(out / name, step, again=again)
