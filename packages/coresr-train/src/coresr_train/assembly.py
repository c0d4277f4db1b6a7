"""From settings to what moves: the nets beside the network, the recipe, an optimizer for every phase."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from coresr_models import Network, build_critic
from coresr_models.blocks import Bicubic
from coresr_models.cyclegan import BicubicDown, Down
from coresr_train.losses import chosen
from coresr_train.losses.adversarial import OBJECTIVES
from coresr_train.optim import optimizer
from coresr_train.recipe import Recipe
from coresr_train.recipes.cyclegan import Weights, cyclegan
from coresr_train.recipes.gan import gan
from coresr_train.recipes.supervised import supervised
from coresr_train.settings import ConfigError, Run

MAIN: Mapping[str, str] = {"supervised": "generator", "gan": "generator", "cyclegan": "up"}
"""Of each recipe, the net that a run is for: it is averaged, validated and saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """Everything that `fit` moves."""

    bare: dict[str, nn.Module]
    """The nets as built, whose weights a checkpoint holds."""
    recipe: Recipe
    """With the nets as prepared for this launch."""
    optimizers: dict[str, Optimizer]
    """By phase."""


def assembled(run: Run, network: Network, accelerator: Accelerator) -> Assembled:
    """The nets and phases of a run around its network, which is on the device already.

    Critics and the way back are drawn here, after the network, from torch's random numbers.
    """
    bare: dict[str, nn.Module] = {MAIN[run.recipe]: network, **_others(run, accelerator.device)}
    recipe = _recipe(run, bare, accelerator.device)
    moves = {phase.name: phase.trains for phase in recipe.phases}
    steppers = {
        name: optimizer(nn.ModuleList([bare[net] for net in trains]), run.optim) for name, trains in moves.items()
    }
    main = MAIN[run.recipe]
    nets = {name: torch.compile(net) if run.compile and name == main else net for name, net in bare.items()}
    prepared = accelerator.prepare(*nets.values(), *steppers.values())
    prepared = prepared if isinstance(prepared, tuple) else (prepared,)
    return Assembled(
        bare=bare,
        recipe=replace(recipe, nets=dict(zip(nets, prepared[: len(nets)], strict=True))),
        optimizers=dict(zip(steppers, prepared[len(nets) :], strict=True)),
    )


def refuse_misfits(run: Run) -> None:
    """ConfigError for critics that the patch does not suit, and for optimizers that do not suit a net."""
    scale, channels = int(run.model.arguments["scale"]), run.model.arguments["channels"]
    specs = {"supervised": (), "gan": (run.gan.critic,), "cyclegan": (run.gan.critic, run.cycle.critic)}[run.recipe]
    for spec in specs:
        if spec.arguments["channels"] != channels:
            raise ConfigError(
                f"channels of a critic must be {channels}, the network's, got {spec.arguments['channels']}"
            )
    with torch.device("meta"):
        others = _others(run, torch.device("meta"))
        for one in others.values():
            optimizer(one, run.optim)
    sides = {"discriminator": run.data.patch, "d_hr": run.data.patch, "d_lr": run.data.patch // scale}
    for name, side in sides.items():
        if (critic := others.get(name)) is None:
            continue
        least, multiple = int(critic.smallest), int(critic.multiple_of)  # type: ignore[arg-type]  # a critic states both
        if side < least or side % multiple or side > getattr(critic, "size", side):
            what = "LR" if name == "d_lr" else "HR"
            raise ConfigError(
                f"data.patch must give the critic of {what} {_wanted(critic)} pixels, got {side}; change data.patch, "
                "or take another critic"
            )


def _wanted(critic: nn.Module) -> str:
    if hasattr(critic, "size"):
        return f"{critic.size}"
    least, multiple = critic.smallest, critic.multiple_of
    return f"{least} or more" if multiple == 1 else f"{least} or more, a multiple of {multiple},"


def _others(run: Run, device: torch.device) -> dict[str, nn.Module]:
    """The nets beside the network, by name."""
    if run.recipe == "supervised":
        return {}
    if run.recipe == "gan":
        return {"discriminator": _placed(build_critic(run.gan.critic), device)}
    arguments = run.model.arguments
    down = Down(
        scale=int(arguments["scale"]),
        channels=int(arguments["channels"]),
        width=run.cycle.width,
        blocks=run.cycle.blocks,
        skip="mean" if arguments.get("skip") == "replicate" else "bicubic",
    )
    critics = {"d_hr": build_critic(run.gan.critic), "d_lr": build_critic(run.cycle.critic)}
    return {name: _placed(net, device) for name, net in {"down": down, **critics}.items()}


def _recipe(run: Run, nets: dict[str, Any], device: torch.device) -> Recipe:
    objective, scale = OBJECTIVES[run.gan.objective], int(run.model.arguments["scale"])
    match run.recipe:
        case "supervised":
            return supervised(nets["generator"], chosen(run.loss, device))
        case "gan":
            return gan(
                nets["generator"],
                nets["discriminator"],
                chosen(run.loss, device),
                objective=objective,
                weight=run.gan.weight,
                rate=run.gan.rate,
                after=run.gan.after,
                every=run.gan.every,
                head_start=run.gan.head_start,
            )
        case "cyclegan":
            cycle = run.cycle
            return cyclegan(
                **nets,
                objective=objective,
                shrink=BicubicDown(scale=scale).to(device),
                enlarge=Bicubic(scale=scale).to(device),
                weights=Weights(
                    adversarial=run.gan.weight,
                    cycle=cycle.cycle,
                    identity=cycle.identity,
                    consistency=cycle.consistency,
                ),
                pool=cycle.pool,
                seed=run.seed,
                rate=run.gan.rate,
                after=run.gan.after,
                every=run.gan.every,
                head_start=run.gan.head_start,
            )


def _placed(net: nn.Module, device: torch.device) -> nn.Module:
    return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # not in torch's stub
