"""Where a network's first weights come from: its own initialisation, a checkpoint, or one of a smaller scale.

Lim et al. 2017 (EDSR, arXiv 1707.02921, section 3.2) train larger scales from ×2: sooner there, and further.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from coresr_models import Network, build, load
from coresr_models.checkpoint import sha256
from coresr_models.transfer import transfer
from coresr_train.settings import ConfigError, Run

FIRST = "first"
FASTER = 4.0
"""Learning rate at the first scale, of that after the transfer, which would forget at its full height."""


def first_run(run: Run, out: Path) -> Run:
    """The run at the first scale, half as long, in a folder of its own within the run folder."""
    model = replace(run.model, arguments={**run.model.arguments, "scale": run.first_scale})
    return replace(
        run,
        model=model,
        optim=replace(run.optim, learning_rate=FASTER * run.optim.learning_rate),
        first_scale=0,
        epochs=run.epochs and run.epochs / 2,
        steps=run.steps and (run.steps + 1) // 2,
        budget_seconds=run.budget_seconds and run.budget_seconds / 2,
        out=str(out / FIRST),
        resume=run.resume and "latest",
    )


def second_run(run: Run, out: Path) -> Run:
    """The other half, at the scale that is wanted."""
    return replace(
        run,
        start=str(out / FIRST / "best.safetensors"),
        epochs=run.epochs and run.epochs / 2,
        steps=run.steps and max(run.steps // 2, 1),
        budget_seconds=run.budget_seconds and run.budget_seconds / 2,
    )


def started(run: Run) -> tuple[Network, dict[str, Any]]:
    """The network of a run with its first weights, and their origin as provenance.

    ConfigError where `run.start` holds another network; errors of `coresr_models.load` for what is no checkpoint.
    """
    if not run.start:
        return build(run.model), {}
    path, wanted = Path(run.start), run.model
    found = load(path)
    before, now = int(found.spec.arguments["scale"]), int(wanted.arguments["scale"])
    if replace(found.spec, arguments={**found.spec.arguments, "scale": now}) != wanted:
        raise ConfigError(f"start must hold {wanted} or a smaller scale of it, got {found.spec} in {path}")
    lineage = [*found.provenance.get("scale_lineage", []), {"scale": before, "sha256": sha256(path)}]
    if before == now:
        return found.model.train(), {"scale_lineage": lineage}
    if before > now:
        raise ConfigError(f"start must hold a network of scale {now} or below, got scale {before} in {path}")
    network, transferred = transfer(found.model, found.spec, scale=now)
    return network.train(), {"scale_lineage": lineage, "transfer": asdict(transferred)}
