"""Runs of two stages, and where a network's first weights come from: its own initialisation or a checkpoint.

A smaller scale first: Lim et al. 2017 (EDSR, arXiv 1707.02921, section 3.2) train larger scales from ×2, sooner there
and further. Fidelity first: Wang et al. 2018 (ESRGAN, arXiv 1809.00219, section 4.1) begin a GAN from the network that
L1 alone has trained, which a critic cannot lead astray as easily, and with which it can be interpolated.
"""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from coresr_models import Network, build, load
from coresr_models.checkpoint import sha256
from coresr_models.transfer import transfer
from coresr_train.settings import ConfigError, Gan, Loss, Optim, Run

FIRST = "first"
FASTER_SCALE = 4.0
"""Learning rate at the first scale, of that after the transfer, which would forget at its full height."""
FASTER_ALONE = 2.0
"""Learning rate without a critic, of that with one: ESRGAN's 2e-4 and 1e-4."""


def has_first(run: Run) -> bool:
    """Whether something is to be learnt before `run` itself."""
    return run.first_scale > 0 or (run.recipe == "gan" and run.gan.first > 0 and not run.start)


def first_run(run: Run, out: Path) -> Run:
    """The first stage: the smaller scale for half of the length, or fidelity alone; in a folder within the run's."""
    first = replace(_of_length(run, _share(run)), first_scale=0, out=str(out / FIRST), resume=run.resume and "latest")
    if run.first_scale:
        model = replace(run.model, arguments={**run.model.arguments, "scale": run.first_scale})
        return replace(first, model=model, optim=_faster(run, FASTER_SCALE))
    plain = run.validation.metric == "last"
    return replace(
        first,
        recipe="supervised",
        loss=Loss(l1=1.0),
        gan=Gan(),
        optim=_faster(run, FASTER_ALONE),
        validation=replace(run.validation, metric="psnr") if plain else run.validation,
    )


def second_run(run: Run, out: Path) -> Run:
    """The rest, from the best weights of the first."""
    share = _share(run)
    second = replace(_of_length(run, 1 - share), start=str(out / FIRST / "best.safetensors"))
    if run.steps is None:
        return second
    return replace(second, steps=max(run.steps - math.ceil(run.steps * share), 1))


def _share(run: Run) -> float:
    return 0.5 if run.first_scale else run.gan.first


def _of_length(run: Run, share: float) -> Run:
    return replace(
        run,
        epochs=run.epochs and run.epochs * share,
        steps=run.steps and math.ceil(run.steps * share),
        budget_seconds=run.budget_seconds and run.budget_seconds * share,
    )


def _faster(run: Run, factor: float) -> Optim:
    return replace(run.optim, learning_rate=factor * run.optim.learning_rate)


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
