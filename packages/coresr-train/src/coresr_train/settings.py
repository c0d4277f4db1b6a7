"""What a run is: frozen settings with their bounds; whatever is wrong with them is one ConfigError."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from coresr_models import ModelSpec, complete

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Tracker = Literal["mlflow", "tensorboard", "trackio", "wandb"]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
LENGTHS = ("epochs", "steps", "budget_seconds")

Natural = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]


class ConfigError(ValueError):
    """A run that cannot be run as written; the message names every problem."""

    exit_code = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is trained on."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    store: str = ""
    """Folder that `python -m coresr_data prepare` wrote; empty: a phantom is made in the run folder."""
    patch: Natural = 96
    """Side of a training patch in HR pixels, a multiple of the scale."""
    batch: Natural = 16
    """Patches per optimizer step over all processes."""
    workers: Count = 0
    """Processes that cut patches, at most one a core; with 0 each training process cuts its own."""
    augment: bool = True
    """Draw one of the eight flips and rotations for each patch."""
    noise_std: NotNegative = 0.0
    """Gaussian noise added to LR patches, standard deviation on [0, 1]."""
    jitter: BelowOne = 0.0
    """Largest change of contrast and brightness, of LR and HR alike, on [0, 1]."""
    cutblur: Fraction = 0.0
    """Share of patches in which a rectangle of LR is made from HR by bicubic."""
    mixup: NotNegative = 0.0
    """Parameter of the beta distribution by which two samples are mixed; 0 mixes none."""
    rock: Fraction = 0.5
    """Least share of a patch inside the mask, in stores that have one."""
    normalise: bool = False
    """Let the network see training slices of mean 0 and standard deviation 1; it answers in [0, 1] all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Weight of each loss term; 0 leaves it out."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    l1: NotNegative = 0.0
    mse: NotNegative = 0.0
    charbonnier: NotNegative = 0.0
    ssim: NotNegative = 0.0
    """Of 1 - SSIM."""
    ms_ssim: NotNegative = 0.0
    """Of 1 - MS-SSIM; the patch must be larger than 32 pixels."""
    tv: NotNegative = 0.0
    """Total variation of SR alone: it smooths."""
    gradient: NotNegative = 0.0
    """L1 between the Sobel edges of SR and HR."""
    fft: NotNegative = 0.0
    """L1 between the spectra of SR and HR."""
    perceptual: NotNegative = 0.0
    """L1 between the features of SR and HR in a network that knows photographs."""
    lpips: NotNegative = 0.0
    """Learned perceptual distance (VGG16); needs the package lpips, without what it depends on."""
    features: Literal["vgg19", "efficientnet_lite0"] = "vgg19"
    """Whose features `perceptual` compares."""
    feature_weights: str = ""
    """Their safetensors file; empty: the Hub's (vgg19), or those of coresr-train[perceptual] (efficientnet_lite0)."""
    lpips_weights: str = ""
    """The safetensors file of the VGG16 of `lpips`; empty: the Hub's."""

    def weights(self) -> dict[str, float]:
        """Term → weight."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.type == NotNegative}


@dataclass(frozen=True, slots=True, kw_only=True)
class Optim:
    """The optimizer, its learning rate over the run, and the average that is kept of the weights."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    optimizer: Literal["adamw", "adam", "sgd", "lion", "muon", "schedule_free"] = "adamw"
    """lion, muon and schedule_free need coresr-train[optimizers]; schedule_free a constant schedule."""
    learning_rate: Positive = 2e-4
    """At the peak of its schedule."""
    weight_decay: NotNegative = 1e-4
    """Of weights; norms and biases do not decay."""
    momentum: BelowOne = 0.9
    """Adam's and Lion's β₁, SGD's and Muon's momentum."""
    beta2: BelowOne = 0.999
    """Of Adam's second moment."""
    epsilon: Positive = 1e-8
    """Adam's ε. A larger one keeps rounding from deciding the steps of almost-dead channels."""
    schedule: Literal["cosine", "one_cycle", "multistep", "constant", "cosine_restarts"] = "cosine"
    """All but one_cycle begin with the warm-up."""
    warmup_epochs: NotNegative = 1.0
    """Epochs of linear rise, at most a tenth of the run."""
    floor: BelowOne = 0.0
    """Share of the peak at which cosines end."""
    milestones: tuple[Fraction, ...] = (0.5, 0.75, 0.9)
    """Shares of the run after which multistep multiplies the rate by `gamma`."""
    gamma: Fraction = 0.5
    restarts: Natural = 3
    """How many cosines of equal length cosine_restarts runs through."""
    clip: Positive = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""
    accumulate: Natural = 1
    """Parts in which a batch passes through the network one after the other, to save memory; the step is the same."""
    ema_decay: BelowOne = 0.999
    """Of the averaged weights, which are what is validated and saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Whole slices of the valid split, by the averaged weights, in float32."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    every_epochs: Natural = 1
    slices: Natural = 32
    """How many at most, spread evenly over the split: what a large set costs must not eat the run."""
    metric: Literal["psnr", "ssim"] = "psnr"
    """What `best.safetensors` is best in, and what early stopping watches."""
    patience: Count = 0
    """Validations without an improvement of `min_delta` before the run stops; 0 never stops early."""
    min_delta: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """Where else the run is told of; `metrics.jsonl` in its folder is the record."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    to: tuple[Tracker, ...] = ()
    """Any of mlflow, tensorboard, trackio, wandb; each needs coresr-train[NAME]."""
    project: str = "coresr"
    uri: str = ""
    """Of an MLflow server, http://…; empty: a database in the run folder."""
    images: Count = 4
    """Validation slices that are shown, LR by bicubic beside SR and HR."""
    required: bool = False
    """End the run where a tracker cannot be reached at its start, instead of a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that decides a run. Its length is exactly one of epochs, steps and budget_seconds."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: ModelSpec
    data: Data = field(default_factory=Data)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    validation: Validation = field(default_factory=Validation)
    tracking: Tracking = field(default_factory=Tracking)
    out: str = ""
    """The run folder, new or empty; when not given, runs/<preset>-<first free number>."""
    epochs: Positive | None = None
    """Length in epochs: one is as many patches as fit into the training slices without overlap."""
    steps: Natural | None = None
    """Length in optimizer steps."""
    budget_seconds: Positive | None = None
    """Length in seconds of training and validation, but for the last; the learning rate is fitted to it."""
    start: str = ""
    """A checkpoint whose weights the network starts from; one of a smaller scale is transferred."""
    first_scale: Count = 0
    """Train this smaller scale for half the length first, at four times the learning rate, and start from there; 0:
    no."""
    precision: Precision = "auto"
    """Of the training step; auto: bf16 where the hardware computes it, fp16 on older GPUs, else fp32."""
    compile: bool = False
    """Train through torch.compile: a minute to start, then faster steps."""
    seed: Annotated[int, Ge(0), Lt(2**32)] = 0
    save_every: Count = 0
    """Steps between checkpoints that a run can resume from; with 0, ten minutes. The end is always saved."""
    keep: Annotated[int, Ge(2)] = 2
    """Newest checkpoints kept; two, for the newest may be damaged. One of the best validation stays as well."""
    resume: str = ""
    """Go on in the run folder: bare, from the newest whole checkpoint; or the folder of one."""
    allow_change: tuple[str, ...] = ()
    """Settings that may differ from those of the run that is resumed, such as optim.learning_rate."""
    expect_processes: Natural | None = None
    """Refuse to start with another number of processes (accelerate's --cpu silently gives one)."""


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
    """The run with every argument of its network written out; ConfigError naming every problem at once."""
    problems = []
    try:
        read(asdict(run))
    except ValidationError as error:
        problems += [said(one) for one in error.errors()]
    if not any(run.loss.weights().values()):
        problems.append("one weight of loss must be positive, got none")
    lengths = {name: getattr(run, name) for name in LENGTHS if getattr(run, name) is not None}
    if len(lengths) != 1:
        given = ", ".join(f"{name} {value}" for name, value in lengths.items()) or "none"
        problems.append(f"length must be exactly one of {', '.join(LENGTHS)}, got {given}")
    if run.data.batch % run.optim.accumulate:
        problems.append(f"optim.accumulate must divide data.batch, {run.data.batch}, got {run.optim.accumulate}")
    if list(run.optim.milestones) != sorted(run.optim.milestones):
        problems.append(f"optim.milestones must rise, got {run.optim.milestones}")
    if run.resume and not run.out:
        problems.append("out must be the folder of the run to resume, got none")
    model = run.model
    try:
        model = complete(run.model)
    except ValueError as error:
        problems.append(f"model: {error}")
    else:
        if run.first_scale and run.first_scale >= int(model.arguments["scale"]):
            problems.append(f"first_scale must be below {model.arguments['scale']}, got {run.first_scale}")
    if problems:
        raise ConfigError("; ".join(problems))
    return replace(run, model=model)


def read(values: Mapping[str, Any]) -> Run:
    """The run of nested plain values; pydantic's ValidationError names every one that is wrong."""
    return _RUN.validate_python(values)


def said(problem: Mapping[str, Any]) -> str:
    """One of pydantic's problems in the words of the house: `data.patch must be greater than 0, got -1`."""
    field_name, message = ".".join(map(str, problem["loc"])), str(problem["msg"])
    wanted = message.removeprefix("Input should ").removeprefix("be ")
    wanted = "a known setting" if problem["type"] == "unexpected_keyword_argument" else wanted
    return f"{field_name} must be {wanted}, got {problem['input']!r}"


_RUN = TypeAdapter(Run)
