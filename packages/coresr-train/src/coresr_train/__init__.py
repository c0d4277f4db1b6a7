"""One training loop for every super-resolution recipe, launched by accelerate."""

from coresr_train.loop import Step, fit
from coresr_train.presets import PRESETS
from coresr_train.recipe import Phase, Recipe
from coresr_train.run import train
from coresr_train.settings import Run

__version__ = "0.4.0"

__all__ = ["PRESETS", "Phase", "Recipe", "Run", "Step", "fit", "train"]
