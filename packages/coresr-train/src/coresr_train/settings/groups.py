"""The groups of settings, each with its defaults and bounds."""

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from pydantic import ConfigDict

from coresr_models import CRITICS, ModelSpec, complete
from coresr_train.settings.bounds import (
    STRICT,
    BelowOne,
    Count,
    Fraction,
    Natural,
    NotNegative,
    Objective,
    Positive,
    Tracker,
)


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
    """L1 between the features of SR and HR in a network that knows photographs, or rock."""
    lpips: NotNegative = 0.0
    """Learned perceptual distance (VGG16); needs the package lpips, without what it depends on."""
    features: Literal["vgg19", "vgg19_esrgan", "vgg19_realesrgan", "efficientnet_lite0", "rock"] = "vgg19"
    """Whose features `perceptual` compares; rock: those of a small network that learns them from the training slices,
    at the start of the run."""
    feature_weights: str = ""
    """Their safetensors file; empty: the Hub's (vgg19), those of coresr-train[perceptual] (efficientnet_lite0), or
    newly learnt ones (rock)."""
    lpips_weights: str = ""
    """The safetensors file of the VGG16 of `lpips`; empty: the Hub's."""

    def weights(self) -> dict[str, float]:
        """Term → weight."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.type == NotNegative}


def _critic(name: str, **arguments: int) -> ModelSpec:
    return complete(ModelSpec(name=name, arguments=dict(arguments)), CRITICS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gan:
    """The critics of the recipes gan and cyclegan, and what their verdict weighs."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    objective: Objective = "relativistic"
    weight: Positive = 5e-3
    """Of the adversarial term in the generator's loss: ESRGAN's; CycleGAN's is 1."""
    critic: ModelSpec = field(default_factory=lambda: _critic("unet_sn", width=16))
    """Of HR: unet_sn, vgg (of patches of its `size`) or patchgan; another kind than the preset's, and its arguments, by
    --config. Batch norms of vgg and of patchgan's norm "batch" are of each process's own images."""
    rate: Positive = 1.0
    """The critics' learning rate, as a multiple of the generators'."""
    after: Count = 0
    """Steps before the critic's first, from the end of the first stage; the generator hears nobody meanwhile."""
    every: Natural = 1
    """The critic moves in one of so many steps."""
    head_start: Count = 0
    """Steps that the critic takes before the generator's first, from the end of the first stage."""
    first: BelowOne = 0.5
    """Share of the length in which the generator learns by L1 alone, without a critic; the GAN starts from the best of
    it. Left out with `start`, and in cyclegan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """What the recipe cyclegan has beside `gan`: a network from HR to LR, and what holds it and `model` together."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    width: Natural = 32
    """Of the network from HR to LR."""
    blocks: Natural = 4
    critic: ModelSpec = field(default_factory=lambda: _critic("patchgan", width=32, layers=1))
    """Of LR."""
    cycle: Positive = 10.0
    """Weight of what is lost on the way there and back."""
    identity: NotNegative = 5.0
    """Weight of the error on images that the fixed operators shrank or enlarged."""
    consistency: NotNegative = 0.0
    """Weight of the difference between LR and SR shrunk by bicubic."""
    pool: Count = 50
    """Made images that are kept to be shown to the critics again."""


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
    schedule: Literal["cosine", "one_cycle", "multistep", "constant", "constant_linear", "cosine_restarts"] = "cosine"
    """All but one_cycle begin with the warm-up."""
    warmup_epochs: NotNegative = 1.0
    """Epochs of linear rise, at most a tenth of the run."""
    floor: BelowOne = 0.0
    """Share of the peak at which cosines and constant_linear end."""
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
    metric: Literal["psnr", "ssim", "last"] = "psnr"
    """What `best.safetensors` is best in, and what early stopping watches; last: it is the last, for a GAN is not
    trained for either."""
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
