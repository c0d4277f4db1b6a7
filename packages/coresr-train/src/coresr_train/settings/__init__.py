"""What a run is: frozen settings with their bounds; whatever is wrong with them is one ConfigError."""

from coresr_train.settings.bounds import ConfigError, Precision, Tracker
from coresr_train.settings.groups import Cycle, Data, Gan, Loss, Optim, Tracking, Validation
from coresr_train.settings.whole import LENGTHS, Run, check, read, said, with_one_length

__all__ = [
    "LENGTHS",
    "ConfigError",
    "Cycle",
    "Data",
    "Gan",
    "Loss",
    "Optim",
    "Precision",
    "Run",
    "Tracker",
    "Tracking",
    "Validation",
    "check",
    "read",
    "said",
    "with_one_length",
]
