"""What a run is, and the functions that return one. A variant calls another and replaces fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal

from pydantic import ConfigDict

from coresr_models import Argument, ModelSpec, complete

Precision = Literal["auto", "fp32", "bf16", "fp16"]
STRICT = ConfigDict(extra="forbid")


class ConfigError(ValueError):
    """A run that cannot be run as written; the message names every problem."""

    exit_code = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is trained on."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    store: str = ""
    """Folder that `python -m coresr_data prepare` wrote; empty: a phantom is made in the run folder."""
    patch: int = 96
    """Side of a training patch in HR pixels, a multiple of the scale."""
    batch: int = 16
    """Patches per optimizer step over all processes."""
    workers: int = 0
    """Processes that cut patches, at most one a core; with 0 each training process cuts its own."""
    augment: bool = True
    """Draw one of the eight flips and rotations for each patch."""
    noise_std: float = 0.0
    """Gaussian noise added to LR patches, standard deviation on [0, 1]."""
    jitter: float = 0.0
    """Largest change of contrast and brightness, of LR and HR alike, on [0, 1]."""
    cutblur: float = 0.0
    """Share of patches in which a rectangle of LR is made from HR by bicubic."""
    mixup: float = 0.0
    """Parameter of the beta distribution by which two samples are mixed; 0 mixes none."""
    rock: float = 0.5
    """Least share of a patch inside the mask, in stores that have one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Weight of each loss term; 0 leaves it out."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    l1: float = 0.0
    mse: float = 0.0
    charbonnier: float = 0.0
    ms_ssim: float = 0.0
    """Of 1 - MS-SSIM; the patch must be larger than 32 pixels."""

    def weights(self) -> dict[str, float]:
        """Term → weight."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """AdamW, its warm-up and cosine, and the average that is kept of the weights."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    learning_rate: float = 2e-4
    """At the peak, between warm-up and cosine."""
    weight_decay: float = 1e-4
    epsilon: float = 1e-8
    """Adam's ε. A larger one keeps rounding from deciding the steps of almost-dead channels."""
    warmup_epochs: float = 1.0
    """Epochs of linear rise before the cosine, at most a tenth of the run."""
    clip: float = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""
    ema_decay: float = 0.999
    """Of the averaged weights, which are what is validated and saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Whole slices of the valid split, by the averaged weights, in float32."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    every_epochs: int = 1
    slices: int = 32
    """How many at most, spread evenly over the split: what a large set costs must not eat the run."""
    metric: Literal["psnr", "ssim"] = "psnr"
    """What `best.safetensors` is best in, and what early stopping watches."""
    patience: int = 0
    """Validations without an improvement of `min_delta` before the run stops; 0 never stops early."""
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that decides a run. Its length is exactly one of epochs, steps and budget_seconds."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: ModelSpec
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    validation: Validation = field(default_factory=Validation)
    out: str = ""
    """The run folder, new or empty; when not given, runs/<preset>-<first free number>."""
    epochs: int | None = None
    """Length in epochs: one is as many patches as fit into the training slices without overlap."""
    steps: int | None = None
    """Length in optimizer steps."""
    budget_seconds: float | None = None
    """Length in seconds of training and validation, but for the last; the learning rate is fitted to it."""
    precision: Precision = "auto"
    """Of the training step; auto: bf16 where the hardware computes it, fp16 on older GPUs, else fp32."""
    seed: int = 0
    expect_processes: int | None = None
    """Refuse to start with another number of processes (accelerate's --cpu silently gives one)."""


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


PRESETS: Mapping[str, Callable[[], Run]] = {"quick_x2": quick_x2, "reference_x2": reference_x2}

LENGTHS = ("epochs", "steps", "budget_seconds")


def with_one_length(run: Run, preset: Run) -> Run:
    """Where a length was given that differs from the preset's, the preset's own gives way."""
    given = {name for name in LENGTHS if getattr(run, name) not in (None, getattr(preset, name))}
    if not given:
        return run
    return replace(
        run,
        epochs=run.epochs if "epochs" in given else None,
        steps=run.steps if "steps" in given else None,
        budget_seconds=run.budget_seconds if "budget_seconds" in given else None,
    )


def check(run: Run) -> Run:
    """The run with every argument of its network written out; ConfigError naming every value out of range at once."""
    problems = [
        f"{name} must be {expectation}, got {value}"
        for name, expectation, value, fine in (
            ("data.patch", "positive", run.data.patch, run.data.patch > 0),
            ("data.batch", "positive", run.data.batch, run.data.batch > 0),
            ("data.workers", "0 or more", run.data.workers, run.data.workers >= 0),
            ("data.noise_std", "0 or more", run.data.noise_std, run.data.noise_std >= 0),
            ("data.jitter", "in [0, 1)", run.data.jitter, 0 <= run.data.jitter < 1),
            ("data.cutblur", "in [0, 1]", run.data.cutblur, 0 <= run.data.cutblur <= 1),
            ("data.mixup", "0 or more", run.data.mixup, run.data.mixup >= 0),
            ("data.rock", "in [0, 1]", run.data.rock, 0 <= run.data.rock <= 1),
            ("optim.learning_rate", "positive", run.optim.learning_rate, run.optim.learning_rate > 0),
            ("optim.weight_decay", "0 or more", run.optim.weight_decay, run.optim.weight_decay >= 0),
            ("optim.epsilon", "positive", run.optim.epsilon, run.optim.epsilon > 0),
            ("optim.warmup_epochs", "0 or more", run.optim.warmup_epochs, run.optim.warmup_epochs >= 0),
            ("optim.clip", "positive", run.optim.clip, run.optim.clip > 0),
            ("optim.ema_decay", "in [0, 1)", run.optim.ema_decay, 0 <= run.optim.ema_decay < 1),
            ("validation.every_epochs", "1 or more", run.validation.every_epochs, run.validation.every_epochs >= 1),
            ("validation.slices", "1 or more", run.validation.slices, run.validation.slices >= 1),
            ("validation.patience", "0 or more", run.validation.patience, run.validation.patience >= 0),
            *((f"loss.{name}", "0 or more", weight, weight >= 0) for name, weight in run.loss.weights().items()),
            *(
                (name, "positive", getattr(run, name), getattr(run, name) is None or getattr(run, name) > 0)
                for name in LENGTHS
            ),
        )
        if not fine
    ]
    if not any(run.loss.weights().values()):
        problems.append("one weight of loss must be positive, got none")
    lengths = {name: getattr(run, name) for name in LENGTHS if getattr(run, name) is not None}
    if len(lengths) != 1:
        given = ", ".join(f"{name} {value}" for name, value in lengths.items()) or "none"
        problems.append(f"length must be exactly one of {', '.join(LENGTHS)}, got {given}")
    model = run.model
    try:
        model = complete(run.model)
    except ValueError as error:
        problems.append(f"model: {error}")
    if problems:
        raise ConfigError("; ".join(problems))
    return replace(run, model=model)
