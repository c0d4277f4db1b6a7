"""A whole run, and everything that can be wrong with it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from coresr_models import CRITICS, ModelSpec, complete
from coresr_train.settings.bounds import STRICT, ConfigError, Count, Natural, Positive, Precision, Recipe
from coresr_train.settings.groups import Cycle, Data, Gan, Loss, Optim, Tracking, Validation

LENGTHS = ("epochs", "steps", "budget_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that decides a run. Its length is exactly one of epochs, steps and budget_seconds."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: ModelSpec
    data: Data = field(default_factory=Data)
    recipe: Recipe = "supervised"
    """gan adds a critic; cyclegan learns from LR and HR that are no pairs."""
    loss: Loss = field(default_factory=Loss)
    gan: Gan = field(default_factory=Gan)
    cycle: Cycle = field(default_factory=Cycle)
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
    """The run with every argument of its networks written out; ConfigError naming every problem at once."""
    problems = [*_problems(run)]
    try:
        run = replace(run, model=complete(run.model))
    except ValueError as error:
        problems.append(f"model: {error}")
    else:
        if run.first_scale and run.first_scale >= int(run.model.arguments["scale"]):
            problems.append(f"first_scale must be below {run.model.arguments['scale']}, got {run.first_scale}")
    try:
        run = replace(run, gan=replace(run.gan, critic=complete(run.gan.critic, CRITICS)))
        run = replace(run, cycle=replace(run.cycle, critic=complete(run.cycle.critic, CRITICS)))
    except ValueError as error:
        problems.append(f"critic: {error}")
    if problems:
        raise ConfigError("; ".join(problems))
    return run


def _problems(run: Run) -> Iterator[str]:
    """What is wrong with the settings beside their networks."""
    try:
        read(asdict(run))
    except ValidationError as error:
        yield from (said(one) for one in error.errors())
    lengths = {name: getattr(run, name) for name in LENGTHS if getattr(run, name) is not None}
    if len(lengths) != 1:
        given = ", ".join(f"{name} {value}" for name, value in lengths.items()) or "none"
        yield f"length must be exactly one of {', '.join(LENGTHS)}, got {given}"
    if run.data.batch % run.optim.accumulate:
        yield f"optim.accumulate must divide data.batch, {run.data.batch}, got {run.optim.accumulate}"
    if list(run.optim.milestones) != sorted(run.optim.milestones):
        yield f"optim.milestones must rise, got {run.optim.milestones}"
    if run.resume and not run.out:
        yield "out must be the folder of the run to resume, got none"
    if run.validation.metric == "last" and run.validation.patience:
        yield f"validation.patience must be 0 where the last weights are the best, got {run.validation.patience}"
    yield from _misfits(run)


def _misfits(run: Run) -> Iterator[str]:
    """Settings that do not go with the recipe."""
    used = [name for name, weight in run.loss.weights().items() if weight]
    if run.recipe == "cyclegan":
        if used:
            yield f"loss must be left out of cyclegan, which has no pairs to compare, got {', '.join(used)}"
        changed = [name for name in ("jitter", "cutblur", "mixup") if getattr(run.data, name)]
        if changed:
            yield f"data must be without {', '.join(changed)} in cyclegan, which has no pairs; put them to 0"
        if run.optim.optimizer == "muon":
            yield "optim.optimizer must be another than muon in cyclegan, whose two networks it would take for one"
    elif not used:
        yield "one weight of loss must be positive, got none"
    unread = {"supervised": ("gan", "cycle"), "gan": ("cycle",), "cyclegan": ()}[run.recipe]
    for group, plain in (("gan", Gan()), ("cycle", Cycle())):
        if group in unread and getattr(run, group) != plain:
            yield f"{group} must be left as it is where recipe is {run.recipe}, which does not read it"
    if run.recipe != "supervised":
        yield from _unplayable(run)


def _unplayable(run: Run) -> Iterator[str]:
    """Settings with which critics do not do what they say."""
    gan, parts = run.gan, run.optim.accumulate
    if parts > 1 and gan.objective == "relativistic":
        yield (
            "optim.accumulate must be 1 with the relativistic objective, which compares with the mean of the whole "
            f"batch, got {parts}; take vanilla, hinge or lsgan"
        )
    critics = [gan.critic, *([run.cycle.critic] if run.recipe == "cyclegan" else [])]
    if parts > 1 and any(one.name == "vgg" or one.arguments.get("norm") == "batch" for one in critics):
        yield f"optim.accumulate must be 1 with batch norms in a critic, got {parts}; take unet_sn, or another norm"
    if run.first_scale:
        yield f"first_scale must be 0 with {run.recipe}, got {run.first_scale}; start from a network of that scale"
    if gan.after and gan.head_start:
        yield f"gan.after or gan.head_start must be 0, got {gan.after} and {gan.head_start}: one net is first"
    first = gan.first if run.recipe == "gan" and not run.start else 0.0
    for name in ("after", "head_start"):
        if run.steps is not None and getattr(gan, name) >= (left := run.steps - math.ceil(run.steps * first)):
            yield f"gan.{name} must be below the {left} steps of the game, got {getattr(gan, name)}"


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
