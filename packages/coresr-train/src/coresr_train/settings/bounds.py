"""What a single setting may be."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Recipe = Literal["supervised", "gan", "cyclegan"]
Objective = Literal["relativistic", "vanilla", "hinge", "lsgan"]
Tracker = Literal["mlflow", "tensorboard", "trackio", "wandb"]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)

Natural = Annotated[int, Gt(0)]
Count = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]


class ConfigError(ValueError):
    """A run that cannot be run as written; the message names every problem."""

    exit_code = 78
