"""The functions that return a run. A variant calls another and replaces fields."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from coresr_models import Argument, ModelSpec, complete
from coresr_train.settings import Data, Loss, Optim, Run, Validation

SMALL: Mapping[str, Mapping[str, Argument]] = {
    "cyclegan": {"width": 32, "blocks": 6},
    "edsr": {"width": 32, "blocks": 8},
    "nafnet": {"width": 32, "blocks": 8},
    "plksr": {"width": 32, "blocks": 6, "kernel": 13, "attention": False},
    "rcan": {"width": 32, "groups": 2, "blocks": 4, "reduction": 8},
    "realplksr": {"width": 32, "blocks": 6, "kernel": 13},
    "rrdbnet": {"width": 32, "blocks": 2, "growth": 16},
    "span": {"width": 32},
    "srcnn": {},
    "swinir": {"width": 36, "stages": 2, "depth": 4, "heads": 6},
    "unet": {"depth": 3, "width": 32},
}
"""Of each architecture one that learns within minutes on a CPU."""


def quick_x2() -> Run:
    """A small residual network at LR resolution, useful within a CPU minute.

    `accelerate launch -m coresr_train quick_x2 --data.store STORE`; one minute on 2 cores with bf16 instructions;
    3 dB over bicubic on seven 576² slices of sandstone.
    """
    network: dict[str, Argument] = {"scale": 2, "width": 32, "blocks": 4, "tail": "direct"}
    return Run(
        model=complete(ModelSpec(name="edsr", arguments=network)),
        data=Data(patch=96, batch=16),
        loss=Loss(charbonnier=1.0),
        optim=Optim(learning_rate=3e-3, weight_decay=0.0, epsilon=1e-6),
        validation=Validation(every_epochs=10),
        budget_seconds=60.0,
    )


def quick_x4() -> Run:
    """`quick_x2` for ×4.

    `accelerate launch -m coresr_train quick_x4 --data.store STORE`; one minute on 2 cores with bf16 instructions.
    """
    return at_scale(quick_x2(), 4)


def reference_x2() -> Run:
    """The reference configuration: a U-Net of 37 M parameters on the bicubic image.

    `accelerate launch -m coresr_train reference_x2 --data.store STORE`; made for a GPU, 150 epochs at most.
    """
    network: dict[str, Argument] = {"scale": 2, "depth": 5, "width": 64, "max_width": 512, "norm": "none"}
    return Run(
        model=complete(ModelSpec(name="unet", arguments=network)),
        data=Data(patch=192, batch=8, workers=8, noise_std=0.005),
        loss=Loss(charbonnier=0.84, ms_ssim=0.16),
        optim=Optim(learning_rate=2e-4, weight_decay=1e-4, warmup_epochs=5.0, clip=1.0, ema_decay=0.999),
        validation=Validation(every_epochs=1, metric="ssim", patience=20, min_delta=0.002),
        epochs=150,
    )


def reference_x4() -> Run:
    """`reference_x2` for ×4.

    `accelerate launch -m coresr_train reference_x4 --data.store STORE`; made for a GPU, 150 epochs at most.
    """
    return at_scale(reference_x2(), 4)


def curriculum_x4() -> Run:
    """`quick_x4` that learns ×2 for half of its time first, then ×4 from there at a quarter of the learning rate.

    `accelerate launch -m coresr_train curriculum_x4 --data.store STORE`; one minute on 2 cores with bf16
    instructions. The store must hold both: `python -m coresr_data prepare SRC STORE --scale 2,4`.
    """
    run = quick_x4()
    return replace(run, first_scale=2, optim=replace(run.optim, learning_rate=run.optim.learning_rate / 4))


def at_scale(run: Run, scale: int) -> Run:
    """The same run for another scale."""
    return replace(run, model=replace(run.model, arguments={**run.model.arguments, "scale": scale}))


def _network(name: str, scale: int) -> Callable[[], Run]:
    def preset() -> Run:
        spec = complete(ModelSpec(name=name, arguments={**SMALL[name], "scale": scale}))
        return replace(quick_x2(), model=spec, optim=replace(quick_x2().optim, learning_rate=1e-3), budget_seconds=180)

    preset.__doc__ = f"""A small {name} for ×{scale}, three minutes.

    `accelerate launch -m coresr_train {name}_x{scale} --data.store STORE`
    """
    return preset


def _study(axis: str, change: Callable[[Run], Run]) -> Callable[[], Run]:
    def preset() -> Run:
        return change(_network("unet", 2)())

    preset.__doc__ = f"""`unet_x2` with another {axis}, and nothing else.

    `accelerate launch -m coresr_train study_{axis}_x2 --data.store STORE`
    """
    return preset


def _with_network(**arguments: Argument) -> Callable[[Run], Run]:
    return lambda run: replace(run, model=replace(run.model, arguments={**run.model.arguments, **arguments}))


STUDIES: Mapping[str, Callable[[Run], Run]] = {
    "attention": _with_network(attention="cbam"),
    "depth": _with_network(depth=4),
    "ema": lambda run: replace(run, optim=replace(run.optim, ema_decay=0.0)),
    "loss": lambda run: replace(run, loss=Loss(charbonnier=0.84, ms_ssim=0.16)),
    "norm": _with_network(norm="group"),
    "optimizer": lambda run: replace(run, optim=replace(run.optim, optimizer="sgd", learning_rate=0.1)),
    "patch": lambda run: replace(run, data=replace(run.data, patch=192, batch=4)),
    "schedule": lambda run: replace(run, optim=replace(run.optim, schedule="one_cycle")),
    "width": _with_network(width=16),
}
"""One thing changed of `unet_x2`: what each axis is worth."""

PRESETS: Mapping[str, Callable[[], Run]] = {
    "quick_x2": quick_x2,
    "quick_x4": quick_x4,
    "reference_x2": reference_x2,
    "reference_x4": reference_x4,
    "curriculum_x4": curriculum_x4,
    **{f"{name}_x{scale}": _network(name, scale) for name in SMALL for scale in (2, 3, 4)},
    **{f"study_{axis}_x2": _study(axis, change) for axis, change in STUDIES.items()},
}
