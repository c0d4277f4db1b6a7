"""From settings to an optimizer whose state is tensors and plain values."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from coresr_train.settings import ConfigError, Optim

LION_BETA2 = 0.99
"""Of Lion's momentum, as published; it has no second moment for `beta2` to be of."""

Group = dict[str, Any]
"""Parameters under "params", and by name what torch's optimizers take for them."""


def optimizer(network: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    """The optimizer `optim` names over all parameters of `network`; `fit` sets the learning rate of its groups.

    Weights decay: parameters named so, of two dimensions or more. Norms, biases, learned scales and tables do not.
    The decay is decoupled, w ← w - lr · decay · w, in adamw, lion, muon and schedule_free, and an L2 term of the
    gradient in adam and sgd, as where each was published.

    - adamw: Loshchilov and Hutter 2019, arXiv 1711.05101; adam: Kingma and Ba 2015, arXiv 1412.6980.
    - sgd: with Nesterov's momentum (Sutskever et al. 2013), without any where `momentum` is 0.
    - lion: Chen et al. 2023, arXiv 2302.06675. Its steps are ±lr: give it a third to a tenth of Adam's rate.
    - muon: Jordan et al. 2024, scaled to the size of Adam's steps so that Adam's rate and decay hold (Liu et al. 2025,
      arXiv 2502.16982). For hidden dense layers, a convolution seen as the matrix (out, in · kernel); AdamW takes the
      layers on the image's side, depthwise convolutions, and all that is not a weight.
    - schedule_free: AdamW of Defazio et al. 2024, arXiv 2405.15682. The network holds the weights at which gradients
      are taken; their average over the run is left to the averaged weights.

    ConfigError where a library is missing, or where the network, the momentum or the schedule does not suit.
    """
    groups, betas = _groups(network, optim.weight_decay), (optim.momentum, optim.beta2)
    rate, epsilon = optim.learning_rate, optim.epsilon
    match optim.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=epsilon)
        case "adam":
            return torch.optim.Adam(groups, lr=rate, betas=betas, eps=epsilon)
        case "sgd":
            return torch.optim.SGD(groups, lr=rate, momentum=optim.momentum, nesterov=optim.momentum > 0)
        case "lion":
            return _library(optim).Lion(groups, lr=rate, betas=(optim.momentum, LION_BETA2))  # type: ignore[no-any-return]  # no types
        case "muon":
            return _muon(network, optim)
        case "schedule_free":
            _refuse_schedules(optim)
            return _library(optim).ScheduleFreeAdamW(groups, lr=rate, betas=betas, eps=epsilon)  # type: ignore[no-any-return]  # no types


def _groups(network: nn.Module, weight_decay: float) -> list[Group]:
    decays = _weights(network)
    others = [parameter for parameter in network.parameters() if not _within(parameter, decays)]
    groups = [{"params": decays, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _weights(network: nn.Module) -> list[Tensor]:
    # also weight_orig of a spectral norm, but neither a table of position biases nor a scale of shape (1, c, 1, 1)
    return [parameter for name, parameter in network.named_parameters() if parameter.ndim > 1 and "weight" in name]


def _muon(network: nn.Module, optim: Optim) -> torch.optim.Optimizer:
    hidden = _hidden(network)
    if not hidden:
        raise ConfigError(
            "optim.optimizer must be another than muon for this network: Muon steps in hidden dense layers, and "
            f"{type(network).__name__} has none; take adamw"
        )
    adam = {"use_muon": False, "betas": (optim.momentum, optim.beta2), "eps": optim.epsilon}
    # pytorch-optimizer's own defaults, Nesterov and five steps of Newton-Schulz, are the author's
    own = {"use_muon": True, "momentum": optim.momentum, "use_adjusted_lr": True, "weight_decay": optim.weight_decay}
    groups: list[Group] = [{"params": hidden, **own}]
    for group in _groups(network, optim.weight_decay):
        rest = [parameter for parameter in group["params"] if not _within(parameter, hidden)]
        if rest:
            groups.append({**group, "params": rest, **adam})
    for group in groups:
        group["lr"] = optim.learning_rate
    muon: torch.optim.Optimizer = _library(optim).Muon(groups)
    # by name, for it refuses its own list of tuples once JSON has made lists of them
    muon.param_groups[0]["ns_coeffs"] = "original"
    return muon


def _hidden(network: nn.Module) -> list[Tensor]:
    """Weights of dense layers between the first and the last, with more than one row and column."""
    outer = _weights(network)
    outer = [outer[0], outer[-1]] if outer else []
    dense = [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    ]
    return [weight for weight in dense if not _within(weight, outer) and min(weight.flatten(1).shape) > 1]


def _within(parameter: Tensor, some: list[Tensor]) -> bool:
    return any(parameter is one for one in some)


def _refuse_schedules(optim: Optim) -> None:
    if optim.schedule != "constant":
        raise ConfigError(
            "optim.schedule must be constant with schedule_free, which averages in place of a decay, "
            f"got {optim.schedule}"
        )
    if optim.momentum == 0:
        raise ConfigError("optim.momentum must be greater than 0 with schedule_free, got 0")


def _library(optim: Optim) -> ModuleType:
    # imported by those alone who want it: it takes two seconds
    try:
        return import_module("pytorch_optimizer")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"optim.optimizer must be adamw, adam or sgd without the library pytorch-optimizer, got {optim.optimizer}; "
            "install coresr-train[optimizers]"
        ) from error
